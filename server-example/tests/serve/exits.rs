//! What others see of hostile texts: no control of a terminal, no change of direction and nothing
//! without a width leaves the server's log, its audit log, its answers, or the chat client, whatever
//! somebody calls himself or writes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::payloads::{MARKUP, PAYLOADS};
use crate::common::temp_dir::TempDir;
use crate::common::{PATIENCE, Program, Raw, TestServer};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";

/// Names that are lawful, and others that look like them.
const LOOKALIKES: [&str; 6] =
    ["alice", "\u{430}lice", "a1ice", "\u{ff41}lice", "ALICE", "al\u{131}ce"];

/// What a terminal obeys or does not show, by code point: what no exit may let out. (A list of its
/// own: the code under test has another, by the categories of Unicode.)
const RAW: [(u32, u32); 13] = [
    (0x00, 0x1f),
    (0x7f, 0x9f),
    (0xad, 0xad),
    (0x61c, 0x61c),
    (0x180e, 0x180e),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x2064),
    (0x2066, 0x206f),
    (0xfeff, 0xfeff),
    (0xfff9, 0xfffb),
    (0x1d173, 0x1d17a),
    (0xe0001, 0xe007f),
];

/// Letters and marks that are shown as nothing: no name has them, and no log shows them.
const BLANK: [(u32, u32); 10] = [
    (0x34f, 0x34f),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180d),
    (0x180f, 0x180f),
    (0x2065, 0x2065),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xffa0, 0xffa0),
    (0xe0100, 0xe01ef),
];

/// The first character of the text that is in one of these spans.
fn found(text: &str, spans: &[(u32, u32)]) -> Option<char> {
    let is_in = |c: char| spans.iter().any(|&(from, to)| (from..=to).contains(&u32::from(c)));
    text.chars().find(|&c| is_in(c))
}

#[track_caller]
fn assert_harmless(exit: &str, text: &str) {
    assert_eq!(found(text, &RAW), None, "{exit}: {text:?}");
}

/// The same where names are told apart.
#[track_caller]
fn assert_visible(exit: &str, text: &str) {
    assert_harmless(exit, text);
    assert_eq!(found(text, &BLANK), None, "{exit}: {text:?}");
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
    for payload in PAYLOADS.into_iter().chain(MARKUP) {
        let (stream, answer) = introduce(watched.address(), payload);
        // the wire has no raw control but the line feed that ends an object
        assert!(answer.bytes().all(|byte| byte >= 0x20 || byte == b'\n'), "{answer:?}");
        for object in answer.lines() {
            let message = chatproto::Message::decode(object.as_bytes()).unwrap();
            assert_harmless("the answer to a name", &message.msg);
            let is_lawful = MARKUP.contains(&payload);
            assert!(!is_lawful || message.msg.contains(payload), "{payload}: {}", message.msg);
        }
        keep.push(stream);
    }
    // what is not seen makes nobody a second alice
    for filler in ['\u{3164}', '\u{115f}', '\u{ffa0}', '\u{34f}', '\u{fe0f}', '\u{e0100}'] {
        let (_, answer) = introduce(watched.address(), &format!("alice{filler}"));
        assert!(answer.contains("invisible character"), "{answer}");
    }
    for name in LOOKALIKES {
        keep.push(introduce(watched.address(), name).0);
    }
    let mut witness = Raw::connect_at_once(watched.address(), "witness");
    let list = witness.ask("/list", "");
    assert_visible("/list", &list);
    assert!(MARKUP.iter().all(|name| list.contains(name)), "names are listed as they are: {list}");
    for command in ["/whoami", "/rooms"] {
        assert_visible(command, &witness.ask(command, ""));
    }
    drop((keep, witness));
    let (log, _) = watched.end();
    for line in &log {
        assert_visible("the log", line);
    }
    assert!(log.iter().any(|line| line.contains("WARN refused name=")), "{log:?}");
}

/// Reads the answers to all that the user has sent; none of them may harm a terminal.
#[track_caller]
fn assert_harmless_to_the_end(user: &mut Raw) {
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
    for payload in PAYLOADS.into_iter().chain(MARKUP) {
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
        // some of the texts are lawful names, and the admin kicks the bearer of each
        eve.send("/nick", "eve");
        assert_harmless_to_the_end(&mut eve);
        alice.send("eve", "are you there?");
        for act in ["/kick", "/ban", "/mute", "/close", "/role"] {
            alice.send(act, &format!("\"{payload}\" {payload}"));
        }
        alice.send("/ban", &format!("nobody 1h {payload}"));
        alice.send("/mute", &format!("nobody 1h {payload}"));
        alice.send("/notice", payload);
        assert_harmless_to_the_end(&mut alice);
    }
    assert_harmless_to_the_end(&mut eve);
    drop((eve, alice));
    let (log, audit) = watched.end();
    for line in &log {
        assert_visible("the log", line);
    }
    assert!(audit.len() > PAYLOADS.len() + MARKUP.len(), "{audit:?}");
    for line in &audit {
        assert_visible("the audit log", line);
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
    // what is only text stays what it is
    for payload in MARKUP {
        eve.send("alice", payload);
        assert_eq!(chat.line(), format!("eve \u{2192} alice: {payload}"));
    }
    chat.close_input();
    let (code, rest, _) = chat.end();
    assert_eq!((code, rest), (Some(0), vec![]));
}
