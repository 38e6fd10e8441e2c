//! Peers over WebSocket at bad moments. They send pings during an end, and close frames behind errors and effects.
//! In random lives, every byte that is written must belong to a valid frame.

use std::time::Duration;

use super::tests::{Rig, messages, object, unlimited};
use super::{ConnectionState, Framing, ServerConnection};
use crate::endpoint::Request;
use crate::hub::{Completion, Effect, Hub};
use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;
use crate::test_depth::is_deep;
use crate::websocket::testing::{close, frame, message};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8A;

fn connect(rig: &mut Rig) -> usize {
    let conn = rig.connect();
    let id = rig.conns[conn].id();
    let connection = ServerConnection::new(id, rig.now.monotonic, &rig.config);
    rig.conns[conn] = connection.with_framing(Framing::WebSocket);
    conn
}

fn join(rig: &mut Rig, name: &str) -> usize {
    let conn = connect(rig);
    rig.input(conn, &message(name.as_bytes()));
    assert!(texts(&read(rig, conn))[0].contains("Welcome"));
    conn
}

fn write(rig: &mut Rig, conn: usize, most: usize) -> Option<Vec<u8>> {
    let bytes = rig.with(conn, |conn, cx| conn.poll_transmit(most, cx))?;
    assert!(!bytes.is_empty() && bytes.len() <= most);
    Some(bytes.to_vec())
}

/// Everything that can be written without time passing.
fn read(rig: &mut Rig, conn: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        rig.do_what_is_due(conn);
        if let Some(bytes) = write(rig, conn, usize::MAX) {
            all.extend(bytes);
        } else if rig.due(conn).is_none_or(|at| at > rig.now.monotonic) {
            return all;
        }
    }
}

/// The frames of a server, by the letter: whole, unmasked, with lengths in their shortest form.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut is_closed = false;
    while !bytes.is_empty() {
        assert!(!is_closed, "bytes behind the close frame");
        let first = bytes[0];
        let (length, header) = match bytes[1] {
            127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize, 10),
            126 => (u16::from_be_bytes(bytes[2..4].try_into().unwrap()).into(), 4),
            length => (length.into(), 2),
        };
        let shortest = if length < 126 {
            2
        } else if length < 1 << 16 {
            4
        } else {
            10
        };
        assert_eq!(header, shortest);
        let payload = bytes[header..header + length].to_vec();
        bytes = &bytes[header + length..];
        match first {
            TEXT => assert!(payload.ends_with(b"}\n"), "no whole object"),
            PONG => assert!(length <= 125),
            CLOSE => is_closed = true,
            _ => panic!("a frame that begins with {first:#x}"),
        }
        frames.push((first, payload));
    }
    frames
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let objects: Vec<_> = frames(bytes).into_iter().filter(|frame| frame.0 == TEXT).collect();
    objects.iter().flat_map(|object| messages(std::str::from_utf8(&object.1).unwrap())).collect()
}

fn code(bytes: &[u8]) -> Option<u16> {
    let (first, payload) = frames(bytes).pop()?;
    (first == CLOSE).then(|| u16::from_be_bytes(payload.try_into().unwrap()))
}

fn with_endpoint(limits: Limits) -> Rig {
    let mut rig = Rig::new(limits.clone(), SlowReader::Disconnect);
    let handler = |_: &Request| Ok(String::new());
    rig.hub = Hub::builder().limits(limits).endpoint("/slow", "Slow.", handler).unwrap().build();
    rig
}

/// Completes the effect that was asked for first. False if there is none.
fn complete(rig: &mut Rig) -> bool {
    let Some(effect) = rig.out.next_effect() else { return false };
    let Effect::Call { token, .. } = effect else { panic!("no call") };
    let (hub, out) = (&mut rig.hub, &mut rig.out);
    hub.handle_completion(token, Completion::Answered(Ok("slow".to_owned())), rig.now, out);
    rig.deliver();
    true
}

