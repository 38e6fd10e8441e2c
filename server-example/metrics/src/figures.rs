//! All figures of one scrape, read before anything is encoded: the hub's lock is held while numbers are
//! copied, and not while text is made.

use chatproto::ServerHandle;
use chatproto::metrics::Metrics;
use shared::usage::Table;

use super::process::Process;
use super::program::{AccountCounts, HistoryCounts, LogCounts, Program};

/// The figures of one moment.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) server: Metrics,
    pub(crate) tables: Vec<Table>,
    pub(crate) history: Option<HistoryCounts>,
    pub(crate) is_history_failing: bool,
    pub(crate) accounts: Option<AccountCounts>,
    pub(crate) log: LogCounts,
    pub(crate) process: Option<Process>,
}

impl Figures {
    pub(crate) fn read(handle: &ServerHandle, program: &dyn Program) -> Self {
        Figures {
            server: handle.metrics(),
            tables: program.tables(),
            history: program.history(),
            is_history_failing: handle.history_failure().is_some(),
            accounts: program.accounts(),
            log: program.log(),
            process: Process::read(),
        }
    }
}
