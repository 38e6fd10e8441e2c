//! Connections to the database: opening the file, its settings, checks and size. Ids of messages are
//! converted for SQLite here. Code that reads and writes tables is in the other files.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use shared::text::visible;
use tracing::warn;

use super::error::{self, ErrorKind, Result, StoreError};
use super::options::Sync;
use super::{files, reserve};

/// How long a connection waits for another one that is writing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Pages that are copied in one step. Other connections can write between two steps.
pub(super) const COPY_STEP: i32 = 1_024;

pub(super) fn read_write() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Opens the file that has this name. A restore may give the name to another file meanwhile; then that
/// one is opened. SQLite finds a log by its name, so an old file must not be used under a new one's.
pub(super) fn open_current(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    loop {
        let before = files::identity(path);
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(PATIENCE)?;
        // the first read waits for the end of a restore
        db.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        if files::identity(path) == before {
            return Ok(db);
        }
    }
}

/// Opens a file that is there, to write to it.
pub(super) fn open_to_write(path: &Path, sync: Sync) -> Result<Connection> {
    files::refuse_link(path)?;
    let open = || {
        let db = open_current(path, read_write())?;
        configure(&db, sync)?;
        reserve::bound_log(&db, path)?;
        Ok(db)
    };
    open().map_err(|error| StoreError::of_sqlite(path, &error))
}

pub(super) fn configure(db: &Connection, sync: Sync) -> rusqlite::Result<()> {
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        warn!(
            "history: this file system has no shared memory for a write-ahead log; writing is slow"
        );
    }
    let sync = match sync {
        Sync::Full => "full",
        Sync::Normal => "normal",
    };
    db.pragma_update(None, "synchronous", sync)?;
    db.pragma_update(None, "cache_size", -16_384)?; // KiB
    // after a long read, such as a backup, the log gives back what it grew to
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    db.pragma_update(None, "secure_delete", "fast")?;
    db.pragma_update(None, "trusted_schema", false)
}

/// Reads the whole file, and compares its tables with their indexes.
///
/// # Errors
/// What is wrong with it, and how to go on.
pub(super) fn check(db: &Connection, path: &Path) -> Result<()> {
    match fault(db) {
        Ok(None) => Ok(()),
        Ok(Some(fault)) => Err(StoreError::new(ErrorKind::Corrupt, error::damaged(path, &fault))),
        Err(error) => Err(StoreError::of_sqlite(path, &error)),
    }
}

/// The first fault of a file, if it has one.
pub(super) fn fault(db: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(None);
    }
    let fault = found.lines().next_back().unwrap_or_default();
    Ok(Some(visible(fault).into_owned()))
}

/// Bytes of pages that hold something.
pub(super) fn used_bytes(db: &Connection) -> rusqlite::Result<u64> {
    let (all, free) = (pragma(db, "page_count")?, pragma(db, "freelist_count")?);
    Ok(unsigned((all - free) * pragma(db, "page_size")?))
}

pub(super) fn pragma(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, name, |row| row.get(0))
}

/// An id as SQLite has it. Ids are counted from 1 and never come near 2⁶³.
pub(super) fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}
