//! What is kept on the disk: one SQLite file, `chatproto.db`, in the data directory. This file opens
//! it; [`writer`] adds to it, [`shares`] and [`retention`] keep it within its bound, [`mailbox`] keeps
//! messages for users who are not connected, [`reader`] reads messages, [`moderation`] keeps bans and
//! mutes, and [`accounts`] accounts. [`wal`] bounds the log, and [`usage`] tells how much of each bound
//! is used.
//!
//! ```text
//! Store::open(directory, options)   alone with the file: makes, locks, checks and migrates it, begins an epoch
//!   .epoch() .next_id() .path()
//!   .writer()                       once; for one thread, which may wait for the disk
//!   .reader()                       one for each thread that reads
//!   .moderation()                   bans and mutes
//!   .connect()                      for other tables: a connection that may write, and waits for its turn
//!
//! connect_beside(directory, absent) the same for a command, whether a server runs or not
//! connect_to_read(directory)        … which only reads, and makes nothing
//!
//! Writer                            what is added waits in memory; commit() writes it, in steps
//!   .append(id, conversation, at_ms, object)   .gap(first, last)
//!   .pending() .pending_bytes() .commit()
//!   .leave(letters)   .collected(account, up_to)   .forget(conversation, id)     at once
//!   .maintain(now_ms) -> more       about once a second: places, retention, space given back
//!   .close(last_id)                 the last id that was given out, kept or not; else the epoch was cut short
//!
//! Reader::open(directory)           also beside a server, in another process
//!   .page(conversation, &Query) -> Page    .sender_of(conversation, id)
//!   .recovered(conversation, since, epoch) .waiting(account)        .collect(account, bounds)
//!
//! For commands, also beside a server:
//!   Search, Purge, Survey, backup()   restore() needs the directory for itself
//! ```
//!
//! A **conversation** is a room (`#tea`) or two account names, sorted, with a tab between
//! ([`between`]). An **id** is given to each message by the server, counting over all conversations,
//! and never again. An **epoch** is one run of the server on the file: what an epoch told its clients
//! and did not write, because it was killed, is told apart by the epoch's name. A copy of the file
//! gets an epoch of its own, which no server runs.
//!
//! `synchronous=FULL` and a write-ahead log: a commit that has returned is on the disk.

pub(crate) mod accounts;
mod beside;
mod copy;
mod error;
mod exchange;
mod files;
mod folding;
mod mailbox;
mod moderation;
mod purge;
mod reader;
mod reserve;
mod retention;
mod schema;
mod search;
mod shares;
mod survey;
mod tables;
mod usage;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use tracing::{info, warn};

pub(crate) use beside::{Absent, connect_beside, connect_to_read};
pub(crate) use copy::{backup, restore};
pub(crate) use error::{ErrorKind, Result, StoreError};
pub(crate) use files::{is_data_directory, is_file_of_data};
pub(crate) use folding::{folded, is_searchable, is_token};
pub(crate) use mailbox::{HandedOver, Letter};
pub(crate) use moderation::{Kind as SanctionKind, Moderation, Sanction};
pub(crate) use purge::{Purge, Selection};
pub(crate) use reader::{Entry, Kept, Query, Reader};
pub(crate) use reserve::Reserve;
pub(crate) use search::Search;
pub(crate) use survey::Survey;
pub(crate) use usage::StoreUsage;
pub(crate) use writer::{Removed, Writer};

pub(crate) use crate::clock::now_ms;
use crate::text::visible;
use files::Lock;

/// How long a connection waits for another one that is writing.
const PATIENCE: Duration = Duration::from_secs(10);
/// After an end as it should be, a larger file is not read through at the start.
const QUICKLY_CHECKED: u64 = 1 << 30;
/// Checks that take longer are told.
const LONG_CHECK: Duration = Duration::from_secs(1);
/// Runs of the server that the file remembers. Readers with a number of an earlier run are told that
/// messages may be missing.
const EPOCHS: i64 = 1_024;

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sync {
    /// When it returns: it survives the end of the program and of the machine
    #[default]
    Full,
    /// Soon after: it survives the end of the program; the machine's may cost the last seconds
    Normal,
}

