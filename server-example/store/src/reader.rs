//! Reads messages: a page of a conversation, whether one can have missed something, and what waits
//! for an account. A reader has a connection of its own, which cannot write, and sees whole commits.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Transaction};
use serde_json::Value;
use shared::text::visible;

use super::database::{open_current, read_write, signed, unsigned};
use super::error::{ErrorKind, Result, StoreError};
use super::mailbox::MAILBOX;
use super::reserve::Reserve;
use super::schema::{self, Found};
use super::{database, files};

/// The error for a directory without a database.
pub(super) fn no_data(directory: &Path) -> StoreError {
    let shown = directory.to_string_lossy();
    let shown = visible(&shown);
    StoreError::new(
        ErrorKind::Io,
        format!("there is no data in {shown}: name the server's data directory with --data"),
    )
}

/// Reads beside the writer, and never waits for it.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    db: Connection,
}

/// Which messages of a conversation. Without `since` it is the newest ones, with it those that
/// follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// No more messages than this.
    pub most: usize,
    /// No more bytes of objects than this; but one message at least.
    pub max_bytes: usize,
    /// Only messages with lower ids.
    pub before: Option<u64>,
    /// Only messages with higher ids.
    pub since: Option<u64>,
    /// Only messages up to this id.
    pub up_to: u64,
    /// Only messages from this time on, in Unix milliseconds: those before are a former owner's.
    pub from_ms: i64,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            most: 20,
            max_bytes: 1 << 20,
            before: None,
            since: None,
            up_to: u64::MAX,
            from_ms: i64::MIN,
        }
    }
}

/// Messages of a conversation, in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages.
    pub entries: Vec<StoredMessage>,
    /// Whether there are more: older ones, or with [`Query::since`] newer ones.
    pub more: bool,
    /// Messages up to this id may be gone: they were too old, or too many, or were purged.
    pub purged_to: u64,
}

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The id of the message.
    pub id: u64,
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// The object, byte for byte.
    pub object: String,
}

/// A message and where it was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationMessage {
    /// The conversation, as [`between`](crate::between) names that of two accounts.
    pub conversation: String,
    /// The message.
    pub entry: StoredMessage,
}

/// Who has sent a message, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The name of the sender.
    pub name: String,
    /// Unix time in milliseconds.
    pub at_ms: i64,
}

/// Collects entries under the bounds of a query.
struct Filling<'a> {
    query: &'a Query,
    entries: Vec<StoredMessage>,
    bytes: usize,
    more: bool,
}

impl Filling<'_> {
    /// Takes entries from a statement that selects id, at_ms and object, until a bound is met.
    fn take(
        &mut self,
        act: &Transaction<'_>,
        sql: &str,
        values: impl Params,
    ) -> rusqlite::Result<()> {
        if self.more {
            return Ok(());
        }
        let mut statement = act.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let at_ms: i64 = row.get(1)?;
            if at_ms < self.query.from_ms {
                match self.query.since {
                    Some(_) => continue,
                    // those that follow are older still
                    None => break,
                }
            }
            let object = row.get_ref(2)?.as_str()?;
            let is_over =
                self.bytes + object.len() > self.query.max_bytes && !self.entries.is_empty();
            if self.entries.len() == self.query.most || is_over {
                self.more = true;
                break;
            }
            self.bytes += object.len();
            let object = object.to_owned();
            self.entries.push(StoredMessage { id: unsigned(row.get(0)?), at_ms, object });
        }
        Ok(())
    }
}

