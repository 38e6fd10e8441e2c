//! Connections over WebSocket, moved by hand: valid frames, violations, and frames in pieces.

use proptest::prelude::*;

use super::tests::{Rig, messages, object, unlimited};
use super::{ConnectionState, Framing, ServerConnection};
use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;
use crate::websocket::testing::{close, frame, message, unframed};
use crate::websocket::{End, Unframer, Violation};

/// A peer over WebSocket: the server's frames as it reads them.
struct Browser {
    conn: usize,
    frames: Unframer,
}

impl Browser {
    fn connect(rig: &mut Rig) -> Self {
        let conn = rig.connect();
        let id = rig.conns[conn].id();
        let connection = ServerConnection::new(id, rig.now.monotonic, &rig.config);
        rig.conns[conn] = connection.with_framing(Framing::WebSocket);
        Browser { conn, frames: Unframer::of_server() }
    }

    fn join(rig: &mut Rig, name: &str) -> Self {
        let mut browser = Browser::connect(rig);
        rig.input(browser.conn, &message(name.as_bytes()));
        assert!(browser.read(rig).contains("Welcome"));
        browser
    }

    /// The raw bytes of one write.
    fn write(&self, rig: &mut Rig, most: usize) -> Option<Vec<u8>> {
        let bytes = rig.with(self.conn, |conn, cx| conn.poll_transmit(most, cx))?;
        assert!(bytes.len() <= most);
        Some(bytes.to_vec())
    }

    /// Everything that can be written without time passing, without its frames.
    fn read(&mut self, rig: &mut Rig) -> String {
        let mut text = Vec::new();
        loop {
            rig.do_what_is_due(self.conn);
            if let Some(bytes) = self.write(rig, usize::MAX) {
                text.extend(unframed(&mut self.frames, &bytes));
            } else if rig.due(self.conn).is_none_or(|at| at > rig.now.monotonic) {
                return String::from_utf8(text).expect("text");
            }
        }
    }

    fn send(&self, rig: &mut Rig, to: &str, msg: &str) {
        rig.input(self.conn, &message(object(to, msg).as_bytes()));
    }

    /// The last message, and the code of the close frame behind it.
    fn end(&mut self, rig: &mut Rig) -> (String, Option<u16>) {
        let last = messages(&self.read(rig)).pop().unwrap_or_default();
        assert_eq!(rig.state(self.conn), ConnectionState::ShutDown);
        match self.frames.end() {
            Some(End::Closed(code)) => (last, code),
            other => panic!("no close frame, but {other:?}"),
        }
    }
}

#[test]
fn the_first_message_is_the_name_and_every_object_is_a_message() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let bob = rig.join("bob");
    let mut alice = Browser::join(&mut rig, "alice");
    alice.send(&mut rig, "bob", "hello");
    assert_eq!(messages(&rig.read(bob)), ["hello"]);
    for text in ["one", "two", "three"] {
        rig.send(bob, "alice", text);
    }
    // one write, without a pace: a header and an object, three times
    let bytes = alice.write(&mut rig, usize::MAX).expect("three frames");
    let mut rest = &bytes[..];
    for _ in 0..3 {
        assert_eq!(rest[0], 0x81);
        let length = usize::from(rest[1]);
        assert!(length < 126 && rest[2..2 + length].ends_with(b"}\n"));
        rest = &rest[2 + length..];
    }
    assert!(rest.is_empty());
    assert_eq!(
        messages(std::str::from_utf8(&unframed(&mut alice.frames, &bytes)).unwrap()).len(),
        3
    );
}

#[test]
fn a_name_from_the_url_needs_no_message() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let mut alice = Browser::connect(&mut rig);
    rig.conns[alice.conn].handle_requested_name("alice");
    assert!(alice.read(&mut rig).contains("Welcome, alice!"));
    alice.send(&mut rig, "/ping", "there");
    assert_eq!(messages(&alice.read(&mut rig)), ["there"]);
}

#[test]
fn a_name_in_the_url_that_nobody_can_have_is_refused() {
    for name in ["", " ", "SERVER", "a\nb", "a{b", "/list"] {
        let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
        let mut alice = Browser::connect(&mut rig);
        rig.conns[alice.conn].handle_requested_name(name);
        let (last, code) = alice.end(&mut rig);
        assert!(last.starts_with("⛔ Error: "), "{name:?} was told {last:?}");
        assert!(code.is_some_and(|code| [1007, 1008].contains(&code)), "{name:?}: {code:?}");
    }
}

