//! Opens the file for a server, checks it, and hands out what reads and writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};
use tracing::{info, warn};

use super::database::{PATIENCE, check, configure, open_to_write, read_write};
use super::epoch::{Epoch, begin_epoch};
use super::error::{Result, StoreError};
use super::files::{self, Lock};
use super::moderation::Moderation;
use super::options::StoreOptions;
use super::reader::Reader;
use super::reserve::Reserve;
use super::usage::StoreUsage;
use super::writer::Writer;
use super::{accounts, schema, wal};

/// After an end as it should be, a larger file is not read through at the start.
const QUICKLY_CHECKED: u64 = 1 << 30;
/// Checks that take longer are told.
const LONG_CHECK: Duration = Duration::from_secs(1);

/// The file, for as long as the server runs.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    lock: Arc<Lock>,
    options: StoreOptions,
    epoch: Epoch,
    has_writer: bool,
    usage: Arc<StoreUsage>,
    reserve: Reserve,
    is_short: bool,
}

impl Store {
    /// Opens the data directory, makes it if it is not there, and begins an epoch. On a full disk this
    /// takes some of the reserve.
    ///
    /// # Errors
    /// Each says what to do: the directory is in use or cannot be written, the file is damaged, of
    /// another program's or of a newer version.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self> {
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
    pub fn reserve(&self) -> Reserve {
        self.reserve.clone()
    }

    /// Whether the disk was so full that some of the reserve was needed. No history is to be kept until
    /// the reserve is restored.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// The name of this run: 16 hexadecimal digits.
    pub fn epoch(&self) -> &str {
        &self.epoch.name
    }

    /// The first id that was never given out.
    pub fn next_id(&self) -> u64 {
        self.epoch.first_id
    }

    /// The one that adds messages. There is one.
    pub fn writer(&mut self) -> Result<Writer> {
        assert!(!self.has_writer, "a store has one writer");
        self.has_writer = true;
        let (path, lock) = (self.path.clone(), Arc::clone(&self.lock));
        Writer::new(path, lock, self.options, self.epoch.number, self.usage())
    }

    /// How much of each bound is used.
    pub fn usage(&self) -> Arc<StoreUsage> {
        Arc::clone(&self.usage)
    }

    /// Reads messages, beside the writer and other readers.
    pub fn reader(&self) -> Result<Reader> {
        Reader::of(self.path.clone())
    }

    /// Bans and mutes.
    pub fn moderation(&self) -> Result<Moderation> {
        let wal_most = self.options.wal_most.saturating_add(wal::RESERVE);
        Moderation::new(self.connect()?, self.path.clone(), wal_most, self.usage())
    }

    /// A connection that may write. It waits for others that write, at most ten seconds: keep
    /// transactions short, the writer waits too.
    pub fn connect(&self) -> Result<Connection> {
        open_to_write(&self.path, self.options.sync)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
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
