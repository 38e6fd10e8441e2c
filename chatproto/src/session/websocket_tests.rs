//! A session over WebSocket, byte by byte and in every order of reading and writing.

use std::time::Instant;

use super::{ClientError, Session, SessionEvent};
use crate::handshake::PeerKind;
use crate::message::Message;
use crate::name::UserName;
use crate::websocket::{OpeningError, Violation, accept_key};

const OPEN: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

struct Pair {
    session: Session,
    now: Instant,
    /// Bytes that the client wrote.
    wire: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let name = UserName::new("alice").unwrap();
        let session = Session::new(name, "192.0.2.7").websocket(&"ws://h/ws".parse().unwrap());
        Pair { session, now: Instant::now(), wire: Vec::new() }
    }

    /// Writes everything, at most `most` bytes at a time.
    fn write(&mut self, most: usize) -> Vec<u8> {
        loop {
            let bytes = self.session.poll_transmit(self.now);
            let count = bytes.len().min(most);
            if count == 0 {
                return std::mem::take(&mut self.wire);
            }
            self.wire.extend_from_slice(&bytes[..count]);
            self.session.handle_transmitted(count, self.now);
        }
    }

    /// One whose handshake is done and that was welcomed.
    fn welcomed() -> Self {
        let mut pair = Pair::new();
        let request = String::from_utf8(pair.write(usize::MAX)).unwrap();
        let bytes = [response(&request).as_bytes(), &frame(0x81, welcome().as_bytes())].concat();
        pair.session.handle_input(&bytes, pair.now);
        assert!(matches!(pair.session.poll_event(), Some(SessionEvent::Registered(_))));
        assert_eq!(frames(&pair.write(usize::MAX)), [(0x81, b"alice".to_vec())]);
        pair
    }

    fn hear(&mut self, bytes: &[u8]) -> Option<SessionEvent> {
        self.session.handle_input(bytes, self.now);
        self.session.poll_event()
    }
}

fn response(request: &str) -> String {
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().lines().next().unwrap();
    format!("{OPEN}Sec-WebSocket-Accept: {}\r\n\r\n", accept_key(key))
}

fn welcome() -> String {
    Message::new("SERVER", "0.0.0.0", "alice", "Welcome, alice!").to_json() + "\n"
}

fn text(msg: &str) -> Message {
    Message::new("bob", "192.0.2.8", "alice", msg)
}

/// An unmasked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, payload.len() as u8], payload].concat()
}

/// The first byte of each masked frame, and its payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert!((0x80..0x80 + 126).contains(second), "{bytes:?}");
        let (mask, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(usize::from(second & 0x7F));
        let plain = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        frames.push((*first, plain.collect()));
        bytes = rest;
    }
    frames
}

#[test]
fn a_life_does_not_depend_on_the_pieces() {
    for piece in [1, 2, 3, 50, usize::MAX] {
        let mut pair = Pair::new();
        assert_eq!(pair.session.server_kind(), Some(PeerKind::Stream));
        // it waits for the welcome
        pair.session.send("bob", "early").unwrap();
        let request = String::from_utf8(pair.write(piece)).unwrap();
        assert!(request.starts_with("GET /ws HTTP/1.1\r\n") && request.ends_with("\r\n\r\n"));
        let object = text("é").to_json();
        let (first, second) = object.split_at(object.find('é').unwrap());
        let bytes = [
            response(&request).into_bytes(),
            frame(0x81, welcome().as_bytes()),
            frame(0x01, first.as_bytes()),
            frame(0x89, b"?"),
            frame(0x80, second.as_bytes()),
            frame(0x88, &1001_u16.to_be_bytes()),
        ]
        .concat();
        let (mut events, mut written) = (Vec::new(), Vec::new());
        for bytes in bytes.chunks(piece.min(bytes.len())) {
            pair.session.handle_input(bytes, pair.now);
            events.extend(std::iter::from_fn(|| pair.session.poll_event()));
            written.extend(pair.write(piece));
        }
        let registered = SessionEvent::Registered(Message::decode(welcome().as_bytes()).unwrap());
        assert_eq!(events, [registered, SessionEvent::Message(text("é"))], "in {piece}s");
        assert!(pair.session.has_ended() && !pair.session.has_outgoing());
        let written = frames(&written);
        assert_eq!(written[0], (0x81, b"alice".to_vec()), "the name is first");
        let early = Message::new("alice", "192.0.2.7", "bob", "early").to_json();
        let close = (0x88, 1001_u16.to_be_bytes().to_vec());
        if piece < bytes.len() {
            let expected = [(0x81, early.into_bytes()), (0x8A, b"?".to_vec()), close];
            assert_eq!(written[1..], expected, "in {piece}s");
        } else {
            assert_eq!(written.last(), Some(&close));
        }
    }
}

#[test]
fn an_answer_goes_behind_the_object_that_is_on_its_way() {
    for count in [0, 1, 5] {
        let mut pair = Pair::welcomed();
        for msg in ["one", "two"] {
            pair.session.send("bob", msg).unwrap();
        }
        // the caller has the first object, and the socket took a part of it
        let object = pair.session.poll_transmit(pair.now).to_vec();
        assert_eq!(pair.hear(&frame(0x89, b"x")), None);
        pair.wire.extend_from_slice(&object[..count]);
        pair.session.handle_transmitted(count, pair.now);
        let written = frames(&pair.write(usize::MAX));
        let kinds: Vec<_> = written.iter().map(|(first, _)| *first).collect();
        assert_eq!(kinds, [0x81, 0x8A, 0x81], "after {count} bytes");
    }
}

