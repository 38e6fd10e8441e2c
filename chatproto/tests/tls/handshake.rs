//! Handshakes that are slow, cut off, too long or no handshakes at all: the connection goes, and
//! nobody else notices.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatproto::Limits;
use chatproto::hub::Event;

use crate::certs::Authority;
use crate::peer::{Peer, connect, handshake};
use crate::support::{Raw, TestServer, eventually, limits};

/// A server, somebody who must not notice anything, and why handshakes failed.
struct House {
    authority: Authority,
    server: TestServer,
    witness: Raw,
    failures: Arc<Mutex<Vec<String>>>,
}

impl House {
    fn new(limits: Limits) -> Self {
        let authority = Authority::new();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&failures);
        let server = TestServer::with(limits, |builder| {
            builder.tls(authority.server()).observer(move |event: &Event| {
                if let Event::HandshakeFailed { reason, .. } = event {
                    seen.lock().unwrap().push(reason.clone());
                }
            })
        });
        let witness = Raw::join(server.address, "witness");
        House { authority, server, witness, failures }
    }

    fn nothing_is_left(&mut self) {
        eventually("they are gone", || self.server.handle.connections() == 1);
        assert_eq!(self.witness.fence(), []);
        let mut newcomer = Peer::join(self.server.address, &self.authority, "newcomer");
        assert_eq!(newcomer.fence(), []);
    }
}

/// What a client writes in a handshake, in its flights; the last one has a name and a message too.
fn flights(house: &House) -> Vec<Vec<u8>> {
    let mut tls = handshake(&house.authority);
    let mut socket = connect(house.server.address);
    let mut flights = Vec::new();
    loop {
        let mut flight = Vec::new();
        if !tls.is_handshaking() {
            tls.writer().write_all(b"recorded\n").unwrap();
        }
        while tls.wants_write() {
            tls.write_tls(&mut flight).unwrap();
        }
        socket.write_all(&flight).unwrap();
        let is_last = !tls.is_handshaking();
        flights.push(flight);
        if is_last {
            return flights;
        }
        while tls.is_handshaking() && !tls.wants_write() {
            tls.read_tls(&mut socket).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
}

#[test]
fn a_handshake_may_be_cut_at_every_byte() {
    let mut house = House::new(limits());
    let flights = flights(&house);
    assert_eq!(flights.len(), 2, "TLS 1.3");
    house.nothing_is_left();
    // the first flight is the same for everybody
    for length in 0..=flights[0].len() {
        let mut socket = connect(house.server.address);
        socket.write_all(&flights[0][..length]).unwrap();
        match length % 3 {
            // at once, which is a reset if something was answered
            0 => drop(socket),
            1 => {
                socket.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                let _ = socket.read_to_end(&mut answer);
            }
            _ => socket.shutdown(Shutdown::Both).unwrap(),
        }
    }
    house.nothing_is_left();
    // the second depends on what the server said
    for length in 0..flights[1].len() {
        let mut tls = handshake(&house.authority);
        let mut socket = connect(house.server.address);
        while tls.wants_write() {
            tls.write_tls(&mut socket).unwrap();
        }
        while tls.is_handshaking() {
            tls.read_tls(&mut socket).unwrap();
            tls.process_new_packets().unwrap();
        }
        tls.writer().write_all(b"cut\n").unwrap();
        let mut flight = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut flight).unwrap();
        }
        let length = length.min(flight.len());
        socket.write_all(&flight[..length]).unwrap();
        if length % 2 == 0 {
            socket.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
        }
    }
    house.nothing_is_left();
    let failures = house.failures.lock().unwrap();
    assert!(failures.iter().any(|why| why == "the client hung up in the middle of it"));
}

#[test]
fn a_handshake_byte_by_byte_gets_there() {
    let house = House::new(limits());
    let mut peer = Peer::connect(house.server.address, &house.authority);
    let send = |peer: &mut Peer| {
        let mut flight = Vec::new();
        while peer.tls.wants_write() {
            peer.tls.write_tls(&mut flight).unwrap();
        }
        for byte in flight {
            peer.socket.write_all(&[byte]).unwrap();
        }
    };
    send(&mut peer);
    while peer.tls.is_handshaking() {
        peer.tls.read_tls(&mut peer.socket).unwrap();
        peer.tls.process_new_packets().unwrap();
    }
    peer.tls.writer().write_all(b"slow\n").unwrap();
    send(&mut peer);
    assert!(peer.read().msg.contains("Welcome"));
    assert_eq!(peer.fence(), []);
}

#[test]
fn a_handshake_that_stops_is_given_up_when_the_time_for_the_name_is_over() {
    let mut limits = limits();
    limits.registration = Duration::from_millis(200);
    let mut house = House::new(limits);
    let flights = flights(&house);
    // bytes do not extend it
    let mut sockets: Vec<_> = [1, 10, flights[0].len() - 1, flights[0].len()]
        .iter()
        .map(|&length| {
            let mut socket = connect(house.server.address);
            socket.write_all(&flights[0][..length]).unwrap();
            socket
        })
        .collect();
    for socket in &mut sockets {
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
    }
    house.nothing_is_left();
    let failures = house.failures.lock().unwrap();
    let late = failures.iter().filter(|why| *why == "it took longer than 0.2 s").count();
    assert_eq!(late, 4, "{failures:?}");
}

#[test]
fn a_handshake_has_a_length() {
    let mut house = House::new(limits());
    let mut socket = connect(house.server.address);
    // a hello that announces more than it may have, in records of 4 KiB
    let mut hello = vec![0x01, 0x00, 0xff, 0xf0, 0x03, 0x03];
    hello.resize(4 << 10, 0);
    for number in 0..16 {
        let mut record = vec![0x16, 0x03, 0x01, 0x10, 0x00];
        record.extend_from_slice(&hello);
        if socket.write_all(&record).is_err() {
            break;
        }
        hello = vec![number; 4 << 10];
    }
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    house.nothing_is_left();
    let failures = house.failures.lock().unwrap();
    assert_eq!(*failures, ["the client sent more than 16384 bytes before it was done"]);
}

#[test]
fn what_only_begins_like_tls_is_told_so_in_an_alert() {
    let mut house = House::new(limits());
    for rubbish in [&b"\x16\x03\x01\xff\xff and then text"[..], b"\x16GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = connect(house.server.address);
        socket.write_all(rubbish).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
    }
    house.nothing_is_left();
    assert_eq!(house.failures.lock().unwrap().len(), 2);
}
