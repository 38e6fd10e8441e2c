//! What must be true of a run: while it goes on, when everybody has left, and of all that the
//! clients have heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::hub::ConnId;
use crate::limits::Limits;
use crate::websocket::End;

use super::super::FLUSH;
use super::super::conn::Conn;
use super::super::ready::{Class, Share};
use super::super::simulation;
use super::super::stream::Stream;
use super::client::{
    Act, Client, EVERYONE, Ending, Heard, Kind, LONG, Phase, Reading, Scope, Target,
};
use super::world::{HICCUP, MILLIS, Micros, SECOND, WITNESS, World};

/// A queue may exceed its limit by an object that was begun, a notice and the last words.
const QUEUE_SLACK: usize = 8 * 1024;

/// All queues together may exceed their limit by what one turn makes before it looks.
const BATCH: usize = 96 * 1024;
/// What a delivery costs beside its bytes, and the longest object.
const DELIVERY: u64 = 256;
const LONGEST: u64 = 4 * 1024;

/// Heavy users that a turn serves at most, and one more for so many light users.
const HEAVY_MOST: usize = 2;
const LIGHT_PER_HEAVY: usize = 16;

/// A loop before a turn: the work that it has done, connections that leave, effects that are done, and
/// what each connection is like.
#[derive(Default)]
pub(super) struct Before {
    work: u64,
    leaving: usize,
    completed: usize,
    conns: Vec<(ConnId, Seen)>,
}

struct Seen {
    class: Class,
    share: Share,
    /// Bytes of the peer's that the loop may read.
    unread: usize,
}

/// Messages to one scope in the order in which the server took them: who sent each, its number, and
/// when the witness heard it.
type Order = Vec<(usize, usize, Micros)>;

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    clients: usize,
    users: usize,
    /// Those of them that connect through the proxy.
    proxied: usize,
    heard: usize,
    /// Messages to all, or to a room.
    broadcasts: usize,
    missed: u64,
    too_slow: usize,
    kicked: usize,
    timed_out: usize,
    aborted: usize,
    refused_writes: usize,
    /// The server was full.
    full: usize,
    /// Knocked when the system had no room.
    knocks: usize,
    /// Gave way to another one.
    gave_way: usize,
    turns: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.clients += other.clients;
        self.users += other.users;
        self.proxied += other.proxied;
        self.heard += other.heard;
        self.broadcasts += other.broadcasts;
        self.missed += other.missed;
        self.too_slow += other.too_slow;
        self.kicked += other.kicked;
        self.timed_out += other.timed_out;
        self.aborted += other.aborted;
        self.refused_writes += other.refused_writes;
        self.full += other.full;
        self.knocks += other.knocks;
        self.gave_way += other.gave_way;
        self.turns += other.turns;
    }

    pub(super) fn check_that_much_happened(&self) {
        assert!(self.proxied * 8 > self.users, "many users connect through the proxy");
        assert!(self.users * 2 > self.clients, "most become users");
        assert!(self.heard > 10 * self.users, "they talk");
        assert!(self.broadcasts > self.users, "to many");
        let seldom = [self.too_slow, self.kicked, self.timed_out, self.aborted];
        assert!(seldom.iter().all(|&count| count > 0), "{seldom:?}");
        assert!(self.missed > 0 && self.refused_writes > 0, "queues are full");
        assert!(self.full > 0 && self.knocks > 0 && self.gave_way > 0, "there is no room");
    }
}

// while it goes on

impl World {
    /// What the connections of a loop are like before a turn.
    pub(super) fn before_turn(&self, lane: usize) -> Before {
        let Some(reactor) = &self.lanes[lane].reactor else { return Before::default() };
        let round = reactor.ready.round();
        let seen = |conn: &Conn| {
            let class = conn.class(round);
            // a user that has used up its share stays among the heavy users until its next turn
            let is_heavy = reactor.ready.has_heavy(conn.protocol.id);
            let may_be_read = conn.protocol.wants_input() && !conn.has_yielded && !is_heavy;
            let unread = if may_be_read { conn.stream.unread() } else { 0 };
            (conn.protocol.id, Seen { class, share: conn.share, unread })
        };
        let conns = reactor.conns.iter().flatten().map(seen).collect();
        let leaving = reactor.gone.len() + reactor.failed.len() + reactor.overdue.len();
        let completed = reactor.completed.len() + self.shared.lanes[lane].len();
        Before { work: reactor.out.work(), leaving, completed, conns }
    }

