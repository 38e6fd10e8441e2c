//! Connections of embedders and peers that do what they may at bad moments: ends, errors and cuts in the middle
//! of answers, and random lives.

use std::sync::mpsc;
use std::time::Duration;

use super::tests::{Rig, messages, object, unlimited};
use super::{ConnectionState, ServerConnection};
use crate::endpoint::Request;
use crate::hub::{Completion, Effect, Hub};
use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;

/// Fails if it does not end within a minute.
fn in_time(run: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("it ends");
}

fn with_endpoint(limits: Limits) -> Rig {
    let mut rig = Rig::new(limits.clone(), SlowReader::Disconnect);
    let handler = |_: &Request| Ok(String::new());
    rig.hub = Hub::builder().limits(limits).endpoint("/long", "Long.", handler).unwrap().build();
    rig
}

fn complete(rig: &mut Rig, text: String) {
    let Some(Effect::Call { token, .. }) = rig.out.next_effect() else { panic!("no call") };
    let (hub, out) = (&mut rig.hub, &mut rig.out);
    hub.handle_completion(token, Completion::Answered(Ok(text)), rig.now, out);
    rig.deliver();
}

#[test]
fn stored_input_may_end_with_a_framing_error_and_the_peers_end() {
    in_time(|| {
        let rate = Some(Rate { per_second: 10, burst: 2 });
        let mut rig = Rig::new(Limits { rate, ..unlimited() }, SlowReader::Disconnect);
        let (alice, _bob) = (rig.join("alice"), rig.join("bob"));
        let mut input = (0..6).map(|n| object("bob", &n.to_string())).collect::<String>();
        input.push_str("no object");
        rig.input(alice, input.as_bytes());
        rig.with(alice, ServerConnection::handle_end);
        for _ in 0..100 {
            rig.read(alice);
            if rig.state(alice) == ConnectionState::Closed {
                return;
            }
            rig.pass(alice);
        }
    });
}

#[test]
fn a_framing_error_and_the_end_may_come_before_any_delivery() {
    in_time(|| {
        let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
        let alice = rig.join("alice");
        rig.with(alice, |conn, cx| {
            conn.handle_input(b"no object", cx);
            conn.handle_end(cx);
        });
    });
}

#[test]
fn a_framing_error_behind_an_effect_and_the_end_are_handled() {
    in_time(|| {
        let mut rig = with_endpoint(unlimited());
        let alice = rig.join("alice");
        rig.input(alice, (object("/long", "") + "no object").as_bytes());
        rig.with(alice, ServerConnection::handle_end);
        complete(&mut rig, "short".to_owned());
        rig.read(alice);
    });
}

