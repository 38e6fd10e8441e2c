//! The parts that the tests share: a listener on loopback, a client that writes and reads bytes, and certificates.
//! Nothing sleeps. Each wait ends with an event, or after a time that only a defect can reach.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this one")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatproto::tls::ServerTls;
use http_listener::{Bounds, Control, Handover, Listener, Running, Setup, Tls};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use server_example_http as http_listener;

/// Longer than anything takes here, on a slow machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The key of RFC 6455's example, and the answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const KEY_ANSWER: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A listener that runs.
pub struct Http {
    pub address: SocketAddr,
    pub control: Control,
    running: Option<Running>,
    adopted: Receiver<Handover>,
}

impl Http {
    pub fn start() -> Self {
        Http::with(|_| {})
    }

    /// With other settings.
    pub fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let (sender, adopted) = mpsc::channel();
        let sender = Mutex::new(sender);
        let mut setup = Setup::new(Bounds { connections: 1000, per_address: 1000 });
        setup.adopt = Some(Arc::new(move |handover| {
            sender.lock().unwrap().send(handover).map_err(|_| "the test has ended".to_owned())
        }));
        change(&mut setup);
        let listener = Listener::bind(&[([127, 0, 0, 1], 0).into()]).expect("a free port");
        let address = listener.addresses()[0];
        let running = listener.start(setup).expect("a thread");
        Http { address, control: running.control(), running: Some(running), adopted }
    }

    pub fn connect(&self) -> Client<TcpStream> {
        Client::new(connect(self.address))
    }

    /// The next WebSocket. Its socket blocks, with a deadline.
    pub fn adopted(&self) -> Handover {
        let handover = self.adopted.recv_timeout(PATIENCE).expect("a WebSocket");
        handover.socket.set_nonblocking(false).unwrap();
        handover.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        handover.socket.set_write_timeout(Some(PATIENCE)).unwrap();
        handover
    }

    /// Waits until the listener has ended.
    pub fn end(&mut self) {
        self.running = None;
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A client that writes requests as they are given.
pub struct Client<S> {
    pub stream: S,
    /// Bytes that were read and belong to the next response.
    ahead: VecDeque<u8>,
}

/// A response of HTTP/1.1.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = values.next()?.1;
        assert!(values.next().is_none(), "{name} twice: {}", self.head);
        Some(value)
    }
}

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Self {
        Client { stream, ahead: VecDeque::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes it");
    }

    /// Sends a request of these lines, of which the first one is such as `GET / HTTP/1.1`.
    pub fn request(&mut self, lines: &[&str]) -> Response {
        self.send(request(lines));
        self.response()
    }

    /// Sends a request with a Host, and returns its status.
    pub fn get(&mut self, path: &str) -> Response {
        self.request(&[&format!("GET {path} HTTP/1.1"), "Host: localhost"])
    }

    pub fn response(&mut self) -> Response {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().unwrap_or_else(|| {
                panic!("the connection ends behind {:?}", String::from_utf8_lossy(&head))
            }));
        }
        let head = String::from_utf8(head).unwrap();
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut response = Response { status, head, body: String::new() };
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        let body = (0..length).map(|_| self.byte().expect("the whole body")).collect();
        response.body = String::from_utf8(body).unwrap();
        response
    }

    /// Reads this many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte().expect("the connection is open")).collect()
    }

    /// Whether nothing more comes, and the connection ends.
    pub fn is_ended(&mut self) -> bool {
        self.byte().is_none()
    }

    /// None at the end of the connection, be it a reset or not.
    fn byte(&mut self) -> Option<u8> {
        if self.ahead.is_empty() {
            let mut buffer = [0; 16 * 1024];
            let length = match self.stream.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if is_end(&error) => 0,
                Err(error) => panic!("no answer: {error}"),
            };
            self.ahead.extend(&buffer[..length]);
        }
        self.ahead.pop_front()
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// The bytes of a request without a body.
pub fn request(lines: &[&str]) -> String {
    let mut request = String::new();
    for line in lines {
        write!(request, "{line}\r\n").unwrap();
    }
    request + "\r\n"
}

/// The lines of a request that opens a WebSocket at this path.
pub fn upgrade(path: &str) -> Vec<String> {
    let lines = [
        &format!("GET {path} HTTP/1.1"),
        "Host: localhost",
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
        "Sec-WebSocket-Version: 13",
        &format!("Sec-WebSocket-Key: {KEY}"),
    ];
    lines.map(str::to_owned).into()
}

/// The same with a line in place of the one that begins as it does, up to the colon; or with one more.
pub fn upgrade_with(line: &str) -> String {
    let mut lines = upgrade("/ws");
    let (name, value) = line.split_once(':').expect("a header");
    match lines.iter_mut().find(|other| other.split(':').next() == Some(name)) {
        // an empty value removes the line
        Some(other) => *other = if value.is_empty() { String::new() } else { line.to_owned() },
        None => lines.push(line.to_owned()),
    }
    lines.retain(|line| !line.is_empty());
    request(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A certificate, and clients that trust it.
pub struct Certificate {
    pub tls: ServerTls,
    names: Vec<String>,
    roots: RootCertStore,
}

impl Certificate {
    pub fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let own = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let tls = ServerTls::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
        Certificate { tls, names, roots }
    }

    /// For the listener.
    pub fn tls(&self, is_only: bool) -> Tls {
        Tls::new(&self.tls, self.names.iter().map(String::as_str), is_only)
    }

    pub fn client_config(&self, alpn: &[&str]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// A client that offers these protocols and wants to reach this name. The handshake is done with the
    /// first bytes.
    pub fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        alpn: &[&str],
    ) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(Arc::new(self.client_config(alpn)), name).unwrap();
        Client::new(StreamOwned::new(tls, connect(address)))
    }
}
