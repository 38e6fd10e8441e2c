//! The accounts as a server uses them (see [`Accounts`]): registering, logging in, changing a password and giving an
//! account up. Everything that can be refused without work is refused on the caller's thread within
//! microseconds; what needs Argon2 or the disk is done by the pool.

use std::fmt;
use std::io;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc,
};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use chatproto::UserName;
use chatproto::accounts::{AccountOrder, AccountReply, Accounts, Granted};
use chatproto::hub::Role;
use chatproto::name::NamePolicyError;
use shared::text::Quoted;
use shared::usage::{Table, Usage};
use store::DatabaseError;
use store::accounts::{AccountTable, Changed, Revision, TableError};
use tracing::error;

use super::answer::{
    Answer, Denial, ENCRYPT, NAME_IT, NO_ROOM, UNENCRYPTED, UNREADABLE, WRONG, taken, throttled,
    unwritten,
};
pub(crate) use super::answer::{ErrorLog, Reply};
use super::counts::{OrderCounts, OrderKind, OrderResult};
use super::hasher::{Hasher, Memory, Verdict};
use super::index::{Account, AccountIndex, ChangedAccount};
use super::password::{Password, PasswordError};
use super::pool::{Claim, Job, Pool};
use super::throttle::{self, Attempt, Origin, Outcome, Refusal, Throttle, Ticket};

/// How often the data file is asked whether another program has changed an account.
const POLL: Duration = Duration::from_secs(1);
/// That an account was used from a known address is noted once in so many milliseconds.
const NOTED_MS: i64 = 60_000;
/// As many orders may wait as the threads can do in a few seconds.
const QUEUE: usize = 128;

/// How a book works.
#[derive(Clone, Debug)]
pub(crate) struct BookOptions {
    /// Threads for Argon2.
    pub(crate) threads: usize,
    /// Orders that may wait for them.
    pub(crate) queue: usize,
    /// Passwords are refused on connections that are not encrypted.
    pub(crate) require_tls: bool,
    /// Takes the errors that users can cause.
    pub(crate) log: ErrorLog,
}

impl Default for BookOptions {
    fn default() -> Self {
        let log = ErrorLog::new(|line| error!("{line}"));
        BookOptions { threads: Pool::default_threads(), queue: QUEUE, require_tls: false, log }
    }
}

/// Bytes that a book takes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BookUsage {
    /// Orders that wait for a thread.
    pub(crate) queue: Usage,
    /// Counts of failures and of registrations.
    pub(crate) throttle: [Usage; throttle::TABLES.len()],
    /// The accounts. Registrations end at the bound; an admin can add more with `account add`.
    pub(crate) directory: Usage,
}

/// Why there is no book.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The accounts cannot be read.
    Store(DatabaseError),
    /// A thread cannot be started.
    Thread(io::Error),
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct AccountBook {
    inner: Arc<Inner>,
    pool: Pool,
    counts: Arc<OrderCounts>,
    watch: Option<Watch>,
}

/// Time since the book was opened, and Unix milliseconds.
#[derive(Clone, Copy, Debug)]
struct Moment {
    since: Duration,
    unix_ms: i64,
}

struct Inner {
    hasher: Hasher,
    require_tls: bool,
    log: ErrorLog,
    /// May be locked under `table`, never the other way round: a lookup does not wait for the disk.
    directory: RwLock<AccountIndex>,
    throttle: Mutex<Throttle>,
    table: Mutex<AccountTable>,
    clock: Box<dyn Fn() -> Moment + Send + Sync>,
}

