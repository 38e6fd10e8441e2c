//! The audit log over the real program, when its file takes no bytes, when it is moved, and when
//! peers cause as many entries as they can.
#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::temp_dir::TempDir;
use crate::common::{PATIENCE, Program, Raw, TestServer, eventually};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";
/// More than the server waits for the file at its end, on a slow machine too.
const END: Duration = Duration::from_secs(20);

struct Audited {
    server: TestServer,
    dir: TempDir,
}

impl Audited {
    fn start_in(dir: TempDir) -> Self {
        Audited::start_in_with(dir, &[])
    }

    fn start_in_with(dir: TempDir, more: &[&str]) -> Self {
        let (token, audit) = (dir.file("token", TOKEN), dir.path("audit.log"));
        let options =
            ["--admin-token", &token, "--audit-log", &audit, "--rate", "off", "--max-name", "255"];
        Audited { server: TestServer::start(&[&options, more].concat()), dir }
    }

    fn admin(&self, name: &str) -> Raw {
        let mut admin = Raw::connect_at_once(self.server.address, name);
        assert_eq!(admin.ask("/admin", TOKEN), "You are an admin now.");
        admin
    }

    /// Ends the server: the rest of its log.
    fn end(&mut self) -> Vec<String> {
        let begun = Instant::now();
        self.server.program.terminate();
        let (code, _, log) = self.server.program.end();
        assert_eq!(code, Some(0), "{log:?}");
        assert!(begun.elapsed() < END, "{:?}", begun.elapsed());
        log
    }

    fn entries(&self, name: &str) -> Vec<Value> {
        parse(&fs::read_to_string(self.dir.path(name)).unwrap())
    }
}

fn parse(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn fifo_in(dir: &TempDir) -> String {
    let path = dir.path("audit.log");
    assert!(Command::new("mkfifo").arg(&path).status().expect("there is mkfifo").success());
    path
}

/// A reader of a FIFO that reads only when it is told to. Until then the FIFO has no room.
struct Stalled(File);

impl Stalled {
    const FILLER: &str = "filler\n";

    fn new(fifo: &str) -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        // with both rights, opening does not wait for a writer
        let mut options = OpenOptions::new();
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = options.read(true).write(true).custom_flags(flags).open(fifo).unwrap();
        for piece in [Self::FILLER.repeat(512), Self::FILLER.to_owned()] {
            while file.write_all(piece.as_bytes()).is_ok() {}
        }
        Stalled(file)
    }

    /// Reads all that is there, again and again until that is enough.
    fn read_until(&mut self, is_enough: impl Fn() -> bool) -> String {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        eventually(|| {
            let is_enough = is_enough();
            while let Ok(count) = self.0.read(&mut buffer) {
                text.extend_from_slice(&buffer[..count]);
            }
            is_enough.then_some(())
        });
        let text = String::from_utf8(text).unwrap();
        text.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect()
    }
}

/// So many bans, with reasons that make long entries.
fn ban(admin: &mut Raw, times: usize) {
    let reason = "\\".repeat(250);
    for number in 0..times {
        let answer = admin.ask("/ban", &format!("192.0.2.{} {reason}", number % 250));
        assert!(answer.starts_with("Banned "), "{answer}");
    }
}

/// How many bans these entries are, those included that are only counted.
fn bans(entries: &[Value]) -> u64 {
    let bans = entries.iter().filter(|entry| entry["act"] == "ban" || entry["act"] == "acts");
    bans.map(|entry| entry["count"].as_u64().unwrap_or(1)).sum()
}

/// The entries that are in the log in place of the audit log.
fn unwritten(log: &[String]) -> Vec<Value> {
    let entries = log.iter().filter_map(|line| line.split_once("not in the audit log: "));
    let json = entries.map(|(_, entry)| entry.rsplit_once(" reason=").unwrap().0);
    json.map(|entry| serde_json::from_str(entry).expect(entry)).collect()
}

#[test]
fn a_fifo_without_a_reader_is_refused_with_advice() {
    let dir = TempDir::new();
    let fifo = fifo_in(&dir);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--audit-log", &fifo];
    let (code, _, errors) = Program::start(&arguments).end();
    assert_eq!(code, Some(2));
    let sentence = format!(
        "cannot open the audit log {fifo}: it is a FIFO that no program reads (start its reader \
         first, or name a file with --audit-log)"
    );
    assert!(errors.last().unwrap().contains(&sentence), "{errors:?}");
}

#[test]
fn a_reload_onto_a_fifo_without_a_reader_changes_nothing() {
    let mut chat = Audited::start_in(TempDir::new());
    fs::rename(chat.dir.path("audit.log"), chat.dir.path("audit.log.1")).unwrap();
    fifo_in(&chat.dir);
    chat.server.program.signal("HUP");
    let line = chat.server.program.error_with("the configuration was not loaded");
    assert!(line.contains("it is a FIFO that no program reads"), "{line}");
    drop(chat.admin("alice"));
    chat.end();
    assert_eq!(chat.entries("audit.log.1")[0]["act"], "admin");
}

