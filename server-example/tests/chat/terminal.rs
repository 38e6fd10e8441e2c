//! The client in a terminal: a pseudo-terminal on one side, the real program on the other.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::kept::{KeptServer, PASSWORD, sync};
use crate::common::payloads::PAYLOADS;
use crate::common::temp_dir::TempDir;
use crate::common::{PATIENCE, Raw, Script, TestServer, network_address};
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
    fn chat(server: SocketAddr, options: &[&str]) -> Self {
        let server = server.to_string();
        Terminal::run(&[&["chat", "--server", &server], options].concat())
    }

    fn run(arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_server-example"))
            .args(arguments)
            .env("TERM", "xterm")
            .env_remove("CHATPROTO_PASSWORD")
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
        let code = self.child.wait().unwrap().code();
        // what it showed last
        while self.read().is_some() {}
        code
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
    let mut alice = Terminal::chat(server.address, &PLAIN);
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
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("Welcome, alice!");
    eve.send("alice", "\u{1b}]0;owned\u{7}\u{9b}2J\nforged");
    alice.wait_for("eve → you: \\u{1b}]0;owned\\u{7}\\u{9b}2J\\nforged");
    assert!(!alice.shown.contains("\u{1b}]0"), "{:?}", alice.shown);
    assert!(!alice.shown.contains(['\u{7}', '\u{9b}']), "{:?}", alice.shown);
}

/// The controls and escape sequences in what a terminal was sent, and what is invisible.
fn controls(shown: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut chars = shown.chars().peekable();
    while let Some(c) = chars.next() {
        if !chatproto::name::is_invisible(c) {
            continue;
        }
        let mut control = c.to_string();
        if c == '\u{1b}' {
            control.extend(chars.next_if_eq(&'['));
            while control.len() > 1
                && let Some(parameter) = chars.next_if(|c| matches!(c, '0'..='9' | ';' | '?' | '!'))
            {
                control.push(parameter);
            }
            control.extend(chars.next());
        }
        found.insert(control);
    }
    found
}

#[test]
fn a_terminal_gets_no_control_that_harmless_messages_do_not_need() {
    let server = TestServer::start(&["--rate", "off"]);
    let mut eve = Raw::connect_at_once(server.address, "eve");
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("alice> ");
    let mut harmless = BTreeSet::new();
    for (text, end) in [("harmless", "first end"), ("as harmless", "second end")] {
        eve.send("alice", text);
        eve.send("alice", end);
        harmless.append(&mut controls(&alice.wait_for(&format!("eve → you: {end}"))));
    }
    for (number, payload) in PAYLOADS.into_iter().enumerate() {
        eve.send("alice", payload);
        eve.send("alice", &format!("end {number}."));
        let shown = alice.wait_for(&format!("eve → you: end {number}."));
        let hostile = &controls(&shown) - &harmless;
        assert_eq!(hostile, BTreeSet::new(), "{payload:?}: {shown:?}");
    }
}

#[test]
fn tab_completes_names_and_commands_and_the_questions_stay_hidden() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("Welcome, alice!");
    // the questions are asked behind the answer to /state; the second answer comes behind theirs
    let mut before = String::new();
    for _ in 0..2 {
        alice.press("/time\r");
        before += &alice.wait_for("Server time");
    }
    assert!(!before.contains("State ") && !before.contains("Reporting "), "{before:?}");
    assert!(!before.contains("Commands:") && !before.contains("Connected users"), "{before:?}");
    // somebody who came later and has not written
    let mut bob = Raw::connect(server.address, "bob b");
    alice.press("@B\thi\r");
    assert_eq!(bob.receive_from_user().msg, "hi");
    alice.press("/stan\t\r");
    alice.wait_for("SERVER: {\"from\"");
    alice.press("/help\r");
    alice.wait_for("/quit leaves");
    alice.wait_for("SERVER: Commands: ");
}

#[test]
fn control_d_and_control_c_leave() {
    let server = TestServer::start(&[]);
    for key in ["\u{4}", "\u{3}"] {
        let mut alice = Terminal::chat(server.address, &PLAIN);
        alice.wait_for("alice> ");
        alice.press(key);
        assert_eq!(alice.end(), Some(0));
    }
}

