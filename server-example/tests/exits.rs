//! What others see of hostile texts: no control of a terminal, no change of direction and nothing
//! without a width leaves the server's log, its audit log, its answers, or the chat client, whatever
//! somebody calls himself or writes.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use chatproto::is_invisible;
use common::payloads::PAYLOADS;
use common::temp_dir::TempDir;
use common::{PATIENCE, Program, Raw, TestServer};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";

/// Names that are lawful, and others that look like them.
const LOOKALIKES: [&str; 6] =
    ["alice", "\u{430}lice", "a1ice", "\u{ff41}lice", "ALICE", "al\u{131}ce"];

/// The first character that must not be shown, if there is one.
fn raw(text: &str) -> Option<char> {
    text.chars().find(|&c| is_invisible(c))
}

#[track_caller]
fn assert_harmless(exit: &str, text: &str) {
    assert_eq!(raw(text), None, "{exit}: {text:?}");
}

/// A server whose log and audit log are looked at when it has ended.
struct Watched {
    server: TestServer,
    dir: TempDir,
}

impl Watched {
    fn start() -> Self {
        let dir = TempDir::new();
        let (token, audit) = (dir.file("token", format!("{TOKEN}\n")), dir.path("audit.log"));
        let options = ["--log", "trace", "--rate", "off", "--max-errors", "100000", "--announce"];
        let files = ["--admin-token", &token, "--audit-log", &audit];
        Watched { server: TestServer::start(&[&options[..], &files].concat()), dir }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn end(mut self) -> (Vec<String>, Vec<String>) {
        self.server.program.terminate();
        let (code, _, log) = self.server.program.end();
        assert_eq!(code, Some(0));
        let audit = std::fs::read_to_string(self.dir.path("audit.log")).unwrap();
        (log, audit.lines().map(str::to_owned).collect())
    }
}

/// Asks for a name; what the server says to that, as it came.
fn introduce(address: SocketAddr, name: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{name}\n").as_bytes()).unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).unwrap();
    answer.truncate(length);
    (stream, String::from_utf8(answer).unwrap())
}

#[test]
fn no_name_shows_what_it_is_not() {
    let watched = Watched::start();
    let mut keep = Vec::new();
    for payload in PAYLOADS {
        let (stream, answer) = introduce(watched.address(), payload);
        // the wire has no raw control but the line feed that ends an object
        assert!(answer.bytes().all(|byte| byte >= 0x20 || byte == b'\n'), "{answer:?}");
        for object in answer.lines() {
            let message = chatproto::Message::decode(object.as_bytes()).unwrap();
            assert_harmless("the answer to a name", &message.msg);
        }
        keep.push(stream);
    }
    for name in LOOKALIKES {
        keep.push(introduce(watched.address(), name).0);
    }
    let mut witness = Raw::connect_at_once(watched.address(), "witness");
    for command in ["/list", "/whoami", "/rooms"] {
        assert_harmless(command, &witness.ask(command, ""));
    }
    drop((keep, witness));
    let (log, _) = watched.end();
    for line in &log {
        assert_harmless("the log", line);
    }
    assert!(log.iter().any(|line| line.contains("WARN refused name=")), "{log:?}");
}

#[test]
fn no_answer_repeats_what_it_was_sent() {
    let watched = Watched::start();
    let mut eve = Raw::connect_at_once(watched.address(), "eve");
    let mut alice = Raw::connect_at_once(watched.address(), "alice");
    assert_eq!(alice.ask("/admin", TOKEN), "You are an admin now.");
    let commands = [
        "/list",
        "/help",
        "/nick",
        "/join",
        "/leave",
        "/who",
        "/rooms",
        "/roll",
        "/whoami",
        "/time",
        "/away",
        "/kick",
        "/ban",
        "/unban",
        "/bans",
        "/mute",
        "/unmute",
        "/close",
        "/role",
        "/admin",
        "/standard",
        "/shout",
        "/nothing",
    ];
    for payload in PAYLOADS {
        eve.send(payload, "is it you?");
        eve.send(&format!("/{payload}"), "");
        eve.send(&format!("#{payload}"), "");
        for command in commands {
            eve.send(command, payload);
        }
        for room in ["/join", "/leave", "/who"] {
            eve.send(room, &format!("\"#x{payload}\""));
        }
        eve.send("/away", payload);
        alice.send("eve", "are you there?");
        for act in ["/kick", "/ban", "/mute", "/close", "/role"] {
            alice.send(act, &format!("\"{payload}\" {payload}"));
        }
        alice.send("/ban", &format!("nobody 1h {payload}"));
        alice.send("/mute", &format!("nobody 1h {payload}"));
        alice.send("/notice", payload);
    }
    for user in [&mut eve, &mut alice] {
        user.send("/ping", "the end");
        loop {
            let message = user.receive().expect("the connection is open");
            if message.msg == "the end" {
                break;
            }
            // what people say goes to others as it is, and so does a notice: those who read it show it
            if message.is_from_server() && !message.msg.starts_with("Notice: ") {
                assert_harmless("an answer", &message.msg);
            }
        }
    }
    drop((eve, alice));
    let (log, audit) = watched.end();
    for line in &log {
        assert_harmless("the log", line);
    }
    assert!(audit.len() > PAYLOADS.len(), "{audit:?}");
    for line in &audit {
        assert_harmless("the audit log", line);
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
}

#[test]
fn each_message_is_one_harmless_line_to_a_script() {
    let server = TestServer::start(&["--rate", "off"]);
    let mut chat: Program = server.chat("alice", &[]);
    let mut eve = Raw::connect_at_once(server.address, "eve");
    for payload in PAYLOADS {
        eve.send("alice", payload);
        let line = chat.line();
        assert!(line.starts_with("eve \u{2192} alice: "), "{line:?}");
        assert_harmless("the client in a pipe", &line);
    }
    chat.close_input();
    let (code, rest, _) = chat.end();
    assert_eq!((code, rest), (Some(0), vec![]));
}
