//! What would grow without end has a bound: what waits for the disk, the log, and the tables that no
//! message accounts for.

use super::SanctionKind::{Ban, Mute};
use super::tests::{ALL, PAGE, TempDir, fill, ids, limit_pages, object, open, sanction};
use super::*;

#[test]
fn what_has_accumulated_is_written_in_steps_that_fit_a_small_disk() {
    let directory = TempDir::new();
    let most = 4 << 20;
    let retention = Retention { keep: None, max_bytes: Some(most) };
    let options = StoreOptions { retention, ..StoreOptions::default() };
    let mut store = Store::open(directory.path(), options).unwrap();
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    let usage = store.usage();
    limit_pages(&mut writer, 100);
    let text = "x".repeat(4_000);
    for id in 1..=5_000 {
        writer.append(id, "#tea", 0, &object("alice", &text));
    }
    assert_eq!(writer.commit().unwrap_err().kind, ErrorKind::Full);
    assert_eq!(writer.pending_messages(), 5_000);
    let pending = writer.pending_bytes();
    assert_eq!(usage.pending().bytes, pending);
    assert!((20_000_000..24_000_000).contains(&pending), "{pending}");
    // the disk has twice the bound of the file, and a fifth of what waits
    limit_pages(&mut writer, 2 * most as i64 / PAGE as i64);
    writer.commit().unwrap();
    assert_eq!((writer.pending(), writer.pending_bytes()), (0, 0));
    assert_eq!(usage.pending().bytes, 0);
    let there = ids(&reader, "#tea", &ALL);
    assert_eq!(there, (5_001 - there.len() as u64..=5_000).collect::<Vec<_>>());
    assert!(usage.history() <= most && there.len() > 500, "{usage:?}");
    assert!(!reader.recovered("#tea", there[0] - 2, store.epoch()).unwrap());
    share_tests::assert_counted(&store);
}

#[test]
fn a_reader_that_holds_a_snapshot_stops_the_history_before_the_log_fills_the_disk() {
    let directory = TempDir::new();
    let options = StoreOptions { wal_most: 4 << 20, ..StoreOptions::default() };
    let mut store = Store::open(directory.path(), options).unwrap();
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=1);
    let text = "x".repeat(4_000);
    let other = store.reader().unwrap();
    other
        .with(|act| {
            act.query_row("SELECT count(*) FROM message", [], |_| Ok(()))?;
            let mut id = 1;
            let refused = loop {
                for _ in 0..100 {
                    id += 1;
                    writer.append(id, "#tea", 0, &object("alice", &text));
                }
                match writer.commit() {
                    Ok(()) => assert!(id < 10_000, "the log has no bound"),
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused.kind, ErrorKind::Busy);
            assert!(refused.sentence.starts_with("another program has been reading "), "{refused}");
            assert!(
                refused.sentence.contains(" has grown to 4 MiB: end that program"),
                "{refused}"
            );
            let length = wal::length(store.path());
            assert!(length < 6 << 20, "{length}");
            assert!(writer.commit().is_err());
            assert!(writer.maintain(0).is_err());
            assert_eq!(wal::length(store.path()), length);
            assert_eq!(store.usage().wal().bytes as u64, length);
            Ok(())
        })
        .unwrap();
    writer.commit().unwrap();
    assert!(wal::length(store.path()) < 4 << 20);
}

#[test]
fn gaps_and_runs_are_bounded_and_nobody_is_misled() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    for number in 1..=5_000 {
        writer.gap(10 * number, 10 * number + 1);
    }
    writer.append(60_000, "#tea", 0, "{}");
    writer.commit().unwrap();
    let epoch = store.epoch().to_owned();
    let rows = |store: &Store, table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        store.connect().unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert!(rows(&store, "gap") <= 1_024);
    let reader = store.reader().unwrap();
    assert!(!reader.recovered("#tea", 5, &epoch).unwrap());
    assert!(!reader.recovered("#tea", 50_000, &epoch).unwrap());
    assert!(reader.recovered("#tea", 50_001, &epoch).unwrap());
    assert_eq!(Survey::of(directory.path()).unwrap().not_kept, 10_000);
    store
        .connect()
        .unwrap()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO epoch(name, first_id, last_id, opened_ms) SELECT 'e' || i, 60001, 60000, 0 FROM n",
        )
        .unwrap();
    drop((reader, writer, store));
    let store = open(&directory);
    assert_eq!(store.next_id(), 60_001);
    assert_eq!(rows(&store, "epoch"), 1_024);
    assert!(!store.reader().unwrap().recovered("#tea", 60_000, &epoch).unwrap());
}

