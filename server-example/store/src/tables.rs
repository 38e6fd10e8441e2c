//! The state of the tables that the writer remembers, and how a message gets its place. A message is first added to
//! `message` alone. Many messages at a time then get their entries in `place`, which finds them by
//! conversation, and in `owned`, which finds them by sender ([`shares`](super::shares)).

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::shares::{self, Removal, Who, cost};

/// At most this number of messages has no place. Readers scan them quickly, and when they get their
/// places, pages are written for many at a time.
const UNPLACED: usize = 16_384;
/// Commits with no more messages give them their places at once.
const FEW: usize = 64;
/// Conversations whose numbers are remembered.
const REMEMBERED: usize = 65_536;
/// Rows of the table `gap`, and how many of them go at once.
const GAPS: i64 = 1_024;
const GAPS_STEP: i64 = 256;

/// The state of the tables after the last commit, as the writer remembers it.
#[derive(Debug, Default)]
pub(super) struct Tables {
    conversations: HashMap<Box<str>, i64>,
    /// Changes when another connection has changed the file.
    data_version: i64,
    placed_to: i64,
    /// How many messages have no place. Removed ones may still count.
    pub(super) unplaced: usize,
    /// The messages without a place; `None` if they have to be read.
    groups: Option<Groups>,
    /// Some of them may have been removed since they were noted.
    is_doubtful: bool,
}

/// Messages by conversation and sender: the id and the cost of each.
type Groups = BTreeMap<(i64, Who), Vec<(i64, i64)>>;

/// Begins to write. The remembered conversations are forgotten if another program has changed the file.
pub(super) fn begin<'a>(
    db: &'a mut Connection,
    tables: &mut Tables,
) -> rusqlite::Result<Transaction<'a>> {
    let act = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let data_version: i64 = act.pragma_query_value(None, "data_version", |row| row.get(0))?;
    if data_version != tables.data_version {
        tables.conversations.clear();
        tables.is_doubtful = true;
        tables.data_version = data_version;
    }
    Ok(act)
}

/// Notes that messages were not kept. The rows are bounded: the oldest ones go, and only their number
/// of messages is remembered. This misleads no reader: a reader that asks from before an old gap also
/// asks from before the newer ones, and is told that messages are missing.
pub(super) fn add_gap(act: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
    act.prepare_cached("INSERT OR REPLACE INTO gap VALUES (?1, ?2)")?.execute((first, last))?;
    let rows: i64 =
        act.prepare_cached("SELECT count(*) FROM gap")?.query_row([], |row| row.get(0))?;
    if rows > GAPS {
        act.execute(
            "UPDATE state SET value = value + (
                SELECT sum(last_id - first_id + 1)
                FROM (SELECT first_id, last_id FROM gap ORDER BY first_id LIMIT ?1))
             WHERE key = 'not_kept_before'",
            [GAPS_STEP],
        )?;
        act.execute(
            "DELETE FROM gap WHERE first_id IN (SELECT first_id FROM gap ORDER BY first_id LIMIT ?1)",
            [GAPS_STEP],
        )?;
    }
    Ok(())
}

impl Tables {
    /// Forgets the remembered state.
    pub(super) fn forget_all(&mut self) {
        self.conversations.clear();
        self.groups = None;
    }

    /// Reads what the file holds, at the start and after a transaction that was rolled back.
    pub(super) fn learn(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.forget_all();
        self.placed_to =
            db.query_row("SELECT value FROM state WHERE key = 'placed_to'", [], |row| row.get(0))?;
        let sql = "SELECT count(*) FROM message WHERE id > ?1";
        let unplaced: i64 = db.query_row(sql, [self.placed_to], |row| row.get(0))?;
        self.unplaced = usize::try_from(unplaced).unwrap_or(0);
        Ok(())
    }

    /// Adds a message. The same message may be there already, as an error of a commit does not tell
    /// whether it was written.
    ///
    /// # Errors
    /// Another message has this id.
    pub(super) fn append(
        &mut self,
        act: &Connection,
        id: i64,
        conversation: &str,
        at_ms: i64,
        object: &str,
    ) -> rusqlite::Result<()> {
        let number = self.number(act, conversation)?;
        let added = act
            .prepare_cached(
                "INSERT OR IGNORE INTO message(id, conversation, at_ms, object)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((id, number, at_ms, object))?;
        if added == 0 {
            let is_same: bool = act
                .prepare_cached(
                    "SELECT EXISTS(SELECT 1 FROM message
                     WHERE id = ?1 AND conversation = ?2 AND at_ms = ?3 AND object = ?4)",
                )?
                .query_row((id, number, at_ms, object), |row| row.get(0))?;
            return if is_same { Ok(()) } else { Err(conflict(id)) };
        }
        let (who, cost) = (Who::of(object), cost(object.len()));
        if id <= self.placed_to {
            place_group(act, number, &who, &[(id, cost)], false)?;
        } else if let Some(groups) = &mut self.groups {
            groups.entry((number, who)).or_default().push((id, cost));
        }
        Ok(())
    }