    /// After a turn of a loop: it did no more work than a share and a request for each connection that it
    /// served, and served each light user that had sent something, but few heavy users. A message of a
    /// light user thus waits for one turn, and for no more work than that, whatever others ask for.
    pub(super) fn check_turn(&self, lane: usize, before: &Before) {
        let Some(reactor) = &self.lanes[lane].reactor else { return };
        let round = reactor.ready.round();
        let (mut light, mut heavy, mut other) = (0, 0, before.leaving);
        for (id, seen) in &before.conns {
            let conn = reactor.conns.get(id.slot()).and_then(Option::as_ref);
            let Some(conn) = conn.filter(|conn| conn.protocol.id == *id) else {
                other += 1;
                continue;
            };
            let is_served = conn.share != seen.share;
            match seen.class {
                Class::Light => light += usize::from(is_served),
                Class::Heavy => heavy += usize::from(is_served),
                Class::Other => other += usize::from(is_served),
            }
            let is_light = seen.class == Class::Light && conn.class(round) == Class::Light;
            if is_light && seen.unread > 0 && conn.protocol.wants_input() {
                let unread = conn.stream.unread();
                assert!(unread < seen.unread, "{id:?} is light, and was not read in a turn");
            }
        }
        let most_heavy = HEAVY_MOST + light.div_ceil(LIGHT_PER_HEAVY) + before.completed;
        assert!(heavy <= most_heavy, "{heavy} heavy users in a turn beside {light} light ones");
        if self.shared.is_stopping() {
            // one turn says goodbye to everybody
            return;
        }
        let online = self.shared.hub().online() as u64;
        // the most expensive request tells all one's rooms, and everybody, that one's name is another
        let request = (EVERYONE as u64 + 1) * (online + 1) * (DELIVERY + LONGEST);
        let served = (light + heavy + other) as u64 + 1;
        let (most, work) =
            (served * (self.setup.quantum + request), reactor.out.work() - before.work);
        assert!(work <= most, "the loop {lane} did {work} units of work in a turn, and not {most}");
    }

    /// After a turn of a loop: no queue is longer than it may be, and whatever is queued waits for
    /// something.
    pub(super) fn check_queues(&self, lane: usize) {
        let Some(reactor) = &self.lanes[lane].reactor else { return };
        let most = self.setup.limits.queue_bytes + QUEUE_SLACK;
        for conn in reactor.conns.iter().flatten() {
            let is_refused = conn.protocol.outbox.is_refused() && conn.stream.is_refusing();
            let has_control = conn.protocol.has_control() && !conn.is_dirty;
            assert!(!has_control || is_refused, "a control frame waits for nothing");
            if conn.protocol.outbox.is_empty() || conn.is_dirty {
                continue;
            }
            // the rest of a long answer is beside it, and has a bound of its own
            let held = conn.protocol.outbox.held();
            assert!(
                held <= self.setup.limits.queue_bytes / 4 + QUEUE_SLACK,
                "{held} bytes are held"
            );
            let length = conn.protocol.outbox.len() - held;
            assert!(length <= most, "{length} bytes are queued for {:?}", conn.protocol.id);
            let is_produced =
                conn.protocol.is_answering() && (conn.is_ready || conn.protocol.awaits_effect());
            let waits = is_refused
                || conn.is_paced
                || conn.protocol.is_lingering()
                || is_produced
                || conn.stream.awaits_origin();
            assert!(waits, "what is queued for {:?} waits for nothing", conn.protocol.id);
        }
        let (used, total) = (self.shared.queues.used(), self.setup.limits.queue_total);
        assert!(used <= total + BATCH, "{used} bytes are queued for all");
        if self.turns.is_multiple_of(16) {
            let hub = self.shared.hub();
            let names: BTreeSet<&str> = hub.users().collect();
            assert_eq!(names.len(), hub.online(), "a name is had by two");
            hub.check_counters();
        }
    }
}

// the end

