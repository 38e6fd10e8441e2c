//! Clients that talk to each other, as one run of `stress` and `compare` has them: their names, their
//! flows, the books of what was sent and came, and all latencies. When they say what is the run's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::name::{EVERYONE, SERVER};
use chatproto::{DecodeError, MessageRef, encode};

use super::connect::End;
use super::gauge::{Gauge, Totals};
use super::latency::Latencies;
use super::ledger::{Audience, Ledger, Trace, Verdict};
use super::net::{Driver, Net, shortened};
use super::payload::{self, Padding, Stamp};
use super::report::{Failures, Run, SenderCounts};

/// What all names of this program's clients begin with; a part that is each run's own follows.
const FAMILY: &str = "load-";
/// The address that clients write; a server puts the true one in its place.
const IP: &str = "127.0.0.1";

/// Commands of one client whose answers are waited for. Of more than these the oldest count as
/// unanswered, whatever comes.
const MOST_ASKED: usize = 64 * 1024;

/// The names of one run: nobody else has them.
#[derive(Clone, Debug)]
pub(crate) struct Names(String);

impl Names {
    pub(crate) fn new() -> Self {
        let part: String = (0..6).map(|_| fastrand::alphanumeric().to_ascii_lowercase()).collect();
        Names(format!("{FAMILY}{part}-"))
    }

    pub(crate) fn of(&self, who: u32) -> String {
        format!("{}{who}", self.0)
    }

    /// What all of them begin with.
    pub(crate) fn of_family(&self) -> String {
        self.0.clone()
    }

    pub(crate) fn room(&self, number: usize) -> String {
        format!("#{}{number}", self.0)
    }

    /// Whose name it is, if it is one of these.
    fn who(&self, name: &str) -> Option<u32> {
        name.strip_prefix(&self.0)?.parse().ok()
    }
}

/// What the answer to a command must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Anything,
    /// It says that there is no such user.
    NotFound,
}

#[derive(Debug, Default)]
struct Client {
    /// Commands without an answer yet: when they were sent.
    asked: VecDeque<(u64, Expected)>,
    last_answer_is_error: bool,
    /// What the server said before it closed.
    farewell: Option<String>,
}

/// The text of a flow, but for what is new in each message.
#[derive(Debug)]
struct Line {
    sender: u32,
    from: String,
    /// `to` as it arrives.
    to: String,
    head: Vec<u8>,
    receivers: u64,
    /// Deliveries that have not led to a new message, where deliveries do.
    credit: u64,
}

#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) names: Names,
    kind: PeerKind,
    pub(crate) ledger: Ledger,
    lines: Vec<Line>,
    clients: Vec<Client>,
    pub(crate) gauge: Gauge,
    /// Messages that were due before are not measured, though counted.
    measured_from: u64,
    measured_until: u64,
    measured: u64,
    latencies: Latencies,
    answer_latencies: Latencies,
    connect: Latencies,
    lag: Latencies,
    pub(crate) failures: Failures,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) misanswered: u64,
    pub(crate) unreadable: u64,
    /// Where each delivery leads to a new message: flows that are to speak again.
    follow: Option<Vec<u32>>,
    last_delivery: u64,
}

impl Traffic {
    pub(crate) fn new(net: &Net, clients: usize, kind: PeerKind, gauge: Gauge) -> Self {
        Traffic {
            names: Names::new(),
            kind,
            ledger: Ledger::new(clients),
            lines: Vec::new(),
            clients: (0..clients).map(|_| Client::default()).collect(),
            gauge,
            measured_from: u64::MAX,
            measured_until: u64::MAX,
            measured: 0,
            latencies: Latencies::new(),
            answer_latencies: Latencies::new(),
            connect: Latencies::new(),
            lag: Latencies::new(),
            failures: Failures::default(),
            asked: 0,
            answered: 0,
            misanswered: 0,
            unreadable: 0,
            follow: None,
            last_delivery: net.now(),
        }
    }

    /// Has every delivery lead to a new message of its flow.
    pub(crate) fn follow(&mut self) {
        self.follow = Some(Vec::new());
    }

