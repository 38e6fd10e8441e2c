//! The same where the crowd asks for what is cheap to ask and expensive to answer: lists, and messages
//! to everybody. A turn does a bounded amount of work, each heavy user gets an equal share of it, and
//! the memory of all queues stays within its bound.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::Message;
use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;

use super::super::super::Entrance;
use super::super::askers::full_page;
use super::super::network::Nature;
use super::super::world::SECOND;
use super::Stage;
use crate::connection::ServerConnection;

/// The longest object of an answer, and how many there are of one.
const ANSWER: usize = 2048;
const PARTS: usize = 4;
const QUANTUM: u64 = 32 * 1024;
/// Heavy users that a turn serves, and what each of them may cause: a quantum and a request.
const SERVED: u64 = 8;

fn limits() -> Limits {
    Limits {
        answer: ANSWER,
        answer_parts: PARTS,
        rate: None,
        rate_bytes: None,
        ..Limits::default()
    }
}

fn object(to: &str, msg: &str) -> Vec<u8> {
    (Message::new("", "", to, msg).to_json() + "\n").into_bytes()
}

impl Stage {
    /// Users whose sockets have room for so many bytes.
    fn crowd(&mut self, count: usize, room: usize) {
        for number in 0..count {
            let nature = Nature { lane: 0, room, is_paced: false };
            let wire = self.world.network().connect(nature);
            self.world.accept(wire, 0, IpAddr::from([127, 0, 0, 1]), Entrance::Plain);
            let name = format!("user {number:03} {}\n", "x".repeat(40));
            self.world.network().arrive(wire, name.as_bytes());
            self.crowd.push(wire);
        }
        self.settle();
        self.read_crowd();
    }

    fn all_send(&mut self, bytes: &[u8]) {
        for &wire in &self.crowd {
            self.world.network().arrive(wire, bytes);
        }
    }

    /// The connection at the server's end of a wire.
    fn state(&self, wire: usize) -> &ServerConnection {
        let slot = self.world.network().wires[wire].slot.expect("an open connection");
        let reactor = self.world.lanes[0].reactor.as_ref().expect("a loop that runs");
        &reactor.conns[slot].as_ref().expect("an open connection").protocol
    }

    fn work(&self) -> u64 {
        self.world.lanes[0].reactor.as_ref().expect("a loop that runs").out.work()
    }

    /// What each of the crowd was told since the last time.
    fn read_crowd(&mut self) -> Vec<String> {
        let mut network = self.world.network();
        let mut bytes = vec![0; 1 << 16];
        let mut read = |&wire: &usize| {
            let mut text = Vec::new();
            loop {
                match network.read(wire, &mut bytes) {
                    0 => return String::from_utf8(text).expect("text"),
                    length => text.extend_from_slice(&bytes[..length]),
                }
            }
        };
        self.crowd.iter().map(&mut read).collect()
    }
}

#[test]
fn a_line_does_not_wait_for_a_crowd_that_asks_for_lists() {
    const ASKS: usize = 5;
    let mut stage = Stage::with(limits(), QUANTUM);
    stage.crowd(100, 1 << 20);
    stage.all_send(&object("/list", "").repeat(ASKS));
    // every one of them begins to be answered, in one turn that writes nothing but that line
    stage.turn_with_a_line();
    let mut heard = vec![String::new(); stage.crowd.len()];
    let mut counts = vec![0; stage.crowd.len()];
    for turn in 0.. {
        if stage.is_idle() {
            break;
        }
        let before = stage.work();
        // the writer causes less work in a round than each of the crowd
        match turn % 64 {
            0 => stage.turn_with_a_line(),
            _ => drop(stage.world.step(0)),
        }
        let work = stage.work() - before;
        let most = SERVED * (QUANTUM + ANSWER as u64);
        assert!(work <= most, "{work} units of work in a turn");
        for ((heard, count), text) in heard.iter_mut().zip(&mut counts).zip(stage.read_crowd()) {
            *count += text.matches('\n').count();
            heard.push_str(&text);
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 4, "one has {most} objects, another one {least}");
    }
    for text in heard {
        let texts: Vec<String> =
            text.lines().map(|line| Message::decode(line.as_bytes()).unwrap().msg).collect();
        let parts = texts.len() / ASKS;
        assert!(parts > 1 && texts.len() == ASKS * parts, "{} objects", texts.len());
        for (number, text) in texts.iter().enumerate() {
            let end = format!(" ({}/{parts})", number % parts + 1);
            assert!(text.ends_with(&end), "{text} at place {number}");
        }
        let names = texts[..parts].concat().matches("user ").count();
        assert!(names > 90 || texts[parts - 1].contains("more"), "{names} are named");
    }
}

