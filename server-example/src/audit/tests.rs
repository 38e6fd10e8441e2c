//! Tests of the audit log as a whole, on real files.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use chatproto::UserName;
use chatproto::hub::{Act, Actor, ConnId, Hub, Now, Output, Rank, Role};
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An id, which only a hub can make.
fn conn() -> ConnId {
    Hub::builder().build().handle_connect(0, ADDRESS, Now::system(), &mut Output::new())
}

/// A user as an actor.
fn user(name: &str) -> Actor {
    Actor::User { conn: conn(), name: UserName::new(name).unwrap(), address: ADDRESS }
}

pub(crate) fn moderated(act: Act, target: &str, duration: Option<Duration>, reason: &str) -> Event {
    moderated_by("alice", act, target, duration, reason)
}

pub(crate) fn moderated_by(
    by: &str,
    act: Act,
    target: &str,
    duration: Option<Duration>,
    reason: &str,
) -> Event {
    thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
    let number = LAST.get() + 1;
    LAST.set(number);
    Event::Moderated {
        actor: user(by),
        rank: Rank::Moderator,
        act,
        target: target.to_owned(),
        duration,
        reason: reason.to_owned(),
        lasting: Some(number),
    }
}

pub(crate) fn denied() -> Event {
    denied_at("/kick")
}

fn denied_at(endpoint: &'static str) -> Event {
    let name = UserName::new("eve").unwrap();
    Event::Denied { conn: conn(), address: ADDRESS, name, endpoint: endpoint.into() }
}

/// A line for the kick of this user.
pub(super) fn kick(target: &str) -> Line {
    let event = moderated(Act::Kick, target, None, "");
    let text = AuditEntry::of(&event, shared::clock::here).unwrap().line();
    Line { text: text.into(), is_act: true }
}

fn log_to(path: &str) -> AuditLog {
    let journal = Arc::new(Journal::new(LevelFilter::OFF));
    AuditLog::start(AuditFile::open(Some(Path::new(path))).unwrap(), journal).unwrap()
}

/// The entries of a file after these events.
fn entries(events: impl FnOnce(&AuditLog)) -> Vec<Value> {
    let dir = crate::test_dir::TempDir::new();
    let path = dir.path().join("audit.log");
    let log = log_to(path.to_str().unwrap());
    events(&log);
    log.close();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn with_act<'a>(entries: &'a [Value], act: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["act"] == act).collect()
}

