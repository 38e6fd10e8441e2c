//! Data for unit tests: a store, messages and sanctions.

use store::{Sanction, Store, StoreOptions};

use crate::test_dir::TempDir;

/// Opens the store in a directory.
pub(crate) fn open(directory: &TempDir) -> Store {
    Store::open(directory.path(), StoreOptions::default()).unwrap()
}

/// A message to `#tea`.
pub(crate) fn object(from: &str, text: &str) -> String {
    format!(r##"{{"from":{{"name":"{from}","ip":"127.0.0.1"}},"to":"#tea","msg":"{text}"}}"##)
}

/// A ban or a mute.
pub(crate) fn sanction(target: &str, until_ms: Option<i64>) -> Sanction {
    Sanction {
        key: target.to_owned(),
        target: target.to_owned(),
        by: "alice".to_owned(),
        rank: "moderator".to_owned(),
        reason: "too loud".to_owned(),
        since_ms: 0,
        until_ms,
    }
}
