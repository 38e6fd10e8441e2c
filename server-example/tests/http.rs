//! HTTP beside the chat, as an operator starts it: where it listens, what is said of that, another
//! configuration, and the end.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::temp_dir::TempDir;
use common::web::{Frame, WebSocket, http_address, page};
use common::{PATIENCE, Program, Raw, TestServer, eventually};

/// The answer to a request, which ends the connection.
fn get(address: SocketAddr, host: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

fn status(address: SocketAddr, host: &str) -> String {
    get(address, host).split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn http_is_served_beside_the_chat() {
    let mut server = TestServer::start(&[
        "--http",
        "127.0.0.1:0",
        "--http",
        ":0",
        "--http-host",
        "chat.example",
    ]);
    let addresses = [(); 2].map(|()| http_address(&mut server.program));
    assert_ne!(addresses[0], addresses[1]);
    for address in addresses {
        let answer = get(address, "chat.example:80");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("chatproto server"), "{answer}");
        assert_eq!(status(address, "other.example"), "421");
    }
    drop(Raw::connect(server.address, "alice"));
    // a connection that does nothing does not hold up the end
    let idle = TcpStream::connect(addresses[0]).unwrap();
    server.program.terminate();
    let (code, output, _) = server.program.end();
    assert_eq!((code, output), (Some(0), vec![]), "standard output has the chat's ports only");
    drop(idle);
}

#[test]
fn a_websocket_is_a_user_as_any_other() {
    let mut server = TestServer::start(&["--http", ":0"]);
    let address = http_address(&mut server.program);
    let mut raw = Raw::connect(server.address, "raw");
    let open = |path: &str| WebSocket::open(TcpStream::connect(address).unwrap(), path).unwrap();
    let mut alice = open("/ws?name=alice");
    alice.read_with("Welcome, alice!");
    let mut bob = open("/ws");
    bob.send("bob");
    bob.read_with("Welcome, bob!");
    // one that has not said its name does not hold up the end
    let unnamed = open("/ws");
    raw.send("alice", "from tcp");
    alice.read_with("from tcp");
    server.program.terminate();
    // it says goodbye
    alice.read_with("SERVER");
    assert_eq!(server.program.end().0, Some(0));
    drop(unnamed);
}

#[test]
fn http_is_off_by_default_and_alone_means_loopback() {
    let print = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
        command.args(["serve", "--print-config"]).args(arguments).envs(environment.iter().copied());
        let (code, output, errors) = Program::spawn(command).end();
        assert_eq!(code, Some(0), "{errors:?}");
        let line =
            output.into_iter().find(|line| line.trim_start_matches("# ").starts_with("http ="));
        line.expect("the option is listed")
    };
    assert!(print(&[], &[]).starts_with("# http = "));
    assert!(print(&["--http"], &[]).starts_with("http = [\"127.0.0.1:8080\"]"));
    let several = print(&["--http", "--http", "0.0.0.0"], &[]);
    assert!(several.starts_with("http = [\"127.0.0.1:8080\", \"0.0.0.0\"]"), "{several}");
    let variable = print(&[], &[("CHATPROTO_HTTP", "localhost,:9000")]);
    assert!(variable.starts_with("http = [\"localhost\", \":9000\"]"), "{variable}");
}

#[test]
fn mistakes_name_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, said) in [
        (&["--http", &taken][..], "choose another port with --http"),
        (&["--http-host", "chat.example"], "--http-host needs --http"),
        (&["--http-origin", "https://a.example"], "--http-origin needs --http"),
        (&["--http", "--http-origin", "a.example"], "expected scheme, host and optional port"),
        (&["--http", "--http-host", "a.example:80"], "expected the name of a host"),
        (&["--http", "1.2"], "expected an IPv4 address"),
    ] {
        let arguments = [&["serve", "--listen", ":0"], arguments].concat();
        let (code, output, errors) = Program::start(&arguments).end();
        assert_eq!((code, output), (Some(2), vec![]), "{arguments:?}");
        assert!(errors.last().is_some_and(|line| line.contains(said)), "{arguments:?}: {errors:?}");
    }
    let (code, _, errors) =
        Program::start(&["serve", "--check-config", "--http-host", "chat.example"]).end();
    assert_eq!(code, Some(2), "{errors:?}");
    let same =
        ["serve", "--check-config", "--listen", "127.0.0.1:65431", "--http", "127.0.0.1:65431"];
    let (code, _, errors) = Program::start(&same).end();
    assert_eq!(code, Some(2), "{errors:?}");
    let twice = errors.last().is_some_and(|line| line.contains("--http has 127.0.0.1:65431 twice"));
    assert!(twice, "{errors:?}");
}

