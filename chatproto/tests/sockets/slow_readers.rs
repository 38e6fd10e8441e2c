//! Readers that do not keep up, senders that are too fast, and stopping with full queues (B4, B9).

use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};
use chatproto::{Limits, Message, Rate, SlowReader};

/// A slow reader reads its last words, however long that takes on a busy machine.
fn patient() -> Limits {
    let mut limits = limits();
    limits.linger = PATIENCE;
    limits
}

/// Sends `count` messages, a hundred a write.
fn flood(sender: &mut Raw, to: &str, count: usize, text: &str) {
    let batch = object(to, text).repeat(100);
    for _ in 0..count / 100 {
        sender.write(batch.as_bytes());
    }
}

#[test]
fn a_peer_that_stops_reading_harms_nobody_and_is_told_what_it_lost() {
    let server = TestServer::with(patient(), |builder| builder);
    let mut stalled = Raw::join(server.address, "stalled");
    let mut sender = Raw::join(server.address, "sender");
    let mut bystander = Raw::join(server.address, "bystander");
    // far more than the socket's buffers and the queue hold together
    let count = 20_000;
    flood(&mut sender, "stalled", count, &"x".repeat(1000));
    sender.send("bystander", "still here?");
    assert_eq!(bystander.read().msg, "still here?");

    let got = stalled.read_to_end();
    let (last, texts) = got.split_last().unwrap();
    assert!(texts.iter().all(|message| message.msg.len() == 1000));
    let missed: usize = last
        .msg
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no count in {:?}", last.msg));
    let told = sender.fence();
    assert_eq!(texts.len() + missed + told.len(), count, "nothing is lost silently");
    assert!(told.iter().all(|message| message.msg.contains("not found")));
    assert!(last.msg.starts_with('⛔'));
    eventually("it is gone", || server.handle.online() == 2);
}

#[test]
fn a_peer_that_pauses_may_lose_the_oldest_and_keeps_its_connection() {
    let server = TestServer::with(limits(), |builder| builder.slow_reader(SlowReader::DropOldest));
    let mut stalled = Raw::join(server.address, "stalled");
    let mut sender = Raw::join(server.address, "sender");
    let count = 20_000;
    for number in 0..count {
        let text = format!("{number:06}{}", "x".repeat(1000));
        sender.write(object("stalled", &text).as_bytes());
    }
    assert_eq!(sender.fence(), []);
    let (mut got, mut missed, mut expected) = (0, 0, 0);
    while expected < count {
        let message = stalled.read();
        if message.from.name == "SERVER" {
            let words = message.msg.split([' ', ';']);
            let dropped: usize = words.filter_map(|word| word.parse().ok()).next().unwrap();
            missed += dropped;
            expected += dropped;
        } else {
            let number: usize = message.msg[..6].parse().unwrap();
            assert_eq!(number, expected, "the count stands where the gap is");
            got += 1;
            expected += 1;
        }
    }
    assert!(missed > 0, "the queue was never full");
    assert_eq!(got + missed, count);
    assert_eq!(stalled.fence(), []);
}

#[test]
fn what_waits_for_the_pace_of_a_one_read_peer_is_bounded_too() {
    let mut limits = limits();
    limits.queue_messages = 50;
    let server = TestServer::with(limits, |builder| builder);
    let mut paced = Raw::connect(server.address);
    paced.write(b"paced");
    assert!(paced.read().msg.contains("Welcome"));
    let mut sender = Raw::join(server.address, "sender");
    flood(&mut sender, "paced", 1000, "hello");
    // the pace is the server's: it loses the oldest, is told how many, and stays
    let (mut got, mut missed) = (0, 0);
    while got + missed < 1000 {
        let message = paced.read();
        match message.from.name.as_str() {
            "SERVER" => {
                let mut words = message.msg.split([' ', ';']);
                missed += words.find_map(|word| word.parse::<usize>().ok()).unwrap();
            }
            _ => got += 1,
        }
    }
    assert!(got >= 40 && missed > 0, "{got} + {missed}");
    assert_eq!(sender.fence(), []);
    assert_eq!(paced.fence(), []);
}