#[test]
fn pings_do_not_delay_the_end() {
    let rate = Some(Rate { per_second: 1, burst: 2 });
    let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
    let alice = join(&mut rig, "alice");
    rig.hub.handle_shutdown(rig.now, &mut rig.out);
    rig.deliver();
    for _ in 0..10 {
        rig.input(alice, &frame(0x89, b"x"));
    }
    assert!(rig.conns[alice].wants_input(), "discarded input has no rate limit");
    assert_eq!(code(&read(&mut rig, alice)), Some(1001));
    assert_eq!(rig.state(alice), ConnectionState::ShutDown);
    for _ in 0..10 {
        rig.input(alice, &frame(0x89, b"x"));
    }
    rig.input(alice, &close());
    assert_eq!((rig.state(alice), rig.hub.connections()), (ConnectionState::Closed, 0));
}

#[test]
fn an_error_that_was_not_reached_says_nothing_about_the_end() {
    let mut rig = with_endpoint(unlimited());
    let alice = join(&mut rig, "alice");
    let mut input = message(object("/slow", "").as_bytes());
    input.extend(message(b"no object"));
    rig.input(alice, &input);
    rig.hub.handle_shutdown(rig.now, &mut rig.out);
    rig.deliver();
    assert_eq!(code(&read(&mut rig, alice)), Some(1001));
}

#[test]
fn an_error_has_its_code_though_a_close_frame_is_right_behind_it() {
    for is_one_read in [true, false] {
        let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
        let alice = join(&mut rig, "alice");
        let mut input = message(b"no object");
        if !is_one_read {
            rig.input(alice, &input);
            input.clear();
        }
        input.extend(close());
        rig.input(alice, &input);
        assert_eq!(code(&read(&mut rig, alice)), Some(1007), "{is_one_read}");
    }
}

#[test]
fn an_effect_is_not_waited_for_without_end_behind_a_close_frame() {
    for is_one_read in [true, false] {
        let mut rig = with_endpoint(unlimited());
        let alice = join(&mut rig, "alice");
        let mut input = message(object("/slow", "").as_bytes());
        if !is_one_read {
            rig.input(alice, &input);
            input.clear();
        }
        input.extend(close());
        rig.input(alice, &input);
        assert!(rig.out.next_effect().is_some());
        rig.now.monotonic += rig.config.limits.drain;
        read(&mut rig, alice);
        rig.now.monotonic += rig.config.limits.linger;
        read(&mut rig, alice);
        assert_eq!(rig.state(alice), ConnectionState::Closed, "{is_one_read}");
        assert_eq!(rig.hub.connections(), 0);
    }
}

#[test]
fn a_name_is_the_whole_message() {
    for name in ["GET / HTTP/1.1", "GET /x", "SSH-2.0-client", "\u{16}\u{3}", "a\nb", "a{b", "a{"] {
        for is_in_url in [true, false] {
            let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
            let alice = connect(&mut rig);
            if is_in_url {
                rig.conns[alice].handle_requested_name(name);
            } else {
                rig.input(alice, &message(name.as_bytes()));
            }
            let bytes = read(&mut rig, alice);
            let heard = texts(&bytes);
            assert_eq!(heard.len(), 1, "{name:?}: {heard:?}");
            let is_name = crate::UserName::new(name).is_ok();
            assert_eq!(heard[0].contains("Welcome"), is_name, "{name:?}: {heard:?}");
            assert_eq!(code(&bytes), (!is_name).then_some(1008), "{name:?}: {heard:?}");
            assert_eq!(rig.hub.online(), usize::from(is_name));
        }
    }
}

#[test]
fn a_requested_name_is_enough_without_frames_too() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let alice = rig.connect();
    rig.conns[alice].handle_requested_name("alice");
    assert!(rig.read(alice).contains("Welcome, alice!"));
    rig.send(alice, "/ping", "there");
    assert_eq!(messages(&rig.read(alice)), ["there"]);
}

#[test]
fn a_peer_at_its_rate_is_not_paused_for_the_end_of_a_message() {
    let rate = Some(Rate { per_second: 10, burst: 3 });
    for count in 1..5 {
        let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
        let (plain, framed) = (rig.join("plain"), join(&mut rig, "framed"));
        for _ in 0..count {
            let text = object("/ping", "x") + "\n";
            rig.input(plain, text.as_bytes());
            rig.input(framed, &frame(TEXT, text.as_bytes()));
            assert_eq!(rig.conns[plain].wants_input(), rig.conns[framed].wants_input(), "{count}");
            assert_eq!(rig.due(plain), rig.due(framed));
        }
    }
}

