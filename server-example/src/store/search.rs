//! Full-text search. Its index is brought up to date when somebody searches, so that the server does
//! not pay for it with each message.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Result, StoreError};
use super::reader::{Entry, Kept};
use super::{open_by_hand, signed, unsigned, wal};

/// Messages that are indexed in one step, for which the server may have to wait.
const STEP: i64 = 2_000;

/// Finds messages by their words.
#[derive(Debug)]
pub(crate) struct Search {
    db: Connection,
    path: PathBuf,
}

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// It knows messages up to this id.
    pub(crate) done: u64,
    /// The newest message.
    pub(crate) all: u64,
}

impl Search {
    /// Opens the search of a data directory.
    ///
    /// # Errors
    /// As for [`Reader::open`](super::Reader::open), and if it cannot be written.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let (db, path) = open_by_hand(directory)?;
        Ok(Search { db, path })
    }

    /// Adds messages to the index that it does not know yet, some thousand at most.
    pub(crate) fn catch_up(&mut self) -> Result<Progress> {
        wal::keep_short(&self.db, &self.path, wal::WAL_MOST)?;
        let mut step = || {
            let act = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done: i64 =
                act.query_row("SELECT value FROM state WHERE key = 'searched_to'", [], |row| {
                    row.get(0)
                })?;
            let (to, all): (Option<i64>, Option<i64>) = act.query_row(
                "SELECT (SELECT max(id) FROM (SELECT id FROM message WHERE id > ?1 ORDER BY id LIMIT ?2)),
                        (SELECT max(id) FROM message)",
                (done, STEP),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let all = all.unwrap_or(0).max(done);
            let Some(to) = to else {
                return Ok(Progress { done: unsigned(all), all: unsigned(all) });
            };
            act.execute(
                "INSERT INTO search(rowid, text)
                 SELECT id, CASE WHEN json_valid(object) THEN json_extract(object, '$.msg') END
                 FROM message WHERE id > ?1 AND id <= ?2",
                (done, to),
            )?;
            act.execute("UPDATE state SET value = ?1 WHERE key = 'searched_to'", [to])?;
            act.commit()?;
            Ok(Progress { done: unsigned(to), all: unsigned(all) })
        };
        step().map_err(|error| StoreError::of_sqlite(&self.path, &error))
    }

    /// The newest messages that have all of the words, in the order in which they were sent. What
    /// stands in one of `words` has to stand together; `*` at its end stands for any ending. Case and
    /// accents make no difference.
    pub(crate) fn find(
        &self,
        words: &[String],
        conversation: Option<&str>,
        most: usize,
    ) -> Result<Vec<Kept>> {
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let find = || {
            let mut found = self.db.prepare(
                "SELECT m.id, m.at_ms, m.object, c.name
                 FROM search CROSS JOIN message m ON m.id = search.rowid
                 CROSS JOIN conversation c ON c.id = m.conversation
                 WHERE search MATCH ?1 AND (?2 IS NULL OR c.name = ?2)
                 ORDER BY search.rowid DESC LIMIT ?3",
            )?;
            let found =
                found.query_map((words.join(" "), conversation, signed(most as u64)), |row| {
                    let entry = Entry {
                        id: unsigned(row.get(0)?),
                        at_ms: row.get(1)?,
                        object: row.get(2)?,
                    };
                    Ok(Kept { conversation: row.get(3)?, entry })
                })?;
            found.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut found = find().map_err(|error| StoreError::of_sqlite(&self.path, &error))?;
        found.reverse();
        Ok(found)
    }
}

/// A word as the search's own language has it: nothing in it means anything but itself.
fn quoted(word: &str) -> String {
    let (word, any) = word.strip_suffix('*').map_or((word, ""), |word| (word, "*"));
    format!("\"{}\"{any}", word.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TempDir, object, open};
    use super::*;

    fn found(search: &Search, words: &[&str], conversation: Option<&str>) -> Vec<u64> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let found = search.find(&words, conversation, 100).unwrap();
        found.iter().map(|kept| kept.entry.id).collect()
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        for (id, conversation, text) in [
            (1, "#tea", "Green tea, please"),
            (2, "#tea", "the tea is green"),
            (3, "alice\tbob", "a crème brûlée for tea"),
            (4, "#tea", "AND \\\"quoted\\\" NEAR (words)"),
            (5, "#tea", "teapot"),
        ] {
            writer.append(id, conversation, 0, &object("alice", text));
        }
        writer.append(6, "#tea", 0, "no JSON with tea");
        writer.commit().unwrap();
        let mut search = Search::open(directory.path()).unwrap();
        assert_eq!(found(&search, &["tea"], None), [0; 0]);
        assert_eq!(search.catch_up().unwrap(), Progress { done: 6, all: 6 });
        assert_eq!(search.catch_up().unwrap(), Progress { done: 6, all: 6 });
        for (words, conversation, ids) in [
            (&["tea"][..], None, &[1, 2, 3][..]),
            (&["tea"], Some("#tea"), &[1, 2]),
            (&["TEA", "green"], None, &[1, 2]),
            (&["green tea"], None, &[1]),
            (&["tea*"], None, &[1, 2, 3, 5]),
            (&["creme", "BRULEE"], None, &[3]),
            (&["AND", "\"quoted\"", "NEAR", "(words)"], None, &[4]),
            (&["alice"], None, &[]),
        ] {
            assert_eq!(found(&search, words, conversation), ids, "{words:?} {conversation:?}");
        }
        // what is gone is not found, whether the index knew it or not
        writer.append(7, "#tea", 0, &object("bob", "more tea"));
        writer.commit().unwrap();
        writer.forget("#tea", 2).unwrap();
        writer.forget("#tea", 7).unwrap();
        assert_eq!(search.catch_up().unwrap().done, 6);
        writer.append(8, "#tea", 0, &object("bob", "tea again"));
        writer.commit().unwrap();
        search.catch_up().unwrap();
        assert_eq!(found(&search, &["tea"], None), [1, 3, 8]);
        search.db.execute_batch("INSERT INTO search(search) VALUES('integrity-check')").unwrap();
    }

    #[test]
    fn what_has_gone_for_its_age_is_not_found() {
        let directory = TempDir::new();
        let retention = super::super::Retention {
            keep: Some(std::time::Duration::from_secs(10)),
            max_bytes: None,
        };
        let options = super::super::StoreOptions { retention, ..Default::default() };
        let mut store = super::super::Store::open(directory.path(), options).unwrap();
        let mut writer = store.writer().unwrap();
        // one a second, of which the search learns the first hundred
        super::super::tests::fill(&mut writer, 1..=100);
        let mut search = Search::open(directory.path()).unwrap();
        search.catch_up().unwrap();
        super::super::tests::fill(&mut writer, 101..=200);
        assert_eq!(found(&search, &["message"], None).len(), 100);
        while writer.maintain(70_000).unwrap() {}
        assert_eq!(found(&search, &["message"], None), (60..=100).collect::<Vec<_>>());
        while writer.maintain(170_000).unwrap() {}
        search.catch_up().unwrap();
        assert_eq!(found(&search, &["message"], None), (160..=200).collect::<Vec<_>>()[..]);
        search.db.execute_batch("INSERT INTO search(search) VALUES('integrity-check')").unwrap();
    }

    #[test]
    fn the_index_grows_in_steps() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        super::super::tests::fill(&mut writer, 1..=5_000);
        let mut search = Search::open(directory.path()).unwrap();
        let steps: Vec<u64> = (0..4).map(|_| search.catch_up().unwrap().done).collect();
        assert_eq!(steps, [2_000, 4_000, 5_000, 5_000]);
        assert_eq!(found(&search, &["4321"], None), [4_321]);
    }
}