#[test]
fn white_space_around_an_object_is_allowed_and_so_is_a_blank_message() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let mut alice = Browser::join(&mut rig, "alice\r\n");
    for text in ["", " \r\n"] {
        rig.input(alice.conn, &message(text.as_bytes()));
    }
    rig.input(alice.conn, &message((object("/ping", "one") + "\r\n").as_bytes()));
    rig.input(alice.conn, &message(("\n ".to_owned() + &object("/ping", "two")).as_bytes()));
    assert_eq!(messages(&alice.read(&mut rig)), ["one", "two"]);
}

#[test]
fn after_a_schema_error_the_connection_goes_on() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let mut alice = Browser::join(&mut rig, "alice");
    rig.input(alice.conn, &message(br#"{"to":"bob"}"#));
    alice.send(&mut rig, "/ping", "behind");
    let heard = messages(&alice.read(&mut rig));
    assert!(heard[0].contains("It was ignored"), "{heard:?}");
    assert_eq!(heard[1..], ["behind"]);
}

#[test]
fn what_is_no_object_is_answered_and_closed_with_1007() {
    let two = object("/ping", "first") + &object("/ping", "second");
    let cases: [(&[u8], &str); 6] = [
        (b"no object", "an object must begin with '{'"),
        (br#"{"to" 1}"#, "not JSON"),
        (two.as_bytes(), "a message must have one object, not several"),
        (br#"{"from":{"name":"#, "the message ended inside an object"),
        (b"{\"to\":\"\xff\"}", "not UTF-8"),
        (b"\xff", "an object must begin with '{'"),
    ];
    for (text, sentence) in cases {
        let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
        let mut alice = Browser::join(&mut rig, "alice");
        rig.input(alice.conn, &message(text));
        alice.send(&mut rig, "/ping", "never answered");
        let (last, code) = alice.end(&mut rig);
        assert!(last.contains(sentence), "{last}");
        assert_eq!(code, Some(1007), "{last}");
    }
}

#[test]
fn each_violation_of_the_frame_rules_has_a_sentence_and_a_close_code() {
    let long = frame(0x81, &[b' '; 200]);
    let mut unmasked = long.clone();
    unmasked[1] &= 0x7F;
    let mut huge = vec![0x81, 0xFF];
    huge.extend((1_u64 << 63).to_be_bytes());
    huge.extend([0; 4]);
    let cases: [(Vec<u8>, Violation); 14] = [
        (unmasked, Violation::Unmasked),
        (frame(0xC1, b" "), Violation::ReservedBit),
        (frame(0xA1, b" "), Violation::ReservedBit),
        (frame(0x91, b" "), Violation::ReservedBit),
        (frame(0x83, b" "), Violation::ReservedOpcode(3)),
        (frame(0x8B, b" "), Violation::ReservedOpcode(11)),
        (frame(0x82, b" "), Violation::Binary),
        (frame(0x80, b" "), Violation::UnexpectedContinuation),
        ([frame(0x01, b" "), frame(0x81, b" ")].concat(), Violation::ExpectedContinuation),
        (frame(0x89, &[0; 126]), Violation::LongControlFrame),
        (frame(0x09, b"ping"), Violation::FragmentedControlFrame),
        (frame(0x88, &[3]), Violation::InvalidCloseCode),
        (frame(0x88, &1005_u16.to_be_bytes()), Violation::InvalidCloseCode),
        (frame(0x88, b"\x03\xe8\xff"), Violation::InvalidCloseReason),
    ];
    let cases = cases.into_iter().chain([(huge, Violation::LengthTooLarge)]);
    for (bytes, violation) in cases {
        for registers in [true, false] {
            let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
            let mut alice = match registers {
                true => Browser::join(&mut rig, "alice"),
                false => Browser::connect(&mut rig),
            };
            rig.input(alice.conn, &bytes);
            // nothing behind it counts
            alice.send(&mut rig, "/ping", "never answered");
            let (last, code) = alice.end(&mut rig);
            assert_eq!(last, format!("⛔ Error: {violation}. The connection is closed."));
            assert_eq!(code, Some(violation.close_code()), "{violation}");
            assert_eq!(rig.hub.online(), 0);
            rig.with(alice.conn, ServerConnection::handle_end);
            assert_eq!(rig.hub.connections(), 0);
        }
    }
}

#[test]
fn everything_before_a_violation_counts() {
    let rate = Some(Rate { per_second: 10, burst: 2 });
    let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
    let bob = rig.join("bob");
    let mut alice = Browser::join(&mut rig, "alice");
    let mut input = Vec::new();
    for number in 0..10 {
        input.extend(message(object("bob", &number.to_string()).as_bytes()));
    }
    input.extend(frame(0x82, b"binary"));
    rig.input(alice.conn, &input);
    assert!(!rig.conns[alice.conn].wants_input());
    while rig.state(alice.conn) == ConnectionState::Open {
        rig.pass(alice.conn);
    }
    let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(messages(&rig.read(bob)), texts);
    let (last, code) = alice.end(&mut rig);
    assert!(last.contains("must be a text frame"), "{last}");
    assert_eq!(code, Some(1003));
}

#[test]
fn a_close_frame_is_the_end_of_file() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let bob = rig.join("bob");
    let mut alice = Browser::join(&mut rig, "alice");
    let mut input = message(object("bob", "last").as_bytes());
    input.extend(frame(0x88, b"\x0f\xa1bye"));
    input.extend(message(object("bob", "too late").as_bytes()));
    rig.input(alice.conn, &input);
    assert_eq!(messages(&rig.read(bob)), ["last"]);
    assert_eq!(alice.read(&mut rig), "");
    assert_eq!(alice.frames.end(), Some(End::Closed(Some(4001))), "the code comes back");
    assert_eq!(rig.state(alice.conn), ConnectionState::Closed);
    assert_eq!((rig.hub.online(), rig.hub.connections()), (1, 1));
}

#[test]
fn a_stream_that_ends_without_a_close_frame_gets_none() {
    for input in [&b""[..], b"\x81\x85"] {
        let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
        let bob = rig.join("bob");
        let mut alice = Browser::join(&mut rig, "alice");
        alice.send(&mut rig, "bob", "last");
        alice.send(&mut rig, "/ping", "answered");
        rig.input(alice.conn, input);
        rig.with(alice.conn, ServerConnection::handle_end);
        assert_eq!(messages(&rig.read(bob)), ["last"]);
        assert_eq!(messages(&alice.read(&mut rig)), ["answered"]);
        assert_eq!(alice.frames.end(), None, "nobody waits for a close frame");
        assert_eq!(rig.state(alice.conn), ConnectionState::Closed);
        assert_eq!((rig.hub.online(), rig.hub.connections()), (1, 1));
    }
}

#[test]
fn the_server_says_that_it_goes_away() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let mut alice = Browser::join(&mut rig, "alice");
    rig.hub.handle_shutdown(rig.now, &mut rig.out);
    rig.deliver();
    let (last, code) = alice.end(&mut rig);
    assert!(last.contains("Goodbye"), "{last}");
    assert_eq!(code, Some(1001));
    rig.input(alice.conn, &close());
    assert_eq!(rig.state(alice.conn), ConnectionState::Closed);
}

#[test]
fn the_last_ping_is_answered_between_two_objects() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let bob = rig.join("bob");
    let alice = Browser::join(&mut rig, "alice");
    rig.send(bob, "alice", "long");
    // the object is begun
    let mut bytes = alice.write(&mut rig, 20).expect("the start of an object");
    for payload in [&b"first"[..], b"second"] {
        rig.input(alice.conn, &frame(0x89, payload));
    }
    rig.send(bob, "alice", "behind");
    while let Some(more) = alice.write(&mut rig, 7) {
        bytes.extend(more);
    }
    let pong = b"\x8a\x06second";
    let at = bytes.windows(pong.len()).position(|window| window == pong).expect("a pong");
    assert!(bytes[..at].ends_with(b"}\n") && bytes[at + pong.len()] == 0x81, "{at}");
    assert!(!bytes.windows(5).any(|window| window == b"first"));
    let text = unframed(&mut Unframer::of_server(), &bytes);
    assert_eq!(messages(std::str::from_utf8(&text).unwrap()), ["long", "behind"]);
}