#[test]
fn however_a_browser_reads_it_hears_or_is_told_of_every_message() {
    for seed in 0..if is_deep() { 2000 } else { 100 } {
        random_reader(seed);
    }
}

fn random_reader(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let limits =
        Limits { queue_messages: dice.usize(1..12), answer: 256, frame: 128 * 1024, ..unlimited() };
    let policy = if dice.bool() { SlowReader::Disconnect } else { SlowReader::DropOldest };
    let asks = dice.bool();
    let mut rig = Rig::new(limits, policy);
    let bob = rig.join("bob");
    let alice = join(&mut rig, "alice");
    for number in 0..12 {
        rig.join(&format!("user-with-a-long-name-{number:04}"));
    }
    read(&mut rig, alice);
    let config = rig.config.clone();
    let (mut bytes, mut sent, mut pings) = (Vec::new(), 0_i64, 0_u32);
    for _ in 0..200 {
        let now = rig.now.monotonic;
        match dice.u32(0..14) {
            0..=3 => {
                for _ in 0..dice.u32(1..4) {
                    let length = [0, 30, 200, 70_000][dice.usize(0..100).saturating_sub(96)];
                    let length = if dice.bool() { length } else { dice.usize(0..130) };
                    rig.send(bob, "alice", &format!("m{sent} {}", "x".repeat(length)));
                    sent += 1;
                }
            }
            4..=6 => {
                let most = [4, 30, 400][dice.usize(0..3)];
                let most = dice.usize(1..most);
                bytes.extend(write(&mut rig, alice, most).unwrap_or_default());
            }
            7 => rig.conns[alice].handle_blocked(now, &config),
            8 => rig.conns[alice].handle_unblocked(),
            9 if dice.u32(0..4) == 0 => {
                rig.conns[alice].cut(now, &config);
            }
            10 | 11 if rig.conns[alice].wants_input() => {
                let length = dice.usize(0..100);
                let payload = format!("{pings} {}", "p".repeat(length));
                pings += 1;
                rig.input(alice, &frame(0x89, payload.as_bytes()));
            }
            12 if asks && rig.conns[alice].wants_input() => {
                rig.input(alice, &message(object("/list", "").as_bytes()));
            }
            _ => rig.do_what_is_due(alice),
        }
        rig.read(bob);
    }
    rig.conns[alice].handle_unblocked();
    for _ in 0..100 {
        bytes.extend(read(&mut rig, alice));
    }
    assert_eq!(rig.conns[alice].queued(), 0, "seed {seed}");
    let is_open = rig.state(alice) == ConnectionState::Open;
    let all = frames(&bytes);
    assert_eq!(code(&bytes), (!is_open).then_some(1008), "seed {seed}");
    let (mut next, mut missed, mut last_pong) = (0_i64, 0_i64, None);
    for (first, payload) in &all {
        let text = std::str::from_utf8(payload);
        if *first == PONG {
            let number: u32 = text.unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(last_pong < Some(number), "seed {seed}: {number} after {last_pong:?}");
            last_pong = Some(number);
        } else if *first == TEXT {
            for msg in messages(text.unwrap()) {
                if let Some(number) = msg.strip_prefix('m').and_then(|m| m.split(' ').next()) {
                    let number: i64 = number.parse().unwrap();
                    assert!(number >= next, "seed {seed}: {number} after {next}");
                    missed -= number - next;
                    next = number + 1;
                } else if msg.contains("dropped here") || msg.contains("not delivered") {
                    let count = msg.split(|c: char| !c.is_ascii_digit()).find(|w| !w.is_empty());
                    missed += count.expect("a number").parse::<i64>().unwrap();
                }
            }
        }
    }
    if is_open {
        assert_eq!(last_pong, pings.checked_sub(1), "seed {seed}: the last ping is answered");
        // nobody is in the middle of anything
        rig.send(bob, "alice", "last");
        assert_eq!(texts(&read(&mut rig, alice)), ["last"], "seed {seed}");
    }
    // (answers may be missed, too, and after the end nothing is counted)
    if is_open && !asks {
        assert_eq!(missed, sent - next, "seed {seed}, sent {sent}");
    }
}