impl World {
    /// All but the witness have left: nothing is left of them, and then nothing at all.
    pub(super) fn leave_nothing(&mut self) {
        self.run_until(|world| !world.has_completions() && world.shared.hub().connections() == 1);
        for room in 0..EVERYONE {
            self.perform(WITNESS, Act::Leave(room));
        }
        self.perform(WITNESS, Act::Rooms);
        self.perform(WITNESS, Act::List);
        self.run_until(|world| {
            let witness = &world.clients[WITNESS];
            witness.fenced == witness.done.len()
        });
        let [.., rooms, list] = &self.clients[WITNESS].done[..] else { panic!("two answers") };
        assert!(rooms.answers[0].starts_with("There are no rooms."), "{rooms:?}");
        assert!(list.answers[0].starts_with("No other users are connected."), "{list:?}");
        self.clients[WITNESS].ending = Ending::HalfClose;
        self.act(WITNESS);
        self.run_until(|world| world.network().wires[WITNESS].closed);
        // and what was to happen later has nothing to happen to
        self.run_to(self.now + 20 * SECOND);
        let hub = self.shared.hub();
        assert_eq!((hub.connections(), hub.online(), hub.poll_timeout()), (0, 0, None));
        assert_eq!(self.shared.queues.used(), 0, "bytes are counted that are not there");
        assert_eq!(self.shared.input(), 0, "input is counted that is not there");
        assert!(self.granted.is_empty(), "names are held for nobody: {:?}", self.granted);
        for (lane, mailbox) in self.lanes.iter().zip(&self.shared.lanes) {
            assert_eq!(mailbox.load.load(std::sync::atomic::Ordering::Relaxed), 0);
            let Some(reactor) = &lane.reactor else { panic!("a loop has ended") };
            assert!(reactor.open == 0 && reactor.conns.iter().all(Option::is_none));
            assert!(reactor.ready.is_empty() && reactor.dirty.is_empty());
            assert!(reactor.late.is_empty() && reactor.pressing.is_empty());
            assert_eq!(reactor.timers.next(), None);
        }
    }

    /// The server is stopped, and every loop ends in time.
    pub(super) fn stop(&mut self) {
        let now = self.now;
        for client in &mut self.clients {
            client.may_end_from.get_or_insert(now);
        }
        self.shared.stop();
        self.follow_up();
        self.run_until(|world| world.lanes.iter().all(|lane| lane.reactor.is_none()));
        let most = micros(FLUSH) + 4 * HICCUP;
        assert!(self.now - now <= most, "the server ends after {} ms", (self.now - now) / MILLIS);
        // the clients read what is left
        self.run_to(self.now + 30 * SECOND);
        assert_eq!(self.shared.queues.used(), 0, "bytes are counted that are not there");
    }
}

// what was heard

impl World {
    pub(super) fn check(&mut self) -> Tally {
        self.take_kicks_into_account();
        let orders = self.orders();
        let mut heard_by = BTreeMap::new();
        for client in &self.clients {
            for (_, heard) in &client.heard {
                if let Heard::Message { sender, number } = *heard {
                    *heard_by.entry((sender, number)).or_insert(0) += 1;
                }
            }
        }
        for (id, client) in self.clients.iter().enumerate() {
            self.check_client(id, client);
            for (scope, order) in orders.iter().enumerate() {
                self.check_order(id, client, scope, order);
            }
            self.check_outcomes(id, client, &orders, &heard_by);
        }
        self.check_private(&heard_by);
        self.tally(&orders)
    }

    /// Whoever is kicked under a name may be anybody who ever wanted it.
    fn take_kicks_into_account(&mut self) {
        let mut kicks: BTreeMap<String, Micros> = BTreeMap::new();
        for done in self.clients.iter().flat_map(|client| &client.done) {
            if let Act::Kick(name) = &done.act {
                let first = kicks.entry(name.clone()).or_insert(done.at);
                *first = done.at.min(*first);
            }
        }
        for client in &mut self.clients {
            let kicks = client.names.iter().filter_map(|name| kicks.get(name).copied());
            client.may_end_from = kicks.chain(client.may_end_from).min();
        }
    }