#[test]
fn control_c_clears_a_line_first() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("alice> ");
    alice.press("/shout half a line");
    alice.wait_for("half a line");
    alice.press("\u{3}/ping whole\r");
    alice.wait_for("SERVER: whole");
    alice.press("\u{3}");
    assert_eq!(alice.end(), Some(0));
}

#[test]
fn the_name_is_asked_for() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(server.address, &[]);
    alice.wait_for("Your name");
    alice.press("alice\r");
    alice.wait_for("Welcome, alice!");
}

#[test]
fn a_server_lost_for_good_ends_the_line_that_is_typed() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(server.address, &[&PLAIN[..], &["--no-reconnect"]].concat());
    alice.wait_for("alice> ");
    alice.press("half a line");
    alice.wait_for("half a line");
    server.program.terminate();
    alice.wait_for("was lost: the server closed the connection");
    assert_eq!(alice.end(), Some(1));
}

#[test]
fn everything_that_was_said_before_the_end_is_shown() {
    let server = Script::start();
    for round in 0..20 {
        let mut alice = Terminal::chat(server.address, &[&PLAIN[..], &["--no-reconnect"]].concat());
        let mut script = server.welcome("alice");
        alice.wait_for("alice> ");
        // in some rounds a line ends when the connection does
        if round % 4 == 3 {
            alice.press("\r");
        }
        for number in 0..round % 3 {
            script.say("alice", &format!("line {number}"));
        }
        script.say("alice", "⛔ You were kicked by bob: too loud.");
        script.finish();
        for number in 0..round % 3 {
            alice.wait_for(&format!("SERVER: line {number}"));
        }
        alice.wait_for("SERVER: ⛔ You were kicked by bob: too loud.");
        alice.wait_for("was lost: the server closed the connection");
        assert_eq!(alice.end(), Some(1));
    }
}

#[test]
fn the_prompt_says_where_plain_text_goes() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    bob.join("#tea");
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("alice> ");
    alice.press("/join #tea\r");
    alice.wait_for("Joined #tea. Other members (1): bob");
    alice.wait_for("alice #tea> ");
    let mut check = |alice: &mut Terminal, typed: &str, to: &str| {
        alice.press(&format!("{typed}\r"));
        let message = bob.receive_from_user();
        assert_eq!(message.to, to, "{typed}");
        message.msg
    };
    assert_eq!(check(&mut alice, "hi", "#tea"), "hi");
    assert_eq!(check(&mut alice, "@bob hi", "bob"), "hi");
    assert_eq!(check(&mut alice, "/shout hi", "Everyone"), "hi");
    alice.press("/to\r");
    alice.wait_for("alice> ");
    check(&mut alice, "hi", "Everyone");
    check(&mut alice, "@#tea hi", "#tea");
    alice.press("/to #tea\r");
    alice.wait_for("alice #tea> ");
    check(&mut alice, "hi", "#tea");
    alice.press("/leave\r");
    alice.wait_for("Left #tea.");
    alice.wait_for("alice> ");
    check(&mut alice, "hi", "Everyone");
    alice.press("/to #tea\r");
    alice.wait_for("* you are not in #tea: /join #tea");
    alice.wait_for("alice> ");
    check(&mut alice, "hi", "Everyone");
}

#[test]
fn a_room_where_one_is_not_is_no_place_to_go() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("alice> ");
    alice.press("/join #tea\r");
    alice.wait_for("alice #tea> ");
    alice.press("/to #nosuch\r");
    alice.wait_for("you are not in #nosuch: /join #nosuch");
    alice.wait_for("alice #tea> ");
}

#[test]
fn messages_and_notices_of_a_room_show_it() {
    let server = TestServer::start(&[]);
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.press("/join #tea\r");
    alice.wait_for("SERVER: Joined #tea. You are its only member.");
    let mut bob = Raw::connect(server.address, "bob");
    bob.join("#tea");
    alice.wait_for(" SERVER #tea: bob joined.");
    bob.send("#tea", "hello");
    alice.wait_for(" bob #tea: hello");
}

