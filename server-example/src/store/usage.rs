//! How much of each bound of the store is used. The thread that writes sets the values; any thread
//! reads them.

use std::sync::atomic::{AtomicU64, Ordering};

use chatproto::history::{ORDERS_MOST, PENDING_MOST};

use super::mailbox::MAILBOXES_BYTES;
use super::wal::WAL_MOST;

/// A value beside its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gauge {
    pub(crate) used: u64,
    /// `None`: no bound.
    pub(crate) most: Option<u64>,
}

/// Gauges of the store.
#[derive(Debug, Default)]
pub(crate) struct StoreUsage {
    pending: AtomicU64,
    orders: AtomicU64,
    not_kept: AtomicU64,
    mailboxes: AtomicU64,
    history: AtomicU64,
    history_most: Option<u64>,
    wal: AtomicU64,
}

impl StoreUsage {
    pub(super) fn new(history_most: Option<u64>) -> Self {
        StoreUsage { history_most, ..StoreUsage::default() }
    }

    pub(crate) fn set_pending(&self, bytes: u64) {
        self.pending.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_orders(&self, bytes: u64) {
        self.orders.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_files(&self, history: u64, mailboxes: u64, wal: u64) {
        self.history.store(history, Ordering::Relaxed);
        self.mailboxes.store(mailboxes, Ordering::Relaxed);
        self.wal.store(wal, Ordering::Relaxed);
    }

    pub(crate) fn count_not_kept(&self, messages: u64) {
        self.not_kept.fetch_add(messages, Ordering::Relaxed);
    }
}

// a page of metrics is to read them
#[allow(dead_code)]
impl StoreUsage {
    /// Bytes of messages in memory that are not written yet, in the queue of the server and in the
    /// writer.
    pub(crate) fn pending(&self) -> Gauge {
        let most = Some(PENDING_MOST as u64);
        Gauge { used: self.pending.load(Ordering::Relaxed), most }
    }

    /// Bytes of orders, such as letters for mailboxes, in the queue of the server.
    pub(crate) fn orders(&self) -> Gauge {
        Gauge { used: self.orders.load(Ordering::Relaxed), most: Some(ORDERS_MOST as u64) }
    }

    /// Messages since the start that were delivered and not kept.
    pub(crate) fn not_kept(&self) -> u64 {
        self.not_kept.load(Ordering::Relaxed)
    }

    /// Bytes of the messages in all mailboxes.
    pub(crate) fn mailboxes(&self) -> Gauge {
        Gauge { used: self.mailboxes.load(Ordering::Relaxed), most: Some(MAILBOXES_BYTES) }
    }

    /// Bytes in use in the file (`--history-max`).
    pub(crate) fn history(&self) -> Gauge {
        Gauge { used: self.history.load(Ordering::Relaxed), most: self.history_most }
    }

    /// Bytes of the write-ahead log.
    pub(crate) fn wal(&self) -> Gauge {
        Gauge { used: self.wal.load(Ordering::Relaxed), most: Some(WAL_MOST) }
    }
}
