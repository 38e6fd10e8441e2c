//! What was sent counts, however its sender leaves; what was promised comes, whatever else goes on.

use std::time::Duration;

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};
use chatproto::Rate;
use chatproto::endpoint::Request;

/// Sends to bob, provokes answers that it does not read, and closes: the answers bring a reset.
#[test]
fn what_was_sent_before_an_abrupt_close_is_delivered() {
    for rate in [None, Some(Rate { per_second: 1000, burst: 20 })] {
        let mut limits = limits();
        limits.rate = rate;
        let server = TestServer::with(limits, |builder| builder);
        let mut bob = Raw::join(server.address, "bob");
        let mut alice = Raw::connect(server.address);
        let mut all = "alice\n".to_owned();
        for number in 0..300 {
            all.push_str(&object("bob", &number.to_string()));
            all.push_str(&object("nobody", "is this read?"));
        }
        alice.write(all.as_bytes());
        drop(alice);
        for number in 0..300 {
            assert_eq!(bob.read().msg, number.to_string(), "with {rate:?}");
        }
        eventually("the departure", || server.handle.online() == 1);
    }
}

/// The loop that has the old connection need not have seen its end when another loop gets the name.
#[test]
fn a_name_is_free_as_soon_as_its_connection_is_closed() {
    let server = TestServer::with(limits(), |builder| builder.threads(4));
    let reconnect = &|client: usize| {
        let name = format!("user{client}");
        for round in 0..200 {
            // `join` panics if the name is refused
            let mut peer = Raw::join(server.address, &name);
            if round % 2 == 0 {
                // an answer that is not read makes the close a reset
                peer.send("/time", "");
            }
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|client| drop(scope.spawn(move || reconnect(client))));
    });
}

#[test]
fn a_name_in_use_is_refused_by_every_loop() {
    let server = TestServer::with(limits(), |builder| builder.threads(3));
    let _holder = Raw::join(server.address, "alice");
    for _ in 0..6 {
        let mut other = Raw::connect(server.address);
        other.write(b"alice\n");
        let refusal = other.read().msg;
        assert!(refusal.contains("already in use"), "{refusal}");
    }
}

/// An outcome may reach an event loop at any moment of its turn.
#[test]
fn the_answer_of_an_endpoint_comes_in_the_midst_of_traffic() {
    let server = TestServer::with(limits(), |builder| {
        let echo = |request: &Request| Ok(request.msg.clone());
        builder.threads(1).endpoint("/echo", "Echoes.", echo).unwrap()
    });
    let mut noisy = Raw::join(server.address, "noisy");
    let mut peer = Raw::join(server.address, "peer");
    let batch = object("nobody", "").repeat(20);
    for number in 0..1500 {
        let number = number.to_string();
        peer.send("/echo", &number);
        noisy.write(batch.as_bytes());
        assert_eq!(peer.read().msg, number);
        (0..20).for_each(|_| assert!(noisy.read().msg.contains("not found")));
    }
}

#[test]
fn one_who_waits_for_a_command_can_be_too_slow_too() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut limits = limits();
    limits.drain = Duration::from_millis(200);
    // it reads its last words, however busy the machine is
    limits.linger = PATIENCE;
    let server = TestServer::with(limits, move |builder| {
        let wait = move |_: &Request| {
            // the other end may be gone: then nobody waits for this
            let _ = held.lock().unwrap().recv();
            Ok("done".to_owned())
        };
        builder.endpoint("/wait", "Waits.", wait).unwrap()
    });
    let mut slow = Raw::join(server.address, "slow");
    slow.send("/wait", "");
    let mut sender = Raw::join(server.address, "sender");
    let batch = object("slow", &"x".repeat(1000)).repeat(100);
    for _ in 0..200 {
        sender.write(batch.as_bytes());
    }
    // it is told and gone, and from then on the sender is told
    eventually("the eviction", || server.handle.users() == ["sender"]);
    sender.fence();
    sender.send("slow", "still there?");
    assert!(sender.read().msg.contains("not found"));
    release.send(()).unwrap();
    drop(release);
    let got = slow.read_to_end();
    assert!(got.last().unwrap().msg.contains("not delivered"), "{:?}", got.last());
}

/// A directory that never decides.
#[derive(Default)]
struct Undecided(std::sync::Mutex<Vec<chatproto::directory::ClaimReply>>);

impl chatproto::directory::Directory for Undecided {
    fn claim(&self, _: chatproto::directory::Claim, reply: chatproto::directory::ClaimReply) {
        self.0.lock().unwrap().push(reply);
    }
}

#[test]
fn the_deadline_for_registration_holds_for_a_directory_too() {
    let mut limits = limits();
    limits.registration = Duration::from_millis(200);
    let directory = std::sync::Arc::<Undecided>::default();
    let server = TestServer::with(limits, |builder| builder.directory(directory.clone()));
    let mut peer = Raw::connect(server.address);
    peer.write(b"alice\n");
    let last_words = peer.read_to_end();
    assert_eq!(last_words.len(), 1, "{last_words:?}");
    assert!(last_words[0].msg.contains("could not be checked"), "{last_words:?}");
    assert_eq!(last_words[0].to, "Guest");
    directory.0.lock().unwrap().clear();
}

