//! What an observer is told, over sockets and with two event loops: every connection from its
//! beginning to its end, and why it ended.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::{PATIENCE, Raw, TestServer, limits, object};
use chatproto::ServerBuilder;
use chatproto::endpoint::Request;
use chatproto::hub::Event;

/// A server, and its events as lines.
fn observed(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (TestServer, Receiver<String>) {
    let (told, events) = channel();
    let observer = move |event: &Event| {
        let line = match event {
            Event::Connected { address, .. } => format!("{address} connected"),
            Event::Registered { name, online, .. } => format!("{name} registered, {online} online"),
            Event::Renamed { old, name, .. } => format!("{old} is {name}"),
            Event::BadInput { name, error, .. } => {
                format!("{name}: {error}, at {} of the stream", error.offset())
            }
            Event::HandlerPanicked { endpoint, reason } => format!("{endpoint} panicked: {reason}"),
            Event::Moderated { actor, act, target, .. } => {
                format!("{}: {act} {target}", actor.name())
            }
            Event::Denied { name, endpoint, .. } => format!("{name}: no {endpoint}"),
            Event::Refused { name, reason, .. } => format!("{name:?} refused: {reason}"),
            Event::Stranger { protocol, .. } => format!("a stranger speaks {protocol}"),
            Event::Departed { name, reason, online, .. } => {
                format!("{name} departed: {reason}, {online} online")
            }
            other => panic!("unexpected: {other:?}"),
        };
        // at the end of the test nobody listens
        let _ = told.send(line);
    };
    let server = TestServer::with(limits(), |builder| build(builder.observer(observer)));
    (server, events)
}

#[track_caller]
fn expect(events: &Receiver<String>, lines: &[&str]) {
    for line in lines {
        assert_eq!(events.recv_timeout(PATIENCE).unwrap(), *line);
    }
}

#[test]
fn a_connection_is_followed_from_its_beginning_to_its_end() {
    let (server, events) = observed(|builder| {
        let panics = |_: &Request| -> Result<String, String> { panic!("on purpose") };
        builder.worker_threads(1).endpoint("/panic", "Panics.", panics).unwrap()
    });
    let mut alice = Raw::join(server.address, "alice");
    expect(&events, &["127.0.0.1 connected", "alice registered, 1 online"]);
    // what comes with a command that waits is judged when the command is done
    let command = object("/panic", "");
    alice.write(format!(r#"{command}{{"from":1,"to":"","msg":""}}"#).as_bytes());
    assert!(alice.read().msg.contains("failed"));
    expect(&events, &["/panic panicked: on purpose"]);
    alice.read();
    let error = events.recv_timeout(PATIENCE).unwrap();
    assert!(error.starts_with("alice: ") && error.contains("`from`"), "{error}");
    assert!(error.ends_with(&format!("at {} of the stream", command.len() + 8)), "{error}");
    alice.send("/nick", "bob");
    alice.read();
    alice.send("/kick", "bob");
    alice.read();
    expect(&events, &["alice is bob", "bob: no /kick"]);
    alice.write(b"{]");
    alice.read_to_end();
    let error = events.recv_timeout(PATIENCE).unwrap();
    assert!(error.starts_with("bob: not JSON"), "{error}");
    expect(&events, &["bob departed: sent bytes that are no messages, 0 online"]);
}

#[test]
fn every_end_has_its_reason() {
    let (server, events) = observed(|builder| builder.admin_token("secret").announce(true));
    let mut admin = Raw::join(server.address, "admin");
    expect(&events, &["127.0.0.1 connected", "admin registered, 1 online"]);
    admin.send("/admin", "secret");
    admin.read();
    expect(&events, &["admin: admin admin"]);
    let joined = ["127.0.0.1 connected", "guest7 registered, 2 online"];
    for end in ["left", "connection lost", "kicked"] {
        let mut peer = Raw::join(server.address, "guest7");
        expect(&events, &joined);
        match end {
            "left" => peer.finish(),
            "kicked" => admin.send("/kick", "guest7"),
            _ => socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap(),
        }
        if end == "kicked" {
            expect(&events, &["admin: kick guest7"]);
        }
        if end != "connection lost" {
            peer.read_to_end();
        }
        drop(peer);
        expect(&events, &[&format!("guest7 departed: {end}, 1 online")]);
    }
    let mut stranger = Raw::connect(server.address);
    stranger.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(&events, &["127.0.0.1 connected", "a stranger speaks HTTP"]);
    let mut second = Raw::connect(server.address);
    second.write(b"admin\n");
    second.read_to_end();
    expect(&events, &["127.0.0.1 connected"]);
    let refusal = events.recv_timeout(PATIENCE).unwrap();
    assert!(refusal.starts_with("\"admin\" refused: "), "{refusal}");
    server.handle.stop();
    expect(&events, &["admin departed: server stopped, 0 online"]);
}

/// The hub's lock is held, and the time is told.
#[test]
fn the_time_under_the_lock_grows() {
    let server = TestServer::start();
    let mut alice = Raw::join(server.address, "alice");
    let before = server.handle.lock_held();
    alice.write(object("alice", "to myself").repeat(1000).as_bytes());
    (0..1000).for_each(|_| assert_eq!(alice.read().msg, "to myself"));
    assert!(server.handle.lock_held() > before);
}