#[test]
fn however_input_is_cut_and_put_back_every_object_counts_once() {
    for seed in 0..if is_deep() { 4000 } else { 200 } {
        random_speaker(seed);
    }
}

fn random_speaker(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let rate = dice.bool().then_some(Rate { per_second: 50, burst: dice.u32(2..10) });
    let mut rig = with_endpoint(Limits { rate, errors: 1000, ..unlimited() });
    let bob = rig.join("bob");
    let alice = connect(&mut rig);
    let mut input = message(b"alice");
    let (mut said, mut slow, mut wrong) = (0, 0, 0);
    for _ in 0..dice.usize(0..30) {
        match dice.u32(0..8) {
            0 => {
                input.extend(message(object("/slow", "").as_bytes()));
                slow += 1;
            }
            1 => input.extend(frame(0x89, b"ping")),
            2 => input.extend(message([&b""[..], b" ", b" \r\n  "][dice.usize(0..3)])),
            3 => {
                input.extend(message(b" {\"to\":\"bob\"} "));
                wrong += 1;
            }
            _ => {
                let text = object("bob", &format!("m{said} {}", "y".repeat(dice.usize(0..9))));
                input.extend(message(text.as_bytes()));
                said += 1;
            }
        }
    }
    let expected = match dice.u32(0..5) {
        0 => {
            input.extend(close());
            1000
        }
        1 => {
            input.extend(frame(0x82, b"{}"));
            1003
        }
        2 => {
            input.extend(message(b"{} {}"));
            wrong += 1;
            1007
        }
        3 => {
            let two = object("bob", &format!("m{said}")) + &object("bob", "second");
            said += 1;
            input.extend(message(two.as_bytes()));
            1007
        }
        _ => {
            input.extend(message(b"{\"from\":"));
            1007
        }
    };
    // nothing behind that counts
    input.extend(message(object("bob", "never").as_bytes()));
    input.extend(close());
    let mut heard = Vec::new();
    let mut rest = &input[..];
    let mut bytes = Vec::new();
    let mut completed = 0;
    for _ in 0..3000 {
        let is_patient = dice.u32(0..8) > 0;
        match dice.u32(0..6) {
            0 | 1 if rig.conns[alice].wants_input() || !is_patient => {
                let most = [2, 40, 400][dice.usize(0..3)];
                let (piece, behind) = rest.split_at(dice.usize(0..=most.min(rest.len())));
                rest = behind;
                rig.input(alice, piece);
            }
            2 => completed += usize::from(complete(&mut rig)),
            3 => rig.now.monotonic += Duration::from_millis(dice.u64(0..100)),
            4 => bytes.extend(write(&mut rig, alice, dice.usize(1..50)).unwrap_or_default()),
            _ => rig.do_what_is_due(alice),
        }
        heard.extend(messages(&rig.read(bob)));
        let is_done = rest.is_empty() && rig.state(alice) >= ConnectionState::ShutDown;
        if is_done {
            break;
        }
    }
    bytes.extend(read(&mut rig, alice));
    rig.with(alice, ServerConnection::handle_end);
    bytes.extend(read(&mut rig, alice));
    assert_eq!(rig.state(alice), ConnectionState::Closed, "seed {seed}");
    let numbers: Vec<_> = heard.iter().map(|m| m.split(' ').next().unwrap().to_owned()).collect();
    let all: Vec<_> = (0..said).map(|number| format!("m{number}")).collect();
    assert_eq!(numbers, all, "seed {seed}");
    let answers = texts(&bytes);
    let count = |text: &str| answers.iter().filter(|answer| answer.contains(text)).count();
    assert_eq!((count("slow"), completed), (slow, slow), "seed {seed}: {answers:?}");
    assert_eq!(count("It was ignored"), wrong, "seed {seed}: {answers:?}");
    assert_eq!(code(&bytes), Some(expected), "seed {seed}: {answers:?}");
    assert_eq!(rig.hub.connections(), 1, "seed {seed}");
}