/// How messages are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreOptions {
    pub(crate) sync: Sync,
    pub(crate) retention: Retention,
    /// Bytes of the write-ahead log beyond which nothing is kept.
    pub(crate) wal_most: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let (sync, retention) = (Sync::default(), Retention::default());
        StoreOptions { sync, retention, wal_most: wal::WAL_MOST }
    }
}

/// How long messages are kept; without bounds, for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Older ones go.
    pub(crate) keep: Option<Duration>,
    /// The oldest of the heaviest senders go when the file holds more bytes.
    pub(crate) max_bytes: Option<u64>,
}

/// The file, for as long as the server runs.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    lock: Arc<Lock>,
    options: StoreOptions,
    epoch: Epoch,
    has_writer: bool,
    usage: Arc<StoreUsage>,
    reserve: Reserve,
    is_short: bool,
}

#[derive(Clone, Debug)]
struct Epoch {
    number: i64,
    name: String,
    first_id: u64,
}

impl Store {
    /// Opens the data directory, makes it if it is not there, and begins an epoch. On a full disk this
    /// takes some of the [reserve](reserve).
    ///
    /// # Errors
    /// Each says what to do: the directory is in use or cannot be written, the file is damaged, of
    /// another program's or of a newer version.
    pub(crate) fn open(directory: &Path, options: StoreOptions) -> Result<Self> {
        files::make_directory(directory)?;
        let reserve = Reserve::of(directory);
        let (mut store, is_short) = reserve.for_start(|| Store::open_once(directory, options))?;
        store.is_short = is_short;
        if !is_short {
            reserve.restore();
        }
        Ok(store)
    }

    fn open_once(directory: &Path, options: StoreOptions) -> Result<Self> {
        let lock = Lock::take(directory)?;
        let path = files::database(directory);
        files::make_private(&path)?;
        let of = |error| StoreError::of_sqlite(&path, &error);

        let mut db = Connection::open_with_flags(&path, read_write()).map_err(of)?;
        db.busy_timeout(PATIENCE).map_err(of)?;
        let found = schema::look(&db, &path)?;
        if found == schema::Found::Empty {
            db.pragma_update(None, "auto_vacuum", "incremental").map_err(of)?;
        }
        configure(&db, options.sync).map_err(of)?;
        if found != schema::Found::Empty {
            check_at_start(&db, &path)?;
        }
        schema::migrate(&mut db, &path, found)?;
        accounts::renew_keys(&mut db).map_err(of)?;
        let epoch = begin_epoch(&mut db).map_err(of)?;
        files::sync_directory(&path)?;
        let usage = Arc::new(StoreUsage::default());
        let (lock, reserve) = (Arc::new(lock), Reserve::of(directory));
        let (has_writer, is_short) = (false, false);
        Ok(Store { path, lock, options, epoch, has_writer, usage, reserve, is_short })
    }

    /// The room that is kept for a full disk.
    pub(crate) fn reserve(&self) -> Reserve {
        self.reserve.clone()
    }

