//! Full-text search. Its index is brought up to date when somebody searches, so that the server does
//! not pay for it with each message.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::beside::open_by_hand;
use super::database::{signed, unsigned};
use super::error::{Result, StoreError};
use super::folding::{folded, is_searchable};
use super::reader::{ConversationMessage, StoredMessage};
use super::wal;

/// Messages that are indexed in one step, for which the server may have to wait.
const STEP: i64 = 2_000;

/// Finds messages by their words.
#[derive(Debug)]
pub struct Search {
    db: Connection,
    path: PathBuf,
}

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// It knows messages up to this id.
    pub done: u64,
    /// The newest message.
    pub all: u64,
}

impl Search {
    /// Opens the search of a data directory.
    ///
    /// # Errors
    /// As for [`Reader::open`](super::Reader::open), and if it cannot be written.
    pub fn open(directory: &Path) -> Result<Self> {
        let (db, path) = open_by_hand(directory)?;
        Ok(Search { db, path })
    }

    /// Adds messages to the index that it does not know yet, some thousand at most.
    pub fn catch_up(&mut self) -> Result<Progress> {
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
            {
                let mut texts = act.prepare_cached(
                    "SELECT id, CASE WHEN json_valid(object) THEN json_extract(object, '$.msg') END
                     FROM message WHERE id > ?1 AND id <= ?2",
                )?;
                let mut add =
                    act.prepare_cached("INSERT INTO search(rowid, text) VALUES (?1, ?2)")?;
                let mut rows = texts.query((done, to))?;
                while let Some(row) = rows.next()? {
                    let text: Option<String> = row.get(1)?;
                    add.execute((row.get::<_, i64>(0)?, text.map(|text| folded(&text))))?;
                }
            }
            act.execute("UPDATE state SET value = ?1 WHERE key = 'searched_to'", [to])?;
            act.commit()?;
            Ok(Progress { done: unsigned(to), all: unsigned(all) })
        };
        step().map_err(|error| StoreError::of_sqlite(&self.path, &error))
    }

    /// The newest messages that have all of the words, in the order in which they were sent. What
    /// stands in one of `words` has to stand together; `*` at its end stands for any ending. Case, accents
    /// and what else is [folded] make no difference. A word without a letter, digit or symbol is left out.
    pub fn find(
        &self,
        words: &[String],
        conversation: Option<&str>,
        most: usize,
    ) -> Result<Vec<ConversationMessage>> {
        let words: Vec<_> = words.iter().filter_map(|word| phrase(word)).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
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
                    let entry = StoredMessage {
                        id: unsigned(row.get(0)?),
                        at_ms: row.get(1)?,
                        object: row.get(2)?,
                    };
                    Ok(ConversationMessage { conversation: row.get(3)?, entry })
                })?;
            found.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut found = find().map_err(|error| StoreError::of_sqlite(&self.path, &error))?;
        found.reverse();
        Ok(found)
    }
}

