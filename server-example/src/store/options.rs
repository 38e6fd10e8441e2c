//! Options of the store: when a commit is on the disk, and how long messages are stored.

use std::time::Duration;

use super::wal;

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
