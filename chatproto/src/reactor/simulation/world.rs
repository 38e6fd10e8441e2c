//! The world in which a run happens: virtual time, what is to happen when, the event loops of the
//! server, each as slow as it happens to be, and the clients around them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mio::Events;

use crate::connection::Framing;
use crate::directory::{Claim, ClaimReply, Directory, Lease, ReleaseReply};
use crate::hub::{Completion, Hub, Now};
use crate::reply::Reply;
use crate::websocket::testing;
use crate::workers::{Call, Jobs, Pool};

use super::super::arrival::{Arrival, Origin};
use super::super::mail::Mail;
use super::super::socket;
use super::super::{ACCEPTING, ARENA, Entrance, Reactor, Shared, set_up};
use super::askers::{Asker, Pages, any_page};
use super::client::{Client, Ending, Kind, Phase, Reading};
use super::network::{Nature, Network, Socket};
use super::setup::{self, Setup, TOKEN};
use super::trace::Trace;

/// Microseconds.
pub(super) type Micros = u64;
pub(super) const MILLIS: Micros = 1000;
pub(super) const SECOND: Micros = 1_000_000;
/// An event loop may be kept from running for so long at most.
pub(super) const HICCUP: Micros = 30 * MILLIS;
/// After so long everything must have come to its end.
const PATIENCE: Micros = 60 * SECOND;
/// More turns than this, and a loop does not sleep.
const TURNS: usize = 1_000_000;
pub(super) const WITNESS: usize = 0;
/// The address of a proxy, whose connections begin with a PROXY header.
pub(super) const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 80));

thread_local! {
    static NOW: Cell<Option<Now>> = const { Cell::new(None) };
}

/// The time of the simulation that runs on this thread, if one does.
pub(in crate::reactor) fn time() -> Option<Now> {
    NOW.get()
}

/// What is to happen.
pub(super) enum Event {
    Connect(usize),
    /// Bytes of a client arrive.
    Arrive(usize, Vec<u8>),
    End(usize),
    Reset(usize),
    /// A client does something, reads.
    Act(usize),
    Read(usize),
    Turn(usize),
    /// Clients may send faster, or slower, from now on.
    Rate,
    /// An asker does something, reads.
    Ask(usize),
    Swallow(usize),
    /// The history answers.
    Answer(Reply, Completion),
    /// An endpoint is done.
    Call(Call),
    /// The directory answers: it gives no name to two.
    Grant(String, ClaimReply),
    Refuse(ClaimReply),
    Release(Lease, ReleaseReply),
}

/// What the directory is asked or told.
enum Asked {
    Claim(Claim, ClaimReply),
    Release(Lease, ReleaseReply),
}

/// A directory that does nothing before the world attends to it.
struct Names(Arc<Mutex<VecDeque<Asked>>>);

impl Names {
    fn ask(&self, asked: Asked) {
        self.0.lock().expect("the simulation has one thread").push_back(asked);
    }
}

impl Directory for Names {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        self.ask(Asked::Claim(claim, reply));
    }

    fn release(&self, lease: Lease, reply: ReleaseReply) {
        self.ask(Asked::Release(lease, reply));
    }
}

pub(super) struct Lane {
    /// Until it has ended.
    pub(super) reactor: Option<Reactor>,
    /// When it will run.
    scheduled: Option<Micros>,
    /// It is busy until then.
    free_at: Micros,
}

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) rng: Rng,
    pub(super) network: Arc<Mutex<Network>>,
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: Vec<Lane>,
    pub(super) clients: Vec<Client>,
    pub(super) askers: Vec<Asker>,
    pub(super) pages: Pages,
    pub(super) now: Micros,
    began: Instant,
    events: BTreeMap<(Micros, u64), Event>,
    /// Numbers the events, so that those of one time have an order.
    serial: u64,
    arena: Box<[u8]>,
    polled: Events,
    jobs: Arc<Jobs<Call>>,
    /// What the directory was asked and told, and has not seen yet.
    asked: Arc<Mutex<VecDeque<Asked>>>,
    /// The names that the directory has given.
    pub(super) granted: BTreeMap<String, u64>,
    grants: u64,
    /// Claims that are never answered.
    unanswered: Vec<ClaimReply>,
    /// And those that it has not given in time.
    pub(super) undecided: BTreeSet<String>,
    pub(super) turns: usize,
    /// How many connections there was no room for, and how many gave way to another one.
    pub(super) knocks: usize,
    pub(super) gave_way: usize,
}