#[test]
fn pings_that_are_not_read_take_no_memory() {
    let mut pair = Pair::welcomed();
    for number in 0..10_000_u32 {
        assert_eq!(pair.hear(&frame(0x89, &number.to_be_bytes())), None);
    }
    let written = frames(&pair.write(usize::MAX));
    let pong = |number: u32| (0x8A, number.to_be_bytes().to_vec());
    assert_eq!(written, [pong(0), pong(9_999)], "the one that was queued, and the last one");
}

#[test]
fn the_close_frame_is_behind_all_messages() {
    let mut pair = Pair::welcomed();
    pair.session.send("bob", "last").unwrap();
    assert!(pair.session.finish() && pair.session.finish());
    assert!(matches!(pair.session.send("bob", "late"), Err(ClientError::Closed)));
    // the server closes first
    assert_eq!(pair.hear(&frame(0x88, &1000_u16.to_be_bytes())), None);
    assert!(pair.session.has_ended());
    let written = frames(&pair.write(usize::MAX));
    let kinds: Vec<_> = written.iter().map(|(first, _)| *first).collect();
    assert_eq!(kinds, [0x81, 0x88]);

    let mut plain = Session::new(UserName::new("alice").unwrap(), "192.0.2.7");
    assert!(!plain.finish(), "the caller shuts the connection down");
}

#[test]
fn the_close_frame_of_the_server_is_told() {
    let mut pair = Pair::welcomed();
    assert_eq!(pair.session.close_frame(), None);
    assert_eq!(pair.hear(&frame(0x88, b"\x03\xf5")), None);
    let close_frame = pair.session.close_frame().unwrap();
    assert_eq!(close_frame.to_string(), "close code 1013, try again later");
    let plain = Session::new(UserName::new("alice").unwrap(), "192.0.2.7");
    assert_eq!(plain.close_frame(), None);
}

#[test]
fn the_queue_is_counted_in_bytes_of_frames() {
    let mut pair = Pair::welcomed();
    assert_eq!(pair.session.outgoing_bytes(), 0);
    for msg in ["one", "two"] {
        pair.session.send("bob", msg).unwrap();
    }
    let both = pair.session.outgoing_bytes();
    let length = pair.session.poll_transmit(pair.now).len();
    assert_eq!(both, 2 * length);
    pair.session.handle_transmitted(5, pair.now);
    assert_eq!(pair.session.outgoing_bytes(), both - 5);
    // the server ends it: the second object is dropped, and the close frame is queued
    assert_eq!(pair.hear(&frame(0x88, b"")), None);
    assert_eq!(pair.session.outgoing_bytes(), length - 5 + 8);
    pair.write(usize::MAX);
    assert_eq!(pair.session.outgoing_bytes(), 0);
    // more than there was
    pair.session.handle_transmitted(99, pair.now);
    assert_eq!(pair.session.outgoing_bytes(), 0);
}

#[test]
fn violations_are_events_and_are_told() {
    let half = br#"{"from":"#;
    for (bytes, violation, code) in [
        (frame(0x82, b"{}"), Violation::Binary, 1003_u16),
        (vec![0x81, 0x80], Violation::Masked, 1002),
        (frame(0x81, half), Violation::UnfinishedObject, 1007),
    ] {
        let mut pair = Pair::welcomed();
        assert_eq!(pair.hear(&bytes), Some(SessionEvent::Violated(violation)));
        assert!(pair.session.has_ended());
        assert_eq!(pair.hear(&frame(0x81, b"{}")), None, "nothing more is read");
        let close = (0x88, code.to_be_bytes().to_vec());
        assert_eq!(frames(&pair.write(usize::MAX)), [close]);
    }
}

#[test]
fn the_first_of_two_violations_counts_if_one_read_has_both() {
    let half = frame(0x81, br#"{"from":"#);
    for behind in [frame(0x88, &1001_u16.to_be_bytes()), frame(0x82, b"{}"), vec![0xC1]] {
        let mut pair = Pair::welcomed();
        let event = pair.hear(&[&half[..], &behind].concat());
        assert_eq!(event, Some(SessionEvent::Violated(Violation::UnfinishedObject)));
        assert_eq!(pair.session.poll_event(), None);
        let close = (0x88, 1007_u16.to_be_bytes().to_vec());
        assert_eq!(frames(&pair.write(usize::MAX)), [close]);
    }
}

#[test]
fn a_server_that_does_not_open_it_is_an_event() {
    for (bytes, is_end) in [
        (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], false),
        (b"220 mail\r\n", false),
        (b"HTTP/1.1 101", true),
        (b"", true),
    ] {
        let mut pair = Pair::new();
        pair.write(usize::MAX);
        pair.session.handle_input(bytes, pair.now);
        if is_end {
            pair.session.handle_end();
        }
        let event = pair.session.poll_event();
        let is_right = match &event {
            Some(SessionEvent::NotOpened(OpeningError::Closed)) => is_end,
            Some(SessionEvent::NotOpened(_)) => !is_end,
            _ => false,
        };
        assert!(is_right && pair.session.has_ended(), "{event:?}");
        assert!(pair.session.poll_transmit(pair.now).is_empty(), "the name was not sent");
    }
}

#[test]
fn an_end_inside_an_object_is_an_error_over_frames_too() {
    let mut pair = Pair::welcomed();
    assert_eq!(pair.hear(&frame(0x01, b"{\"from\":")), None);
    pair.session.handle_end();
    assert!(matches!(pair.session.poll_event(), Some(SessionEvent::Bad(_))));
}
