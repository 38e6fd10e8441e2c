//! Two client processes and a program with nothing but a socket talk through a server process.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::common::{Program, Raw, Script, TestServer};
use chatproto::{Decoder, Message};

#[test]
fn clients_and_a_raw_program_exchange_private_messages_and_shouts() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &[]);
    let mut bob = server.chat("bob b", &[]);
    let mut raw = Raw::connect(server.address, "zoë");

    alice.type_line("@\"bob b\" hi bob");
    assert_eq!(bob.line_with("hi bob"), "alice → bob b: hi bob");
    bob.type_line("@alice hi alice");
    assert_eq!(alice.line_with("hi alice"), "bob b → alice: hi alice");
    bob.type_line("@zoë grüße");
    assert_eq!(raw.receive_from_user(), Message::new("bob b", "127.0.0.1", "zoë", "grüße"));
    raw.send("alice", "hallo 👋");
    assert_eq!(alice.line_with("hallo"), "zoë → alice: hallo 👋");

    raw.send("/shout", "all of you");
    assert_eq!(alice.line_with("all of you"), "zoë → Everyone: all of you");
    assert_eq!(bob.line_with("all of you"), "zoë → Everyone: all of you");
    bob.type_line("everybody");
    assert_eq!(
        raw.receive_from_user(),
        Message::new("bob b", "127.0.0.1", "Everyone", "everybody")
    );
    assert_eq!(alice.line_with("everybody"), "bob b → Everyone: everybody");
    assert_eq!(bob.line_with("Delivered"), "SERVER → bob b: Delivered to 2 users.");
}

#[test]
fn commands_go_to_the_server() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &[]);
    alice.type_line("/list");
    assert!(alice.line().starts_with("SERVER → alice: No other users"));
    alice.type_line("/help");
    assert!(alice.line().contains("/shout"));
    alice.type_line("/help time");
    assert!(alice.line().contains("/time:"));
    alice.type_line("/quit");
    alice.type_line("this is never sent");
    let (code, output, errors) = alice.end();
    assert_eq!((code, output, errors), (Some(0), vec![], vec![]));
}

#[test]
fn a_thousand_piped_lines_lose_none() {
    // the default rate: the server takes 200 at once, then pauses reading
    let server = TestServer::start(&[]);
    let mut bob = server.chat("bob", &[]);
    let mut alice = server.chat("alice", &["--linger", "1ms"]);
    for n in 0..1_000 {
        alice.type_line(&format!("@bob line {n}"));
    }
    // the last answer comes long after the end of input
    alice.type_line("/time");
    alice.close_input();
    for n in 0..1_000 {
        assert_eq!(bob.line(), format!("alice → bob: line {n}"));
    }
    let (code, output, errors) = alice.end();
    assert_eq!((code, errors), (Some(0), vec![]));
    assert_eq!(output.len(), 1, "{output:?}");
    assert!(output[0].contains("Server time"), "{output:?}");
}

#[test]
fn a_one_read_server_gets_every_line_at_its_pace() {
    const LINES: usize = 100;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"alice\n");
        let say = |text: &str| Message::new("SERVER", "0.0.0.0", "alice", text).to_python_json();
        stream.write_all(say("Welcome alice").as_bytes()).unwrap();
        let (mut decoder, mut messages) = (Decoder::new(1024), Vec::new());
        loop {
            let length = stream.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            let mut bytes = &buffer[..length];
            while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
                messages.push(frame.message().to_owned());
            }
        }
        // an answer after the client has half-closed
        stream.write_all(say("the end").as_bytes()).unwrap();
        messages
    });
    let options = ["chat", "--name", "alice", "--server", &address, "--linger", "1ms"];
    let mut alice = Program::start(&options);
    for n in 0..LINES {
        alice.type_line(&format!("lìne {n}"));
    }
    alice.close_input();
    let messages = server.join().unwrap();
    assert_eq!((&*messages[0].to, &*messages[0].msg), ("/state", "on"));
    assert_eq!(messages.len(), 1 + LINES);
    for (n, message) in messages[1..].iter().enumerate() {
        assert_eq!((&*message.to, &*message.msg), ("/shout", &*format!("lìne {n}")));
    }
    let (code, output, _) = alice.end();
    assert_eq!(code, Some(0));
    assert_eq!(output, ["SERVER → alice: Welcome alice", "SERVER → alice: the end"]);
}

