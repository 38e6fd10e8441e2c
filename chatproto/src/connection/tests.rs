//! Connections at a hub, over a transport that the test moves by hand.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{ConnectionConfig, ConnectionState, Context, ServerConnection};
use crate::hub::{Hub, Now, Output};
use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;

pub(super) struct Rig {
    pub(super) hub: Hub,
    pub(super) config: ConnectionConfig,
    pub(super) out: Output,
    pub(super) now: Now,
    pub(super) conns: Vec<ServerConnection>,
}

impl Rig {
    pub(super) fn new(limits: Limits, slow_reader: SlowReader) -> Self {
        Rig {
            hub: Hub::builder().limits(limits.clone()).seed(1).build(),
            config: ConnectionConfig::new(limits, slow_reader).expect("limits in their range"),
            out: Output::new(),
            now: Now::system(),
            conns: Vec::new(),
        }
    }

    pub(super) fn connect(&mut self) -> usize {
        let address = [127, 0, 0, 1].into();
        let id = self.hub.handle_connect(0, address, self.now, &mut self.out);
        let conn = ServerConnection::new(id, self.now.monotonic, &self.config);
        self.conns.push(conn);
        self.deliver();
        self.conns.len() - 1
    }

    /// A stream peer that has read its welcome.
    pub(super) fn join(&mut self, name: &str) -> usize {
        let conn = self.connect();
        self.input(conn, format!("{name}\n").as_bytes());
        assert!(self.read(conn).contains("Welcome"));
        conn
    }

    pub(super) fn with<T>(
        &mut self,
        conn: usize,
        event: impl FnOnce(&mut ServerConnection, &mut Context<'_>) -> T,
    ) -> T {
        let (hub, config, out) = (&mut self.hub, &self.config, &mut self.out);
        let value = event(&mut self.conns[conn], &mut Context { hub, now: self.now, config, out });
        self.deliver();
        value
    }

    pub(super) fn deliver(&mut self) {
        let deliveries = self.out.take_deliveries(&self.config);
        for (id, delivery) in deliveries.iter() {
            if let Some(conn) = self.conns.iter_mut().find(|conn| conn.id() == id) {
                conn.handle_delivery(delivery, self.now.monotonic, &self.config);
            }
        }
    }

    pub(super) fn input(&mut self, conn: usize, bytes: &[u8]) {
        self.with(conn, |conn, cx| conn.handle_input(bytes, cx));
    }

    pub(super) fn send(&mut self, conn: usize, to: &str, msg: &str) {
        self.input(conn, object(to, msg).as_bytes());
    }

    /// One write.
    pub(super) fn write(&mut self, conn: usize, most: usize) -> Option<String> {
        let bytes = self.with(conn, |conn, cx| conn.poll_transmit(most, cx))?;
        Some(String::from_utf8(bytes.to_vec()).expect("no character is cut here"))
    }

    /// Everything that can be written without time passing.
    pub(super) fn read(&mut self, conn: usize) -> String {
        let mut text = String::new();
        loop {
            self.do_what_is_due(conn);
            if let Some(bytes) = self.write(conn, usize::MAX) {
                text += &bytes;
            } else if self.due(conn).is_none_or(|at| at > self.now.monotonic) {
                return text;
            }
        }
    }

    pub(super) fn due(&self, conn: usize) -> Option<Instant> {
        self.conns[conn].poll_timeout(&self.hub, self.now.monotonic)
    }

    pub(super) fn do_what_is_due(&mut self, conn: usize) {
        if self.due(conn).is_some_and(|at| at <= self.now.monotonic) {
            self.with(conn, ServerConnection::handle_timeout);
        }
    }

    /// Lets time pass up to what is due next for the connection. Returns how much.
    pub(super) fn pass(&mut self, conn: usize) -> Duration {
        let before = self.now.monotonic;
        self.now.monotonic = self.due(conn).expect("something is due");
        self.do_what_is_due(conn);
        self.now.monotonic - before
    }

    pub(super) fn state(&self, conn: usize) -> ConnectionState {
        self.conns[conn].state()
    }
}

pub(super) fn object(to: &str, msg: &str) -> String {
    let (to, msg) = (serde_json::to_string(to).unwrap(), serde_json::to_string(msg).unwrap());
    format!(r#"{{"from":{{"name":"","ip":""}},"to":{to},"msg":{msg}}}"#)
}

pub(super) fn messages(text: &str) -> Vec<String> {
    let message = |line: &str| serde_json::from_str::<crate::Message>(line).expect("a message").msg;
    text.lines().map(message).collect()
}

pub(super) fn unlimited() -> Limits {
    Limits { rate: None, rate_bytes: None, ..Limits::default() }
}

#[test]
fn a_name_without_a_line_feed_is_complete_after_silence_and_objects_are_paced() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let bob = rig.join("bob");
    let alice = rig.connect();
    rig.input(alice, b"alice");
    assert_eq!(rig.read(alice), "");
    assert_eq!(rig.pass(alice), rig.config.limits.handshake_grace);
    assert!(rig.write(alice, 1).expect("an object is one write").contains("Welcome"));
    rig.send(bob, "alice", "one");
    rig.send(bob, "alice", "two");
    for text in ["one", "two"] {
        assert_eq!(rig.write(alice, usize::MAX), None, "it is not time");
        assert_eq!(rig.pass(alice), rig.config.limits.one_read_gap);
        assert_eq!(messages(&rig.write(alice, usize::MAX).expect("an object")), [text]);
    }
}

#[test]
fn a_peer_without_a_name_is_refused_in_time_and_closed_step_by_step() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let conn = rig.connect();
    assert_eq!(rig.pass(conn), rig.config.limits.registration);
    assert_eq!(rig.state(conn), ConnectionState::Closing);
    assert!(rig.write(conn, usize::MAX).expect("a reason").contains("no name came"));
    assert_eq!(rig.write(conn, usize::MAX), None);
    assert_eq!(rig.state(conn), ConnectionState::ShutDown);
    rig.input(conn, b"too late");
    rig.with(conn, ServerConnection::handle_end);
    assert_eq!((rig.state(conn), rig.hub.connections()), (ConnectionState::Closed, 0));
    assert_eq!(rig.due(conn), None);
}

