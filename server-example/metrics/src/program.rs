//! Figures that the program around a server knows and the library does not.

use std::time::Duration;

use shared::usage::Table;

/// The program that runs a server. Each method reads counters only, and waits for nothing.
pub trait Program: Send + Sync + 'static {
    /// The tables that peers can grow, each with its bound: also those of
    /// [`ServerHandle::usage`](chatproto::ServerHandle::usage).
    fn tables(&self) -> Vec<Table>;

    /// The counts of the history. `None` without a history.
    fn history(&self) -> Option<HistoryCounts>;

    /// The counts of the accounts. `None` without accounts.
    fn accounts(&self) -> Option<AccountCounts>;

    /// The counts of the log.
    fn log(&self) -> LogCounts;

    /// Why data that should be stored is not, because the server could not open its data file.
    fn data_failure(&self) -> Option<String>;
}

/// Counts of a history since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryCounts {
    /// Messages that were written.
    pub stored: u64,
    /// Messages that were delivered and not written.
    pub missing: u64,
    /// Transactions that wrote messages.
    pub commits: u64,
    /// The time that they took.
    pub commit_time: Duration,
    /// Transactions that failed.
    pub commit_failures: u64,
    /// Messages that were removed for their age.
    pub removed_old: u64,
    /// Messages that were removed for the size of the file.
    pub removed_surplus: u64,
    /// Gauge: bytes in use in the data file.
    pub file_bytes: u64,
}

/// Counts of lines that the log does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines above the limit of their kind since the start, by kind. The log has their number.
    pub hidden: Vec<(&'static str, u64)>,
    /// Lines that standard error did not take in time since the start.
    pub dropped: u64,
}

/// Counts of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountCounts {
    /// Gauge: the number of accounts.
    pub accounts: usize,
    /// The results of orders since the start.
    pub orders: Vec<OrderCount>,
}

/// How often an order had a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCount {
    /// The order, such as `login`.
    pub order: &'static str,
    /// The result, such as `wrong_password`.
    pub result: &'static str,
    /// How often.
    pub count: u64,
}
