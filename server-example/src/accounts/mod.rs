//! Accounts: names that belong to somebody who has a password for them.
//!
//! ```text
//! AccountBook ─► throttle       may a password be tried at all? (microseconds, pure)
//!      │   └───► pool           a few threads of low priority, a bounded queue
//!      │           └─► hasher   Argon2id
//!      ├───────► index          who has an account, in memory
//!      └───────► AccountTable   … and on disk
//! ```
//!
//! [`book`] puts them together. What a password may be is in [`password`]; the command that works on
//! the data file is in [`command`].

mod answer;
pub(crate) mod book;
pub(crate) mod command;
pub(crate) mod counts;
pub(crate) mod hasher;
pub(crate) mod index;
pub(crate) mod password;
pub(crate) mod pool;
pub(crate) mod throttle;
