//! Files and disks that are not as they should be: old, new, damaged, full, read-only, and a server
//! that was killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use chatproto::hub::Left;
use rusqlite::Connection;

use super::SanctionKind::{Ban, Mute};
use super::accounts::AccountTable;
use super::directory::check_version;
use super::small_disk::SmallDisk;
use super::tests::{
    ALL, PAGE, TempDir, fill, ids, leave, limit_pages, mail, object, open, refusal,
};
use super::*;

/// Everything that the file's structure is made of.
fn structure(path: &Path) -> BTreeSet<(String, Option<String>)> {
    let db = Connection::open(path).unwrap();
    let mut parts = db.prepare("SELECT name, sql FROM sqlite_schema").unwrap();
    let parts = parts.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    // how it is laid out in lines is no part of it
    let in_a_line = |sql: String| {
        let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    };
    parts
        .map(|part| part.unwrap())
        .map(|(name, sql): (String, Option<String>)| (name, sql.map(in_a_line)))
        .collect()
}

#[test]
fn a_file_of_version_1_is_brought_up_to_date() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/v1.sql")).unwrap();

    let mut store = open(&directory);
    assert_eq!(store.next_id(), 8);
    let mut writer = store.writer().unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(ids(&reader, "#tea", &ALL), [1, 3, 4]);
    assert_eq!(ids(&reader, "alice\tbob", &ALL), [2, 5]);
    assert_eq!(
        reader.sender_of("alice\tbob", 5).unwrap().map(|sender| sender.name).as_deref(),
        Some("bob")
    );
    assert!(!reader.recovered("#tea", 3, "0123456789abcdef").unwrap());
    assert_eq!(leave(&mut writer, "alice", "bob", 8, "later"), Left::Waiting);
    assert_eq!(reader.waiting("bob").unwrap(), 1);
    share_tests::assert_counted(&store);
    assert_eq!(store.moderation().unwrap().all(Ban, 0).unwrap(), []);
    writer.close(8).unwrap();
    drop((reader, store));

    let fresh = TempDir::new();
    drop(open(&fresh));
    assert_eq!(structure(&path), structure(&files::database(fresh.path())));

    // the file as it was is beside it
    let copy = Connection::open(directory.path().join("chatproto.db.v1.bak")).unwrap();
    let version: i32 = copy.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let messages: i64 =
        copy.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
    assert_eq!((version, messages), (1, 5));
}

#[test]
fn the_mailboxes_of_version_2_and_empty_conversations_are_counted() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    let db = Connection::open(&path).unwrap();
    db.execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    db.execute_batch(schema::VERSIONS[1]).unwrap();
    db.execute_batch(
        "PRAGMA user_version = 2;
         INSERT INTO mailbox VALUES ('alice', 5), ('bob', 2), ('bob', 6);
         INSERT INTO conversation VALUES (3, '#empty', 3), (4, '#never', 0);",
    )
    .unwrap();
    drop(db);

    let mut store = open(&directory);
    let reader = store.reader().unwrap();
    share_tests::assert_counted(&store);
    assert_eq!((mail(&reader, "alice"), mail(&reader, "bob")), (vec![5], vec![2]));
    assert_eq!(reader.page("#empty", &ALL).unwrap().purged_to, 3);
    let writer = store.writer().unwrap();
    share_tests::assert_counted(&store);
    writer.close(7).unwrap();
    let copy = directory.path().join("chatproto.db.v2.bak");
    assert!(copy.exists());
}

#[test]
fn a_target_that_was_banned_in_several_spellings_has_one_ban_after_the_migration() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    let db = Connection::open(&path).unwrap();
    db.execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    for version in &schema::VERSIONS[1..3] {
        db.execute_batch(version).unwrap();
    }
    db.execute_batch(
        "PRAGMA user_version = 3;
         INSERT INTO ban VALUES
            ('zed', 'ann', 'first', NULL), ('ZED', 'ben', 'second', 5000),
            ('192.0.2.7', 'ann', '', 4000), ('192.0.2.7/32', 'ben', '', 5000), ('/bad', 'x', '', 9);
         INSERT INTO mute VALUES ('bob', NULL);",
    )
    .unwrap();
    drop(db);
    let moderation = open(&directory).moderation().unwrap();
    let bans = moderation.all(Ban, 0).unwrap();
    let shown: Vec<_> =
        bans.iter().map(|ban| (&*ban.key, &*ban.target, &*ban.by, ban.until_ms)).collect();
    assert_eq!(
        shown,
        [
            ("name zed", "zed", "ann", None),
            ("net 192.0.2.7/32", "192.0.2.7/32", "ben", Some(5_000)),
        ]
    );
    assert!(bans.iter().all(|ban| ban.rank == "moderator" && ban.since_ms > 0));
    assert_eq!(moderation.all(Mute, 0).unwrap()[0].target, "bob");
    assert!(moderation.remove(Ban, "name zed").unwrap());
}

