//! The load: one thread that keeps all connections of a run busy, and counts what is delivered.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::connection::Connection;
use crate::options::Timing;
use crate::payload::UNTIMED;
use crate::process::Running;
use crate::protocol::{Role, To, chat_message};
use crate::sample::{Latencies, Metric, Sample};
use crate::servers::Kind;
use crate::work::{Aside, Flow, Load};

/// A run without a delivery for so long has failed.
const STALL: Duration = Duration::from_secs(10);
/// How long the last messages of a run may take.
const DRAIN: Duration = Duration::from_secs(2);
/// How long idle connections are idle before the server's memory is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// Puts the load on the server and measures it.
pub(crate) fn run(
    load: &Load,
    kind: Kind,
    server: &Running,
    timing: Timing,
) -> Result<Sample, String> {
    if let Flow::Idle { connections } = load.flow {
        return run_idle(connections, kind, server);
    }
    let mut generator = Generator::new(load, kind, server)?;
    generator.begin();
    generator.run_for(timing.warm_up)?;
    let (began, cpu, delivered) = (Instant::now(), server.cpu()?, generator.delivered);
    generator.latencies.clear();
    generator.run_for(timing.measured)?;
    let (elapsed, cpu) = (began.elapsed(), server.cpu()?.saturating_sub(cpu));
    let delivered = (generator.delivered - delivered) as f64;
    let mut metrics = BTreeMap::from([
        (Metric::Cpu, cpu.as_secs_f64() * 1e6 / delivered),
        (Metric::Rate, delivered / elapsed.as_secs_f64()),
    ]);
    for (metric, part) in [(Metric::P50, 0.5), (Metric::P99, 0.99), (Metric::P999, 0.999)] {
        metrics.extend(generator.latencies.quantile(part).map(|value| (metric, value)));
    }
    Ok(Sample { metrics, lost: generator.drain()? })
}

/// Connections that register one after the other, and then do nothing.
fn run_idle(connections: usize, kind: Kind, server: &Running) -> Result<Sample, String> {
    let (memory, cpu) = (server.memory()?, server.cpu()?);
    let open = |user| Connection::open(kind, server.address, (user, Role::Both, false));
    let open = (0..connections).map(open).collect::<Result<Vec<_>, _>>()?;
    let cpu = server.cpu()?.saturating_sub(cpu);
    thread::sleep(SETTLE);
    let memory = server.memory()?.saturating_sub(memory) as f64;
    let count = open.len() as f64;
    let metrics = BTreeMap::from([
        (Metric::Memory, memory / count),
        (Metric::Accept, cpu.as_secs_f64() * 1e6 / count),
    ]);
    Ok(Sample { metrics, lost: 0 })
}

struct Generator {
    poll: Poll,
    connections: Vec<Connection>,
    flow: Flow,
    /// Those that take part in the flow by speaking.
    speakers: Vec<usize>,
    /// Connections with something to write.
    dirty: Vec<usize>,
    /// Receivers of one message of the flow.
    receivers: u64,
    /// Messages of the flow so far, and deliveries that all messages so far must lead to.
    sent: u64,
    expected: u64,
    delivered: u64,
    /// Messages that are said aside, and how many receivers each of them has.
    aside: Option<(Aside, u64)>,
    sent_aside: u64,
    latencies: Latencies,
    began: Instant,
    last_delivery: Instant,
    /// What is delivered leads to new messages.
    goes_on: bool,
    buffer: Vec<u8>,
}

