//! Text files and standard input: a byte order mark at the beginning is no part of the text, and text
//! that is not UTF-8 is refused with its line.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw, TestServer};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_server-example");
const MARK: &[u8] = b"\xef\xbb\xbf";

fn marked(text: &str) -> Vec<u8> {
    [MARK, text.as_bytes()].concat()
}

/// Runs a program with this standard input: its exit code, and what it printed to both streams.
fn piped(arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut command = Command::new(EXECUTABLE);
    command.args(arguments).env("CHATPROTO_DATA", "none").env_remove("CHATPROTO_CONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // a program that has ended does not read it
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What a user hears from another one who pipes this into `chat`, and how that ends.
fn heard(input: &[u8]) -> (Vec<String>, Option<i32>, String) {
    let server = TestServer::start(&[]);
    let address = server.address.to_string();
    let mut bob = Raw::connect_at_once(server.address, "bob");
    let mut carol = Raw::connect_at_once(server.address, "carol");
    let (code, _, errors) = piped(&["chat", "--name", "alice", "--server", &address], input);
    // everything that alice said is with bob before this
    carol.send("bob", "that is all");
    let said = |raw: &mut Raw| {
        let message = raw.receive_from_user();
        format!("{} → {}: {}", message.from.name, message.to, message.msg)
    };
    let mut lines = Vec::new();
    loop {
        let line = said(&mut bob);
        if line == "carol → bob: that is all" {
            return (lines, code, errors);
        }
        lines.push(line);
    }
}

#[test]
fn a_private_line_behind_a_mark_is_private() {
    let (lines, code, errors) = heard(&marked("@bob secret\r\n@carol other\n"));
    assert_eq!((lines, code, &*errors), (vec!["alice → bob: secret".to_owned()], Some(0), ""));
    // within the text it is a character like others
    let (lines, ..) = heard("@bob \u{feff}secret\n".as_bytes());
    assert_eq!(lines, ["alice → bob: \u{feff}secret"]);
}

#[test]
fn input_that_is_not_utf8_is_not_sent() {
    for (input, line) in [
        (&b"@bob one\n@bob gr\xfc\xdfe\n@bob three\n"[..], 2),
        (b"\xff\xfe@\0b\0o\0b\0 \0h\0i\0\n\0", 1),
        (b"@bob one\n@bob cut \xc3", 2),
        (&[&b"@bob one\n".repeat(20_000)[..], b"\xff\n"].concat(), 20_001),
    ] {
        let (lines, code, errors) = heard(input);
        assert_eq!((lines, code), (vec![], Some(1)), "{errors}");
        assert!(errors.contains(&format!("line {line} is not UTF-8")), "{errors}");
    }
}

#[test]
fn a_password_is_the_same_with_a_mark_and_without() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let add = ["account", "add", "alice", "--data", &data];
    assert_eq!(piped(&add, &marked("correct horse\r\n")).0, Some(0));
    let add = ["account", "add", "bob", "--data", &data];
    let (code, _, errors) = piped(&add, b"gr\xfc\xdfe gr\xfc\xdfe\n");
    assert_eq!(code, Some(2));
    assert!(errors.contains("the password on standard input cannot be used: line 1 is not UTF-8"));

    let server = TestServer::start(&["--data", &data]);
    for file in [dir.file("plain", "correct horse\n"), dir.file("marked", marked("correct horse"))]
    {
        let mut chat = server.chat("alice", &["--password-file", &file]);
        chat.line_with("You are logged in as alice");
    }
}

#[test]
fn every_text_file_may_begin_with_a_mark() {
    let dir = TempDir::new();
    let tls = dir.path("tls");
    assert_eq!(Program::start(&["cert", "new", "--dir", &tls]).end().0, Some(0));
    let read = |name: &str| std::fs::read_to_string(format!("{tls}/{name}")).unwrap();
    let certificate = dir.file("cert.pem", marked(&read("cert.pem")));
    let key = dir.file("key.pem", marked(&read("key.pem")));
    let token = dir.file("token", marked("Zm9vYmFyYmF6cXV4MTIzNDU2\r\n"));
    let config = dir.file("chat.toml", marked(&format!("admin-token = \"{token}\"\n")));
    let options = ["--config", &config, "--tls-cert", &certificate, "--tls-key", &key];
    let server = TestServer::start(&options);
    let mut alice = server.chat("alice", &["--tls-ca", &certificate]);
    alice.type_line("/admin Zm9vYmFyYmF6cXV4MTIzNDU2");
    alice.line_with("You are an admin");
    let (code, output, _) = Program::start(&["cert", "show", &certificate]).end();
    assert_eq!(code, Some(0), "{output:?}");

    let scenario = "[[scenario]]\nname = \"s\"\nclients = 2\nto = \"private\"\nrate = 10\n";
    let plan = dir.file("plan.toml", marked(scenario));
    let run = ["--duration", "100ms", "--warmup", "0s", "--repeat", "1", "--patience", "20s"];
    let plain = TestServer::start(&["--rate", "off"]);
    let address = plain.address.to_string();
    let load = [&["load", "compare", &plan, "--server", &address], &run[..]].concat();
    let (code, _, errors) = Program::start(&load).end();
    assert_eq!(code, Some(0), "{errors:?}");
}

#[test]
fn a_text_file_that_is_not_utf8_is_refused_with_its_line() {
    let dir = TempDir::new();
    let wrong = dir.file("wrong", b"# one\n# gr\xfc\xdfe 0123456789\n");
    for arguments in [
        &["--config", &wrong][..],
        &["--admin-token", &wrong],
        &["load", "compare", &wrong],
        &["account", "list", "--config", &wrong],
    ] {
        let (code, _, errors) = Program::start(arguments).end();
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(errors[0].contains("line 2 is not UTF-8"), "{arguments:?}: {errors:?}");
    }
    // a password is the first line alone
    let wrong = dir.file("password", b"gr\xfc\xdfe\n");
    let arguments = ["chat", "--name", "alice", "--password-file", &wrong];
    let (code, _, errors) = Program::start(&arguments).end();
    assert_eq!(code, Some(2));
    assert!(errors[0].contains("line 1 is not UTF-8"), "{errors:?}");
}
