//! The client in a terminal: a pseudo-terminal on one side, the real program on the other.
#![cfg(unix)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use common::{PATIENCE, Raw, TestServer};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The program with a terminal of its own, killed when it is dropped.
struct Terminal {
    child: Child,
    keyboard: File,
    bytes: Receiver<Vec<u8>>,
    /// Everything that was shown, and how much of it a test has looked at.
    shown: String,
    seen: usize,
}

impl Terminal {
    fn chat(server: &TestServer, options: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_server-example"))
            .args(["chat", "--server", &server.address.to_string()])
            .args(options)
            .env("TERM", "xterm")
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        let keyboard = File::from(controller);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // an error means that the program has ended
            while let Ok(length) = screen.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keyboard, bytes, shown: String::new(), seen: 0 }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text is shown, behind what was waited for before; returns what is between.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                let skipped = self.shown[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return skipped;
            }
            self.read().unwrap_or_else(|| panic!("no {text:?} in {:?}", self.shown));
        }
    }

    fn read(&mut self) -> Option<()> {
        let bytes = self.bytes.recv_timeout(PATIENCE).ok()?;
        self.shown.push_str(&String::from_utf8_lossy(&bytes));
        Some(())
    }

    fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PLAIN: [&str; 4] = ["--name", "alice", "--color", "never"];

#[test]
fn messages_come_above_the_line_that_is_typed() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    let mut alice = Terminal::chat(&server, &PLAIN);
    alice.wait_for("Welcome, alice!");
    alice.wait_for("alice> ");
    alice.press("@bob half a");
    alice.wait_for("half a");
    bob.send("alice", "in between");
    alice.wait_for(" bob → you: in between");
    alice.wait_for("alice> @bob half a");
    alice.press(" line\r");
    assert_eq!(bob.receive_from_user().msg, "half a line");
    bob.send("/shout", "to all");
    alice.wait_for(" bob (to all): to all");
    alice.press("/quit\r");
    assert_eq!(alice.end(), Some(0));
}

#[test]
fn what_others_write_cannot_control_the_terminal() {
    let server = TestServer::start(&[]);
    let mut eve = Raw::connect(server.address, "eve");
    let mut alice = Terminal::chat(&server, &PLAIN);
    alice.wait_for("Welcome, alice!");
    eve.send("alice", "\u{1b}]0;owned\u{7}\u{9b}2J\nforged");
    alice.wait_for("eve → you: \\u{1b}]0;owned\\u{7}\\u{9b}2J\\nforged");
    assert!(!alice.shown.contains("\u{1b}]0"), "{:?}", alice.shown);
    assert!(!alice.shown.contains(['\u{7}', '\u{9b}']), "{:?}", alice.shown);
}

#[test]
fn tab_completes_names_and_commands_and_the_questions_stay_hidden() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(&server, &PLAIN);
    alice.wait_for("Welcome, alice!");
    // an answer that is shown comes behind those that are not
    alice.press("/time\r");
    let before = alice.wait_for("Server time");
    assert!(!before.contains("Commands:") && !before.contains("Connected users"), "{before:?}");
    // somebody who came later and has not written
    let mut bob = Raw::connect(server.address, "bob b");
    alice.press("@B\thi\r");
    assert_eq!(bob.receive_from_user().msg, "hi");
    alice.press("/sta\t\r");
    alice.wait_for("SERVER: {\"from\"");
    alice.press("/help\r");
    alice.wait_for("/quit leaves");
    alice.wait_for("SERVER: Commands: ");
}

#[test]
fn control_d_and_control_c_leave() {
    let server = TestServer::start(&[]);
    for key in ["\u{4}", "\u{3}"] {
        let mut alice = Terminal::chat(&server, &PLAIN);
        alice.wait_for("alice> ");
        alice.press(key);
        assert_eq!(alice.end(), Some(0));
    }
}

#[test]
fn the_name_is_asked_for() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(&server, &[]);
    alice.wait_for("Your name");
    alice.press("alice\r");
    alice.wait_for("Welcome, alice!");
}

#[test]
fn a_server_lost_for_good_ends_the_line_that_is_typed() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(&server, &[&PLAIN[..], &["--no-reconnect"]].concat());
    alice.wait_for("alice> ");
    alice.press("half a line");
    alice.wait_for("half a line");
    server.program.terminate();
    alice.wait_for("was lost: the server closed the connection");
    assert_eq!(alice.end(), Some(1));
}