    /// Whether the disk was so full that some of the reserve was needed. No history is to be kept until
    /// the reserve is restored.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short
    }

    /// The name of this run: 16 hexadecimal digits.
    pub(crate) fn epoch(&self) -> &str {
        &self.epoch.name
    }

    /// The first id that was never given out.
    pub(crate) fn next_id(&self) -> u64 {
        self.epoch.first_id
    }

    /// The one that adds messages. There is one.
    pub(crate) fn writer(&mut self) -> Result<Writer> {
        assert!(!self.has_writer, "a store has one writer");
        self.has_writer = true;
        let (path, lock) = (self.path.clone(), Arc::clone(&self.lock));
        Writer::new(path, lock, self.options, self.epoch.number, self.usage())
    }

    /// How much of each bound is used.
    pub(crate) fn usage(&self) -> Arc<StoreUsage> {
        Arc::clone(&self.usage)
    }

    /// Reads messages, beside the writer and other readers.
    pub(crate) fn reader(&self) -> Result<Reader> {
        Reader::of(self.path.clone())
    }

    /// Bans and mutes.
    pub(crate) fn moderation(&self) -> Result<Moderation> {
        let wal_most = self.options.wal_most.saturating_add(wal::RESERVE);
        Moderation::new(self.connect()?, self.path.clone(), wal_most, self.usage())
    }

    /// A connection that may write. It waits for others that write, at most ten seconds: keep
    /// transactions short, the writer waits too.
    pub(crate) fn connect(&self) -> Result<Connection> {
        open_to_write(&self.path, self.options.sync)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The database of a data directory, and the files that SQLite puts beside it.
pub(crate) fn database_files(directory: &Path) -> [PathBuf; 3] {
    files::with_companions(&files::database(directory))
}

/// Checks that a server can use the directory, as far as that can be seen without making anything. One
/// that is not there will be made.
///
/// # Errors
/// It is not a directory, or its database is another program's or of a newer version.
pub(crate) fn check_version(directory: &Path) -> Result<()> {
    let path = files::database(directory);
    match std::fs::metadata(directory) {
        Ok(found) if !found.is_dir() => {
            let error = std::io::ErrorKind::NotADirectory.into();
            Err(StoreError::of_file("use the data directory", directory, &error))
        }
        Ok(_) if has_database(directory) => {
            Reader::of(path.clone()).and_then(|reader| reader.version()).map(drop)
        }
        _ => Ok(()),
    }
}

/// As [`check_version`], and that this user can write there. Tries it with a file that is removed again.
///
/// # Errors
/// As for [`check_version`], or the file system refuses to make the directory or to write its files.
pub(crate) fn check_usable(directory: &Path) -> Result<()> {
    check_version(directory)?;
    let path = files::database(directory);
    if has_database(directory) {
        let opened = std::fs::OpenOptions::new().write(true).open(&path);
        opened.map_err(|error| StoreError::of_file("write", &path, &error))?;
    }
    let here = |path| if path == Path::new("") { Path::new(".") } else { path };
    let mut places = directory.ancestors().map(here);
    let nearest = places.find(|place| place.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let act = match nearest == directory {
        true => "write into the data directory",
        false => "make the data directory",
    };
    let probe = match nearest.is_dir() {
        true => crate::staging::Staging::beside(&files::database(nearest)).map(drop),
        false => Err(std::io::ErrorKind::NotADirectory.into()),
    };
    probe.map_err(|error| StoreError::of_file(act, directory, &error))
}

/// Whether there is a database in the directory.
pub(crate) fn has_database(directory: &Path) -> bool {
    files::database(directory).exists()
}

/// The conversation of two accounts.
pub(crate) fn between(one: &str, other: &str) -> String {
    if one <= other { format!("{one}\t{other}") } else { format!("{other}\t{one}") }
}

fn read_write() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Opens the file of a data directory to change it by hand, beside a server or without.
fn open_by_hand(directory: &Path) -> Result<(Connection, PathBuf)> {
    // tells whether there is one and whether it is of this version
    drop(Reader::open(directory)?);
    let path = files::database(directory);
    Ok((open_to_write(&path, Sync::Full)?, path))
}

/// Whether there is no database yet, or an empty one.
pub(crate) fn is_empty(directory: &Path) -> bool {
    std::fs::metadata(files::database(directory)).map_or(true, |file| file.len() == 0)
}

/// Opens the file that has this name. A restore may give the name to another file meanwhile; then that
/// one is opened. SQLite finds a log by its name, so an old file must not be used under a new one's.
fn open_current(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
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
fn open_to_write(path: &Path, sync: Sync) -> Result<Connection> {
    files::refuse_link(path)?;
    let open = || {
        let db = open_current(path, read_write())?;
        configure(&db, sync)?;
        reserve::bound_log(&db, path)?;
        Ok(db)
    };
    open().map_err(|error| StoreError::of_sqlite(path, &error))
}

fn configure(db: &Connection, sync: Sync) -> rusqlite::Result<()> {
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

/// Reads the file through, unless it is large and was closed as it should be.
fn check_at_start(db: &Connection, path: &Path) -> Result<()> {
    let of = |error| StoreError::of_sqlite(path, &error);
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    let was_closed: bool = db
        .query_row(
            "SELECT closed_ms IS NOT NULL FROM epoch ORDER BY number DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(of)?
        .unwrap_or(true);
    if !was_closed {
        warn!("history: the server before this one was cut short; what it had written is checked");
    } else if size > QUICKLY_CHECKED {
        return Ok(());
    }
    let begin = Instant::now();
    check(db, path)?;
    let took = begin.elapsed();
    if took >= LONG_CHECK {
        info!(
            "history: the file is sound; to check its {} MiB took {:.1} s",
            size >> 20,
            took.as_secs_f64()
        );
    }
    Ok(())
}

/// Reads the whole file, and compares its tables with their indexes.
///
/// # Errors
/// What is wrong with it, and how to go on.
fn check(db: &Connection, path: &Path) -> Result<()> {
    match fault(db) {
        Ok(None) => Ok(()),
        Ok(Some(fault)) => Err(StoreError::new(ErrorKind::Corrupt, error::damaged(path, &fault))),
        Err(error) => Err(StoreError::of_sqlite(path, &error)),
    }
}

/// The first fault of a file, if it has one.
fn fault(db: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(None);
    }
    let fault = found.lines().next_back().unwrap_or_default();
    Ok(Some(visible(fault).into_owned()))
}

/// Notes that a server runs from now on, and from which id.
fn begin_epoch(db: &mut Connection) -> rusqlite::Result<Epoch> {
    add_epoch(db, None)
}

/// Makes a copy of a file a new incarnation. The server may go on with the original, and store
/// messages that the copy lacks. So the copy gets an epoch without a last id: a reader with an id of
/// an earlier epoch is told that messages may be missing. A closing time without a last id tells this
/// epoch from a run of the server.
fn begin_incarnation(db: &mut Connection) -> rusqlite::Result<()> {
    add_epoch(db, Some(now_ms())).map(|_| ())
}

fn add_epoch(db: &mut Connection, closed_ms: Option<i64>) -> rusqlite::Result<Epoch> {
    let act = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let used: i64 = act.query_row(
        "SELECT max(
            ifnull((SELECT max(id) FROM message), 0),
            ifnull((SELECT max(last_id) FROM gap), 0),
            ifnull((SELECT max(max(first_id - 1, ifnull(last_id, 0))) FROM epoch), 0),
            ifnull((SELECT max(purged_to) FROM conversation), 0),
            (SELECT max(value) FROM state WHERE key IN ('used_to', 'purged_to')))",
        [],
        |row| row.get(0),
    )?;
    let first_id = used + 1;
    let name = format!("{:016x}", fastrand::u64(..));
    act.execute(
        "INSERT INTO epoch(name, first_id, opened_ms, closed_ms) VALUES (?1, ?2, ?3, ?4)",
        (&name, first_id, now_ms(), closed_ms),
    )?;
    let number = act.last_insert_rowid();
    act.execute("DELETE FROM epoch WHERE number <= ?1", [number - EPOCHS])?;
    act.commit()?;
    Ok(Epoch { number, name, first_id: unsigned(first_id) })
}

/// An id as SQLite has it. Ids are counted from 1 and never come near 2⁶³.
fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn unsigned(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

#[cfg(test)]
mod bound_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
#[path = "../../tests/common/small_disk.rs"]
mod small_disk;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod trouble_tests;
