//! `--proxy-from`: a server behind a load balancer knows the addresses of its users. The load balancer is the test
//! itself. The tests with a real one are in `haproxy`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::temp_dir::TempDir;
use crate::common::{PATIENCE, Program, Raw, TestServer, eventually};

const LOOPBACK: [&str; 2] = ["--proxy-from", "127.0.0.0/8"];

/// A user who connects through a proxy from that address.
fn join(server: SocketAddr, name: &str, address: &str) -> Raw {
    let stream = TcpStream::connect(server).unwrap();
    let header = format!("PROXY TCP4 {address} 192.0.2.1 50000 65432\r\n");
    let (raw, welcome) = Raw::over(stream, name, &format!("{header}{name}\n"));
    assert!(welcome.contains("Welcome"), "{welcome}");
    raw
}

/// The server closes a connection that begins with these bytes, and writes nothing.
fn is_closed_unanswered(server: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    assert_eq!(answer, b"");
}

#[test]
fn the_logs_and_messages_have_the_address_of_the_user() {
    let dir = TempDir::new();
    let audit = dir.path("audit.jsonl");
    let mut server = TestServer::start(&[&LOOPBACK[..], &["--audit-log", &audit]].concat());
    server.program.error_with("connections from 127.0.0.0/8 must begin with a PROXY header");
    let mut alice = join(server.address, "alice", "192.0.2.7");
    let line = server.program.error_with("registered");
    assert!(line.contains("name=\"alice\" address=192.0.2.7"), "{line}");
    let mut bob = join(server.address, "bob", "192.0.2.8");
    bob.send("alice", "hello");
    assert_eq!(alice.receive_from_user().from.ip, "192.0.2.8");
    assert!(bob.ask("/kick", "alice").contains("/kick is for"));
    let line = server.program.error_with("denied");
    assert!(line.contains("address=192.0.2.8"), "{line}");
    let line =
        eventually(|| std::fs::read_to_string(&audit).ok().filter(|text| text.ends_with('\n')));
    assert!(line.contains(r#""address":"192.0.2.8""#), "{line}");

    is_closed_unanswered(server.address, b"carol\n");
    let line = server.program.error_with("a source in --proxy-from must send a PROXY header");
    assert!(line.contains("WARN") && line.contains("address=127.0.0.1"), "{line}");
    assert!(line.contains(r#"reason="the first bytes are not a PROXY header""#), "{line}");
}

#[test]
fn a_header_from_elsewhere_is_refused_and_the_log_says_so() {
    let mut server = TestServer::start(&["--proxy-from", "10.0.0.0/8"]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("not in --proxy-from"), "{answer}");
    let line = server.program.error_with("PROXY header from a source that is not in --proxy-from");
    assert!(line.contains("WARN") && line.contains("address=127.0.0.1"), "{line}");
    // everything else works
    let mut alice = Raw::connect(server.address, "alice");
    assert!(alice.ask("/whoami", "").contains(" from 127.0.0.1"));
}

#[test]
fn the_configuration_is_checked_and_a_change_needs_a_restart() {
    let dir = TempDir::new();
    let text = "listen = \"127.0.0.1:0\"\nproxy-from = [\"10.0.0.0/8\", \"2001:db8::1\"]\n";
    let file = dir.file("chat.toml", text);
    let mut check = Program::start(&["serve", "--config", &file, "--check-config"]);
    let (code, output, errors) = check.end();
    assert_eq!((code, &output[..]), (Some(0), &["the configuration is valid".to_owned()][..]));
    let line = "connections from 10.0.0.0/8, 2001:db8::1 must begin with a PROXY header";
    assert!(errors.iter().any(|error| error.ends_with(line)), "{errors:?}");

    let (code, output, errors) =
        Program::start(&["serve", "--proxy-from", "10.0.0.0/33", "--check-config"]).end();
    assert_eq!((code, output), (Some(2), vec![]));
    let errors = errors.join("\n");
    assert!(errors.contains("expected an address or a network, such as 192.0.2.1"), "{errors}");

    #[cfg(unix)]
    {
        let mut server = TestServer::of(Program::start(&["serve", "--config", &file]));
        std::fs::write(&file, text.replace("10.0.0.0/8", "10.0.0.0/9")).unwrap();
        server.program.signal("HUP");
        let line = server.program.error_with("needs a restart");
        assert!(line.contains("proxy-from: ") && line.contains("10.0.0.0/9"), "{line}");
    }
}