/// A word as the search's own language has it: a phrase, in which nothing means anything but itself.
fn phrase(word: &str) -> Option<String> {
    let (word, any) = word.strip_suffix('*').map_or((word, ""), |word| (word, "*"));
    let word = folded(word);
    is_searchable(&word).then(|| format!("\"{}\"{any}", word.replace('"', "\"\"")))
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
    fn text_of_every_script_is_found() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        for (id, text) in [
            (1, "我喜欢绿茶,你呢?"),
            (2, "東京タワーで会いましょう"),
            (3, "한국어를 배워요"),
            (4, "nice 👋👋🏽 day🥰"),
            (5, "die Straße ist lang"),
            (6, "ο ΟΔΥΣΣΕΥΣ και οι φίλος"),
            (7, "un cafe\u{301} noir"),
            (8, "un café noir"),
            (9, "ｆｕｌｌ ｗｉｄｔｈ ﬁne"),
            (10, "می\u{200c}خواهم 👩\u{200d}💻"),
            (11, "↔\u{fe0f} ◾ ◼\u{fe0f} ⤴\u{fe0f} ‼\u{fe0f} 〰\u{fe0f} #\u{fe0f}\u{20e3}"),
            (12, "10€ + 5£ → x=y"),
            (13, "كِتَابٌ جديد"),
            (14, "‼ *\u{fe0f}\u{20e3} 1 < 2"),
        ] {
            writer.append(id, "#tea", 0, &object("alice", text));
        }
        writer.commit().unwrap();
        let mut search = Search::open(directory.path()).unwrap();
        search.catch_up().unwrap();
        for (word, ids) in [
            ("绿茶", &[1][..]),
            ("喜欢", &[1]),
            ("茶绿", &[]),
            ("茶", &[1]),
            ("東京", &[2]),
            ("タワ", &[2]),
            ("ﾀﾜｰ", &[2]),
            ("会い*", &[2]),
            ("국어", &[3]),
            ("👋", &[4]),
            ("🥰", &[4]),
            ("day", &[4]),
            ("STRASSE", &[5]),
            ("strasse", &[5]),
            ("straß*", &[5]),
            ("οδυσσευς", &[6]),
            ("ΟΔΥΣΣΕΥΣ", &[6]),
            ("φίλοσ", &[6]),
            ("café", &[7, 8]),
            ("CAFE\u{301}", &[7, 8]),
            ("cafe", &[7, 8]),
            ("full width", &[9]),
            ("FINE", &[9]),
            ("میخواهم", &[10]),
            ("💻", &[10]),
            ("👩\u{200d}💻", &[10]),
            ("!?", &[]),
            ("↔\u{fe0f}", &[11]),
            ("↔", &[11]),
            ("◾", &[11]),
            ("◼", &[11]),
            ("⤴\u{fe0f}", &[11]),
            ("‼\u{fe0f}", &[11, 14]),
            ("〰", &[11]),
            ("#\u{fe0f}\u{20e3}", &[11]),
            ("*\u{fe0f}\u{20e3}", &[14]),
            ("#", &[]),
            ("€", &[12]),
            ("10€", &[12]),
            ("+", &[12]),
            ("→", &[12]),
            ("x=y", &[12]),
            ("<", &[14]),
            ("كتاب", &[13]),
            ("كِتَاب*", &[13]),
        ] {
            assert_eq!(found(&search, &[word], None), ids, "{word}");
        }
        assert_eq!(found(&search, &["!?", "茶"], None), [1]);
    }

    #[test]
    fn the_index_of_an_older_file_is_made_again() {
        for (version, tokenizer) in [
            (5, "unicode61 remove_diacritics 2"),
            (6, "unicode61 remove_diacritics 2 categories 'L* N* Co So'"),
        ] {
            assert_index_is_made_again(version, tokenizer);
        }
    }

    fn assert_index_is_made_again(version: i32, tokenizer: &str) {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        writer.append(1, "#tea", 0, &object("alice", "我喜欢绿茶 →"));
        writer.close(1).unwrap();
        drop(store);
        let path = super::super::files::database(directory.path());
        let db = Connection::open(&path).unwrap();
        db.execute_batch(&format!(
            "PRAGMA user_version = {version};
             DROP TABLE account_key;
             ALTER TABLE account ADD COLUMN key TEXT;
             DROP TABLE search;
             CREATE VIRTUAL TABLE search USING fts5(
                text, content='', contentless_delete=1, tokenize=\"{tokenizer}\"
             );
             INSERT INTO search(rowid, text) VALUES (1, '我喜欢绿茶 →');
             UPDATE state SET value = 1 WHERE key = 'searched_to';",
        ))
        .unwrap();
        drop(db);
        drop(open(&directory));
        let mut search = Search::open(directory.path()).unwrap();
        assert_eq!(search.catch_up().unwrap(), Progress { done: 1, all: 1 });
        assert_eq!(found(&search, &["绿茶"], None), [1]);
        assert_eq!(found(&search, &["→"], None), [1]);
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
