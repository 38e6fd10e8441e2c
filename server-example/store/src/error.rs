//! Why the store could not do what it was asked: what kind of trouble it is, for the program, and a
//! sentence, for the person who has to end it.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use shared::failure::{self, Failure};
use shared::text::visible;

/// What the store could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The kind of trouble.
    pub kind: ErrorKind,
    /// What happened and what to do, without a full stop.
    pub sentence: String,
}

/// Kinds of trouble, by what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no space on the disk: it goes on by itself when there is.
    Full,
    /// Nothing may be written there.
    ReadOnly,
    /// The file is damaged, or is no database of ours.
    Corrupt,
    /// A newer version of the program has written the file.
    Newer,
    /// Another program is using it.
    Busy,
    /// Everything else that reading and writing can meet.
    Io,
}

/// The result of an operation of the store.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// An error with a sentence for the operator.
    pub fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        StoreError { kind, sentence: sentence.into() }
    }

    /// What the operating system refused to do with a file: `act` is such as "make the directory".
    pub fn of_file(act: &str, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::ReadOnly
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self::new(kind, failure::of_file(act, path, error))
    }

    /// What SQLite refused, with the file it was about.
    pub fn of_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let kind = kind_of(error);
        let shown = path.to_string_lossy();
        let shown = visible(&shown);
        let sentence = match kind {
            ErrorKind::Full => format!("there is no space left for {shown}: make room on its disk"),
            ErrorKind::ReadOnly => format!(
                "cannot write {shown}: it is read-only (let the user that runs this write the file and its directory, or name another directory with --data)"
            ),
            ErrorKind::Corrupt => damaged(path, &said(error)),
            ErrorKind::Busy => {
                format!("{shown} is in use by another program: try again when that has ended")
            }
            ErrorKind::Newer | ErrorKind::Io => format!("cannot use {shown}: {}", said(error)),
        };
        Self::new(kind, sentence)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Run(error.sentence)
    }
}

/// What to do about a file that cannot be trusted.
pub(crate) fn damaged(path: &Path, what: &str) -> String {
    let file = path.to_string_lossy();
    let file = visible(&file);
    let directory = path.parent().unwrap_or(Path::new(".")).to_string_lossy();
    let directory = visible(&directory);
    format!(
        "{file} is damaged ({what}): restore a backup with `server-example restore FILE --data \
         {directory}`; without one, save what can be read with `sqlite3 {file} .recover | sqlite3 \
         saved.db` and put saved.db in its place, or move the file away to begin anew"
    )
}

/// SQLite's own words.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(text)) => {
            format!("{} (SQLite error {})", visible(text), code.extended_code)
        }
        other => other.to_string(),
    }
}

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    // the index of the log could not be made larger
    let is_without_room =
        |code: &rusqlite::ffi::Error| code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
    if error.sqlite_error().is_some_and(is_without_room) {
        return ErrorKind::Full;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        Some(ErrorCode::ReadOnly) => ErrorKind::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Busy,
        _ => ErrorKind::Io,
    }
}