#[test]
fn what_was_said_before_has_its_own_time() {
    for mode in ["optional", "required"] {
        let dir = TempDir::new();
        let mut server = KeptServer::start_in(TempDir::new(), dir.path("data"), &[]);
        drop(server.register("alice"));
        let mut bob = server.register("bob");
        while bob.ask("/list", "").contains("alice") {}
        bob.join("#tea");
        bob.send("#tea", "the kettle is on");
        bob.send("alice", "call me");
        while !bob.hear().contains("alice is not connected, and will get it") {}
        sync(&mut bob);
        server.program.terminate();
        server.program.end();
        let database = rusqlite::Connection::open(format!("{}/chatproto.db", server.data)).unwrap();
        // noon of a summer's day, and one second later
        let past = "UPDATE message SET at_ms = 1592222400000 + 1000 * id; UPDATE account SET created_ms = 0";
        database.execute_batch(past).unwrap();
        drop(database);
        let server = KeptServer::start_in(TempDir::new(), dir.path("data"), &["--accounts", mode]);

        let password = dir.file(mode, PASSWORD);
        let options = ["--name", "alice", "--password-file", &password, "--color", "never"];
        let mut terminal = Terminal::chat(server.address, &options);
        terminal.wait_for("1 message was sent to you while you were away:");
        let shown = terminal.wait_for(" bob → you: call me");
        assert!(shown.contains("2020-06-15 "), "{mode}: {shown:?}");
        terminal.press("/join #tea 5\r");
        terminal.wait_for("* #tea: one message of 2020-06-15");
        let shown = terminal.wait_for(" bob #tea: the kettle is on");
        assert!(shown.contains("2020-06-15 "), "{mode}: {shown:?}");
        for hidden in ["Times are on", "mail count", "Log in first"] {
            assert!(!terminal.shown.contains(hidden), "{mode}: {:?}", terminal.shown);
        }
    }
}

#[test]
fn what_was_said_before_looks_like_it() {
    let server = KeptServer::start(&[]);
    let mut bob = server.join("bob");
    bob.join("#tea");
    bob.send("#tea", "the kettle is on");
    sync(&mut bob);
    let mut terminal = Terminal::chat(server.address, &["--name", "alice"]);
    terminal.wait_for("alice>");
    terminal.press("/join #tea 5\r");
    terminal.wait_for("* #tea: one message of ");
    let shown = terminal.wait_for("#tea: the kettle is on");
    assert!(!shown.contains("  before") && shown.contains(':'), "{shown:?}");
    assert!(!terminal.shown.contains("Times are on"), "the question is the client's own");
    bob.send("#tea", "and now");
    let shown = terminal.wait_for("#tea: and now");
    assert!(!shown.contains("before") && !shown.contains("end of history"), "{shown:?}");
}

#[test]
fn lines_that_are_pasted_behind_a_join_go_to_the_room() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome("alice");
    alice.wait_for("alice> ");
    alice.press("\u{1b}[200~/join #green tea\none\n@bob two\n/leave\nthree\u{1b}[201~");
    alice.press("\r");
    script.expect("/join", "\"#green tea\"");
    script.expect("#green tea", "one");
    script.expect("bob", "two");
    script.expect("/leave", "\"#green tea\"");
    script.expect("/shout", "three");
}

#[test]
fn after_a_refused_join_the_next_prompt_is_the_one_before() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome_with_lines("alice");
    alice.press("/join #tea\r");
    script.expect("/join", "#tea");
    alice.wait_for("alice #tea> ");
    alice.press("half");
    alice.wait_for("half");
    script.say("alice", "❌ Not joined: no.");
    script.say("alice", "State moved room=#tea member=false reason=refused");
    alice.wait_for("SERVER: ❌ Not joined: no.");
    alice.wait_for("* you are not in #tea: after this line, plain text goes to everybody");
    alice.press(" a line\r");
    script.expect("#tea", "half a line");
    alice.wait_for("alice> ");
    alice.press("hi\r");
    script.expect("/shout", "hi");
}

