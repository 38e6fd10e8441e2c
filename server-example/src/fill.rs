//! Tells the operator when a table that peers can grow is nearly full: its bound is why users are refused
//! or told that they missed something, and the log says which one it is.

use chatproto::{Usage, Used};
use tracing::{info, warn};

/// A table is nearly full from here on, and no longer from there on: in per cent of its bound.
const FULL: usize = 90;
const EASED: usize = 75;

/// A table: its name, the option that bounds it, and what is used of it.
type Table = (&'static str, &'static str, fn(&Usage) -> Used);

const TABLES: [Table; 5] = [
    ("queues of readers", "--queue-total", |usage| usage.queues),
    ("unfinished messages and waiting input", "--input-total", |usage| usage.input),
    ("rooms and their members", "--rooms-total", |usage| usage.rooms),
    ("bans and mutes", "--sanctions-total", |usage| usage.sanctions),
    ("pending names, logins and commands", "--effects-total", |usage| usage.effects),
];

/// Which tables are nearly full, as far as the log says.
#[derive(Debug, Default)]
pub(crate) struct Fill([bool; TABLES.len()]);

impl Fill {
    /// Logs what has changed.
    pub(crate) fn tick(&mut self, usage: &Usage) {
        for (number, is_full) in self.changes(usage) {
            let (table, option, of) = TABLES[number];
            let Used { bytes, most, .. } = of(usage);
            match is_full {
                true => warn!("{table}: {bytes} of {most} bytes are used; raise {option} for more"),
                false => info!("{table}: {bytes} of {most} bytes are used"),
            }
        }
    }

    /// The tables that have become nearly full, or are so no longer.
    fn changes(&mut self, usage: &Usage) -> Vec<(usize, bool)> {
        let mut changes = Vec::new();
        for (number, (was_full, (_, _, of))) in self.0.iter_mut().zip(TABLES).enumerate() {
            let Used { bytes, most, .. } = of(usage);
            let is_above = |per_cent: usize| bytes > most / 100 * per_cent;
            let is_full = is_above(if *was_full { EASED } else { FULL });
            if std::mem::replace(was_full, is_full) != is_full {
                changes.push((number, is_full));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use chatproto::Hub;

    use super::*;

    #[test]
    fn a_table_that_is_nearly_full_is_said_once_and_again_when_it_has_eased() {
        let mut usage = Hub::builder().build().usage();
        let mut fill = Fill::default();
        let mut at = |per_cent: usize| {
            usage.rooms.bytes = usage.rooms.most / 100 * per_cent;
            fill.changes(&usage)
        };
        assert_eq!(at(89), []);
        assert_eq!(at(91), [(2, true)]);
        assert_eq!(at(99), []);
        assert_eq!(at(80), []);
        assert_eq!(at(70), [(2, false)]);
        assert_eq!(at(80), []);
    }
}
