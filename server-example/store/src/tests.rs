//! What holds of the store as a whole: what was committed is there, in order and once, whatever
//! happened in between.

use std::fs;
use std::path::Path;

use chatproto::hub::Left;

use super::SanctionKind::{Ban, Mute};

use super::*;
pub(super) use crate::test_dir::TempDir;

pub(super) fn open(directory: &TempDir) -> Store {
    Store::open(directory.path(), StoreOptions::default()).unwrap()
}

pub(super) fn refusal(directory: &TempDir) -> StoreError {
    Store::open(directory.path(), StoreOptions::default()).unwrap_err()
}

pub(super) fn object(from: &str, text: &str) -> String {
    format!(r##"{{"from":{{"name":"{from}","ip":"127.0.0.1"}},"to":"#tea","msg":"{text}"}}"##)
}

/// Adds messages 1.. of a room, and commits them.
pub(super) fn fill(writer: &mut Writer, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        writer.append(id, "#tea", 1_000 * id as i64, &object("alice", &format!("message {id}")));
    }
    writer.commit().unwrap();
}

/// Bytes of a page of the file.
pub(super) const PAGE: usize = 4_096;

/// Bounds the file as a full disk would, to so many pages.
pub(super) fn limit_pages(writer: &mut Writer, pages: i64) {
    writer.with(|db, _| db.pragma_update(None, "max_page_count", pages)).unwrap();
}

/// Leaves a message for an account.
pub(super) fn leave(writer: &mut Writer, from: &str, account: &str, id: u64, text: &str) -> Left {
    let (conversation, object) = (between(from, account), object(from, text));
    let conversation = &conversation;
    let letter = Letter { account, from, conversation, id, at_ms: 1_000, object: &object };
    let (answers, outcome) = writer.leave(&[letter]);
    outcome.unwrap();
    answers[0]
}

/// The ids of what waits for an account.
pub(super) fn mail(reader: &Reader, account: &str) -> Vec<u64> {
    let page = reader.collect(account, 0, i64::MIN, usize::MAX).unwrap();
    page.entries.iter().map(|entry| entry.id).collect()
}

pub(super) fn ids(reader: &Reader, conversation: &str, query: &Query) -> Vec<u64> {
    reader.page(conversation, query).unwrap().entries.iter().map(|entry| entry.id).collect()
}

pub(super) const ALL: Query = Query {
    most: usize::MAX,
    max_bytes: usize::MAX,
    before: None,
    since: Some(0),
    up_to: u64::MAX,
    from_ms: i64::MIN,
};

const NONE: [u64; 0] = [];

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    assert_eq!(store.next_id(), 1);
    let mut writer = store.writer().unwrap();
    let sent = [(1, "#tea", "hi"), (2, "alice\tbob", "psst"), (3, "#tea", "gr\u{fc}\u{df}e 👋")];
    for (id, conversation, text) in sent {
        writer.append(id, conversation, 1_000 + id as i64, &object("alice", text));
    }
    writer.commit().unwrap();
    let first = store.epoch().to_owned();
    writer.close(3).unwrap();
    drop(store);

    let store = open(&directory);
    assert_ne!(store.epoch(), first);
    assert_eq!(store.next_id(), 4);
    let reader = store.reader().unwrap();
    let tea = reader.page("#tea", &ALL).unwrap();
    assert_eq!(
        tea.entries,
        [
            StoredMessage { id: 1, at_ms: 1_001, object: object("alice", "hi") },
            StoredMessage { id: 3, at_ms: 1_003, object: object("alice", "gr\u{fc}\u{df}e 👋") }
        ]
    );
    assert_eq!(ids(&reader, &between("bob", "alice"), &ALL), [2]);
    assert_eq!(ids(&reader, "#nobody", &ALL), NONE);
    assert_eq!(
        reader.sender_of("#tea", 3).unwrap().map(|sender| sender.name).as_deref(),
        Some("alice")
    );
    assert_eq!(reader.sender_of("#tea", 2).unwrap(), None);
}

#[test]
fn nothing_is_written_before_the_commit() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    writer.append(1, "#tea", 0, "{}");
    assert_eq!(writer.pending(), 1);
    assert_eq!(ids(&reader, "#tea", &ALL), NONE);
    writer.discard();
    writer.commit().unwrap();
    assert_eq!(ids(&reader, "#tea", &ALL), NONE);
    fill(&mut writer, 2..=3);
    assert_eq!(writer.pending(), 0);
    assert_eq!(ids(&reader, "#tea", &ALL), [2, 3]);
}