#[test]
fn a_fifo_whose_reader_stalls_delays_nobody_and_no_act_is_lost() {
    const ADMINS: usize = 8;
    let dir = TempDir::new();
    let mut reader = Stalled::new(&fifo_in(&dir));
    let mut chat = Audited::start_in(dir);
    let mut bystander = Raw::connect_at_once(chat.server.address, "bystander");
    let (is_full, acts) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut log = thread::scope(|scope| {
        for number in 0..ADMINS {
            let mut admin = chat.admin(&format!("admin {number} {}", "x".repeat(200)));
            let (is_full, acts) = (&is_full, &acts);
            scope.spawn(move || {
                while !is_full.load(Ordering::Relaxed) {
                    ban(&mut admin, 1);
                    acts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..200 {
            assert_eq!(bystander.ask("/ping", "still there"), "still there");
        }
        let line = chat.server.program.error_with("ERROR not in the audit log: {");
        is_full.store(true, Ordering::Relaxed);
        vec![line]
    });
    assert!(log[0].ends_with("the file does not accept entries fast enough\""), "{log:?}");

    let has_ended = AtomicBool::new(false);
    let text = thread::scope(|scope| {
        let reading = scope.spawn(|| reader.read_until(|| has_ended.load(Ordering::Relaxed)));
        log.extend(chat.end());
        has_ended.store(true, Ordering::Relaxed);
        reading.join().unwrap()
    });
    let (entries, unwritten) = (parse(&text), unwritten(&log));
    let mut missing = 0;
    for entry in entries.iter().filter(|entry| entry["act"] == "missing") {
        missing += entry["count"].as_u64().unwrap();
        for field in ["first", "last"] {
            assert!(entry[field].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{entry}");
        }
    }
    assert!(missing > 0 && !unwritten.is_empty());
    assert_eq!(missing, unwritten.len() as u64);
    assert_eq!(bans(&entries) + bans(&unwritten), acts.into_inner());
}

#[test]
fn the_end_is_not_delayed_by_a_fifo_whose_reader_stalls() {
    let dir = TempDir::new();
    let _reader = Stalled::new(&fifo_in(&dir));
    let mut chat = Audited::start_in(dir);
    let mut alice = chat.admin("alice");
    ban(&mut alice, 50);
    drop(alice);
    let log = chat.end();
    assert_eq!(bans(&unwritten(&log)), 50, "{log:?}");
    let sentence = "the audit log did not take 51 entries before the end";
    assert!(log.iter().any(|line| line.ends_with(sentence)), "{log:?}");
}

#[test]
fn a_second_signal_does_not_drop_acts_that_wait() {
    let dir = TempDir::new();
    let _reader = Stalled::new(&fifo_in(&dir));
    let mut chat = Audited::start_in_with(dir, &["--linger", "1min"]);
    // it does not close its side, so that the server would wait for it
    let mut alice = chat.admin("alice");
    ban(&mut alice, 5);
    chat.server.program.terminate();
    while alice.receive().is_some() {}
    chat.server.program.terminate();
    let (code, _, log) = chat.server.program.end();
    assert_eq!(code, Some(128 + 15), "{log:?}");
    assert_eq!(bans(&unwritten(&log)), 5, "{log:?}");
}

#[test]
fn entries_that_wait_at_the_end_are_in_the_file() {
    let mut chat = Audited::start_in(TempDir::new());
    let mut alice = chat.admin("alice");
    ban(&mut alice, 99);
    chat.end();
    assert_eq!(bans(&chat.entries("audit.log")), 99);
}

#[test]
fn no_entry_is_lost_when_the_file_is_moved_under_load() {
    const FILES: usize = 10;
    let mut chat = Audited::start_in(TempDir::new());
    let mut admins: Vec<Raw> =
        (0..4).map(|number| chat.admin(&format!("admin {number}"))).collect();
    thread::scope(|scope| {
        for admin in &mut admins {
            scope.spawn(move || ban(admin, 99));
        }
        for number in 0..FILES {
            let (from, to) = (chat.dir.path("audit.log"), chat.dir.path(&format!("old.{number}")));
            fs::rename(from, to).unwrap();
            chat.server.program.signal("HUP");
            chat.server.program.error_with("the configuration was loaded again");
        }
    });
    chat.end();
    let old = (0..FILES).flat_map(|number| chat.entries(&format!("old.{number}")));
    let all: Vec<Value> = old.chain(chat.entries("audit.log")).collect();
    assert_eq!(bans(&all), 4 * 99);
    assert!(all.iter().all(|entry| entry["act"] != "missing"));
}

#[test]
fn a_flood_of_denials_is_counted_in_a_small_file() {
    let mut chat = Audited::start_in(TempDir::new());
    let address = chat.server.address;
    let denied: usize = 19;
    let flood = move |number: usize| {
        for round in 0..25 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let message = chatproto::Message::new("x", "", "/kick", "y").to_json();
            let text = format!("eve {number} {round}\n{}", format!("{message}\n").repeat(denied));
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
    };
    thread::scope(|scope| (0..4).for_each(|number| drop(scope.spawn(move || flood(number)))));
    drop(chat.admin("alice"));
    chat.end();
    let entries = chat.entries("audit.log");
    let count = |entry: &Value| entry["count"].as_u64().unwrap_or(1);
    let denials = entries.iter().filter(|entry| entry["act"] == "denied");
    assert_eq!(denials.map(count).sum::<u64>(), 4 * 25 * denied as u64);
    assert!(entries.len() < 500, "{} of 1900 are counted", entries.len());
    assert!(entries.iter().any(|entry| entry["act"] == "admin"));
}