#[test]
fn a_peer_that_never_closes_has_its_time() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let alice = rig.join("alice");
    rig.hub.handle_shutdown(rig.now, &mut rig.out);
    rig.deliver();
    assert!(rig.read(alice).contains("Goodbye"));
    assert_eq!(rig.state(alice), ConnectionState::ShutDown);
    assert_eq!(rig.pass(alice), rig.config.limits.linger);
    assert_eq!((rig.state(alice), rig.hub.connections()), (ConnectionState::Closed, 0));
}

#[test]
fn input_above_the_rate_waits_and_none_of_it_is_lost() {
    let rate = Some(Rate { per_second: 10, burst: 5 });
    let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let texts: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let input: String = texts.iter().map(|text| object("bob", text)).collect();
    rig.input(alice, input.as_bytes());
    assert!(!rig.conns[alice].wants_input());
    let mut heard = messages(&rig.read(bob));
    assert!((1..40).contains(&heard.len()), "{}", heard.len());
    let mut waited = Duration::ZERO;
    while !rig.conns[alice].wants_input() {
        waited += rig.pass(alice);
        heard.extend(messages(&rig.read(bob)));
    }
    assert_eq!(heard, texts);
    // 40 messages, at 10 in a second, less the first burst
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
}

#[test]
fn a_slow_reader_is_told_how_much_it_missed_and_closed() {
    let limits = Limits { queue_messages: 10, ..unlimited() };
    let mut rig = Rig::new(limits, SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let now = rig.now.monotonic;
    rig.with(bob, |conn, cx| conn.handle_blocked(now, cx.config));
    for number in 0..25 {
        rig.send(alice, "bob", &number.to_string());
    }
    assert_eq!(rig.state(bob), ConnectionState::Closing);
    rig.conns[bob].handle_unblocked();
    let heard = messages(&rig.read(bob));
    let (last, heard) = heard.split_last().expect("it is told");
    let texts: Vec<String> = (0..heard.len()).map(|number| number.to_string()).collect();
    assert_eq!(heard, texts);
    let missed = format!("{} messages were not delivered", 25 - heard.len());
    assert!(last.contains(&missed), "{last}");
    assert_eq!(rig.state(bob), ConnectionState::ShutDown);
    rig.with(bob, ServerConnection::handle_end);
    assert_eq!(rig.hub.connections(), 1);
}

#[test]
fn a_slow_reader_may_miss_the_oldest_messages_instead() {
    let limits = Limits { queue_messages: 10, ..unlimited() };
    let mut rig = Rig::new(limits, SlowReader::DropOldest);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let now = rig.now.monotonic;
    rig.with(bob, |conn, cx| conn.handle_blocked(now, cx.config));
    for number in 0..25 {
        rig.send(alice, "bob", &number.to_string());
    }
    assert_eq!(rig.state(bob), ConnectionState::Open);
    rig.conns[bob].handle_unblocked();
    let heard = messages(&rig.read(bob));
    assert!(heard[0].contains("15 messages were dropped here"), "{heard:?}");
    let texts: Vec<String> = (15..25).map(|number| number.to_string()).collect();
    assert_eq!(heard[1..], texts);
}

#[test]
fn a_queue_can_be_cut_and_its_memory_is_counted() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let now = rig.now.monotonic;
    rig.with(bob, |conn, cx| conn.handle_blocked(now, cx.config));
    rig.send(alice, "bob", &"x".repeat(10_000));
    assert!(rig.conns[bob].queued() > 10_000 && rig.config.queued() > 10_000);
    let config = rig.config.clone();
    rig.conns[bob].cut(now, &config);
    assert_eq!((rig.conns[bob].queued(), rig.state(bob)), (0, ConnectionState::Closing));
    rig.conns[bob].handle_unblocked();
    assert!(rig.read(bob).contains("1 message was not delivered"));
    rig.with(bob, ServerConnection::handle_lost);
    rig.read(alice);
    assert_eq!(rig.config.queued(), 0);
}

