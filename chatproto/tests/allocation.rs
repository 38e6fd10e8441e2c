//! What a connection costs before it has a name, counted by the allocator: whatever it sends, and
//! does not send.

#![allow(missing_docs, reason = "a test")]

mod counting;

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::directory::{Claim, ClaimReply, Directory};
use chatproto::handshake::PeerKind;
use chatproto::hub::{ConnId, Departure, Hub, Now, Output};
use chatproto::{Limits, Message, Server, ServerHandle};
use counting::live;

/// The most that a connection may cost before it is registered.
const MOST: usize = 8 * 1024;
/// Connections at a time.
const COUNT: usize = 300;

/// Longer than anything takes here, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come true");
        thread::yield_now();
    }
}

/// What each of many connections costs that send these pieces, one after the other.
fn cost(address: SocketAddr, handle: &ServerHandle, before: usize, pieces: &[&[u8]]) -> usize {
    cost_of(address, handle, before, pieces.len(), |_, piece| pieces[piece].to_vec())
}

/// The same with so many pieces, which depend on the connection's number and their own.
fn cost_of(
    address: SocketAddr,
    handle: &ServerHandle,
    before: usize,
    pieces: usize,
    piece: impl Fn(usize, usize) -> Vec<u8>,
) -> usize {
    let mut streams = Vec::with_capacity(COUNT);
    streams.extend((0..COUNT).map(|_| TcpStream::connect(address).unwrap()));
    eventually("all are connected", || handle.connections() == COUNT);
    for number in 0..pieces {
        for (connection, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&piece(connection, number)).unwrap();
        }
    }
    // what was sent is read when more of it costs no more
    let (mut most, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        let now = live();
        if now > most {
            (most, since) = (now, Instant::now());
        }
        thread::yield_now();
    }
    assert_eq!(handle.connections(), COUNT, "they are still there");
    assert_eq!(handle.online(), 0, "nobody has a name");
    drop(streams);
    eventually("all are gone", || handle.connections() == 0);
    most.saturating_sub(before + COUNT * size_of::<TcpStream>()) / COUNT
}

/// The only test here: what else ran at the same time would be counted too.
#[test]
fn what_connections_cost() {
    a_connection_without_a_name_costs_little();
    a_connection_whose_name_is_not_decided_about_costs_little();
    a_crowd_that_has_gone_costs_nothing();
}

fn a_crowd_that_has_gone_costs_nothing() {
    let mut hub = Hub::builder().build();
    let (mut out, now) = (Output::new(), Now::system());
    let before = live();
    let crowd: Vec<ConnId> = (0..10_000)
        .map(|number: u32| {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let conn = hub.handle_connect(0, address, now, &mut out);
            let name = format!("user {number}");
            hub.handle_name(conn, name.as_bytes(), PeerKind::Stream, now, &mut out);
            out.clear();
            out.take_events();
            conn
        })
        .collect();
    for conn in crowd {
        hub.handle_disconnect(conn, Departure::Left, now, &mut out);
        out.take_events();
    }
    hub.shrink();
    drop(out);
    let left = live().saturating_sub(before);
    println!("ten thousand that have gone: {left} bytes");
    assert!(left < 4 * 1024, "{left} bytes are left");
}

fn a_connection_without_a_name_costs_little() {
    let mut limits = Limits::default();
    limits.registration = Duration::from_secs(3600);
    let server = Server::builder().limits(limits).threads(2).bind(([127, 0, 0, 1], 0)).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let running = thread::spawn(move || server.run());
    // once for all: tables that stay for a moment are part of the cost
    let before = live();
    // an unfinished character holds the name open, and in pieces it is gathered
    let long = [&[b'x'; 4_000][..], b"\xf0"].concat();
    let half = [&[b'x'; 1_900][..], b"\xf0"].concat();
    let rest = [b"\x9f\x98\x80", &[b'y'; 1_900][..], b"\xf0"].concat();
    let cases: [(&str, &[&[u8]]); 5] = [
        ("silent", &[]),
        ("white space", &[b" \t\r ", &[b' '; 3_000]]),
        ("half a character", &[b"\xf0\x9f"]),
        ("a long name", &[&long]),
        ("a long name in pieces", &[&half, &rest]),
    ];
    for (what, pieces) in cases {
        let cost = cost(address, &handle, before, pieces);
        println!("{what}: {cost} bytes");
        assert!(cost > 0 && cost <= MOST, "{what}: {cost} bytes for each connection");
    }
    handle.stop();
    running.join().unwrap().unwrap();
}

/// A directory that never decides.
#[derive(Default)]
struct Undecided(Mutex<Vec<ClaimReply>>);

impl Directory for Undecided {
    fn claim(&self, _: Claim, reply: ClaimReply) {
        self.0.lock().unwrap().push(reply);
    }
}

/// What stands behind a name waits for the directory, and a name is not registered before that.
fn a_connection_whose_name_is_not_decided_about_costs_little() {
    let mut limits = Limits::default();
    limits.registration = Duration::from_secs(3600);
    limits.drain = Duration::from_millis(100);
    let directory = Arc::<Undecided>::default();
    let builder = Server::builder().limits(limits).threads(2).directory(Arc::clone(&directory));
    let server = builder.bind(([127, 0, 0, 1], 0)).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let running = thread::spawn(move || server.run());
    let before = live();
    let message = Message::new("", "", "bob", "x".repeat(1_000)).to_json();
    // a name for each, as they would be refused otherwise
    let all = |number: usize| format!("user{number}\n{}", message.repeat(40)).into_bytes();
    let cost = cost_of(address, &handle, before, 1, |number, _| all(number));
    println!("a name and messages, undecided: {cost} bytes");
    assert!(cost > 0 && cost <= MOST, "{cost} bytes for each connection");
    directory.0.lock().unwrap().clear();
    handle.stop();
    running.join().unwrap().unwrap();
}
