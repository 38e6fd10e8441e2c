//! What a data directory holds, in figures.

use std::path::Path;

use rusqlite::Transaction;

use super::error::Result;
use super::{Reader, files, retention, unsigned};

/// Figures of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) messages: u64,
    pub(crate) rooms: u64,
    /// Conversations of two.
    pub(crate) pairs: u64,
    /// Unix time in milliseconds of the oldest and the newest message.
    pub(crate) from_to_ms: Option<(i64, i64)>,
    pub(crate) newest_id: u64,
    /// Ids of messages that were delivered and not kept.
    pub(crate) not_kept: u64,
    /// Messages that wait for accounts whose owners are away.
    pub(crate) waiting: u64,
    /// The search knows messages up to this id.
    pub(crate) searched_to: u64,
    /// Runs of a server, and how many of them were cut short. One that still runs is not.
    pub(crate) runs: u64,
    pub(crate) cut_short: u64,
    /// Bytes of the file, with its log.
    pub(crate) file_bytes: u64,
    /// Bytes that hold something.
    pub(crate) used_bytes: u64,
}

impl Survey {
    /// Reads all messages' keys, which can take a while.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let reader = Reader::open(directory)?;
        let mut survey = reader.with(|act| {
            let number = |sql: &str| number(act, sql);
            let ends = act.query_row(
                "SELECT (SELECT at_ms FROM message ORDER BY id LIMIT 1),
                        (SELECT at_ms FROM message ORDER BY id DESC LIMIT 1)",
                [],
                |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)),
            )?;
            Ok(Survey {
                messages: number("SELECT count(*) FROM message")?,
                rooms: number("SELECT count(*) FROM conversation WHERE substr(name, 1, 1) = '#'")?,
                pairs: number("SELECT count(*) FROM conversation WHERE substr(name, 1, 1) <> '#'")?,
                from_to_ms: ends.0.zip(ends.1),
                newest_id: number("SELECT ifnull(max(id), 0) FROM message")?,
                not_kept: number("SELECT ifnull(sum(last_id - first_id + 1), 0) FROM gap")?,
                waiting: number("SELECT count(*) FROM mailbox JOIN message USING(id)")?,
                searched_to: number("SELECT value FROM state WHERE key = 'searched_to'")?,
                runs: number("SELECT count(*) FROM epoch")?,
                cut_short: number(
                    "SELECT count(*) FROM epoch
                     WHERE last_id IS NULL AND number < (SELECT max(number) FROM epoch)",
                )?,
                file_bytes: 0,
                used_bytes: retention::used_bytes(act)?,
            })
        })?;
        let database = files::database(directory);
        survey.file_bytes = files::with_companions(&database)
            .iter()
            .filter_map(|file| std::fs::metadata(file).ok())
            .map(|file| file.len())
            .sum();
        Ok(survey)
    }
}

fn number(act: &Transaction<'_>, sql: &str) -> rusqlite::Result<u64> {
    act.query_row(sql, [], |row| row.get(0)).map(unsigned)
}
