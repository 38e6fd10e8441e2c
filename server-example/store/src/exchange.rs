//! Puts another database in the place of a data directory's. Code that fills the other database is in
//! [`copy`](super::copy).
//!
//! A crash at any point leaves the previous database or the next one. Three rules give that:
//!
//! 1. The previous database becomes a single file first: SQLite moves its log into it. SQLite finds a
//!    log by the name of the database alone. It would apply a log that is left behind to the next
//!    database.
//! 2. The previous database gets a second name, and keeps its first one.
//! 3. One `rename` puts the next database under the first name. The name is never absent.
//!
//! A previous file that SQLite cannot read keeps its log. Both get a second name before the log loses
//! its first one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use shared::staging::beside_name;

use super::database::read_write;
use super::error::{ErrorKind, Result, StoreError};
use super::files;

/// How long a restore waits for a command that uses the previous database.
const PATIENCE: Duration = Duration::from_secs(2);
/// What SQLite puts beside a database.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Replaces the database at `path`. `put` renames the next database, which is on the disk, to `path`.
/// Returns the second name of the previous database, if there was one. `before` is told each step
/// before it begins.
///
/// # Errors
/// Another program uses the previous database, or the file system refuses a step. Then the previous
/// database is in its place.
pub(super) fn exchange(
    path: &Path,
    put: impl FnOnce() -> Result<()>,
    before: &mut dyn FnMut(&'static str),
) -> Result<Option<PathBuf>> {
    before("settle");
    // the lock lasts until the next database is in place
    let settled = if path.exists() { settle(path)? } else { None };
    before("link");
    let second = link_all(path)?;
    files::sync_directory(path)?;
    if settled.is_none() {
        for ending in COMPANIONS {
            before("remove");
            remove(&beside_name(path, ending))?;
        }
        files::sync_directory(path)?;
    }
    before("rename");
    put()?;
    before("sync");
    files::sync_directory(path)?;
    Ok(second)
}

/// Makes the database a single file, and keeps other programs out of it until the connection is
/// dropped. `None` if SQLite cannot read it.
fn settle(path: &Path) -> Result<Option<Connection>> {
    let settle = || {
        let db = Connection::open_with_flags(path, read_write())?;
        db.busy_timeout(PATIENCE)?;
        // this needs to be alone with the database, and removes its log
        db.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
        db.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(db)
    };
    match settle().map_err(|error| StoreError::of_sqlite(path, &error)) {
        Ok(db) => Ok(Some(db)),
        Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Io) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives the database, and each companion that is there, a second name. The new name of the database;
/// `None` if nothing is there.
fn link_all(path: &Path) -> Result<Option<PathBuf>> {
    // the index of the log is of no use without a running program
    let endings = ["", "-journal", "-wal"];
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if !endings.iter().any(|ending| is_there(&beside_name(path, ending))) {
        return Ok(None);
    }
    let first = beside_name(path, ".before-restore");
    let numbered = (2..).map(|n| beside_name(&first, &format!("-{n}")));
    let free = |name: &PathBuf| !endings.iter().any(|ending| is_there(&beside_name(name, ending)));
    let second =
        std::iter::once(first.clone()).chain(numbered).find(free).expect("numbers do not end");
    for ending in endings {
        let (from, to) = (beside_name(path, ending), beside_name(&second, ending));
        if is_there(&from) {
            link(&from, &to).map_err(|error| StoreError::of_file("write", &to, &error))?;
        }
    }
    Ok(Some(second))
}

/// Gives a file a second name; on a file system without such names, copies it.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if is_unsupported(&error) => {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut copy = options.open(to)?;
            io::copy(&mut fs::File::open(from)?, &mut copy)?;
            copy.sync_all()
        }
        outcome => outcome,
    }
}