#[test]
fn a_burst_that_the_system_takes_is_no_overflow() {
    let mut limits = limits();
    (limits.queue_bytes, limits.queue_messages) = (10_000, 10);
    let server = TestServer::with(limits, |builder| builder);
    let mut reader = Raw::join(server.address, "reader");
    let mut sender = Raw::join(server.address, "sender");
    sender.write(object("reader", "hello").repeat(500).as_bytes());
    for _ in 0..500 {
        assert_eq!(reader.read().msg, "hello");
    }
}

#[test]
fn one_who_sends_too_fast_is_paused_and_loses_nothing() {
    let mut limits = limits();
    limits.rate = Some(Rate { per_second: 1000, burst: 10 });
    let server = TestServer::with(limits, |builder| builder);
    let mut reader = Raw::join(server.address, "reader");
    let mut sender = Raw::join(server.address, "sender");
    let begun = Instant::now();
    for number in 0..300 {
        sender.write(object("reader", &number.to_string()).as_bytes());
    }
    sender.finish();
    for number in 0..300 {
        assert_eq!(reader.read().msg, number.to_string());
    }
    // a lower bound, so that load cannot break it: 290 beyond the burst, one a millisecond
    assert!(begun.elapsed() >= Duration::from_millis(289), "{:?}", begun.elapsed());
    assert_eq!(sender.read_to_end(), []);
}

#[test]
fn stopping_with_full_queues_ends_in_bounded_time() {
    let server = TestServer::start();
    let stalled: Vec<Raw> =
        (0..5).map(|number| Raw::join(server.address, &format!("stalled{number}"))).collect();
    let mut sender = Raw::join(server.address, "sender");
    for number in 0..5 {
        flood(&mut sender, &format!("stalled{number}"), 6000, &"x".repeat(1000));
    }
    sender.fence();
    let begun = Instant::now();
    server.stop().unwrap();
    // 5 s to flush; the rest is a machine under load
    assert!(begun.elapsed() < Duration::from_secs(50));
    drop(stalled);
}

#[test]
fn the_bound_for_all_ends_the_longest_queue() {
    let mut limits = patient();
    limits.queue_bytes = 64 << 20;
    limits.queue_messages = usize::MAX;
    limits.queue_total = 8 << 20;
    let server = TestServer::with(limits, |builder| builder.threads(1));
    let mut greedy = Raw::join(server.address, "greedy");
    let mut modest = Raw::join(server.address, "modest");
    let mut sender = Raw::join(server.address, "sender");
    flood(&mut sender, "greedy", 40_000, &"x".repeat(1000));
    sender.send("modest", "unharmed");
    assert_eq!(modest.read().msg, "unharmed");
    let got: Vec<Message> = greedy.read_to_end();
    assert!(got.last().unwrap().msg.contains("not delivered"), "{:?}", got.last());
}

#[test]
fn the_longest_queue_is_given_up_by_the_loop_that_has_it_though_another_finds_it_too_much() {
    let mut limits = patient();
    limits.queue_bytes = 64 << 20;
    limits.queue_messages = usize::MAX;
    limits.queue_total = 24 << 20;
    limits.drain = Duration::from_millis(100);
    let server = TestServer::with(limits, |builder| builder.threads(2));
    // each goes to the loop that has the fewest: two to the first, where nothing happens in the end
    let greedy = Raw::join(server.address, "greedy");
    let mut modest = Raw::join(server.address, "modest");
    let _quiet = Raw::join(server.address, "quiet");
    let mut sender = Raw::join(server.address, "sender");
    // of each the system takes some 4 MB at most, which are not queued
    flood(&mut sender, "greedy", 20_000, &"x".repeat(1000));
    flood(&mut sender, "modest", 12_500, &"x".repeat(1000));
    eventually("the longest queue is given up", || server.handle.online() == 3);
    for _ in 0..12_500 {
        assert_eq!(modest.read().msg.len(), 1000);
    }
    assert_eq!(modest.fence(), []);
    drop(greedy);
}