    /// Removes messages. `is_missed`: readers learn that messages are missing.
    pub(super) fn remove(
        &mut self,
        act: &Connection,
        ids: impl IntoIterator<Item = i64>,
        is_missed: bool,
    ) -> rusqlite::Result<()> {
        let mut removal = Removal::new(act)?;
        for id in ids {
            removal.take(id)?;
        }
        // a conversation may have gone with its last message
        self.conversations.clear();
        self.is_doubtful = true;
        removal.finish(is_missed)
    }

    /// Evicts messages beyond `most` bytes, in one step; how many. All messages must have a place.
    pub(super) fn evict(&mut self, act: &Connection, most: u64) -> rusqlite::Result<usize> {
        self.conversations.clear();
        shares::evict(act, most)
    }

    /// The number of a conversation, which gets one with its first message.
    fn number(&mut self, act: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(&number) = self.conversations.get(name) {
            return Ok(number);
        }
        act.prepare_cached(
            "INSERT OR IGNORE INTO conversation(name, purged_to)
             VALUES (?1, (SELECT value FROM state WHERE key = 'purged_to'))",
        )?
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

    /// Gives places to the `messages` that were just added if they are few, or if many have none.
    pub(super) fn place_some(&mut self, act: &Connection, messages: usize) -> rusqlite::Result<()> {
        self.unplaced += messages;
        if messages <= FEW || self.unplaced >= UNPLACED { self.place(act) } else { Ok(()) }
    }

    /// Gives places to the messages that have none, and charges them to their senders.
    pub(super) fn place(&mut self, act: &Connection) -> rusqlite::Result<()> {
        let last: Option<i64> =
            act.prepare_cached("SELECT max(id) FROM message")?.query_row([], |row| row.get(0))?;
        let last = last.unwrap_or(0);
        if last > self.placed_to {
            let groups = match self.groups.take() {
                Some(groups) => groups,
                None => self.read_groups(act)?,
            };
            for ((conversation, who), ids) in &groups {
                place_group(act, *conversation, who, ids, self.is_doubtful)?;
            }
            act.prepare_cached("UPDATE state SET value = ?1 WHERE key = 'placed_to'")?
                .execute([last])?;
            self.placed_to = last;
        }
        self.groups = Some(BTreeMap::new());
        (self.is_doubtful, self.unplaced) = (false, 0);
        Ok(())
    }

    fn read_groups(&self, act: &Connection) -> rusqlite::Result<Groups> {
        let mut groups = Groups::new();
        let mut messages = act.prepare_cached(
            "SELECT id, conversation, object FROM message WHERE id > ?1 ORDER BY id",
        )?;
        let mut rows = messages.query([self.placed_to])?;
        while let Some(row) = rows.next()? {
            let object = row.get_ref(2)?.as_str()?;
            let group = groups.entry((row.get(1)?, Who::of(object))).or_default();
            group.push((row.get(0)?, cost(object.len())));
        }
        Ok(groups)
    }
}

/// The error for an id that another message has.
fn conflict(id: i64) -> rusqlite::Error {
    let what = format!(
        "another message has the id {id}: another server has written to this file; stop it, and restart this one"
    );
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY);
    rusqlite::Error::SqliteFailure(code, Some(what))
}

/// Gives places to messages of one sender in one conversation; if it is doubtful that they are still
/// there, to those that are.
fn place_group(
    act: &Connection,
    conversation: i64,
    who: &Who,
    messages: &[(i64, i64)],
    is_doubtful: bool,
) -> rusqlite::Result<()> {
    let mut find = act.prepare_cached("SELECT 1 FROM message WHERE id = ?1")?;
    let mut place = act.prepare_cached("INSERT OR IGNORE INTO place VALUES (?1, ?2)")?;
    let mut own = act.prepare_cached("INSERT OR IGNORE INTO owned VALUES (?1, ?2)")?;
    let (mut share, mut bytes) = (None, 0);
    for &(id, cost) in messages {
        if is_doubtful && !find.exists([id])? {
            continue;
        }
        let share = match share {
            Some(share) => share,
            None => *share.insert(shares::number(act, conversation, who)?),
        };
        place.execute((conversation, id))?;
        // a message that the share owned before is charged already
        if own.execute((share, id))? > 0 {
            bytes += cost;
        }
    }
    match share {
        Some(share) => shares::grow(act, share, bytes),
        None => Ok(()),
    }
}
