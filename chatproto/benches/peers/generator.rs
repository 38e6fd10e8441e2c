//! The load: one thread that keeps all connections of a run busy, and counts what is delivered.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::crew::Crew;
use crate::payload::UNTIMED;
use crate::sample::Latencies;
use crate::work::Flow;

/// A run without a delivery for so long has failed.
const STALL: Duration = Duration::from_secs(10);
/// How long the last messages of a run may take.
const DRAIN: Duration = Duration::from_secs(2);

pub(crate) struct Generator {
    poll: Poll,
    crew: Crew,
    flow: Flow,
    /// Connections with something to write.
    dirty: Vec<usize>,
    /// Messages of the flow so far, and those that were said aside.
    sent: u64,
    sent_aside: u64,
    /// Deliveries that all messages so far must lead to, and deliveries so far.
    expected: u64,
    pub(crate) delivered: u64,
    pub(crate) latencies: Latencies,
    began: Instant,
    last_delivery: Instant,
    /// What is delivered leads to new messages.
    goes_on: bool,
    buffer: Vec<u8>,
}

impl Generator {
    pub(crate) fn new(flow: Flow, mut crew: Crew) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| format!("cannot make an event loop: {error}."))?;
        crew.register(poll.registry())?;
        let now = Instant::now();
        Ok(Generator {
            poll,
            crew,
            flow,
            dirty: Vec::new(),
            sent: 0,
            sent_aside: 0,
            expected: 0,
            delivered: 0,
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
    pub(crate) fn begin(&mut self) {
        let now = self.now();
        match self.flow {
            Flow::Pairs { in_flight, .. } => {
                for speaker in 0..self.crew.speakers.len() {
                    (0..in_flight).for_each(|_| self.say(self.crew.speakers[speaker], now));
                }
            }
            Flow::Turns { in_flight, .. } => (0..in_flight).for_each(|_| self.say_next(now)),
            Flow::Fanout { in_flight, .. } => (0..in_flight).for_each(|_| self.say_next(now)),
            Flow::Paced { .. } | Flow::Idle { .. } => {}
        }
    }

    /// A connection says the message that it has.
    fn say(&mut self, at: usize, stamp: u64) {
        self.crew.connections[at].say(stamp);
        self.sent += 1;
        self.expected += self.crew.receivers;
        self.make_dirty(at);
    }

    /// The next of the speakers, in turn, says its message.
    fn say_next(&mut self, stamp: u64) {
        let turn = self.sent % self.crew.speakers.len() as u64;
        self.say(self.crew.speakers[turn as usize], stamp);
    }

    fn make_dirty(&mut self, at: usize) {
        if !std::mem::replace(&mut self.crew.connections[at].is_dirty, true) {
            self.dirty.push(at);
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) -> Result<(), String> {
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
    pub(crate) fn drain(mut self) -> Result<u64, String> {
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
            Err(error) if error.kind() != ErrorKind::Interrupted => {
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
        if let Some(aside) = self.crew.aside {
            while (self.sent_aside as f64) < seconds * f64::from(aside.per_second) {
                self.crew.connections[aside.speaker].say(UNTIMED);
                self.make_dirty(aside.speaker);
                self.sent_aside += 1;
                self.expected += aside.receivers;
            }
        }
    }

    fn read(&mut self, at: usize) -> Result<(), String> {
        let mut has_more = true;
        while has_more {
            let mut buffer = std::mem::take(&mut self.buffer);
            let (mut count, now) = (0, self.now());
            let latencies = &mut self.latencies;
            let read = self.crew.connections[at].read(&mut buffer, |stamp| {
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
                while self.sent < in_flight as u64 + self.delivered / self.crew.receivers {
                    self.say_next(now);
                }
            }
            Flow::Paced { .. } | Flow::Idle { .. } => {}
        }
    }

    fn write(&mut self) -> Result<(), String> {
        for at in self.dirty.drain(..) {
            self.crew.connections[at].is_dirty = false;
            self.crew.connections[at].write()?;
        }
        Ok(())
    }
}
