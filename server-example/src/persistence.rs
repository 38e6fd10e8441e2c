//! What a server keeps over its end: its accounts, its history, its bans and mutes. Here they are
//! opened together, as they lie in one file, and put into the server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use chatproto::accounts::AccountPolicy;
use chatproto::name::NamePolicyError;
use chatproto::{ServerBuilder, ServerHandle, UserName};
use shared::failure::{Failure, reason};
use shared::modes::is_open_to_others;
use shared::text::{Quoted, visible};
use shared::usage::Table;
use store::accounts::AccountTable;
use store::{ErrorKind, Moderation, Store, StoreError, StoreUsage};
use tracing::{error, info, warn};

use crate::accounts::book::{AccountBook, BookOptions, ErrorLog, OpenError};
use crate::accounts::index::ChangedAccount;
use crate::budgets::Kind;
use crate::data::AccountsMode;
use crate::journal::Journal;
use crate::keeper::{ALARM_EVERY, Keeper};
use crate::sanctions::{self, Sanctions};
use crate::serve::ServeOptions;

/// The log names at most this many accounts that cannot be used.
const REFUSED_SHOWN: usize = 10;

/// What is kept in a data directory, opened and not yet in a server.
pub(crate) struct Persistence {
    policy: Option<AccountPolicy>,
    book: Option<Arc<AccountBook>>,
    keeper: Keeper,
    moderation: Moderation,
    pub(crate) sanctions: Arc<Sanctions>,
    /// The server, as soon as there is one: for the book, which sees what other programs do.
    handle: Arc<OnceLock<ServerHandle>>,
    /// Keeps other servers out.
    store: Store,
}

impl Persistence {
    /// Opens what the options name; nothing, if nothing is to be kept, or if the disk has no room for the
    /// first database. A database that is there must be opened: it may have accounts to protect.
    pub(crate) fn open(
        options: &ServeOptions,
        journal: &Arc<Journal>,
    ) -> Result<Option<Self>, Failure> {
        let Some(directory) = directory(options)? else { return Ok(None) };
        warn_if_open(&directory);
        match Store::open(&directory, options.keeping.store_options()) {
            Ok(store) => Persistence::of(store, options, journal).map(Some).map_err(asked_for),
            Err(error) if is_without(&directory, options, &error) => {
                raise_alarm(error, Arc::clone(journal))?;
                Ok(None)
            }
            Err(error) => Err(asked_for(error.into())),
        }
    }

    /// Checks what the options name, and makes nothing.
    pub(crate) fn check(options: &ServeOptions) -> Result<(), Failure> {
        let Some(directory) = directory(options)? else { return Ok(()) };
        match store::check_usable(&directory) {
            // as in `open`
            Err(error) if !is_without(&directory, options, &error) => Err(asked_for(error.into())),
            _ => Ok(()),
        }
    }

    fn of(
        mut store: Store,
        options: &ServeOptions,
        journal: &Arc<Journal>,
    ) -> Result<Self, Failure> {
        let policy = match options.accounts.accounts.unwrap_or_default() {
            AccountsMode::Off => None,
            AccountsMode::Optional => Some(AccountPolicy::Optional),
            AccountsMode::Required => Some(AccountPolicy::Required),
        };
        let handle = Arc::new(OnceLock::new());
        let book = policy
            .map(|_| open_book(&store, options.accounts.require_tls_for_login, &handle, journal))
            .transpose()?;
        let keeper = Keeper::new(&mut store, book.clone(), Arc::clone(journal))?;
        let moderation = store.moderation()?;
        let sanctions = Arc::new(Sanctions::start(store.moderation()?, Arc::clone(journal))?);
        Ok(Persistence { policy, book, keeper, moderation, sanctions, handle, store })
    }

