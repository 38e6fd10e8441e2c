//! Adds messages to the file. A message waits in memory until [`Writer::commit`] writes it. A commit
//! is a sequence of transactions of bounded size ([`STEP_ACTS`], [`STEP_BYTES`]), with steps of the
//! retention in between: what has accumulated during an outage fits a small disk, and the file stays
//! within its bound. A transaction that fails has done nothing and can be tried again. One thread owns
//! the writer, and it alone waits for the disk.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use shared::clock::now_ms;

use super::database::{PATIENCE, open_to_write, signed, unsigned, used_bytes};
use super::error::{ErrorKind, Result, StoreError};
use super::files::Lock;
use super::options::StoreOptions;
use super::tables::{Tables, add_gap, begin};
use super::usage::{Removed, StoreUsage};
use super::wal;

/// Acts, and bytes of their texts, of one transaction.
const STEP_ACTS: usize = 1_024;
const STEP_BYTES: usize = 1 << 20;
/// The cost of an act in memory beside its texts.
const ACT_COST: usize = 64;
/// After this number of acts the writer yields the processor: an event loop that shares it need not
/// wait for the end of a batch.
const STRIDE: usize = 16;
/// How long the last commits wait for another program that is writing.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Adds messages, and rows that belong to them.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    _lock: Arc<Lock>,
    pub(super) options: StoreOptions,
    epoch: i64,
    /// None after an error that the connection may not have survived.
    db: Option<Connection>,
    /// Acts that wait to be written, one transaction each.
    steps: VecDeque<Step>,
    tables: Tables,
    usage: Arc<StoreUsage>,
    /// How long a transaction waits for another program that is writing.
    patience: Duration,
    pub(super) removed: Removed,
}

/// The acts of one transaction.
#[derive(Debug, Default)]
struct Step {
    acts: Vec<Act>,
    /// The texts of all acts, one after the other.
    text: String,
    messages: usize,
}

#[derive(Debug)]
enum Act {
    Append { id: i64, at_ms: i64, conversation: Range<usize>, object: Range<usize> },
    Gap { first: i64, last: i64 },
}

impl Step {
    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn bytes(&self) -> usize {
        self.text.capacity() + self.acts.capacity() * ACT_COST
    }