impl Generator {
    fn new(load: &Load, kind: Kind, server: &Running) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| format!("cannot make an event loop: {error}."))?;
        let (mut connections, mut speakers, mut receivers) = (Vec::new(), Vec::new(), 1);
        let mut open = |role, everybody| {
            let user = connections.len();
            let opened = Connection::open(kind, server.address, (user, role, everybody))?;
            connections.push(opened);
            Ok::<usize, String>(user)
        };
        match load.flow {
            Flow::Idle { .. } => {}
            Flow::Fanout { receivers: count, .. } => {
                receivers = count as u64;
                speakers.push(open(Role::Speaker, true)?);
                for _ in 0..count {
                    open(Role::Listener, true)?;
                }
            }
            Flow::Pairs { connections: count, .. }
            | Flow::Turns { connections: count, .. }
            | Flow::Paced { connections: count, .. } => {
                for user in 0..count {
                    let role = match user % 2 {
                        _ if kind.speaks_both_ways() => Role::Both,
                        0 => Role::Speaker,
                        _ => Role::Listener,
                    };
                    let user = open(role, false)?;
                    if role != Role::Listener {
                        speakers.push(user);
                    }
                }
            }
        }
        let (mut stalled, mut aside) = (0..0, None);
        if let Some(also) = load.aside {
            // the users, and one more who speaks
            (0..=also.users).try_for_each(|_| open(Role::Both, false).map(drop))?;
            let in_flow = load.flow.connections();
            if also.are_stalled {
                stalled = in_flow..in_flow + also.users;
            }
            let readers = in_flow + also.users - stalled.len();
            aside = Some((also, if also.command == "/shout" { readers as u64 } else { 0 }));
        }
        for &user in &speakers {
            let to = match load.flow {
                Flow::Fanout { .. } => To::Everybody,
                _ => To::User(user ^ 1),
            };
            connections[user].message = Some(kind.message(user, to, load.payload));
        }
        if let (Some((aside, _)), Some(user)) = (&aside, connections.len().checked_sub(1)) {
            connections[user].message = Some(chat_message(user, aside.command, aside.payload));
        }
        for (at, connection) in connections.iter_mut().enumerate() {
            if stalled.contains(&at) {
                connection.shrink()?;
            } else {
                connection.register(poll.registry(), at)?;
            }
        }
        let now = Instant::now();
        Ok(Generator {
            poll,
            connections,
            flow: load.flow,
            speakers,
            dirty: Vec::new(),
            receivers,
            sent: 0,
            expected: 0,
            delivered: 0,
            aside,
            sent_aside: 0,
            latencies: Latencies::new(),
            began: now,
            last_delivery: now,
            goes_on: true,
            buffer: vec![0; 64 * 1024],
        })
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Sends what is to be in flight.
    fn begin(&mut self) {
        let now = self.now();
        match self.flow {
            Flow::Pairs { in_flight, .. } => {
                for speaker in 0..self.speakers.len() {
                    (0..in_flight).for_each(|_| self.say(self.speakers[speaker], now));
                }
            }
            Flow::Turns { in_flight, .. } => (0..in_flight).for_each(|_| self.say_next(now)),
            Flow::Fanout { in_flight, .. } => (0..in_flight).for_each(|_| self.say_next(now)),
            Flow::Paced { .. } | Flow::Idle { .. } => {}
        }
    }

    /// A connection says the message that it has.
    fn say(&mut self, at: usize, stamp: u64) {
        self.connections[at].say(stamp);
        self.sent += 1;
        self.expected += self.receivers;
        self.make_dirty(at);
    }

    /// The next of the speakers, in turn, says its message.
    fn say_next(&mut self, stamp: u64) {
        let turn = self.sent % self.speakers.len() as u64;
        self.say(self.speakers[turn as usize], stamp);
    }

    fn make_dirty(&mut self, at: usize) {
        if !std::mem::replace(&mut self.connections[at].is_dirty, true) {
            self.dirty.push(at);
        }
    }

    fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let (end, mut events) = (Instant::now() + time, Events::with_capacity(4096));
        while Instant::now() < end {
            self.turn(&mut events)?;
            if self.last_delivery.elapsed() > STALL {
                let seconds = STALL.as_secs();
                return Err(format!("nothing was delivered for {seconds} seconds."));
            }
        }
        Ok(())
    }

    /// Sends nothing new, and waits for what is on its way. Returns how much of it never came.
    fn drain(mut self) -> Result<u64, String> {
        self.goes_on = false;
        self.last_delivery = Instant::now();
        let mut events = Events::with_capacity(4096);
        while self.delivered < self.expected && self.last_delivery.elapsed() < DRAIN {
            self.turn(&mut events)?;
        }
        if self.delivered > self.expected {
            return Err("the server delivered more messages than it was sent.".to_owned());
        }
        Ok(self.expected - self.delivered)
    }

    /// One turn: what is due, what has come, what follows from it, and one write for each.
    fn turn(&mut self, events: &mut Events) -> Result<(), String> {
        if self.goes_on {
            self.say_what_is_due();
        }
        self.write()?;
        let is_timed = matches!(self.flow, Flow::Paced { .. });
        let wait = if is_timed { Duration::ZERO } else { Duration::from_millis(100) };
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(format!("the generator cannot wait: {error}."));
            }
            _ => {}
        }
        for event in &*events {
            let Token(at) = event.token();
            if event.is_readable() || event.is_read_closed() {
                self.read(at)?;
            }
            if event.is_writable() {
                self.make_dirty(at);
            }
        }
        Ok(())
    }

    fn say_what_is_due(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        if let Flow::Paced { per_second, .. } = self.flow {
            while (self.sent as f64) < seconds * f64::from(per_second) {
                // stamped with the time that it is due, whenever it is sent
                self.say_next((self.sent as f64 / f64::from(per_second) * 1e9) as u64);
            }
        }
        if let Some((aside, receivers)) = self.aside {
            while (self.sent_aside as f64) < seconds * f64::from(aside.per_second) {
                let at = self.connections.len() - 1;
                self.connections[at].say(UNTIMED);
                self.make_dirty(at);
                self.sent_aside += 1;
                self.expected += receivers;
            }
        }
    }

    fn read(&mut self, at: usize) -> Result<(), String> {
        let mut has_more = true;
        while has_more {
            let mut buffer = std::mem::take(&mut self.buffer);
            let (mut count, now) = (0, self.now());
            let latencies = &mut self.latencies;
            let read = self.connections[at].read(&mut buffer, |stamp| {
                count += 1;
                if stamp != UNTIMED {
                    latencies.record(now.saturating_sub(stamp));
                }
            });
            self.buffer = buffer;
            has_more = read?;
            if count > 0 {
                self.delivered += count;
                self.last_delivery = Instant::now();
            }
            if self.goes_on {
                self.follow(at, count, now);
            }
        }
        Ok(())
    }

    /// So many messages came to a connection: what is in flight is brought up to its number.
    fn follow(&mut self, at: usize, count: u64, now: u64) {
        match self.flow {
            Flow::Pairs { .. } => (0..count).for_each(|_| self.say(at ^ 1, now)),
            Flow::Turns { .. } => (0..count).for_each(|_| self.say_next(now)),
            Flow::Fanout { in_flight, .. } => {
                while self.sent < in_flight as u64 + self.delivered / self.receivers {
                    self.say_next(now);
                }
            }
            Flow::Paced { .. } | Flow::Idle { .. } => {}
        }
    }

    fn write(&mut self) -> Result<(), String> {
        for at in self.dirty.drain(..) {
            self.connections[at].is_dirty = false;
            self.connections[at].write()?;
        }
        Ok(())
    }
}