#[test]
fn a_message_behind_a_long_answer_of_a_reader_that_is_gone_comes_once() {
    let limits = Limits { answer: 256, ..unlimited() };
    let mut rig = Rig::new(limits, SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    for number in 0..30 {
        rig.join(&format!("user-with-a-long-name-{number:04}"));
    }
    rig.read(bob);
    rig.with(alice, ServerConnection::handle_write_error);
    rig.input(alice, (object("/list", "") + &object("bob", "once")).as_bytes());
    rig.read(alice);
    assert_eq!(messages(&rig.read(bob)), ["once"]);
}

#[test]
fn an_answer_that_was_cut_in_its_last_part_does_not_cut_the_next_one() {
    let limits = Limits { answer: 256, queue_messages: 10, ..unlimited() };
    let mut rig = Rig::new(limits, SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    for number in 0..40 {
        rig.join(&format!("user-with-a-long-name-{number:04}"));
    }
    rig.read(alice);
    rig.send(alice, "/list", "");
    // up to the object before the last one
    loop {
        rig.do_what_is_due(alice);
        if let Some(text) = rig.write(alice, usize::MAX) {
            let text = &messages(&text)[0];
            let (at, of) = text.rsplit_once('(').unwrap().1.split_once('/').unwrap();
            let of: usize = of.trim_end_matches(')').parse().unwrap();
            if at.parse::<usize>().unwrap() + 1 == of {
                break;
            }
        }
    }
    assert!(rig.hub.is_answering(rig.conns[alice].id()));
    for number in 0..10 {
        rig.send(bob, "alice", &number.to_string());
    }
    rig.with(alice, ServerConnection::handle_timeout); // the last part
    assert!(!rig.hub.is_answering(rig.conns[alice].id()));
    assert!(rig.conns[alice].wants_input());
    rig.send(alice, "/list", ""); // before the due handle_timeout
    rig.read(alice);
    rig.send(bob, "alice", "are you there?");
    let heard = rig.read(alice);
    assert!(
        heard.contains("are you there?"),
        "stalled: due {:?}, queued {}",
        rig.due(alice),
        rig.conns[alice].queued()
    );
}

#[test]
fn an_effect_with_a_long_answer_is_gone_on_with_at_once() {
    let mut rig = with_endpoint(unlimited());
    let alice = rig.join("alice");
    rig.send(alice, "/long", "");
    complete(&mut rig, "word ".repeat(10_000));
    assert_eq!(rig.due(alice), Some(rig.now.monotonic));
}

#[test]
fn the_shutdown_after_the_end_is_due_at_once() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let alice = rig.join("alice");
    rig.with(alice, ServerConnection::handle_end);
    assert_eq!(rig.due(alice), Some(rig.now.monotonic));
}

#[test]
fn the_notice_of_missed_messages_is_due_at_once() {
    let mut rig = Rig::new(unlimited(), SlowReader::DropOldest);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let (now, config) = (rig.now.monotonic, rig.config.clone());
    rig.conns[bob].handle_blocked(now, &config);
    rig.send(alice, "bob", "dropped");
    rig.conns[bob].cut(now, &config);
    rig.conns[bob].handle_unblocked();
    assert_eq!(rig.due(bob), Some(now), "the peer is to be told of 1 dropped message");
}

#[test]
fn the_last_words_are_due_at_once() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let (now, config) = (rig.now.monotonic, rig.config.clone());
    rig.conns[bob].handle_blocked(now, &config);
    rig.send(alice, "bob", "dropped");
    rig.conns[bob].cut(now, &config);
    rig.conns[bob].handle_unblocked();
    assert_eq!(rig.due(bob), Some(now));
}

#[test]
fn a_peer_that_ended_and_does_not_read_a_long_answer_is_closed() {
    let mut rig = with_endpoint(unlimited());
    let alice = rig.join("alice");
    rig.send(alice, "/long", "");
    rig.with(alice, ServerConnection::handle_end);
    let (now, config) = (rig.now.monotonic, rig.config.clone());
    rig.conns[alice].handle_blocked(now, &config);
    complete(&mut rig, "word ".repeat(10_000));
    rig.with(alice, ServerConnection::handle_timeout);
    for _ in 0..1000 {
        rig.now.monotonic += Duration::from_secs(10);
        rig.with(alice, ServerConnection::handle_timeout);
    }
    assert_eq!(rig.hub.connections(), 0, "due {:?}, state {:?}", rig.due(alice), rig.state(alice));
}

