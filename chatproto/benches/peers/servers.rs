//! The four servers: where they are, how they are installed, and how they are started, each with a
//! configuration that leaves out what the work does not need.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, process, thread};

use chatproto::connection::Framing;
use chatproto::server::Origin;
use chatproto::{Limits, Server, ServerHandle};

use crate::process::{Cores, Running, find, this_executable};
use crate::transport::Transport;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);

/// A server, and so its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chatproto,
    Nats,
    Mosquitto,
    Redis,
}

impl Kind {
    /// The program, and the Debian package, of the peers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Chatproto => "chatproto",
            Kind::Nats => "nats-server",
            Kind::Mosquitto => "mosquitto",
            Kind::Redis => "redis-server",
        }
    }

    /// What makes the program print its version.
    fn version_flag(self) -> &'static str {
        if self == Kind::Mosquitto { "-h" } else { "-v" }
    }
}

/// The servers that are there.
#[derive(Debug)]
pub(crate) struct Peers {
    found: Vec<(Kind, String)>,
    /// What is to be said about those that are not.
    pub(crate) missing: Vec<String>,
}

impl Peers {
    /// Finds the peers, and installs what is missing if it may and can.
    pub(crate) fn find(may_install: bool) -> Self {
        let mut peers = Peers { found: Vec::new(), missing: Vec::new() };
        for kind in [Kind::Nats, Kind::Mosquitto, Kind::Redis] {
            let name = kind.name();
            let path =
                find(name).or_else(|| (may_install && install(name)).then(|| find(name)).flatten());
            match path {
                Some(path) => peers.found.push((kind, path.to_string_lossy().into_owned())),
                None => {
                    let sentence = format!("{name} is missing; install the package {name}.");
                    eprintln!("peers: {sentence}");
                    peers.missing.push(sentence);
                }
            }
        }
        peers
    }

