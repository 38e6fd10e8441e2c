//! The used part of each bound of the store, and counts since the start. The thread that writes sets the
//! values; any thread reads them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chatproto::history::{ORDERS_MOST, PENDING_MOST};
use shared::usage::{Table, Usage};

use super::wal::WAL_MOST;

/// Bytes in all mailboxes.
pub(crate) const MAILBOXES_BYTES: u64 = 64 << 20;
/// Bans, and mutes, that are in force. One more is refused.
pub(crate) const SANCTIONS_MOST: i64 = 16_384;

/// Messages that were removed without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// For their age.
    pub old: u64,
    /// For the size of the file.
    pub surplus: u64,
}

/// Gauges and counters of the store.
#[derive(Debug, Default)]
pub struct StoreUsage {
    pending: AtomicU64,
    orders: AtomicU64,
    not_kept: AtomicU64,
    stored: AtomicU64,
    commits: AtomicU64,
    commit_failures: AtomicU64,
    commit_nanos: AtomicU64,
    removed_old: AtomicU64,
    removed_surplus: AtomicU64,
    mailboxes: AtomicU64,
    history: AtomicU64,
    wal: AtomicU64,
    bans: AtomicU64,
    mutes: AtomicU64,
}

impl StoreUsage {
    /// Sets the bytes of messages that are not written yet.
    pub fn set_pending(&self, bytes: u64) {
        self.pending.store(bytes, Ordering::Relaxed);
    }

    /// Sets the bytes of orders in the queue of the server.
    pub fn set_orders(&self, bytes: u64) {
        self.orders.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_files(&self, history: u64, mailboxes: u64, wal: u64) {
        self.history.store(history, Ordering::Relaxed);
        self.mailboxes.store(mailboxes, Ordering::Relaxed);
        self.wal.store(wal, Ordering::Relaxed);
    }

    pub(super) fn set_sanctions(&self, bans: u64, mutes: u64) {
        self.bans.store(bans, Ordering::Relaxed);
        self.mutes.store(mutes, Ordering::Relaxed);
    }

    /// Counts messages that were delivered and not stored.
    pub fn count_not_kept(&self, messages: u64) {
        self.not_kept.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts a transaction that is on the disk, with its messages and the time that it took.
    pub(super) fn count_commit(&self, messages: usize, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.stored.fetch_add(messages as u64, Ordering::Relaxed);
        self.commit_nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Counts a transaction that failed, and is tried again later.
    pub(super) fn count_commit_failure(&self) {
        self.commit_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_removed(&self, removed: Removed) {
        self.removed_old.fetch_add(removed.old, Ordering::Relaxed);
        self.removed_surplus.fetch_add(removed.surplus, Ordering::Relaxed);
    }
}

impl StoreUsage {
    /// Bytes of messages in memory that are not written yet, in the queue of the server and in the
    /// writer.
    pub fn pending(&self) -> Usage {
        usage(&self.pending, PENDING_MOST)
    }

    /// Bytes of orders, such as letters for mailboxes, in the queue of the server.
    pub fn orders(&self) -> Usage {
        usage(&self.orders, ORDERS_MOST)
    }

    /// Messages since the start that were delivered and not kept.
    pub fn not_kept(&self) -> u64 {
        self.not_kept.load(Ordering::Relaxed)
    }

    /// Messages since the start that were written to the history.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Transactions since the start that wrote messages, or notes that some are missing.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// The time that these transactions took.
    pub fn commit_time(&self) -> Duration {
        Duration::from_nanos(self.commit_nanos.load(Ordering::Relaxed))
    }

    /// Transactions of that kind that failed since the start. Each attempt counts.
    pub fn commit_failures(&self) -> u64 {
        self.commit_failures.load(Ordering::Relaxed)
    }

    /// Messages that were removed since the start, without being asked for.
    pub fn removed(&self) -> Removed {
        Removed {
            old: self.removed_old.load(Ordering::Relaxed),
            surplus: self.removed_surplus.load(Ordering::Relaxed),
        }
    }

    /// Bytes of the messages in all mailboxes.
    pub fn mailboxes(&self) -> Usage {
        usage(&self.mailboxes, MAILBOXES_BYTES as usize)
    }

    /// Bytes in use in the file.
    pub fn history(&self) -> u64 {
        self.history.load(Ordering::Relaxed)
    }

    /// Bytes of the write-ahead log.
    pub fn wal(&self) -> Usage {
        usage(&self.wal, WAL_MOST as usize)
    }

    /// Rows of bans, and of mutes.
    pub fn sanctions(&self) -> [Usage; 2] {
        [&self.bans, &self.mutes].map(|rows| usage(rows, SANCTIONS_MOST as usize))
    }

    /// The tables of the store that peers can grow.
    pub fn tables(&self) -> [Table; 6] {
        let [bans, mutes] = self.sanctions();
        [
            Table::new("messages not yet written to disk", self.pending()),
            Table::new("orders to the history", self.orders()),
            Table::new("mailboxes", self.mailboxes()),
            Table::new("write-ahead log of the data file", self.wal()),
            Table::new("stored bans", bans).counted_in("rows"),
            Table::new("stored mutes", mutes).counted_in("rows"),
        ]
    }
}

fn usage(value: &AtomicU64, most: usize) -> Usage {
    Usage { bytes: usize::try_from(value.load(Ordering::Relaxed)).unwrap_or(usize::MAX), most }
}
