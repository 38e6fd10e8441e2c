//! Logs when a table that peers can grow is nearly full. At its bound, users are refused or miss
//! messages, and the operator learns which bound is the reason.
//!
//! The history is not among the tables. A history with a bound is at its bound most of the time, and
//! the oldest messages of the heaviest sender go.

use std::collections::BTreeSet;

use shared::usage::{Table, Usage};
use tracing::{info, warn};

/// A table becomes nearly full above [`FULL`] per cent of its bound, and ceases to be so at [`EASED`].
const FULL: usize = 90;
const EASED: usize = 75;

/// The tables of the server that peers can grow.
pub(crate) fn of_server(usage: &chatproto::hub::Usage) -> [Table; 7] {
    let chatproto::hub::Used { bytes, most, .. } = usage.guesses;
    [
        Table::new("counts of wrong tokens", Usage { bytes, most }),
        Table::bounded_by("--max-connections", "connections", usage.sessions),
        Table::bounded_by("--queue-total", "queues of readers", usage.queues),
        Table::bounded_by("--input-total", "unfinished messages and waiting input", usage.input),
        Table::bounded_by("--rooms-total", "rooms and their members", usage.rooms),
        Table::bounded_by("--sanctions-total", "bans and mutes", usage.sanctions),
        Table::bounded_by("--effects-total", "pending names, logins and commands", usage.effects),
    ]
}

/// Which tables are nearly full, as far as the log says.
#[derive(Debug, Default)]
pub(crate) struct Fill(BTreeSet<&'static str>);

impl Fill {
    /// Logs the tables that have become nearly full, or are so no longer.
    pub(crate) fn tick(&mut self, tables: &[Table]) {
        for (Table { name, unit, usage, option }, is_full) in self.changes(tables) {
            let Usage { bytes, most } = usage;
            match (is_full, option) {
                (true, Some(option)) => {
                    warn!("{name}: {bytes} of {most} {unit} are used; raise {option} for more");
                }
                (true, None) => warn!("{name}: {bytes} of {most} {unit} are used"),
                (false, _) => info!("{name}: {bytes} of {most} {unit} are used"),
            }
        }
    }

    /// The tables that have become nearly full, or are so no longer.
    fn changes(&mut self, tables: &[Table]) -> Vec<(Table, bool)> {
        let mut changes = Vec::new();
        for table in tables {
            let Usage { bytes, most } = table.usage;
            let was_full = self.0.contains(table.name);
            let per_cent = if was_full { EASED } else { FULL };
            let is_full = bytes as u128 * 100 > most as u128 * per_cent as u128;
            if is_full != was_full {
                match is_full {
                    true => self.0.insert(table.name),
                    false => self.0.remove(table.name),
                };
                changes.push((*table, is_full));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;
    use crate::journal::tests::written;

    #[test]
    fn a_table_that_is_nearly_full_is_said_once_and_again_when_it_has_eased() {
        let mut fill = Fill::default();
        let mut at = |per_cent: usize| {
            let other = Table::new("another", Usage { bytes: 89, most: 100 });
            let table = Table::new("rooms", Usage { bytes: per_cent * 50, most: 5_000 });
            let changes = fill.changes(&[other, table]);
            changes.into_iter().map(|(table, is_full)| (table.name, is_full)).collect::<Vec<_>>()
        };
        assert_eq!(at(90), []);
        assert_eq!(at(91), [("rooms", true)]);
        assert_eq!(at(99), []);
        assert_eq!(at(80), []);
        assert_eq!(at(75), [("rooms", false)]);
        assert_eq!(at(80), []);
    }

    #[test]
    fn a_line_has_the_bound_its_unit_and_its_option() {
        let lines = written(LevelFilter::INFO, |_, _| {
            let mut fill = Fill::default();
            let mut usage = chatproto::hub::Hub::builder().build().usage();
            usage.rooms.bytes = usage.rooms.most;
            let [.., rooms, _, _] = of_server(&usage);
            let bans = |bytes| Table::new("stored bans", Usage { bytes, most: 10 });
            fill.tick(&[rooms, bans(10).counted_in("rows")]);
            fill.tick(&[rooms, bans(1).counted_in("rows")]);
        });
        assert_eq!(
            lines,
            [
                "WARN rooms and their members: 67108864 of 67108864 bytes are used; raise \
                 --rooms-total for more",
                "WARN stored bans: 10 of 10 rows are used",
                "INFO stored bans: 1 of 10 rows are used",
            ]
        );
    }
}