impl Reader {
    /// Opens the file of a data directory to read it, whether a server runs on it or not.
    ///
    /// # Errors
    /// There is none, it is damaged, or of another version than this program's.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = files::database(directory);
        let shown = directory.to_string_lossy();
        let shown = visible(&shown);
        if !path.exists() {
            return Err(no_data(directory));
        }
        let (reader, _) = Reserve::of(directory).for_start(|| match Self::of(path.clone()) {
            // a command that was killed has left what only a connection that writes can take back
            Err(error) if error.kind == ErrorKind::ReadOnly => {
                drop(open_current(&path, read_write()));
                Self::of(path.clone())
            }
            outcome => outcome,
        })?;
        match reader.version()? {
            Found::Version(schema::VERSION) => Ok(reader),
            Found::Empty => Err(StoreError::new(
                ErrorKind::Io,
                format!("there is no data in {shown} yet: start the server first"),
            )),
            Found::Version(_) => Err(StoreError::new(
                ErrorKind::Io,
                format!(
                    "the data in {shown} is of an older version: start the server once, which brings it up to date"
                ),
            )),
        }
    }

    /// What the file is.
    pub(super) fn version(&self) -> Result<Found> {
        schema::look(&self.db, &self.path)
    }

    /// Its connection, for other tables.
    pub(super) fn into_connection(self) -> Connection {
        self.db
    }

    pub(super) fn of(path: PathBuf) -> Result<Self> {
        files::refuse_link(&path)?;
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = open_current(&path, flags)?;
            db.pragma_update(None, "cache_size", -4_096)?; // KiB
            Ok(db)
        };
        let db = open().map_err(|error| StoreError::of_sqlite(&path, &error))?;
        Ok(Reader { path, db })
    }

    /// Messages of a conversation. One that nobody has written in has none.
    pub fn page(&self, conversation: &str, query: &Query) -> Result<Page> {
        self.with(|act| {
            let (number, purged_to) = conversation_of(act, conversation)?;
            let Some(number) = number else {
                return Ok(Page { purged_to: unsigned(purged_to), ..Page::default() });
            };
            let placed_to = placed_to(act)?;
            let below = query.before.map_or(u64::MAX, |before| before.saturating_sub(1));
            let high = signed(below.min(query.up_to));
            let low = query.since.map_or(-1, signed);
            let mut page = Filling { query, entries: Vec::new(), bytes: 0, more: false };
            if query.since.is_some() {
                page.take(act, PLACED_UP, (number, low, high.min(placed_to)))?;
                page.take(act, UNPLACED_UP, (number, low.max(placed_to), high))?;
            } else {
                page.take(act, UNPLACED_DOWN, (number, low.max(placed_to), high))?;
                page.take(act, PLACED_DOWN, (number, low, high.min(placed_to)))?;
                page.entries.reverse();
            }
            Ok(Page { entries: page.entries, more: page.more, purged_to: unsigned(purged_to) })
        })
    }

    /// Whether somebody who has seen the conversation up to `since`, an id that was told in `epoch`,
    /// is sure to get all that followed from [`page`](Self::page): that epoch is known, it and those
    /// after it have ended as they should, and in none of them a message was not kept, or has gone
    /// since for its age. What somebody has [forgotten](super::Writer::forget) is not missed.
    ///
    /// An id below the epoch's first one stands for it: what was told at that time was all there was.
    pub fn recovered(&self, conversation: &str, since: u64, epoch: &str) -> Result<bool> {
        self.with(|act| {
            let known = act
                .prepare_cached("SELECT number, first_id, last_id FROM epoch WHERE name = ?1")?
                .query_row([epoch], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
                })
                .optional()?;
            let Some((number, first_id, last_id)) = known else { return Ok(false) };
            let present: i64 =
                act.prepare_cached("SELECT max(number) FROM epoch")?.query_row([], |row| row.get(0))?;
            let since = signed(since);
            if last_id.is_some_and(|last_id| since > last_id.max(first_id - 1)) {
                return Ok(false);
            }
            let was_cut_short: bool = act
                .prepare_cached(
                    "SELECT EXISTS(SELECT 1 FROM epoch WHERE number >= ?1 AND number < ?2 AND last_id IS NULL)",
                )?
                .query_row((number, present), |row| row.get(0))?;
            let seen = since.max(first_id - 1);
            let has_gap: bool = act
                .prepare_cached("SELECT EXISTS(SELECT 1 FROM gap WHERE last_id > ?1)")?
                .query_row([seen], |row| row.get(0))?;
            let is_purged = conversation_of(act, conversation)?.1 > since;
            Ok(!was_cut_short && !has_gap && !is_purged)
        })
    }

    /// The id after which a page for somebody who has seen `since`, an id that was told in `epoch`,
    /// begins: `since`, unless the messages behind it are not those that followed it then. `last` is the last
    /// id that was given.
    ///
    /// After a crash, or after an older backup was restored, later epochs use ids again that `epoch` had told.
    /// Then the page begins where `epoch` ends. An unknown epoch, or an id that the present one has not told,
    /// says nothing: then the page begins with the first message.
    pub fn start_of_page(&self, since: u64, epoch: &str, last: u64) -> Result<u64> {
        // the end of an epoch that is over: a crash leaves none, but the next epoch begins behind it
        let known: Option<Option<i64>> = self.with(|act| {
            act.prepare_cached(
                "SELECT coalesce(last_id, (SELECT min(later.first_id) - 1 FROM epoch later
                                           WHERE later.number > epoch.number))
                 FROM epoch WHERE name = ?1",
            )?
            .query_row([epoch], |row| row.get(0))
            .optional()
        })?;
        Ok(match known {
            Some(Some(end)) => since.min(unsigned(end)),
            Some(None) if since <= last => since,
            _ => 0,
        })
    }

    /// Who has sent a message of a conversation, if it is there.
    pub fn sender_of(&self, conversation: &str, id: u64) -> Result<Option<Sender>> {
        let found: Option<(String, i64)> = self.with(|act| {
            act.prepare_cached(
                "SELECT object, at_ms FROM message
                 WHERE id = ?1 AND conversation = (SELECT id FROM conversation WHERE name = ?2)",
            )?
            .query_row((signed(id), conversation), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
        })?;
        let sender =
            |(object, at_ms): (String, i64)| Some(Sender { name: sender(&object)?, at_ms });
        Ok(found.and_then(sender))
    }

    /// How many messages wait for an account.
    #[cfg(test)]
    pub fn waiting(&self, account: &str) -> Result<usize> {
        let waiting: i64 = self.with(|act| {
            act.prepare_cached(
                "SELECT count(*) FROM mailbox CROSS JOIN message USING(id) WHERE account = ?1",
            )?
            .query_row([account], |row| row.get(0))
        })?;
        Ok(usize::try_from(waiting).unwrap_or(0))
    }

    /// The oldest messages that wait for an account, in order: those above `after` that were kept
    /// since `since_ms`. At most `most_bytes` of objects, but at least one message. They wait until
    /// [`Writer::collected`](super::Writer::collected) has returned.
    pub fn collect(
        &self,
        account: &str,
        after: u64,
        since_ms: i64,
        most_bytes: usize,
    ) -> Result<Page> {
        let query = Query { most: MAILBOX, max_bytes: most_bytes, ..Query::default() };
        self.with(|act| {
            let mut page = Filling { query: &query, entries: Vec::new(), bytes: 0, more: false };
            page.take(
                act,
                "SELECT id, at_ms, object FROM mailbox CROSS JOIN message USING(id)
                 WHERE account = ?1 AND id > ?2 AND at_ms >= ?3 ORDER BY id",
                (account, signed(after), since_ms),
            )?;
            Ok(Page { entries: page.entries, more: page.more, purged_to: 0 })
        })
    }

    /// The messages that follow an id in all conversations, at most so many.
    pub fn all_after(&self, id: u64, most: usize) -> Result<Vec<ConversationMessage>> {
        self.with(|act| {
            let mut all = act.prepare_cached(
                "SELECT m.id, m.at_ms, m.object, c.name
                 FROM message m JOIN conversation c ON c.id = m.conversation
                 WHERE m.id > ?1 ORDER BY m.id LIMIT ?2",
            )?;
            let all = all.query_map((signed(id), signed(most as u64)), |row| {
                let entry = StoredMessage {
                    id: unsigned(row.get(0)?),
                    at_ms: row.get(1)?,
                    object: row.get(2)?,
                };
                Ok(ConversationMessage { conversation: row.get(3)?, entry })
            })?;
            all.collect()
        })
    }

    /// The newest message of all; 0 if there is none.
    pub fn newest_of_all(&self) -> Result<u64> {
        self.with(|act| {
            act.query_row("SELECT ifnull(max(id), 0) FROM message", [], |row| row.get(0))
                .map(unsigned)
        })
    }

    /// The epochs: the first id of each, and its name.
    pub fn epochs(&self) -> Result<Vec<(u64, String)>> {
        self.with(|act| {
            let mut epochs = act.prepare("SELECT first_id, name FROM epoch ORDER BY number")?;
            let epochs = epochs.query_map([], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
            epochs.collect()
        })
    }

    /// Reads the whole file and looks whether it is sound.
    pub fn check(&self) -> Result<()> {
        database::check(&self.db, &self.path)
    }

    /// Reads in one state of the file.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let read = || read(&self.db.unchecked_transaction()?);
        read().map_err(|error| StoreError::of_sqlite(&self.path, &error))
    }
}