impl World {
    pub(super) fn new(setup: Setup, prints: bool) -> Self {
        // one for all: nobody ever knocks
        static LISTENER: LazyLock<TcpListener> =
            LazyLock::new(|| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
        let began = Instant::now();
        NOW.set(Some(at(began, 0)));
        let mut rng = Rng::with_seed(setup.seed ^ 0x5eed);
        let (calls, jobs) = Pool::by_hand();
        let asked = Arc::<Mutex<VecDeque<Asked>>>::default();
        let directory = setup.has_directory.then(|| Arc::new(Names(Arc::clone(&asked))));
        let mut hub = Hub::builder();
        if directory.is_some() {
            hub = hub.directory();
        }
        if setup.has_history {
            hub = hub.history("epoch", 1);
        }
        let hub = hub
            .limits(setup.limits.clone())
            .seed(setup.seed)
            .admin_token(TOKEN)
            .announce(setup.announces)
            .endpoint("/echo", "Answers.", |request: &crate::endpoint::Request| {
                Ok(format!("echo of {}", request.msg))
            })
            .expect("a free name")
            .build();
        let (shared, reactors) = set_up(super::super::Setup {
            hub,
            limits: setup.limits.clone(),
            policy: setup.policy,
            observer: None,
            calls: Some(calls),
            directory: directory.map(|directory| directory as Arc<dyn Directory>),
            accounts: None,
            has_history: setup.has_history,
            threads: setup.lanes,
            quantum: setup.quantum,
            listeners: vec![(LISTENER.try_clone().expect("a descriptor"), Entrance::Plain)],
            proxies: [PROXY.into()].into(),
        })
        .expect("event loops");
        let lane = |reactor| Lane { reactor: Some(reactor), scheduled: None, free_at: 0 };
        let mut network = Network::new(setup.seed, setup.limits.drain, Trace::new(prints));
        let mut clients = vec![Client::witness()];
        clients.extend((1..=setup.clients).map(|id| Client::any(id, &setup, &mut rng)));
        for (id, client) in clients.iter_mut().enumerate() {
            let room = match client.reading {
                _ if id == WITNESS => 1 << 30,
                Reading::Prompt => 1 << 20,
                _ => rng.usize(200..4000),
            };
            client.wire = network.connect(Nature {
                lane: client.lane,
                room,
                is_paced: client.is_one_read() || client.kind == Kind::LateLineFeed,
            });
        }
        let mut askers: Vec<_> = (0..setup.askers).map(|_| Asker::any(&setup, &mut rng)).collect();
        for asker in &mut askers {
            asker.wire = network.connect(asker.nature);
        }
        let mut world = World {
            rng,
            network: Arc::new(Mutex::new(network)),
            shared,
            lanes: reactors.into_iter().map(lane).collect(),
            clients,
            askers,
            pages: any_page,
            now: 0,
            began,
            events: BTreeMap::new(),
            serial: 0,
            arena: vec![0; ARENA].into_boxed_slice(),
            polled: Events::with_capacity(16),
            jobs,
            asked,
            granted: BTreeMap::new(),
            grants: 0,
            unanswered: Vec::new(),
            undecided: BTreeSet::new(),
            turns: 0,
            knocks: 0,
            gave_way: 0,
            setup,
        };
        for lane in 0..world.lanes.len() {
            world.wake(lane);
        }
        world
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().expect("the simulation has one thread")
    }

    pub(super) fn schedule(&mut self, at: Micros, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    /// Lets things happen until it is so; for ever if it never is.
    pub(super) fn run_until(&mut self, is_so: impl Fn(&World) -> bool) {
        let limit = self.now + PATIENCE;
        while !is_so(self) {
            let Some(((at, _), event)) = self.events.pop_first() else {
                panic!("nothing happens any more: {}", self.those_who_wait());
            };
            assert!(at <= limit, "there is no end: {}", self.those_who_wait());
            self.advance(at);
            self.happen(event);
            self.follow_up();
        }
    }

    pub(super) fn run_to(&mut self, end: Micros) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), event) = entry.remove_entry();
            self.advance(at);
            self.happen(event);
            self.follow_up();
        }
        self.advance(end);
    }

    fn those_who_wait(&self) -> String {
        let wait = self.clients.iter().enumerate().filter(|(_, c)| c.phase < Phase::Closed);
        let lines =
            wait.map(|(id, c)| format!("\n  {id}: {:?}, {:?}, {:?}", c.kind, c.phase, c.reading));
        lines.collect()
    }

    pub(super) fn has_completions(&self) -> bool {
        let is_completion = |event: &Event| {
            matches!(
                event,
                Event::Call(_) | Event::Grant(..) | Event::Refuse(_) | Event::Answer(..)
            )
        };
        self.events.values().any(is_completion)
    }

    pub(super) fn advance(&mut self, to: Micros) {
        self.now = to;
        NOW.set(Some(at(self.began, to)));
        self.network().trace.now = to;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect(id) => self.connect(id),
            Event::Arrive(id, bytes) => self.network().arrive(id, &bytes),
            Event::End(id) => self.network().end(id),
            Event::Reset(id) => self.network().reset(id),
            Event::Act(id) => self.act(id),
            Event::Read(id) => self.read(id),
            Event::Turn(lane) => self.turn(lane),
            Event::Rate => {
                let mut limits = self.setup.limits.clone();
                limits.rate = setup::rate(&mut self.rng);
                self.shared.set_limits(limits).expect("limits as in the beginning");
            }
            Event::Ask(number) => self.ask(number),
            Event::Swallow(number) => self.swallow(number),
            Event::Answer(reply, completion) => reply.send(completion),
            Event::Call(call) => call.run(),
            Event::Grant(name, reply) => {
                self.grants += 1;
                match self.granted.contains_key(&name) {
                    true => reply.refused("somebody else has it."),
                    false => {
                        self.granted.insert(name, self.grants);
                        reply.granted(self.grants);
                    }
                }
            }
            Event::Refuse(reply) => reply.refused("not you."),
            Event::Release(lease, reply) => {
                let revision = self.granted.remove(lease.name().as_str());
                assert_eq!(revision, Some(lease.revision()), "{lease:?} is given back");
                reply.done();
            }
        }
    }

    /// Who has to act upon what happened.
    pub(super) fn follow_up(&mut self) {
        while let Some(call) = self.jobs.try_take() {
            let at = self.delayed();
            self.schedule(at, Event::Call(call));
        }
        while let Some(asked) = self.next_asked() {
            self.attend_to_name(asked);
        }
        self.attend_to_history();
        for lane in 0..self.lanes.len() {
            let Some(reactor) = &mut self.lanes[lane].reactor else { continue };
            reactor.poll.poll(&mut self.polled, Some(Duration::ZERO)).expect("a poll");
            if !self.polled.is_empty() {
                self.wake(lane);
            }
        }
        let (ready, touched) = {
            let mut network = self.network();
            let lanes = network.ready.iter().map(|&id| network.wires[id].nature.lane);
            (lanes.collect::<BTreeSet<_>>(), std::mem::take(&mut network.touched))
        };
        for lane in ready {
            self.wake(lane);
        }
        for id in touched {
            match id.checked_sub(self.clients.len()) {
                Some(number) if number < self.askers.len() => self.notice_asker(number),
                Some(_) => {}
                None => self.notice(id),
            }
        }
    }

    /// An event loop has a reason to run.
    pub(super) fn wake(&mut self, lane: usize) {
        let delay = self.rng.u64(..50);
        self.run_lane_at(lane, self.now + delay);
    }

    fn run_lane_at(&mut self, lane: usize, at: Micros) {
        let it = &mut self.lanes[lane];
        let at = at.max(it.free_at);
        if it.reactor.is_some() && it.scheduled.is_none_or(|before| before > at) {
            it.scheduled = Some(at);
            self.schedule(at, Event::Turn(lane));
        }
    }

    fn turn(&mut self, lane: usize) {
        let it = &mut self.lanes[lane];
        if it.scheduled != Some(self.now) {
            return;
        }
        it.scheduled = None;
        if it.reactor.is_none() {
            return;
        }
        let is_last = self.step(lane);
        let it = &mut self.lanes[lane];
        let cost =
            if self.rng.u8(..) == 0 { self.rng.u64(..HICCUP) } else { self.rng.u64(10..200) };
        it.free_at = self.now + cost;
        if is_last {
            it.reactor = None;
        } else if let Some(reactor) = &mut it.reactor
            && let Some(pause) = reactor.fall_asleep()
        {
            let pause = pause.as_nanos().div_ceil(1000) as Micros;
            self.run_lane_at(lane, self.now + pause);
        }
    }

    /// A turn of an event loop that has not ended. Whether it was the last.
    pub(super) fn step(&mut self, lane: usize) -> bool {
        let reactor = self.lanes[lane].reactor.as_mut().expect("a loop that runs");
        self.turns += 1;
        assert!(self.turns < TURNS, "the event loop {lane} never sleeps");
        let mut network = self.network.lock().expect("the simulation has one thread");
        network.trace.note("turn", lane, &[]);
        let ready = network.take_readiness(lane);
        drop(network);
        self.shared.lanes[lane].awake();
        for (slot, readiness) in ready {
            reactor.take_readiness(slot as u32, readiness);
        }
        let before = self.before_turn(lane);
        let reactor = self.lanes[lane].reactor.as_mut().expect("a loop that runs");
        let now = time().expect("the simulation runs");
        let is_last = reactor.turn(now, &mut self.arena);
        self.check_turn(lane, &before);
        self.check_queues(lane);
        is_last
    }

    /// When somebody has done something that takes its time.
    fn delayed(&mut self) -> Micros {
        let delay = match self.rng.u8(..8) {
            0 => self.rng.u64(..300 * MILLIS),
            _ => self.rng.u64(..2 * MILLIS),
        };
        self.now + delay
    }

    fn next_asked(&self) -> Option<Asked> {
        self.asked.lock().expect("the simulation has one thread").pop_front()
    }

    /// The directory is asked or told something.
    fn attend_to_name(&mut self, asked: Asked) {
        let at = self.delayed();
        let (claim, reply) = match asked {
            Asked::Claim(claim, reply) => (claim, reply),
            Asked::Release(lease, reply) => return self.schedule(at, Event::Release(lease, reply)),
        };
        let name = claim.name.to_string();
        let verdict = if name == "witness" { u8::MAX } else { self.rng.u8(..40) };
        match verdict {
            0 => {
                // far too late, or never
                self.undecided.insert(name.clone());
                let late = self.now + 20 * SECOND;
                match self.rng.bool() {
                    true => self.schedule(late, Event::Grant(name, reply)),
                    false => self.unanswered.push(reply),
                }
            }
            1 | 2 => self.schedule(at, Event::Refuse(reply)),
            _ => self.schedule(at, Event::Grant(name, reply)),
        }
    }

    /// There is no descriptor for a new connection: one that only waits for its end gives way, as
    /// when accepting fails.
    fn knock(&mut self, id: usize) {
        self.knocks += 1;
        let lingering = |world: &World| {
            let lanes = world.shared.lanes.iter();
            lanes.map(|lane| lane.lingering.load(Ordering::Relaxed)).sum::<usize>()
        };
        let (before, open) = (lingering(self), self.network().open);
        let Some(reactor) = &mut self.lanes[ACCEPTING].reactor else { return };
        let gives_way = reactor.give_way();
        assert_eq!(gives_way, before > 0, "whoever can give way does");
        self.gave_way += usize::from(gives_way);
        assert!(open - self.network().open <= 1, "no more than one has to");
        self.schedule(self.now + 50 * MILLIS, Event::Connect(id));
    }

    fn connect(&mut self, id: usize) {
        if self.clients[id].phase == Phase::Aborted {
            // it does not try any longer
            self.network().wires[self.clients[id].wire].closed = true;
            return;
        }
        if self.network().open >= self.setup.descriptors {
            return self.knock(id);
        }
        let client = &mut self.clients[id];
        (client.phase, client.connected_at) = (Phase::Connected, self.now);
        let (wire, lane, address) = (client.wire, client.lane, client.address);
        match client.kind {
            Kind::WebSocket { has_name_in_url } => {
                let name = client.names[0].clone();
                self.upgrade(id, Origin::new(address), has_name_in_url, &name);
            }
            _ if client.is_proxied => self.accept(wire, lane, PROXY, Entrance::Plain),
            _ => self.accept(wire, lane, address, Entrance::Plain),
        }
        self.say_name(id);
    }

    /// A browser's connection was upgraded. Some of its bytes were read before, and some to it were not sent.
    fn upgrade(&mut self, id: usize, origin: Origin, has_name_in_url: bool, name: &str) {
        let mut origin = origin.framing(Framing::WebSocket);
        let first = if has_name_in_url {
            origin = origin.name(name);
            testing::frame(0x89, b"early")
        } else {
            testing::message(name.as_bytes())
        };
        let (received, rest) = first.split_at(self.rng.usize(..=first.len()));
        if self.rng.bool() {
            // a pong means nothing to the client
            origin = origin.unsent(&b"\x8a\x06unsent"[..]);
        }
        let (wire, lane) = (self.clients[id].wire, self.clients[id].lane);
        self.adopt(wire, lane, origin.received(received.to_vec()));
        self.send(id, rest);
    }

    /// A connection is handed over to an event loop.
    pub(super) fn adopt(&mut self, wire: usize, lane: usize, origin: Origin) {
        let socket = socket::Socket::Simulated(Socket::new(&self.network, wire));
        self.arrive_at(lane, Arrival::of(socket, origin));
    }

    /// A connection comes to an event loop.
    pub(super) fn accept(&mut self, wire: usize, lane: usize, address: IpAddr, entrance: Entrance) {
        let socket = Socket::new(&self.network, wire);
        let mut stream = entrance.stream(socket::Socket::Simulated(socket));
        if self.shared.is_proxy(address) {
            stream.await_origin();
        }
        self.arrive_at(lane, Arrival::new(stream, address));
    }

    fn arrive_at(&mut self, lane: usize, arrival: Arrival) {
        self.shared.lanes[lane].load.fetch_add(1, Ordering::Relaxed);
        let mail = Mail::Accepted(arrival);
        self.shared.lanes[lane].send(mail).expect("a loop that can be woken");
    }

    /// Whether it is over for every client but the witness.
    pub(super) fn all_are_gone(&self) -> bool {
        let network = self.network();
        let is_gone = |client: &Client| {
            let has_closed = client.phase >= Phase::Closed || client.reading == Reading::Never;
            has_closed && network.wires[client.wire].closed
        };
        self.clients[1..].iter().all(is_gone)
    }

    /// Whoever is still there leaves.
    pub(super) fn all_leave(&mut self) {
        for id in 1..self.clients.len() {
            let client = &mut self.clients[id];
            if client.phase == Phase::Waiting {
                client.phase = Phase::Aborted;
            }
            if client.phase > Phase::HalfClosed {
                continue;
            }
            client.acts_left = 0;
            client.ending = match client.reading {
                Reading::Never => Ending::Abort,
                _ => Ending::HalfClose,
            };
            let at = self.now + self.rng.u64(..500 * MILLIS);
            self.schedule(at, Event::Act(id));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        NOW.set(None);
    }
}

fn at(began: Instant, micros: Micros) -> Now {
    let local = crate::hub::LocalTime::new((2026, 11, 20), (14, 3, 7)).expect("a date");
    Now { monotonic: began + Duration::from_micros(micros), local }
}
