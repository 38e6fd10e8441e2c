//! The figures of the server that the library does not know, in one place for the metrics and for the log.

use std::sync::Arc;

use chatproto::ServerHandle;
use metrics::{AccountCounts, HistoryCounts, LogCounts, OrderCount, Program};
use shared::stderr;
use shared::usage::Table;
use store::Removed;

use crate::accounts::counts::{OrderKind, OrderResult};
use crate::audit::AuditLog;
use crate::fill;
use crate::journal::Journal;
use crate::persistence::DataGauges;

/// Reads the figures of a server and of its parts.
pub(crate) struct ProgramFigures {
    handle: ServerHandle,
    journal: Arc<Journal>,
    audit: Arc<AuditLog>,
    /// `None` if nothing is stored.
    data: Option<DataGauges>,
    /// Something should be stored.
    wants_data: bool,
}

impl ProgramFigures {
    pub(crate) fn new(
        handle: ServerHandle,
        journal: Arc<Journal>,
        audit: Arc<AuditLog>,
        data: Option<DataGauges>,
        wants_data: bool,
    ) -> Self {
        ProgramFigures { handle, journal, audit, data, wants_data }
    }
}

impl Program for ProgramFigures {
    fn tables(&self) -> Vec<Table> {
        let mut tables = self.data.as_ref().map_or_else(Vec::new, DataGauges::tables);
        tables.extend(fill::of_server(&self.handle.usage()));
        tables.extend(self.audit.tables());
        tables.extend(self.journal.tables());
        tables
    }

    fn history(&self) -> Option<HistoryCounts> {
        let store = self.data.as_ref()?.store();
        let Removed { old, surplus } = store.removed();
        Some(HistoryCounts {
            stored: store.stored(),
            missing: store.not_kept(),
            commits: store.commits(),
            commit_time: store.commit_time(),
            commit_failures: store.commit_failures(),
            removed_old: old,
            removed_surplus: surplus,
            file_bytes: store.history(),
        })
    }

    fn accounts(&self) -> Option<AccountCounts> {
        let book = self.data.as_ref()?.book()?;
        let counts = book.counts();
        let of_order = |kind: OrderKind| {
            OrderResult::ALL.map(|result| OrderCount {
                order: kind.label(),
                result: result.label(),
                count: counts.get(kind, result),
            })
        };
        let orders = OrderKind::ALL.into_iter().flat_map(of_order).collect();
        Some(AccountCounts { accounts: book.len(), orders })
    }

    fn log(&self) -> LogCounts {
        LogCounts { hidden: self.journal.hidden(), dropped: stderr::queue().missed() }
    }

    fn data_failure(&self) -> Option<String> {
        let is_missing = self.wants_data && self.data.is_none();
        is_missing.then(|| "nothing is stored: the data file could not be made".to_owned())
    }
}

#[cfg(test)]
mod tests;
