//! Clients of a ramp: they register, stay, and send heartbeats. They live in this process, or in one
//! of their own that speaks JSON lines with the one that started it: an [`Order`] a line on its
//! standard input, a [`Tally`] a line on its standard output.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::name::{EVERYONE, SERVER};
use chatproto::{DecodeError, MessageRef, encode};
use mio::{Events, Waker};
use serde::{Deserialize, Serialize};
use shared::failure::{Failure, reason};

use super::connect::End;
use super::latency::Latencies;
use super::net::{Driver, Net};
use super::options::Peer;
use super::report::Failures;

/// Clients that wait for their welcome at a time.
const AT_ONCE: usize = 256;
/// How often it tells how things stand, beside when nobody waits any more.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What clients of a ramp are to be like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) address: SocketAddr,
    /// The WebSocket there, if the clients open one.
    pub(crate) url: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) heartbeat: Duration,
    /// An answer to a heartbeat that takes longer is overdue.
    pub(crate) knee: Duration,
    pub(crate) peer: Peer,
    /// What their names begin with, which no other worker's do.
    pub(crate) prefix: String,
    /// Clients of the workers before this one.
    pub(crate) others: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Add so many clients.
    Add(u64),
    /// Have everybody leave.
    Leave,
    /// End at once: wait for nobody.
    Quit,
}

/// How things stand, and what happened since the last time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Clients that it was told to add, all in all.
    pub(crate) ordered: u64,
    /// Those of them that wait for their turn or their welcome.
    pub(crate) waiting: u64,
    /// Those that are there.
    pub(crate) open: u64,
    pub(crate) failures: Failures,
    /// Heartbeats and their answers, all in all.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// Clients whose heartbeat waits for its answer for longer than the knee.
    pub(crate) overdue: u64,
    /// Since the last time: latencies in ns and how often.
    pub(crate) connects: Vec<(u64, u64)>,
    pub(crate) heartbeats: Vec<(u64, u64)>,
    pub(crate) busy: f64,
    /// Everybody has left but for so many, and this is the last word.
    pub(crate) left: Option<u64>,
}

/// A worker in a thread of this process: where its orders go, and what wakes it.
#[derive(Debug)]
pub(crate) struct Local {
    orders: mpsc::Sender<Order>,
    waker: Arc<Waker>,
}

impl Local {
    pub(crate) fn start(
        setup: Setup,
        tell: impl FnMut(Tally) + Send + 'static,
    ) -> Result<Self, Failure> {
        let herd = Herd::new(setup)?;
        let waker = Arc::new(herd.net.waker()?);
        let (orders, received) = mpsc::channel();
        let run = move || herd.run(&received, tell);
        thread::Builder::new()
            .name("load".to_owned())
            .spawn(run)
            .map_err(|error| Failure::Run(format!("cannot start a thread: {}", reason(&error))))?;
        Ok(Local { orders, waker })
    }

    /// Gives an order; one that has ended takes none.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }
}

/// Runs a worker that was started as a process of its own.
pub(crate) fn run_process() -> Result<(), Failure> {
    let nobody = || Failure::Usage("load worker is started by load ramp, not by hand".to_owned());
    let mut lines = BufReader::new(std::io::stdin()).lines();
    let setup = lines.next().and_then(Result::ok).ok_or_else(nobody)?;
    let setup: Setup = serde_json::from_str(&setup).map_err(|_| nobody())?;
    let (told, tallies) = mpsc::channel();
    let local = Local::start(setup, move |tally| drop(told.send(tally)))?;
    let listen = move || {
        for line in lines.map_while(Result::ok) {
            let Ok(order) = serde_json::from_str(&line) else { break };
            local.order(order);
        }
        // whoever started it is gone, or has said its last word
        local.order(Order::Quit);
    };
    thread::spawn(listen);
    let mut out = std::io::stdout().lock();
    for tally in tallies {
        let line = serde_json::to_string(&tally).expect("a tally has a JSON form");
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() || tally.left.is_some() {
            break;
        }
    }
    Ok(())
}