    /// The messages to each scope, as the witness heard them.
    fn orders(&self) -> Vec<Order> {
        let mut orders = vec![Order::new(); EVERYONE + 1];
        let witness = &self.clients[WITNESS];
        assert!(witness.is_whole(), "the witness did not hear everything");
        let mut all = BTreeSet::new();
        for (at, heard) in &witness.heard {
            let Heard::Message { sender, number } = *heard else { continue };
            assert!(all.insert((sender, number)), "{sender}.{number} was heard twice");
            if let Target::Scope(scope) = self.clients[sender].sent[number].target {
                orders[scope].push((sender, number, *at));
            }
        }
        orders
    }

    /// One connection by itself.
    fn check_client(&self, id: usize, client: &Client) {
        if id != WITNESS && client.connected_at == 0 {
            // there was never room for it
            return;
        }
        let is_prompt = client.reading == Reading::Prompt;
        let is_named = client.says_a_name();
        let is_bounded = self.setup.limits.connections < usize::MAX;
        let was_hasty = self.network().wires[client.wire].was_hasty;
        assert!(!was_hasty || self.setup.is_stopped, "client {id} is reset by its last words");
        if is_turned_away(client) {
            let text = &client.farewell.as_ref().expect("the reason").1;
            assert!(is_bounded, "client {id} was told {text:?}");
            return;
        }
        if is_prompt && matches!(client.kind, Kind::Stream | Kind::WebSocket { .. }) {
            // where all queues together may hold little, those of connections that end are cut first, and the
            // farewell states the count
            let is_cut_first = client.may_end_from.is_some()
                && self.setup.limits.queue_total < Limits::default().queue_total
                && client.farewell.as_ref().is_some_and(|(_, text)| text.contains("not delivered"));
            let may_miss = is_cut_first || client.missed == 0;
            assert!(may_miss, "client {id} reads all the time, and missed something");
        }
        if is_prompt && client.phase == Phase::Closed {
            // (who gives way may still be sending)
            let gives_way = self.knocks > 0 || is_bounded;
            assert!(
                !client.was_broken || gives_way,
                "client {id} was reset, and read all the time"
            );
            let is_cut = client.was_cut && !client.is_one_read() && !self.setup.is_stopped;
            assert!(!is_cut, "client {id} was cut off, and read all the time");
        }
        if let Kind::Stranger(stranger) = client.kind
            && client.is_whole()
        {
            // (a full server takes nobody for a stranger)
            let is_full = is_bounded && String::from_utf8_lossy(&client.bytes).contains(FULL);
            assert!(is_full || client.bytes == stranger.answer(), "client {id} is a stranger");
        }
        if client.is_websocket() && client.has_read_all() && !self.setup.is_stopped {
            let end = client.unframer.end();
            assert!(matches!(end, Some(End::Closed(Some(_)))), "client {id} got no close frame");
        }
        if let (Kind::BadName(name), true) = (client.kind, client.is_whole()) {
            let farewell = client.farewell.as_ref().map(|(_, text)| &**text);
            let is_refused = farewell.is_some_and(|text| text.starts_with("\u{26d4} Error: "));
            assert!(is_refused, "{name:?} was answered {farewell:?}");
        }
        if is_prompt {
            self.check_deadline(id, client);
        }
        // everything that came before the end of file is answered
        let is_answered = client.phase == Phase::Closed
            && client.ending == Ending::HalfClose
            && client.farewell.is_none();
        // (unless it asked for a name about which nobody decided in time)
        let waits = client.names[1..].iter().any(|name| self.undecided.contains(name));
        if is_named && is_answered && client.is_whole() && !waits {
            assert_eq!(client.fenced, client.done.len(), "client {id} was not answered");
        }
        if is_prompt && client.is_one_read() {
            let gap = micros(self.setup.limits.one_read_gap);
            let network = self.network();
            let times = network.wires[client.wire].writes.windows(2);
            let is_spaced = times.into_iter().all(|pair| pair[1].0 - pair[0].0 >= gap);
            assert!(is_spaced, "client {id} was written to too often");
        }
    }

    /// Whoever is no user in time is told so, at that time.
    fn check_deadline(&self, id: usize, client: &Client) {
        let due = client.connected_at + micros(self.setup.limits.registration);
        if let Some((at, _)) = client.heard.first() {
            assert!(*at < due + 100 * MILLIS, "client {id} became a user when it was too late");
        }
        if let Some((at, text)) = &client.farewell
            && text.contains(" within ")
        {
            let late = at.saturating_sub(due);
            assert!(*at >= due && late < 100 * MILLIS, "client {id}: {text}, {late} \u{b5}s late");
        } else if matches!(client.kind, Kind::Nameless(_)) {
            let ended = client.may_end_from.is_some_and(|at| at < due + 100 * MILLIS);
            assert!(ended, "client {id} has no name, and was not told to go");
        }
    }