#[test]
fn a_closed_room_is_left_for_everybody() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome_with_lines("alice");
    alice.press("/join #tea\r");
    script.expect("/join", "#tea");
    script.say("alice", "State moved room=#tea member=true reason=joined");
    script.say("alice", "Joined #tea. Other members (1): bob");
    alice.wait_for("Joined #tea");
    alice.wait_for("alice #tea> ");
    script.say("#tea", "bob closed the room: it is late.");
    script.say("alice", "State moved room=#tea member=false reason=closed");
    alice.wait_for("SERVER #tea: bob closed the room: it is late.");
    alice.wait_for("* you are not in #tea: after this line, plain text goes to everybody");
    alice.press("\r");
    alice.wait_for("alice> ");
    alice.press("hi\r");
    script.expect("/shout", "hi");
}

#[test]
fn rooms_and_place_survive_a_lost_connection() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome("alice");
    for room in ["#green tea", "#tea"] {
        alice.press(&format!("/join {room}\r"));
        script.hear();
        script.say("alice", &format!("Joined {room}. You are its only member."));
        alice.wait_for("Joined ");
    }
    alice.press("/to #green tea\r");
    alice.wait_for("alice #green tea> ");
    drop(script);
    alice.wait_for("connection lost, trying again in ");
    alice.press("hi\r");
    let mut script = server.welcome("alice");
    script.expect("/join", "\"#green tea\"");
    script.expect("/join", "#tea");
    script.expect("#green tea", "hi");
    alice.wait_for("alice #green tea> ");
}

#[test]
fn another_name_is_in_the_prompt_and_is_you() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    let mut alice = Terminal::chat(server.address, &PLAIN);
    alice.wait_for("alice> ");
    alice.press("/nick carol jones\r");
    alice.wait_for("SERVER: You are now carol jones.");
    // at once
    alice.wait_for("carol jones> ");
    bob.send("carol jones", "hi");
    alice.wait_for("bob → you: hi");
    alice.press("@bob hi\r");
    assert_eq!(bob.receive_from_user().from.name, "carol jones");
}

#[test]
fn tab_completes_rooms_and_the_question_stays_hidden() {
    let server = TestServer::start(&[]);
    let mut bob = Raw::connect(server.address, "bob");
    bob.join("#green tea");
    let mut alice = Terminal::chat(server.address, &PLAIN);
    // the commands are asked for behind the answer to /state, and the rooms behind that
    let mut shown = String::new();
    for _ in 0..3 {
        alice.press("/time\r");
        shown += &alice.wait_for("Server time");
    }
    assert!(!shown.contains("Rooms ("), "{shown:?}");
    alice.press("/join #gr\t\r");
    alice.wait_for("Joined #green tea. Other members (1): bob");
    alice.press("@#gr\thi\r");
    assert_eq!(bob.receive_from_user().to, "#green tea");
    alice.press("/who #gr\t\r");
    alice.wait_for("Members of #green tea (2)");
    alice.press("/to ev\t\r");
    alice.wait_for("alice> ");
    alice.press("/to #\t\r");
    alice.wait_for("alice #green tea> ");
    alice.press("/leave #\t\r");
    alice.wait_for("Left #green tea.");
}

/// Presses key after key, each when the one before is shown, and looks that the keys are not.
fn press_secretly(terminal: &mut Terminal, secret: &str) {
    for (number, key) in secret.chars().enumerate() {
        terminal.press(&key.to_string());
        terminal.wait_for(&"*".repeat(number + 1));
    }
}

/// Ends the program, and fails if a part of the secret, of four characters or more, was shown.
fn check_hidden(terminal: &mut Terminal, secret: &str) {
    terminal.press("/quit\r");
    terminal.end();
    let shown = &terminal.shown;
    for part in secret.split(' ') {
        for end in 4..=part.len() {
            let piece = &part[end - 4..end];
            assert!(!shown.contains(piece), "{piece:?} in {shown:?}");
        }
    }
}

