//! A program around a server, with figures of the test's choice.

use std::sync::Mutex;

use chatproto::ServerHandle;
use metrics::{AccountCounts, HistoryCounts, LogCounts, OrderCount, Program};
use shared::usage::{Table, Usage};

/// Two tables of its own, accounts and a history that never change.
#[derive(Default)]
pub(crate) struct TestProgram {
    pub(crate) data_failure: Mutex<Option<String>>,
}

impl Program for TestProgram {
    fn tables(&self) -> Vec<Table> {
        vec![
            Table::new("queues of readers", Usage { bytes: 7, most: 100 }),
            Table::new("no bound", Usage { bytes: 1, most: usize::MAX }),
            Table::new("stored bans", Usage { bytes: 3, most: 10 }).counted_in("rows"),
        ]
    }

    fn history(&self) -> Option<HistoryCounts> {
        Some(HistoryCounts { stored: 5, removed_surplus: 2, ..HistoryCounts::default() })
    }

    fn accounts(&self) -> Option<AccountCounts> {
        let order = OrderCount { order: "login", result: "wrong_password", count: 4 };
        Some(AccountCounts { accounts: 9, orders: vec![order] })
    }

    fn log(&self) -> LogCounts {
        LogCounts { hidden: vec![("refused", 6), ("denied", 0)], dropped: 8 }
    }

    fn data_failure(&self) -> Option<String> {
        self.data_failure.lock().unwrap().clone()
    }
}

/// The exposition of a server in such a program.
pub(crate) fn exposition(handle: &ServerHandle) -> metrics::Exposition {
    metrics::Exposition::new(handle.clone(), std::sync::Arc::new(TestProgram::default()))
}