/// An endpoint that never answers holds nobody whose connection has ended, not for ever.
#[test]
fn one_who_has_ended_does_not_wait_for_a_command_without_end() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut limits = limits();
    limits.drain = Duration::from_millis(200);
    let server = TestServer::with(limits, move |builder| {
        let wait = move |_: &Request| {
            // the other end is dropped at the end of the test
            let _ = held.lock().unwrap().recv();
            Ok("done".to_owned())
        };
        builder.endpoint("/wait", "Waits.", wait).unwrap()
    });
    // the end comes with the command, and after it
    let mut early = Raw::join(server.address, "early");
    early.send("/wait", "");
    early.finish();
    let mut late = Raw::join(server.address, "late");
    late.send("/wait", "");
    let mut other = Raw::join(server.address, "other");
    other.fence();
    late.finish();
    for peer in [&mut early, &mut late] {
        assert_eq!(peer.read_to_end(), []);
    }
    eventually("their names are free", || server.handle.users() == ["other"]);
    eventually("their connections are gone", || server.handle.connections() == 1);
    drop(release);
}

/// The server knows a moment after the peer that the peer was sent everything.
fn join_once_there_is_room(address: std::net::SocketAddr, name: &str) -> Raw {
    let mut joined = None;
    eventually("a place is free", || {
        let mut peer = Raw::connect(address);
        peer.write(format!("{name}\n").as_bytes());
        let answer = peer.read().msg;
        let is_welcome = answer.contains("Welcome");
        assert!(is_welcome || answer.contains("the server is full"), "{answer}");
        joined = is_welcome.then_some(peer);
        is_welcome
    });
    joined.unwrap()
}

/// Who has left keeps nobody out while it is slow to go: its place is another's.
#[test]
fn one_who_only_waits_for_the_end_takes_no_place() {
    let mut limits = limits();
    limits.connections = 1;
    limits.linger = Duration::from_secs(3600);
    let server = TestServer::with(limits, |builder| builder);
    let mut stranger = Raw::connect(server.address);
    stranger.write(b"GET / HTTP/1.1\r\n\r\n");
    std::io::Read::read_to_end(&mut stranger.stream, &mut Vec::new()).unwrap();
    let mut broken = join_once_there_is_room(server.address, "broken");
    broken.write(b"]");
    assert!(broken.read_to_end()[0].msg.contains("closed"));
    join_once_there_is_room(server.address, "alice");
    drop((stranger, broken));
}

/// Commands that wait for the application are decoded in time that grows with their number.
#[test]
fn a_pipeline_of_commands_costs_no_more_than_its_length() {
    let mut limits = limits();
    limits.rate = Some(Rate { per_second: 10_000, burst: 1000 });
    let server = TestServer::with(limits, |builder| {
        builder.endpoint("/echo", "Echoes.", |request: &Request| Ok(request.msg.clone())).unwrap()
    });
    let mut peer = Raw::join(server.address, "peer");
    let all: String = (0..900).map(|number| object("/echo", &number.to_string())).collect();
    peer.write(all.as_bytes());
    peer.finish();
    // the burst pays for all of them: none is charged twice, which would take minutes
    for number in 0..900 {
        assert_eq!(peer.read().msg, number.to_string());
    }
    assert_eq!(peer.try_read(), None);
}

/// A sender who is too fast and waits for the application at the same time gets every answer, once,
/// in order.
#[test]
fn a_pipeline_of_commands_may_be_longer_than_a_burst() {
    let mut limits = limits();
    limits.rate = Some(Rate { per_second: 1000, burst: 10 });
    let server = TestServer::with(limits, |builder| {
        builder.endpoint("/echo", "Echoes.", |request: &Request| Ok(request.msg.clone())).unwrap()
    });
    let mut peer = Raw::join(server.address, "peer");
    let all: String = (0..100).map(|number| object("/echo", &number.to_string())).collect();
    peer.write(all.as_bytes());
    for number in 0..100 {
        assert_eq!(peer.read().msg, number.to_string());
    }
}

/// The peer reads nothing, ends, and waits for an endpoint that answers with more than one object.
#[test]
fn a_peer_that_ended_and_reads_nothing_is_closed_in_the_middle_of_a_long_answer() {
    let mut limits = limits();
    limits.drain = Duration::from_millis(500);
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let long = move |_: &Request| {
        may_go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        Ok("word ".repeat(10_000))
    };
    let server =
        TestServer::with(limits, |builder| builder.endpoint("/long", "Long.", long).unwrap());
    let mut victim = Raw::join(server.address, "victim");
    let mut other = Raw::join(server.address, "other");
    // more than the sockets of a peer that does not read can take
    let text = "x".repeat(60_000);
    eventually("the queue is not empty", || {
        other.send("victim", &text);
        server.handle.metrics().usage.queues.bytes > 300_000
    });
    victim.send("/long", "");
    victim.finish();
    go_on.send(()).unwrap();
    eventually("it is closed", || server.handle.users() == ["other"]);
}