#[test]
fn a_line_does_not_wait_for_a_crowd_that_speaks_to_everybody() {
    const SHOUTS: usize = 4;
    let mut stage = Stage::with(limits(), QUANTUM);
    stage.crowd(100, 1 << 20);
    stage.all_send(&object("/shout", &"z".repeat(100)).repeat(SHOUTS));
    let shout = 102 * (256 + 200);
    const { assert!(102 * (256 + 100) > QUANTUM, "one costs more than a quantum") };
    let mut turns = 0;
    while !stage.is_idle() {
        let before = stage.work();
        match turns % 64 {
            0 => stage.turn_with_a_line(),
            _ => drop(stage.world.step(0)),
        }
        let work = stage.work() - before;
        assert!(work <= SERVED * shout, "{work} units of work in a turn");
        stage.read_crowd();
        turns += 1;
    }
    assert!(turns > 100, "the shouts take turns");
}

#[test]
fn an_answer_is_whole_though_others_write_meanwhile() {
    let mut stage = Stage::with(limits(), QUANTUM);
    stage.crowd(100, 300);
    let wire = stage.crowd[0];
    let name = format!("user 000 {}", "x".repeat(40));
    stage.world.network().arrive(wire, &object("/list", ""));
    let mut text = String::new();
    for number in 0..200 {
        let line = object(&name, &format!("message {number}"));
        stage.world.network().arrive(stage.writer, &line);
        stage.world.step(0);
        text += &stage.read_crowd()[0];
    }
    while !stage.is_idle() || text.matches("message").count() < 200 {
        stage.world.step(0);
        text += &stage.read_crowd()[0];
    }
    let texts: Vec<String> =
        text.lines().map(|line| Message::decode(line.as_bytes()).unwrap().msg).collect();
    let first = texts.iter().position(|text| text.starts_with("Connected users")).unwrap();
    let last = texts.iter().rposition(|text| text.ends_with(')')).unwrap();
    assert!(last > first, "it has several objects");
    for (number, text) in texts[first..=last].iter().enumerate() {
        assert!(text.ends_with(&format!("({}/{})", number + 1, last - first + 1)), "{text}");
    }
    let numbers: Vec<&String> = texts.iter().filter(|text| text.starts_with("message")).collect();
    let expected: Vec<String> = (0..200).map(|number| format!("message {number}")).collect();
    assert!(numbers.into_iter().eq(&expected), "each message once and in order");
}

#[test]
fn a_peer_that_has_ended_is_answered_though_it_is_paused_and_a_list_is_produced() {
    let rate = Some(Rate { per_second: 1, burst: 2 });
    let mut stage = Stage::with(Limits { rate, ..limits() }, QUANTUM);
    stage.crowd(100, 500);
    let wire = stage.crowd[0];
    let drain = limits().drain.as_secs();
    // more messages than its rate allows in the time that closing may take
    let asks = 5 + drain as usize;
    stage.world.network().arrive(wire, &object("/list", "").repeat(asks));
    stage.world.network().end(wire);
    let mut text = String::new();
    for _ in 0..asks * 20 {
        stage.settle();
        text += &stage.read_crowd()[0];
        if stage.world.network().wires[wire].closed {
            break;
        }
        stage.world.advance(stage.world.now + SECOND / 10);
    }
    assert!(stage.world.network().wires[wire].closed, "it ends");
    let lists = text.matches("Connected users").count();
    let lasts = text.matches(" (4/4)").count() + text.matches(" (3/3)").count();
    assert_eq!((lists, lasts), (asks, asks), "every list is complete");
}

