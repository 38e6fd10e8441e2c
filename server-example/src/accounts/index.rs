//! Who has an account, in memory: a name is looked up without touching the disk. It is loaded from
//! the [`AccountTable`] and kept in step with it.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use chatproto::UserName;
use chatproto::hub::{AccountChange, Role};
use chatproto::name::{LookalikeKeys, NamePolicyError, lookalike_keys};
use shared::usage::Usage;
use store::DatabaseError;
use store::accounts::{AccountTable, Revision, StoredAccount};

use super::throttle::Origin;

/// The most bytes of accounts, beyond which none can be registered: about 130,000 accounts.
const MOST_BYTES: usize = 96 << 20;

/// How many addresses the table keeps of an account.
const ADDRESSES: usize = 10;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: UserName,
    /// A PHC string.
    pub(crate) hash: Box<str>,
    pub(crate) role: Role,
    /// See [`Accounts`](chatproto::accounts::Accounts#revisions).
    pub(crate) revision: u64,
    /// Unix milliseconds.
    pub(crate) created_ms: i64,
    /// Where it was used last, the same as [`Origin::address`].
    pub(crate) addresses: Vec<IpAddr>,
    /// When that was noted last; Unix milliseconds.
    pub(crate) seen_ms: i64,
}

/// A change of an account by another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedAccount {
    pub(crate) name: UserName,
    pub(crate) what: AccountChange,
    /// The account's revision since then.
    pub(crate) revision: u64,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct AccountIndex {
    accounts: HashMap<Box<str>, Account>,
    /// Each of an account's keys before its name. The keys are made anew when the directory is loaded, as
    /// an update of the library may have changed what looks alike.
    keys: BTreeSet<(Box<str>, Box<str>)>,
    /// Bytes that the accounts take, at most.
    usage: Usage,
    revision: Revision,
    /// The highest revision that an account had when they were loaded.
    newest_of_account: u64,
}