    /// From now on deliveries lead to nothing.
    pub(crate) fn stop_following(&mut self) {
        self.follow = None;
    }

    /// Moves the flows that are to speak again into `flows`, which is empty.
    pub(crate) fn take_follow(&mut self, flows: &mut Vec<u32>) {
        if let Some(follow) = &mut self.follow {
            std::mem::swap(follow, flows);
        }
    }

    /// Messages due in this span of time are measured.
    pub(crate) fn measure(&mut self, from: u64, until: u64) {
        (self.measured_from, self.measured_until) = (from, until);
    }

    pub(crate) fn measured(&self) -> u64 {
        self.measured
    }

    /// A flow to one other client.
    pub(crate) fn open_private(&mut self, sender: u32, receiver: u32) -> u32 {
        let to = self.names.of(receiver);
        self.open(sender, Audience::One(receiver), &to.clone(), to)
    }

    /// A flow to a room with these members, sorted.
    pub(crate) fn open_room(&mut self, sender: u32, room: &str, members: &Arc<[u32]>) -> u32 {
        self.open(sender, Audience::Others(Arc::clone(members)), room, room.to_owned())
    }

    /// A flow to everybody, who are these, sorted.
    pub(crate) fn open_shout(&mut self, sender: u32, everybody: &Arc<[u32]>) -> u32 {
        let audience = Audience::Others(Arc::clone(everybody));
        self.open(sender, audience, "/shout", EVERYONE.to_owned())
    }

    fn open(&mut self, sender: u32, audience: Audience, to: &str, arrives: String) -> u32 {
        let from = self.names.of(sender);
        let mut head = Vec::new();
        let write = if self.is_python() { encode::python } else { encode::compact };
        write(&mut head, &from, IP, to, "");
        // up to the opening quote of the text
        head.truncate(head.len() - 2);
        head.shrink_to_fit();
        let flow = self.ledger.open(sender, audience);
        let receivers = self.ledger.receivers(flow);
        self.lines.push(Line { sender, from, to: arrives, head, receivers, credit: 0 });
        flow
    }

    fn is_python(&self) -> bool {
        self.kind == PeerKind::OneRead
    }

    /// Sends one message over a flow, due at that time of the clock.
    pub(crate) fn send(&mut self, net: &mut Net, flow: u32, padding: &Padding, due: u64) {
        let line = &self.lines[flow as usize];
        let number = self.ledger.send(flow);
        let tail: &[u8] = if self.kind == PeerKind::OneRead { b"\"}" } else { b"\"}\n" };
        net.say(line.sender, |out| {
            out.extend_from_slice(&line.head);
            padding.write(Stamp { flow, number, time: due }, out);
            out.extend_from_slice(tail);
        });
    }

    pub(crate) fn sender(&self, flow: u32) -> u32 {
        self.lines[flow as usize].sender
    }

    /// Whether the server answers each message of a flow with how many it went to.
    pub(crate) fn is_shout(&self, flow: u32) -> bool {
        self.lines[flow as usize].to == EVERYONE
    }

    /// Notes that the generator sent so much later than was due.
    pub(crate) fn note_lag(&mut self, due: u64, lag: u64) {
        self.gauge.lag = self.gauge.lag.max(lag);
        if (self.measured_from..self.measured_until).contains(&due) {
            self.lag.record(lag.max(1));
        }
    }

    /// Sends a command to the server, whose answer is expected to be such.
    pub(crate) fn ask(&mut self, net: &mut Net, who: u32, to: &str, msg: &str, then: Expected) {
        let from = self.names.of(who);
        let is_python = self.is_python();
        net.say(who, |out| {
            if is_python {
                encode::python(out, &from, IP, to, msg);
            } else {
                encode::compact(out, &from, IP, to, msg);
                out.push(b'\n');
            }
        });
        self.expect_answer(net, who, then);
    }

    /// Notes that what was just sent is a command, or is answered like one.
    pub(crate) fn expect_answer(&mut self, net: &Net, who: u32, then: Expected) {
        self.asked += 1;
        let asked = &mut self.clients[who as usize].asked;
        if asked.len() >= MOST_ASKED {
            asked.pop_front();
        }
        asked.push_back((net.now(), then));
    }