#[test]
fn another_message_with_an_id_that_is_taken_is_an_error() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=10);
    let stored = store.reader().unwrap().page("#tea", &ALL).unwrap();
    let same = object("alice", "message 7");
    for (conversation, at_ms, object) in [
        ("#tea", 7_000, object("alice", "another text")),
        ("#coffee", 7_000, same.clone()),
        ("#tea", 7_001, same.clone()),
    ] {
        writer.append(7, conversation, at_ms, &object);
        writer.append(11, "#tea", 0, &same);
        let refused = writer.commit().unwrap_err();
        assert!(refused.sentence.contains("another message has the id 7:"), "{refused}");
        assert_eq!(writer.pending(), 2, "nothing of it is written, and nothing is dropped");
        writer.discard();
    }
    let letter = object("bob", "psst");
    let conversation = &between("alice", "bob");
    let letter =
        Letter { account: "alice", from: "bob", conversation, id: 7, at_ms: 0, object: &letter };
    assert!(writer.leave(&[letter]).1.is_err());
    assert_eq!(store.reader().unwrap().page("#tea", &ALL).unwrap(), stored);
    assert_eq!(mail(&store.reader().unwrap(), "alice"), NONE);
    fill(&mut writer, 11..=12);
    assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_message_that_is_added_twice_is_there_once() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=10);
    fill(&mut writer, 5..=12);
    assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL), (1..=12).collect::<Vec<_>>());
}

#[test]
fn pages() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    // 1..=10 have places, the others not yet: their commit is too large for that
    fill(&mut writer, 1..=10);
    for id in 11..=200 {
        writer.append(id, "#work", 0, "{}");
    }
    fill(&mut writer, 201..=210);
    let reader = store.reader().unwrap();
    let tea: Vec<u64> = (1..=10).chain(201..=210).collect();
    let base = Query { most: usize::MAX, max_bytes: usize::MAX, ..Query::default() };
    let size = object("alice", "message 201").len();
    for (query, from, to, more) in [
        (base, 0, 20, false),
        (Query { most: 3, ..base }, 17, 20, true),
        (Query { most: 15, ..base }, 5, 20, true),
        (Query { most: 20, ..base }, 0, 20, false),
        (Query { most: 0, ..base }, 20, 20, true),
        (Query { most: 3, before: Some(203), ..base }, 9, 12, true),
        (Query { most: 3, before: Some(150), ..base }, 7, 10, true),
        (Query { before: Some(1), ..base }, 0, 0, false),
        (Query { most: 2, up_to: 205, ..base }, 13, 15, true),
        (Query { most: 2, up_to: 5, before: Some(9), ..base }, 3, 5, true),
        (Query { since: Some(0), ..base }, 0, 20, false),
        (Query { since: Some(0), most: 12, ..base }, 0, 12, true),
        (Query { since: Some(4), most: 3, ..base }, 4, 7, true),
        (Query { since: Some(9), most: 3, ..base }, 9, 12, true),
        (Query { since: Some(205), ..base }, 15, 20, false),
        (Query { since: Some(205), up_to: 207, ..base }, 15, 17, false),
        (Query { since: Some(210), ..base }, 20, 20, false),
        (Query { since: Some(u64::MAX), ..base }, 20, 20, false),
        (Query { max_bytes: 2 * size, ..base }, 18, 20, true),
        (Query { max_bytes: 2 * size - 1, ..base }, 19, 20, true),
        (Query { max_bytes: 1, ..base }, 19, 20, true),
        (Query { since: Some(205), max_bytes: 2 * size, ..base }, 15, 17, true),
    ] {
        let page = reader.page("#tea", &query).unwrap();
        let found: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
        assert_eq!((found.as_slice(), page.more), (&tea[from..to], more), "{query:?}");
    }
}

#[test]
fn messages_get_places_when_they_are_many_or_there_is_time() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    let count = |table: &str| -> i64 {
        let db = store.connect().unwrap();
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    fill(&mut writer, 1..=1_000);
    assert_eq!(count("place"), 0);
    fill(&mut writer, 1_001..=1_010);
    assert_eq!(count("place"), 1_010);
    for thousand in 1..19 {
        fill(&mut writer, thousand * 1_000 + 11..=thousand * 1_000 + 1_010);
    }
    assert_eq!((count("place"), count("message")), (18_010, 19_010));
    drop(writer);
    drop(store);
    // and at the latest at the next start
    let mut store = open(&directory);
    let _writer = store.writer().unwrap();
    let db = store.connect().unwrap();
    let places: i64 = db.query_row("SELECT count(*) FROM place", [], |row| row.get(0)).unwrap();
    assert_eq!(places, 19_010);
}

