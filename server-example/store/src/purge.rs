//! Removes messages by hand, in short steps. A running server writes between them.
//!
//! On a full disk SQLite cannot even note what is to be removed. Then the purge takes the
//! [reserve](super::reserve), removes little at a time, and returns the room to the disk at once.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::beside::open_by_hand;
use super::database::unsigned;
use super::error::{ErrorKind, Result, StoreError};
use super::reserve::Reserve;
use super::shares::Removal;
use super::wal;

/// Messages that are removed in one step.
const STEP: usize = 1_000;
/// Messages, and bytes of them, that are removed in one step on a full disk.
const SHORT_STEP: usize = 50;
const SHORT_STEP_BYTES: i64 = 64 << 10;

/// Which messages: those that are all that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// In this conversation.
    pub conversation: Option<String>,
    /// Sent before this time, in Unix milliseconds.
    pub before_ms: Option<i64>,
}

/// Removes messages permanently.
#[derive(Debug)]
pub struct Purge {
    db: Connection,
    path: PathBuf,
    selection: Selection,
    /// Messages up to this id have been looked at.
    seen: i64,
    reserve: Reserve,
    /// The disk was full.
    is_short: bool,
}

/// Messages of one conversation that have a place, and those above that have none yet. Each is read in
/// the order of its ids from the last one that was seen, so that all steps together read each message
/// once.
const PLACED: &str = "FROM place p CROSS JOIN message m ON m.id = p.id
    WHERE p.conversation = ?1 AND p.id > ?3 AND m.at_ms < ?2";
const UNPLACED: &str = "FROM message m WHERE m.conversation = ?1 AND m.at_ms < ?2
    AND m.id > max(?3, (SELECT value FROM state WHERE key = 'placed_to'))";
/// Messages of all conversations.
const OF_ALL: &str = "FROM message m WHERE ?1 IS NULL AND m.at_ms < ?2 AND m.id > ?3";

/// The statement that finds the next ones of them.
fn next_of(which: &str) -> String {
    format!("SELECT m.id, octet_length(m.object) {which} ORDER BY m.id LIMIT ?4")
}

impl Purge {
    /// Opens the database of a data directory to remove the selected messages.
    ///
    /// # Errors
    /// There is no database, or it cannot be written.
    pub fn open(directory: &Path, selection: Selection) -> Result<Self> {
        let reserve = Reserve::of(directory);
        let ((db, path), is_short) = reserve.for_start(|| open_by_hand(directory))?;
        // removed messages must not be readable in the file
        db.pragma_update(None, "secure_delete", true)
            .map_err(|error| StoreError::of_sqlite(&path, &error))?;
        let mut purge = Purge { db, path, selection, seen: 0, reserve, is_short: false };
        if is_short {
            purge.go_short()?;
        }
        Ok(purge)
    }

    /// The number of selected messages that are left.
    pub fn count(&self) -> Result<u64> {
        let (which, conversation, before_ms) = self.which()?;
        let mut count = 0_i64;
        for which in which {
            let of_these = self.db.query_row(
                &format!("SELECT count(*) {which}"),
                (conversation, before_ms, self.seen),
                |row| row.get::<_, i64>(0),
            );
            count += of_these.map_err(|error| StoreError::of_sqlite(&self.path, &error))?;
        }
        Ok(unsigned(count))
    }

    /// Removes some of them; how many. 0: none are left.
    pub fn step(&mut self) -> Result<usize> {
        wal::keep_short(&self.db, &self.path, wal::WAL_MOST)?;
        let removed = match self.remove_some() {
            Err(error) if error.kind == ErrorKind::Full && !self.is_short => {
                self.go_short()?;
                self.remove_some()?
            }
            outcome => outcome?,
        };
        if self.is_short {
            self.return_room(removed == 0).map_err(|error| self.failed(&error))?;
        }
        Ok(removed)
    }

    /// From now on works on a full disk. Removed pages leave the file, so that they need not be
    /// overwritten, which would take as much room as they have.
    fn go_short(&mut self) -> Result<()> {
        self.is_short = true;
        self.reserve.release();
        self.db.pragma_update(None, "secure_delete", "fast").map_err(|error| self.failed(&error))
    }

    /// Moves the log into the file, and at the end returns the free pages to the disk.
    fn return_room(&self, is_over: bool) -> rusqlite::Result<()> {
        let checkpoint = || self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        checkpoint()?;
        if is_over {
            while super::retention::give_back_all(&self.db)? {
                checkpoint()?;
            }
            self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            self.reserve.restore();
        }
        Ok(())
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::of_sqlite(&self.path, error)
    }