#[test]
fn a_cut_leaves_the_last_words() {
    let mut rig = Rig::new(Limits { queue_messages: 10, ..unlimited() }, SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let (now, config) = (rig.now.monotonic, rig.config.clone());
    rig.conns[bob].handle_blocked(now, &config);
    for number in 0..25 {
        rig.send(alice, "bob", &number.to_string());
    }
    rig.pass(bob); // had its time: the last words are queued
    let now = rig.now.monotonic;
    rig.conns[bob].cut(now, &config);
    rig.conns[bob].handle_unblocked();
    let heard = rig.read(bob);
    assert!(
        heard.contains("25 messages were not delivered"),
        "heard {heard:?}, {:?}",
        rig.state(bob)
    );
}

#[test]
fn cutting_the_longest_queue_comes_to_an_end() {
    let mut rig = Rig::new(Limits { queue_total: 30_000, ..unlimited() }, SlowReader::DropOldest);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let config = rig.config.clone();
    rig.send(alice, "bob", &"x".repeat(60_000));
    rig.read(alice);
    assert!(rig.write(bob, 1000).is_some());
    let now = rig.now.monotonic;
    rig.conns[bob].handle_blocked(now, &config);
    let mut cuts = 0;
    while rig.config.queued() > rig.config.limits.queue_total
        && let Some(conn) = rig.conns.iter_mut().max_by_key(|conn| conn.queued())
        && conn.cut(now, &config)
    {
        cuts += 1;
        assert!(
            cuts < 1000,
            "endless: queued {} in all, longest {}",
            config.queued(),
            conn.queued()
        );
    }
}

#[test]
fn a_few_bytes_on_their_way_do_not_keep_a_batch() {
    let mut rig = Rig::new(Limits::default(), SlowReader::Disconnect);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    let input = object("bob", "hi") + &object("/help", "").repeat(190);
    for number in 0..250 {
        rig.join(&format!("somebody-with-quite-a-long-name-for-a-list-of-users-{number:03}"));
    }
    rig.read(bob);
    let input = input.replace("/help", "/list");
    rig.input(alice, input.as_bytes());
    let bytes = rig.with(bob, |conn, cx| conn.poll_transmit(usize::MAX, cx)).unwrap();
    let (now, config) = (rig.now.monotonic, rig.config.clone());
    rig.conns[bob].handle_blocked(now, &config);
    rig.with(alice, ServerConnection::handle_lost);
    let all: usize = rig.conns.iter().map(ServerConnection::queued).sum();
    assert!(
        config.queued() < 16 * 1024,
        "{} bytes in flight keep {} (in queues: {all})",
        bytes.len(),
        config.queued()
    );
}

#[test]
fn empty_input_does_not_delay_a_name() {
    let mut rig = Rig::new(unlimited(), SlowReader::Disconnect);
    let alice = rig.connect();
    rig.input(alice, b"alice");
    for _ in 0..100 {
        rig.now.monotonic += Duration::from_millis(5);
        rig.do_what_is_due(alice);
        rig.input(alice, b"");
    }
    assert_eq!(rig.hub.online(), 1);
}

#[test]
fn after_calls_in_any_order_the_hub_forgets_all() {
    in_time(|| {
        for seed in 0..100 {
            random_life(seed);
        }
    });
}

fn random_life(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let rate = (dice.bool()).then_some(Rate { per_second: 50, burst: 20 });
    let limits =
        Limits { rate, answer: 256, queue_messages: dice.usize(4..40), errors: 3, ..unlimited() };
    let policy = if dice.bool() { SlowReader::Disconnect } else { SlowReader::DropOldest };
    let mut rig = Rig::new(limits, policy);
    let names: Vec<usize> =
        (0..12).map(|n| rig.join(&format!("somebody-with-a-name-{n:02}"))).collect();
    let one_read = rig.connect();
    rig.input(one_read, b"one");
    rig.pass(one_read);
    let all: Vec<usize> = names.into_iter().chain([one_read]).collect();
    for _ in 0..400 {
        let conn = all[dice.usize(0..4)];
        let config = rig.config.clone();
        let now = rig.now.monotonic;
        match dice.u32(0..20) {
            0..=5 => {
                let to = [
                    "somebody-with-a-name-00",
                    "somebody-with-a-name-01",
                    "/list",
                    "/shout",
                    "/help",
                    "/ping",
                    "one",
                    "/nothing",
                ][dice.usize(0..8)];
                let text = object(to, "text");
                if rig.conns[conn].wants_input() || dice.u32(0..4) == 0 {
                    rig.input(conn, text.repeat(dice.usize(1..4)).as_bytes());
                }
            }
            6..=9 => {
                rig.do_what_is_due(conn);
                let before = rig.due(conn).is_some_and(|at| at <= now);
                let has = rig.with(conn, |c, cx| c.poll_transmit(37, cx)).is_some();
                assert!(before || !has, "seed {seed}: bytes, but no poll_timeout");
            }
            10 => rig.conns[conn].handle_blocked(now, &config),
            11 | 12 => rig.conns[conn].handle_unblocked(),
            13 => {
                rig.conns[conn].cut(now, &config);
            }
            14 => rig.now.monotonic += Duration::from_millis(dice.u64(0..50)),
            15 => rig.do_what_is_due(conn),
            16 if dice.u32(0..20) == 0 => rig.with(conn, ServerConnection::handle_end),
            17 if dice.u32(0..20) == 0 => rig.with(conn, ServerConnection::handle_write_error),
            18 if dice.u32(0..40) == 0 => rig.with(conn, ServerConnection::handle_lost),
            _ => {
                rig.read(conn);
            }
        }
    }
    for &conn in &all {
        rig.conns[conn].handle_unblocked();
        rig.with(conn, ServerConnection::handle_end);
    }
    for _ in 0..100 {
        for &conn in &all {
            rig.read(conn);
        }
        rig.now.monotonic += Duration::from_secs(1);
    }
    assert_eq!(rig.hub.connections(), 0, "seed {seed}");
    rig.conns.clear();
    assert_eq!(rig.config.queued(), 0, "seed {seed}");
}

#[test]
fn a_slow_reader_hears_or_is_told_of_every_message() {
    in_time(|| {
        for seed in 0..60 {
            random_reader(seed, seed % 2 == 0);
        }
    });
}

fn random_reader(seed: u64, is_stream: bool) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let limits = Limits { queue_messages: dice.usize(1..12), ..unlimited() };
    let mut rig = Rig::new(limits, SlowReader::DropOldest);
    let alice = rig.join("alice");
    let bob = rig.connect();
    rig.input(bob, if is_stream { b"bob\n" } else { b"bob" });
    if !is_stream {
        rig.pass(bob);
    }
    rig.read(bob);
    let config = rig.config.clone();
    let (mut text, mut sent) = (Vec::new(), 0);
    for _ in 0..200 {
        let now = rig.now.monotonic;
        match dice.u32(0..10) {
            0..=3 => {
                for _ in 0..dice.u32(1..4) {
                    rig.send(alice, "bob", &format!("m{sent}"));
                    sent += 1;
                }
            }
            4 | 5 => {
                let most = dice.usize(1..200);
                if let Some(bytes) = rig.with(bob, |conn, cx| conn.poll_transmit(most, cx)) {
                    text.extend_from_slice(&bytes);
                }
            }
            6 => rig.conns[bob].handle_blocked(now, &config),
            7 => rig.conns[bob].handle_unblocked(),
            8 if dice.u32(0..4) == 0 => {
                rig.conns[bob].cut(now, &config);
            }
            _ => rig.now.monotonic += Duration::from_millis(dice.u64(0..8)),
        }
        rig.read(alice);
    }
    rig.conns[bob].handle_unblocked();
    for _ in 0..100 {
        rig.do_what_is_due(bob);
        while let Some(bytes) = rig.with(bob, |conn, cx| conn.poll_transmit(usize::MAX, cx)) {
            text.extend_from_slice(&bytes);
        }
        rig.now.monotonic += Duration::from_millis(5);
    }
    let text = String::from_utf8(text).unwrap();
    let (mut next, mut missed) = (0, 0);
    for message in messages(&text) {
        if let Some(number) = message.strip_prefix('m').and_then(|n| n.parse::<u64>().ok()) {
            assert!(number >= next, "seed {seed}: {number} after {next}");
            // the notices before this message may count more messages than stood before it, never fewer
            missed -= i64::try_from(number - next).unwrap();
            next = number + 1;
        } else {
            let number: i64 = message
                .split(|c: char| !c.is_ascii_digit())
                .find(|word| !word.is_empty())
                .expect("a number")
                .parse()
                .unwrap();
            missed += number;
        }
    }
    missed -= i64::try_from(sent - next).unwrap();
    assert_eq!(missed, 0, "seed {seed}, sent {sent}: {text}");
}