/// Linux answers `EPERM` for a file system without hard links.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::of_file("remove", path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ALL, TempDir, fill, ids, open};
    use super::super::{Reader, Store, StoreOptions, backup};
    use super::*;

    /// The files of a directory as they are now, as a crash would leave them.
    fn image(directory: &Path) -> TempDir {
        let image = TempDir::new();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
            }
        }
        image
    }

    /// A data directory with 20 messages, some in the log alone, and a backup with the first 10.
    fn stopped() -> (TempDir, PathBuf) {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill(&mut writer, 1..=10);
        let next = directory.path().join("next.db");
        backup(directory.path(), &next, shared::staging::Existing::Refuse, &mut |_, _| {}).unwrap();
        fill(&mut writer, 11..=20);
        // a copy of the files is what `kill -9` leaves: the log was not emptied
        let stopped = image(directory.path());
        assert!(fs::metadata(stopped.path().join("chatproto.db-wal")).unwrap().len() > 0);
        (stopped, next)
    }

    fn rename(from: &Path, to: &Path) -> impl FnOnce() -> Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        move || {
            fs::rename(from, to).unwrap();
            Ok(())
        }
    }

    fn messages(directory: &TempDir) -> usize {
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        ids(&store.reader().unwrap(), "#tea", &ALL).len()
    }

    #[test]
    fn a_crash_at_each_step_leaves_the_previous_or_the_next_database() {
        let (directory, _) = stopped();
        let path = files::database(directory.path());
        let next = directory.path().join("next.db");
        let mut found = Vec::new();
        let second = exchange(&path, rename(&next, &path), &mut |step| {
            found.push((step, messages(&image(directory.path()))));
        });
        assert_eq!(found, [("settle", 20), ("link", 20), ("rename", 20), ("sync", 10)]);
        assert_eq!(second.unwrap(), Some(beside_name(&path, ".before-restore")));
        assert_eq!(messages(&directory), 10);
    }

    #[test]
    fn the_log_of_a_previous_file_is_not_applied_to_the_next_database() {
        for damage in [true, false] {
            let (directory, _) = stopped();
            let path = files::database(directory.path());
            let log = fs::read(beside_name(&path, "-wal")).unwrap();
            let next = directory.path().join("next.db");
            if damage {
                // neither the file nor its log is a database's
                fs::write(&path, [0x5a; 8_192]).unwrap();
                fs::write(beside_name(&path, "-wal"), b"").unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            let mut found = Vec::new();
            let second = exchange(&path, rename(&next, &path), &mut |step| {
                let image = image(directory.path());
                let there = files::database(image.path());
                if step == "sync" {
                    assert_eq!(messages(&image), 10);
                } else if damage {
                    assert_eq!(fs::read(there).unwrap(), [0x5a; 8_192], "before {step}");
                }
                found.push(step);
            });
            assert_eq!(found, ["settle", "link", "remove", "remove", "remove", "rename", "sync"]);
            let second = second.unwrap().unwrap();
            if damage {
                assert_eq!(fs::read(&second).unwrap(), [0x5a; 8_192]);
            } else {
                assert_eq!(fs::read(beside_name(&second, "-wal")).unwrap(), log);
            }
            assert_eq!(messages(&directory), 10);
        }
    }

    #[test]
    fn a_command_that_begins_during_the_exchange_uses_the_next_database() {
        let (directory, _) = stopped();
        let path = files::database(directory.path());
        let next = directory.path().join("next.db");
        let (told, begun) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let mut command = None;
            exchange(&path, rename(&next, &path), &mut |step| {
                if step == "rename" {
                    let told = told.clone();
                    let directory = &directory;
                    command = Some(scope.spawn(move || {
                        let before = files::identity(&files::database(directory.path()));
                        told.send(()).unwrap();
                        let reader = Reader::open(directory.path()).unwrap();
                        (before, ids(&reader, "#tea", &ALL).len())
                    }));
                    begun.recv().unwrap();
                }
            })
            .unwrap();
            let (before, messages) = command.unwrap().join().unwrap();
            assert_ne!(before, files::identity(&path), "it has begun with the previous database");
            assert_eq!(messages, 10);
        });
    }

    #[test]
    fn a_database_that_a_command_uses_is_not_replaced() {
        let (directory, _) = stopped();
        let path = files::database(directory.path());
        let next = directory.path().join("next.db");
        let reader = Reader::open(directory.path()).unwrap();
        let _ = reader.newest_of_all().unwrap();
        let refused = exchange(&path, rename(&next, &path), &mut |_| {}).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy, "{refused}");
        drop(reader);
        assert_eq!(messages(&directory), 20);
    }
}