#[test]
fn accounts_of_version_4_have_revisions_after_the_migration() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    let db = Connection::open(&path).unwrap();
    db.execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    for version in &schema::VERSIONS[1..4] {
        db.execute_batch(version).unwrap();
    }
    db.execute_batch(
        "PRAGMA user_version = 4;
         DELETE FROM account;
         INSERT INTO account VALUES
            ('ann', 'ann', 'x', 'admin', 7, 7, NULL), ('ben', 'ben', 'x', 'user', 8, 9, NULL);",
    )
    .unwrap();
    drop(db);
    let mut table = AccountTable::new(open(&directory).connect().unwrap());
    let (_, accounts) = table.all().unwrap();
    assert_eq!(accounts.len(), 2);
    assert_eq!((accounts[0].role, accounts[0].created_ms), (chatproto::hub::Role::Admin, 7));
    let old = accounts.iter().map(|account| account.revision).max().unwrap();
    assert!(old <= table.newest_of_account().unwrap());
    // whatever the clock says
    let removed = table.remove("ann", 0).unwrap().of_account;
    let name = chatproto::UserName::new("ann").unwrap();
    let again = table.add(&name, "x", chatproto::hub::Role::User, 0).unwrap().of_account;
    assert!(old < removed && removed < again);
    assert!(directory.path().join("chatproto.db.v4.bak").exists());
}

#[test]
fn accounts_of_version_6_stay_though_they_look_alike_now() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    let db = Connection::open(&path).unwrap();
    db.execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    for version in &schema::VERSIONS[1..6] {
        db.execute_batch(version).unwrap();
    }
    db.execute_batch(
        "PRAGMA user_version = 6;
         DELETE FROM account;
         INSERT INTO account (name, key, hash, role, created_ms, changed_ms, revision) VALUES
            ('Hans', 'hans', 'x', 'admin', 7, 7, 5), ('Нans', 'ʜans', 'y', 'user', 8, 9, 6);",
    )
    .unwrap();
    drop(db);
    let mut table = AccountTable::new(open(&directory).connect().unwrap());
    let (_, accounts) = table.all().unwrap();
    let accounts: Vec<_> =
        accounts.iter().map(|a| (&*a.name, &*a.hash, a.role, a.revision)).collect();
    let roles = (chatproto::hub::Role::Admin, chatproto::hub::Role::User);
    assert_eq!(accounts, [("Hans", "x", roles.0, 5), ("Нans", "y", roles.1, 6)]);
    let name = chatproto::UserName::new("HANS").unwrap();
    assert!(table.add(&name, "z", chatproto::hub::Role::User, 9).is_err());
    assert!(directory.path().join("chatproto.db.v6.bak").exists());
}