#[test]
fn what_waits_for_an_account_is_collected_in_order() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    for id in 1..=5 {
        assert_eq!(leave(&mut writer, "alice", "bob", id, "0123456789"), Left::Waiting);
    }
    assert_eq!(leave(&mut writer, "alice", "carol", 6, "hi"), Left::Waiting);
    assert_eq!(reader.waiting("bob").unwrap(), 5);
    writer.forget("alice\tbob", 2).unwrap();
    assert_eq!(reader.waiting("bob").unwrap(), 4);
    let size = object("alice", "0123456789").len();
    let next = |after, most_bytes| {
        let page = reader.collect("bob", after, 0, most_bytes).unwrap();
        (page.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(next(0, 3 * size), (vec![1, 3, 4], true));
    assert_eq!(next(0, 3 * size - 1), (vec![1, 3], true));
    assert_eq!(next(3, 1), (vec![4], true), "one at least");
    assert_eq!(next(4, 1), (vec![5], false));
    assert_eq!(next(5, 1), (vec![], false));
    assert_eq!(reader.waiting("bob").unwrap(), 4, "reading removes nothing");
    writer.collected("bob", 4, i64::MIN).unwrap();
    assert_eq!(reader.waiting("bob").unwrap(), 1);
    // what is older than its owner
    writer.collected("bob", 0, 1_001).unwrap();
    assert_eq!(reader.waiting("bob").unwrap(), 0);
    assert_eq!(reader.waiting("carol").unwrap(), 1);
    assert_eq!(reader.waiting("dave").unwrap(), 0);
}

#[test]
fn a_forgotten_message_is_nowhere_and_its_id_is_not_given_again() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=3);
    writer.append(4, "#tea", 0, &object("alice", "a secret"));
    writer.commit().unwrap();
    writer.forget("#work", 3).unwrap();
    writer.forget("#tea", 4).unwrap();
    assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL), [1, 2, 3]);
    let path = store.path().to_owned();
    drop((writer, store));

    let mut store = open(&directory);
    assert_eq!(store.next_id(), 5);
    store.writer().unwrap().close(4).unwrap();
    drop(store);
    let bytes = fs::read(path).unwrap();
    assert!(!bytes.windows(8).any(|window| window == b"a secret"));
}

#[test]
fn ids_are_never_given_again() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    writer.gap(1, 41);
    writer.commit().unwrap();
    drop((writer, store));
    let mut store = open(&directory);
    assert_eq!(store.next_id(), 42);
    // as if messages up to 99 had been sent and none of them were stored
    store.writer().unwrap().close(99).unwrap();
    drop(store);
    assert_eq!(open(&directory).next_id(), 100);
    assert_eq!(open(&directory).next_id(), 100);
}

#[test]
fn a_second_server_is_refused() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let refused = refusal(&directory);
    assert_eq!(refused.kind, ErrorKind::Busy);
    assert_eq!(
        refused.sentence,
        format!(
            "the data directory {} is in use by another server: stop that one, or give this one a \
             directory of its own with --data DIR (--data none keeps nothing)",
            directory.path().display()
        )
    );
    #[cfg(unix)]
    {
        fs::remove_file(directory.path().join("chatproto.lock")).unwrap();
        assert_eq!(refusal(&directory).sentence, refused.sentence, "its lock file was removed");
    }
    let writer = store.writer().unwrap();
    drop(store);
    assert_eq!(refusal(&directory).kind, ErrorKind::Busy, "the writer is still there");
    drop(writer);
    open(&directory);
}

#[test]
#[cfg(unix)]
fn nobody_else_can_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new();
    let inner = directory.path().join("a/b");
    let mut store = Store::open(&inner, StoreOptions::default()).unwrap();
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=3);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let mut names = vec![];
    for file in fs::read_dir(&inner).unwrap() {
        let file = file.unwrap();
        names.push(file.file_name().into_string().unwrap());
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
    }
    names.sort();
    let ours =
        ["db", "db-shm", "db-wal", "lock", "reserve"].map(|name| format!("chatproto.{name}"));
    assert_eq!(names, ours);
}