    fn is_full(&self) -> bool {
        self.acts.len() >= STEP_ACTS || self.text.len() >= STEP_BYTES
    }
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        lock: Arc<Lock>,
        options: StoreOptions,
        epoch: i64,
        usage: Arc<StoreUsage>,
    ) -> Result<Self> {
        let mut writer = Writer {
            path,
            _lock: lock,
            options,
            epoch,
            db: None,
            steps: VecDeque::new(),
            tables: Tables::default(),
            usage,
            patience: PATIENCE,
            removed: Removed::default(),
        };
        // messages that an earlier epoch left without a place get one now
        writer.with(|db, tables| {
            let act = begin(db, tables)?;
            tables.place(&act)?;
            act.commit()
        })?;
        writer.measure();
        Ok(writer)
    }

    /// A message of a conversation, as the object that went to its readers. Ids only grow.
    pub fn append(&mut self, id: u64, conversation: &str, at_ms: i64, object: &str) {
        let step = self.open_step();
        let conversation = step.keep(conversation);
        let object = step.keep(object);
        step.messages += 1;
        step.acts.push(Act::Append { id: signed(id), at_ms, conversation, object });
    }

    /// Messages with these ids were delivered, and are not kept.
    pub fn gap(&mut self, first: u64, last: u64) {
        self.open_step().acts.push(Act::Gap { first: signed(first), last: signed(last) });
    }

    /// The step that takes the next act. One that is full keeps no spare memory.
    fn open_step(&mut self) -> &mut Step {
        let is_full = self.steps.back().is_none_or(Step::is_full);
        if is_full {
            if let Some(full) = self.steps.back_mut() {
                full.text.shrink_to_fit();
                full.acts.shrink_to_fit();
            }
            self.steps.push_back(Step::default());
        }
        self.steps.back_mut().expect("added above")
    }

    /// How many acts wait for the next commit.
    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.steps.iter().map(|step| step.acts.len()).sum()
    }

    /// How many messages wait for the next commit.
    pub fn pending_messages(&self) -> usize {
        self.steps.iter().map(|step| step.messages).sum()
    }

    /// The memory that waits for the next commit.
    pub fn pending_bytes(&self) -> usize {
        self.steps.iter().map(Step::bytes).sum()
    }

    /// Writes the waiting acts, step by step. After an error the steps before it are on the disk, and the
    /// rest still waits and can be tried again. When this returns without an error, all of it is on
    /// the disk ([`Sync`](super::Sync)).
    ///
    /// # Errors
    /// Of every kind but [`ErrorKind::Newer`].
    pub fn commit(&mut self) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let written = self.write_steps();
        self.usage.set_pending(self.pending_bytes() as u64);
        self.measure();
        written
    }

    fn write_steps(&mut self) -> Result<()> {
        while let Some(step) = self.steps.pop_front() {
            let begun = Instant::now();
            let written = self.write_with(|db, tables| {
                let act = begin(db, tables)?;
                step.write(&act, tables)?;
                act.commit()
            });
            if let Err(error) = written {
                self.usage.count_commit_failure();
                self.steps.push_front(step);
                return Err(error);
            }
            self.usage.count_commit(step.messages, begun.elapsed());
            // as much as was added, so that the file does not outgrow its bound meanwhile
            match self.evict() {
                Err(error) if !self.steps.is_empty() => return Err(error),
                // all is written; `maintain` evicts, and reports an error that lasts
                _ => {}
            }
        }
        Ok(())
    }

    /// What was removed since the last call.
    pub fn take_removed(&mut self) -> Removed {
        let removed = std::mem::take(&mut self.removed);
        self.usage.count_removed(removed);
        removed
    }

    /// The error of a full disk.
    pub fn full(&self) -> StoreError {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        StoreError::of_sqlite(&self.path, &rusqlite::Error::SqliteFailure(full, None))
    }

    /// Drops the waiting acts, as the end of the program would.
    #[cfg(test)]
    pub fn discard(&mut self) {
        self.steps.clear();
    }

    /// From now on waits for other programs that write for a short time only: the server ends.
    pub fn hurry(&mut self) -> Result<()> {
        self.patience = LAST_PATIENCE;
        self.with(|db, _| db.busy_timeout(LAST_PATIENCE))
    }

    /// Writes the waiting acts, and that this epoch has ended properly, after this id.
    pub fn close(mut self, last_id: u64) -> Result<()> {
        self.commit()?;
        let epoch = self.epoch;
        self.write_with(|db, tables| {
            let act = begin(db, tables)?;
            tables.place(&act)?;
            act.execute(
                "UPDATE epoch SET last_id = ?2, closed_ms = ?3 WHERE number = ?1",
                (epoch, signed(last_id), now_ms()),
            )?;
            act.commit()
        })?;
        // readers that are still there, or an error, are no reason to fail: all is in the log, which
        // then stays beside the file
        let _ = self.with(|db, _| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        match self.db.take().map(Connection::close) {
            Some(Err((_, error))) => Err(StoreError::of_sqlite(&self.path, &error)),
            _ => Ok(()),
        }
    }

    /// Updates the gauges. An error leaves them as they are: the commit before is on the disk all the
    /// same.
    pub(super) fn measure(&mut self) {
        let measured = self.with(|db, _| {
            let mailboxes: i64 = db
                .prepare_cached("SELECT value FROM state WHERE key = 'mailbox_bytes'")?
                .query_row([], |row| row.get(0))?;
            Ok((used_bytes(db)?, unsigned(mailboxes)))
        });
        if let Ok((history, mailboxes)) = measured {
            self.usage.set_files(history, mailboxes, wal::length(&self.path));
        }
    }

    /// As [`with`](Self::with), for an act that writes: first the log is kept within its bound.
    pub(super) fn write_with<T>(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut Tables) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let most = self.options.wal_most;
        self.connected(|db, tables, path| {
            wal::keep_short(db, path, most)?;
            act(db, tables).map_err(|error| StoreError::of_sqlite(path, &error))
        })
    }

    /// Does something with the connection, which is made again if it is gone.
    pub(super) fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut Tables) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.connected(|db, tables, path| {
            act(db, tables).map_err(|error| StoreError::of_sqlite(path, &error))
        })
    }

    /// Every use of the connection. After an error nothing that was learnt of the tables counts, as it
    /// may have been undone. The next use has a new connection if this one may not have survived the
    /// error, or is still inside a transaction.
    fn connected<T>(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut Tables, &Path) -> Result<T>,
    ) -> Result<T> {
        let of = |error| StoreError::of_sqlite(&self.path, &error);
        let mut db = match self.db.take() {
            Some(db) => db,
            None => {
                let db = open_to_write(&self.path, self.options.sync)?;
                db.busy_timeout(self.patience).map_err(of)?;
                self.tables.learn(&db).map_err(of)?;
                db
            }
        };
        let outcome = act(&mut db, &mut self.tables, &self.path);
        let is_usable = match &outcome {
            Ok(_) => true,
            Err(error) => {
                self.tables.forget_all();
                let is_suspect =
                    matches!(error.kind, ErrorKind::Io | ErrorKind::Corrupt | ErrorKind::ReadOnly);
                !is_suspect && db.is_autocommit() && self.tables.learn(&db).is_ok()
            }
        };
        self.db = is_usable.then_some(db);
        outcome
    }
}

impl Step {
    fn write(&self, act: &Transaction<'_>, tables: &mut Tables) -> rusqlite::Result<()> {
        let text = |range: &Range<usize>| &self.text[range.clone()];
        for (number, step) in self.acts.iter().enumerate() {
            if number % STRIDE == STRIDE - 1 {
                thread::yield_now();
            }
            match step {
                Act::Append { id, at_ms, conversation, object } => {
                    tables.append(act, *id, text(conversation), *at_ms, text(object))?;
                }
                Act::Gap { first, last } => add_gap(act, *first, *last)?,
            }
        }
        tables.place_some(act, self.messages)
    }
}