    fn remove_some(&mut self) -> Result<usize> {
        let (which, conversation, before_ms) = self.which()?;
        let (most, most_bytes) = match self.is_short {
            true => (SHORT_STEP, SHORT_STEP_BYTES),
            false => (STEP, i64::MAX),
        };
        let mut step = || {
            let act = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (mut ids, mut bytes) = (Vec::<i64>::new(), 0);
            'all: for which in which {
                let mut next = act.prepare_cached(&next_of(which))?;
                let left = (most - ids.len()) as i64;
                let mut rows = next.query((conversation, before_ms, self.seen, left))?;
                while let Some(row) = rows.next()? {
                    bytes += row.get::<_, i64>(1)?;
                    if bytes > most_bytes && !ids.is_empty() {
                        break 'all;
                    }
                    ids.push(row.get(0)?);
                }
            }
            let mut removal = Removal::new(&act)?;
            for &id in &ids {
                removal.take(id)?;
            }
            removal.finish(true)?;
            act.commit()?;
            self.seen = ids.last().copied().unwrap_or(self.seen);
            Ok(ids.len())
        };
        step().map_err(|error| StoreError::of_sqlite(&self.path, &error))
    }

    /// The ends of the statements, and their first two values.
    fn which(&self) -> Result<(&'static [&'static str], Option<i64>, i64)> {
        let before_ms = self.selection.before_ms.unwrap_or(i64::MAX);
        let Some(name) = &self.selection.conversation else {
            return Ok((&[OF_ALL], None, before_ms));
        };
        // numbers are given from 1
        let number = self
            .db
            .query_row(
                "SELECT ifnull((SELECT id FROM conversation WHERE name = ?1), 0)",
                [name],
                |row| row.get(0),
            )
            .map_err(|error| StoreError::of_sqlite(&self.path, &error))?;
        Ok((&[PLACED, UNPLACED], Some(number), before_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ALL, TempDir, fill, ids, object, open};
    use super::*;

    #[test]
    fn what_is_selected_goes_and_is_missed() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        fill(&mut writer, 1..=10);
        // these have no place yet
        for id in 11..=100 {
            writer.append(id, "#work", id as i64, &object("bob", "work"));
        }
        fill(&mut writer, 101..=3_000);
        let purge = |conversation: Option<&str>, before_ms| {
            let selection = Selection { conversation: conversation.map(str::to_owned), before_ms };
            let mut purge = Purge::open(directory.path(), selection).unwrap();
            let (count, mut gone) = (purge.count().unwrap(), 0);
            loop {
                match purge.step().unwrap() {
                    0 => break,
                    step => gone += step as u64,
                }
            }
            assert_eq!(gone, count);
            gone
        };
        assert_eq!(purge(Some("#nobody"), None), 0);
        assert_eq!(purge(Some("#work"), Some(51)), 40);
        assert_eq!(ids(&reader, "#work", &ALL), (51..=100).collect::<Vec<_>>());
        assert!(!reader.recovered("#work", 49, store.epoch()).unwrap());
        assert!(reader.recovered("#work", 50, store.epoch()).unwrap());
        assert!(reader.recovered("#tea", 0, store.epoch()).unwrap());
        assert_eq!(purge(Some("#tea"), None), 2_910);
        assert_eq!(ids(&reader, "#tea", &ALL), [0; 0]);
        writer.append(3_001, "#tea", 200, &object("alice", "anew"));
        writer.append(3_002, "#work", 300, &object("alice", "anew"));
        writer.commit().unwrap();
        assert_eq!(ids(&reader, "#tea", &ALL), [3_001]);
        assert_eq!(purge(None, Some(250)), 51);
        assert_eq!(ids(&reader, "#work", &ALL), [3_002]);
        let db = store.connect().unwrap();
        let places: i64 = db.query_row("SELECT count(*) FROM place", [], |row| row.get(0)).unwrap();
        assert_eq!(places, 1);
        assert_eq!(purge(None, None), 1);
        drop((writer, reader, store, db));
        assert_eq!(open(&directory).next_id(), 3_003);
    }

    #[test]
    fn all_steps_together_read_each_message_once() {
        use rusqlite::StatementStatus;
        const PLACED_ROWS: u64 = 20_000;
        const ALL_ROWS: u64 = 30_000;
        for conversation in [Some("#tea".to_owned()), None] {
            let directory = TempDir::new();
            let mut store = open(&directory);
            let mut writer = store.writer().unwrap();
            fill(&mut writer, 1..=PLACED_ROWS);
            writer.maintain(0).unwrap();
            fill(&mut writer, PLACED_ROWS + 1..=ALL_ROWS);
            let selection = Selection { conversation, before_ms: None };
            let mut purge = Purge::open(directory.path(), selection).unwrap();
            let (which, ..) = purge.which().unwrap();
            let mut gone = 0;
            loop {
                match purge.step().unwrap() {
                    0 => break,
                    step => gone += step as u64,
                }
            }
            assert_eq!(gone, ALL_ROWS);
            let steps = which.iter().map(|which| {
                let next = purge.db.prepare_cached(&next_of(which)).unwrap();
                next.get_status(StatementStatus::VmStep)
            });
            let steps = u64::try_from(steps.sum::<i32>()).unwrap();
            assert!((gone..5 * gone).contains(&steps), "{steps} steps for {gone} messages");
        }
    }
}