/// The clients, and what became of them.
struct Herd {
    net: Net,
    setup: Setup,
    kind: PeerKind,
    /// Clients to add when there is room among those that wait.
    to_add: u64,
    ordered: u64,
    leave: bool,
    quit: bool,
    /// When each is to send its next heartbeat.
    beats: BinaryHeap<Reverse<(u64, u32)>>,
    asked: u64,
    flock: Flock,
    told: u64,
    was_waiting: bool,
    /// The share of the time that it was not idle, when it was last measured, and the idle time then.
    busy: f64,
    measured: u64,
    idle: Duration,
}

impl Herd {
    fn new(setup: Setup) -> Result<Self, Failure> {
        let url = setup.url.as_deref().map(shared::options::websocket).transpose();
        let url = url.map_err(Failure::Usage)?;
        let net = Net::new(setup.address, setup.timeout)?.over(url);
        Ok(Herd {
            net: net.beside(setup.others as usize),
            kind: setup.peer.into(),
            setup,
            to_add: 0,
            ordered: 0,
            leave: false,
            quit: false,
            beats: BinaryHeap::new(),
            asked: 0,
            flock: Flock::new(),
            told: 0,
            was_waiting: false,
            busy: 0.0,
            measured: 0,
            idle: Duration::ZERO,
        })
    }

    fn run(mut self, orders: &Receiver<Order>, mut tell: impl FnMut(Tally)) {
        let mut events = Events::with_capacity(4096);
        while !self.leave {
            self.take(orders);
            self.add();
            self.beat();
            let wait = self.wait();
            let turned = self.net.turn(&mut self.flock, &mut events, wait);
            let now = self.net.now();
            // heartbeats of those that came together are spread over the period
            let period = self.setup.heartbeat.as_nanos() as u64;
            for who in self.flock.welcomed.drain(..) {
                self.beats.push(Reverse((now + fastrand::u64(0..=period), who)));
            }
            if let Err(failure) = turned {
                self.flock.failures.note(End::OwnLimit(failure.to_string()), None);
                break;
            }
            let waiting = self.waiting();
            let is_settled = self.was_waiting && waiting == 0;
            if is_settled || now - self.told >= TELL_EVERY.as_nanos() as u64 {
                tell(self.tally());
            }
            self.was_waiting = waiting > 0;
        }
        let last = self.tally();
        let quit = self.quit;
        let is_told_to_quit = || {
            quit || matches!(orders.try_recv(), Ok(Order::Quit) | Err(TryRecvError::Disconnected))
        };
        let left = self.net.close_all(&mut self.flock, is_told_to_quit) as u64;
        tell(Tally { left: Some(left), open: 0, ..last });
    }

    /// Those who wait for their turn or their welcome.
    fn waiting(&self) -> u64 {
        self.to_add + self.net.registering() as u64
    }