#[test]
fn bans_and_mutes_outlive_the_server_and_run_out() {
    let directory = TempDir::new();
    let (bob, network) = (sanction("bob", Some(2_000)), sanction("10.0.0.0/8", None));
    let mute = sanction("carol", Some(3_000));
    {
        let moderation = open(&directory).moderation().unwrap();
        moderation.set(Ban, &Sanction { until_ms: None, ..bob.clone() }, 0).unwrap();
        moderation.set(Ban, &bob, 0).unwrap();
        moderation.set(Ban, &network, 0).unwrap();
        moderation.set(Mute, &mute, 0).unwrap();
    }
    let store = open(&directory);
    let moderation = store.moderation().unwrap();
    assert_eq!(moderation.all(Ban, 1_999).unwrap(), [network.clone(), bob]);
    assert_eq!(moderation.all(Ban, 2_000).unwrap(), [network]);
    assert_eq!(moderation.all(Mute, 2_999).unwrap(), [mute]);
    assert_eq!(moderation.all(Mute, 3_000).unwrap(), []);
    assert_eq!(moderation.expire(3_000).unwrap(), 2);
    assert!(moderation.remove(Ban, "10.0.0.0/8").unwrap());
    assert!(!moderation.remove(Ban, "bob").unwrap());
    assert!(!moderation.remove(Mute, "carol").unwrap());
    assert_eq!(moderation.all(Ban, 0).unwrap(), []);
}

#[test]
fn nothing_is_missed_unknowingly() {
    let directory = TempDir::new();
    let store = open(&directory);
    let db = store.connect().unwrap();
    // a: 1–10; b: from 11, cut short; c: 21–30; d: nobody wrote; e: 31–40; and the present one from 41
    db.execute_batch(
        "DELETE FROM epoch;
         INSERT INTO epoch(name, first_id, last_id, opened_ms) VALUES
            ('a', 1, 10, 0), ('b', 11, NULL, 0), ('c', 21, 30, 0), ('d', 31, 30, 0), ('e', 31, 40, 0), ('now', 41, NULL, 0);
         INSERT INTO conversation(name, purged_to) VALUES ('#tea', 0), ('#old', 25), ('#new', 45);",
    )
    .unwrap();
    let reader = store.reader().unwrap();
    let check = |table: &[(&str, u64, &str, bool)]| {
        for &(conversation, since, epoch, expected) in table {
            let found = reader.recovered(conversation, since, epoch).unwrap();
            assert_eq!(found, expected, "{conversation} since {since} {epoch}");
        }
    };
    check(&[
        ("#tea", 45, "now", true),
        ("#tea", 41, "now", true),
        ("#tea", 40, "now", true),
        // the room's newest message when the present epoch told it
        ("#tea", 7, "now", true),
        ("#tea", 0, "now", true),
        ("#tea", 35, "e", true),
        ("#tea", 40, "e", true),
        // an id that it never told
        ("#tea", 41, "e", false),
        ("#tea", 30, "d", true),
        ("#tea", 31, "d", false),
        ("#tea", 25, "c", true),
        ("#tea", 3, "c", true),
        // cut short
        ("#tea", 15, "b", false),
        ("#tea", 11, "b", false),
        // one after it was
        ("#tea", 10, "a", false),
        ("#tea", 5, "a", false),
        ("#tea", 45, "", false),
        ("#tea", 45, "f", false),
        // a conversation without messages has lost none
        ("#nobody", 35, "e", true),
        ("#nobody", 5, "a", false),
        ("#old", 25, "c", true),
        ("#old", 24, "c", false),
        ("#old", 26, "now", true),
        ("#new", 44, "now", false),
        ("#new", 45, "now", true),
    ]);

    db.execute("INSERT INTO gap VALUES (35, 37)", []).unwrap();
    check(&[
        ("#tea", 33, "e", false),
        ("#tea", 36, "e", false),
        ("#tea", 37, "e", true),
        ("#tea", 30, "d", false),
        ("#tea", 25, "c", false),
        // what was told later was told of what there was
        ("#tea", 33, "now", true),
    ]);
    db.execute("INSERT INTO gap VALUES (45, 50)", []).unwrap();
    check(&[("#tea", 44, "now", false), ("#tea", 50, "now", true), ("#tea", 37, "e", false)]);
    for (since, epoch, start) in [
        (7, "now", 7),
        (45, "now", 45),
        // the present epoch has told no such id
        (46, "now", 0),
        (10, "a", 10),
        // later epochs use ids again that an epoch had told before a crash, or before a backup of it
        (12, "a", 10),
        (99, "b", 20),
        (15, "b", 15),
        (3, "nobody", 0),
    ] {
        assert_eq!(reader.start_of_page(since, epoch, 45).unwrap(), start, "{since} {epoch}");
    }
}

/// A ban or mute of a moderator.
pub(super) fn sanction(target: &str, until_ms: Option<i64>) -> Sanction {
    Sanction {
        key: target.to_owned(),
        target: target.to_owned(),
        by: "alice".to_owned(),
        rank: "moderator".to_owned(),
        reason: "too loud".to_owned(),
        since_ms: 0,
        until_ms,
    }
}