#[test]
fn secrets_behind_commands_are_neither_shown_nor_remembered() {
    let server = Script::start();
    for command in ["/admin", "/login", "/passwd", "/register", "/unregister"] {
        let mut alice = Terminal::chat(server.address, &PLAIN);
        let mut script = server.welcome("alice");
        alice.wait_for("alice> ");
        alice.press("/time\r");
        script.expect("/time", "");
        alice.press(&format!("{command} "));
        alice.wait_for(&format!("{command} "));
        press_secretly(&mut alice, "correcthorse");
        // what comes meanwhile draws the line again
        script.say("alice", "in between");
        alice.wait_for("SERVER: in between");
        alice.wait_for(&format!("{command} ************"));
        // moving, deleting and undoing as well
        alice.press("\u{1b}[D\u{1b}[D\u{7f}\u{1f}\u{5}");
        alice.press("\r");
        match command {
            "/login" | "/register" => script.expect_login(command, "correcthorse"),
            _ => script.expect(command, "correcthorse"),
        }
        alice.press("\u{1b}[A\r");
        script.expect("/time", "");
        // searching what was typed before finds nothing
        alice.press("\u{12}corr\u{7}\u{15}hello\r");
        let (_, text) = script.hear();
        assert!(!text.contains("correcthorse"), "{text}");
        drop(script);
        check_hidden(&mut alice, "recthorse");
    }
}

#[test]
fn pasted_secrets_are_not_shown() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome("alice");
    alice.wait_for("alice> ");
    alice.press("\u{1b}[200~hello\n/login \"correct horse\"\nagain\u{1b}[201~");
    alice.wait_for("again");
    alice.press("\r");
    script.expect("/shout", "hello");
    script.expect_login("/login", "\"correct horse\"");
    script.expect("/shout", "again");
    check_hidden(&mut alice, "correct horse");
}

#[test]
fn secrets_are_asked_for() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome("alice");
    let ask = |alice: &mut Terminal, question: &str, secret: &str| {
        alice.wait_for(question);
        press_secretly(alice, secret);
        alice.press("\r");
    };
    alice.wait_for("alice> ");
    alice.press("/login\r");
    ask(&mut alice, "Password: ", "correct horse");
    script.expect_login("/login", "\"correct horse\"");
    alice.press("/admin\r");
    ask(&mut alice, "Token: ", "correcthorse");
    script.expect("/admin", "correcthorse");
    alice.press("/passwd\r");
    ask(&mut alice, "Present password: ", "correct horse");
    ask(&mut alice, "New password: ", "battery");
    ask(&mut alice, "The same again: ", "battery");
    script.expect("/passwd", "\"correct horse\" battery");
    alice.press("/register\r");
    ask(&mut alice, "New password: ", "battery");
    ask(&mut alice, "The same again: ", "butter");
    alice.wait_for("* these two are not the same: nothing was sent");
    alice.wait_for("alice> ");
    alice.press("/login\r");
    alice.wait_for("Password: ");
    alice.press("\u{3}");
    alice.wait_for("alice> ");
    // and what is typed then is shown again
    alice.press("hello");
    alice.wait_for("hello");
    alice.press("\r");
    script.expect("/shout", "hello");
    check_hidden(&mut alice, "correct horse battery");
}

#[test]
fn a_password_is_not_asked_for_if_it_would_not_be_sent() {
    let Some(address) = network_address() else { return };
    let server = Script::start_on(address);
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome("alice");
    alice.wait_for("alice> ");
    for line in ["/login", "/passwd", "/register secret horse", "/admin"] {
        alice.press(&format!("{line}\r"));
        let shown = alice.wait_for("not sent: the connection is not encrypted");
        assert!(!shown.contains("assword: ") && !shown.contains("Token: "), "{shown}");
        alice.wait_for("alice> ");
    }
    alice.press("hello\r");
    script.expect("/shout", "hello");
    check_hidden(&mut alice, "secret horse");
}

