//! The command-line client of a server that floods it: it takes no more memory than it may, and can
//! still be left.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::PATIENCE;
use crate::flood::{Flood, Pieces, largest_kib, pieces};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// KiB that the client may take: 17 MiB of it are the program's own, unoptimised.
const MOST: u64 = 32 << 10;
/// Bytes that each client is sent. A client without bounds would hold most of them, and exceed `MOST`.
const SENT: u64 = 32 << 20;

const FLOODS: [(&str, Pieces); 5] = [
    ("messages", pieces::messages),
    ("empty objects", pieces::empty_objects),
    ("long names", pieces::long_names),
    ("long lists", pieces::long_lists),
    ("white space", pieces::white_space),
];

/// The client, killed when it is dropped.
struct Chat(Child);

impl Chat {
    fn start(command: &mut Command, flood: &Flood) -> Self {
        let server = flood.address.to_string();
        let arguments = ["chat", "--name", "alice", "--color", "never", "--server", &server];
        Chat(command.args(arguments).env("TERM", "xterm").spawn().unwrap())
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
    command.env_remove("CHATPROTO_PASSWORD");
    command
}

/// Reads what is shown, as fast as it comes, until the end.
fn watch(mut screen: impl Read + Send + 'static) {
    thread::spawn(move || std::io::copy(&mut screen, &mut std::io::sink()));
}

fn assert_bounded(chat: &Chat, what: &str) {
    let largest = largest_kib(chat.0.id()).unwrap_or_else(|| panic!("{what}: it has ended"));
    assert!(largest < MOST, "{what}: {largest} KiB");
}

#[test]
fn a_script_takes_bounded_memory() {
    for (what, pieces) in FLOODS {
        let flood = Flood::start(pieces);
        let mut command = program();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut chat = Chat::start(&mut command, &flood);
        watch(chat.0.stdout.take().unwrap());
        flood.wait_until_sent(SENT, what, || assert_bounded(&chat, what));
        assert_bounded(&chat, what);
    }
}

#[test]
fn a_script_that_nobody_reads_takes_bounded_memory() {
    let flood = Flood::start(pieces::messages);
    let mut command = program();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut chat = Chat::start(&mut command, &flood);
    let mut output = chat.0.stdout.take().unwrap();
    // it has begun, and then takes nothing of the server; without a bound it would read on
    output.read_exact(&mut [0; 1000]).unwrap();
    let begun = Instant::now();
    while !flood.is_stalled() {
        assert_bounded(&chat, "messages");
        assert!(begun.elapsed() < PATIENCE, "it reads on after {} bytes", flood.sent());
        thread::sleep(Duration::from_millis(10));
    }
    assert_bounded(&chat, "messages");
    assert!(flood.sent() > 64 << 10, "{}", flood.sent());
}

#[test]
fn a_person_takes_bounded_memory_and_can_leave() {
    // a terminal shows too little of the others to tell
    for (what, pieces) in [FLOODS[0], FLOODS[2], FLOODS[3]] {
        let flood = Flood::start(pieces);
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let open = || Stdio::from(File::options().read(true).write(true).open(&path).unwrap());
        let mut command = program();
        command.stdin(open()).stdout(open()).stderr(open());
        let mut chat = Chat::start(&mut command, &flood);
        drop(command);
        let keyboard = File::from(controller);
        let screen = keyboard.try_clone().unwrap();
        watch(screen);
        flood.wait_until_sent(SENT, what, || assert_bounded(&chat, what));
        assert_bounded(&chat, what);
        let leave = Command::new("kill").args(["-TERM", &chat.0.id().to_string()]).status();
        assert!(leave.unwrap().success());
        let begun = Instant::now();
        while chat.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "{what}: it does not leave");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