    /// Has the server keep it. What is returned has to live as long as the server.
    pub(crate) fn apply(self, builder: ServerBuilder) -> (ServerBuilder, AttachedPersistence) {
        let Persistence { policy, book, keeper, moderation, sanctions, handle, store } = self;
        let accounts = book.as_ref().map_or(0, |book| book.len());
        let books = book.as_ref().map(Arc::downgrade);
        let refused_names = book.as_ref().map_or_else(Vec::new, |book| book.refused_names());
        let mut builder = builder.history(keeper);
        if let (Some(policy), Some(book)) = (policy, book) {
            builder = builder.accounts(policy, book);
        }
        let held = AttachedPersistence {
            moderation,
            sanctions,
            handle,
            accounts,
            refused_names,
            store,
            book: books,
        };
        (builder, held)
    }
}

/// The data directory; `None` if nothing is kept.
fn directory(options: &ServeOptions) -> Result<Option<PathBuf>, Failure> {
    let directory = options.data.directory()?;
    let needs_data = options.accounts.accounts.is_some_and(|mode| mode != AccountsMode::Off);
    if directory.is_none() && needs_data {
        let what = "--accounts needs a place to keep them: name one with --data DIR";
        return Err(Failure::Usage(what.to_owned()));
    }
    Ok(directory)
}

/// What cannot be opened was asked for, and is in the way of everything.
fn asked_for(failure: Failure) -> Failure {
    match failure {
        Failure::Run(sentence) => Failure::Usage(sentence),
        other => other,
    }
}

/// Says that nothing is kept, if that was asked for.
pub(crate) fn log_nothing(options: &ServeOptions) {
    if !wants_data(options) {
        info!("nothing is kept: no accounts, no history (--data none)");
    }
}

/// Whether something is to be stored.
pub(crate) fn wants_data(options: &ServeOptions) -> bool {
    // a directory that cannot be named has ended the program by now
    options.data.directory().is_ok_and(|directory| directory.is_some())
}

/// Whether a server can run without a database: there is none, and no room for one.
fn is_without(directory: &Path, options: &ServeOptions, error: &StoreError) -> bool {
    let needs_accounts = options.accounts.accounts == Some(AccountsMode::Required);
    error.kind == ErrorKind::Full && store::is_empty(directory) && !needs_accounts
}

/// Says now and then that nothing is kept.
fn raise_alarm(error: StoreError, journal: Arc<Journal>) -> Result<(), Failure> {
    let work = move || {
        loop {
            journal.write(Kind::Outage, || {
                error!(
                    "nothing is kept, no accounts and no history: {error}; then restart the server"
                );
            });
            thread::sleep(ALARM_EVERY);
        }
    };
    let started = thread::Builder::new().name("alarm".to_owned()).spawn(work);
    started
        .map(drop)
        .map_err(|error| Failure::Run(format!("cannot start a thread: {}", reason(&error))))
}

/// A [`Persistence`] that a server uses. It must live as long as the server.
pub(crate) struct AttachedPersistence {
    moderation: Moderation,
    sanctions: Arc<Sanctions>,
    handle: Arc<OnceLock<ServerHandle>>,
    /// How many there were at the start.
    accounts: usize,
    /// Those whose names no account may have now.
    refused_names: Vec<(UserName, NamePolicyError)>,
    store: Store,
    /// The server has it.
    book: Option<Weak<AccountBook>>,
}

impl AttachedPersistence {
    /// The server is there: it learns which accounts have a role, and stored bans and mutes hold again.
    pub(crate) fn begin(&self, handle: &ServerHandle) -> Result<(), Failure> {
        // it is set once
        let _ = self.handle.set(handle.clone());
        if let Some(book) = self.book.as_ref().and_then(Weak::upgrade) {
            book.for_staff(|account| {
                handle.set_stored_role(&account.name, account.role, account.revision);
            });
        }
        for (name, _) in &self.refused_names {
            handle.withhold_name(name);
        }
        Ok(sanctions::restore(&self.moderation, handle)?)
    }

    /// The gauges and counters of all parts.
    pub(crate) fn gauges(&self) -> DataGauges {
        let sanctions = Arc::downgrade(&self.sanctions);
        DataGauges::new(self.store.usage(), self.book.clone(), sanctions)
    }

