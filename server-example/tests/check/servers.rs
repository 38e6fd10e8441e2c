//! Servers that are judged: our own, one with planted faults, and one that knows no better.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::common::{Program, Raw, TestServer};
use super::faulty::{self, Fault};
use super::{Outcome, check};

/// What the runner must know of the servers here; a machine that is busy needs patience.
const OPTIONS: [&str; 6] = ["--registration-deadline", "1s", "--timeout", "4s", "--quiet", "100ms"];
/// How many servers are judged at a time: they mostly wait.
const AT_ONCE: usize = 24;

fn judge(address: &str, options: &[&str]) -> Outcome {
    check(&[&["--server", address], &OPTIONS[..], options].concat())
}

#[track_caller]
fn assert_passes(outcome: &Outcome) {
    assert_eq!(outcome.with("fail"), [""; 0], "{}", outcome.errors);
    assert_eq!(outcome.with("untried"), [""; 0]);
    assert_eq!(outcome.with("note"), [""; 0]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
}

#[test]
fn our_own_server_follows_every_rule() {
    let options = ["--registration-deadline", "1s", "--one-read-gap", "40ms"];
    let server = TestServer::start(&options);
    for peer in ["one-read", "stream"] {
        let outcome = judge(&server.address.to_string(), &["--peer", peer]);
        assert_passes(&outcome);
        let skipped = outcome.with("not-applicable");
        assert_eq!(
            skipped.len(),
            3,
            "the Python module, what stands under another rule, and WebSocket: {skipped:?}"
        );
    }
}

#[test]
fn people_who_talk_meanwhile_change_no_verdict() {
    let server = TestServer::start(&["--announce", "--one-read-gap", "40ms"]);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut people = [("person 1", "/shout"), ("person 2", "/shout"), ("person 3", "Everyone")]
        .map(|(name, to)| (Raw::connect_at_once(server.address, name), to));
    let talk = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for (person, to) in &mut people {
                    person.ask(to, "14:03:27, 5 of us, ❌ or ⛔");
                }
                // no faster than one-read peers are written to
                thread::sleep(Duration::from_millis(200));
            }
        })
    };
    let outcome = judge(&server.address.to_string(), &["--fast"]);
    is_over.store(true, Ordering::Relaxed);
    talk.join().unwrap();
    assert_passes(&outcome);
}

#[test]
fn each_planted_fault_is_found_and_nothing_else() {
    // those that break most take longest
    let mut faults = Fault::ALL.to_vec();
    faults.sort_by_key(|fault| fault.broken().len());
    let faults = Mutex::new(faults);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(fault) = faults.lock().unwrap().pop() else { return };
            let outcome = judge(&faulty::start(fault).to_string(), &[]);
            let is_right = outcome.broken() == fault.broken()
                && outcome.code == Some(i32::from(fault != Fault::None));
            if !is_right {
                let found = (outcome.with("fail"), outcome.with("untried"), outcome.errors);
                wrong.lock().unwrap().push(format!("{fault:?}: {found:#?}"));
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_that_reads_one_message_with_one_recv_breaks_what_tcp_does_not_promise() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/naive_server.py");
    let mut command = Command::new("python3");
    command.arg(program).arg("0");
    let server = TestServer::of(Program::spawn(command));
    let outcome = judge(&server.address.to_string(), &[]);
    assert_eq!(
        outcome.broken(),
        ["A2", "A4", "A10", "A11", "B1", "B12"],
        "{:#?}",
        outcome.with("fail")
    );
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.errors.contains("does not follow A2, A4, A10, A11, B1, B12"),
        "{}",
        outcome.errors
    );
    let skipped = outcome.with("not-applicable");
    assert!(
        skipped.iter().any(|rule| rule.contains("\"B9\": \"part B is not offered")),
        "{skipped:?}"
    );
}