#[test]
fn bans_and_mutes_are_bounded() {
    let directory = TempDir::new();
    let store = open(&directory);
    let moderation = store.moderation().unwrap();
    store
        .connect()
        .unwrap()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16383)
             INSERT INTO ban SELECT 'b' || i, 'b' || i, 'mod', 'moderator', '', 0, NULL FROM n;
             INSERT INTO mute SELECT * FROM ban;",
        )
        .unwrap();
    let long =
        |target: &str| Sanction { reason: "\u{e9}".repeat(40_000), ..sanction(target, None) };
    moderation.set(Ban, &long("last"), 0).unwrap();
    moderation.set(Mute, &long("last"), 0).unwrap();
    let refused = moderation.set(Ban, &long("one more"), 0).unwrap_err();
    assert_eq!(
        refused.sentence,
        "there are 16384 bans already, which is the most: lift some of them"
    );
    assert!(moderation.set(Mute, &long("one more"), 0).is_err());
    moderation.set(Ban, &long("b7"), 0).unwrap();
    moderation.set(Mute, &long("b7"), 0).unwrap();
    let bans = moderation.all(Ban, 0).unwrap();
    assert_eq!(bans.len(), 16_384);
    assert!(bans.iter().all(|ban| ban.reason.len() <= 1_024));
    assert!(moderation.remove(Ban, "b8").unwrap());
    moderation.set(Ban, &long("one more"), 0).unwrap();
}

#[test]
fn a_ban_that_has_run_out_leaves_its_room_to_another() {
    let directory = TempDir::new();
    let store = open(&directory);
    let moderation = store.moderation().unwrap();
    let db = store.connect().unwrap();
    db.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16384)
         INSERT INTO ban
            SELECT 'b' || i, 'b' || i, 'mod', 'moderator', '', 0, 1000 + i % 2 FROM n;
         INSERT INTO mute SELECT * FROM ban;",
    )
    .unwrap();
    let one_more = sanction("one more", None);
    for kind in [Ban, Mute] {
        assert!(moderation.set(kind, &one_more, 999).is_err());
    }
    for kind in [Ban, Mute] {
        moderation.set(kind, &one_more, 1_000).unwrap();
        // half of them have run out
        assert_eq!(moderation.all(kind, 0).unwrap().len(), 8_193);
    }
    assert_eq!(store.usage().sanctions().map(|rows| (rows.bytes, rows.most)), [(8_193, 16_384); 2]);
}

#[test]
fn accounts_bans_and_mutes_stop_when_a_reader_prevents_that_the_log_is_emptied() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    let moderation = store.moderation().unwrap();
    let mut table = accounts::AccountTable::new(store.connect().unwrap());
    fill(&mut writer, 1..=1);
    let [_, log, _] = files::with_companions(store.path());
    let log = std::fs::File::options().write(true).open(log).unwrap();
    let set = |name: &str| moderation.set(Mute, &sanction(name, None), 0);
    let name = |name: &str| chatproto::UserName::new(name).unwrap();
    let other = store.reader().unwrap();
    other
        .with(|act| {
            act.query_row("SELECT count(*) FROM message", [], |_| Ok(()))?;
            // SQLite does not read beyond the last commit
            log.set_len(wal::WAL_MOST + 1).unwrap();
            writer.append(2, "#tea", 0, "{}");
            assert_eq!(writer.commit().unwrap_err().kind, ErrorKind::Busy);
            set("first").unwrap();
            table.add(&name("first"), "hash", chatproto::hub::Role::User, 1).unwrap();

            log.set_len(wal::WAL_MOST + wal::RESERVE + 1).unwrap();
            let refused = set("second").unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Busy);
            assert!(refused.sentence.contains(" has grown to 272 MiB: end that program"));
            assert_eq!(moderation.remove(Mute, "first").unwrap_err().kind, ErrorKind::Busy);
            assert!(table.add(&name("second"), "hash", chatproto::hub::Role::User, 1).is_err());
            assert_eq!(moderation.all(Mute, 0).unwrap().len(), 1, "they can be read");
            Ok(())
        })
        .unwrap();
    // each of them empties the log when nothing prevents it
    set("second").unwrap();
    assert!(wal::length(store.path()) < 1 << 20);
    log.set_len(wal::WAL_MOST + wal::RESERVE + 1).unwrap();
    table.add(&name("second"), "hash", chatproto::hub::Role::User, 1).unwrap();
    assert!(wal::length(store.path()) < 1 << 20);
}