    /// Says what is kept, and where.
    pub(crate) fn log(&self) {
        let shown = self.store.path().to_string_lossy();
        info!(accounts = self.accounts, "data in {}", visible(&shown));
        let refused = self.refused_names.iter().filter(|(name, _)| name.check_request().is_err());
        for (name, why) in refused.clone().take(REFUSED_SHOWN) {
            warn!(
                "nobody can use the account {}: {why}. Remove it with: server-example account remove",
                Quoted(name.as_str())
            );
        }
        let more = refused.count().saturating_sub(REFUSED_SHOWN);
        if more > 0 {
            warn!(
                "nobody can use {more} more accounts, for the names that they have. They are marked in: \
                 server-example account list"
            );
        }
    }

    /// The server has ended.
    pub(crate) fn end(self) {
        self.sanctions.flush();
    }
}

/// Reads what the store, the accounts and the sanctions count. It does not extend the life of any of them.
pub(crate) struct DataGauges {
    store: Arc<StoreUsage>,
    book: Option<Weak<AccountBook>>,
    sanctions: Weak<Sanctions>,
}

impl DataGauges {
    pub(crate) fn new(
        store: Arc<StoreUsage>,
        book: Option<Weak<AccountBook>>,
        sanctions: Weak<Sanctions>,
    ) -> Self {
        DataGauges { store, book, sanctions }
    }

    /// How full their tables are.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables = self.store.tables().to_vec();
        if let Some(book) = self.book() {
            tables.extend(book.tables());
        }
        if let Some(sanctions) = self.sanctions.upgrade() {
            let name = "bans and mutes on their way to the data file";
            tables.push(Table::new(name, sanctions.usage()));
        }
        tables
    }

    pub(crate) fn store(&self) -> &StoreUsage {
        &self.store
    }

    /// The accounts, if there are any.
    pub(crate) fn book(&self) -> Option<Arc<AccountBook>> {
        self.book.as_ref()?.upgrade()
    }
}

/// Warns of a data directory or a database that others than the owner can read or write. The mode of
/// the directory stays as it is; [`Store::open`] makes the database private.
fn warn_if_open(directory: &Path) {
    let is_open =
        |path: &Path| std::fs::metadata(path).is_ok_and(|metadata| is_open_to_others(&metadata));
    if is_open(directory) {
        let shown = directory.to_string_lossy();
        let shown = visible(&shown);
        warn!("the data directory {shown} is open to others than its owner: chmod 700 it");
    }
    for (number, path) in store::database_files(directory).iter().enumerate() {
        let shown = path.to_string_lossy();
        let shown = visible(&shown);
        match (is_open(path), number) {
            (false, _) => {}
            (true, 0) => warn!(
                "the database {shown} was open to others than its owner: the server makes it \
                 private; they may have read or changed it"
            ),
            (true, _) => {
                warn!(
                    "the log {shown} of the database is open to others than its owner: chmod 600 it"
                );
            }
        }
    }
}

fn open_book(
    store: &Store,
    require_tls: bool,
    handle: &Arc<OnceLock<ServerHandle>>,
    journal: &Arc<Journal>,
) -> Result<Arc<AccountBook>, Failure> {
    let table = AccountTable::new(store.connect()?);
    let journal = Arc::clone(journal);
    let log = ErrorLog::new(move |line| journal.write(Kind::Accounts, || error!("{line}")));
    let options = BookOptions { require_tls, log, ..BookOptions::default() };
    let handle = Arc::clone(handle);
    let changed = move |change: &ChangedAccount| {
        if let Some(handle) = handle.get() {
            handle.change_account(&change.name, change.what, change.revision);
        }
    };
    let book = AccountBook::open(table, &options, changed).map_err(|error| match error {
        OpenError::Store(error) => Failure::Run(format!("cannot read the accounts: {error}")),
        OpenError::Thread(error) => {
            Failure::Run(format!("cannot start a thread: {}", reason(&error)))
        }
    })?;
    Ok(Arc::new(book))
}