    fn take(&mut self, orders: &Receiver<Order>) {
        loop {
            match orders.try_recv() {
                Ok(Order::Add(count)) => {
                    self.to_add += count;
                    self.ordered += count;
                    // who orders nothing is told so, too
                    self.was_waiting = true;
                }
                Ok(Order::Leave) => return self.leave = true,
                Ok(Order::Quit) | Err(TryRecvError::Disconnected) => {
                    (self.leave, self.quit) = (true, true);
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn add(&mut self) {
        while self.to_add > 0 && self.net.registering() < AT_ONCE {
            self.to_add -= 1;
            let name = format!("{}{}", self.setup.prefix, self.flock.pending.len());
            match self.net.add(&name, self.kind) {
                Ok(_) => self.flock.pending.push(0),
                Err(end) => self.flock.failures.note(end, None),
            }
        }
    }

    /// Sends the heartbeats that are due.
    fn beat(&mut self) {
        let now = self.net.now();
        let (period, patience) =
            (self.setup.heartbeat.as_nanos() as u64, self.setup.timeout.as_nanos() as u64);
        while let Some(&Reverse((due, who))) = self.beats.peek()
            && due <= now
        {
            self.beats.pop();
            if !self.net.is_ready(who) {
                continue;
            }
            self.beats.push(Reverse((now + period, who)));
            let pending = &mut self.flock.pending[who as usize];
            if *pending > 0 {
                if now - *pending > patience {
                    *pending = 0;
                    let text = "a heartbeat was not answered in time";
                    self.flock.failures.timed_out += 1;
                    self.flock.failures.first.get_or_insert_with(|| text.to_owned());
                }
                continue;
            }
            *pending = now.max(1);
            self.asked += 1;
            let (name, kind) = (format!("{}{who}", self.setup.prefix), self.kind);
            self.net.say(who, |out| match kind {
                PeerKind::OneRead => encode::python(out, &name, "127.0.0.1", EVERYONE, "heartbeat"),
                PeerKind::Stream => {
                    encode::compact(out, &name, "127.0.0.1", EVERYONE, "heartbeat");
                    out.push(b'\n');
                }
            });
        }
    }

    fn wait(&self) -> Duration {
        let now = self.net.now();
        let told = self.told + TELL_EVERY.as_nanos() as u64;
        let next = self.beats.peek().map_or(told, |Reverse((due, _))| *due.min(&told));
        Duration::from_nanos(next.saturating_sub(now))
    }

    fn tally(&mut self) -> Tally {
        let now = self.net.now();
        self.told = now;
        // of a moment between two batches it would say little
        if now - self.measured >= TELL_EVERY.as_nanos() as u64 {
            let idle = self.net.idle();
            let elapsed = (now - self.measured) as f64 / 1e9;
            self.busy = (1.0 - (idle - self.idle).as_secs_f64() / elapsed).clamp(0.0, 1.0);
            (self.measured, self.idle) = (now, idle);
        }
        let knee = self.setup.knee.as_nanos() as u64;
        let is_overdue = |sent: &&u64| **sent > 0 && now.saturating_sub(**sent) > knee;
        let tally = Tally {
            ordered: self.ordered,
            waiting: self.waiting(),
            open: self.net.open() as u64,
            failures: self.flock.failures.clone(),
            asked: self.asked,
            answered: self.flock.answered,
            overdue: self.flock.pending.iter().filter(is_overdue).count() as u64,
            connects: self.flock.connects.buckets().collect(),
            heartbeats: self.flock.heartbeats.buckets().collect(),
            busy: self.busy,
            left: None,
        };
        self.flock.connects.clear();
        self.flock.heartbeats.clear();
        tally
    }
}

/// What the event loop changes of the clients.
struct Flock {
    /// When each has sent the heartbeat that is not answered, or 0.
    pending: Vec<u64>,
    /// In this turn.
    welcomed: Vec<u32>,
    failures: Failures,
    answered: u64,
    connects: Latencies,
    heartbeats: Latencies,
}

impl Flock {
    fn new() -> Self {
        Flock {
            pending: Vec::new(),
            welcomed: Vec::new(),
            failures: Failures::default(),
            answered: 0,
            connects: Latencies::new(),
            heartbeats: Latencies::new(),
        }
    }
}

impl Driver for Flock {
    fn welcomed(&mut self, _: &mut Net, who: u32, took: Duration) {
        self.connects.record(took.as_nanos() as u64);
        self.welcomed.push(who);
    }

    fn ended(&mut self, _: &mut Net, who: u32, end: End) {
        self.pending[who as usize] = 0;
        self.failures.note(end, None);
    }

    fn message(&mut self, _: &mut Net, who: u32, message: &MessageRef<'_>, now: u64) {
        // what SERVER says to this user and not to all is the answer
        if !message.name.is(SERVER) || message.to.is(EVERYONE) {
            return;
        }
        let sent = std::mem::take(&mut self.pending[who as usize]);
        if sent > 0 {
            self.answered += 1;
            self.heartbeats.record((now - sent).max(1));
        }
    }

    fn unreadable(&mut self, _: &mut Net, _: u32, _: Option<DecodeError>) {}
}
