//! The accounts as the data file has them. Each change is one transaction, on disk when it returns,
//! and raises a number by which other programs on the same file see that something has changed.

use std::net::IpAddr;
use std::path::Path;

use chatproto::UserName;
use chatproto::hub::Role;
use chatproto::name::lookalike_keys;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};

use super::error::StoreError;
use super::wal;

/// How many addresses are kept of an account: those where it was used last.
const ADDRESSES: i64 = 10;

/// The accounts over a connection of its own.
#[derive(Debug)]
pub struct AccountTable {
    connection: Connection,
}

/// An account as it is stored. Times are Unix milliseconds, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// The name of the account.
    pub name: String,
    /// A PHC string.
    pub hash: String,
    /// One that this program does not know gives no rights.
    pub role: Role,
    /// It rises with each change of the password or the role, and no two accounts of one name have one
    /// in common.
    pub revision: u64,
    /// When the account was made.
    pub created_ms: i64,
    /// When the password or the role was changed last.
    pub changed_ms: i64,
    /// When somebody logged in last.
    pub seen_ms: Option<i64>,
    /// Where it was used last.
    pub addresses: Vec<IpAddr>,
}

/// Why a change was not made.
#[derive(Debug)]
pub enum TableError {
    /// There is an account of that name, or one that looks like it: this one.
    Taken(String),
    /// There is no such account, or it has changed meanwhile.
    Gone,
    /// The data file cannot be read or written.
    Store(rusqlite::Error),
}

/// How often the accounts were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(i64);

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The number of the change.
    pub revision: Revision,
    /// The account's revision since then: of one that was removed, a revision that it never had.
    pub of_account: u64,
}

impl Revision {
    /// Whether this is the change behind the other one, with none of somebody else's between.
    pub fn follows(self, other: Revision) -> bool {
        self.0 == other.0 + 1
    }
}

impl AccountTable {
    /// Over a connection to the data file, whose schema is up to date.
    pub fn new(connection: Connection) -> Self {
        AccountTable { connection }
    }

    /// Makes each later change fail, for tests.
    pub fn fail_from_now_on(&self) {
        let _ = self.connection.pragma_update(None, "query_only", true);
    }

    /// What SQLite refused to do with this table, and what to do about it.
    pub fn explain(&self, error: &rusqlite::Error) -> StoreError {
        let path = self.connection.path().unwrap_or_default();
        StoreError::of_sqlite(Path::new(path), error)
    }

    /// The number of the last change.
    pub fn revision(&self) -> rusqlite::Result<Revision> {
        revision(&self.connection)
    }

    /// The highest revision that an account has had. It is at least that of each removed one's removal.
    pub fn newest_of_account(&self) -> rusqlite::Result<u64> {
        newest_of_account(&self.connection).map(i64::cast_unsigned)
    }

    /// Every account by name, and the revision that this is.
    pub fn all(&mut self) -> rusqlite::Result<(Revision, Vec<StoredAccount>)> {
        // what is read is of one moment
        let transaction = self.connection.transaction()?;
        let revision = revision(&transaction)?;
        let mut accounts = transaction
            .prepare(&format!("SELECT {COLUMNS} FROM account ORDER BY name"))?
            .query_map((), read)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for account in &mut accounts {
            account.addresses = addresses(&transaction, &account.name)?;
        }
        Ok((revision, accounts))
    }