#[test]
fn long_answers_in_between_change_no_order() {
    in_time(|| {
        for seed in 0..60 {
            random_lists(seed);
        }
    });
}

fn random_lists(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let limits = Limits { queue_messages: dice.usize(6..20), answer: 256, ..unlimited() };
    let policy = if dice.bool() { SlowReader::Disconnect } else { SlowReader::DropOldest };
    let mut rig = Rig::new(limits, policy);
    let (alice, bob) = (rig.join("alice"), rig.join("bob"));
    for number in 0..20 {
        rig.join(&format!("user-with-a-long-name-{number:04}"));
    }
    rig.read(bob);
    rig.read(alice);
    let config = rig.config.clone();
    let (mut text, mut sent, mut asked) = (Vec::new(), 0, 0);
    for _ in 0..150 {
        let now = rig.now.monotonic;
        match dice.u32(0..10) {
            0 | 1 => {
                for _ in 0..dice.u32(1..4) {
                    rig.send(alice, "bob", &format!("m{sent}"));
                    sent += 1;
                }
            }
            2 if rig.conns[bob].wants_input() => {
                let input = object("/list", "") + &object("alice", &format!("b{asked}"));
                asked += 1;
                rig.input(bob, input.as_bytes());
            }
            3..=5 => {
                let most = dice.usize(1..400);
                if let Some(bytes) = rig.with(bob, |conn, cx| conn.poll_transmit(most, cx)) {
                    text.extend_from_slice(&bytes);
                }
            }
            6 => rig.conns[bob].handle_blocked(now, &config),
            7 => rig.conns[bob].handle_unblocked(),
            8 if dice.u32(0..8) == 0 => {
                rig.conns[bob].cut(now, &config);
            }
            _ => rig.do_what_is_due(bob),
        }
    }
    rig.conns[bob].handle_unblocked();
    for _ in 0..200 {
        rig.do_what_is_due(bob);
        while let Some(bytes) = rig.with(bob, |conn, cx| conn.poll_transmit(usize::MAX, cx)) {
            text.extend_from_slice(&bytes);
        }
    }
    let text = String::from_utf8(text).unwrap();
    let heard = messages(&text);
    let numbers = |heard: &[String], head: char| -> Vec<u64> {
        heard.iter().filter_map(|m| m.strip_prefix(head)?.parse().ok()).collect()
    };
    let of_alice = numbers(&heard, 'm');
    assert!(of_alice.is_sorted_by(|a, b| a < b), "seed {seed}: {of_alice:?}");
    assert_eq!(
        rig.conns[bob].queued(),
        0,
        "seed {seed}: left lying, {policy:?}, {:?}",
        rig.state(bob)
    );
    if rig.state(bob) == ConnectionState::Open {
        let of_bob = numbers(&messages(&rig.read(alice)), 'b');
        assert!(of_bob.is_sorted_by(|a, b| a < b), "seed {seed}: {of_bob:?}");
        if policy == SlowReader::Disconnect {
            assert_eq!(of_bob.len(), asked, "seed {seed}");
            assert!(heard.iter().any(|m| m.contains("not read fast")) || of_alice.len() == sent);
        }
        // nobody is in the middle of an answer
        rig.send(alice, "bob", "last");
        assert!(rig.read(bob).contains("last"), "seed {seed}");
    }
}