    /// Whether an object of that size can be sent to it.
    fn fits(&self, client: &Client, sender: usize, number: usize) -> bool {
        let is_long = self.clients[sender].sent[number].padding == LONG;
        !is_long || !(client.is_one_read() || client.kind == Kind::LateLineFeed)
    }

    /// A client hears what is said to a scope in the order of the witness, each message once, and
    /// all of it while it is in it.
    fn check_order(&self, id: usize, client: &Client, scope: Scope, order: &Order) {
        let places: BTreeMap<(usize, usize), usize> = order
            .iter()
            .enumerate()
            .map(|(place, &(sender, number, _))| ((sender, number), place))
            .collect();
        let mut ear = Ear { world: self, id, order, next: 0, since: None, has_heard: false };
        let mut missing = 0;
        for (at, heard) in &client.heard {
            match *heard {
                Heard::Joined(joined) if joined == scope => {
                    (ear.since, ear.has_heard) = (Some(*at), false);
                }
                Heard::Left(left, asked_at) if left == scope => {
                    missing += ear.missing_until(order.len(), asked_at);
                    ear.since = None;
                }
                Heard::Message { sender, number }
                    if self.clients[sender].sent[number].target == Target::Scope(scope) =>
                {
                    let place = places.get(&(sender, number)).copied();
                    let place =
                        place.unwrap_or_else(|| panic!("only {id} heard {sender}.{number}"));
                    assert!(
                        place >= ear.next,
                        "client {id} heard {sender}.{number} late, or twice"
                    );
                    // (what it missed may have been that it is in)
                    assert!(ear.since.is_some() || client.missed > 0, "{id} is not in {scope}");
                    missing += ear.missing_until(place, Micros::MAX);
                    (ear.next, ear.has_heard) = (place + 1, true);
                }
                _ => {}
            }
        }
        let told = client.farewell.as_ref().map_or(Micros::MAX, |&(at, _)| at);
        let last = client.may_end_from.unwrap_or(Micros::MAX).min(told);
        let at_the_end = ear.missing_until(order.len(), last);
        // (whoever was too slow does not know how much was still for it)
        let counts = client.missed == 0 || client.farewell.is_none();
        if counts && client.has_read_all() {
            missing += at_the_end;
        }
        // of a gap in what it has read, it was told
        if client.missed == 0 || client.has_read_all() {
            assert!(missing as u64 <= client.missed, "{id} does not hear {missing} of {scope}");
        }
    }

    /// What a sender was told is what happened.
    fn check_outcomes(
        &self,
        id: usize,
        client: &Client,
        orders: &[Order],
        heard_by: &BTreeMap<(usize, usize), usize>,
    ) {
        let lossy = self.clients.iter().filter(|client| !client.is_whole()).count();
        // nobody knows what askers hear
        let lossy = lossy + self.askers.len();
        for done in &client.done {
            let scope = match done.act {
                Act::Say(room, _) => room,
                Act::Shout => EVERYONE,
                _ => continue,
            };
            let is_of_it =
                |sender: usize, number: usize| sender == id && done.messages.contains(&number);
            let taken =
                orders[scope].iter().filter(|&&(sender, number, _)| is_of_it(sender, number));
            let taken = taken.count();
            if let Some(refused) = done.refused() {
                assert_eq!(taken + refused, done.messages.len(), "client {id}: {done:?}");
            }
            if let Some(told) = done.answers.first().and_then(|answer| delivered(answer)) {
                let heard = heard_by.get(&(id, done.messages.start)).copied().unwrap_or(0);
                assert!(heard <= told, "client {id}: {heard} heard {done:?}");
                assert!(heard + lossy >= told, "client {id}: only {heard} heard {done:?}");
            }
        }
    }

