//! A lost server: the client says so and comes back by itself.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::common::kept::{KeptServer, PASSWORD};
use crate::common::{Program, Raw, Script, TestServer};
use chatproto::Message;

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

/// A server where these names have had accounts from its start.
fn with_accounts(names: &[&str], options: &[&str]) -> KeptServer {
    let mut server = KeptServer::start(options);
    for name in names {
        server.account(&["add", name], PASSWORD);
    }
    server.restart();
    server
}

/// The text that says so.
const NOT_RESTORED: &str = "the login as alice was not restored, and you are alice~";

#[test]
fn a_line_typed_under_a_login_by_hand_is_not_sent_as_a_guest() {
    let mut server = with_accounts(&["alice"], &[]);
    let mut alice = server.chat("alice", &[]);
    alice.type_line(&format!("/login {PASSWORD}"));
    alice.line_with("You are logged in as alice");
    server.kill();
    alice.error_with("connection lost, trying again in ");
    alice.type_line("for my friends");
    server.begin_again();
    let mut bob = server.join("bob");
    alice.error_with(NOT_RESTORED);
    alice.type_line("neither is this");
    alice.error_with(NOT_RESTORED);
    alice.type_line(&format!("/login {PASSWORD}"));
    alice.line_with("You are logged in as alice");
    alice.type_line("here I am");
    let message = bob.receive_from_user();
    assert_eq!((&*message.from.name, &*message.msg), ("alice", "here I am"));
    alice.close_input();
    assert_eq!(alice.end().0, Some(1), "two lines were not sent");
}

#[test]
fn a_login_that_was_sent_and_not_answered_is_a_login() {
    for (command, name) in [("/login", "alice~7"), ("/register", "alice")] {
        let server = Script::start();
        let address = server.address.to_string();
        let mut alice = Program::start(&["chat", "--name", "alice", "--server", &address]);
        let mut script = server.greet("alice", name);
        script.say(name, &format!("Reporting on name={name} role=user login=false"));
        alice.type_line("/foo");
        script.expect("/foo", "");
        alice.type_line(&format!("{command} {PASSWORD}"));
        script.expect_login(command, PASSWORD);
        // the answer to something else
        script.say(name, "❌ Unknown command \"/foo\". Send /help to see the commands.");
        alice.line_with("Unknown command");
        drop(script);
        alice.error_with("connection lost, trying again in ");
        alice.type_line("for my friends");
        let mut script = server.greet("alice", "alice~8");
        script.say("alice~8", "Reporting on name=alice~8 role=user login=false");
        alice.error_with(NOT_RESTORED);
        // a script that logs in itself goes on when that is granted
        alice.type_line(&format!("/login {PASSWORD}"));
        alice.type_line("here I am");
        script.expect_login("/login", PASSWORD);
        script.say("alice", "State renamed old=alice~8 name=alice self=true");
        script.say("alice", "State role name=alice role=user login=true");
        script.say("alice", "Reporting on name=alice role=user login=true");
        script.expect("/shout", "here I am");
    }
}

#[test]
fn where_accounts_are_required_a_login_by_hand_brings_the_rooms_back() {
    let mut server = with_accounts(&["alice"], &["--accounts", "required"]);
    let mut alice = server.chat("alice", &[]);
    alice.type_line(&format!("/login {PASSWORD}"));
    alice.line_with("Nobody else is online.");
    alice.type_line("/join #tea");
    alice.line_with("Joined #tea.");
    server.kill();
    alice.error_with("connection lost, trying again in ");
    server.begin_again();
    alice.line_with("Welcome, alice~");
    alice.type_line(&format!("/login {PASSWORD}"));
    alice.line_with("Joined #tea.");
    alice.type_line("hello again");
    alice.close_input();
    // it asked nothing that a visitor may not
    let (code, _, errors) = alice.end();
    assert_eq!(code, Some(0), "{errors:?}");
    let export = server.export();
    assert_eq!(export.last().unwrap()["message"]["msg"], "hello again");
}

#[test]
fn a_line_typed_while_disconnected_waits_for_the_login_with_a_password_file() {
    for options in [&[][..], &["--accounts", "required"]] {
        let mut server = with_accounts(&["alice", "bob"], options);
        let file = server.dir.file("password", PASSWORD);
        let mut alice = server.chat("alice", &["--password-file", &file]);
        alice.type_line("first");
        alice.line_with("You are logged in as alice");
        server.kill();
        alice.error_with("connection lost, trying again in ");
        alice.type_line("/shout for my friends");
        server.begin_again();
        alice.line_with("Delivered to 0 users.");
        let mut bob = server.join("bob");
        bob.command_until("/login", PASSWORD, "You are logged in as bob");
        alice.type_line("@bob hello");
        assert_eq!(bob.receive_from_user().msg, "hello");
        alice.close_input();
        let (code, _, errors) = alice.end();
        assert_eq!(code, Some(0), "{errors:?}");
        let export = server.export();
        let last = &export.last().unwrap()["message"];
        assert_eq!(
            (&last["from"]["name"], &last["to"]),
            (&"alice".into(), &"bob".into()),
            "{last}"
        );
    }
}

#[test]
fn a_script_whose_password_is_wrong_says_nothing_as_a_guest() {
    for options in [&[][..], &["--accounts", "required"]] {
        let server = with_accounts(&["alice"], options);
        let file = server.dir.file("password", "not-that-one-7");
        let mut alice = server.chat("alice", &["--password-file", &file]);
        alice.type_line("for my friends");
        alice.error_with(NOT_RESTORED);
        alice.close_input();
        assert_eq!(alice.end().0, Some(1));
        assert!(server.export().is_empty());
    }
}