impl AccountIndex {
    /// What the table has.
    pub(crate) fn load(table: &mut AccountTable) -> Result<Self, DatabaseError> {
        let (revision, stored) = table.all()?;
        let (accounts, keys) = (HashMap::with_capacity(stored.len()), BTreeSet::new());
        let usage = Usage::of(MOST_BYTES);
        let newest_of_account = table.newest_of_account()?;
        let mut directory = AccountIndex { accounts, keys, usage, revision, newest_of_account };
        stored.into_iter().filter_map(Account::of).for_each(|account| directory.put(account));
        Ok(directory)
    }

    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Bytes that the accounts take.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether another account may be registered.
    pub(crate) fn has_room(&self) -> bool {
        self.usage.has_room(cost("", &lookalike_keys("")))
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The account of a name: with this very name, else one that looks like it.
    pub(crate) fn find(&self, name: &UserName) -> Option<&Account> {
        self.accounts.get(name.as_str()).or_else(|| self.find_alike(name.as_str()))
    }

    /// The accounts that have a role.
    pub(crate) fn staff(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().filter(|account| account.role != Role::User)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Account> {
        self.accounts.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Account> {
        self.accounts.get_mut(name)
    }

    /// The accounts whose names no account may have, in the order of the names, and why.
    pub(crate) fn refused_names(&self) -> Vec<(UserName, NamePolicyError)> {
        let names = self.accounts.values().map(|account| &account.name);
        let refused = names.filter_map(|name| Some((name.clone(), name.check_account().err()?)));
        let mut refused: Vec<_> = refused.collect();
        refused.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        refused
    }

    pub(crate) fn put(&mut self, account: Account) {
        let name: Box<str> = account.name.as_str().into();
        let keys = lookalike_keys(&name);
        let cost = cost(&name, &keys);
        self.keys.extend(keys.iter().map(|key| (key.into(), name.clone())));
        if self.accounts.insert(name, account).is_none() {
            self.usage.add(cost);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let keys = lookalike_keys(name);
        if self.accounts.remove(name).is_some() {
            self.usage.subtract(cost(name, &keys));
        }
        for key in keys.iter() {
            self.keys.remove(&(key.into(), name.into()));
        }
    }

    /// A change of our own was made. If it does not follow the revision that this directory has, then
    /// others came between, and the directory stays behind until it is loaded again.
    pub(crate) fn advance(&mut self, revision: Revision) {
        if revision.follows(self.revision) {
            self.revision = revision;
        }
    }

    /// What has changed from another directory to this one.
    pub(crate) fn changes_since(&self, before: &AccountIndex) -> Vec<ChangedAccount> {
        let mut changes = Vec::new();
        for account in before.accounts.values() {
            let mut change = |what, revision| {
                changes.push(ChangedAccount { name: account.name.clone(), what, revision });
            };
            match self.get(account.name.as_str()) {
                None => change(AccountChange::Removed, self.newest_of_account),
                Some(now) if now.revision == account.revision => {}
                // removed and made again
                Some(now) if now.created_ms != account.created_ms => {
                    change(AccountChange::Removed, now.revision);
                    change(AccountChange::Added(now.role), now.revision);
                }
                Some(now) => {
                    // before the role: a session takes a change of one revision once
                    if now.hash != account.hash {
                        change(AccountChange::Password, now.revision);
                    }
                    if now.role != account.role {
                        change(AccountChange::Role(now.role), now.revision);
                    }
                }
            }
        }
        let added = self.accounts.values().filter(|new| before.get(new.name.as_str()).is_none());
        changes.extend(added.map(|new| ChangedAccount {
            name: new.name.clone(),
            what: AccountChange::Added(new.role),
            revision: new.revision,
        }));
        changes
    }

    fn find_alike(&self, name: &str) -> Option<&Account> {
        let keys = lookalike_keys(name);
        let with_key = |key: &str| {
            let (found, name) = self.keys.range((key.into(), "".into())..).next()?;
            (**found == *key).then_some(name)
        };
        self.accounts.get(keys.iter().find_map(with_key)?)
    }
}

/// The most memory that an account of this name takes. A hash table has room for up to 16/7 of its
/// entries. Nodes of a B-tree are half full at least. The allocator rounds each text up.
fn cost(name: &str, keys: &LookalikeKeys) -> usize {
    /// The PHC string of a hash, and the addresses that are kept.
    const HASH_AND_ADDRESSES: usize = 128 + ADDRESSES * size_of::<IpAddr>();
    const TEXTS: usize = 4 * 16;
    // the name is in the account, in the table and in the set of keys with each
    let entry = 3 * size_of::<(Box<str>, Box<str>)>() + 2 * 16;
    let keys: usize = keys.iter().map(|key| key.len() + name.len() + entry).sum();
    let texts = 2 * name.len() + HASH_AND_ADDRESSES + TEXTS;
    texts + keys + size_of::<(Box<str>, Account)>() * 16 / 7
}

impl Account {
    /// `None` if the name is none by today's rules: nobody can ask for it.
    fn of(stored: StoredAccount) -> Option<Self> {
        Some(Account {
            name: UserName::from_bytes(stored.name.as_bytes(), usize::MAX).ok()?,
            hash: stored.hash.into(),
            role: stored.role,
            revision: stored.revision,
            created_ms: stored.created_ms,
            addresses: stored.addresses,
            seen_ms: stored.seen_ms.unwrap_or(0),
        })
    }

    /// Whether it was used from there before.
    pub(crate) fn knows(&self, origin: Origin) -> bool {
        self.addresses.contains(&origin.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Heap;
    use store::connect_in_memory;

    fn account(name: &str) -> Account {
        Account {
            name: UserName::from_bytes(name.as_bytes(), usize::MAX).unwrap(),
            hash: "x".repeat(110).into(),
            role: Role::User,
            revision: 1,
            created_ms: 1,
            addresses: vec![IpAddr::from([192, 0, 2, 7]); ADDRESSES],
            seen_ms: 1,
        }
    }

    #[test]
    fn an_account_is_found_by_its_look_alikes_and_old_ones_by_their_names() {
        let mut directory =
            AccountIndex::load(&mut AccountTable::new(connect_in_memory())).unwrap();
        let found = |directory: &AccountIndex, name: &str| {
            let name = UserName::new(name).unwrap();
            directory.find(&name).map(|account| account.name.to_string())
        };
        // older versions let both be registered
        for name in ["Hans", "Нans", "BOB"] {
            directory.put(account(name));
        }
        for name in ["Hans", "Нans"] {
            assert_eq!(found(&directory, name).as_deref(), Some(name));
        }
        for (name, of) in [("ВОВ", "BOB"), ("вов", "BOB"), ("HANS", "Hans"), ("НАNS", "Нans")]
        {
            assert_eq!(found(&directory, name).as_deref(), Some(of), "{name}");
        }
        directory.remove("Hans");
        assert_eq!(found(&directory, "Hans").as_deref(), Some("Нans"));
        directory.remove("Нans");
        directory.remove("BOB");
        assert_eq!((found(&directory, "Hans"), directory.keys.len()), (None, 0));
    }

    #[test]
    fn accounts_take_the_memory_that_they_account_for() {
        // a letter that looks like eighteen
        let long_key = "\u{fdfa}".repeat(20);
        for (text, most) in [
            ("", 20_000),
            ("a long name as long as names can be ", 10_000),
            (&long_key, 4_000),
            // three keys
            ("ΝΗνη", 10_000),
        ] {
            let mut table = AccountTable::new(connect_in_memory());
            let heap = Heap::now();
            let mut directory = AccountIndex::load(&mut table).unwrap();
            for number in 0..most {
                directory.put(account(&format!("{text}{number}")));
                if number % 500 == 0 && number > 1_000 {
                    heap.assert_within(directory.usage().bytes, text);
                }
            }
            // once more, and then none
            for number in 0..1_000 {
                directory.put(account(&format!("{text}{number}")));
            }
            (0..most).for_each(|number| directory.remove(&format!("{text}{number}")));
            directory.remove("nobody");
            assert_eq!((directory.len(), directory.usage.bytes, directory.keys.len()), (0, 0, 0));
        }
    }
}
