//! The bound of the write-ahead log. SQLite appends each commit to the log and copies it to the file
//! from time to time. It can reuse the log from its beginning only if no reader still needs it: a
//! reader with an open snapshot makes the log grow with each commit.
//!
//! The server's own readers and the commands open a snapshot for one short read. A backup needs one
//! snapshot for the whole copy; it gives the snapshot up when the log exceeds half of the bound, and
//! begins again ([`copy`](super::copy)). `history check` reads the whole file in one snapshot.
//!
//! A check, a stopped backup and programs that are not ours cannot be made to end. So the writer looks
//! at the length of the log before each transaction. Beyond [`WAL_MOST`] it tries to empty the log. If
//! a reader prevents that, the commit fails as it does on a full disk: messages wait in memory, within
//! their bound, and the server logs an alarm. Each later attempt tries to empty the log first.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::error::{ErrorKind, Result, StoreError};
use super::{PATIENCE, files};
use crate::text::visible;

/// Bytes that the log may have.
pub(crate) const WAL_MOST: u64 = 256 << 20;
/// How long the writer waits for readers before the commit fails.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);

/// The length of the log of a file; 0 if there is none.
pub(super) fn length(path: &Path) -> u64 {
    let [_, log, _] = files::with_companions(path);
    std::fs::metadata(log).map_or(0, |file| file.len())
}

/// Empties the log if it is longer than `most`.
///
/// # Errors
/// [`ErrorKind::Busy`] if a reader prevents that.
pub(super) fn keep_short(db: &Connection, path: &Path, most: u64) -> Result<()> {
    if length(path) <= most {
        return Ok(());
    }
    let empty = || {
        db.busy_timeout(SHORT_PATIENCE)?;
        let is_busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        db.busy_timeout(PATIENCE)?;
        is_busy
    };
    match empty() {
        Ok(false) => Ok(()),
        Ok(true) => Err(too_long(path, most)),
        Err(error) => Err(StoreError::of_sqlite(path, &error)),
    }
}

fn too_long(path: &Path, most: u64) -> StoreError {
    let shown = path.to_string_lossy();
    let most = most >> 20;
    StoreError::new(
        ErrorKind::Busy,
        format!(
            "another program has been reading {} for so long that its log has grown to {most} MiB: \
             end that program (a backup, or sqlite3)",
            visible(&shown)
        ),
    )
}

/// A refusal of SQLite's kind for a small change while the log is longer than twice the bound.
pub(super) fn refuse_if_long(db: &Connection) -> rusqlite::Result<()> {
    let is_long = db.path().is_some_and(|path| length(Path::new(path)) > 2 * WAL_MOST);
    match is_long {
        false => Ok(()),
        true => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("another program has been reading the data for too long".to_owned()),
        )),
    }
}
