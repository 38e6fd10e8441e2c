//! `kill -9` in the middle of everything, again and again: what was acknowledged by `/sync` is there
//! after each restart, once and in order. 25 times, or as often as `CHATPROTO_KILLS` says. Commands that
//! write files are killed, or get an error, at each of their calls that change files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use chatproto::Message;

use crate::common::kept::{KeptServer, Page, next_page, page, parse_synced, sync};
use crate::common::{PATIENCE, Program, Raw, skip};

const ROOM: &str = "#tea";
/// Writers in the room, who are guests.
const GUESTS: [&str; 3] = ["gail", "gus", "gwen"];
/// Owners of accounts, who write to each other.
const OWNERS: [&str; 2] = ["olga", "otto"];
/// Bursts that are sent and not acknowledged yet, of one writer.
const AHEAD: usize = 2;

/// What a writer did between a start and the kill: the texts carry the numbers `first..sent`.
struct Done {
    sent: u64,
    /// The number of the last text before a `/sync` that was answered, with the answer.
    acknowledged: Vec<(u64, u64, String)>,
}

/// All that one writer ever did.
#[derive(Default)]
struct Ledger {
    sent: u64,
    is_acknowledged: Vec<bool>,
}

/// Everything that was read of one conversation, by id.
#[derive(Default)]
struct Found {
    texts: BTreeMap<u64, (String, String)>,
    epoch: String,
}

impl Found {
    /// Reads what was kept since the last time. The server was killed in between, and says so.
    fn read_on(&mut self, user: &mut Raw, name: &str) {
        loop {
            let last = self.texts.keys().next_back().copied().unwrap_or(0);
            let is_first = self.epoch.is_empty();
            let told = if is_first { "none" } else { &self.epoch };
            let page = page(user, &format!("{name} 256 since {last} {told}"));
            assert_eq!(page.is_recovered, Some(false), "after a kill nobody can be sure");
            self.add(&page);
            if !page.has_more {
                self.epoch = page.epoch;
                return;
            }
        }
    }

    fn add(&mut self, page: &Page) {
        for (id, message) in page.ids.iter().zip(&page.messages) {
            let before = self.texts.insert(*id, message.clone());
            assert_eq!(before, None, "id {id} is there twice");
        }
    }
}

/// Reads all of a conversation, page by page from its end.
fn read_all(user: &mut Raw, name: &str) -> BTreeMap<u64, (String, String)> {
    let mut found = Found::default();
    let mut arguments = format!("{name} 256");
    loop {
        let page = page(user, &arguments);
        assert!(page.ids.is_sorted(), "{:?}", page.ids);
        found.add(&page);
        if !page.has_more {
            return found.texts;
        }
        arguments = format!("{name} 256 before {}", page.ids[0]);
    }
}

