//! Backups: a whole copy of the file while a server writes to it, and putting one back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use shared::staging::{Existing, Staging};
use shared::text::visible;

use super::database::{COPY_STEP, check, fault, read_write};
use super::epoch::begin_incarnation;
use super::error::{ErrorKind, Result, StoreError};
use super::exchange::exchange;
use super::reader::Reader;
use super::schema::{self, Found};
use super::{files, wal};

/// How often a backup is begun at most.
const ATTEMPTS: usize = 3;

/// Told after each step: how much is done, and how much it is in all.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(u64, u64);

/// Copies the file of a data directory as it is at one moment, and checks the copy. A server that runs
/// goes on meanwhile. Its log grows until the copy is whole; if it grows too much, the copy gives up
/// its snapshot, so that the server can empty the log, and begins again. The bytes of the copy.
///
/// # Errors
/// `to` is there already and `existing` forbids to replace it, the server writes faster than this copies, and
/// whatever reading and writing can meet. Then there is no copy, and what was there is as it was.
pub fn backup(directory: &Path, to: &Path, existing: Existing, watch: Watch<'_>) -> Result<u64> {
    backup_within(directory, to, existing, wal::WAL_MOST / 2, watch)
}

/// The same, with a bound of the log's growth.
fn backup_within(
    directory: &Path,
    to: &Path,
    existing: Existing,
    growth: u64,
    watch: Watch<'_>,
) -> Result<u64> {
    let reader = Reader::open(directory)?;
    let failed = |error| StoreError::of_file("write", to, &error);
    if existing == Existing::Refuse && to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let path = files::database(directory);
    let mut attempt = || {
        let staging = Staging::beside(to).map_err(failed)?;
        // a log that is long and does not grow is no reason to give up
        let most = growth.max(wal::length(&path) + growth / 2);
        let go_on = || wal::length(&path) <= most;
        reader
            .with(|act| {
                // the state that is copied is that of the first look, whatever is written meanwhile
                act.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
                Ok(copy(act, staging.path(), &go_on, watch))
            })
            .and_then(|copied| copied)
            .map(|is_whole| is_whole.then_some(staging))
    };
    for _ in 0..ATTEMPTS {
        if let Some(staging) = attempt()? {
            return staging.place(existing).map_err(failed);
        }
    }
    let sentence = "the server writes faster than this can copy: try again when less is written, \
                    or name a FILE on a faster disk";
    Err(StoreError::new(ErrorKind::Busy, sentence))
}

/// Puts a backup in the place of a data directory's database. Returns the new name of the previous
/// database. A crash leaves the previous database or the backup in place (`exchange`).
///
/// # Errors
/// A server or a command uses the directory, or the backup is damaged, of another program's or of a
/// newer version. Then nothing has changed.
pub fn restore(directory: &Path, from: &Path, watch: Watch<'_>) -> Result<Option<PathBuf>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let shown = from.to_string_lossy();
    let shown = visible(&shown);
    let found = fs::metadata(from).map_err(|error| StoreError::of_file("read", from, &error))?;
    if !found.is_file() {
        let sentence = match found.is_dir() {
            true => format!("{shown} is a directory: name the backup itself"),
            false => format!("{shown} is not a regular file: name the file of a backup"),
        };
        return Err(StoreError::new(ErrorKind::Io, sentence));
    }
    fs::File::open(from).map_err(|error| StoreError::of_file("read", from, &error))?;
    let source = Connection::open_with_flags(from, flags)
        .map_err(|error| StoreError::of_sqlite(from, &error))?;
    if let Some(fault) = fault(&source).unwrap_or_else(|error| Some(error.to_string())) {
        return Err(StoreError::new(
            ErrorKind::Corrupt,
            format!("{shown} is damaged ({fault}): restore another backup"),
        ));
    }
    let found = schema::look(&source, from).map_err(|error| match error.kind {
        ErrorKind::Newer => error,
        _ => StoreError::new(error.kind, format!("{shown} is no backup of this program's")),
    })?;
    if found == Found::Empty {
        return Err(StoreError::new(
            ErrorKind::Corrupt,
            format!("{shown} is no backup: it is empty"),
        ));
    }

    files::make_directory(directory)?;
    let _lock = files::Lock::take(directory).map_err(|error| match error.kind {
        ErrorKind::Busy => in_use(directory),
        _ => error,
    })?;
    let path = files::database(directory);
    files::refuse_link(&path)?;
    let failed = |error| StoreError::of_file("write", &path, &error);
    let staging = Staging::beside(&path).map_err(failed)?;
    copy(&source, staging.path(), &|| true, watch)?;
    let put = || staging.place(Existing::Replace).map(|_| ()).map_err(failed);
    exchange(&path, put, &mut |_| {})
}