#[test]
fn a_peer_that_has_ended_is_answered_though_it_is_paused_and_a_page_is_produced() {
    const ASKS: usize = 4;
    let rate = Some(Rate { per_second: 1, burst: 2 });
    let mut stage = Stage::with_history(Limits { rate, ..limits() }, QUANTUM);
    stage.world.pages = full_page;
    stage.crowd(1, 500);
    let wire = stage.crowd[0];
    let asks = object("/history", "#askers 256").repeat(ASKS);
    stage.world.network().arrive(wire, &[object("/join", "#askers"), asks].concat());
    stage.settle();
    // the history takes its time, and the loop sleeps meanwhile
    let turns = stage.world.turns;
    stage.world.follow_up();
    assert!(stage.state(wire).is_waiting());
    stage.world.run_until(|world| !world.has_completions());
    assert!(stage.world.turns - turns < 20, "{} turns", stage.world.turns - turns);
    stage.settle();
    stage.world.network().end(wire);
    stage.settle();
    let state = stage.state(wire);
    assert!(state.resume_at().is_some() && state.is_answering() && state.saw_end(), "all at once");
    let turns = stage.world.turns;
    let mut text = String::new();
    while !stage.world.network().wires[wire].closed {
        stage.world.follow_up();
        stage.world.run_to(stage.world.now + SECOND / 10);
        text += &stage.read_crowd()[0];
    }
    assert!(stage.world.turns - turns < 2_000, "{} turns", stage.world.turns - turns);
    let heads = text.split("history #askers count=").skip(1);
    let counts: Vec<usize> =
        heads.map(|rest| rest.split_once(' ').unwrap().0.parse().unwrap()).collect();
    assert_eq!(counts.len(), ASKS, "every question is answered");
    let messages = text.matches("somebody").count();
    assert_eq!(messages, counts.iter().sum::<usize>(), "with the messages that were announced");
}

#[test]
fn the_memory_of_all_queues_holds_though_all_of_them_drain() {
    let queue_total = 128 * 1024;
    let mut stage = Stage::with(limits(), QUANTUM);
    stage.crowd(50, 1000);
    let used = |stage: &Stage| stage.world.shared.queues.used();
    // 50 queues of 15,000 bytes each, of peers that do not read and have ended
    stage.all_send(&object("/ping", &"y".repeat(1500)).repeat(10));
    for &wire in &stage.crowd {
        stage.world.network().end(wire);
    }
    stage.settle();
    assert!(used(&stage) > 50 * 13_000);
    stage
        .world
        .shared
        .set_limits(Limits { queue_total, ..stage.world.setup.limits.clone() })
        .unwrap();
    stage.settle();
    assert!(used(&stage) <= queue_total, "{} bytes", used(&stage));
    // each gets what is left of its queue, and is told how much is missing
    let mut told = BTreeMap::new();
    for _ in 0..100 {
        for (place, text) in stage.read_crowd().into_iter().enumerate() {
            told.entry(place).or_insert_with(String::new).push_str(&text);
        }
        stage.settle();
    }
    for (place, text) in told {
        let pongs = text.matches("yyy\"").count();
        let missed = text
            .split_once("not read fast enough; ")
            .map_or(0, |(_, rest)| rest.split_once(' ').unwrap().0.parse::<usize>().unwrap());
        assert_eq!(pongs + missed, 10, "{place}: {pongs} came, and {missed} are counted");
    }
    stage.world.advance(stage.world.now + 20 * SECOND);
    stage.settle();
    assert_eq!(used(&stage), 0);
}

#[test]
fn objects_that_were_begun_are_given_up_last() {
    // less than the objects that were begun take
    let queue_total = 20 * 1024;
    let mut stage = Stage::with(Limits { queue_total, ..limits() }, QUANTUM);
    stage.crowd(40, 100);
    stage.all_send(&object("/ping", &"y".repeat(1500)));
    while !stage.is_idle() {
        stage.world.step(0);
    }
    let used = stage.world.shared.queues.used();
    assert!(used <= queue_total, "{used} bytes");
    let here = stage.here();
    assert!((1..40).contains(&here), "{here} of them are left");
    stage.turn_with_a_line();
}

