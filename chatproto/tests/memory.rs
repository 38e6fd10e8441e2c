//! The heap of a server whose readers do not read and whose senders do not finish, counted by the
//! allocator. Each case comes from many addresses, and would take several times its bound.

#![cfg(target_os = "linux")] // elsewhere only 127.0.0.1 is a loopback address
#![allow(missing_docs, reason = "a test")]

mod counting;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use chatproto::{Limits, SlowReader};
use counting::{live, take_peak};
use socket2::{Domain, Socket, Type};
use support::{TestServer, eventually, limits, object};

const MIB: usize = 1024 * 1024;
const TOTAL: usize = 4 * MIB;
/// The working memory of two event loops, as documented: buffers that are used again, and 5 MiB a loop.
const WORKING: usize = 16 * MIB + 2 * 5 * MIB;
const PEERS: usize = 10;
/// A long text. With JSON around it, a message stays within the longest frame.
const LONG: usize = 60_000;

/// A peer at an address of its own. It has little room for what it does not read.
fn connect(server: SocketAddr, number: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = Ipv4Addr::new(127, 1, 0, u8::try_from(number + 1).unwrap());
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}

/// Registers a peer and reads its welcome.
fn join(server: SocketAddr, number: usize) -> TcpStream {
    let mut stream = connect(server, number);
    stream.write_all(format!("peer {number}\n").as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the server closed the connection");
        if buffer[..length].contains(&b'\n') {
            return stream;
        }
    }
}

fn join_all(server: SocketAddr) -> Vec<TcpStream> {
    (0..PEERS).map(|number| join(server, number)).collect()
}

/// Sends as much as the server takes: it closes connections that are relieved of their queue.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    if let Err(error) = stream.write_all(bytes) {
        let is_closed = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        assert!(is_closed, "{error}");
    }
}

/// Runs a server with these bounds. `attack` gets its address, and leaves peers that hold as much of it
/// as they can. The heap must come within a tenth of the bound, and `used` must not be below it.
fn check(
    what: &str,
    limits: Limits,
    policy: SlowReader,
    used: impl Fn(&TestServer) -> usize,
    attack: impl FnOnce(SocketAddr) -> Vec<TcpStream>,
) {
    let server = TestServer::with(limits, |builder| builder.slow_reader(policy));
    // what the loops need is there before it is counted
    drop(join(server.address, 200));
    eventually("the first one is gone", || server.handle.connections() == 0);
    let before = live();
    take_peak();
    let peers = attack(server.address);
    let most = TOTAL + TOTAL / 10;
    eventually(&format!("{what}: the bound is reached"), || used(&server) > TOTAL * 3 / 4);
    eventually(&format!("{what}: memory that is used again is given back"), || {
        let held = live().saturating_sub(before);
        held <= most && held <= used(&server) + MIB
    });
    let (held, peak) = (live().saturating_sub(before), take_peak().saturating_sub(before));
    println!("{what}: {held} bytes, at most {peak}, {} counted", used(&server));
    assert!(peak <= most + WORKING, "{what}: {peak} bytes of heap");
    drop(peers);
    eventually(&format!("{what}: nothing is left"), || {
        server.handle.connections() == 0 && used(&server) == 0 && live() < before + MIB
    });
}

fn queues(server: &TestServer) -> usize {
    let usage = server.handle.usage().queues;
    assert_eq!(usage.most, TOTAL);
    usage.bytes
}

fn input(server: &TestServer) -> usize {
    let usage = server.handle.usage().input;
    assert_eq!(usage.most, TOTAL);
    usage.bytes
}

/// Bounds under which one connection cannot reach what is tested by itself.
fn bounds() -> Limits {
    let mut limits = limits();
    limits.queue_total = TOTAL;
    limits.input_total = TOTAL;
    // nobody is given up for being slow before the test has looked
    limits.drain = support::PATIENCE;
    limits.linger = support::PATIENCE;
    limits
}

/// The only test here: what else ran at the same time would be counted too.
#[test]
fn the_heap_stays_within_the_bounds() {
    for policy in [SlowReader::Disconnect, SlowReader::DropOldest] {
        long_echoes_that_nobody_reads(policy);
        short_messages_that_nobody_reads(policy);
    }
    echoes_to_peers_that_have_ended();
    messages_that_are_not_finished();
}

fn long_echoes_that_nobody_reads(policy: SlowReader) {
    check("long echoes", bounds(), policy, queues, |server| {
        let mut peers = join_all(server);
        let echo = object("/ping", &"x".repeat(LONG));
        for _ in 0..66 {
            peers.iter_mut().for_each(|peer| send(peer, echo.as_bytes()));
        }
        peers
    });
}

/// Each of these is an allocation of its own, with a place in a queue.
fn short_messages_that_nobody_reads(policy: SlowReader) {
    let mut limits = bounds();
    limits.queue_messages = usize::MAX;
    check("short messages", limits, policy, queues, |server| {
        let mut peers = join_all(server);
        // the sockets' own buffers are filled by few long ones
        let echo = object("/ping", &"x".repeat(LONG)).repeat(50);
        peers.iter_mut().for_each(|peer| send(peer, echo.as_bytes()));
        let mut sender = join(server, 100);
        let lines: String =
            (0..PEERS).map(|number| object(&format!("peer {number}"), "hello")).collect();
        for _ in 0..4_000 {
            send(&mut sender, lines.as_bytes());
        }
        peers.push(sender);
        peers
    });
}

/// Queues that drain are relieved too, and the bound is reached with them alone: each peer has ended
/// before the next one comes.
fn echoes_to_peers_that_have_ended() {
    check("ended peers", bounds(), SlowReader::Disconnect, queues, |server| {
        let echo = object("/ping", &"x".repeat(LONG)).repeat(58);
        let end = |number| {
            let mut peer = join(server, number);
            send(&mut peer, echo.as_bytes());
            // a peer whose queue is cut may be closed already
            let _ = peer.shutdown(Shutdown::Write);
            peer
        };
        (0..PEERS).map(end).collect()
    });
}

fn messages_that_are_not_finished() {
    let mut limits = bounds();
    limits.frame = MIB;
    check("unfinished messages", limits, SlowReader::Disconnect, input, |server| {
        let mut peers = join_all(server);
        let mut half = object("nobody", &"x".repeat(MIB - 1024)).into_bytes();
        half.truncate(half.len() - 3);
        peers.iter_mut().for_each(|peer| send(peer, &half));
        peers
    });
}
