//! What a server can have a client hold, counted by the allocator: it sends as fast as it can, for as
//! long as the client is there, whatever is no answer to anything.

#![allow(missing_docs, reason = "a test")]

mod counting;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatproto::{Client, ClientError, ErrorClass, Message};
use counting::{live, take_peak};

/// One test counts at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Longer than anything takes here, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client may take: the events of one read, twice while their list grows, and its buffers.
const BOUND: usize = 3 << 20;

fn object(to: &str, msg: &str) -> Vec<u8> {
    (Message::new("SERVER", "0.0.0.0", to, msg).to_json() + "\n").into_bytes()
}

/// A server that welcomes one client, sends the first bytes, and then the others without end.
fn flood(first: &'static [u8], bytes: Vec<u8>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 64]).unwrap();
        stream.write_all(&[&*object("alice", "Welcome, alice!"), first].concat()).unwrap();
        // an error means that the client is gone
        while stream.write_all(&bytes).is_ok() {}
        let _ = stream.shutdown(Shutdown::Both);
    };
    (address, thread::spawn(serve))
}

/// Whether a client can go on after that.
fn is_survived(received: &Result<Message, ClientError>) -> bool {
    match received {
        Ok(_) | Err(ClientError::Timeout { .. }) => true,
        Err(ClientError::Decode(error)) => error.class() == ErrorClass::Schema,
        Err(_) => false,
    }
}

fn floods() -> [(&'static str, Vec<u8>); 4] {
    [
        ("messages", object("alice", &"x".repeat(16_000)).repeat(8)),
        ("short messages", object("", "").repeat(1_000)),
        ("objects that are no messages", b"{}".repeat(32 * 1024)),
        ("white space", b" ".repeat(64 * 1024)),
    ]
}

#[test]
fn a_client_that_receives_takes_bounded_memory() {
    let _alone = ALONE.lock();
    for (name, bytes) in floods() {
        let (address, server) = flood(b"", bytes);
        let mut client = Client::connect(address, "alice").unwrap();
        let before = live();
        take_peak();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            let received = client.recv_timeout(Duration::from_millis(20));
            assert!(is_survived(&received), "{name}: {received:?}");
        }
        let grown = take_peak().saturating_sub(before);
        assert!(grown < BOUND, "{name}: {grown} bytes");
        drop(client);
        server.join().unwrap();
    }
}

#[test]
fn a_client_that_sends_or_closes_takes_bounded_memory_and_time() {
    let _alone = ALONE.lock();
    for (name, bytes) in floods() {
        let (address, server) = flood(b"", bytes);
        let client = Client::connect(address, "alice").unwrap();
        let before = live();
        take_peak();
        // the socket takes these few, though the server reads nothing
        for _ in 0..20 {
            client.send("bob", &"x".repeat(1_000)).unwrap();
        }
        let begun = Instant::now();
        client.close().unwrap();
        assert!(begun.elapsed() < PATIENCE, "{name}");
        let grown = take_peak().saturating_sub(before);
        assert!(grown < BOUND, "{name}: {grown} bytes");
        server.join().unwrap();
    }
}

#[test]
fn an_object_without_an_end_is_refused_at_the_limit() {
    let _alone = ALONE.lock();
    // each write goes on with a text that has begun in the first
    let (address, server) = flood(b"{\"msg\":\"", b"x".repeat(64 * 1024));
    let mut client = Client::connect(address, "alice").unwrap();
    let before = live();
    take_peak();
    let error = client.recv_timeout(PATIENCE).unwrap_err();
    let is_framing =
        matches!(&error, ClientError::Decode(error) if error.class() == ErrorClass::Framing);
    assert!(is_framing, "{error:?}");
    let grown = take_peak().saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes");
    drop(client);
    server.join().unwrap();
}
