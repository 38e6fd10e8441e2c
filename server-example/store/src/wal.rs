//! The bound of the write-ahead log. SQLite appends each commit to the log and copies it to the file
//! from time to time. It can reuse the log from its beginning only if no reader still needs it: a
//! reader with an open snapshot makes the log grow with each commit.
//!
//! The server's own readers and the commands open a snapshot for one short read. A backup needs one
//! snapshot for the whole copy; it closes the snapshot when the log exceeds half of the bound, and
//! begins again ([`copy`](super::copy)). `history check` reads the whole file in one snapshot.
//!
//! The server cannot end a check, a stopped backup or a foreign program. So each connection
//! that writes looks at the length of the log before each transaction. Beyond the bound it tries to
//! empty the log. If a reader prevents that, the transaction is refused.
//!
//! The history stops at [`WAL_MOST`]: the commit fails as it does on a full disk, messages wait in
//! memory, within their bound, and the server logs an alarm. Accounts, bans and mutes stop [`RESERVE`]
//! later, so that a flood of messages cannot prevent a ban.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use shared::text::visible;

use super::error::{ErrorKind, Result, StoreError};
use super::files;

/// Bytes of the log beyond which no history is stored.
pub(crate) const WAL_MOST: u64 = 256 << 20;
/// Bytes that small changes may add to a log that has reached the bound of the history.
pub(super) const RESERVE: u64 = 16 << 20;
/// How long a connection waits for readers before its transaction is refused.
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
    match empty_if_long(db, path, most) {
        Ok(true) => Ok(()),
        Ok(false) => Err(too_long(path, most)),
        Err(error) => Err(StoreError::of_sqlite(path, &error)),
    }
}

/// Empties the log if it is longer than `most`. Whether it is within the bound now. The connection's
/// busy timeout stays as it was.
fn empty_if_long(db: &Connection, path: &Path, most: u64) -> rusqlite::Result<bool> {
    if length(path) <= most {
        return Ok(true);
    }
    let patience = db.pragma_query_value(None, "busy_timeout", |row| row.get::<_, u32>(0))?;
    let patience = Duration::from_millis(patience.into());
    db.busy_timeout(SHORT_PATIENCE.min(patience))?;
    let is_busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    db.busy_timeout(patience)?;
    is_busy.map(|is_busy| !is_busy)
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

/// As [`keep_short`], for a small change, with an error of SQLite's kind.
pub(super) fn keep_short_for_small(db: &Connection) -> rusqlite::Result<()> {
    let path = db.path().unwrap_or_default();
    match empty_if_long(db, Path::new(path), WAL_MOST + RESERVE)? {
        true => Ok(()),
        false => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("another program has been reading the data for too long".to_owned()),
        )),
    }
}
