//! Options of the store: when a commit is on the disk, and how long messages are stored.

use std::time::Duration;

use super::wal;

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sync {
    /// When it returns: it survives the end of the program and of the machine
    #[default]
    Full,
    /// Soon after: it survives the end of the program; the machine's may cost the last seconds
    Normal,
}

/// How messages are kept.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// When a commit is on the disk.
    pub sync: Sync,
    /// How long messages are stored.
    pub retention: Retention,
    /// Bytes of the write-ahead log beyond which nothing is kept.
    pub wal_most: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let (sync, retention) = (Sync::default(), Retention::default());
        StoreOptions { sync, retention, wal_most: wal::WAL_MOST }
    }
}

/// How long messages are kept; without bounds, for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Older ones go.
    pub keep: Option<Duration>,
    /// The oldest of the heaviest senders go when the file holds more bytes.
    pub max_bytes: Option<u64>,
}