/// A backup cannot take the place of data that a server uses.
fn in_use(directory: &Path) -> StoreError {
    let directory = directory.to_string_lossy();
    let shown = visible(&directory);
    let sentence =
        format!("a server uses the data directory {shown}: stop the server first, then restore");
    StoreError::new(ErrorKind::Busy, sentence)
}

/// Copies a database to an empty file, which then needs no log, and checks the copy. The copy is a new
/// incarnation. False if it was not to go on.
fn copy(from: &Connection, to: &Path, go_on: &dyn Fn() -> bool, watch: Watch<'_>) -> Result<bool> {
    let mut run = || {
        let mut copy = Connection::open_with_flags(to, read_write())?;
        // it is put on the disk at the end
        copy.pragma_update(None, "synchronous", "off")?;
        let backup = Backup::new(from, &mut copy)?;
        loop {
            let step = backup.step(COPY_STEP)?;
            let progress = backup.progress();
            let all = u64::try_from(progress.pagecount).unwrap_or(0);
            watch(all.saturating_sub(u64::try_from(progress.remaining).unwrap_or(0)), all);
            match step {
                StepResult::Done => break,
                StepResult::More if !go_on() => return Ok(None),
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        drop(backup);
        copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
        Ok(Some(copy))
    };
    // the copy has the damage of its original
    let original = from.path().map_or(to, Path::new);
    let failed = |error: rusqlite::Error| {
        let code = error.sqlite_error_code();
        let is_damage = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        StoreError::of_sqlite(if is_damage { original } else { to }, &error)
    };
    let Some(mut copy) = run().map_err(failed)? else { return Ok(false) };
    begin_incarnation(&mut copy).map_err(failed)?;
    check(&copy, original)?;
    copy.close().map_err(|(_, error)| StoreError::of_sqlite(to, &error))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::Writer;
    use super::super::tests::{ALL, TempDir, fill, ids, object, open};
    use super::*;

    fn quietly(_: u64, _: u64) {}

    #[test]
    fn a_backup_of_a_damaged_file_names_that_file() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill_with_long(&mut writer, 1..=200);
        writer.close(200).unwrap();
        drop(store);
        let path = files::database(directory.path());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 40_000].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let to = directory.path().join("copy.db");
        let error = backup(directory.path(), &to, Existing::Refuse, &mut quietly).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.sentence.contains(&path.display().to_string()), "{}", error.sentence);
        assert!(!to.exists());
    }

    /// Stores messages of 4,000 bytes.
    fn fill_with_long(writer: &mut Writer, ids: std::ops::RangeInclusive<u64>) {
        let object = object("alice", &"x".repeat(4_000));
        for id in ids {
            writer.append(id, "#tea", 0, &object);
        }
        writer.commit().unwrap();
    }

    #[test]
    fn a_backup_is_of_one_moment_though_the_server_goes_on() {
        let directory = TempDir::new();
        let file = directory.path().join("backup.db");
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill_with_long(&mut writer, 1..=5_000);
        // between any two steps of the copy more is written
        let (mut next, mut last) = (5_001, 0);
        let size = backup(directory.path(), &file, Existing::Refuse, &mut |done, all| {
            assert!(done > last && done <= all, "the copy has begun anew: {last}, then {done}");
            last = done;
            fill(&mut writer, next..=next + 9);
            next += 10;
        });
        assert!(next > 5_031, "there was one step");
        assert_eq!(size.unwrap(), fs::metadata(&file).unwrap().len());
        fill(&mut writer, next..=next);
        drop((writer, store));

        let elsewhere = TempDir::new();
        assert_eq!(restore(elsewhere.path(), &file, &mut quietly).unwrap(), None);
        let store = open(&elsewhere);
        assert_eq!(store.next_id(), 5_001);
        assert_eq!(ids(&store.reader().unwrap(), "#tea", &ALL), (1..=5_000).collect::<Vec<_>>());
        assert_eq!(files::with_companions(&file).map(|file| file.exists()), [true, false, false]);
    }

    #[test]
    fn a_backup_that_cannot_keep_up_gives_up_its_snapshot_and_in_the_end_itself() {
        let directory = TempDir::new();
        let file = directory.path().join("backup.db");
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill_with_long(&mut writer, 1..=5_000);
        let (mut next, mut begun, mut last) = (5_001, 0, u64::MAX);
        let growth = wal::length(store.path()) + (1 << 20);
        let refused =
            backup_within(directory.path(), &file, Existing::Refuse, growth, &mut |done, _| {
                if done <= last {
                    // the snapshot of the attempt before is no obstacle
                    begun += 1;
                    store
                        .connect()
                        .unwrap()
                        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(0))
                        .unwrap();
                }
                last = done;
                fill_with_long(&mut writer, next..=next + 1_999);
                next += 2_000;
            });
        let refused = refused.unwrap_err();
        assert!(refused.sentence.starts_with("the server writes faster than"), "{refused}");
        assert_eq!(begun, ATTEMPTS);
        assert!(!file.exists() && !shared::staging::beside_name(&file, ".partial").exists());
        backup(directory.path(), &file, Existing::Refuse, &mut quietly).unwrap();
    }

    #[test]
    fn a_file_that_is_there_is_replaced_on_request_only() {
        let directory = TempDir::new();
        let file = directory.path().join("backup.db");
        drop(open(&directory));
        fs::write(&file, "precious").unwrap();
        let refused = backup(directory.path(), &file, Existing::Refuse, &mut quietly).unwrap_err();
        assert!(
            refused.sentence.ends_with("name another file, or replace it with --force"),
            "{refused}"
        );
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        backup(directory.path(), &file, Existing::Replace, &mut quietly).unwrap();
        assert!(fs::read(&file).unwrap().starts_with(b"SQLite format 3"));
        let nowhere = directory.path().join("no/such/file");
        assert!(backup(directory.path(), &nowhere, Existing::Refuse, &mut quietly).is_err());
    }

    #[test]
    fn a_copy_knows_that_it_lacks_later_messages() {
        let directory = TempDir::new();
        let file = directory.path().join("backup.db");
        let path = files::database(directory.path());
        let run = |ids: std::ops::RangeInclusive<u64>| {
            let mut store = open(&directory);
            assert_eq!(store.next_id(), *ids.start());
            let epoch = store.epoch().to_owned();
            let mut writer = store.writer().unwrap();
            let last = *ids.end();
            fill(&mut writer, ids);
            writer.close(last).unwrap();
            epoch
        };
        let recovered = |since, epoch: &str| {
            Reader::open(directory.path()).unwrap().recovered("#tea", since, epoch).unwrap()
        };
        let first = run(1..=5);
        backup(directory.path(), &file, Existing::Refuse, &mut quietly).unwrap();
        let lost = run(6..=12);
        assert!(recovered(5, &first));

        restore(directory.path(), &file, &mut quietly).unwrap();
        // ids that were given out after the backup are given out again
        let second = run(6..=6);
        assert!(!recovered(5, &first) && !recovered(4, &first) && !recovered(12, &lost));
        assert!(recovered(6, &second));
        run(7..=7);
        assert!(!recovered(5, &first) && recovered(6, &second));
        let survey = super::super::Survey::of(directory.path()).unwrap();
        assert_eq!((survey.runs, survey.cut_short), (3, 0));

        // a backup that is put in place by hand
        for file in files::with_companions(&path) {
            let _ = fs::remove_file(file);
        }
        fs::copy(&file, &path).unwrap();
        run(6..=6);
        assert!(!recovered(5, &first));
    }

    #[test]
    fn a_file_that_appears_during_the_copy_is_not_replaced() {
        let directory = TempDir::new();
        let file = directory.path().join("backup.db");
        drop(open(&directory));
        let refused = backup(directory.path(), &file, Existing::Refuse, &mut |_, _| {
            fs::write(&file, "precious").unwrap();
        });
        let refused = refused.unwrap_err();
        assert!(refused.sentence.contains("is there already"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_others_put_beside_a_backup_is_not_followed() {
        use std::os::unix::fs::symlink;
        use std::sync::atomic::{AtomicBool, Ordering};
        let (directory, public) = (TempDir::new(), TempDir::new());
        drop(open(&directory));
        let (file, victim) = (public.path().join("b.db"), public.path().join("victim"));
        fs::write(&victim, "").unwrap();
        let (has_ended, partial) = (AtomicBool::new(false), public.path().join("b.db.partial"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !has_ended.load(Ordering::Relaxed) {
                    let _ = symlink(&victim, &partial);
                }
            });
            let outcomes: Vec<_> = (0..40)
                .map(|_| {
                    let outcome = backup(directory.path(), &file, Existing::Replace, &mut quietly);
                    let is_file = file.symlink_metadata().is_ok_and(|meta| meta.is_file());
                    (outcome.is_ok(), is_file, fs::read(&victim).unwrap().len())
                })
                .collect();
            has_ended.store(true, Ordering::Relaxed);
            assert!(outcomes.iter().all(|outcome| *outcome == (true, true, 0)), "{outcomes:?}");
        });
    }

    #[test]
    fn a_restored_backup_takes_the_place_of_what_was_there_which_is_kept() {
        let directory = TempDir::new();
        let path = files::database(directory.path());
        let file = directory.path().join("backup.db");
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill(&mut writer, 1..=10);
        backup(directory.path(), &file, Existing::Refuse, &mut quietly).unwrap();
        fill(&mut writer, 11..=20);
        let refused = restore(directory.path(), &file, &mut quietly).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy, "{refused}");
        drop((writer, store));

        for kept in ["chatproto.db.before-restore", "chatproto.db.before-restore-2"] {
            let kept = directory.path().join(kept);
            assert_eq!(restore(directory.path(), &file, &mut quietly).unwrap(), Some(kept));
        }
        assert!(!files::with_companions(&path)[1].exists(), "the log of another file");
        assert_eq!(ids(&open(&directory).reader().unwrap(), "#tea", &ALL).len(), 10);
        // the first one that was kept is whole, with what was in its log
        let kept = directory.path().join("chatproto.db.before-restore");
        let db = Connection::open(kept).unwrap();
        let messages: i64 =
            db.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
        assert_eq!(messages, 20);
    }

    #[test]
    fn what_is_no_sound_backup_changes_nothing() {
        let directory = TempDir::new();
        let file = directory.path().join("backup.db");
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill(&mut writer, 1..=1_000);
        backup(directory.path(), &file, Existing::Refuse, &mut quietly).unwrap();
        drop((writer, store));
        let sound = fs::read(&file).unwrap();
        let mut noise = sound.clone();
        let middle = sound.len() / 8192 * 4096;
        noise[middle..middle + 4096].fill(0x5a);
        let mut newer = sound.clone();
        newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
        let mut foreign = sound.clone();
        foreign[68..72].fill(1);
        let before = fs::read(files::database(directory.path())).unwrap();
        for (bytes, why) in [
            (&b""[..], "backup.db is no backup: it is empty"),
            (
                b"no database",
                "backup.db is damaged (file is not a database): restore another backup",
            ),
            (&foreign, "backup.db is no backup of this program's"),
            (&noise, "): restore another backup"),
            (&sound[..sound.len() / 2], "): restore another backup"),
            (&newer, "restore a backup that is older"),
        ] {
            fs::write(&file, bytes).unwrap();
            let refused = restore(directory.path(), &file, &mut quietly).unwrap_err();
            assert!(refused.sentence.ends_with(why), "{refused}");
        }
        fs::remove_file(&file).unwrap();
        let refused = restore(directory.path(), &file, &mut quietly).unwrap_err();
        assert!(refused.sentence.starts_with("cannot read "), "{refused}");
        assert_eq!(fs::read(files::database(directory.path())).unwrap(), before);
    }
}
