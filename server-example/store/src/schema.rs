//! The tables of the file, version by version. A new file goes through all versions from the first;
//! an old one through those it lacks, each in a transaction of its own, after a copy of the file was
//! put beside it.
//!
//! Messages are kept in the order in which they came, which is the cheapest way to add one. Where the
//! messages of one conversation are, the table `place` says. It is filled for many messages at a
//! time: with a thousand conversations, a message in each, it would otherwise cost a thousand
//! pages a commit. Messages above `placed_to` are not in it yet and are few.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use shared::staging::{Existing, Staging};
use shared::text::visible;
use tracing::info;

use super::database::{COPY_STEP, read_write};
use super::error::{ErrorKind, Result, StoreError};

/// What marks a file as ours: "chat".
const APPLICATION: i32 = 0x6368_6174;

/// What each version adds to the one before.
pub(super) const VERSIONS: [&str; 8] = [
    // 1: accounts and messages
    "CREATE TABLE state(
        key TEXT PRIMARY KEY,
        value INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     -- placed_to: `place` knows messages up to this id
     -- searched_to: `search` knows messages up to this id
     -- used_to: ids up to this were given out, whatever the tables hold
     INSERT INTO state(key, value) VALUES ('placed_to', 0), ('searched_to', 0), ('used_to', 0);

     CREATE TABLE epoch(
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        first_id INTEGER NOT NULL,
        last_id INTEGER,            -- NULL until it has ended as it should
        opened_ms INTEGER NOT NULL,
        closed_ms INTEGER
     ) STRICT;

     CREATE TABLE conversation(
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,  -- '#tea', or two account names, sorted, with a tab between
        purged_to INTEGER NOT NULL DEFAULT 0
     ) STRICT;

     CREATE TABLE message(
        id INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        object TEXT NOT NULL
     ) STRICT;

     CREATE TABLE place(
        conversation INTEGER NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY(conversation, id)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE gap(
        first_id INTEGER PRIMARY KEY,
        last_id INTEGER NOT NULL
     ) STRICT;

     CREATE VIRTUAL TABLE search USING fts5(
        text, content='', contentless_delete=1, tokenize=\"unicode61 remove_diacritics 2\"
     );

     CREATE TABLE account(
        name TEXT PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,   -- the same for names that look alike
        hash TEXT NOT NULL,
        role TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        seen_ms INTEGER
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE account_address(
        account TEXT NOT NULL,
        address TEXT NOT NULL,
        seen_ms INTEGER NOT NULL,
        PRIMARY KEY(account, address)
     ) STRICT, WITHOUT ROWID;",
    // 2: what waits for users who are away, and moderation that outlives the server
    "CREATE TABLE mailbox(
        account TEXT NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY(account, id)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE ban(
        target TEXT PRIMARY KEY,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        until_ms INTEGER            -- NULL: for good
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE mute(
        name TEXT PRIMARY KEY,
        until_ms INTEGER
     ) STRICT, WITHOUT ROWID;",
    // 3: who uses how much of the history and of the mailboxes
    "-- purged_to: the same as that of a conversation, for those that have no row
     -- not_kept_before: messages of gaps whose rows are gone
     -- mailbox_bytes: in all mailboxes
     INSERT INTO state(key, value)
     VALUES ('purged_to', 0), ('not_kept_before', 0), ('mailbox_bytes', 0);

     CREATE TABLE origin(
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,   -- an IPv4 address, or an IPv6 network of 64 bits
        bytes INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX origin_by_bytes ON origin(bytes >> 12 DESC);

     CREATE TABLE sender(
        id INTEGER PRIMARY KEY,
        origin INTEGER NOT NULL,
        name TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE(origin, name)
     ) STRICT;
     CREATE INDEX sender_by_bytes ON sender(origin, bytes >> 12 DESC);

     CREATE TABLE share(
        id INTEGER PRIMARY KEY,
        sender INTEGER NOT NULL,
        conversation INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE(sender, conversation)
     ) STRICT;
     CREATE INDEX share_by_bytes ON share(sender, bytes >> 12 DESC);

     -- messages up to placed_to
     CREATE TABLE owned(
        share INTEGER NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY(share, id)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE mailbox_owner(
        account TEXT PRIMARY KEY,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE mailbox_sender(
        sender TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;

     ALTER TABLE mailbox RENAME TO mailbox_before;
     CREATE TABLE mailbox(
        account TEXT NOT NULL,
        id INTEGER NOT NULL,
        sender TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY(account, id)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX mailbox_by_id ON mailbox(id);

     CREATE TRIGGER mailbox_added AFTER INSERT ON mailbox BEGIN
        INSERT OR IGNORE INTO mailbox_owner VALUES (new.account, 0, 0);
        UPDATE mailbox_owner SET messages = messages + 1, bytes = bytes + new.bytes
            WHERE account = new.account;
        INSERT OR IGNORE INTO mailbox_sender VALUES (new.sender, 0);
        UPDATE mailbox_sender SET bytes = bytes + new.bytes WHERE sender = new.sender;
        UPDATE state SET value = value + new.bytes WHERE key = 'mailbox_bytes';
     END;
     CREATE TRIGGER mailbox_removed AFTER DELETE ON mailbox BEGIN
        UPDATE mailbox_owner SET messages = messages - 1, bytes = bytes - old.bytes
            WHERE account = old.account;
        DELETE FROM mailbox_owner WHERE account = old.account AND messages <= 0;
        UPDATE mailbox_sender SET bytes = bytes - old.bytes WHERE sender = old.sender;
        DELETE FROM mailbox_sender WHERE sender = old.sender AND bytes <= 0;
        UPDATE state SET value = value - old.bytes WHERE key = 'mailbox_bytes';
     END;

     INSERT INTO mailbox
        SELECT account, id,
            CASE WHEN json_valid(object) THEN ifnull(json_extract(object, '$.from.name'), '')
                 ELSE '' END,
            octet_length(object) + 64
        FROM mailbox_before JOIN message USING(id);
     DROP TABLE mailbox_before;",
    // 4: who imposed bans and mutes, and when; one row for a target, however it is written
    "ALTER TABLE ban RENAME TO ban_before;
     CREATE TABLE ban(
        key TEXT PRIMARY KEY,       -- the same for targets that are banned with each other
        target TEXT NOT NULL,       -- as it was written
        by TEXT NOT NULL,
        rank TEXT NOT NULL,         -- of the actor, at that time
        reason TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER            -- NULL: without an end
     ) STRICT, WITHOUT ROWID;

     ALTER TABLE mute RENAME TO mute_before;
     CREATE TABLE mute(
        key TEXT PRIMARY KEY,       -- the name
        target TEXT NOT NULL,
        by TEXT NOT NULL,
        rank TEXT NOT NULL,
        reason TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER
     ) STRICT, WITHOUT ROWID;
     INSERT INTO mute
        SELECT name, name, '', 'moderator', '', unixepoch() * 1000, until_ms FROM mute_before;
     DROP TABLE mute_before;",
    // 5: revisions of accounts
    "-- newest_account: no account has had a higher revision
     ALTER TABLE account ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
     INSERT INTO state(key, value) VALUES ('newest_account', 1);",
    // 6: the search knows the folded form of messages; the next one fills its index again
    "DROP TABLE search;
     CREATE VIRTUAL TABLE search USING fts5(
        text, content='', contentless_delete=1,
        tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* Co So'\"
     );
     UPDATE state SET value = 0 WHERE key = 'searched_to';",
    // 7: the search knows all symbols, and words without vowel marks
    "DROP TABLE search;
     CREATE VIRTUAL TABLE search USING fts5(
        text, content='', contentless_delete=1,
        tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* Co So Sm Sc'\"
     );
     UPDATE state SET value = 0 WHERE key = 'searched_to';",
    // 8: look-alike keys of accounts: a name has several, and old accounts may have one in common
    "ALTER TABLE account RENAME TO account_before;
     CREATE TABLE account(
        name TEXT PRIMARY KEY,
        hash TEXT NOT NULL,
        role TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        seen_ms INTEGER,
        revision INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     INSERT INTO account
        SELECT name, hash, role, created_ms, changed_ms, seen_ms, revision FROM account_before;
     DROP TABLE account_before;
     CREATE TABLE account_key(
        key TEXT NOT NULL,          -- names that look alike have one in common
        account TEXT NOT NULL,
        PRIMARY KEY(key, account)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX account_key_by_account ON account_key(account);",
];

/// The version from which on the file knows the senders' shares.
const SHARES: i32 = 3;
/// The version from which on bans have keys.
const KEYS: i32 = 4;
/// The version from which on accounts have several keys.
const ACCOUNT_KEYS: i32 = 8;

/// The version that this program reads and writes.
pub(crate) const VERSION: i32 = VERSIONS.len() as i32;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet.
    Empty,
    /// Ours, of a version that is known here.
    Version(i32),
}

/// Looks whose file it is and how old.
///
/// # Errors
/// One of another program's, or of a newer version of this one.
pub(crate) fn look(db: &Connection, path: &Path) -> Result<Found> {
    let of = |error| StoreError::of_sqlite(path, &error);
    let application: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(of)?;
    let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(of)?;
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(of)?;
    let shown = path.to_string_lossy();
    let shown = visible(&shown);
    if application == 0 && version == 0 && tables == 0 {
        Ok(Found::Empty)
    } else if application != APPLICATION || version < 1 {
        Err(StoreError::new(
            ErrorKind::Corrupt,
            format!(
                "{shown} is a database of another program's: move it away, or name another directory with --data"
            ),
        ))
    } else if version > VERSION {
        Err(StoreError::new(
            ErrorKind::Newer,
            format!(
                "{shown} has been written by a newer version of this program (its format is {version}, \
                 and this program knows formats up to {VERSION}): run the newer version, or restore a \
                 backup that is older"
            ),
        ))
    } else {
        Ok(Found::Version(version))
    }
}

/// Brings a file up to the present version. Whoever calls this is alone with it.
pub(crate) fn migrate(db: &mut Connection, path: &Path, found: Found) -> Result<()> {
    let of = |error| StoreError::of_sqlite(path, &error);
    let first = match found {
        Found::Empty => 0,
        Found::Version(VERSION) => return Ok(()),
        Found::Version(version) => {
            let copy = put_copy_beside(db, path, version)?;
            let copy = copy.to_string_lossy();
            info!(
                "history: format {version} becomes format {VERSION}; the file as it was is {}",
                visible(&copy)
            );
            version
        }
    };
    for version in first + 1..=VERSION {
        let step = db.transaction().map_err(of)?;
        step.execute_batch(VERSIONS[version as usize - 1]).map_err(of)?;
        if version == SHARES {
            super::shares::fill(&step).map_err(of)?;
        }
        if version == KEYS {
            super::moderation::give_keys(&step).map_err(of)?;
        }
        if version == ACCOUNT_KEYS {
            super::accounts::give_keys(&step).map_err(of)?;
        }
        step.pragma_update(None, "user_version", version).map_err(of)?;
        step.pragma_update(None, "application_id", APPLICATION).map_err(of)?;
        step.commit().map_err(of)?;
    }
    Ok(())
}

/// Copies the file, with what is in its log, to `chatproto.db.vN.bak`.
fn put_copy_beside(db: &Connection, path: &Path, version: i32) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}.bak"));
    let copy = PathBuf::from(name);
    let failed = |error| StoreError::of_file("write", &copy, &error);
    let staging = Staging::beside(&copy).map_err(failed)?;
    let of = |error| StoreError::of_sqlite(&copy, &error);
    let mut to = Connection::open_with_flags(staging.path(), read_write()).map_err(of)?;
    rusqlite::backup::Backup::new(db, &mut to)
        .and_then(|backup| backup.run_to_completion(COPY_STEP, Duration::ZERO, None))
        .map_err(of)?;
    to.close().map_err(|(_, error)| of(error))?;
    staging.place(Existing::Replace).map_err(failed)?;
    Ok(copy)
}