/// The thread that sees what other programs do.
#[derive(Debug)]
struct Watch {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl AccountBook {
    /// Loads the accounts. `changed` is called, on a thread of the book's own, with what another
    /// program has done to them, at most a second later.
    pub(crate) fn open(
        table: AccountTable,
        options: &BookOptions,
        changed: impl Fn(&ChangedAccount) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let begun = Instant::now();
        let clock = move || Moment { since: begun.elapsed(), unix_ms: unix_ms() };
        let mut book = AccountBook::with(table, options, Hasher::new(), Box::new(clock))?;
        let (stop, stopped) = mpsc::channel();
        let inner = Arc::clone(&book.inner);
        let watch = move || {
            let mut is_failing = false;
            while stopped.recv_timeout(POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                match inner.refresh() {
                    Ok(changes) => {
                        is_failing = false;
                        changes.iter().for_each(&changed);
                    }
                    Err(_) if is_failing => {}
                    Err(error) => {
                        is_failing = true;
                        error!("cannot see whether accounts were changed: {error}");
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("accounts-watch".to_owned()).spawn(watch);
        book.watch = Some(Watch { stop, thread: thread.map_err(OpenError::Thread)? });
        Ok(book)
    }

    fn with(
        mut table: AccountTable,
        options: &BookOptions,
        hasher: Hasher,
        clock: Box<dyn Fn() -> Moment + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let directory = AccountIndex::load(&mut table).map_err(OpenError::Store)?;
        let inner = Inner {
            hasher,
            require_tls: options.require_tls,
            log: options.log.clone(),
            directory: RwLock::new(directory),
            throttle: Mutex::new(Throttle::new()),
            table: Mutex::new(table),
            clock,
        };
        let pool = Pool::start(options.threads, options.queue).map_err(OpenError::Thread)?;
        Ok(AccountBook { inner: Arc::new(inner), pool, counts: Arc::default(), watch: None })
    }

    /// How many accounts there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.directory().len()
    }

    /// Calls `with` for each account that has a role. Changes by other programs are noticed after that.
    pub(crate) fn for_staff(&self, with: impl FnMut(&Account)) {
        self.inner.directory().staff().for_each(with);
    }

    /// When the account of exactly this name was made, in Unix milliseconds: what was kept for the
    /// name before was somebody else's. In memory.
    pub(crate) fn created_ms(&self, name: &str) -> Option<i64> {
        self.inner.directory().get(name).map(|account| account.created_ms)
    }

    /// Whether there is an account of exactly this name, and its owner can log in. In memory.
    pub(crate) fn has_owner(&self, name: &UserName) -> bool {
        name.check_request().is_ok() && self.inner.directory().get(name.as_str()).is_some()
    }

    /// The accounts, made by an older version, whose names cannot be registered any more, and why.
    pub(crate) fn refused_names(&self) -> Vec<(UserName, NamePolicyError)> {
        self.inner.directory().refused_names()
    }

    /// Carries out an order. `done` is called exactly once with what came of it: at once, on the
    /// caller's thread, if it is refused without work, else on a thread of the pool. This itself
    /// takes microseconds and waits for nothing.
    pub(crate) fn submit(&self, order: AccountOrder, done: impl FnOnce(Reply) + Send + 'static) {
        let answer = Answer::new(OrderKind::of(&order), Arc::clone(&self.counts), done);
        let admitted = match self.inner.admit(&order) {
            Ok(admitted) => admitted,
            Err(why) => return answer.give(Err(why)),
        };
        let inner = Arc::clone(&self.inner);
        let claim = claim(&order);
        let queued = Queued { inner, order, admitted, permit: Err(Denial::busy()), answer };
        self.pool.submit(claim, Box::new(queued));
    }

    /// The results of the orders since the start.
    pub(crate) fn counts(&self) -> &OrderCounts {
        &self.counts
    }

    /// Bytes that the book takes of memory.
    pub(crate) fn usage(&self) -> BookUsage {
        BookUsage {
            queue: self.pool.usage(),
            throttle: self.inner.throttle().usage(),
            directory: self.inner.directory().usage(),
        }
    }

    /// The tables of the book.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let BookUsage { queue, throttle, directory } = self.usage();
        let mut tables = vec![
            Table::new("passwords that wait to be checked", queue),
            Table::new("accounts", directory),
        ];
        let throttle = throttle::TABLES.into_iter().zip(throttle);
        tables.extend(throttle.map(|(name, usage)| Table::new(name, usage)));
        tables
    }
}

impl Accounts for AccountBook {
    fn is_reserved(&self, name: &UserName) -> bool {
        self.inner.directory().find(name).is_some()
    }

    fn revision(&self, name: &UserName) -> Option<u64> {
        self.inner.directory().get(name.as_str()).map(|account| account.revision)
    }

    fn handle(&self, order: AccountOrder, reply: AccountReply) {
        self.submit(order, move |outcome| reply.send(outcome));
    }
}

impl Drop for AccountBook {
    fn drop(&mut self) {
        if let Some(Watch { stop, thread }) = self.watch.take() {
            drop(stop);
            // it says what goes wrong and does not panic
            let _ = thread.join();
        }
    }
}

/// What is left of an order that may be carried out.
struct Admitted {
    password: Password,
    attempt: Attempt,
    /// The one that is to be the password.
    new: Option<Password>,
}

/// An order in the queue. Its attempt is reserved when a thread takes it, before the password is
/// hashed. An attempt that must not begin yet stays in the queue. So a crowd behind one address logs
/// in one after the other, and a guesser has no more attempts than one after the other would have.
struct Queued {
    inner: Arc<Inner>,
    order: AccountOrder,
    admitted: Admitted,
    /// The reserved attempt, or why there is none.
    permit: Result<Ticket, Denial>,
    answer: Answer,
}

impl Job for Queued {
    fn begin(&mut self) -> bool {
        let now = (self.inner.clock)().since;
        match self.inner.throttle().reserve(self.admitted.attempt, now) {
            Ok(ticket) => self.permit = Ok(ticket),
            Err(Refusal::UnderWay) => return false,
            // others have failed meanwhile
            Err(Refusal::Wait(wait)) => self.permit = Err(throttled(&self.order, wait)),
        }
        true
    }

    fn run(self: Box<Self>, memory: Option<&mut Memory>) {
        let Queued { inner, order, admitted, permit, answer } = *self;
        let reply = match (memory, permit) {
            (Some(memory), Ok(ticket)) => inner.carry_out(&order, admitted, ticket, memory),
            (_, Err(why)) => Err(why),
            (None, Ok(ticket)) => {
                inner.settle(ticket, Outcome::Nothing);
                Err(Denial::busy())
            }
        };
        answer.give(reply);
    }
}

impl Inner {
    /// Refuses what can be refused without work.
    fn admit(&self, order: &AccountOrder) -> Result<Admitted, Denial> {
        let credentials = order.credentials();
        if self.require_tls && !credentials.is_secure {
            return Err(Denial::refused(ENCRYPT));
        }
        let (name, typed) = (&credentials.name, credentials.password.as_str());
        let said = |why: PasswordError| Denial::refused(why.to_string());
        let is_new = matches!(order, AccountOrder::Register(_));
        let prepare = |typed, is_new| match is_new {
            true => Password::new_for(typed, name.as_str()).map_err(said),
            false => Password::new(typed).map_err(said),
        };
        let password = prepare(typed, is_new)?;
        let new = match order {
            AccountOrder::ChangePassword(_, new) => Some(prepare(new.as_str(), true)?),
            _ => None,
        };
        let origin = Origin::new(credentials.address);
        let now = (self.clock)().since;
        let directory = self.directory();
        let account = directory.find(name);
        let attempt = if is_new {
            if let Some(account) = account {
                return Err(Denial::refused(taken(name.as_str(), account.name.as_str())));
            }
            if !directory.has_room() {
                return Err(Denial::refused(NO_ROOM));
            }
            self.throttle().registration(origin)
        } else {
            let key = account.map_or(name, |account| &account.name).as_str();
            let is_known = account.is_some_and(|account| account.knows(origin));
            self.throttle().password(key, origin, is_known)
        };
        match self.throttle().check(attempt, now) {
            Err(Refusal::Wait(wait)) => Err(throttled(order, wait)),
            Ok(()) | Err(Refusal::UnderWay) => Ok(Admitted { password, attempt, new }),
        }
    }

    fn carry_out(
        &self,
        order: &AccountOrder,
        admitted: Admitted,
        ticket: Ticket,
        memory: &mut Memory,
    ) -> Result<Granted, Denial> {
        let Admitted { password, new, .. } = admitted;
        let credentials = order.credentials();
        let name = &credentials.name;
        let mut account = match order {
            AccountOrder::Register(_) => self.register(name, &password, ticket, memory)?,
            // every other one is for somebody who has an account
            _ => self.prove(name, &password, ticket, memory)?,
        };
        let known_as = account.name.as_str();
        if account.name != *name {
            return Err(Denial::refused(format!("that account is called {known_as}: {NAME_IT}")));
        }
        match (order, new) {
            (AccountOrder::ChangePassword(..), Some(new)) => {
                let hash = self.hasher.hash(&new, memory);
                let changed = self.set_hash(known_as, &account.hash, hash);
                account.revision = changed.map_err(|why| self.unwritten(why))?;
            }
            (AccountOrder::Unregister(_), _) => {
                account.revision = self.remove(known_as).map_err(|why| self.unwritten(why))?;
            }
            _ => self.note(&account, Origin::new(credentials.address)),
        }
        let mut granted = Granted::new(account.role, account.revision);
        granted.notice = (!credentials.is_secure).then(|| UNENCRYPTED.to_owned());
        Ok(granted)
    }

    fn register(
        &self,
        name: &UserName,
        password: &Password,
        ticket: Ticket,
        memory: &mut Memory,
    ) -> Result<Account, Denial> {
        let hash = self.hasher.hash(password, memory);
        let created_ms = (self.clock)().unix_ms;
        let added = {
            let mut table = self.table();
            table.add(name, &hash, Role::User, created_ms).map(
                |Changed { revision, of_account }| {
                    let account = Account {
                        name: name.clone(),
                        hash: hash.into(),
                        role: Role::User,
                        revision: of_account,
                        created_ms,
                        addresses: Vec::new(),
                        seen_ms: 0,
                    };
                    self.update(revision, |directory| directory.put(account.clone()));
                    account
                },
            )
        };
        // work that others can cause counts
        let is_done = !matches!(added, Err(TableError::Store(_)));
        self.settle(ticket, if is_done { Outcome::Success } else { Outcome::Nothing });
        added.map_err(|why| match why {
            TableError::Taken(other) => Denial::refused(taken(name.as_str(), &other)),
            why => self.unwritten(why),
        })
    }

    /// The account, if this is its password.
    fn prove(
        &self,
        name: &UserName,
        password: &Password,
        ticket: Ticket,
        memory: &mut Memory,
    ) -> Result<Account, Denial> {
        let found = self.directory().find(name).cloned();
        let stored = found.as_ref().map(|account| &*account.hash);
        let verdict = self.hasher.verify(password, stored, memory);
        let is_right = matches!(verdict, Verdict::Right | Verdict::RightButOld);
        // it may have been given another password, or to somebody else, meanwhile
        let account = found.and_then(|found| {
            let directory = self.directory();
            directory.get(found.name.as_str()).filter(|now| now.hash == found.hash).cloned()
        });
        let Some(mut account) = account else {
            self.settle(ticket, Outcome::Failure);
            return Err(Denial::new(OrderResult::WrongPassword, WRONG));
        };
        if verdict == Verdict::Unreadable {
            self.settle(ticket, Outcome::Nothing);
            let name = Quoted(account.name.as_str());
            self.log.write(&format!("the password hash of the account {name} is not readable"));
            return Err(Denial::new(OrderResult::Failed, UNREADABLE));
        }
        self.settle(ticket, if is_right { Outcome::Success } else { Outcome::Failure });
        if !is_right {
            return Err(Denial::new(OrderResult::WrongPassword, WRONG));
        }
        if verdict == Verdict::RightButOld {
            let hash = self.hasher.hash(password, memory);
            match self.renew_hash(account.name.as_str(), &account.hash, hash.clone()) {
                Ok(()) => account.hash = hash.into(),
                Err(why) => drop(self.unwritten(why)),
            }
        }
        Ok(account)
    }

    /// Notes where an account was used. That it cannot be is no reason to refuse anything.
    fn note(&self, account: &Account, origin: Origin) {
        let now_ms = (self.clock)().unix_ms;
        if account.knows(origin) && now_ms - account.seen_ms < NOTED_MS {
            return;
        }
        let name = account.name.as_str();
        let mut table = self.table();
        match table.seen(name, origin.address(), now_ms) {
            Ok(kept) => {
                if let Some(account) = self.directory_mut().get_mut(name) {
                    account.addresses = kept;
                    account.seen_ms = now_ms;
                }
            }
            Err(why) => drop(self.unwritten(why)),
        }
    }

    fn unwritten(&self, why: TableError) -> Denial {
        unwritten(why, &self.log)
    }

    /// Returns the account's revision since then.
    fn set_hash(&self, name: &str, old: &str, hash: String) -> Result<u64, TableError> {
        let now_ms = (self.clock)().unix_ms;
        let mut table = self.table();
        let Changed { revision, of_account } = table.set_hash(name, Some(old), &hash, now_ms)?;
        self.update(revision, |directory| {
            if let Some(account) = directory.get_mut(name) {
                (account.hash, account.revision) = (hash.into(), of_account);
            }
        });
        Ok(of_account)
    }

    fn renew_hash(&self, name: &str, old: &str, hash: String) -> Result<(), TableError> {
        let now_ms = (self.clock)().unix_ms;
        let mut table = self.table();
        let revision = table.renew_hash(name, old, &hash, now_ms)?;
        self.update(revision, |directory| {
            if let Some(account) = directory.get_mut(name) {
                account.hash = hash.into();
            }
        });
        Ok(())
    }

    /// Returns the revision of the removal.
    fn remove(&self, name: &str) -> Result<u64, TableError> {
        let now_ms = (self.clock)().unix_ms;
        let mut table = self.table();
        let Changed { revision, of_account } = table.remove(name, now_ms)?;
        self.update(revision, |directory| directory.remove(name));
        Ok(of_account)
    }

    /// Follows a change of the table, which the caller has locked.
    fn update(&self, revision: Revision, change: impl FnOnce(&mut AccountIndex)) {
        let mut directory = self.directory_mut();
        change(&mut directory);
        directory.advance(revision);
    }

    /// Loads the accounts again if another program has changed them; returns what has changed.
    fn refresh(&self) -> Result<Vec<ChangedAccount>, DatabaseError> {
        let mut table = self.table();
        if table.revision()? == self.directory().revision() {
            return Ok(Vec::new());
        }
        // nobody changes the directory who does not have the table
        let now = AccountIndex::load(&mut table)?;
        let changes = now.changes_since(&self.directory());
        // the old one is taken apart without the lock
        let before = std::mem::replace(&mut *self.directory_mut(), now);
        drop(before);
        Ok(changes)
    }

    fn settle(&self, ticket: Ticket, outcome: Outcome) {
        let now = (self.clock)().since;
        self.throttle().settle(ticket, outcome, now);
    }

    fn directory(&self) -> RwLockReadGuard<'_, AccountIndex> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, AccountIndex> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, AccountTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("require_tls", &self.require_tls).finish_non_exhaustive()
    }
}

/// Bytes that an order takes while it is queued: itself, its passwords, typed and prepared, and the reply.
fn claim(order: &AccountOrder) -> Claim {
    /// The closures and what they own besides texts.
    const JOB_BYTES: usize = 1_024;
    let credentials = order.credentials();
    let new = match order {
        AccountOrder::ChangePassword(_, new) => new.as_str().len(),
        _ => 0,
    };
    // a prepared password can be longer than the typed one
    let passwords = 4 * (credentials.password.as_str().len() + new);
    let bytes = JOB_BYTES + 2 * credentials.name.as_str().len() + passwords;
    Claim { networks: Origin::new(credentials.address).networks(), bytes }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