#[test]
fn control_characters_never_reach_the_output() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &[]);
    let mut raw = Raw::connect(server.address, "eve");
    raw.send("alice", "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\nSERVER → alice: forged\u{202e}\t.");
    let line = alice.line();
    assert_eq!(
        line,
        "eve → alice: \\u{1b}]0;owned\\u{7}\\u{1b}[2J\\u{9b}31m\\r\\nSERVER → alice: forged\\u{202e}\\t."
    );
}

#[test]
fn a_line_that_cannot_be_sent_is_named_and_counts() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &[]);
    alice.type_line("@bob");
    alice.error_with("line 1 was not sent: the name has no text behind it");
    alice.type_line(&"x".repeat(100_000));
    alice.error_with("line 2 was not sent: a message of");
    alice.type_line("/list");
    alice.close_input();
    let (code, output, errors) = alice.end();
    assert_eq!(code, Some(1));
    assert_eq!(output.len(), 1);
    assert_eq!(errors, ["server-example: 2 lines were not sent"]);
}

#[test]
fn an_error_that_the_server_answers_is_in_the_exit_code() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &[]);
    alice.type_line("@nobody hi");
    alice.type_line("//list is a command");
    alice.type_line("/nosuch");
    alice.close_input();
    let (code, output, errors) = alice.end();
    assert_eq!(code, Some(1));
    assert_eq!(output.iter().filter(|line| line.contains('❌')).count(), 2, "{output:?}");
    assert_eq!(errors, ["server-example: the server answered 2 lines with an error"]);
}

#[test]
fn no_input_at_all_ends_well() {
    let server = TestServer::start(&[]);
    let mut alice = server.chat("alice", &[]);
    alice.close_input();
    assert_eq!(alice.end().0, Some(0));
}

#[test]
fn a_script_talks_in_a_room() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    bob.join("#green tea");
    let mut alice = server.chat("alice", &[]);
    // all at once: what the server answers changes nothing
    for line in [
        "/join #green tea",
        "to the room",
        "/to everyone",
        "to all",
        "@#green tea to the room again",
        "/leave #green tea",
        "@#green tea to nobody",
        "to all again",
    ] {
        alice.type_line(line);
    }
    for (to, msg) in [
        ("#green tea", "to the room"),
        ("Everyone", "to all"),
        ("#green tea", "to the room again"),
        ("Everyone", "to all again"),
    ] {
        assert_eq!(bob.receive_from_user(), Message::new("alice", "127.0.0.1", to, msg));
    }
    assert_eq!(
        alice.line_with("Joined"),
        "SERVER → alice: Joined #green tea. Other members (1): bob"
    );
    alice.line_with("Left #green tea.");
    alice.line_with("❌ You are not in");
    alice.type_line("/join \"#green tea\"");
    alice.line_with("Joined");
    bob.send("#green tea", "hallo");
    assert_eq!(alice.line_with("hallo"), "bob → #green tea: hallo");
}

#[test]
fn a_refused_join_sends_no_line_of_a_script_to_everybody() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    let mut alice = server.chat("alice", &[]);
    alice.type_line("/join #not,a,room");
    alice.line_with("❌ Not joined: ");
    alice.type_line("not for everybody");
    alice.line_with("❌ You are not in");
    alice.type_line("/leave");
    alice.line_with("❌ You are not in");
    alice.type_line("for everybody");
    assert_eq!(bob.receive_from_user().msg, "for everybody");
    alice.type_line("/to #tea");
    alice.type_line("nor this");
    alice.line_with("❌ You are not in");
    alice.close_input();
    let (code, _, errors) = alice.end();
    assert_eq!(code, Some(1));
    assert_eq!(errors, ["server-example: the server answered 4 lines with an error"]);
}

#[test]
fn a_place_that_a_script_mistypes_sends_nothing_to_everybody() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    for line in [
        "/join tea",
        "/join \"#a b",
        "/join #",
        "/join # a",
        "/join",
        "/to tea",
        "/to \"#tea",
        "/JOIN #tea",
        "/jion #tea",
        "/join \"#a\" \"#b\"",
        "/join #a #b",
        "/join #a 5x",
        "/join#a",
        "/ join #a",
        "/to: #a",
        "/too #a",
        "/jo",
    ] {
        let mut alice = server.chat("alice", &[]);
        alice.type_line(line);
        alice.type_line("secret");
        alice.error_with("was not sent: it is not clear where it is to go");
        alice.type_line("/to everyone");
        alice.type_line("for everybody");
        assert_eq!(bob.receive_from_user().msg, "for everybody", "{line}");
        alice.close_input();
        assert_eq!(alice.end().0, Some(1), "{line}");
    }
}