    /// Whether every command was answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.clients.iter().all(|client| client.asked.is_empty())
    }

    /// Whether the last answer to a client was no error.
    pub(crate) fn went_well(&self, who: u32) -> bool {
        !self.clients[who as usize].last_answer_is_error
    }

    pub(crate) fn totals(&self) -> Totals {
        let counts = self.ledger.so_far();
        let (sent, delivered) = (counts.sent, counts.delivered);
        Totals { failed: self.failures.total(), sent, delivered }
    }

    /// For how long nothing was delivered.
    pub(crate) fn silence(&self, net: &Net) -> Duration {
        Duration::from_nanos(net.now().saturating_sub(self.last_delivery))
    }

    /// The silence begins now.
    pub(crate) fn restart_silence(&mut self, net: &Net) {
        self.last_delivery = net.now();
    }

    pub(crate) fn welcomed(&mut self, took: Duration) {
        self.connect.record(took.as_nanos() as u64);
    }

    pub(crate) fn failed(&mut self, who: Option<u32>, end: End) {
        let client = who.and_then(|who| self.clients.get_mut(who as usize));
        let farewell = client.and_then(|client| client.farewell.take());
        self.failures.note(end, farewell);
    }

    /// Closes the books.
    pub(crate) fn finish(self, seconds: f64, busy: f64) -> Run {
        let names = self.names;
        let (counts, senders) = self.ledger.close();
        let named = senders.into_iter().enumerate().filter(|(_, counts)| counts.sent > 0);
        let senders = named
            .map(|(who, counts)| SenderCounts { name: names.of(who as u32), counts })
            .collect();
        Run {
            seconds,
            clients: self.connect.summary().count,
            failures: self.failures,
            counts,
            asked: self.asked,
            answered: self.answered,
            unreadable: self.unreadable,
            delivered_per_second: super::gauge::rounded(self.measured as f64 / seconds.max(1e-9)),
            latency: self.latencies.summary(),
            latency_curve: self.latencies.curve(),
            answer_latency: self.answer_latencies.summary(),
            connect: self.connect.summary(),
            lag: self.lag.summary(),
            busy,
            senders,
            samples: self.gauge.samples,
            ..Run::default()
        }
    }

    pub(crate) fn heard(&mut self, who: u32, message: &MessageRef<'_>, now: u64) {
        if message.name.is(SERVER) {
            return self.heard_server(who, message, now);
        }
        let stamp = payload::read(&message.msg);
        let line = stamp.and_then(|stamp| self.lines.get_mut(stamp.flow as usize));
        let is_whole = |line: &&mut Line| message.name.is(&line.from) && message.to.is(&line.to);
        let (Some(stamp), Some(line)) = (stamp, line.filter(is_whole)) else {
            return self.heard_other(who, message, stamp);
        };
        if self.ledger.receive(who, stamp.flow, stamp.number) != Verdict::Delivered {
            return;
        }
        self.last_delivery = now;
        let latency = now.saturating_sub(stamp.time).max(1);
        self.gauge.latencies.record(latency);
        if (self.measured_from..self.measured_until).contains(&stamp.time) {
            self.latencies.record(latency);
        }
        self.measured += u64::from((self.measured_from..self.measured_until).contains(&now));
        if let Some(follow) = &mut self.follow {
            line.credit += 1;
            if line.credit >= line.receivers {
                line.credit = 0;
                follow.push(stamp.flow);
            }
        }
    }

    /// Hears what is not what was sent, or nobody's business here.
    fn heard_other(&mut self, who: u32, message: &MessageRef<'_>, stamp: Option<Stamp>) {
        let by = self.names.who(&message.name.to_str());
        // people talk, and another generator on the same server has flows with the same numbers
        let is_load = stamp.is_some() || payload::is_likely(&message.msg);
        if by.is_none() && (!is_load || is_family(message)) {
            return;
        }
        let by_digits = || {
            let flow = payload::damaged_flow(&message.msg)?;
            self.lines.get(flow as usize).map(|line| line.sender)
        };
        let trace = match stamp {
            Some(stamp) => Trace::Message(stamp.flow, stamp.number),
            None => match by.or_else(by_digits).filter(|&by| by < self.clients.len() as u32) {
                Some(sender) => Trace::Sender(sender),
                None => Trace::Nothing,
            },
        };
        self.ledger.corrupt(who, trace);
    }

    fn heard_server(&mut self, who: u32, message: &MessageRef<'_>, now: u64) {
        let text = message.msg.to_str();
        // notices of rooms and to everybody are told apart by whom they are to (B15)
        if message.to.is(EVERYONE) || message.to.raw().starts_with('#') || is_unfinished(&text) {
            return;
        }
        let Some(client) = self.clients.get_mut(who as usize) else { return };
        client.last_answer_is_error = text.starts_with('❌') || text.starts_with('⛔');
        if text.starts_with('⛔') {
            client.farewell = Some(shortened(&text));
        }
        if let Some((asked_at, expected)) = client.asked.pop_front() {
            self.answered += 1;
            self.answer_latencies.record((now - asked_at).max(1));
            let is_not_found = text.starts_with('❌');
            self.misanswered += u64::from(expected == Expected::NotFound && !is_not_found);
        }
    }

    pub(crate) fn unreadable(&mut self, who: u32, error: Option<DecodeError>) {
        // a read of joined objects is what such a reader makes of them; other bytes are corrupted
        if self.kind == PeerKind::Stream && error.is_some() {
            self.ledger.corrupt(who, Trace::Nothing);
        }
        self.unreadable += 1;
    }
}

