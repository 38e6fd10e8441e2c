//! What the tests over sockets have in common: a server that ends with the test, and peers that
//! write and read raw bytes.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses a part of it")]

pub mod gateway;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chatproto::{Decoder, Limits, Message, Server, ServerBuilder, ServerError, ServerHandle};

/// No test waits longer than this for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port of its own, stopped and joined at the end of the test.
pub struct TestServer {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    running: Option<JoinHandle<Result<(), ServerError>>>,
}

impl TestServer {
    pub fn start() -> Self {
        Self::with(limits(), |builder| builder)
    }

    pub fn with(limits: Limits, build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let builder = build(Server::builder().limits(limits).threads(2));
        let server = builder.bind(([127, 0, 0, 1], 0)).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let running = Some(std::thread::spawn(move || server.run()));
        TestServer { address, handle, running }
    }

    /// Stops it and gives what `run` returned.
    pub fn stop(mut self) -> Result<(), ServerError> {
        self.handle.stop();
        self.running.take().unwrap().join().unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.handle.stop();
            let ended = running.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// The defaults, but that a peer which does not close is waited for less long, and that the
/// handshake's grace is long enough for a machine under load.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.linger = Duration::from_millis(300);
    (limits.rate, limits.rate_bytes) = (None, None);
    limits
}

/// Waits for something that must become true.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come true");
        std::thread::yield_now();
    }
}

/// A peer that writes raw bytes and finds the objects of a stream.
pub struct Raw {
    pub stream: TcpStream,
    decoder: Decoder,
    pending: Vec<u8>,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw { stream, decoder: Decoder::default(), pending: Vec::new() }
    }

    /// Connects and registers as a stream peer.
    pub fn join(address: SocketAddr, name: &str) -> Self {
        let mut peer = Raw::connect(address);
        peer.write(format!("{name}\n").as_bytes());
        let welcome = peer.read();
        assert!(welcome.msg.contains("Welcome"), "{}", welcome.msg);
        peer
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn send(&mut self, to: &str, msg: &str) {
        self.write(object(to, msg).as_bytes());
    }

    /// The next object; panics at the end of the stream.
    #[track_caller]
    pub fn read(&mut self) -> Message {
        self.try_read().expect("the server closed the connection")
    }

    /// The next object, or `None` at the end of the stream.
    #[track_caller]
    pub fn try_read(&mut self) -> Option<Message> {
        loop {
            let mut input = &self.pending[..];
            let frame = self.decoder.decode(&mut input).expect("servers send messages");
            let message = frame.map(|frame| frame.message().to_owned());
            let used = self.pending.len() - input.len();
            self.pending.drain(..used);
            if message.is_some() {
                return message;
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Every object to the end of the stream.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.try_read()).collect()
    }

    /// Asks the server for its time and reads up to the answer: what came before, is all that was
    /// under way.
    #[track_caller]
    pub fn fence(&mut self) -> Vec<Message> {
        self.send("/time", "");
        let mut before = Vec::new();
        loop {
            let message = self.read();
            if message.from.name == "SERVER" && message.msg.starts_with("Server time") {
                return before;
            }
            before.push(message);
        }
    }

    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// An object as a client writes it that leaves its `from` empty.
pub fn object(to: &str, msg: &str) -> String {
    format!("{}\n", Message::new("", "", to, msg).to_json())
}