#[test]
fn a_message_above_the_limit_is_named_with_the_option() {
    let server = TestServer::start(&["--max-frame", "1MiB"]);
    let mut alice = server.chat("alice", &["--no-reconnect"]);
    let mut carol = server.chat("carol", &["--max-frame", "1MiB"]);
    let mut bob = server.chat("bob", &["--max-frame", "1MiB"]);
    bob.type_line(&"x".repeat(100_000));
    carol.line_with(&"x".repeat(100_000));
    alice.error_with("the server sent a message of more than 65536 bytes: raise --max-frame");
    assert_eq!(alice.end().0, Some(1));
    let mut dave = server.chat("dave", &[]);
    dave.type_line(&"x".repeat(100_000));
    dave.error_with("is longer than the limit of 65536 bytes (--max-frame): send less text");
}

#[test]
fn a_script_comes_back_under_its_new_name_and_into_its_rooms() {
    let server = Script::start();
    let address = server.address.to_string();
    let mut alice = Program::start(&["chat", "--name", "alice", "--server", &address]);
    let mut script = server.welcome("alice");
    alice.type_line("/join #green tea");
    alice.type_line("/nick carol");
    script.expect("/join", "\"#green tea\"");
    script.expect("/nick", "carol");
    script.say("alice", "Joined #green tea. You are its only member.");
    script.say("carol", "You are now carol.");
    assert_eq!(alice.line_with("now"), "SERVER → carol: You are now carol.");
    drop(script);
    alice.error_with("connection lost, trying again in ");
    alice.type_line("hi");
    let mut script = server.welcome("carol");
    script.expect("/join", "\"#green tea\"");
    script.expect("#green tea", "hi");
}

#[test]
fn a_room_is_joined_again_after_a_restart_of_the_server() {
    let mut server = TestServer::start(&[]);
    let address = server.address.to_string();
    let mut alice = server.chat("alice", &[]);
    alice.type_line("/join #tea");
    alice.line_with("Joined #tea.");
    server.program.terminate();
    alice.error_with("connection lost, trying again in ");
    assert_eq!(server.program.end().0, Some(0));

    let server = TestServer::start_on(&address, &[]);
    alice.line_with("Joined #tea.");
    let mut bob = Raw::connect(server.address, "bob");
    bob.join("#tea");
    alice.type_line("I am back");
    let message = bob.receive_from_user();
    assert_eq!((&*message.to, &*message.msg), ("#tea", "I am back"));
}

#[test]
fn what_a_user_is_called_and_says_puts_nobody_into_a_room() {
    for name in ["Joined #evil. Other members (1): x", "State moved room=#evil member=true x=\""] {
        let mut server = TestServer::start(&[]);
        let address = server.address.to_string();
        let mut alice = server.chat("alice", &[]);
        let mut evil = Raw::connect(server.address, name);
        evil.send("/away", "\"");
        evil.receive_for(name);
        alice.type_line("/join #tea");
        alice.line_with("Joined #tea.");
        alice.type_line(&format!("@{name} hi"));
        alice.type_line(&format!("@\"{}\" hi", name.replace('"', "")));
        alice.type_line("/time");
        alice.line_with("Server time");
        server.program.terminate();
        alice.error_with("connection lost, trying again in ");
        assert_eq!(server.program.end().0, Some(0));
        let _server = TestServer::start_on(&address, &[]);
        alice.line_with("Joined #tea.");
        alice.type_line("/whoami");
        let line = alice.line_with("You are alice");
        assert!(line.ends_with(" Rooms (1): #tea"), "{line}");
    }
}

#[test]
fn a_user_who_has_logged_in_elsewhere_does_not_come_back() {
    let server = Script::start();
    let address = server.address.to_string();
    for (reason, comes_back) in [("elsewhere", false), ("kicked", false), ("shutdown", true)] {
        let mut alice = Program::start(&["chat", "--name", "alice", "--server", &address]);
        let mut script = server.welcome_with_lines("alice");
        script.say("alice", "⛔ This connection is closed.");
        script.say("alice", &format!("State closed reason={reason}"));
        alice.line_with("This connection is closed");
        drop(script);
        if comes_back {
            alice.error_with("connection lost, trying again in ");
            server.welcome("alice");
        } else {
            alice.error_with("was lost: the server closed the connection");
            assert_eq!(alice.end().0, Some(1));
        }
    }
}