#[test]
fn the_memory_of_unfinished_messages_holds_and_the_largest_goes_first() {
    let input_total = 100 * 1024;
    let mut stage = Stage::with(Limits { input_total, ..limits() }, QUANTUM);
    stage.crowd(60, 1 << 20);
    let used = |stage: &Stage| stage.world.shared.input();
    let half = |length: usize| {
        let mut half = br#"{"from":{"name":"","ip":""},"to":"nobody","msg":""#.to_vec();
        half.resize(length, b'a');
        half
    };
    // others are in the middle of a message, too
    for place in 50..60 {
        stage.world.network().arrive(stage.crowd[place], &half(500));
    }
    stage.settle();
    for place in 0..50 {
        stage.world.network().arrive(stage.crowd[place], &half(3000 + place));
        while !stage.is_idle() {
            stage.world.step(0);
            assert!(used(&stage) <= input_total + 8 * 1024, "{} bytes", used(&stage));
        }
        assert!(used(&stage) <= input_total);
    }
    let told = stage.read_crowd();
    let is_told = |text: &String| text.contains("no memory left for unfinished messages");
    assert!(told[..50].iter().any(is_told), "some of them had to go");
    assert!(told[50..].iter().all(String::is_empty), "and none that keeps little");
    for &wire in &stage.crowd {
        stage.world.network().end(wire);
    }
    stage.settle();
    assert_eq!(used(&stage), 0);
}

/// Readers of whom the bound of all queues cuts some: what each of them hears when it reads again, so
/// many seconds later.
fn hear_after_a_cut(policy: SlowReader, seconds: u64) -> Vec<String> {
    let mut stage = Stage::with(Limits { queue_total: 128 * 1024, ..limits() }, QUANTUM);
    stage.world.shared.set_policy(policy);
    stage.crowd(40, 1000);
    // 40 queues of 15,000 bytes each, of peers that do not read
    stage.all_send(&object("/ping", &"y".repeat(1500)).repeat(10));
    stage.settle();
    stage.world.advance(stage.world.now + seconds * SECOND);
    let mut heard = vec![String::new(); stage.crowd.len()];
    for _ in 0..60 {
        stage.settle();
        for (heard, text) in heard.iter_mut().zip(stage.read_crowd()) {
            heard.push_str(&text);
        }
    }
    let is_ended = |wire: &usize| stage.world.network().wires[*wire].ended;
    let ended = stage.crowd.iter().filter(|wire| is_ended(wire)).count();
    match policy {
        SlowReader::Disconnect => assert!(ended > 0, "some were cut"),
        SlowReader::DropOldest => assert_eq!(ended, 0, "they stay"),
    }
    heard
}

#[test]
fn a_reader_whose_queue_was_cut_is_told_as_long_as_it_could_have_drained() {
    // more than the linger, and less than the time to drain
    for text in hear_after_a_cut(SlowReader::Disconnect, 8) {
        let is_whole = text.matches("yyy\"").count() == 10;
        assert!(is_whole || text.contains("did not read fast enough"), "{text}");
    }
}

#[test]
fn with_drop_oldest_a_reader_whose_queue_was_cut_is_told_and_stays() {
    let heard = hear_after_a_cut(SlowReader::DropOldest, 8);
    let dropped = heard.iter().filter(|text| text.contains("were dropped here")).count();
    assert!(dropped > 0, "some were cut");
    for text in &heard {
        let pongs = text.matches("yyy\"").count();
        let missed: usize = text
            .match_indices("not read fast enough; ")
            .map(|(at, head)| {
                let rest = &text[at + head.len()..];
                rest.split_once(' ').unwrap().0.parse::<usize>().unwrap()
            })
            .sum();
        assert_eq!(pongs + missed, 10, "{text}");
    }
}
