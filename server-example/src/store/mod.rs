//! The data file.

#[allow(dead_code, reason = "no server uses them yet")]
pub(crate) mod accounts;

/// Tables that the accounts need.
#[cfg(test)]
pub(crate) const SCHEMA: &str = "
    CREATE TABLE state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE account (
        name TEXT PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL,
        role TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        seen_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE account_address (
        account TEXT NOT NULL,
        address TEXT NOT NULL,
        seen_ms INTEGER NOT NULL,
        PRIMARY KEY (account, address)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mailbox (
        account TEXT NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;
";
