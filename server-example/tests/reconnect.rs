//! A lost server: the client says so and comes back by itself.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use chatproto::Message;
use common::{Program, Raw, TestServer};

#[test]
fn a_client_comes_back_after_a_restart_of_its_server() {
    let mut server = TestServer::start(&[]);
    let address = server.address.to_string();
    let mut alice = server.chat("alice", &[]);
    server.program.terminate();
    alice.error_with("connection lost, trying again in ");
    assert_eq!(server.program.end().0, Some(0));

    // what is written meanwhile waits
    alice.type_line("/time");
    let server = TestServer::start_on(&address, &[]);
    alice.line_with("Welcome, alice!");
    alice.line_with("Server time");
    let mut bob = Raw::connect(server.address, "bob");
    alice.type_line("@bob I am back");
    assert_eq!(bob.receive_from_user().msg, "I am back");
}

#[test]
fn without_reconnecting_a_lost_server_is_the_end() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &["--no-reconnect"]);
    let lost = format!(
        "server-example: the connection to {} was lost: the server closed the connection",
        server.address
    );
    server.program.terminate();
    let (code, _, errors) = alice.end();
    assert_eq!((code, errors), (Some(1), vec![lost]));
}

#[test]
fn a_name_that_the_lost_connection_still_holds_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        for text in ["Welcome", "\u{26d4} Error: the name is in use\u{7}", "Welcome back"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut name = [0; 6];
            stream.read_exact(&mut name).unwrap();
            assert_eq!(&name, b"alice\n");
            let object = Message::new("SERVER", "0.0.0.0", "alice", text).to_json();
            stream.write_all(format!("{object}\n").as_bytes()).unwrap();
        }
    });
    let mut alice = Program::start(&["chat", "--name", "alice", "--server", &address]);
    assert_eq!(alice.line(), "SERVER → alice: Welcome");
    alice.error_with("connection lost, trying again in");
    alice.error_with("the server refused: the name is in use\\u{7}, trying again in");
    assert_eq!(alice.line(), "SERVER → alice: Welcome back");
    server.join().unwrap();
}