impl Driver for Traffic {
    fn welcomed(&mut self, _: &mut Net, _: u32, took: Duration) {
        Traffic::welcomed(self, took);
    }

    fn ended(&mut self, _: &mut Net, who: u32, end: End) {
        self.failed(Some(who), end);
    }

    fn message(&mut self, _: &mut Net, who: u32, message: &MessageRef<'_>, now: u64) {
        self.heard(who, message, now);
    }

    fn unreadable(&mut self, _: &mut Net, who: u32, error: Option<DecodeError>) {
        Traffic::unreadable(self, who, error);
    }
}

impl Failures {
    /// Counts one more, and keeps the words of the first: what the server said last, if it did.
    pub(crate) fn note(&mut self, end: End, farewell: Option<String>) {
        let words = match end {
            End::OwnLimit(text) => (&mut self.own_limit, text),
            End::Unreachable(text) => (&mut self.unreachable, text),
            End::Refused(text) => (&mut self.refused, text),
            End::TimedOut => (&mut self.timed_out, "no welcome came in time".to_owned()),
            End::Dropped(text) => (&mut self.dropped, format!("{text} before it welcomed")),
            End::Lost(text) => (&mut self.lost, farewell.unwrap_or(text)),
        };
        *words.0 += 1;
        self.first.get_or_insert(words.1);
    }
}

/// Whether another generator's client wrote it.
fn is_family(message: &MessageRef<'_>) -> bool {
    message.name.raw().starts_with(FAMILY)
}

/// Whether more objects of the same answer follow: it ends in `(1/3)` (B11).
fn is_unfinished(text: &str) -> bool {
    let part = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    let Some((part, parts)) = part.and_then(|(_, part)| part.split_once('/')) else { return false };
    part.parse::<u32>().ok().zip(parts.parse().ok()).is_some_and(|(part, parts)| part < parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_answer_is_not_the_answer() {
        assert!(is_unfinished("a, b (1/3)") && is_unfinished("c (2/3)"));
        for whole in ["d (3/3)", "a, b", "(x/3)", "Online (2): a, b", ""] {
            assert!(!is_unfinished(whole), "{whole}");
        }
    }

    #[test]
    fn names_are_those_of_one_run() {
        let (names, others) = (Names::new(), Names::new());
        assert_eq!(names.who(&names.of(17)), Some(17));
        assert_eq!(names.who(&others.of(17)), None);
        assert!(chatproto::UserName::new(&names.of(u32::MAX)).is_ok());
        assert!(chatproto::RoomName::new(&names.room(3)).is_ok());
    }
}
