//! HAProxy in front of the server, for users over TCP, TLS and WebSocket. It connects to the server from another
//! address than its users to it, so that the server's answers tell the two apart. Without HAProxy these tests are
//! skipped.
#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::common::temp_dir::TempDir;
use crate::common::web::{WebSocket, http_address, page};
use crate::common::{PATIENCE, Program, Raw, TestServer, eventually, skip};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";
/// The address from which HAProxy connects to the server.
const SOURCE: &str = "127.0.0.9";

/// HAProxy, killed when it is dropped.
struct HaProxy {
    child: Child,
    address: SocketAddr,
    control: String,
    _dir: TempDir,
}

impl HaProxy {
    /// Serves with these lines of its frontend and its backend. `None` if it is not installed.
    fn start(bind: &str, frontend: &[&str], backend: &[&str]) -> Option<Self> {
        let dir = TempDir::new();
        let control = dir.path("control");
        let lines =
            |lines: &[&str]| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
        // the listening socket is its standard input: so the test knows the port, and nobody else has it
        let config = format!(
            "global\n  stats socket {control}\n\
             defaults\n  timeout connect 60s\n  timeout client 60s\n  timeout server 60s\n\
             frontend users\n  bind fd@0 {bind}\n{}  default_backend chat\n\
             backend chat\n  source {SOURCE}\n{}",
            lines(frontend),
            lines(backend)
        );
        let file = dir.file("haproxy.cfg", config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", &file]);
        command.stdin(Stdio::from(OwnedFd::from(listener)));
        match command.spawn() {
            Ok(child) => Some(HaProxy { child, address, control, _dir: dir }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip("HAProxy is not installed");
                None
            }
            Err(error) => panic!("cannot start HAProxy: {error}"),
        }
    }

    /// The status of a server of the backend, and the outcome of its last check.
    fn status(&self, server: &str) -> Option<(String, String)> {
        let mut control = UnixStream::connect(&self.control).ok()?;
        control.write_all(b"show stat\n").ok()?;
        let mut table = String::new();
        control.read_to_string(&mut table).ok()?;
        let mut rows = table.trim_start_matches("# ").lines().map(|row| row.split(','));
        let names: Vec<&str> = rows.next()?.collect();
        let row: Vec<&str> =
            rows.map(Iterator::collect).find(|row: &Vec<&str>| row.get(1) == Some(&server))?;
        let column = |name: &str| {
            let place = names.iter().position(|other| *other == name).expect("a column");
            row[place].to_owned()
        };
        Some((column("status"), column("check_status")))
    }

    /// Waits until a server of the backend has this status after such a check.
    fn until(&self, server: &str, status: &str, check: &str) {
        eventually(|| {
            let (present, last) = self.status(server)?;
            (present == status && last == check).then_some(())
        });
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection from this address of loopback.
fn connect_from(source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An address that passes connections on. To `to`, they come from `source`. It ends with the test.
fn passage(source: &str, to: SocketAddr) -> SocketAddr {
    let source: IpAddr = source.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = connect_from(source, to).unwrap();
            let copies = [(&client, &server), (&server, &client)]
                .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()));
            for (mut from, mut to) in copies {
                thread::spawn(move || {
                    // an error is the end, too
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

/// A certificate with its key, and the fingerprint.
struct Certificate {
    dir: TempDir,
    fingerprint: String,
}

impl Certificate {
    fn new() -> Self {
        let dir = TempDir::new();
        let (code, output, _) =
            Program::start(&["cert", "new", "--dir", &dir.path("tls"), "--host", "localhost"])
                .end();
        assert_eq!(code, Some(0));
        let line = output.iter().find_map(|line| line.strip_prefix("fingerprint  "));
        let fingerprint = line.expect("a fingerprint").to_owned();
        Certificate { dir, fingerprint }
    }

    fn certificate(&self) -> String {
        self.dir.path("tls/cert.pem")
    }

    fn key(&self) -> String {
        self.dir.path("tls/key.pem")
    }

    /// The certificate and its key in one file, as HAProxy reads them.
    fn both(&self) -> String {
        let both = [self.certificate(), self.key()].map(|file| std::fs::read(file).unwrap());
        let file = self.dir.path("both.pem");
        std::fs::write(&file, both.concat()).unwrap();
        file
    }
}

/// How HAProxy serves users, and how they connect to it.
struct Way<'a> {
    scheme: &'a str,
    is_tls: bool,
    bind: &'a str,
    frontend: &'a [&'a str],
    /// The options of the server in the backend.
    server: &'a str,
}

/// Text and TLS go through it as they are, and so do the server's answers.
#[test]
fn haproxy_states_the_addresses_of_users_in_text_and_over_tls() {
    let certificate = Certificate::new();
    let (pem, key) = (certificate.certificate(), certificate.key());
    let tls = ["--tls-cert", &pem, "--tls-key", &key, "--log", "debug"];
    for options in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c,ssl"]
    {
        let mut server = TestServer::start(&[&tls[..], &["--proxy-from", SOURCE]].concat());
        // it checks the health of the server all the time
        let line = format!("server chat {} {options} check inter 50ms", server.address);
        let Some(proxy) = HaProxy::start("", &["mode tcp"], &["mode tcp", &line]) else { return };
        server.program.error_with(&format!("connected address={SOURCE}"));
        let address = proxy.address.to_string();
        let fingerprint = ["--tls-fingerprint", &certificate.fingerprint];
        for (name, tls) in [("text", &[][..]), ("secret", &fingerprint)] {
            let chat = ["chat", "--name", name, "--server", &address];
            let mut chat = Program::start(&[&chat, tls].concat());
            chat.line_with("Welcome");
            chat.type_line("/whoami");
            let answer = chat.line_with("You are");
            assert!(answer.contains(" from 127.0.0.1, "), "{answer}");
            assert_eq!(answer.contains(", over TLS"), !tls.is_empty(), "{answer}");
            let line = server.program.error_with("registered");
            assert!(line.contains(&format!("name=\"{name}\" address=127.0.0.1 ")), "{line}");
            chat.close_input();
            assert_eq!(chat.end().0, Some(0));
        }
        // users who do not come through it need no header
        let mut direct = Raw::connect(server.address, "direct");
        assert!(direct.ask("/whoami", "").contains(" from 127.0.0.1"));
        drop((proxy, direct));
        server.program.terminate();
        let (code, _, errors) = server.program.end();
        assert_eq!(code, Some(0));
        let refused = errors.iter().find(|line| line.contains("PROXY header"));
        assert_eq!(refused, None, "its health checks are no mistake");
    }
}

#[test]
fn whatever_counts_by_address_counts_for_the_users_of_haproxy() {
    let certificate = Certificate::new();
    let crt = format!("ssl crt {}", certificate.both());
    let (tcp, v2) = (&["mode tcp"][..], "send-proxy-v2");
    let plain = Way { scheme: "tcp", is_tls: false, bind: "", frontend: tcp, server: v2 };
    let forwarded: &[&str] =
        &["mode http", "http-request del-header Forwarded", "option forwardfor"];
    let rfc_7239: &[&str] = &[
        "mode http",
        "http-request del-header X-Forwarded-For",
        "http-request set-header Forwarded \"for=%[src];proto=http\"",
    ];
    for way in [
        Way { ..plain },
        Way { is_tls: true, ..plain },
        Way { scheme: "ws", ..plain },
        Way { scheme: "wss", is_tls: true, ..plain },
        Way { scheme: "ws", frontend: &["mode http"], ..plain },
        Way { scheme: "ws", frontend: forwarded, server: "", ..plain },
        Way { scheme: "ws", frontend: rfc_7239, server: "", ..plain },
        // HAProxy has the certificate
        Way { scheme: "wss", bind: &crt, frontend: forwarded, server: "", ..plain },
        Way { scheme: "wss", bind: &crt, frontend: &["mode http"], ..plain },
    ] {
        if !counts_by_address(&way, &certificate) {
            return;
        }
    }
}

/// False if HAProxy is not installed.
fn counts_by_address(way: &Way<'_>, certificate: &Certificate) -> bool {
    let dir = TempDir::new();
    let (token, audit) = (dir.file("token", TOKEN), dir.path("audit.jsonl"));
    let (pem, key) = (certificate.certificate(), certificate.key());
    let options = ["--http", "127.0.0.1:0", "--proxy-from", SOURCE, "--admin-token", &token];
    let tls = ["--tls-cert", &pem, "--tls-key", &key, "--audit-log", &audit];
    let mut server = TestServer::start(&[&options[..], &tls].concat());
    let http = http_address(&mut server.program);
    let to = if way.scheme == "tcp" { server.address } else { http };
    let line = format!("server chat {to} {}", way.server);
    let Some(proxy) = HaProxy::start(way.bind, way.frontend, &[way.frontend[0], &line]) else {
        return false;
    };
    let homes = ["127.0.0.2", "127.0.0.3"].map(|home| passage(home, proxy.address));
    let chat = |home: usize, name: &str| {
        let address = homes[home].to_string();
        let url = format!("{}://{address}/ws", way.scheme);
        let to = if way.scheme == "tcp" { ["--server", &address] } else { ["--url", &url] };
        let is_trusted = way.is_tls || way.scheme == "wss";
        let tls: &[&str] =
            if is_trusted { &["--tls-fingerprint", &certificate.fingerprint] } else { &[] };
        Program::start(&[&["chat", "--no-reconnect", "--name", name], &to[..], tls].concat())
    };

    // a user who does not come through HAProxy needs no header
    let mut direct = Raw::connect(server.address, "direct");
    assert!(direct.ask("/whoami", "").contains(" from 127.0.0.1"));
    let mut mallory = chat(0, "mallory");
    mallory.line_with("Welcome, mallory");
    let line = server.program.error_with("name=\"mallory\"");
    assert!(line.contains(" address=127.0.0.2 "), "{line}");
    mallory.type_line("@direct hello");
    assert_eq!(direct.receive_from_user().from.ip, "127.0.0.2");
    mallory.type_line("/whoami");
    let answer = mallory.line_with("You are");
    assert_eq!(answer.contains(", over TLS"), way.is_tls, "{answer}");

    // wrong tokens of one address do not delay another one
    for _ in 0..5 {
        mallory.type_line("/admin wrong");
        mallory.line_with("That is not the token.");
    }
    mallory.type_line("/admin wrong");
    mallory.line_with("Too many wrong tokens.");
    let mut alice = chat(1, "alice");
    alice.line_with("Welcome, alice");
    alice.type_line(&format!("/admin {TOKEN}"));
    alice.line_with("You are an admin now.");

    alice.type_line("/ban 127.0.0.2 spam");
    alice.line_with("Banned the address 127.0.0.2");
    mallory.line_with("You were banned by alice: spam");
    assert_eq!(mallory.end().0, Some(1));
    let (code, _, errors) = chat(0, "innocent").end();
    assert_eq!(code, Some(1));
    assert!(errors.join("\n").contains("your address is banned: spam"), "{errors:?}");
    chat(1, "bob").line_with("Welcome, bob");
    assert!(direct.ask("/list", "").contains("alice"));

    drop((direct, alice));
    server.program.terminate();
    let (code, _, log) = server.program.end();
    assert_eq!(code, Some(0));
    let audit = std::fs::read_to_string(audit).unwrap();
    let addresses = |act: &str| -> Vec<String> {
        let acts = audit.lines().map(|line| serde_json::from_str(line).unwrap());
        let acts = acts.filter(|entry: &serde_json::Value| entry["act"] == act);
        acts.map(|entry| entry["address"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(addresses("ban"), ["127.0.0.3"], "{audit}");
    assert!(!addresses("denied").is_empty(), "{audit}");
    assert!(addresses("denied").iter().all(|address| address == "127.0.0.2"), "{audit}");
    let of_proxy = |line: &&String| line.contains(&format!("address={SOURCE}"));
    assert_eq!(log.iter().find(of_proxy), None);
    true
}

#[test]
fn the_limit_of_an_address_is_for_the_users_of_haproxy() {
    // loopback has no such limit, so it states other addresses
    let states = ["192.0.2.7 if { src 127.0.0.2 }", "192.0.2.8 if { src 127.0.0.3 }"];
    for mode in ["tcp", "http"] {
        let mode_line = format!("mode {mode}");
        let states = states.map(|state| {
            format!("tcp-request connection set-src str({}", state.replacen(' ', ") ", 1))
        });
        let frontend = [&mode_line[..], &states[0], &states[1], "option forwardfor"];
        let frontend = if mode == "tcp" { &frontend[..3] } else { &frontend };
        let options = ["--http", "127.0.0.1:0", "--proxy-from", SOURCE, "--max-per-address", "1"];
        let mut server = TestServer::start(&options);
        let http = http_address(&mut server.program);
        let line = match mode {
            "tcp" => format!("server chat {} send-proxy-v2", server.address),
            _ => format!("server chat {http}"),
        };
        let Some(proxy) = HaProxy::start("", frontend, &[&mode_line, &line]) else { return };
        let join = |home: &str, name: &str| {
            let stream = connect_from(home.parse().unwrap(), proxy.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            if mode == "tcp" {
                let (raw, said) =
                    Raw::over(stream.try_clone().unwrap(), name, &format!("{name}\n"));
                drop(raw);
                return (stream, said);
            }
            let mut socket =
                WebSocket::open(stream.try_clone().unwrap(), &format!("/ws?name={name}")).unwrap();
            (stream, socket.read_with("SERVER"))
        };
        let (first, said) = join("127.0.0.2", "first");
        assert!(said.contains("Welcome, first"), "{said}");
        let (_, said) = join("127.0.0.2", "second");
        assert!(said.contains("there are too many connections from your address"), "{said}");
        let (_other, said) = join("127.0.0.3", "other");
        assert!(said.contains("Welcome, other"), "{said}");
        drop(first);
        eventually(|| join("127.0.0.2", "third").1.contains("Welcome, third").then_some(()));
    }
}

/// A user can write any header. HAProxy adds one of the two.
#[test]
fn an_address_that_a_user_makes_up_is_refused() {
    let mut server = TestServer::start(&["--http", "127.0.0.1:0", "--proxy-from", SOURCE]);
    let http = http_address(&mut server.program);
    let line = format!("server chat {http}");
    let frontend = ["mode http", "option forwardfor"];
    let Some(proxy) = HaProxy::start("", &frontend, &["mode http", &line]) else { return };
    let open = |name: &str, lines: &str| {
        let stream = connect_from([127, 0, 0, 2].into(), proxy.address).unwrap();
        WebSocket::open_with(stream, &format!("/ws?name={name}"), lines)
    };
    let mut socket = open("alice", "X-Forwarded-For: 192.0.2.7\r\n").unwrap();
    socket.read_with("Welcome, alice");
    let line = server.program.error_with("name=\"alice\"");
    assert!(line.contains(" address=127.0.0.2 "), "{line}");
    let refusal = open("bob", "Forwarded: for=192.0.2.7\r\n").err().expect("a refusal");
    assert!(refusal.starts_with("HTTP/1.1 400 "), "{refusal}");
}

#[test]
fn haproxy_takes_a_server_out_while_it_stops() {
    let mut servers = ["one", "two"].map(|name| {
        let options = ["--http", "127.0.0.1:0", "--proxy-from", SOURCE, "--linger", "1min"];
        let mut server = TestServer::start(&options);
        let http = http_address(&mut server.program);
        (name, server, http)
    });
    let backend = |by_websocket: bool| -> Vec<String> {
        let mode = if by_websocket { "mode http" } else { "mode tcp" };
        let check = ["option httpchk GET /readyz", "http-check expect status 200"];
        let mut lines: Vec<String> = [mode, "balance roundrobin", "option redispatch 1"]
            .iter()
            .chain(&check)
            .map(|line| (*line).to_owned())
            .collect();
        for (name, server, http) in &servers {
            let to = if by_websocket { http } else { &server.address };
            // a check may begin with a PROXY header, or not
            let header = if *name == "one" { "check-send-proxy" } else { "" };
            let check = format!("check inter 50ms fall 1 rise 1 port {} {header}", http.port());
            lines.push(format!("server {name} {to} send-proxy-v2 {check}"));
        }
        lines
    };
    let start = |by_websocket: bool| {
        let lines = backend(by_websocket);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        HaProxy::start("", &[lines[0]], &lines)
    };
    let (Some(tcp), Some(web)) = (start(false), start(true)) else { return };
    for proxy in [&tcp, &web] {
        proxy.until("one", "UP", "L7OK");
        proxy.until("two", "UP", "L7OK");
    }
    let join = |name: &str| -> bool {
        let Ok(stream) = TcpStream::connect(tcp.address) else { return false };
        Raw::over(stream, name, &format!("{name}\n")).1.contains("Welcome")
    };
    let open = |name: &str| {
        let stream = TcpStream::connect(web.address).unwrap();
        let socket = WebSocket::open(stream, &format!("/ws?name={name}"));
        socket.map(|mut socket| socket.read_with("Welcome")).is_ok()
    };
    // each of the two has users by both ways
    for number in 0..2 {
        assert!(join(&format!("tcp {number}")) && open(&format!("web{number}")));
    }
    for (_, _, http) in &servers {
        let (_, metrics) = page(*http, "/metrics");
        assert!(metrics.contains("\nchatproto_registrations_total 2\n"), "{metrics}");
    }

    // this user does not close its side, so the server cannot end at once
    let (_, one, _) = &mut servers[0];
    let mut user = Raw::connect(one.address, "patient");
    one.program.terminate();
    assert!(user.receive_for("patient").contains("shutting down"));
    for proxy in [&tcp, &web] {
        proxy.until("one", "DOWN", "L4CON");
        proxy.until("two", "UP", "L7OK");
    }
    for number in 2..6 {
        assert!(join(&format!("tcp {number}")) && open(&format!("web{number}")));
    }
    let (_, metrics) = page(servers[1].2, "/metrics");
    assert!(metrics.contains("\nchatproto_registrations_total 10\n"), "{metrics}");
    drop(user);
    assert_eq!(servers[0].1.program.end().0, Some(0));
}