#[test]
fn an_entry_that_the_audit_log_did_not_take_is_said() {
    let lines = crate::journal::tests::written(LevelFilter::ERROR, |journal, _| {
        let note = |entry: &str, is_act| {
            let line = Line { text: entry.into(), is_act };
            note_unwritten(journal, &line, &io::ErrorKind::StorageFull.into());
        };
        (0..20).for_each(|_| note(r#"{"act":"kick"}"#, true));
        (0..20).for_each(|_| note("{}", false));
    });
    assert_eq!(lines[0], r#"ERROR not in the audit log: {"act":"kick"} reason="no storage space""#);
    assert_eq!(lines.len(), 30, "every kick, and a few of those that anybody can cause");
}

#[test]
fn other_events_make_no_entry() {
    let event = Event::Stranger { address: ADDRESS, protocol: "HTTP" };
    assert_eq!(entries(|log| log.observe(&event)), [] as [Value; 0]);
}

#[test]
fn a_flood_of_denials_is_counted_for_each_command_and_hides_no_act() {
    let entries = entries(|log| {
        (0..5_000).for_each(|_| log.observe(&denied_at("/kick")));
        log.observe(&denied_at("/admin"));
        log.observe(&moderated(Act::Kick, "bob", None, ""));
    });
    let (kicks, admins): (Vec<_>, Vec<_>) =
        with_act(&entries, "denied").into_iter().partition(|entry| entry["target"] == "/kick");
    let count: u64 = kicks.iter().map(|entry| entry["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(count, 5_000);
    assert!(kicks.len() < 100, "{}", kicks.len());
    assert_eq!((admins.len(), with_act(&entries, "kick").len()), (1, 1));
}

#[test]
fn acts_of_one_moderator_take_nothing_from_another() {
    let entries = entries(|log| {
        for _ in 0..2_000 {
            log.observe(&moderated_by("mallory", Act::Unmute, "bob", None, ""));
        }
        for _ in 0..50 {
            log.observe(&moderated_by("alice", Act::Mute, "bob", None, ""));
        }
    });
    assert_eq!(with_act(&entries, "mute").len(), 50);
    let counts = with_act(&entries, "acts");
    assert!(counts.iter().all(|count| count["by"] == "mallory"), "{counts:?}");
    let counted: u64 = counts.iter().map(|count| count["count"].as_u64().unwrap()).sum();
    let written = with_act(&entries, "unmute").len();
    assert!((100..1_000).contains(&written), "{written}");
    assert_eq!(written as u64 + counted, 2_000);
}

#[test]
fn messages_that_users_remove_hide_no_act_of_a_moderator() {
    let entries = entries(|log| {
        for number in 0..500 {
            let by = format!("user {number}");
            (0..4).for_each(|_| log.observe(&moderated_by(&by, Act::Forget, "#tea 1", None, "")));
        }
        let role = Act::Role(Role::Moderator);
        log.observe(&moderated_by("alice", role, "bob", None, ""));
    });
    assert_eq!(with_act(&entries, "role moderator").len(), 1);
    let forgotten = with_act(&entries, "forget");
    assert!(forgotten.len() < 1_000, "{}", forgotten.len());
    let count: u64 = forgotten.iter().map(|entry| entry["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(count, 2_000);
}

#[test]
fn the_budgets_of_a_day_are_at_most_256_mib() {
    let day: usize = Class::ALL.iter().map(|class| class_rules(*class).per_day).sum();
    assert_eq!(day, 256 << 20);
    let log = log_to("/dev/null");
    assert_eq!(log.usage().day, Usage { bytes: 0, most: day });
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_leaves_the_entries_to_the_journal_and_counts_them() {
    let log = log_to("/dev/full");
    (0..5).for_each(|_| log.observe(&moderated(Act::Kick, "bob", None, "")));
    log.close();
    assert_eq!((log.usage().missing, log.usage().queue.bytes), (5, 0));
}

#[test]
#[cfg(unix)]
fn a_block_device_or_a_directory_is_refused() {
    let error = AuditFile::open(Some(Path::new("/"))).unwrap_err().to_string();
    assert!(error.contains("(name another file with --audit-log)"), "{error}");
}

#[test]
fn entries_that_wait_and_their_owners_take_the_memory_that_they_account_for() {
    use crate::heap::Heap;
    let now = Instant::now();
    let queue = LineQueue::<Target>::new(MOST);
    let heap = Heap::now();
    while queue.missed() == 0 {
        let name = format!("user {}", fastrand::u64(..));
        let event = moderated(Act::Ban, &name, None, &"x".repeat(fastrand::usize(..600)));
        let text = AuditEntry::of(&event, shared::clock::here).unwrap().line();
        let _ = queue.try_push(Line { text: text.into(), is_act: true });
    }
    heap.assert_within(MOST, "entries");

    let heap = Heap::now();
    let mut shares = Class::ALL.map(|class| Shares::new(class_rules(class), now));
    let most: usize = shares.iter().map(|shares| shares.owners_usage().most).sum();
    for number in 0..3_000 {
        let owner = format!("{number:05}{}", "x".repeat(300));
        for shares in &mut shares {
            // beyond its budget, so that there is a count to report
            assert!(!shares.admit(&owner, usize::MAX, now));
        }
    }
    heap.assert_within(most, "owners");
    let used: usize = shares.iter().map(|shares| shares.owners_usage().bytes).sum();
    assert_eq!(used, most);
}