#[test]
fn a_password_from_a_file_logs_in_again_after_a_lost_connection() {
    let directory = TempDir::new();
    let file = directory.file("password", "correct horse\n");
    let server = Script::start();
    let options = [&PLAIN[..], &["--password-file", &file]].concat();
    let mut alice = Terminal::chat(server.address, &options);
    let mut script = server.welcome_as("alice", "alice~7");
    script.expect_login("/login", "\"correct horse\"");
    script.say("alice", "You are logged in as alice.");
    alice.wait_for("You are logged in as alice.");
    alice.press("\r");
    alice.wait_for("alice> ");
    alice.press("/join #tea\r");
    script.expect("/join", "#tea");
    script.say("alice", "Joined #tea. You are its only member.");
    alice.wait_for("Joined #tea");
    drop(script);
    alice.wait_for("connection lost, trying again in ");
    let mut script = server.welcome_as("alice", "alice~8");
    script.expect_login("/login", "\"correct horse\"");
    script.expect("/join", "#tea");
    script.say("alice", "You are logged in as alice.");
    alice.wait_for("You are logged in as alice.");
    alice.press("hi\r");
    script.expect("#tea", "hi");
    check_hidden(&mut alice, "correct horse");
}

#[test]
fn a_line_begun_under_a_login_is_not_sent_as_a_guest() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let mut script = server.welcome_with_lines("alice");
    script.say("alice", "State role name=alice role=user login=true");
    script.say("alice", "You are logged in as alice.");
    alice.wait_for("You are logged in as alice.");
    alice.press("\r");
    alice.wait_for("alice> ");
    alice.press("for my ");
    alice.wait_for("for my ");
    drop(script);
    alice.wait_for("connection lost, trying again in ");
    let mut script = server.greet("alice", "alice~7");
    script.say("alice~7", "Reporting on name=alice~7 role=user login=false");
    // the line goes on behind the new name
    alice.wait_for("alice~7> ");
    alice.wait_for("for my ");
    alice.press("friends\r");
    let why =
        "not sent (\"for my friends\"): the login as alice was not restored, and you are alice~7";
    alice.wait_for(why);
    // a line that is begun at the guest's own prompt is the guest's
    alice.wait_for("alice~7> ");
    alice.press("hello\r");
    while script.hear() != ("/shout".to_owned(), "hello".to_owned()) {}
}

#[test]
fn without_a_password_a_guest_asks_for_the_name_again() {
    let server = Script::start();
    let mut alice = Terminal::chat(server.address, &PLAIN);
    let script = server.welcome_as("alice", "alice~7");
    alice.wait_for("alice~7> ");
    drop(script);
    alice.wait_for("connection lost, trying again in ");
    let mut script = server.welcome("alice");
    script.say("alice", "hello");
    alice.wait_for("SERVER: hello");
    alice.press("\r");
    alice.wait_for("alice> ");
}

#[test]
fn the_password_of_an_account_is_asked_for_twice() {
    let directory = TempDir::new();
    let data = directory.path("data");
    let mut terminal = Terminal::run(&["account", "add", "alice", "--data", &data]);
    terminal.wait_for("New password: ");
    terminal.press("short\r");
    terminal.wait_for("a password must have at least 8 characters");
    terminal.wait_for("New password: ");
    press_secretly(&mut terminal, "correct horse");
    terminal.press("\r");
    terminal.wait_for("The same again: ");
    terminal.press("correct house\r");
    terminal.wait_for("that was not the same");
    for question in ["New password: ", "The same again: "] {
        terminal.wait_for(question);
        terminal.press("correct horse\r");
    }
    terminal.wait_for("\"alice\" is an account now, with the role user");
    assert_eq!(terminal.end(), Some(0));
    check_hidden(&mut terminal, "correct horse");

    let mut terminal = Terminal::run(&["account", "remove", "alice", "--data", &data]);
    terminal.wait_for("Remove \"alice\" and what waits for it? [y/N] ");
    terminal.press("\r");
    terminal.wait_for("nothing was removed");
    assert_eq!(terminal.end(), Some(1));
    let mut terminal = Terminal::run(&["account", "reset", "alice", "--data", &data]);
    terminal.wait_for("New password: ");
    terminal.press("\u{3}");
    assert_eq!(terminal.end(), Some(130));
}
