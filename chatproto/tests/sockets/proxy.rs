//! Users behind a proxy, which is loopback in these tests: the PROXY header states the address of a user.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use chatproto::hub::Event;
use chatproto::metrics::RefusalReason;
use chatproto::proxy::LONGEST;
use chatproto::{Limits, ServerBuilder};

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits};

const LOOPBACK: &str = "127.0.0.0/8";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\xc3\x50\xff\x98";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A server behind the proxy, and those of its events that tests look at.
fn behind(
    limits: Limits,
    build: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> (TestServer, Receiver<String>) {
    let (told, events) = channel();
    let observer = move |event: &Event| {
        let line = match event {
            Event::Connected { address, .. } => format!("{address} connected"),
            Event::ProxyHeaderMissing { address, reason, .. } => format!("{address}: {reason}"),
            Event::Stranger { address, protocol } => format!("{address} speaks {protocol}"),
            Event::Refused { address, reason, .. } => format!("{address} refused: {reason}"),
            _ => return,
        };
        // nobody listens at the end of a test
        let _ = told.send(line);
    };
    let server = TestServer::with(limits, |builder| {
        build(builder.proxy_from([LOOPBACK.parse().unwrap()]).observer(observer))
    });
    (server, events)
}

#[track_caller]
fn expect(events: &Receiver<String>, lines: &[&str]) {
    for line in lines {
        assert_eq!(events.recv_timeout(PATIENCE).unwrap(), *line);
    }
}

/// A user who connects through the proxy from that address.
fn join(server: SocketAddr, name: &str, address: &str) -> Raw {
    let mut peer = Raw::connect(server);
    peer.write(header(address).as_bytes());
    peer.write(format!("{name}\n").as_bytes());
    assert!(peer.read().msg.contains("Welcome"));
    peer
}

fn header(address: &str) -> String {
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    format!("PROXY {family} {address} {address} 50000 65432\r\n")
}

/// The text of a refusal that is the only object.
fn refusal(peer: &mut Raw) -> String {
    let [message] = &peer.read_to_end()[..] else { panic!("one refusal") };
    message.msg.clone()
}

/// The server closes the connection, and has written nothing.
#[track_caller]
fn is_closed_unanswered(mut peer: Raw) {
    let mut rest = Vec::new();
    match peer.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        // bytes that were not read
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    assert_eq!(rest, b"");
}

#[test]
fn messages_and_events_have_the_address_of_the_user() {
    let (server, events) = behind(limits(), |builder| builder);
    let mut reader = join(server.address, "reader", "2001:db8::7");
    expect(&events, &["2001:db8::7 connected"]);
    let mapped = b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n";
    for (number, header) in [V1, V2, mapped].into_iter().enumerate() {
        let name = format!("user{number}");
        let mut peer = Raw::connect(server.address);
        // in one segment, and byte by byte
        let bytes = [header, format!("{name}\n").as_bytes()].concat();
        bytes.chunks(if number == 0 { bytes.len() } else { 1 }).for_each(|part| peer.write(part));
        assert!(peer.read().msg.contains("Welcome"));
        expect(&events, &["192.0.2.7 connected"]);
        peer.send("/whoami", "");
        let answer = peer.read().msg;
        assert!(answer.starts_with(&format!("You are {name} from 192.0.2.7, ")), "{answer}");
        peer.send("reader", "hello");
        let message = reader.read();
        assert_eq!((message.from.name, message.from.ip), (name, "192.0.2.7".to_owned()));
    }
}

#[test]
fn a_header_may_come_in_two_parts_at_every_byte() {
    let (server, _events) = behind(limits(), |builder| builder);
    let bytes = [V2, b"name\n"].concat();
    for at in 1..bytes.len() {
        let mut peer = Raw::connect(server.address);
        peer.write(&bytes[..at]);
        // the server has read the first part when this connection is served
        join(server.address, "other", "192.0.2.8").finish();
        peer.write(&bytes[at..]);
        assert!(peer.read().msg.contains("Welcome, name!"), "{at}");
        peer.finish();
        peer.read_to_end();
        eventually("the names are free", || server.handle.users().is_empty());
    }
}

#[test]
fn a_connection_of_the_proxy_itself_has_its_address() {
    let mut limits = limits();
    limits.per_address = 1;
    let (server, events) = behind(limits, |builder| builder);
    let mut peers = Vec::new();
    for (number, header) in [LOCAL, b"PROXY UNKNOWN\r\n", LOCAL].into_iter().enumerate() {
        let mut peer = Raw::connect(server.address);
        peer.write(&[header, format!("check{number}\n").as_bytes()].concat());
        assert!(peer.read().msg.contains("Welcome"));
        expect(&events, &["127.0.0.1 connected"]);
        peer.send("/whoami", "");
        assert!(peer.read().msg.contains(" from 127.0.0.1, "));
        peers.push(peer);
    }
    // a check of the port alone is no mistake
    drop(Raw::connect(server.address));
    let mut peer = Raw::connect(server.address);
    peer.finish();
    is_closed_unanswered(peer);
    eventually("the checks are gone", || server.handle.connections() == 3);
    is_closed_unanswered({
        let mut peer = Raw::connect(server.address);
        peer.write(b"no header\n");
        peer
    });
    expect(&events, &["127.0.0.1: the first bytes are not a PROXY header"]);
}

#[test]
fn a_connection_without_a_valid_header_is_closed() {
    let (server, events) = behind(limits(), |builder| builder);
    let missing = "the first bytes are not a PROXY header";
    let mut long = [&V2[..14], &(LONGEST as u16 - 15).to_be_bytes()].concat();
    for (bytes, reason) in [
        (&b"alice\n"[..], missing),
        (b"GET / HTTP/1.1\r\n\r\n", missing),
        (b"\x16\x03\x01\x02\0\x01", missing),
        (b"PROXY\n", missing),
        (b"PROXY TCP4 everywhere\r\n", "malformed PROXY header: expected a line such as PROXY"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x12", "malformed PROXY header: the address family is 0x12"),
        (&long[..], "the PROXY header is longer than 4096 bytes"),
    ] {
        let mut peer = Raw::connect(server.address);
        peer.write(bytes);
        is_closed_unanswered(peer);
        let line = events.recv_timeout(PATIENCE).unwrap();
        assert!(line.starts_with(&format!("127.0.0.1: {reason}")), "{line}");
    }
    let refused = server.handle.metrics().counts.refused;
    assert_eq!((refused.get(RefusalReason::ProxyHeader), refused.sum()), (7, 7));
    // one byte less is not too long
    long[15] -= 1;
    let mut peer = Raw::connect(server.address);
    peer.write(&long);
    peer.write(&[7; LONGEST - 16]);
    peer.write(b"alice\n");
    assert!(peer.read().msg.contains("Welcome"));
    expect(&events, &["7.7.7.7 connected"]);
    // it ends inside of the header
    for length in 1..V1.len() {
        let mut peer = Raw::connect(server.address);
        peer.write(&V1[..length]);
        peer.finish();
        is_closed_unanswered(peer);
        expect(&events, &["127.0.0.1: the connection ended inside the PROXY header"]);
    }
    eventually("they are gone", || server.handle.connections() == 1);
}

#[test]
fn thousands_of_half_headers_end_at_the_deadline() {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(256);
    let crowd = usize::try_from(descriptors / 8).unwrap_or(usize::MAX).min(2_000);
    let mut limits = limits();
    limits.registration = Duration::from_secs(2);
    let (server, events) = behind(limits, |builder| builder);
    let mut peers: Vec<Raw> = (0..crowd).map(|_| Raw::connect(server.address)).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        let half = if number % 2 == 0 { &V1[..20] } else { &V2[..20] };
        // the first may have had their time
        let _ = std::io::Write::write_all(&mut peer.stream, half);
    }
    peers.into_iter().for_each(is_closed_unanswered);
    for _ in 0..crowd {
        expect(&events, &["127.0.0.1: no complete PROXY header came within 2 s"]);
    }
    eventually("their descriptors are free", || server.handle.connections() == 0);
    join(server.address, "alice", "192.0.2.7");
}

#[test]
fn bans_are_for_the_address_of_the_user() {
    let (server, _events) = behind(limits(), |builder| builder.admin_token("secret"));
    let mut admin = join(server.address, "admin", "192.0.2.1");
    for (command, argument) in [("/admin", "secret"), ("/ban", "192.0.2.7"), ("/ban", LOOPBACK)] {
        admin.send(command, argument);
        admin.read();
    }
    let mut banned = Raw::connect(server.address);
    banned.write(&[V2, b"eve\n"].concat());
    let reason = refusal(&mut banned);
    assert!(reason.contains("your address is banned"), "{reason}");
    let mut other = join(server.address, "other", "192.0.2.8");
    admin.send("/ban", "192.0.2.8");
    assert!(refusal(&mut other).contains("ban"));
    join(server.address, "another", "192.0.2.9");
}

#[test]
fn the_limit_of_an_address_is_for_the_address_of_the_user() {
    let mut limits = limits();
    limits.per_address = 2;
    let (server, _events) = behind(limits, |builder| builder);
    let _users = ["a", "b"].map(|name| {
        [7, 8].map(|n| join(server.address, &format!("{name}{n}"), &format!("192.0.2.{n}")))
    });
    let mut third = Raw::connect(server.address);
    third.write(V1);
    let reason = refusal(&mut third);
    assert!(reason.contains("too many connections from your address"), "{reason}");
    let mut waiting: Vec<Raw> = (0..5).map(|_| Raw::connect(server.address)).collect();
    waiting.iter_mut().for_each(|peer| peer.write(&V1[..20]));
    join(server.address, "another", "192.0.2.9");
}

#[test]
fn a_refusal_at_accept_follows_the_header() {
    let mut limits = limits();
    limits.connections = 1;
    let (server, events) = behind(limits, |builder| builder);
    let _first = join(server.address, "first", "192.0.2.1");
    expect(&events, &["192.0.2.1 connected"]);
    let mut second = Raw::connect(server.address);
    second.write(&V1[..20]);
    expect(&events, &["127.0.0.1 refused: the server is full. Try again later."]);
    second.write(&V1[20..]);
    assert!(refusal(&mut second).contains("the server is full"));
    // without a header there is nobody to tell
    is_closed_unanswered(Raw::connect(server.address));
}

#[test]
fn a_header_from_elsewhere_is_a_strangers() {
    let (told, events) = channel();
    let server = TestServer::with(limits(), |builder| {
        builder.proxy_from(["10.0.0.0/8".parse().unwrap()]).observer(move |event: &Event| {
            if let Event::Stranger { address, protocol } = event {
                let _ = told.send(format!("{address} speaks {protocol}"));
            }
        })
    });
    for header in [V1, V2, LOCAL, b"PROXY UNKNOWN\r\n", b"PROXY TCP6 "] {
        let mut peer = Raw::connect(server.address);
        peer.write(header);
        let mut answer = String::new();
        peer.stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("not in --proxy-from") && answer.ends_with("\r\n"), "{answer:?}");
        assert_eq!(answer.lines().count(), 1);
        expect(&events, &["127.0.0.1 speaks PROXY"]);
    }
    for name in ["PROXY", "PROXY TCP4", "PROXY UNKNOWN", "PROXY UNKNOWNS", "proxy TCP4 x"] {
        let mut peer = Raw::connect(server.address);
        peer.write(format!("{name}\n").as_bytes());
        let welcome = peer.read().msg;
        assert!(welcome.contains(&format!("Welcome, {name}!")), "{welcome}");
    }
    // a second header is one from elsewhere too
    let (server, events) = behind(limits(), |builder| builder);
    let mut peer = Raw::connect(server.address);
    peer.write(&[V2, V1].concat());
    let mut answer = String::new();
    peer.stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("not in --proxy-from"), "{answer:?}");
    expect(&events, &["192.0.2.7 connected", "192.0.2.7 speaks PROXY"]);
}

#[test]
fn a_server_stops_while_headers_are_awaited() {
    let (server, _events) = behind(limits(), |builder| builder);
    let mut half = Raw::connect(server.address);
    half.write(&V1[..20]);
    let silent = Raw::connect(server.address);
    let mut user = join(server.address, "alice", "192.0.2.7");
    server.stop().unwrap();
    assert!(user.read().msg.contains("Goodbye"));
    is_closed_unanswered(half);
    is_closed_unanswered(silent);
}