    /// The account with exactly this name.
    pub fn find(&self, name: &str) -> rusqlite::Result<Option<StoredAccount>> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE name = ?1");
        let found = self.connection.prepare_cached(&sql)?.query_row((name,), read).optional()?;
        let Some(mut account) = found else { return Ok(None) };
        account.addresses = addresses(&self.connection, name)?;
        Ok(Some(account))
    }

    /// Adds an account.
    pub fn add(
        &mut self,
        name: &UserName,
        hash: &str,
        role: Role,
        now_ms: i64,
    ) -> Result<Changed, TableError> {
        self.change(now_ms, |transaction, revision| {
            if let Some(other) = one_like(transaction, name.as_str())? {
                return Err(TableError::Taken(other));
            }
            let mut add = transaction.prepare_cached(
                "INSERT INTO account (name, hash, role, created_ms, changed_ms, revision) \
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
            )?;
            add.execute((name.as_str(), hash, role.to_string(), now_ms, revision))?;
            add_keys(transaction, name.as_str())?;
            Ok(())
        })
    }

    /// Makes the look-alike keys of the accounts again, as an update of the library may have changed what
    /// looks alike. Accounts that look alike only since then all stay.
    pub fn renew_keys(&mut self) -> rusqlite::Result<()> {
        renew_keys(&mut self.connection)
    }

    /// Gives an account another password. If `old` is given, the hash must still be that one.
    pub fn set_hash(
        &mut self,
        name: &str,
        old: Option<&str>,
        hash: &str,
        now_ms: i64,
    ) -> Result<Changed, TableError> {
        let sql = "UPDATE account SET hash = ?2, changed_ms = ?4, revision = ?5 \
                   WHERE name = ?1 AND (?3 IS NULL OR hash = ?3)";
        self.change(now_ms, |transaction, revision| {
            one(transaction.prepare_cached(sql)?.execute((name, hash, old, now_ms, revision))?)
        })
    }

    /// Stores another hash of the same password, if the hash is still `old`. The account keeps its
    /// revision.
    pub fn renew_hash(
        &mut self,
        name: &str,
        old: &str,
        hash: &str,
        now_ms: i64,
    ) -> Result<Revision, TableError> {
        let sql = "UPDATE account SET hash = ?2 WHERE name = ?1 AND hash = ?3";
        let changed = self.change(now_ms, |transaction, _| {
            one(transaction.prepare_cached(sql)?.execute((name, hash, old))?)
        });
        changed.map(|changed| changed.revision)
    }

    /// Gives an account another role.
    pub fn set_role(&mut self, name: &str, role: Role, now_ms: i64) -> Result<Changed, TableError> {
        let sql = "UPDATE account SET role = ?2, changed_ms = ?3, revision = ?4 WHERE name = ?1";
        self.change(now_ms, |transaction, revision| {
            let role = role.to_string();
            one(transaction.prepare_cached(sql)?.execute((name, role, now_ms, revision))?)
        })
    }

    /// Removes an account, and what waits for it: who has the name next is somebody else.
    pub fn remove(&mut self, name: &str, now_ms: i64) -> Result<Changed, TableError> {
        self.change(now_ms, |transaction, _| {
            transaction.execute("DELETE FROM account_address WHERE account = ?1", (name,))?;
            transaction.execute("DELETE FROM mailbox WHERE account = ?1", (name,))?;
            transaction.execute("DELETE FROM account_key WHERE account = ?1", (name,))?;
            one(transaction.execute("DELETE FROM account WHERE name = ?1", (name,))?)
        })
    }

    /// Notes that an account was used from an address; returns the addresses that are kept. It may be
    /// forgotten if the machine fails within the next seconds, and is no change that others need to
    /// see.
    pub fn seen(
        &mut self,
        name: &str,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<Vec<IpAddr>, TableError> {
        let synchronous: i64 =
            self.connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        let kept = self.note(name, address, now_ms);
        self.connection.pragma_update(None, "synchronous", synchronous)?;
        kept
    }

    fn note(
        &mut self,
        name: &str,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<Vec<IpAddr>, TableError> {
        wal::keep_short_for_small(&self.connection)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "UPDATE account SET seen_ms = ?2 WHERE name = ?1";
        one(transaction.prepare_cached(sql)?.execute((name, now_ms))?)?;
        transaction
            .prepare_cached(
                "INSERT INTO account_address (account, address, seen_ms) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (account, address) DO UPDATE SET seen_ms = excluded.seen_ms",
            )?
            .execute((name, address.to_string(), now_ms))?;
        transaction
            .prepare_cached(
                "DELETE FROM account_address WHERE account = ?1 AND address NOT IN \
                 (SELECT address FROM account_address WHERE account = ?1 \
                  ORDER BY seen_ms DESC, address = ?2 DESC LIMIT ?3)",
            )?
            .execute((name, address.to_string(), ADDRESSES))?;
        let kept = addresses(&transaction, name)?;
        transaction.commit()?;
        Ok(kept)
    }

    /// Makes a change, for which the account gets the revision that `change` is given.
    fn change(
        &mut self,
        now_ms: i64,
        change: impl FnOnce(&Transaction<'_>, i64) -> Result<(), TableError>,
    ) -> Result<Changed, TableError> {
        wal::keep_short_for_small(&self.connection)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // The time is in it for a file that was restored: what was granted by accounts that are not in it
        // has a lower revision than all changes to come.
        let least = newest_of_account(&transaction)?.saturating_add(1);
        let of_account = now_ms.max(least);
        change(&transaction, of_account)?;
        let sql = "INSERT OR REPLACE INTO state (key, value) VALUES ('newest_account', ?1)";
        transaction.prepare_cached(sql)?.execute((of_account,))?;
        let sql = "INSERT INTO state (key, value) VALUES ('account_revision', 1) \
                   ON CONFLICT (key) DO UPDATE SET value = value + 1";
        transaction.prepare_cached(sql)?.execute(())?;
        let revision = revision(&transaction)?;
        transaction.commit()?;
        Ok(Changed { revision, of_account: of_account.cast_unsigned() })
    }
}

/// See [`AccountTable::renew_keys`].
pub(super) fn renew_keys(connection: &mut Connection) -> rusqlite::Result<()> {
    if has_keys_of_today(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    give_keys(&transaction)?;
    transaction.commit()
}

fn has_keys_of_today(connection: &Connection) -> rusqlite::Result<bool> {
    let mut names = connection.prepare("SELECT name FROM account ORDER BY name")?;
    let sql = "SELECT account, key FROM account_key ORDER BY account, key";
    let mut stored = connection.prepare(sql)?;
    let stored = stored.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let stored = stored.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    let mut stored = stored.iter();
    let mut rows = names.query(())?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let keys = lookalike_keys(&name);
        let mut keys: Vec<&str> = keys.iter().collect();
        keys.sort_unstable();
        let is_same = |key: &str| stored.next().is_some_and(|(n, k)| *n == name && k == key);
        if !keys.into_iter().all(is_same) {
            return Ok(false);
        }
    }
    Ok(stored.next().is_none())
}

/// Gives each account its look-alike keys, in place of those that it has.
pub(super) fn give_keys(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM account_key", ())?;
    let mut names = transaction.prepare("SELECT name FROM account")?;
    let mut rows = names.query(())?;
    while let Some(row) = rows.next()? {
        add_keys(transaction, &row.get::<_, String>(0)?)?;
    }
    Ok(())
}

fn add_keys(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO account_key (key, account) VALUES (?1, ?2)";
    let mut add = transaction.prepare_cached(sql)?;
    lookalike_keys(name).iter().try_for_each(|key| add.execute((key, name)).map(drop))
}

/// An account with this name, else one that looks like it.
fn one_like(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT name FROM account WHERE name = ?1";
    let named = transaction.prepare_cached(sql)?.query_row((name,), |row| row.get(0)).optional()?;
    if named.is_some() {
        return Ok(named);
    }
    let sql = "SELECT account FROM account_key WHERE key = ?1 ORDER BY account LIMIT 1";
    let mut with_key = transaction.prepare_cached(sql)?;
    for key in lookalike_keys(name).iter() {
        let found = with_key.query_row((key,), |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

const COLUMNS: &str = "name, hash, role, created_ms, changed_ms, seen_ms, revision";

fn read(row: &Row<'_>) -> rusqlite::Result<StoredAccount> {
    Ok(StoredAccount {
        name: row.get(0)?,
        hash: row.get(1)?,
        role: role(&row.get::<_, String>(2)?),
        created_ms: row.get(3)?,
        changed_ms: row.get(4)?,
        seen_ms: row.get(5)?,
        revision: row.get::<_, i64>(6)?.cast_unsigned(),
        addresses: Vec::new(),
    })
}

fn addresses(connection: &Connection, name: &str) -> rusqlite::Result<Vec<IpAddr>> {
    let sql = "SELECT address FROM account_address WHERE account = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map((name,), |row| row.get::<_, String>(0))?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.iter().filter_map(|text| text.parse().ok()).collect())
}

/// The roles that an account can have, as they are stored.
const ROLES: [Role; 3] = [Role::User, Role::Moderator, Role::Admin];

fn role(text: &str) -> Role {
    ROLES.into_iter().find(|role| role.to_string() == text).unwrap_or_default()
}

fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    let sql = "SELECT value FROM state WHERE key = 'account_revision'";
    let found = connection.prepare_cached(sql)?.query_row((), |row| row.get(0)).optional()?;
    Ok(Revision(found.unwrap_or(0)))
}

/// It is never negative.
fn newest_of_account(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT value FROM state WHERE key = 'newest_account'";
    connection.prepare_cached(sql)?.query_row((), |row| row.get(0))
}

fn one(rows: usize) -> Result<(), TableError> {
    if rows == 1 { Ok(()) } else { Err(TableError::Gone) }
}

impl From<rusqlite::Error> for TableError {
    fn from(error: rusqlite::Error) -> Self {
        TableError::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::connect_in_memory;
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::new(text).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_is_found_as_it_was_added() {
        let mut table = AccountTable::new(connect_in_memory());
        let none = table.revision().unwrap();
        let Changed { revision: first, of_account } =
            table.add(&name("alice"), "hash", Role::Moderator, 1_000).unwrap();
        assert!(first.follows(none));
        assert_eq!(table.revision().unwrap(), first);
        let account = StoredAccount {
            name: "alice".to_owned(),
            hash: "hash".to_owned(),
            role: Role::Moderator,
            revision: of_account,
            created_ms: 1_000,
            changed_ms: 1_000,
            seen_ms: None,
            addresses: Vec::new(),
        };
        assert_eq!(table.find("alice").unwrap().as_ref(), Some(&account));
        assert_eq!(table.find("Alice").unwrap(), None);
        assert_eq!(table.all().unwrap(), (first, vec![account]));
    }

    #[test]
    fn no_two_accounts_look_alike() {
        let mut table = AccountTable::new(connect_in_memory());
        let first = table.add(&name("alice"), "hash", Role::User, 1).unwrap().revision;
        for other in ["alice", "ALICE", "a1ice"] {
            let taken = table.add(&name(other), "other", Role::User, 2).unwrap_err();
            assert!(matches!(taken, TableError::Taken(by) if by == "alice"), "{other}");
        }
        assert_eq!(table.revision().unwrap(), first, "nothing has changed");
        for (name_of, others) in [("Hans", ["Нans", "нANS"]), ("BOB", ["ВОВ", "Bоb"])] {
            table.add(&name(name_of), "hash", Role::User, 3).unwrap();
            for other in others {
                let taken = table.add(&name(other), "other", Role::User, 4).unwrap_err();
                assert!(matches!(taken, TableError::Taken(by) if by == name_of), "{other}");
            }
        }
        table.remove("Hans", 5).unwrap();
        table.add(&name("Нans"), "hash", Role::User, 6).unwrap();
    }

    #[test]
    fn keys_of_another_version_are_made_again() {
        let mut table = AccountTable::new(connect_in_memory());
        for account in ["Hans", "alice"] {
            table.add(&name(account), "hash", Role::User, 1).unwrap();
        }
        let made = table.revision().unwrap();
        table.renew_keys().unwrap();
        table
            .connection
            .execute_batch(
                "UPDATE account_key SET key = 'x' WHERE account = 'Hans';
                 INSERT INTO account SELECT 'Нans', hash, role, 2, 2, NULL, 7 FROM account
                    WHERE name = 'Hans';
                 INSERT INTO account_key VALUES ('y', 'nobody');",
            )
            .unwrap();
        table.renew_keys().unwrap();
        assert!(has_keys_of_today(&table.connection).unwrap());
        // accounts that look alike now remain, and reserve their names
        assert_eq!(table.all().unwrap().1.len(), 3);
        table.set_hash("Нans", Some("hash"), "new", 3).unwrap();
        for account in ["Hans", "Нans"] {
            let taken = table.add(&name("HANS"), "hash", Role::User, 4).unwrap_err();
            assert!(matches!(taken, TableError::Taken(by) if by == account), "{account}");
            table.remove(account, 5).unwrap();
        }
        table.add(&name("HANS"), "hash", Role::User, 6).unwrap();
        assert_ne!(table.revision().unwrap(), made);
    }

    #[test]
    fn changes_are_of_one_account_that_is_there() {
        let mut table = AccountTable::new(connect_in_memory());
        for account in ["alice", "bob"] {
            table.add(&name(account), "old", Role::User, 1).unwrap();
        }
        table.set_hash("alice", Some("old"), "new", 2).unwrap();
        let stale = table.set_hash("alice", Some("old"), "newer", 3).unwrap_err();
        assert!(matches!(stale, TableError::Gone));
        table.set_hash("alice", None, "newest", 4).unwrap();
        table.set_role("alice", Role::Admin, 5).unwrap();
        let alice = table.find("alice").unwrap().unwrap();
        assert_eq!((&*alice.hash, alice.role, alice.changed_ms), ("newest", Role::Admin, 5));
        let bob = table.find("bob").unwrap().unwrap();
        assert_eq!((&*bob.hash, bob.role, bob.changed_ms), ("old", Role::User, 1));
        assert!(matches!(table.set_role("carol", Role::User, 6), Err(TableError::Gone)));
        assert!(matches!(table.remove("carol", 7), Err(TableError::Gone)));
    }

    #[test]
    fn who_has_a_name_next_inherits_nothing() {
        let mut table = AccountTable::new(connect_in_memory());
        table.add(&name("alice"), "hash", Role::Admin, 1).unwrap();
        table.seen("alice", address("192.0.2.7"), 2).unwrap();
        table
            .connection
            .execute(
                "INSERT INTO mailbox VALUES ('alice', 7, 'carol', 1), ('bob', 7, 'carol', 1)",
                (),
            )
            .unwrap();
        table.remove("alice", 2).unwrap();
        table.add(&name("Alice"), "other", Role::User, 3).unwrap();
        table.remove("Alice", 3).unwrap();
        table.add(&name("alice"), "another", Role::User, 4).unwrap();
        let (_, all) = table.all().unwrap();
        let [alice] = &all[..] else { panic!("{all:?}") };
        assert_eq!((alice.role, alice.seen_ms, &alice.addresses[..]), (Role::User, None, &[][..]));
        let sql = "SELECT count(*) FROM mailbox";
        let waiting: i64 = table.connection.query_row(sql, (), |row| row.get(0)).unwrap();
        assert_eq!(waiting, 1, "that of bob");
    }

    #[test]
    fn an_account_has_a_higher_revision_after_each_change_of_its_password_or_role() {
        let mut table = AccountTable::new(connect_in_memory());
        let of = |table: &AccountTable| table.find("alice").unwrap().unwrap().revision;
        let added = table.add(&name("alice"), "old", Role::User, 5).unwrap();
        assert_eq!(of(&table), added.of_account);
        // the clock stands still, and goes back
        let changed = table.set_hash("alice", Some("old"), "new", 5).unwrap();
        assert!(changed.of_account > added.of_account);
        assert_eq!(of(&table), changed.of_account);
        let promoted = table.set_role("alice", Role::Admin, 1).unwrap();
        assert!(promoted.of_account > changed.of_account);
        assert_eq!(of(&table), promoted.of_account);
        // another hash of the same password is no change of the account
        table.renew_hash("alice", "new", "newer", 9).unwrap();
        assert!(matches!(table.renew_hash("alice", "new", "x", 9), Err(TableError::Gone)));
        table.seen("alice", address("192.0.2.7"), 9).unwrap();
        assert_eq!(of(&table), promoted.of_account);
        // changes of others are none of this one
        table.add(&name("bob"), "hash", Role::User, 9).unwrap();
        assert_eq!(of(&table), promoted.of_account);
    }

    #[test]
    fn an_account_that_is_made_again_has_no_revision_of_the_removed_one() {
        let mut table = AccountTable::new(connect_in_memory());
        let mut highest = 0;
        for now_ms in [1_000, 1_000, 0, i64::MIN] {
            let added = table.add(&name("alice"), "hash", Role::User, now_ms).unwrap().of_account;
            assert!(added > highest);
            let removed = table.remove("alice", now_ms).unwrap().of_account;
            assert!(removed > added);
            assert_eq!(table.newest_of_account().unwrap(), removed);
            highest = removed;
        }
    }

    #[test]
    fn the_last_ten_addresses_are_kept() {
        let mut table = AccountTable::new(connect_in_memory());
        table.add(&name("alice"), "hash", Role::User, 1).unwrap();
        let revision = table.revision().unwrap();
        table.seen("alice", address("2001:db8::"), 2).unwrap();
        for number in 0..10 {
            table.seen("alice", address(&format!("192.0.2.{number}")), 3).unwrap();
        }
        let kept = table.seen("alice", address("192.0.2.3"), 4).unwrap();
        let kept: BTreeSet<_> = kept.into_iter().collect();
        let last = (0..10).map(|number| address(&format!("192.0.2.{number}")));
        assert_eq!(kept, last.collect());
        // of one moment, the one that is noted is kept
        for number in 10..30 {
            let noted = address(&format!("192.0.2.{number}"));
            assert!(table.seen("alice", noted, 4).unwrap().contains(&noted), "{number}");
        }
        assert_eq!(table.find("alice").unwrap().unwrap().seen_ms, Some(4));
        assert_eq!(table.revision().unwrap(), revision, "nobody needs to see that");
        assert!(matches!(table.seen("bob", address("192.0.2.7"), 5), Err(TableError::Gone)));
        let sql = "SELECT count(*) FROM account_address WHERE account = 'bob'";
        let of_bob: i64 = table.connection.query_row(sql, (), |row| row.get(0)).unwrap();
        assert_eq!(of_bob, 0);
    }

    #[test]
    fn a_role_of_a_later_version_gives_no_rights() {
        let mut table = AccountTable::new(connect_in_memory());
        table.add(&name("alice"), "hash", Role::User, 1).unwrap();
        table.connection.execute("UPDATE account SET role = 'emperor'", ()).unwrap();
        assert_eq!(table.find("alice").unwrap().unwrap().role, Role::User);
    }
}
