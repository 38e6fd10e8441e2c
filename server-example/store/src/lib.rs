//! The data of a server on the disk: one SQLite file, `chatproto.db`, in the data directory. `open`
//! opens it for a server. `writer` adds messages to it. `shares` and `retention` keep it within its
//! bound. `mailbox` has messages for users who are not connected. `reader` reads messages,
//! `moderation` bans and mutes, and `accounts` accounts. `wal` bounds the log, and `usage` tells
//! how much of each bound is used.
//!
//! ```text
//! Store::open(directory, options)   alone with the file: makes, locks, checks and migrates it, begins an epoch
//!   .epoch() .next_id() .path()
//!   .writer()                       once; for one thread, which may wait for the disk
//!   .reader()                       one for each thread that reads
//!   .moderation()                   bans and mutes
//!   .connect()                      for other tables: a connection that may write, and waits for its turn
//!
//! connect_beside(directory, absent) the same for a command, whether a server runs or not
//! connect_to_read(directory)        … which only reads, and makes nothing
//!
//! Writer                            what is added waits in memory; commit() writes it, in steps
//!   .append(id, conversation, at_ms, object)   .gap(first, last)
//!   .pending() .pending_bytes() .commit()
//!   .leave(letters)   .collected(account, up_to)   .forget(conversation, id)     at once
//!   .maintain(now_ms) -> more       about once a second: places, retention, space given back
//!   .close(last_id)                 the last id that was given out, kept or not; else the epoch was cut short
//!
//! Reader::open(directory)           also beside a server, in another process
//!   .page(conversation, &Query) -> Page    .sender_of(conversation, id)
//!   .recovered(conversation, since, epoch) .waiting(account)        .collect(account, bounds)
//!
//! For commands, also beside a server:
//!   Search, Purge, Survey, backup()   restore() needs the directory for itself
//! ```
//!
//! A **conversation** is a room (`#tea`) or two account names, sorted, with a tab between
//! ([`between`]). An **id** is given to each message by the server, counting over all conversations,
//! and never again. An **epoch** is one run of the server on the file: what an epoch told its clients
//! and did not write, because it was killed, is told apart by the epoch's name. A copy of the file
//! gets an epoch of its own, which no server runs.
//!
//! `synchronous=FULL` and a write-ahead log: a commit that has returned is on the disk.

#![cfg_attr(not(test), forbid(unsafe_code))]
#![cfg_attr(test, deny(unsafe_code))]

pub mod accounts;
mod beside;
mod copy;
mod database;
mod directory;
mod epoch;
mod error;
mod exchange;
mod files;
mod folding;
mod mailbox;
mod moderation;
mod open;
mod options;
mod purge;
mod reader;
mod reserve;
mod retention;
mod schema;
mod search;
mod shares;
mod survey;
mod tables;
mod usage;
mod wal;
mod writer;

pub use rusqlite::{Connection, Error as DatabaseError};

pub use beside::{Absent, connect_beside, connect_in_memory, connect_to_read};
pub use copy::{backup, restore};
pub use directory::{check_usable, database_files, has_database, is_empty};
pub use error::{ErrorKind, StoreError};
pub use folding::{folded, is_searchable, is_token};
pub use mailbox::{HandedOver, Letter};
pub use moderation::{Kind as SanctionKind, Moderation, Sanction};
pub use open::Store;
pub use options::{Retention, StoreOptions, Sync};
pub use purge::{Purge, Selection};
pub use reader::{ConversationMessage, Query, Reader, StoredMessage};
pub use reserve::Reserve;
pub use search::Search;
pub use survey::Survey;
pub use usage::{Removed, StoreUsage};
pub use writer::Writer;

/// The conversation of two accounts.
pub fn between(one: &str, other: &str) -> String {
    if one <= other { format!("{one}\t{other}") } else { format!("{other}\t{one}") }
}

#[cfg(test)]
mod bound_tests;
#[cfg(test)]
#[path = "../../shared/src/heap.rs"]
mod heap;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
#[path = "../../tests/common/small_disk.rs"]
mod small_disk;
#[cfg(test)]
#[path = "../../shared/src/test_dir.rs"]
mod test_dir;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble_tests;
