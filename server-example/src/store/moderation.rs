//! Bans and mutes, which outlive the server. They are few, and change rarely. Their number is bounded
//! ([`MOST`]), and so is the length of a reason ([`REASON`]).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::{ErrorKind, Result, StoreError};
use super::usage::StoreUsage;
use super::{unsigned, wal};
use crate::text::cut;

/// Bans, and mutes, that are in force. One more is refused.
pub(crate) const MOST: i64 = 16_384;
/// Bytes of the reason of a ban. A longer one is cut.
const REASON: usize = 1_024;

/// Reads and changes bans and mutes. Each change is on the disk when it returns.
#[derive(Debug)]
pub(crate) struct Moderation {
    db: Mutex<Connection>,
    path: PathBuf,
    /// Bytes of the write-ahead log beyond which nothing is changed.
    wal_most: u64,
    usage: Arc<StoreUsage>,
}

/// A name, an address or a network that may not connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    /// A name, an address or a network, as moderators see it.
    pub(crate) target: String,
    /// The moderator.
    pub(crate) by: String,
    /// Empty if the moderator gave none.
    pub(crate) reason: String,
    /// Unix time in milliseconds; `None`: without an end.
    pub(crate) until_ms: Option<i64>,
}

/// A name that may not speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mute {
    pub(crate) name: String,
    /// Unix time in milliseconds; `None`: for good.
    pub(crate) until_ms: Option<i64>,
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

    /// All bans that have not run out, by their targets.
    pub(crate) fn bans(&self, now_ms: i64) -> Result<Vec<Ban>> {
        self.with(|db| {
            let mut bans = db.prepare_cached(
                "SELECT target, by, reason, until_ms FROM ban
                 WHERE until_ms IS NULL OR until_ms > ?1 ORDER BY target",
            )?;
            let bans = bans.query_map([now_ms], |row| {
                Ok(Ban {
                    target: row.get(0)?,
                    by: row.get(1)?,
                    reason: row.get(2)?,
                    until_ms: row.get(3)?,
                })
            })?;
            bans.collect()
        })
    }

    /// Bans, or changes the ban of the same target.
    pub(crate) fn set_ban(&self, ban: &Ban, now_ms: i64) -> Result<()> {
        let reason = cut(&ban.reason, REASON);
        let is_set = self.write(|act| {
            remove_expired(act, now_ms)?;
            let set = act
                .prepare_cached(
                    "INSERT OR REPLACE INTO ban(target, by, reason, until_ms) SELECT ?1, ?2, ?3, ?4
                     WHERE ?1 IN (SELECT target FROM ban) OR (SELECT count(*) FROM ban) < ?5",
                )?
                .execute((&ban.target, &ban.by, reason, ban.until_ms, MOST))?;
            Ok(set > 0)
        })?;
        Self::is_within(is_set, "bans")
    }

    /// Ends a ban; whether there was one.
    pub(crate) fn remove_ban(&self, target: &str) -> Result<bool> {
        self.write(|act| act.prepare_cached("DELETE FROM ban WHERE target = ?1")?.execute([target]))
            .map(|n| n > 0)
    }

    /// All mutes that have not run out, by their names.
    pub(crate) fn mutes(&self, now_ms: i64) -> Result<Vec<Mute>> {
        self.with(|db| {
            let mut mutes = db.prepare_cached(
                "SELECT name, until_ms FROM mute WHERE until_ms IS NULL OR until_ms > ?1 ORDER BY name",
            )?;
            let mutes =
                mutes.query_map([now_ms], |row| Ok(Mute { name: row.get(0)?, until_ms: row.get(1)? }))?;
            mutes.collect()
        })
    }

    /// Mutes, or changes until when.
    pub(crate) fn set_mute(&self, mute: &Mute, now_ms: i64) -> Result<()> {
        let is_set = self.write(|act| {
            remove_expired(act, now_ms)?;
            let set = act
                .prepare_cached(
                    "INSERT OR REPLACE INTO mute(name, until_ms) SELECT ?1, ?2
                     WHERE ?1 IN (SELECT name FROM mute) OR (SELECT count(*) FROM mute) < ?3",
                )?
                .execute((&mute.name, mute.until_ms, MOST))?;
            Ok(set > 0)
        })?;
        Self::is_within(is_set, "mutes")
    }

    /// Ends a mute. Whether there was one.
    pub(crate) fn remove_mute(&self, name: &str) -> Result<bool> {
        self.write(|act| act.prepare_cached("DELETE FROM mute WHERE name = ?1")?.execute([name]))
            .map(|n| n > 0)
    }

    /// Removes bans and mutes that have run out; how many. Does not write if there are none.
    pub(crate) fn expire(&self, now_ms: i64) -> Result<usize> {
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
                format!("there are {MOST} {what} already, which is the most: lift some of them"),
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
