//! What TLS costs: CPU time of the server for each delivered message and for each handshake, and
//! memory of an idle connection, beside the same without TLS and beside nats-server with TLS (the
//! Debian package; without it that column is left out).
//!
//! One thread drives all pairs in turn: it writes so many messages for each pair, and then reads
//! them. The figures are of the server's process alone, as the system counts it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use chatproto::tls::ServerTls;
use chatproto::{Limits, Server};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PAIRS: usize = 50;
const RUN: Duration = Duration::from_secs(2);
const HANDSHAKES: usize = 1000;
const IDLE: usize = 1500;
const HOST: &str = "bench.test";
/// As in the other measurements: 64 bytes of text.
const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Chatproto,
    Nats,
}

/// A server that is measured.
struct Subject {
    name: &'static str,
    protocol: Protocol,
    tls: Option<Arc<ClientConfig>>,
    child: Child,
    address: SocketAddr,
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

struct Client {
    wire: Wire,
    buffer: Vec<u8>,
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--serve") {
        return serve(arguments.get(at + 1).zip(arguments.get(at + 2)));
    }
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let folder = env::temp_dir().join(format!("chatproto-bench-tls-{}", process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let cert_file = file("cert.pem", certificate.pem());
    let key_file = file("key.pem", key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);

    let subjects = [
        ours("chatproto", None),
        ours("chatproto, TLS", Some((&cert_file, &key_file, &config))),
        nats("nats-server", None),
        nats("nats-server, TLS", Some((&cert_file, &key_file, &config))),
    ];
    println!("| server | 1 in flight | 32 in flight | a connection | idle connection |");
    println!("|---|---:|---:|---:|---:|");
    for subject in subjects.into_iter().flatten() {
        let one = subject.pairs(1);
        let many = subject.pairs(32);
        let connection = subject.connections();
        let idle = subject.idle();
        println!(
            "| {} | {one:.2} µs | {many:.3} µs | {connection:.0} µs | {idle:.0} B |",
            subject.name
        );
    }
    let _ = fs::remove_dir_all(folder);
}

type Own<'a> = (&'a str, &'a str, &'a Arc<ClientConfig>);

fn ours(name: &'static str, own: Option<Own<'_>>) -> Option<Subject> {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg("--serve");
    if let Some((certificate, key, _)) = own {
        command.args([certificate, key]);
    }
    let mut child = pinned(&command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    let address = line.trim().parse().ok()?;
    let tls = own.map(|(.., config)| Arc::clone(config));
    Some(Subject { name, protocol: Protocol::Chatproto, tls, child, address })
}

fn nats(name: &'static str, own: Option<Own<'_>>) -> Option<Subject> {
    let address = TcpListener::bind(("127.0.0.1", 0)).ok()?.local_addr().ok()?;
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", &address.port().to_string()]);
    command.env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default()));
    if let Some((certificate, key, _)) = own {
        command.args(["--tls", "--tlscert", certificate, "--tlskey", key]);
    }
    let child = pinned(&command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let tls = own.map(|(.., config)| Arc::clone(config));
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > Duration::from_secs(5) {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
    Some(Subject { name, protocol: Protocol::Nats, tls, child, address })
}

/// The server on the first core, so that it and this program do not move about.
fn pinned(command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned
}

impl Subject {
    /// CPU time of the server for each delivered message, in microseconds.
    fn pairs(&self, in_flight: usize) -> f64 {
        let mut pairs: Vec<(Client, Client, Vec<u8>)> = (0..PAIRS)
            .map(|number| {
                let (from, to) = (format!("a{number}"), format!("b{number}"));
                let message = match self.protocol {
                    Protocol::Chatproto => format!(
                        "{{\"from\":{{\"name\":\"\",\"ip\":\"\"}},\"to\":\"{to}\",\"msg\":\"{TEXT}\"}}\n"
                    ),
                    Protocol::Nats => format!("PUB {to} {}\r\n{TEXT}\r\n", TEXT.len()),
                };
                let message = message.repeat(in_flight).into_bytes();
                (self.join(&from), self.join(&to), message)
            })
            .collect();
        let mut round = || {
            for (from, _, message) in &mut pairs {
                from.write(message);
            }
            for (_, to, _) in &mut pairs {
                to.read_texts(in_flight);
            }
        };
        let warm = Instant::now();
        while warm.elapsed() < RUN / 6 {
            round();
        }
        let (begun, before, mut rounds) = (Instant::now(), self.cpu(), 0);
        while begun.elapsed() < RUN {
            round();
            rounds += 1;
        }
        (self.cpu() - before).as_secs_f64() * 1e6 / (rounds * PAIRS * in_flight) as f64
    }

    /// CPU time of the server for a connection that comes, registers and goes, in microseconds.
    fn connections(&self) -> f64 {
        let before = self.cpu();
        for number in 0..HANDSHAKES {
            drop(self.join(&format!("h{number}")));
        }
        (self.cpu() - before).as_secs_f64() * 1e6 / HANDSHAKES as f64
    }

    /// Memory of a connection that does nothing, in bytes.
    fn idle(&self) -> f64 {
        // what a crowd leaves behind is there already
        drop((0..IDLE).map(|number| self.join(&format!("w{number}"))).collect::<Vec<_>>());
        thread::sleep(Duration::from_secs(3));
        let before = self.memory();
        let crowd: Vec<_> = (0..2 * IDLE).map(|number| self.join(&format!("i{number}"))).collect();
        thread::sleep(Duration::from_secs(2));
        let grown = self.memory().saturating_sub(before);
        grown as f64 / crowd.len() as f64
    }

    fn join(&self, name: &str) -> Client {
        let mut socket = TcpStream::connect(self.address).expect("the server listens");
        socket.set_nodelay(true).expect("an option");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
        if self.protocol == Protocol::Nats {
            // its first line is in clear
            while read_byte(&mut socket) != b'\n' {}
        }
        let wire = match &self.tls {
            None => Wire::Plain(socket),
            Some(config) => {
                let name = ServerName::try_from(HOST).expect("a name");
                let tls = ClientConnection::new(Arc::clone(config), name).expect("a connection");
                Wire::Tls(Box::new(StreamOwned::new(tls, socket)))
            }
        };
        let mut client = Client { wire, buffer: Vec::new() };
        match self.protocol {
            Protocol::Chatproto => {
                client.write(format!("{name}\n").as_bytes());
                client.read_until(b"\n");
            }
            Protocol::Nats => {
                let connect =
                    "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false}";
                client.write(format!("{connect}\r\nSUB {name} 1\r\nPING\r\n").as_bytes());
                client.read_until(b"PONG\r\n");
            }
        }
        client
    }

    fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux");
        let of_task = |task: io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.filter_map(of_task).sum())
    }

    fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kilobytes = line.split_whitespace().next().and_then(|word| word.parse::<usize>().ok());
        kilobytes.expect("a number") * 1024
    }
}

impl Client {
    fn write(&mut self, bytes: &[u8]) {
        let written = match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes),
        };
        written.expect("the server reads");
    }

    fn read(&mut self) {
        let mut bytes = [0; 16 * 1024];
        let length = match &mut self.wire {
            Wire::Plain(stream) => stream.read(&mut bytes),
            Wire::Tls(stream) => stream.read(&mut bytes),
        };
        let length = length.expect("the server writes");
        assert!(length > 0, "the server has closed");
        self.buffer.extend_from_slice(&bytes[..length]);
    }

    fn read_until(&mut self, end: &[u8]) {
        while memchr::memmem::find(&self.buffer, end).is_none() {
            self.read();
        }
        self.buffer.clear();
    }

    /// Reads until so many messages have come.
    fn read_texts(&mut self, count: usize) {
        while memchr::memmem::find_iter(&self.buffer, TEXT).count() < count {
            self.read();
        }
        self.buffer.clear();
    }
}

fn read_byte(socket: &mut TcpStream) -> u8 {
    let mut byte = [0];
    socket.read_exact(&mut byte).expect("a byte");
    byte[0]
}

/// Is the server that is measured: prints its address, and ends with its standard input.
fn serve(own: Option<(&String, &String)>) {
    let mut limits = Limits::default();
    (limits.rate, limits.rate_bytes) = (None, None);
    let mut builder = Server::builder().limits(limits).threads(1);
    if let Some((certificate, key)) = own {
        builder = builder.tls(ServerTls::from_files(certificate, key).expect("a certificate"));
    }
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let server = builder.bind(([127, 0, 0, 1], 0)).expect("a port");
    println!("{}", server.local_addr());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    server.run().expect("it runs");
}
