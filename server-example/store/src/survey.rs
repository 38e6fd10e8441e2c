//! What a data directory holds, in figures.

use std::path::Path;

use super::database::{unsigned, used_bytes};
use super::error::Result;
use super::files;
use super::reader::Reader;

/// Figures of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The number of messages.
    pub messages: u64,
    /// The number of rooms.
    pub rooms: u64,
    /// Conversations of two.
    pub pairs: u64,
    /// Unix time in milliseconds of the oldest and the newest message.
    pub from_to_ms: Option<(i64, i64)>,
    /// The id of the newest message; 0 if there is none.
    pub newest_id: u64,
    /// Ids of messages that were delivered and not kept.
    pub not_kept: u64,
    /// Messages that wait for accounts whose owners are away.
    pub waiting: u64,
    /// The search knows messages up to this id.
    pub searched_to: u64,
    /// Runs of a server, and how many of them were cut short. One that still runs is not.
    pub runs: u64,
    /// The number of runs that did not shut down cleanly.
    pub cut_short: u64,
    /// Bytes of the file, with its log.
    pub file_bytes: u64,
    /// Bytes that hold something.
    pub used_bytes: u64,
}

impl Survey {
    /// Reads all messages' keys, which can take a while. Each figure is read for itself: a snapshot
    /// that is held for the whole time would make the log grow.
    pub fn of(directory: &Path) -> Result<Self> {
        let reader = Reader::open(directory)?;
        let number = |sql: &str| reader.with(|act| act.query_row(sql, [], |row| row.get(0)));
        let number = |sql: &str| number(sql).map(unsigned);
        let ends = reader.with(|act| {
            act.query_row(
                "SELECT (SELECT at_ms FROM message ORDER BY id LIMIT 1),
                        (SELECT at_ms FROM message ORDER BY id DESC LIMIT 1)",
                [],
                |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)),
            )
        })?;
        let mut survey = Survey {
            messages: number("SELECT count(*) FROM message")?,
            rooms: number("SELECT count(*) FROM conversation WHERE substr(name, 1, 1) = '#'")?,
            pairs: number("SELECT count(*) FROM conversation WHERE substr(name, 1, 1) <> '#'")?,
            from_to_ms: ends.0.zip(ends.1),
            newest_id: number("SELECT ifnull(max(id), 0) FROM message")?,
            not_kept: number(
                "SELECT ifnull(sum(last_id - first_id + 1), 0)
                    + (SELECT value FROM state WHERE key = 'not_kept_before') FROM gap",
            )?,
            waiting: number("SELECT ifnull(sum(messages), 0) FROM mailbox_owner")?,
            searched_to: number("SELECT value FROM state WHERE key = 'searched_to'")?,
            // an epoch with a closing time and no last id is that of a copy
            runs: number(
                "SELECT count(*) FROM epoch WHERE last_id IS NOT NULL OR closed_ms IS NULL",
            )?,
            cut_short: number(
                "SELECT count(*) FROM epoch
                 WHERE last_id IS NULL AND closed_ms IS NULL
                    AND number < (SELECT max(number) FROM epoch)",
            )?,
            file_bytes: 0,
            used_bytes: reader.with(|act| used_bytes(act))?,
        };
        let database = files::database(directory);
        survey.file_bytes = files::with_companions(&database)
            .iter()
            .filter_map(|file| std::fs::metadata(file).ok())
            .map(|file| file.len())
            .sum();
        Ok(survey)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TempDir, fill, leave, open};
    use super::*;

    #[test]
    fn figures() {
        let directory = TempDir::new();
        drop(open(&directory));
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        fill(&mut writer, 1..=3);
        leave(&mut writer, "alice", "bob", 4, "psst");
        writer.gap(5, 14);
        writer.commit().unwrap();
        super::super::Search::open(directory.path()).unwrap().catch_up().unwrap();
        fill(&mut writer, 15..=20);
        let survey = Survey::of(directory.path()).unwrap();
        assert!(survey.file_bytes >= survey.used_bytes && survey.used_bytes >= 4096);
        assert_eq!(
            Survey { file_bytes: 0, used_bytes: 0, ..survey },
            Survey {
                messages: 10,
                rooms: 1,
                pairs: 1,
                from_to_ms: Some((1_000, 20_000)),
                newest_id: 20,
                not_kept: 10,
                waiting: 1,
                searched_to: 4,
                runs: 2,
                cut_short: 1,
                file_bytes: 0,
                used_bytes: 0,
            }
        );
    }
}