#[test]
fn pings_count_against_the_rate() {
    let rate = Some(Rate { per_second: 10, burst: 5 });
    let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
    let mut alice = Browser::join(&mut rig, "alice");
    let pings: Vec<u8> = (0..20).flat_map(|_| frame(0x89, b"are you there?")).collect();
    rig.input(alice.conn, &pings);
    assert!(!rig.conns[alice.conn].wants_input(), "it is too fast");
    assert_eq!(alice.read(&mut rig), "", "a pong is no message");
    let waited = rig.pass(alice.conn);
    assert!(waited.as_secs() >= 1, "{waited:?}");
    assert!(rig.conns[alice.conn].wants_input());
    alice.send(&mut rig, "/ping", "there");
    assert!(messages(&alice.read(&mut rig)).contains(&"there".to_owned()));
}

#[test]
fn an_object_whose_header_was_begun_is_not_dropped() {
    for written in 1..5 {
        let limits = Limits { queue_messages: 3, ..unlimited() };
        let mut rig = Rig::new(limits, SlowReader::DropOldest);
        let bob = rig.join("bob");
        let mut alice = Browser::join(&mut rig, "alice");
        // longer than 125 bytes, so that its header has four
        rig.send(bob, "alice", &format!("first{}", " ".repeat(200)));
        let begun = alice.write(&mut rig, written).expect("the start of a frame");
        assert_eq!(unframed(&mut alice.frames, &begun).len(), written.saturating_sub(4));
        let now = rig.now.monotonic;
        rig.with(alice.conn, |conn, cx| conn.handle_blocked(now, cx.config));
        for number in 0..10 {
            rig.send(bob, "alice", &number.to_string());
        }
        rig.conns[alice.conn].handle_unblocked();
        let mut text = Vec::new();
        while let Some(bytes) = alice.write(&mut rig, 3) {
            text.extend(unframed(&mut alice.frames, &bytes));
        }
        assert_eq!(alice.frames.end(), None);
        let heard = messages(std::str::from_utf8(&text).unwrap());
        assert!(heard[0].starts_with("first"), "{heard:?}");
        assert!(heard.iter().any(|text| text.contains("were dropped here")), "{heard:?}");
        assert_eq!(heard.last().map(String::as_str), Some("9"));
    }
}

