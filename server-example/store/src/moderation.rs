//! Bans and mutes, which outlive the server. They are few, and change rarely. Their number is bounded
//! ([`SANCTIONS_MOST`]), and so is the length of a reason ([`REASON`]).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chatproto::hub::BanTarget;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use shared::text::cut;

use super::database::unsigned;
use super::error::{ErrorKind, Result, StoreError};
use super::usage::{SANCTIONS_MOST, StoreUsage};
use super::wal;

/// Bytes of the reason of a ban. A longer one is cut.
const REASON: usize = 1_024;

/// Reads and changes bans and mutes. Each change is on the disk when it returns.
#[derive(Debug)]
pub struct Moderation {
    db: Mutex<Connection>,
    path: PathBuf,
    /// Bytes of the write-ahead log beyond which nothing is changed.
    wal_most: u64,
    usage: Arc<StoreUsage>,
}

/// A ban or a mute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanction {
    /// The target in its one spelling: see [`chatproto::hub::BanTarget::key`]. Of a mute it is the name.
    pub key: String,
    /// The target as it was written.
    pub target: String,
    /// The name of the actor who imposed it.
    pub by: String,
    /// The rank that the actor had.
    pub rank: String,
    /// Empty if the actor gave none.
    pub reason: String,
    /// Unix times in milliseconds. An end of `None`: without an end.
    pub since_ms: i64,
    /// The end, as Unix time in milliseconds. `None`: without an end.
    pub until_ms: Option<i64>,
}

/// What a sanction keeps its target from: each kind has a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To connect.
    Ban,
    /// To speak.
    Mute,
}

impl Kind {
    fn table(self) -> &'static str {
        match self {
            Kind::Ban => "ban",
            Kind::Mute => "mute",
        }
    }
}

impl Moderation {
    pub(super) fn new(
        db: Connection,
        path: PathBuf,
        wal_most: u64,
        usage: Arc<StoreUsage>,
    ) -> Result<Self> {
        let moderation = Moderation { db: Mutex::new(db), path, wal_most, usage };
        let (bans, mutes) = moderation.with(count)?;
        moderation.usage.set_sanctions(bans, mutes);
        Ok(moderation)
    }

    /// All that have not run out, by their keys.
    pub fn all(&self, kind: Kind, now_ms: i64) -> Result<Vec<Sanction>> {
        self.with(|db| {
            let mut rows = db.prepare_cached(&format!(
                "SELECT key, target, by, rank, reason, since_ms, until_ms FROM {}
                 WHERE until_ms IS NULL OR until_ms > ?1 ORDER BY key",
                kind.table()
            ))?;
            let rows = rows.query_map([now_ms], |row| {
                Ok(Sanction {
                    key: row.get(0)?,
                    target: row.get(1)?,
                    by: row.get(2)?,
                    rank: row.get(3)?,
                    reason: row.get(4)?,
                    since_ms: row.get(5)?,
                    until_ms: row.get(6)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Adds one, or takes the place of that of the same key.
    pub fn set(&self, kind: Kind, sanction: &Sanction, now_ms: i64) -> Result<()> {
        let Sanction { key, target, by, rank, since_ms, until_ms, .. } = sanction;
        let (reason, table) = (cut(&sanction.reason, REASON), kind.table());
        let is_set = self.write(|act| {
            remove_expired(act, now_ms)?;
            let set = act
                .prepare_cached(&format!(
                    "INSERT OR REPLACE INTO {table} SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
                     WHERE ?1 IN (SELECT key FROM {table}) OR (SELECT count(*) FROM {table}) < ?8"
                ))?
                .execute((key, target, by, rank, reason, since_ms, until_ms, SANCTIONS_MOST))?;
            Ok(set > 0)
        })?;
        Self::is_within(is_set, table)
    }

    /// Removes that of a key; whether there was one.
    pub fn remove(&self, kind: Kind, key: &str) -> Result<bool> {
        let sql = format!("DELETE FROM {} WHERE key = ?1", kind.table());
        self.write(|act| act.prepare_cached(&sql)?.execute([key])).map(|n| n > 0)
    }

    /// Gives a ban the key and the spelling of its target, if it has another key. A ban that
    /// has this key already stays.
    pub fn correct_ban(&self, key: &str, target: &BanTarget, now_ms: i64) -> Result<()> {
        self.write(|act| {
            remove_expired(act, now_ms)?;
            act.prepare_cached("UPDATE OR IGNORE ban SET key = ?2, target = ?3 WHERE key = ?1")?
                .execute((key, target.key(), target.to_string()))?;
            act.prepare_cached("DELETE FROM ban WHERE key = ?1")?.execute([key])
        })
        .map(drop)
    }

    /// Removes bans and mutes that have run out; how many. Does not write if there are none.
    pub fn expire(&self, now_ms: i64) -> Result<usize> {
        let has_expired: bool = self.with(|db| {
            db.prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM ban WHERE until_ms <= ?1)
                     OR EXISTS(SELECT 1 FROM mute WHERE until_ms <= ?1)",
            )?
            .query_row([now_ms], |row| row.get(0))
        })?;
        if has_expired { self.write(|act| remove_expired(act, now_ms)) } else { Ok(0) }
    }

    fn is_within(is_set: bool, what: &str) -> Result<()> {
        match is_set {
            true => Ok(()),
            false => Err(StoreError::new(
                ErrorKind::Full,
                format!(
                    "there are {SANCTIONS_MOST} {what}s already, which is the most: lift some of them"
                ),
            )),
        }
    }

    /// Changes something in one transaction. First the log is kept within its bound.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        wal::keep_short(&db, &self.path, self.wal_most)?;
        let run = || {
            let act = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = change(&act)?;
            let (bans, mutes) = count(&act)?;
            act.commit()?;
            self.usage.set_sanctions(bans, mutes);
            Ok(done)
        };
        run().map_err(|error| StoreError::of_sqlite(&self.path, &error))
    }

    fn with<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        act(&db).map_err(|error| StoreError::of_sqlite(&self.path, &error))
    }
}

/// How many bans and mutes there are.
fn count(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    db.prepare_cached("SELECT (SELECT count(*) FROM ban), (SELECT count(*) FROM mute)")?
        .query_row([], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
}

/// Removes bans and mutes that have run out; how many.
fn remove_expired(act: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<usize> {
    let bans = act.prepare_cached("DELETE FROM ban WHERE until_ms <= ?1")?.execute([now_ms])?;
    let mutes = act.prepare_cached("DELETE FROM mute WHERE until_ms <= ?1")?.execute([now_ms])?;
    Ok(bans + mutes)
}

/// Moves the bans of a file of an older version, which knew no keys. Of several rows with one key, the one
/// that holds longest stays.
pub(super) fn give_keys(act: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut before = act.prepare(
        "SELECT target, by, reason, until_ms FROM ban_before ORDER BY until_ms IS NULL, until_ms",
    )?;
    let mut add = act.prepare(
        "INSERT OR REPLACE INTO ban VALUES (?1, ?2, ?3, 'moderator', ?4, unixepoch() * 1000, ?5)",
    )?;
    let mut rows = before.query(())?;
    while let Some(row) = rows.next()? {
        let (target, by, reason): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let until_ms: Option<i64> = row.get(3)?;
        // a target that is not valid any more could not be put in force either
        if let Ok(key) = target.parse::<BanTarget>().map(|target| target.key()) {
            add.execute((key, target, by, reason, until_ms))?;
        }
    }
    drop(rows);
    drop((before, add));
    act.execute_batch("DROP TABLE ban_before")
}