/// The name in an object.
pub(super) fn sender(object: &str) -> Option<String> {
    let object: Value = serde_json::from_str(object).ok()?;
    object["from"]["name"].as_str().map(str::to_owned)
}

/// Its number, and up to which id messages may be gone. A conversation without messages has no
/// number; what all of those have lost is remembered together.
fn conversation_of(act: &Transaction<'_>, name: &str) -> rusqlite::Result<(Option<i64>, i64)> {
    let found = act
        .prepare_cached("SELECT id, purged_to FROM conversation WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((number, purged_to)) => Ok((Some(number), purged_to)),
        None => {
            let floor = act
                .prepare_cached("SELECT value FROM state WHERE key = 'purged_to'")?
                .query_row([], |row| row.get(0))?;
            Ok((None, floor))
        }
    }
}

fn placed_to(act: &Transaction<'_>) -> rusqlite::Result<i64> {
    act.prepare_cached("SELECT value FROM state WHERE key = 'placed_to'")?
        .query_row([], |row| row.get(0))
}

// CROSS JOIN: places first, and the messages by their ids; it is the order that is cheap in all files
const PLACED_UP: &str =
    "SELECT m.id, m.at_ms, m.object FROM place p CROSS JOIN message m ON m.id = p.id
    WHERE p.conversation = ?1 AND p.id > ?2 AND p.id <= ?3 ORDER BY p.id";
