//! Adds to the file. What is to be added waits in memory until [`Writer::commit`] writes it in one
//! transaction, so that a commit can be tried again, and nothing is done by halves. One thread owns
//! the writer, and it alone waits for the disk.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::error::{ErrorKind, Result, StoreError};
use super::files::Lock;
use super::{StoreOptions, now_ms, open_to_write, signed};

/// So many messages without a place are scanned quickly, and when they get one, pages are written for
/// many at a time.
const UNPLACED: usize = 16_384;
/// Commits with no more messages give them their places at once.
const FEW: usize = 64;
/// After so many the writer lets others have the core, if there are any: an event loop that shares it
/// need not wait for the end of a batch.
const STRIDE: usize = 16;
/// Conversations whose numbers are remembered.
const REMEMBERED: usize = 65_536;

/// Adds messages, and what belongs to them.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    _lock: Arc<Lock>,
    pub(super) options: StoreOptions,
    epoch: i64,
    /// None after an error that the connection may not have survived.
    db: Option<Connection>,
    batch: Batch,
    tables: Tables,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Batch {
    acts: Vec<Act>,
    /// The texts of all acts, one after the other.
    text: String,
    messages: usize,
}

#[derive(Debug)]
enum Act {
    Append { id: i64, at_ms: i64, conversation: Range<usize>, object: Range<usize> },
    Forget { id: i64, conversation: Range<usize> },
    Gap { first: i64, last: i64 },
    Leave { id: i64, account: Range<usize> },
    Collected { up_to: i64, account: Range<usize> },
}

/// What the writer knows of the tables, as they are after the last commit.
#[derive(Debug, Default)]
pub(super) struct Tables {
    conversations: HashMap<Box<str>, i64>,
    placed_to: i64,
    /// At least as many messages as have no place.
    pub(super) unplaced: usize,
    /// Whether messages went, and what hangs on them is still there.
    pub(super) has_removed: bool,
}

impl Batch {
    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn clear(&mut self) {
        self.acts.clear();
        self.text.clear();
        self.messages = 0;
    }
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        lock: Arc<Lock>,
        options: StoreOptions,
        epoch: i64,
    ) -> Result<Self> {
        let mut writer = Writer {
            path,
            _lock: lock,
            options,
            epoch,
            db: None,
            batch: Batch::default(),
            tables: Tables { unplaced: UNPLACED, ..Tables::default() },
        };
        // what an epoch before left without a place gets one now
        writer.write()?;
        Ok(writer)
    }

    /// A message of a conversation, as the object that went to its readers. Ids only grow.
    pub(crate) fn append(&mut self, id: u64, conversation: &str, at_ms: i64, object: &str) {
        let conversation = self.batch.keep(conversation);
        let object = self.batch.keep(object);
        self.batch.messages += 1;
        self.batch.acts.push(Act::Append { id: signed(id), at_ms, conversation, object });
    }

    /// Takes a message away for good, if it is in this conversation.
    pub(crate) fn forget(&mut self, conversation: &str, id: u64) {
        let conversation = self.batch.keep(conversation);
        self.batch.acts.push(Act::Forget { id: signed(id), conversation });
    }

    /// Messages with these ids were delivered, and are not kept.
    pub(crate) fn gap(&mut self, first: u64, last: u64) {
        self.batch.acts.push(Act::Gap { first: signed(first), last: signed(last) });
    }

    /// A message that waits for an account's owner.
    pub(crate) fn leave(&mut self, account: &str, id: u64) {
        let account = self.batch.keep(account);
        self.batch.acts.push(Act::Leave { id: signed(id), account });
    }

    /// The account's owner has got what waited, up to this id.
    pub(crate) fn collected(&mut self, account: &str, up_to: u64) {
        let account = self.batch.keep(account);
        self.batch.acts.push(Act::Collected { up_to: signed(up_to), account });
    }

    /// How many acts wait for the next commit.
    pub(crate) fn pending(&self) -> usize {
        self.batch.acts.len()
    }

    /// Writes what waits, all of it or, with an error, nothing; then it still waits, and can be tried
    /// again as often as one likes. When this returns, it is on the disk ([`Sync`](super::Sync)).
    ///
    /// # Errors
    /// Of every kind but [`ErrorKind::Newer`].
    pub(crate) fn commit(&mut self) -> Result<()> {
        if self.batch.acts.is_empty() { Ok(()) } else { self.write() }
    }

    /// Gives up what waits, as the end of the program would.
    #[cfg(test)]
    pub(crate) fn discard(&mut self) {
        self.batch.clear();
    }

    /// Writes what waits, and that this epoch has ended as it should, after this id.
    pub(crate) fn close(mut self, last_id: u64) -> Result<()> {
        self.commit()?;
        let epoch = self.epoch;
        self.with(|db, tables| {
            let act = immediate(db)?;
            tables.place(&act)?;
            act.execute(
                "UPDATE epoch SET last_id = ?2, closed_ms = ?3 WHERE number = ?1",
                (epoch, signed(last_id), now_ms()),
            )?;
            act.commit()?;
            // readers that are still there are no reason to fail: the log stays beside the file
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })?;
        match self.db.take().map(Connection::close) {
            Some(Err((_, error))) => Err(StoreError::of_sqlite(&self.path, &error)),
            _ => Ok(()),
        }
    }

    fn write(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let written = self.with(|db, tables| {
            let act = immediate(db)?;
            batch.write(&act, tables)?;
            act.commit()
        });
        self.batch = batch;
        if written.is_ok() {
            self.batch.clear();
        }
        written
    }

    /// Does something with the connection, which is made again if it is gone. After an error nothing
    /// that was learnt of the tables counts, as it may have been undone.
    pub(super) fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut Tables) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if self.db.is_none() {
            let db = open_to_write(&self.path, self.options.sync)?;
            self.tables.learn(&db).map_err(|error| StoreError::of_sqlite(&self.path, &error))?;
            self.db = Some(db);
        }
        let db = self.db.as_mut().expect("made above");
        act(db, &mut self.tables).map_err(|error| {
            let error = StoreError::of_sqlite(&self.path, &error);
            self.tables.conversations.clear();
            if matches!(error.kind, ErrorKind::Io | ErrorKind::Corrupt | ErrorKind::ReadOnly) {
                self.db = None;
            } else if let Some(db) = &self.db
                && self.tables.learn(db).is_err()
            {
                self.db = None;
            }
            error
        })
    }
}