#[test]
#[cfg(unix)]
fn no_program_follows_a_link_in_the_place_of_the_database() {
    use super::{Absent, connect_beside, connect_to_read};

    let directory = TempDir::new();
    drop(open(&directory));
    let path = files::database(directory.path());
    let elsewhere = directory.path().join("elsewhere.db");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let refusals = [
        connect_to_read(directory.path()).unwrap_err(),
        connect_beside(directory.path(), Absent::Refuse).unwrap_err(),
        connect_beside(directory.path(), Absent::Make).unwrap_err(),
        check_version(directory.path()).unwrap_err(),
        Store::open(directory.path(), StoreOptions::default()).unwrap_err(),
    ];
    for refusal in refusals {
        assert!(refusal.to_string().contains("is a symbolic link"), "{refusal}");
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let directory = TempDir::new();
    drop(open(&directory));
    let path = files::database(directory.path());
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", schema::VERSION + 1)
        .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = refusal(&directory);
    assert_eq!(refused.kind, ErrorKind::Newer);
    assert_eq!(
        refused.sentence,
        format!(
            "{} has been written by a newer version of this program (its format is {}, and this program \
             knows formats up to {}): run the newer version, or restore a backup that is older",
            path.display(),
            schema::VERSION + 1,
            schema::VERSION
        )
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_file_of_ours_is_refused_and_left_alone() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    fs::write(&path, "Dear diary, this is no database at all, as anybody can see. ".repeat(100))
        .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = refusal(&directory);
    assert_eq!(refused.kind, ErrorKind::Corrupt);
    assert!(refused.sentence.contains("file is not a database"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE recipe(text)").unwrap();
    let refused = refusal(&directory);
    assert!(
        refused.sentence.contains("is a database of another program's: move it away"),
        "{refused}"
    );
}

#[test]
fn a_damaged_file_is_refused_with_a_way_out() {
    let directory = TempDir::new();
    let path = files::database(directory.path());
    let mut store = open(&directory);
    let mut writer = store.writer().unwrap();
    fill(&mut writer, 1..=3_000);
    writer.close(3_000).unwrap();
    drop(store);
    let sound = fs::read(&path).unwrap();
    let pages = sound.len() / PAGE;
    assert!(pages > 60);

    let mut noise = sound.clone();
    noise[PAGE * (pages / 2)..][..PAGE].fill(0x5a);
    let cut_off = sound[..PAGE * (pages - 20)].to_vec();
    let mut headless = sound.clone();
    headless[..100].fill(0);
    for (damage, bytes) in
        [("a page of noise", noise), ("cut off", cut_off), ("no header", headless)]
    {
        fs::write(&path, bytes).unwrap();
        let refused = refusal(&directory);
        assert_eq!(refused.kind, ErrorKind::Corrupt, "{damage}: {refused}");
        for way_out in ["is damaged (", "server-example restore FILE --data ", ".recover | sqlite3"]
        {
            assert!(refused.sentence.contains(way_out), "{damage}: {refused}");
        }
    }
    fs::write(&path, sound).unwrap();
    assert_eq!(open(&directory).next_id(), 3_001);
}

#[test]
#[cfg(unix)]
fn a_directory_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new();
    let inner = directory.path().join("data");
    fs::create_dir(&inner).unwrap();
    // what an administrator may write whatever its mode is has to be a file system of its own
    let disk = SmallDisk::mount(&inner, "size=1m,ro");
    if disk.is_none() {
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let refused = Store::open(&inner, StoreOptions::default()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::ReadOnly, "{refused}");
    assert!(
        refused.sentence.starts_with(&format!("cannot write {}/", inner.display())),
        "{refused}"
    );
    assert!(refused.sentence.ends_with("or name another directory with --data)"), "{refused}");
    drop(disk);
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Fills what there is room for, and makes room; all that was committed is there.
fn meets_a_full_disk(
    directory: &Path,
    bound: impl Fn(&mut Writer),
    make_room: impl Fn(&mut Writer),
) {
    let mut store = Store::open(directory, StoreOptions::default()).unwrap();
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    bound(&mut writer);
    let text = "x".repeat(1_000);
    let mut committed = 0;
    let refused = loop {
        for id in committed + 1..=committed + 50 {
            writer.append(id, "#tea", 0, &object("alice", &text));
        }
        match writer.commit() {
            Ok(()) => committed += 50,
            Err(refused) => break refused,
        }
        assert!(committed < 100_000, "the disk is not full");
    };
    assert_eq!(refused.kind, ErrorKind::Full, "{refused}");
    assert!(committed > 100);
    let there = || ids(&reader, "#tea", &ALL);
    assert_eq!(there(), (1..=committed).collect::<Vec<_>>());
    for _ in 0..3 {
        assert_eq!(writer.commit().unwrap_err().kind, ErrorKind::Full);
        assert_eq!(writer.pending(), 50);
    }
    assert_eq!(there().len() as u64, committed);

    make_room(&mut writer);
    writer.commit().unwrap();
    assert_eq!(there(), (1..=committed + 50).collect::<Vec<_>>());
    writer.close(committed + 50).unwrap();
    drop((reader, store));
    let store = Store::open(directory, StoreOptions::default()).unwrap();
    assert_eq!(store.next_id(), committed + 51);
    assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL).len() as u64, committed + 50);
}

#[test]
fn a_full_file_keeps_what_was_committed_and_goes_on_when_there_is_room() {
    let directory = TempDir::new();
    meets_a_full_disk(
        directory.path(),
        |writer| limit_pages(writer, 200),
        |writer| limit_pages(writer, 10_000),
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_keeps_what_was_committed_and_goes_on_when_there_is_room() {
    let directory = TempDir::new();
    let inner = directory.path().join("data");
    fs::create_dir(&inner).unwrap();
    // only administrators can have a small disk of their own; for others the test above has to do
    let Some(disk) = SmallDisk::mount(&inner, "size=6m") else { return };
    disk.fill(Some(3 << 20));
    meets_a_full_disk(&inner, |_| (), |_| disk.make_room());
}

#[test]
fn after_an_error_of_the_disk_the_file_is_opened_anew_and_all_that_waits_is_written() {
    use rusqlite::ffi;
    let directory = TempDir::new();
    let mut store = open(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    fill(&mut writer, 1..=10);
    for (code, kind) in [
        (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Io),
        (ffi::SQLITE_IOERR_WRITE, ErrorKind::Io),
        (ffi::SQLITE_CANTOPEN, ErrorKind::Io),
        (ffi::SQLITE_READONLY_DBMOVED, ErrorKind::ReadOnly),
        (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt),
        (ffi::SQLITE_FULL, ErrorKind::Full),
        (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Busy),
    ] {
        let first = store_next(&reader);
        writer.append(first, "#tea", 0, &object("alice", "one"));
        // as if it had come in the middle of the transaction
        let failed = writer.with(|db, _| -> rusqlite::Result<()> {
            db.execute_batch("BEGIN IMMEDIATE; INSERT INTO gap VALUES (1, 1)")?;
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
        });
        assert_eq!(failed.unwrap_err().kind, kind, "{code}");
        writer
            .with(|db, _| if db.is_autocommit() { Ok(()) } else { db.execute_batch("ROLLBACK") })
            .unwrap();
        writer.append(first + 1, "#new", 0, &object("alice", "two"));
        writer.commit().unwrap();
        assert_eq!(store_next(&reader), first + 2);
    }
    let gaps: i64 = store
        .connect()
        .unwrap()
        .query_row("SELECT count(*) FROM gap", [], |row| row.get(0))
        .unwrap();
    assert_eq!(gaps, 0);
}

fn store_next(reader: &Reader) -> u64 {
    reader.newest_of_all().unwrap() + 1
}

/// Where the child of [`what_was_committed_survives_kill_9`] finds the data directory.
const CHILD: &str = "CHATPROTO_TEST_STORE";

#[test]
fn what_was_committed_survives_kill_9() {
    let directory = TempDir::new();
    let mut random = fastrand::Rng::with_seed(9);
    let mut last = 0;
    for round in 0..100 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "trouble_tests::appends_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut commits = random.u32(1..10);
        let mut acknowledged = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            // the test harness says things too
            let line = line.unwrap();
            let Some(id) = line.rsplit("committed ").next().and_then(|id| id.parse().ok()) else {
                continue;
            };
            acknowledged = id;
            commits -= 1;
            if commits == 0 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(acknowledged > last, "round {round}: the child has committed nothing");

        let store = open(&directory);
        let page = store.reader().unwrap().page("#tea", &ALL).unwrap();
        let there: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
        let end = there.len() as u64;
        assert!(end >= acknowledged, "round {round}: {end} of {acknowledged}");
        assert_eq!(there, (1..=end).collect::<Vec<_>>(), "round {round}");
        for entry in &page.entries {
            assert_eq!(entry.object, object("alice", &format!("message {}", entry.id)));
        }
        assert_eq!(store.next_id(), end + 1);
        last = end;
    }
}

#[test]
#[ignore = "a part of what_was_committed_survives_kill_9"]
fn appends_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { panic!("{CHILD} is not set") };
    let mut store = Store::open(Path::new(&directory), StoreOptions::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut next = store.next_id();
    loop {
        let last = next + fastrand::u64(0..40);
        fill(&mut writer, next..=last);
        println!("committed {last}");
        std::io::stdout().flush().unwrap();
        next = last + 1;
        if fastrand::u8(..8) == 0 {
            writer.maintain(0).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for name in ["chatproto.db", "chatproto.lock"] {
        let directory = TempDir::new();
        let victim = directory.path().join("victim");
        fs::write(&victim, "").unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&victim, directory.path().join(name)).unwrap();
        let refused = refusal(&directory);
        assert!(refused.sentence.contains(&format!("{name} is a symbolic link")), "{refused}");
        let found = fs::metadata(&victim).unwrap();
        assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o644, 0));
    }
}
