//! The counters of a running server, over real sockets.

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};
use chatproto::hub::Departure;
use chatproto::metrics::{Durations, Metrics, RefusalReason, Transport};
use chatproto::{ErrorClass, Rate, SlowReader};

#[test]
fn every_message_byte_and_connection_is_counted_once() {
    let server = TestServer::with(limits(), |builder| builder.threads(2));
    assert_eq!(server.handle.metrics().accepted, 0);
    let mut users: Vec<Raw> =
        (0..4).map(|number| Raw::join(server.address, &format!("user-{number}"))).collect();
    let now = server.handle.metrics();
    assert_eq!((now.connections, now.users), (4, 4));

    let mut sent = 4 * "user-0\n".len() as u64;
    for user in &mut users {
        for (to, msg) in [("user-0", "hello"), ("Everyone", "to all"), ("#tea", "not a member")] {
            let bytes = object(to, msg);
            sent += bytes.len() as u64;
            user.write(bytes.as_bytes());
        }
    }
    let invalid = r#"{"from":{"name":"","ip":""},"to":7,"msg":""}"#;
    users[0].write(invalid.as_bytes());
    let join = object("/join", "#tea");
    users[3].write(join.as_bytes());
    sent += (invalid.len() + join.len()) as u64;
    eventually("all is counted", || {
        let now = server.handle.metrics();
        (now.accepted, now.messages_received, now.invalid_messages) == (4, 13, 1)
            && now.bytes_received == sent
    });
    let now = server.handle.metrics();
    assert_eq!(now.rooms, 1);
    assert!(now.batches > 0 && now.turns >= now.batches && now.work > 0 && now.writes > 0);

    drop(users);
    eventually("all have left", || server.handle.metrics().connections == 0);
    let end = server.handle.metrics();
    assert_eq!((end.users, end.rooms, end.accepted), (0, 0, 4));
    server.stop().unwrap();
}

#[test]
fn the_bytes_that_peers_read_are_the_bytes_that_were_sent() {
    let server = TestServer::start();
    let mut alice = Raw::connect(server.address);
    alice.write(b"alice\n");
    alice.send("/ping", "one");
    alice.send("/ping", "two");
    let read: usize = (0..3).map(|_| alice.read().to_json().len() + 1).sum();
    eventually("all three are counted", || {
        let now = server.handle.metrics();
        (now.bytes_sent, now.deliveries) == (read as u64, 3)
    });
    server.stop().unwrap();
}

#[test]
fn pauses_and_slow_readers_are_counted() {
    let mut limits = limits();
    limits.rate = Some(Rate { per_second: 1000, burst: 10 });
    limits.queue_messages = 20;
    let server =
        TestServer::with(limits, |builder| builder.slow_reader(SlowReader::Disconnect).threads(1));
    let mut alice = Raw::join(server.address, "alice");
    let slow = Raw::join(server.address, "slow");
    // more than a burst at once
    alice.write(object("slow", "fast").repeat(50).as_bytes());
    let text = "x".repeat(60_000);
    // more than the sockets of a peer that does not read can take
    eventually("the reader is too slow", || {
        alice.send("slow", &text);
        server.handle.metrics().slow_readers == 1
    });
    let now = server.handle.metrics();
    assert!(now.missed > 0 && now.rate_pauses > 0, "{now:?}");
    drop(slow);
    drop(alice);
    server.stop().unwrap();
}

#[test]
fn refusals_departures_and_errors_have_their_kinds() {
    let server = TestServer::start();
    let mut alice = Raw::join(server.address, "alice");
    let mut bob = Raw::join(server.address, "bob");
    for name in ["alice\n", "no,commas\n"] {
        let mut refused = Raw::connect(server.address);
        refused.write(name.as_bytes());
        assert_eq!(refused.read_to_end().len(), 1);
    }
    bob.write(b"]");
    assert_eq!(bob.read_to_end().len(), 1);
    alice.write(br#"{"from":{"name":"","ip":""},"to":7,"msg":""}"#);
    alice.fence();
    eventually("all is counted", || {
        let Metrics { counts, errors, .. } = server.handle.metrics();
        let refused = |reason| counts.refused.get(reason);
        refused(RefusalReason::NameTaken) == 1
            && refused(RefusalReason::InvalidName) == 1
            && counts.refused.sum() == 2
            && counts.registered == 2
            && counts.departed.get(Departure::Broken) == 1
            && counts.departed.sum() == 1
            && errors.get(ErrorClass::Framing) == 1
            && errors.get(ErrorClass::Schema) == 1
            && counts.users.get(Transport::Text) == 1
    });
    server.stop().unwrap();
}

#[test]
fn every_loop_counts_its_turns_and_their_time() {
    let server = TestServer::with(limits(), |builder| builder.threads(3));
    let mut alice = Raw::join(server.address, "alice");
    alice.fence();
    assert!(server.handle.stalled_loops(PATIENCE).is_empty());
    eventually("each loop has made a turn", || {
        let now = server.handle.metrics();
        // the present turn of a loop has no time yet
        let timed: u64 = now.turn_times.iter().map(Durations::count).sum();
        now.turn_times.len() == 3
            && now.turn_times.iter().all(|times| times.count() > 0 && !times.sum().is_zero())
            && timed <= now.turns + 3
    });
    assert!(!server.handle.is_stopping());
    let handle = server.handle.clone();
    server.stop().unwrap();
    assert!(handle.is_stopping());
    // a server that stops has no loop that has to answer
    assert!(handle.stalled_loops(PATIENCE).is_empty());
}