const PLACED_DOWN: &str =
    "SELECT m.id, m.at_ms, m.object FROM place p CROSS JOIN message m ON m.id = p.id
    WHERE p.conversation = ?1 AND p.id > ?2 AND p.id <= ?3 ORDER BY p.id DESC";
const UNPLACED_UP: &str = "SELECT id, at_ms, object FROM message
    WHERE conversation = ?1 AND id > ?2 AND id <= ?3 ORDER BY id";
const UNPLACED_DOWN: &str = "SELECT id, at_ms, object FROM message
    WHERE conversation = ?1 AND id > ?2 AND id <= ?3 ORDER BY id DESC";

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite does for a statement, in its own words.
    fn plan(sql: &str) -> String {
        let directory = super::super::tests::TempDir::new();
        super::super::Store::open(directory.path(), super::super::StoreOptions::default()).unwrap();
        let reader = Reader::open(directory.path()).unwrap();
        let mut plan = reader.db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = plan.query_map((1, 1, 1), |row| row.get::<_, String>(3)).unwrap();
        steps.map(|step| step.unwrap()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_page_is_found_without_a_scan_and_without_sorting() {
        for sql in [PLACED_UP, PLACED_DOWN] {
            assert_eq!(
                plan(sql),
                "SEARCH p USING PRIMARY KEY (conversation=? AND id>? AND id<?); \
                 SEARCH m USING INTEGER PRIMARY KEY (rowid=?)"
            );
        }
        for sql in [UNPLACED_UP, UNPLACED_DOWN] {
            assert_eq!(plan(sql), "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
        }
    }
}