    /// What is sent to one user is heard by one, once, or its sender was told that it is not.
    fn check_private(&self, heard_by: &BTreeMap<(usize, usize), usize>) {
        // by name: at least, at most, heard
        let mut names: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
        for (id, client) in self.clients.iter().enumerate() {
            for done in &client.done {
                let Act::Write(name, _) = &done.act else { continue };
                let count = names.entry(name).or_default();
                let most = done.messages.len() - done.refused().unwrap_or(0);
                count.0 += if done.is_fenced { most } else { 0 };
                count.1 += most;
                for number in done.messages.clone() {
                    let heard = heard_by.get(&(id, number)).copied().unwrap_or(0);
                    assert!(heard <= 1, "{id}.{number} to {name} was heard by {heard}");
                    count.2 += heard;
                }
            }
        }
        for (name, (least, most, heard)) in names {
            let lost: Option<u64> = self
                .clients
                .iter()
                .filter(|client| client.names.iter().any(|known| known == name))
                .map(|client| client.has_read_all().then_some(client.missed))
                .sum();
            assert!(heard <= most, "{heard} of {most} messages to {name} were heard");
            if let Some(lost) = lost {
                let missing = least.saturating_sub(heard) as u64;
                assert!(missing <= lost, "{missing} of {least} messages to {name} are missing");
            }
        }
    }

    fn tally(&self, orders: &[Order]) -> Tally {
        let count = |is_such: &dyn Fn(&Client) -> bool| {
            self.clients.iter().filter(|client| is_such(client)).count()
        };
        let farewell = |client: &Client, text: &str| {
            client.farewell.as_ref().is_some_and(|(_, said)| said.contains(text))
        };
        let network = self.network();
        Tally {
            clients: self.clients.len(),
            users: count(&|client| client.name.is_some()),
            proxied: count(&|client| client.name.is_some() && client.is_proxied),
            heard: self.clients.iter().map(|client| client.heard.len()).sum(),
            broadcasts: orders.iter().map(Vec::len).sum(),
            missed: self.clients.iter().map(|client| client.missed).sum(),
            too_slow: count(&|client| farewell(client, "did not read fast enough")),
            kicked: count(&|client| farewell(client, "You were kicked")),
            timed_out: count(&|client| farewell(client, " within ")),
            aborted: count(&|client| client.phase == Phase::Aborted),
            refused_writes: network.wires.iter().filter(|wire| wire.was_refused).count(),
            full: count(&is_turned_away),
            knocks: self.knocks,
            gave_way: self.gave_way,
            turns: self.turns,
        }
    }
}

impl Stream {
    /// Whether the network takes nothing, or has not told yet that it does again.
    fn is_refusing(&self) -> bool {
        self.simulated().is_some_and(simulation::Socket::is_refusing)
    }

    /// How many bytes of the peer's were not read yet.
    fn unread(&self) -> usize {
        self.simulated().map_or(0, simulation::Socket::unread)
    }
}

/// How far a client has heard what was said to a scope.
struct Ear<'a> {
    world: &'a World,
    id: usize,
    order: &'a Order,
    /// Everything before this place was heard, or counted as missing.
    next: usize,
    /// Since when it is in, as far as it knows, and whether it has heard something since.
    since: Option<Micros>,
    has_heard: bool,
}

impl Ear<'_> {
    /// How much it should have heard before that place which the witness heard before that time.
    fn missing_until(&self, place: usize, time: Micros) -> usize {
        let Some(since) = self.since else { return 0 };
        let is_missing = |&&(sender, number, heard_at): &&(usize, usize, Micros)| {
            let was_in = self.has_heard || self.world.clients[sender].sent[number].at > since;
            let fits = self.world.fits(&self.world.clients[self.id], sender, number);
            sender != self.id && was_in && fits && heard_at < time
        };
        self.order[self.next..place].iter().filter(is_missing).count()
    }
}

const FULL: &str = "the server is full.";

/// Whether there was no room for it.
fn is_turned_away(client: &Client) -> bool {
    client.farewell.as_ref().is_some_and(|(_, text)| text.contains(FULL))
}

/// To how many users a shout went.
fn delivered(answer: &str) -> Option<usize> {
    answer.strip_prefix("Delivered to ")?.split_once(' ')?.0.parse().ok()
}

pub(super) fn micros(duration: Duration) -> Micros {
    duration.as_micros() as Micros
}