pub(super) fn immediate(db: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate)
}

impl Batch {
    fn write(&self, act: &Transaction<'_>, tables: &mut Tables) -> rusqlite::Result<()> {
        let text = |range: &Range<usize>| &self.text[range.clone()];
        let mut append = act.prepare_cached(
            "INSERT OR IGNORE INTO message(id, conversation, at_ms, object) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for (number, step) in self.acts.iter().enumerate() {
            if number % STRIDE == STRIDE - 1 {
                thread::yield_now();
            }
            match step {
                Act::Append { id, at_ms, conversation, object } => {
                    let conversation = tables.number(act, text(conversation))?;
                    append.execute((id, conversation, at_ms, text(object)))?;
                    if *id <= tables.placed_to {
                        act.prepare_cached("INSERT OR IGNORE INTO place VALUES (?1, ?2)")?
                            .execute((conversation, id))?;
                    }
                }
                Act::Forget { id, conversation } => forget(act, *id, text(conversation))?,
                Act::Gap { first, last } => {
                    act.execute("INSERT OR REPLACE INTO gap VALUES (?1, ?2)", (first, last))?;
                }
                Act::Leave { id, account } => {
                    act.prepare_cached("INSERT OR IGNORE INTO mailbox VALUES (?1, ?2)")?
                        .execute((text(account), id))?;
                }
                Act::Collected { up_to, account } => {
                    act.prepare_cached("DELETE FROM mailbox WHERE account = ?1 AND id <= ?2")?
                        .execute((text(account), up_to))?;
                }
            }
        }
        tables.unplaced += self.messages;
        if self.messages <= FEW || tables.unplaced >= UNPLACED {
            tables.place(act)?;
        }
        Ok(())
    }
}

/// Takes a message away if it is in this conversation.
fn forget(act: &Transaction<'_>, id: i64, conversation: &str) -> rusqlite::Result<()> {
    let is_there = act
        .prepare_cached(
            "SELECT 1 FROM message
             WHERE id = ?1 AND conversation = (SELECT id FROM conversation WHERE name = ?2)",
        )?
        .exists((id, conversation))?;
    if is_there {
        act.pragma_update(None, "secure_delete", true)?;
        erase(act, id)?;
        act.pragma_update(None, "secure_delete", "fast")?;
    }
    Ok(())
}

/// Takes a message away, with its place and its words in the search; its id is not given again. Its
/// conversation.
pub(super) fn erase(act: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<i64>> {
    let conversation: Option<i64> = act
        .prepare_cached("SELECT conversation FROM message WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some(conversation) = conversation {
        act.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id])?;
        act.prepare_cached("DELETE FROM place WHERE conversation = ?1 AND id = ?2")?
            .execute((conversation, id))?;
        // words that were not in the search cannot be taken out of it
        let is_searched = act
            .prepare_cached("SELECT 1 FROM state WHERE key = 'searched_to' AND value >= ?1")?
            .exists([id])?;
        if is_searched {
            act.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([id])?;
        }
        act.prepare_cached("UPDATE state SET value = max(value, ?1) WHERE key = 'used_to'")?
            .execute([id])?;
    }
    Ok(conversation)
}

impl Tables {
    fn learn(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.conversations.clear();
        self.placed_to =
            db.query_row("SELECT value FROM state WHERE key = 'placed_to'", [], |row| row.get(0))?;
        Ok(())
    }

    /// The number of a conversation, which gets one with its first message.
    fn number(&mut self, act: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
        if let Some(&number) = self.conversations.get(name) {
            return Ok(number);
        }
        act.prepare_cached("INSERT OR IGNORE INTO conversation(name) VALUES (?1)")?
            .execute([name])?;
        let number = act
            .prepare_cached("SELECT id FROM conversation WHERE name = ?1")?
            .query_row([name], |row| row.get(0))?;
        if self.conversations.len() >= REMEMBERED {
            self.conversations.clear();
        }
        self.conversations.insert(name.into(), number);
        Ok(number)
    }

    /// Gives places to the messages that have none.
    pub(super) fn place(&mut self, act: &Transaction<'_>) -> rusqlite::Result<()> {
        let last: Option<i64> =
            act.prepare_cached("SELECT max(id) FROM message")?.query_row([], |row| row.get(0))?;
        let last = last.unwrap_or(0);
        if last > self.placed_to {
            act.prepare_cached(
                "INSERT OR IGNORE INTO place(conversation, id)
                 SELECT conversation, id FROM message WHERE id > ?1 ORDER BY conversation, id",
            )?
            .execute([self.placed_to])?;
            act.prepare_cached("UPDATE state SET value = ?1 WHERE key = 'placed_to'")?
                .execute([last])?;
            self.placed_to = last;
        }
        self.unplaced = 0;
        Ok(())
    }
}