#[test]
fn the_last_commits_are_short_though_the_log_is_long_or_the_file_was_opened_anew() {
    let directory = TempDir::new();
    let options = StoreOptions { wal_most: 0, ..StoreOptions::default() };
    let mut store = Store::open(directory.path(), options).unwrap();
    let mut writer = store.writer().unwrap();
    let patience = |writer: &mut Writer| -> i64 {
        writer.with(|db, _| db.pragma_query_value(None, "busy_timeout", |row| row.get(0))).unwrap()
    };
    fill(&mut writer, 1..=1);
    assert_eq!(patience(&mut writer), 10_000);
    writer.hurry().unwrap();
    // each commit empties the log first
    fill(&mut writer, 2..=2);
    assert_eq!(patience(&mut writer), 2_000);
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    writer.with(|_, _| Err::<(), _>(rusqlite::Error::SqliteFailure(error, None))).unwrap_err();
    assert_eq!(patience(&mut writer), 2_000);
}

#[test]
fn a_checkpoint_that_fails_costs_the_connection_and_not_the_history() {
    let directory = TempDir::new();
    let options = StoreOptions { wal_most: 0, ..StoreOptions::default() };
    let mut store = Store::open(directory.path(), options).unwrap();
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=1);
    // there is no checkpoint inside a transaction
    writer.with(|db, _| db.execute_batch("BEGIN IMMEDIATE")).unwrap();
    writer.append(2, "#tea", 0, &object("alice", "hi"));
    assert_eq!(writer.commit().unwrap_err().kind, ErrorKind::Busy);
    writer.commit().unwrap();
    assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL), [1, 2]);
}

#[test]
fn a_commit_is_judged_by_what_was_written_and_not_by_the_gauges() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    let db = store.connect().unwrap();
    db.execute("DELETE FROM state WHERE key = 'mailbox_bytes'", []).unwrap();
    writer.append(1, "#tea", 0, &object("alice", "hi"));
    writer.commit().unwrap();
    writer.maintain(0).unwrap();
    assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL), [1]);
}

#[test]
fn messages_without_a_place_are_counted_again_after_a_rollback() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    let unplaced = |writer: &mut Writer| writer.with(|_, tables| Ok(tables.unplaced)).unwrap();
    fill(&mut writer, 1..=1_000);
    assert_eq!(unplaced(&mut writer), 1_000);
    // a transaction that gave them places, or added some, and was rolled back
    for gives_places in [true, false] {
        let failed = writer.with(|db, tables| -> rusqlite::Result<()> {
            let act = tables::begin(db, tables)?;
            match gives_places {
                true => tables.place(&act)?,
                false => tables.place_some(&act, 1_000)?,
            }
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            Err(rusqlite::Error::SqliteFailure(full, None))
        });
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Full);
        assert_eq!(unplaced(&mut writer), 1_000);
    }
    writer.maintain(0).unwrap();
    assert_eq!(unplaced(&mut writer), 0);
    share_tests::assert_counted(&store);
    // and by the next run
    fill(&mut writer, 1_001..=2_000);
    drop((writer, store));
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    assert_eq!(unplaced(&mut writer), 0);
}

#[test]
fn a_message_that_its_share_owns_already_is_charged_once() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=1);
    fill(&mut writer, 2..=1_001);
    let db = store.connect().unwrap();
    db.execute_batch("INSERT INTO owned SELECT share, 2 FROM owned WHERE id = 1").unwrap();
    let bytes = shares::cost(object("alice", "message 2").len());
    for table in ["origin", "sender", "share"] {
        db.execute(&format!("UPDATE {table} SET bytes = bytes + ?1"), [bytes]).unwrap();
    }
    writer.maintain(0).unwrap();
    share_tests::assert_counted(&store);
}

#[test]
fn messages_that_wait_for_the_disk_take_the_memory_that_they_account_for() {
    use crate::heap::Heap;
    let directory = TempDir::new();
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    for (length, most) in [(0, 4 << 20), (100, 16 << 20), (3_000, 16 << 20), (300_000, 48 << 20)] {
        let object = object("alice", &"x".repeat(length));
        let (heap, mut id) = (Heap::now(), 0);
        while writer.pending_bytes() < most {
            id += 1;
            let room = format!("#room {id}");
            writer.append(id, &room, 0, &object);
            if id % 1_001 == 0 {
                heap.assert_within(writer.pending_bytes(), "messages");
            }
        }
        heap.assert_within(writer.pending_bytes(), "messages");
        writer.discard();
        (0..50_000).for_each(|number| writer.gap(10 * number, 10 * number + 1));
        writer.discard();
    }
}