#[test]
#[cfg(unix)]
fn names_and_the_certificate_change_while_the_server_runs() {
    let dir = TempDir::new();
    let make = |host: &str| {
        let directory = dir.path("tls");
        let arguments = ["cert", "new", "--force", "--dir", &directory, "--host", host];
        let (code, output, errors) = Program::start(&arguments).end();
        assert_eq!(code, Some(0), "{errors:?}");
        drop(output);
    };
    make("old.example");
    let config = |host: &str| {
        let lines = [
            "http = [\"127.0.0.1:0\"]".to_owned(),
            format!("http-host = [\"{host}\"]"),
            "tls-cert = \"tls/cert.pem\"".to_owned(),
            "tls-key = \"tls/key.pem\"".to_owned(),
        ];
        let file = dir.path("chat.toml");
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        file
    };
    let file = config("first.example");
    let mut server = TestServer::start(&["--config", &file]);
    let address = http_address(&mut server.program);
    let known = |address| {
        let hosts = ["first.example", "second.example", "old.example", "new.example", "localhost"];
        hosts.map(|host| status(address, host) == "200")
    };
    assert_eq!(known(address), [true, false, true, false, true]);
    make("new.example");
    config("second.example");
    server.program.signal("HUP");
    server.program.error_with("the configuration was loaded again");
    assert_eq!(known(address), [false, true, false, true, true]);
    // a change of the address needs a restart
    let line = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", "127.0.0.1:1");
    std::fs::write(&file, line).unwrap();
    server.program.signal("HUP");
    server.program.error_with("needs a restart: http");
    assert_eq!(status(address, "second.example"), "200");
}

#[test]
fn an_operator_reads_metrics_and_health() {
    let mut server = TestServer::start(&["--http", "127.0.0.1:0"]);
    let http = http_address(&mut server.program);
    let _alice = Raw::connect_at_once(server.address, "alice");
    let (head, body) = page(http, "/metrics");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("cache-control: no-store"),
        "{head}"
    );
    let users = body.lines().filter(|line| line.starts_with("chatproto_users{"));
    let sum: u32 = users.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap()).sum();
    assert_eq!(sum, 1, "{body}");
    for path in ["/livez", "/readyz", "/readyz?verbose"] {
        let (head, body) = page(http, path);
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        assert!(body.contains("ok"), "{path}: {body}");
    }
}

/// A client that asks for a WebSocket is refused, or is told that the server stops. It never waits in vain.
#[test]
fn browsers_that_come_while_the_server_stops_are_users_or_are_told_so() {
    let mut server = TestServer::start(&["--http", "127.0.0.1:0"]);
    let http = http_address(&mut server.program);
    let opened = AtomicUsize::new(0);
    // until nobody listens any more
    let come = |thread: usize| {
        let (mut sockets, mut refusals) = (Vec::new(), Vec::new());
        for number in 0.. {
            let Ok(stream) = TcpStream::connect(http) else { break };
            match WebSocket::open(stream, &format!("/ws?name=user-{thread}-{number}")) {
                Ok(socket) => sockets.push(socket),
                Err(refusal) => refusals.push(refusal),
            }
            opened.fetch_add(1, Ordering::Relaxed);
        }
        (sockets, refusals)
    };
    thread::scope(|scope| {
        let come = &come;
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || come(number))).collect();
        eventually(|| (opened.load(Ordering::Relaxed) > 100).then_some(()));
        server.program.terminate();
        for (number, thread) in threads.into_iter().enumerate() {
            let (sockets, refusals) = thread.join().unwrap();
            assert!(sockets.len() > 1, "the threads are equal");
            for refusal in refusals {
                // the listener was closed before it accepted the connection, or before it read the request
                let is_unread = refusal.starts_with('(');
                assert!(is_unread || refusal.starts_with("HTTP/1.1 503 "), "{number}: {refusal}");
            }
            for mut socket in sockets {
                let mut texts = Vec::new();
                let code = loop {
                    match socket.read().unwrap_or_else(|error| panic!("{error}: {texts:?}")) {
                        Frame::Text(text) => texts.push(text),
                        Frame::Ping => {}
                        Frame::Close(code) => break code,
                    }
                };
                assert_eq!(code, 1001, "{texts:?}");
                let is_told = texts.last().is_none_or(|text| text.contains("shutting down"));
                assert!(is_told, "{texts:?}");
            }
        }
    });
    assert_eq!(server.program.end().0, Some(0));
}