/// Writes bursts, each followed by `/sync`, until the server is gone.
fn write(user: Raw, to: String, mut next: u64, synced: Sender<()>) -> JoinHandle<Done> {
    thread::spawn(move || {
        let (name, stream, mut reader) = user.into_parts();
        let mut random = fastrand::Rng::with_seed(next);
        let mut done = Done { sent: next, acknowledged: Vec::new() };
        let mut open = std::collections::VecDeque::new();
        loop {
            if open.len() < AHEAD {
                let mut burst = String::new();
                for _ in 0..random.u32(1..16) {
                    burst += &line(&name, &to, &format!("{name} {next}"));
                    next += 1;
                }
                burst += &line(&name, "/sync", "");
                // a write that fails may have sent a part of it
                done.sent = next;
                open.push_back(next - 1);
                if (&stream).write_all(burst.as_bytes()).is_err() {
                    break;
                }
            }
            let Some(message) = receive(&mut reader) else { break };
            if !message.is_from_server() {
                continue;
            }
            if let Some((id, epoch)) = parse_synced(&message.msg) {
                done.acknowledged.push((open.pop_front().expect("it was asked for"), id, epoch));
                // whoever kills may be at it already
                let _ = synced.send(());
            } else {
                assert!(!message.msg.starts_with(['❌', '⛔']), "{}", message.msg);
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        done
    })
}

fn line(from: &str, to: &str, text: &str) -> String {
    Message::new(from, "192.0.2.7", to, text).to_json() + "\n"
}

/// The next whole message; a killed server may leave a part of one.
fn receive(reader: &mut BufReader<TcpStream>) -> Option<Message> {
    let mut object = String::new();
    let is_whole = reader.read_line(&mut object).is_ok() && object.ends_with('\n');
    is_whole.then(|| Message::decode(object.as_bytes()).unwrap())
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let kills: usize = std::env::var("CHATPROTO_KILLS").map_or(25, |kills| kills.parse().unwrap());
    let mut server = KeptServer::start(&["--rate", "off"]);
    for name in OWNERS {
        server.register(name);
    }
    let mut random = fastrand::Rng::with_seed(9);
    let mut ledgers = BTreeMap::from(GUESTS.map(|name| (name, Ledger::default())));
    ledgers.extend(OWNERS.map(|name| (name, Ledger::default())));
    let (mut in_room, mut between) = (Found::default(), Found::default());
    // which message was acknowledged under which id
    let mut told: BTreeMap<u64, (String, String)> = BTreeMap::new();

    for kill in 0..=kills {
        let mut guests = GUESTS.map(|name| server.join(name));
        let mut owners = OWNERS.map(|name| server.login(name));
        guests.iter_mut().for_each(|guest| guest.join(ROOM));
        // the exact count, after each restart
        in_room.read_on(&mut guests[0], ROOM);
        between.read_on(&mut owners[0], OWNERS[1]);
        check(&ledgers, &in_room, &between, &told);
        if kill == kills {
            assert_eq!(read_all(&mut guests[1], ROOM), in_room.texts);
            assert_eq!(read_all(&mut owners[1], OWNERS[0]), between.texts);
            break;
        }

        let (synced, answers) = mpsc::channel();
        let other = |name| if name == OWNERS[0] { OWNERS[1] } else { OWNERS[0] };
        let to = |name| if GUESTS.contains(&name) { ROOM } else { other(name) };
        let names = GUESTS.into_iter().chain(OWNERS);
        let writers: Vec<_> = names
            .zip(guests.into_iter().chain(owners))
            .map(|(name, user)| {
                let first = ledgers[name].sent;
                (name, write(user, to(name).to_owned(), first, synced.clone()))
            })
            .collect();
        for _ in 0..random.u32(5..60) {
            answers.recv_timeout(PATIENCE).expect("something is acknowledged");
        }
        server.kill();
        for (name, writer) in writers {
            let done = writer.join().expect("the writer has no complaint");
            let ledger = ledgers.get_mut(name).unwrap();
            let first = ledger.sent;
            ledger.is_acknowledged.resize(usize::try_from(done.sent).unwrap(), false);
            ledger.sent = done.sent;
            if let Some((last, ..)) = done.acknowledged.last() {
                let (first, last) =
                    (usize::try_from(first).unwrap(), usize::try_from(*last).unwrap());
                ledger.is_acknowledged[first..=last].fill(true);
            }
            for (number, id, _) in done.acknowledged {
                told.insert(id, (name.to_owned(), format!("{name} {number}")));
            }
        }
        server.begin();
    }

    let exported = server.export();
    let all = in_room.texts.iter().chain(&between.texts).collect::<BTreeMap<_, _>>();
    let ids = exported.iter().map(|line| line["id"].as_u64().unwrap());
    assert!(ids.eq(all.keys().map(|id| **id)), "the export has the same messages");
    let sent: u64 = ledgers.values().map(|ledger| ledger.sent).sum();
    let acknowledged =
        ledgers.values().flat_map(|ledger| &ledger.is_acknowledged).filter(|is| **is).count();
    println!(
        "kills {kills}, sent {sent}, acknowledged {acknowledged}, found {}, lost 0, doubled 0",
        all.len()
    );
    assert!(acknowledged >= kills, "there was a load");
}

/// Everything acknowledged is there once, in order, and under the id that was told.
fn check(
    ledgers: &BTreeMap<&str, Ledger>,
    in_room: &Found,
    between: &Found,
    told: &BTreeMap<u64, (String, String)>,
) {
    let (mut lost, mut doubled) = (0, 0);
    for (name, ledger) in ledgers {
        let found = if GUESTS.contains(name) { in_room } else { between };
        let own = found.texts.values().filter(|(from, _)| from == name);
        let numbers: Vec<usize> =
            own.map(|(_, text)| text.strip_prefix(name).unwrap().trim().parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{name}: the order is another one");
        let mut count = vec![0; ledger.is_acknowledged.len()];
        for number in numbers {
            count[number] += 1;
        }
        doubled += count.iter().filter(|&&count| count > 1).count();
        let both = ledger.is_acknowledged.iter().zip(&count);
        lost += both.filter(|&(&is_acknowledged, &count)| is_acknowledged && count == 0).count();
    }
    assert_eq!((lost, doubled), (0, 0), "lost, doubled");
    for (id, message) in told {
        let found = in_room.texts.get(id).or_else(|| between.texts.get(id));
        assert_eq!(found, Some(message), "what was acknowledged under id {id}");
    }
}

/// System calls that change directories or wait for the disk.
#[cfg(target_os = "linux")]
const FILE_CALLS: &str = "?rename,?renameat,?renameat2,?link,?linkat,?unlink,?unlinkat,?mkdir,?mkdirat,?rmdir,\
     ftruncate,fsync,fdatasync";

/// Runs a command under `strace`, with this fault at its call number `when` of those above. Returns its exit
/// code, none if it was killed, and what it said on standard error.
#[cfg(target_os = "linux")]
fn with_fault(fault: &str, when: u32, arguments: &[&str]) -> (Option<i32>, String) {
    use std::process::Command;
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={FILE_CALLS}"), "-e"]);
    command.arg(format!("inject={FILE_CALLS}:{fault}:when={when}"));
    let output =
        command.arg(env!("CARGO_BIN_EXE_server-example")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whether there is a `strace` that may trace.
#[cfg(target_os = "linux")]
fn can_trace() -> bool {
    let traced = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    traced.is_ok_and(|output| output.status.success())
}

const KILL: &str = "signal=SIGKILL";
const FULL: &str = "error=ENOSPC";

/// Runs a command with a fault at its first such call, then at its second one, and so on, and calls `check`
/// with the outcome of each. A command that is killed ends with no code, until it has fewer calls. Of errors
/// it may have ignored some, so there are as many runs as there were kills.
#[cfg(target_os = "linux")]
fn with_faults(arguments: &[&str], mut check: impl FnMut(&str, u32)) {
    let mut when = 1;
    loop {
        let (code, errors) = with_fault(KILL, when, arguments);
        check("killed", when);
        if code == Some(0) {
            break;
        }
        // 128 and the signal's number, from a shell in between
        assert!(code.is_none_or(|code| code > 128), "{code:?} {errors}");
        when += 1;
        assert!(when < 1_000, "the command does not end");
    }
    assert!(when > 3, "only {when} calls");
    for call in 1..when {
        let (code, errors) = with_fault(FULL, call, arguments);
        assert!(matches!(code, Some(0 | 1)), "call {call}: {code:?} {errors}");
        let is_sentence =
            errors.lines().all(|line| !line.contains("panicked") && !line.contains("Err("));
        assert!(
            is_sentence && (code == Some(0) || errors.contains("server-example: ")),
            "{errors}"
        );
        check("full", call);
    }
}

/// The accounts of a data directory.
fn accounts(data: &str) -> Vec<String> {
    let (code, names, errors) = Program::start(&["account", "list", "--data", data]).end();
    assert_eq!(code, Some(0), "{errors:?}");
    names
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|line| line.contains(name))
}

/// The unit tests of the store cover the steps one by one.
#[cfg(target_os = "linux")]
#[test]
fn a_restore_that_is_killed_leaves_the_previous_or_the_restored_data() {
    if !can_trace() {
        return skip("strace is not installed, or may not trace");
    }
    let mut server = KeptServer::start(&[]);
    server.register("alice");
    let backup = server.dir.path("backup.db");
    let (code, _, errors) = Program::start(&["backup", &backup, "--data", &server.data]).end();
    assert_eq!(code, Some(0), "{errors:?}");
    server.register("bob");
    server.kill();
    let data = server.data.clone();
    with_faults(&["restore", &backup, "--data", &data], |fault, call| {
        assert!(has(&accounts(&data), "alice"), "{fault} at call {call}");
    });
    server.begin();
    assert!(server.join("alice").hear().contains("belongs to an account"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_backup_that_is_killed_leaves_the_data_and_no_half_file() {
    if !can_trace() {
        return skip("strace is not installed, or may not trace");
    }
    let mut server = KeptServer::start(&[]);
    server.register("alice");
    server.kill();
    let (data, backup) = (server.data.clone(), server.dir.path("backup.db"));
    let mut number = 0;
    with_faults(&["backup", &backup, "--force", "--data", &data], |fault, call| {
        assert!(has(&accounts(&data), "alice"), "{fault} at call {call}");
        if !std::path::Path::new(&backup).exists() {
            return;
        }
        number += 1;
        let restored = server.dir.path(&format!("restored-{number}"));
        let (code, _, errors) = Program::start(&["restore", &backup, "--data", &restored]).end();
        assert_eq!(code, Some(0), "{fault} at call {call}: {errors:?}");
        assert!(has(&accounts(&restored), "alice"), "{fault} at call {call}");
        std::fs::remove_file(&backup).unwrap();
    });
    assert!(number > 0, "a backup is made at last");
}

#[cfg(target_os = "linux")]
#[test]
fn a_removal_that_is_killed_leaves_sound_data() {
    if !can_trace() {
        return skip("strace is not installed, or may not trace");
    }
    let mut server = KeptServer::start(&[]);
    let mut alice = server.register("alice");
    alice.join(ROOM);
    alice.join("#work");
    for number in 0..50 {
        alice.send(ROOM, &format!("{number}"));
        alice.send("#work", &format!("{number}"));
    }
    sync(&mut alice);
    drop(alice);
    server.kill();
    let data = server.data.clone();
    let left = |room: &str| {
        let export = ["history", "export", "--room", room, "--data", &data];
        let (code, lines, errors) = Program::start(&export).end();
        assert_eq!(code, Some(0), "{errors:?}");
        lines.len()
    };
    with_faults(&["history", "purge", "--room", ROOM, "--yes", "--data", &data], |fault, call| {
        assert_eq!(left("#work"), 50, "{fault} at call {call}");
        assert!([0, 50].contains(&left(ROOM)), "{fault} at call {call}");
    });
    assert_eq!(left(ROOM), 0);
    server.begin();
    assert!(server.join("alice").hear().contains("belongs to an account"));
}

#[test]
fn a_page_that_comes_among_live_messages_is_whole() {
    let server = KeptServer::start(&[]);
    let (mut alice, mut bob) = (server.join("alice"), server.join("bob"));
    alice.join(ROOM);
    bob.join(ROOM);
    for number in 0..100 {
        alice.send(ROOM, &number.to_string());
    }
    for number in 0..10 {
        bob.send("/history", &format!("{ROOM} 100"));
        alice.send(ROOM, &format!("live {number}"));
    }
    let mut before = 0;
    for _ in 0..10 {
        // panics if anything else stands between its messages, or one is missing
        let page = next_page(&mut bob);
        assert!(page.ids.len() >= before, "{page:?}");
        before = page.ids.len();
    }
}
