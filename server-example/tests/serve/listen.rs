//! Where a server listens: on each address that it is told, and on no other.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw, TestServer, network_address, skip};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_server-example");

fn address(line: &str) -> SocketAddr {
    line.strip_prefix("listening on ").expect("a line for each address").parse().unwrap()
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_port_alone_is_one_of_loopback() {
    for listen in ["0", ":0"] {
        let server = TestServer::start_on(listen, &[]);
        assert!(server.address.ip().is_loopback() && server.address.is_ipv4(), "{listen}");
    }
    for listen in [String::new(), ":".to_owned()].map(|colon| format!("{colon}{}", free_port())) {
        let server = TestServer::start_on(&listen, &[]);
        let expected = format!("127.0.0.1:{}", listen.trim_start_matches(':'));
        assert_eq!(server.address.to_string(), expected);
        // another address of this machine is not open
        if let Some(other) = network_address() {
            assert!(TcpStream::connect((other, server.address.port())).is_err(), "{listen}");
        }
        // and clients mean the same
        let mut chat = Program::start(&["chat", "--name", "alice", "--server", &listen]);
        chat.line_with("Welcome");
    }
}

#[test]
fn what_only_looks_like_an_address_opens_nothing() {
    for (listen, said) in [
        ("0:7000", "expected an IPv4 address of four numbers"),
        ("1.2", "expected an IPv4 address of four numbers"),
        ("0x7f000001:7000", "expected an IPv4 address of four numbers"),
        ("010.0.0.1:7000", "expected an IPv4 address of four numbers"),
        ("65536", "a port is a number from 0 to 65535"),
        ("127.0.0.1:165432", "a port is a number from 0 to 65535"),
        ("*:7000", "0.0.0.0 and [::] stand for all"),
        ("no.such.host.invalid:7000", "unknown host no.such.host.invalid"),
    ] {
        for option in ["--listen", "--tls-listen"] {
            let certificate = ["--tls-cert", "x", "--tls-key", "x"];
            let arguments = [&["serve", option, listen], &certificate[..]].concat();
            let arguments = if option == "--listen" { &arguments[..3] } else { &arguments };
            let (code, output, errors) = Program::start(arguments).end();
            assert_eq!((code, output), (Some(2), vec![]), "{option} {listen}");
            let is_said = errors.last().is_some_and(|line| line.contains(said));
            // the files of the certificate are read before a name is looked up
            let is_later = option == "--tls-listen" && said.starts_with("unknown");
            assert!(is_said || is_later, "{option} {listen}: {errors:?}");
        }
    }
}

#[test]
fn a_server_listens_on_each_address_that_it_is_told() {
    let dir = TempDir::new();
    let file = dir.file("chat.toml", "listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n");
    let single = dir.file("single.toml", "listen = \"127.0.0.3:0\"\n");
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = Command::new(EXECUTABLE);
        command.args(arguments);
        variable.map(|value| command.env("CHATPROTO_LISTEN", value));
        Program::spawn(command)
    };
    let flags = ["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"];
    for mut server in [
        run(&flags, None),
        run(&[], Some("127.0.0.1:0, 127.0.0.2:0")),
        run(&["--config", &file], None),
    ] {
        let addresses = [address(&server.line()), address(&server.line())];
        assert_eq!(addresses.map(|address| address.ip().to_string()), ["127.0.0.1", "127.0.0.2"]);
        let [mut alice, mut bob] = [("alice", 0), ("bob", 1)]
            .map(|(name, number)| Raw::connect_at_once(addresses[number], name));
        alice.send("bob", "hi");
        assert_eq!(bob.receive_from_user().msg, "hi");
        assert!(alice.ask("/list", "").contains("bob"));
    }
    let mut server = run(&["--config", &single], None);
    assert_eq!(address(&server.line()).ip().to_string(), "127.0.0.3");
    let (code, _, errors) = run(&[], Some("")).end();
    assert_eq!(code, Some(2));
    assert_eq!(errors, ["server-example: CHATPROTO_LISTEN is empty: give it a value"]);
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let server = TestServer::start(&[]);
    let taken = server.address.to_string();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--listen", &taken];
    let (code, output, errors) = Program::start(&arguments).end();
    assert_eq!((code, output), (Some(2), vec![]));
    let said = format!("cannot listen on {taken}: address already in use");
    assert!(errors.last().unwrap().contains(&said), "{errors:?}");
}

#[test]
fn a_name_stands_for_its_addresses_on_this_machine() {
    let server = TestServer::start_on("localhost:0", &[]);
    assert!(server.address.ip().is_loopback());
    let port = free_port();
    let server = TestServer::start_on(&format!("localhost:{port}"), &[]);
    Raw::connect_at_once(SocketAddr::from(([127, 0, 0, 1], port)), "alice");
    drop(server);
}

#[test]
fn both_families_can_have_one_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("this machine has no IPv6");
    }
    let port = free_port();
    let [four, six] = ["0.0.0.0", "[::]"].map(|host| format!("{host}:{port}"));
    for listen in [[&four, &six], [&six, &four]] {
        let mut server = Program::start(&["serve", "--listen", listen[0], "--listen", listen[1]]);
        assert_eq!(listen.map(|_| address(&server.line()).to_string()), listen.map(Clone::clone));
        Raw::connect_at_once(SocketAddr::from(([127, 0, 0, 1], port)), "alice");
        Raw::connect_at_once(format!("[::1]:{port}").parse().unwrap(), "bob");
    }
}