    /// This project's server, and the peers that were found.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let found = self.found.iter().map(|(kind, _)| *kind);
        [Kind::Chatproto].into_iter().chain(found).collect()
    }

    /// `nats-server 2.9.10` and so on.
    pub(crate) fn versions(&self) -> Vec<String> {
        let version = |(kind, path): &(Kind, String)| {
            let output = Command::new(path).arg(kind.version_flag()).output();
            let text = output.map(|output| output.stdout).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let trim = |word: &str| word.trim_start_matches(['v', '=']).to_owned();
            let is_version =
                |word: &String| word.contains('.') && word.starts_with(char::is_numeric);
            let version = text.split_whitespace().map(trim).find(is_version).unwrap_or_default();
            format!("{} {version}", kind.name())
        };
        let ours = format!("chatproto {}", chatproto::VERSION);
        [ours].into_iter().chain(self.found.iter().map(version)).collect()
    }

    /// Starts a server, and waits until it can be connected to.
    pub(crate) fn start(
        &self,
        (kind, transport): (Kind, Transport),
        threads: usize,
        cores: &Cores,
        is_pinned: bool,
    ) -> Result<Running, String> {
        let failed = |error| format!("{} cannot be started: {error}.", kind.name());
        let program = match self.found.iter().find(|(found, _)| *found == kind) {
            Some((_, path)) => path.clone(),
            None if kind == Kind::Chatproto => this_executable()?,
            None => return Err(format!("{} is missing.", kind.name())),
        };
        let port = free_port().map_err(failed)?;
        let mut command = cores.command(&program, is_pinned);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let port_text = port.to_string();
        match kind {
            Kind::Chatproto => {
                if transport == Transport::WebSocket {
                    command.arg("--websocket");
                }
                command.args(["--serve", &threads.to_string()]).stdout(Stdio::piped())
            }
            Kind::Nats if transport == Transport::WebSocket => command
                .args(["-a", "127.0.0.1", "-p", &free_port().map_err(failed)?.to_string()])
                .args(["-c", "/dev/stdin"]),
            Kind::Nats => command.args(["-a", "127.0.0.1", "-p", &port_text]),
            Kind::Mosquitto => command.args(["-c", "/dev/stdin"]),
            Kind::Redis => command
                .args(["--bind", "127.0.0.1", "--port", &port_text])
                .args(["--save", "", "--appendonly", "no", "--maxclients", "20000"])
                .args(["--client-output-buffer-limit", "pubsub 0 0 0"]),
        };
        let child = command.current_dir(env::temp_dir()).spawn().map_err(failed)?;
        let address = ([127, 0, 0, 1], port).into();
        let (cores, is_apart) = cores.of_run(is_pinned);
        let mut running = Running { child, address, cores, is_apart };
        match kind {
            Kind::Chatproto => running.address = read_address(&mut running.child)?,
            Kind::Mosquitto => {
                let stdin = running.child.stdin.take();
                let mut stdin = stdin.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
                let config = "allow_anonymous true\nset_tcp_nodelay true\nlog_type error\n";
                write!(stdin, "listener {port} 127.0.0.1\n{config}").map_err(failed)?;
            }
            Kind::Nats if transport == Transport::WebSocket => {
                let stdin = running.child.stdin.take();
                let mut stdin = stdin.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
                let listen = format!("host: \"127.0.0.1\", port: {port}, no_tls: true");
                writeln!(stdin, "websocket {{ {listen} }}").map_err(failed)?;
            }
            Kind::Nats | Kind::Redis => {}
        }
        wait_for(&mut running, kind)?;
        Ok(running)
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn read_address(child: &mut Child) -> Result<SocketAddr, String> {
    let mut line = String::new();
    if let Some(stdout) = child.stdout.as_mut() {
        // what went wrong shows as an empty line
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    line.trim().parse().map_err(|_| "chatproto's server did not start.".to_owned())
}

fn wait_for(running: &mut Running, kind: Kind) -> Result<(), String> {
    let begun = Instant::now();
    while TcpStream::connect(running.address).is_err() {
        let has_ended = running.child.try_wait().is_ok_and(|status| status.is_some());
        if has_ended || begun.elapsed() > START {
            return Err(format!("{} does not listen.", kind.name()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    // what it does at its start is not part of any measurement
    thread::sleep(Duration::from_millis(100));
    Ok(())
}

/// Installs a Debian package, as root or with a sudo that asks nothing, and stops the service that
/// it may have started. True if that worked.
fn install(package: &str) -> bool {
    let status = |program: &str, args: &[&str]| {
        let quiet = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        quiet.is_ok_and(|status| status.success())
    };
    let id = Command::new("id").arg("-u").output().map(|output| output.stdout);
    let is_root = id.is_ok_and(|id| id.trim_ascii() == b"0");
    if !Path::new("/usr/bin/apt-get").exists() || !(is_root || status("sudo", &["-n", "true"])) {
        return false;
    }
    let as_root = |args: &[&str]| {
        let environment = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"];
        let all = [&["-n", "env"], &environment[..], args].concat();
        if is_root { status("env", &all[2..]) } else { status("sudo", &all) }
    };
    eprintln!("peers: installing the package {package} …");
    let install = ["apt-get", "install", "--yes", "--no-install-recommends", package];
    let is_installed = as_root(&install) || (as_root(&["apt-get", "update"]) && as_root(&install));
    // a service that does not run cannot be stopped, which is what is wanted
    as_root(&["service", package, "stop"]);
    is_installed
}

/// Is the server that is measured: prints its address, and ends with its standard input.
pub(crate) fn serve(threads: usize, transport: Transport) -> Result<(), String> {
    // the peers have no bound on how fast a connection may send
    let mut limits = Limits::default();
    (limits.rate, limits.rate_bytes) = (None, None);
    let server = Server::builder()
        .limits(limits)
        .threads(threads)
        .bind(([127, 0, 0, 1], 0))
        .map_err(|error| format!("{error}."))?;
    match transport {
        Transport::Tcp => println!("{}", server.local_addr()),
        Transport::WebSocket => {
            let listener = TcpListener::bind(("127.0.0.1", 0));
            let listener = listener.map_err(|error| format!("cannot listen: {error}."))?;
            let address = listener.local_addr().map_err(|error| format!("{error}."))?;
            println!("{address}");
            let handle = server.handle();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    // a client that gives up is not served
                    let _ = upgrade(stream, &handle);
                }
            });
        }
    }
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    server.run().map_err(|error| format!("{error}."))
}

/// Answers the request of a generator's connection, and hands the connection to the server.
fn upgrade(mut stream: TcpStream, handle: &ServerHandle) -> Result<(), Box<dyn Error>> {
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    let address = stream.peer_addr()?.ip();
    handle.adopt(stream, Origin::new(address).framing(Framing::WebSocket))?;
    Ok(())
}