#[test]
fn a_long_answer_comes_in_order_and_input_waits_for_its_end() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let alice = rig.join("alice");
    for number in 0..3_000 {
        rig.join(&format!("user-with-a-long-name-{number:04}"));
    }
    rig.read(alice);
    rig.input(alice, (object("/list", "") + &object("/ping", "behind")).as_bytes());
    let heard = messages(&rig.read(alice));
    assert!(heard.len() > 2, "the list is in several parts");
    assert_eq!(heard.last().map(String::as_str), Some("behind"));
    let list = heard.concat();
    for number in [0, 1_234, 2_999] {
        assert!(list.contains(&format!("user-with-a-long-name-{number:04}")));
    }
}

#[test]
fn what_was_sent_before_the_end_counts_though_nothing_can_be_written() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    rig.with(alice, ServerConnection::handle_write_error);
    rig.send(alice, "bob", "still here");
    rig.with(alice, ServerConnection::handle_end);
    rig.read(alice);
    assert_eq!(rig.state(alice), ConnectionState::Closed);
    assert_eq!(messages(&rig.read(bob)), ["still here"]);
    assert_eq!(rig.hub.connections(), 1);
}

#[test]
fn bytes_that_come_though_input_waits_are_kept_in_order() {
    let rate = Some(Rate { per_second: 10, burst: 2 });
    let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    for number in 0..10 {
        rig.send(alice, "bob", &number.to_string());
    }
    rig.with(alice, ServerConnection::handle_end);
    while rig.state(alice) != ConnectionState::Closed {
        rig.read(alice);
        if rig.state(alice) != ConnectionState::Closed {
            rig.pass(alice);
        }
    }
    let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(messages(&rig.read(bob)), texts);
}

proptest! {
    /// However the bytes are cut on both ways, both peers read the same.
    #[test]
    fn pieces_change_nothing(
        texts in prop::collection::vec(".{0,20}", 1..8),
        cuts in prop::collection::vec(1..40_usize, 1..20),
        most in 1..60_usize,
    ) {
        let talk = |cuts: &[usize], most: usize| {
            let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
            let bob = rig.join("bob");
            let alice = rig.connect();
            let mut input = b"alice\n".to_vec();
            for text in &texts {
                input.extend_from_slice(object("bob", text).as_bytes());
                input.extend_from_slice(object("/nothing", text).as_bytes());
            }
            input.extend_from_slice(b"{\"from\":7}");
            input.extend_from_slice(b"no object");
            let mut heard = [Vec::new(), Vec::new()];
            let mut rest = &input[..];
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                rest = behind;
                rig.input(alice, piece);
                for (conn, heard) in [alice, bob].into_iter().zip(&mut heard) {
                    while let Some(bytes) = rig.with(conn, |conn, cx| conn.poll_transmit(most, cx)) {
                        assert!(bytes.len() <= most);
                        heard.extend_from_slice(&bytes);
                    }
                }
                if rest.is_empty() {
                    break;
                }
            }
            (heard, rig.state(alice), rig.hub.online())
        };
        prop_assert_eq!(talk(&cuts, most), talk(&[usize::MAX], usize::MAX));
    }
}
