//! How a command gets at the data file that a server may be using.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use shared::text::visible;

use super::database::{configure, open_to_write, read_write};
use super::error::{ErrorKind, Result, StoreError};
use super::files::{self, Lock};
use super::options::Sync;
use super::reader::Reader;
use super::schema;

/// What a command does if there is no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is made.
    Make,
    /// That is an error.
    Refuse,
}

/// A connection that reads, whether a server runs on the directory or not. Nothing is made or changed.
///
/// # Errors
/// There is no database, or one of another version.
pub fn connect_to_read(directory: &Path) -> Result<Connection> {
    Reader::open(directory).map(Reader::into_connection)
}

/// A connection that may write, whether a server runs on the directory or not. If none does, the file
/// is brought up to date first.
///
/// # Errors
/// As of [`Store::open`](super::Store::open), but for a directory that is in use; and a server that is
/// running and has a file of another version.
pub fn connect_beside(directory: &Path, absent: Absent) -> Result<Connection> {
    let path = files::database(directory);
    files::refuse_link(&path)?;
    if absent == Absent::Refuse && !path.exists() {
        return Err(super::reader::no_data(directory));
    }
    if !is_present(&path) {
        files::make_directory(directory)?;
        match Lock::take(directory) {
            // the lock is held until the file is there
            Ok(_lock) => prepare(&path)?,
            Err(error) if error.kind == ErrorKind::Busy => {}
            Err(error) => return Err(error),
        }
    }
    let connection = open_to_write(&path, Sync::Full)?;
    if schema::look(&connection, &path)? == schema::Found::Version(schema::VERSION) {
        return Ok(connection);
    }
    let shown = path.to_string_lossy();
    Err(StoreError::new(
        ErrorKind::Busy,
        format!(
            "{} is in use by a server of an older version: use that version's program, or stop the \
             server first",
            visible(&shown)
        ),
    ))
}

/// Whether the file is there and up to date, so that nobody needs to be alone with it.
fn is_present(path: &Path) -> bool {
    let found = path.exists().then(|| Connection::open_with_flags(path, read_write()).ok());
    let version = found.flatten().and_then(|connection| schema::look(&connection, path).ok());
    version == Some(schema::Found::Version(schema::VERSION))
}

fn prepare(path: &Path) -> Result<()> {
    files::make_private(path)?;
    let of = |error| StoreError::of_sqlite(path, &error);
    let mut connection = Connection::open_with_flags(path, read_write()).map_err(of)?;
    let found = schema::look(&connection, path)?;
    if found == schema::Found::Empty {
        connection.pragma_update(None, "auto_vacuum", "incremental").map_err(of)?;
    }
    configure(&connection, Sync::Full).map_err(of)?;
    schema::migrate(&mut connection, path, found)?;
    files::sync_directory(path)
}

/// Opens the file of a data directory to change it by hand, beside a server or without.
pub(super) fn open_by_hand(directory: &Path) -> Result<(Connection, PathBuf)> {
    // tells whether there is one and whether it is of this version
    drop(Reader::open(directory)?);
    let path = files::database(directory);
    Ok((open_to_write(&path, Sync::Full)?, path))
}

/// A database in memory alone, for tests of other crates.
///
/// # Panics
/// SQLite has no memory.
pub fn connect_in_memory() -> Connection {
    let mut connection = Connection::open_in_memory().expect("memory");
    let migrated = schema::migrate(&mut connection, Path::new(":memory:"), schema::Found::Empty);
    migrated.expect("an empty file");
    connection
}