/// The frames of a life: a name, objects whole and cut, errors, and pings.
fn life(texts: &[String], ends_well: bool) -> Vec<u8> {
    let mut input = message(b"alice");
    for text in texts {
        input.extend(message(object("bob", text).as_bytes()));
        input.extend(message(object("/nothing", text).as_bytes()));
    }
    input.extend(message(b"{\"from\":7}"));
    input.extend(if ends_well { close() } else { frame(0x82, b"binary") });
    input.extend(message(object("bob", "never").as_bytes()));
    input
}

proptest! {
    /// However the bytes are cut on both ways, both peers read the same.
    #[test]
    fn pieces_of_frames_change_nothing(
        texts in prop::collection::vec(".{0,80}", 1..8),
        ends_well in any::<bool>(),
        cuts in prop::collection::vec(1..40_usize, 1..20),
        most in 1..60_usize,
    ) {
        let input = life(&texts, ends_well);
        let talk = |cuts: &[usize], most: usize| {
            let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
            let bob = rig.join("bob");
            let alice = Browser::connect(&mut rig);
            let mut frames = Unframer::of_server();
            let mut heard = [Vec::new(), Vec::new()];
            let mut rest = &input[..];
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                rest = behind;
                rig.input(alice.conn, piece);
                while let Some(bytes) = alice.write(&mut rig, most) {
                    heard[0].extend(unframed(&mut frames, &bytes));
                }
                while let Some(bytes) = rig.with(bob, |conn, cx| conn.poll_transmit(most, cx)) {
                    heard[1].extend_from_slice(&bytes);
                }
                if rest.is_empty() {
                    break;
                }
            }
            (heard, frames.end(), rig.state(alice.conn), rig.hub.online())
        };
        prop_assert_eq!(talk(&cuts, most), talk(&[usize::MAX], usize::MAX));
    }
}
