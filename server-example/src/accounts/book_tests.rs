//! The book with cheap hashes, a clock that the test turns, and the table in memory or in a file.

use std::sync::atomic::{AtomicU64, Ordering};

use chatproto::accounts::Credentials;
use chatproto::hub::AccountChange;
use store::connect_in_memory;
use store::{Absent, connect_beside};

use super::*;
use crate::accounts::answer::capitalised;
use crate::accounts::pool::Always;

const PASSWORD: &str = "correct horse";
const HOME: &str = "192.0.2.7";

/// A book and its clock.
struct Fixture {
    book: AccountBook,
    seconds: Arc<AtomicU64>,
}

impl Fixture {
    fn new() -> Self {
        Fixture::of(AccountTable::new(connect_in_memory()), &BookOptions::default())
    }

    fn of(table: AccountTable, options: &BookOptions) -> Self {
        Fixture::with(table, options, Hasher::with_cost(8, 1, 1))
    }

    fn with(table: AccountTable, options: &BookOptions, hasher: Hasher) -> Self {
        let seconds = Arc::new(AtomicU64::new(1_000));
        let turned = Arc::clone(&seconds);
        let clock = move || {
            let seconds = turned.load(Ordering::Relaxed);
            let unix_ms = i64::try_from(seconds * 1_000).unwrap();
            Moment { since: Duration::from_secs(seconds), unix_ms }
        };
        let book = AccountBook::with(table, options, hasher, Box::new(clock)).unwrap();
        Fixture { book, seconds }
    }

    /// What comes of an order.
    fn ask(&self, order: AccountOrder) -> Reply {
        let (reply, replied) = mpsc::sync_channel(1);
        self.book.submit(order, move |outcome| reply.send(outcome).unwrap());
        replied.recv().expect("an answer is always given")
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn register(&self, name: &str) -> Reply {
        self.ask(AccountOrder::Register(credentials(name, PASSWORD, HOME)))
    }

    fn log_in(&self, name: &str, password: &str, from: &str) -> Reply {
        self.ask(AccountOrder::Login(credentials(name, password, from)))
    }

    fn change(&self, name: &str, old: &str, new: &str) -> Reply {
        let new = chatproto::accounts::Password::new(new);
        self.ask(AccountOrder::ChangePassword(credentials(name, old, HOME), new))
    }

    fn unregister(&self, name: &str, password: &str) -> Reply {
        self.ask(AccountOrder::Unregister(credentials(name, password, HOME)))
    }

    fn runs(&self) -> u64 {
        self.book.inner.hasher.runs()
    }

    fn stored_hash(&self, name: &str) -> String {
        self.book.inner.table().find(name).unwrap().unwrap().hash
    }

    /// Makes the pool wait, with `queued` requests in its queue; until what is returned is dropped.
    fn occupy(&self, queued: usize) -> mpsc::Sender<()> {
        let (release, blocked) = mpsc::channel();
        let (said, begun) = mpsc::channel();
        self.book.pool.submit(
            from(0),
            Box::new(Always(move |_: Option<&mut Memory>| {
                said.send(()).unwrap();
                let _ = blocked.recv();
            })),
        );
        begun.recv().unwrap();
        for number in 0..queued {
            self.book.pool.submit(from(number), Box::new(Always(|_: Option<&mut Memory>| {})));
        }
        release
    }
}

/// The claim of a job from one of many networks.
fn from(number: usize) -> Claim {
    let address = std::net::Ipv4Addr::from_bits((u32::try_from(number).unwrap() + 1) << 16);
    Claim { networks: Origin::new(address.into()).networks(), bytes: 1_024 }
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn credentials(account: &str, password: &str, from: &str) -> Credentials {
    let password = chatproto::accounts::Password::new(password);
    Credentials::new(name(account), password, from.parse().unwrap(), true)
}

fn refused(reply: Reply) -> String {
    reply.expect_err("it is refused")
}

#[test]
fn a_registered_name_is_its_owners() {
    let accounts = Fixture::new();
    assert!(!accounts.book.is_reserved(&name("alice")));
    let granted = accounts.register("alice").unwrap();
    assert_eq!(granted, Granted::new(Role::User, 1_000_000));
    assert!(accounts.book.is_reserved(&name("alice")));
    assert!(accounts.book.is_reserved(&name("A1ICE")), "nor one that looks like it");
    assert!(!accounts.book.is_reserved(&name("alicia")));
    assert_eq!(accounts.log_in("alice", PASSWORD, HOME).as_ref(), Ok(&granted));
    assert_eq!(accounts.book.created_ms("alice"), Some(1_000_000));
    assert_eq!(
        refused(accounts.log_in("Alice", PASSWORD, HOME)),
        "That account is called alice: send /login with that name before the password."
    );
    let wrong = "Wrong password, or no account of that name.";
    assert_eq!(refused(accounts.log_in("alice", "another horse", HOME)), wrong);
    assert_eq!(refused(accounts.log_in("bob", PASSWORD, HOME)), wrong);
}

#[test]
fn a_name_is_registered_once() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    let runs = accounts.runs();
    assert_eq!(
        refused(accounts.register("alice")),
        "there is an account of the name alice already. If it is yours, send /login."
    );
    assert_eq!(
        refused(accounts.register("aIice")),
        "the name looks like alice, which is somebody's account."
    );
    assert_eq!(accounts.runs(), runs, "that costs no work");
}

#[test]
fn of_two_who_register_one_name_at_a_time_one_gets_it() {
    let accounts = Fixture::new();
    let release = accounts.occupy(0);
    let (reply, replied) = mpsc::channel();
    for (account, password) in [("alice", "first password"), ("ALICE", "second password")] {
        let reply = reply.clone();
        let order = AccountOrder::Register(credentials(account, password, HOME));
        accounts.book.submit(order, move |outcome| reply.send((account, outcome)).unwrap());
    }
    assert!(replied.try_recv().is_err(), "neither could be refused without work");
    drop(release);
    let replies = [replied.recv().unwrap(), replied.recv().unwrap()];
    let granted: Vec<_> = replies.iter().filter(|(_, reply)| reply.is_ok()).collect();
    let [(winner, _)] = granted[..] else { panic!("{replies:?}") };
    let refusal = replies.iter().find_map(|(_, reply)| reply.as_ref().err()).unwrap();
    assert!(refusal.contains("somebody's account"), "{refusal}");
    assert_eq!(accounts.book.len(), 1);
    assert!(accounts.book.inner.table().find(winner).unwrap().is_some());
}

#[test]
fn every_login_that_is_tried_costs_the_same_work() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    for (account, password) in [("alice", PASSWORD), ("alice", "another horse"), ("bob", PASSWORD)]
    {
        let before = accounts.runs();
        let _ = accounts.log_in(account, password, HOME);
        assert_eq!(accounts.runs() - before, 1, "{account} {password}");
    }
}

#[test]
fn what_is_no_password_is_refused_without_work() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    let runs = accounts.runs();
    for (password, why) in [
        ("short", "a password must have at least 8 characters"),
        (&*"x".repeat(257), "a password may have at most 256 characters"),
        ("with\ttabs inside", "a password must not contain the control character U+0009"),
    ] {
        let login = refused(accounts.log_in("alice", password, HOME));
        assert_eq!(login, format!("{}.", capitalised(why)));
        let register = AccountOrder::Register(credentials("bob", password, HOME));
        assert_eq!(refused(accounts.ask(register)), format!("{why}."));
        let change = refused(accounts.change("alice", PASSWORD, password));
        assert_eq!(change, format!("{why}."));
    }
    let register = AccountOrder::Register(credentials("Christina", "chrlstina", HOME));
    assert_eq!(
        refused(accounts.ask(register)),
        "the name itself is too easy to guess as its password."
    );
    assert_eq!(accounts.runs(), runs);
}

#[test]
fn a_password_is_changed_by_who_knows_it() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    let refusal = refused(accounts.change("alice", "another horse", "battery staple"));
    assert_eq!(refusal, "wrong password, or no account of that name.");
    accounts.change("alice", PASSWORD, "battery staple").unwrap();
    assert!(accounts.log_in("alice", PASSWORD, HOME).is_err());
    assert!(accounts.log_in("alice", "battery staple", HOME).is_ok());
}

#[test]
fn an_account_is_given_up_by_who_knows_its_password() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    let unregister = |password| AccountOrder::Unregister(credentials("alice", password, HOME));
    let refusal = refused(accounts.ask(unregister("another horse")));
    assert_eq!(refusal, "wrong password, or no account of that name.");
    assert!(accounts.book.is_reserved(&name("alice")));
    accounts.ask(unregister(PASSWORD)).unwrap();
    assert!(!accounts.book.is_reserved(&name("alice")));
    assert!(accounts.log_in("alice", PASSWORD, HOME).is_err());
    accounts.pass(10);
    accounts.register("Alice").unwrap();
    assert_eq!(accounts.book.created_ms("Alice"), Some(1_010_000));
    assert_eq!(accounts.book.created_ms("alice"), None);
}

#[test]
fn wrong_passwords_have_to_wait_and_the_owner_does_not() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    for number in 1..=3 {
        let from = format!("198.51.100.{number}");
        assert!(refused(accounts.log_in("alice", "another horse", &from)).contains("Wrong"));
    }
    let runs = accounts.runs();
    let wait = "There were too many wrong passwords. Try again in 60 s.";
    assert_eq!(refused(accounts.log_in("alice", PASSWORD, "198.51.100.4")), wait);
    assert_eq!(accounts.runs(), runs, "that costs no work");
    assert!(accounts.log_in("alice", PASSWORD, HOME).is_ok());
    accounts.pass(59);
    let wait = "There were too many wrong passwords. Try again in 1 s.";
    assert_eq!(refused(accounts.log_in("alice", PASSWORD, "198.51.100.4")), wait);
    accounts.pass(1);
    assert!(accounts.log_in("alice", PASSWORD, "198.51.100.4").is_ok());
    // and from there the owner is known now
    for number in 5..=7 {
        let _ = accounts.log_in("alice", "another horse", &format!("198.51.100.{number}"));
    }
    assert!(accounts.log_in("alice", PASSWORD, "198.51.100.8").is_err());
    assert!(accounts.log_in("alice", PASSWORD, "198.51.100.4").is_ok());
}

/// What comes of orders at one time: a single thread begins when all are queued.
fn at_one_time(accounts: &Fixture, orders: impl IntoIterator<Item = AccountOrder>) -> Vec<Reply> {
    let release = accounts.occupy(0);
    let (reply, replied) = mpsc::channel();
    for order in orders {
        let reply = reply.clone();
        accounts.book.submit(order, move |outcome| reply.send(outcome).unwrap());
    }
    drop((release, reply));
    replied.iter().collect()
}

#[test]
fn guesses_at_one_time_are_no_more_than_guesses_one_after_the_other() {
    type Guess = fn(u32) -> AccountOrder;
    let of_an_address: Guess =
        |number| AccountOrder::Login(credentials(&format!("user {number}"), "another horse", HOME));
    let of_an_account: Guess = |number| {
        let from = format!("198.{number}.100.7");
        AccountOrder::Login(credentials("alice", "another horse", &from))
    };
    let of_an_owner: Guess = |number| match number % 3 {
        0 => AccountOrder::Login(credentials("alice", "another horse", HOME)),
        1 => AccountOrder::Unregister(credentials("alice", "another horse", HOME)),
        _ => {
            let new = chatproto::accounts::Password::new("battery staple");
            AccountOrder::ChangePassword(credentials("alice", "another horse", HOME), new)
        }
    };
    for (kind, guess) in [of_an_address, of_an_account, of_an_owner].into_iter().enumerate() {
        for threads in [1, 4] {
            let options = BookOptions { threads, ..BookOptions::default() };
            let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
            accounts.register("alice").unwrap();
            for allowed in [3, 1, 1] {
                let runs = accounts.runs();
                let refusals = at_one_time(&accounts, (0..32).map(guess)).into_iter().map(refused);
                let (tried, throttled): (Vec<_>, Vec<_>) =
                    refusals.partition(|why| why.to_lowercase().contains("wrong password, or no"));
                assert_eq!((tried.len(), throttled.len()), (allowed, 32 - allowed), "{kind}");
                let is_told = |why: &String| why.contains("too many wrong passwords. Try again in");
                assert!(throttled.iter().all(is_told), "{kind}: {throttled:?}");
                assert_eq!(accounts.runs() - runs, allowed as u64, "the others cost no work");
                accounts.pass(4 * 60);
            }
        }
    }
}

#[test]
fn a_crowd_logs_in_from_one_address_at_one_time() {
    let accounts = Fixture::new();
    let names: Vec<_> = (0..30).map(|number| format!("pupil {number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let register = credentials(name, PASSWORD, &format!("198.{number}.100.7"));
        accounts.ask(AccountOrder::Register(register)).unwrap();
    }
    let orders = names.iter().map(|name| AccountOrder::Login(credentials(name, PASSWORD, HOME)));
    let replies = at_one_time(&accounts, orders);
    assert!(replies.iter().all(Reply::is_ok), "{replies:?}");
}

#[test]
fn accounts_made_at_one_time_are_no_more_than_one_after_the_other() {
    let accounts = Fixture::new();
    let order =
        |number| AccountOrder::Register(credentials(&format!("user {number}"), PASSWORD, HOME));
    let replies = at_one_time(&accounts, (0..30).map(order));
    assert_eq!(replies.iter().filter(|reply| reply.is_ok()).count(), 10, "{replies:?}");
    assert_eq!(accounts.book.len(), 10);
}

#[test]
fn changing_a_password_is_no_way_round_the_throttle() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    for _ in 0..3 {
        assert!(
            refused(accounts.change("alice", "another horse", "battery staple")).contains("wrong")
        );
    }
    for refusal in [
        refused(accounts.change("alice", PASSWORD, "battery staple")),
        refused(accounts.ask(AccountOrder::Unregister(credentials("alice", PASSWORD, HOME)))),
        refused(accounts.log_in("alice", PASSWORD, HOME)),
    ] {
        assert!(refusal.ends_with("Try again in 60 s."), "{refusal}");
    }
}

#[test]
fn accounts_are_not_made_by_the_hundred() {
    let accounts = Fixture::new();
    for number in 0..10 {
        accounts.register(&format!("user number {number}")).unwrap();
    }
    assert_eq!(
        refused(accounts.register("one more")),
        "too many accounts were made from your address. Try again in 10 min."
    );
    assert!(accounts.log_in("user number 7", PASSWORD, HOME).is_ok());
}

#[test]
fn registrations_end_at_the_bound_of_the_directory_and_logins_do_not() {
    let accounts = Fixture::new();
    accounts.register("alice").unwrap();
    let mut count = 0;
    {
        let mut directory = accounts.book.inner.directory_mut();
        let mut account = directory.get("alice").unwrap().clone();
        while directory.has_room() {
            count += 1;
            account.name = name(&format!("user number {count}"));
            directory.put(account.clone());
        }
    }
    assert!((50_000..200_000).contains(&count), "{count}");
    let usage = accounts.book.usage();
    assert!(usage.directory.bytes <= usage.directory.most, "{usage:?}");
    let runs = accounts.runs();
    assert_eq!(
        refused(accounts.register("bob")),
        "this server has no room for more accounts. Ask an admin of this server to remove unused \
         ones."
    );
    assert_eq!(accounts.runs(), runs);
    assert!(accounts.log_in("alice", PASSWORD, HOME).is_ok());
    accounts.book.inner.directory_mut().remove("user number 1");
    assert!(accounts.register("bob").is_ok());
}

#[test]
fn passwords_that_wait_are_within_the_bound_of_the_queue() {
    let options = BookOptions { threads: 1, ..BookOptions::default() };
    let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
    let release = accounts.occupy(0);
    let longest = "é".repeat(256);
    for number in 0..1_000 {
        let address = std::net::Ipv4Addr::from_bits((number + 1) << 16).to_string();
        let credentials = credentials(&format!("user {number}"), &longest, &address);
        let order =
            AccountOrder::ChangePassword(credentials, chatproto::accounts::Password::new(&longest));
        accounts.book.submit(order, drop);
    }
    let usage = accounts.book.usage().queue;
    assert!(usage.bytes > 64 * 4 * 512 && usage.bytes <= usage.most, "{usage:?}");
    drop(release);
}

#[test]
fn what_does_not_fit_into_the_queue_is_refused_and_does_not_count() {
    let options = BookOptions { threads: 1, queue: 2, ..BookOptions::default() };
    let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
    accounts.register("alice").unwrap();
    let release = accounts.occupy(2);
    for _ in 0..10 {
        let refusal = refused(accounts.log_in("alice", "another horse", HOME));
        let busy = "The server is busy with other logins. Try again in a few seconds.";
        assert_eq!(refusal, busy);
    }
    drop(release);
    let reply = loop {
        let reply = accounts.log_in("alice", PASSWORD, HOME);
        if !reply.as_ref().is_err_and(|why| why.contains("busy")) {
            break reply;
        }
        thread::yield_now();
    };
    assert!(reply.is_ok(), "{reply:?}");
}

#[test]
fn who_waits_is_told_when_the_server_ends_or_a_thread_panics() {
    let options = BookOptions { threads: 1, ..BookOptions::default() };
    let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
    let release = accounts.occupy(0);
    let (reply, replied) = mpsc::channel();
    let order = AccountOrder::Login(credentials("alice", PASSWORD, HOME));
    accounts.book.submit(order, move |outcome| reply.send(outcome).unwrap());
    let ending = thread::spawn(move || drop(accounts));
    assert!(refused(replied.recv().unwrap()).contains("busy"));
    drop(release);
    ending.join().unwrap();

    let (reply, replied) = mpsc::channel();
    let counts = Arc::new(OrderCounts::default());
    let done = move |outcome| reply.send(outcome).unwrap();
    drop(Answer::new(OrderKind::Login, Arc::clone(&counts), done));
    assert_eq!(refused(replied.recv().unwrap()), "Something went wrong in the server. Try again.");
    assert_eq!(counts.get(OrderKind::Login, OrderResult::Failed), 1);
}

#[test]
fn passwords_on_open_connections_are_warned_of_or_refused() {
    let open = |password| {
        let mut credentials = credentials("alice", password, HOME);
        credentials.is_secure = false;
        credentials
    };
    let accounts = Fixture::new();
    let warning = "This connection is not encrypted: your password could be read on its way.";
    for order in [
        AccountOrder::Register(open(PASSWORD)),
        AccountOrder::Login(open(PASSWORD)),
        AccountOrder::Unregister(open(PASSWORD)),
    ] {
        assert_eq!(accounts.ask(order).unwrap().notice.as_deref(), Some(warning));
    }
    let options = BookOptions { require_tls: true, ..BookOptions::default() };
    let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
    assert_eq!(accounts.register("alice").unwrap().notice, None);
    let runs = accounts.runs();
    assert_eq!(
        refused(accounts.ask(AccountOrder::Login(open(PASSWORD)))),
        "This server takes passwords over encrypted connections (TLS) alone, so that \
         nobody can read yours on its way. Connect with TLS and try again."
    );
    assert_eq!(accounts.runs(), runs);
}

#[test]
fn a_hash_of_other_costs_is_made_again_at_login() {
    let mut table = AccountTable::new(connect_in_memory());
    let password = Password::new(PASSWORD).unwrap();
    let old = Hasher::with_cost(8, 1, 1).hash(&password, &mut Memory::default());
    table.add(&name("alice"), &old, Role::Admin, 1).unwrap();
    let options = BookOptions::default();
    let accounts = Fixture::with(table, &options, Hasher::with_cost(16, 2, 1));
    assert!(accounts.log_in("alice", "another horse", HOME).is_err());
    assert_eq!(accounts.stored_hash("alice"), old);
    assert_eq!(accounts.log_in("alice", PASSWORD, HOME).unwrap().role, Role::Admin);
    let new = accounts.stored_hash("alice");
    assert!(new.contains("$m=16,t=2,p=1$"), "{new}");
    let runs = accounts.runs();
    assert!(accounts.log_in("alice", PASSWORD, HOME).is_ok());
    assert_eq!(accounts.runs() - runs, 1);
    assert_eq!(accounts.stored_hash("alice"), new);
}

#[test]
fn a_damaged_hash_is_said_to_be_one() {
    let mut table = AccountTable::new(connect_in_memory());
    table.add(&name("alice"), "nonsense", Role::User, 1).unwrap();
    let accounts = Fixture::of(table, &BookOptions::default());
    for _ in 0..10 {
        let refusal = refused(accounts.log_in("alice", PASSWORD, HOME));
        assert!(refusal.contains("Ask an admin of this server to reset its password"), "{refusal}");
    }
}

#[test]
fn what_another_program_changes_is_noticed() {
    let directory = crate::test_dir::TempDir::new();
    let connect = || connect_beside(directory.path(), Absent::Make).unwrap();
    let mut other = AccountTable::new(connect());
    let accounts = Fixture::of(AccountTable::new(connect()), &BookOptions::default());
    let refresh = || {
        let changes = accounts.book.inner.refresh().unwrap();
        changes.into_iter().map(|change| (change.name, change.what)).collect::<Vec<_>>()
    };
    accounts.register("alice").unwrap();
    accounts.register("bob").unwrap();
    assert_eq!(refresh(), [], "what we do ourselves is no news");

    let hash = accounts.stored_hash("alice");
    other.add(&name("carol"), &hash, Role::Moderator, 7).unwrap();
    assert_eq!(refresh(), [(name("carol"), AccountChange::Added(Role::Moderator))]);
    assert!(accounts.book.is_reserved(&name("Carol")));
    assert_eq!(accounts.log_in("carol", PASSWORD, HOME).unwrap().role, Role::Moderator);

    other.set_role("carol", Role::Admin, 8).unwrap();
    assert_eq!(refresh(), [(name("carol"), AccountChange::Role(Role::Admin))]);
    assert_eq!(accounts.log_in("carol", PASSWORD, HOME).unwrap().role, Role::Admin);

    let new = Hasher::with_cost(8, 1, 1)
        .hash(&Password::new("battery staple").unwrap(), &mut Memory::default());
    other.set_hash("alice", None, &new, 9).unwrap();
    // one of our own comes behind it, before anybody has looked
    accounts.change("bob", PASSWORD, "battery staple").unwrap();
    assert_eq!(refresh(), [(name("alice"), AccountChange::Password)]);
    assert!(accounts.log_in("alice", PASSWORD, HOME).is_err());
    assert!(accounts.log_in("alice", "battery staple", HOME).is_ok());
    assert!(accounts.log_in("bob", "battery staple", HOME).is_ok());

    other.remove("alice", 10).unwrap();
    assert_eq!(refresh(), [(name("alice"), AccountChange::Removed)]);
    assert!(!accounts.book.is_reserved(&name("alice")));
    other.remove("bob", 10).unwrap();
    other.add(&name("bob"), &new, Role::User, 10).unwrap();
    let [removed, added] = [AccountChange::Removed, AccountChange::Added(Role::User)];
    assert_eq!(refresh(), [(name("bob"), removed), (name("bob"), added)]);
    assert_eq!(refresh(), []);
}

#[test]
fn what_is_granted_and_what_changes_has_the_revision_of_the_account() {
    let directory = crate::test_dir::TempDir::new();
    let connect = || connect_beside(directory.path(), Absent::Make).unwrap();
    let mut other = AccountTable::new(connect());
    let accounts = Fixture::of(AccountTable::new(connect()), &BookOptions::default());
    let now = |account: &str| accounts.book.revision(&name(account));
    let refresh = || accounts.book.inner.refresh().unwrap();
    assert_eq!(now("alice"), None);
    let registered = accounts.register("alice").unwrap().revision;
    assert_eq!(now("alice"), Some(registered));
    assert_eq!(accounts.log_in("alice", PASSWORD, HOME).unwrap().revision, registered);
    let changed = accounts.change("alice", PASSWORD, "battery staple").unwrap().revision;
    assert!(changed > registered);
    assert_eq!(now("alice"), Some(changed));

    // another program's change, with the revision that a login gets after it
    other.set_role("alice", Role::Moderator, 0).unwrap();
    let [ChangedAccount { what, revision: promoted, .. }] = refresh()[..] else { panic!() };
    assert_eq!(what, AccountChange::Role(Role::Moderator));
    assert!(promoted > changed);
    let granted = accounts.log_in("alice", "battery staple", HOME).unwrap();
    assert_eq!((granted.role, granted.revision), (Role::Moderator, promoted));

    // a removal is above all that was granted before, and not above what is granted afterwards
    other.remove("alice", 0).unwrap();
    let [ChangedAccount { what, revision: removed, .. }] = refresh()[..] else { panic!() };
    assert_eq!((what, now("alice")), (AccountChange::Removed, None));
    assert!(removed > promoted);
    let again = accounts.register("alice").unwrap().revision;
    assert!(again > removed);
    let gone = accounts.unregister("alice", PASSWORD).unwrap().revision;
    assert!(gone > again);
    assert!(accounts.register("alice").unwrap().revision > gone);
    // removed and made again between two looks
    let before = now("alice").unwrap();
    let hash = accounts.stored_hash("alice");
    other.remove("alice", 0).unwrap();
    other.add(&name("alice"), &hash, Role::Admin, 7).unwrap();
    let changes = refresh();
    let after = now("alice").unwrap();
    assert!(after > before);
    assert!(changes.iter().all(|change| change.revision == after) && changes.len() == 2);
}

#[test]
fn an_open_book_looks_by_itself() {
    let directory = crate::test_dir::TempDir::new();
    let connect = || connect_beside(directory.path(), Absent::Make).unwrap();
    let (said, heard) = mpsc::channel();
    let changed = move |change: &ChangedAccount| said.send(change.clone()).unwrap();
    let table = AccountTable::new(connect());
    let book = AccountBook::open(table, &BookOptions::default(), changed).unwrap();
    AccountTable::new(connect()).add(&name("alice"), "hash", Role::User, 7).unwrap();
    let added = heard.recv().unwrap();
    assert_eq!((added.name, added.what), (name("alice"), AccountChange::Added(Role::User)));
    assert!(book.is_reserved(&name("alice")));
    drop(book);
    assert!(heard.recv().is_err(), "its thread has ended");
}

#[test]
fn an_account_that_changes_while_its_password_is_compared_is_not_let_in() {
    let options = BookOptions { threads: 1, ..BookOptions::default() };
    let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
    accounts.register("alice").unwrap();
    let release = accounts.occupy(0);
    let (reply, replied) = mpsc::channel();
    let other = AccountOrder::Unregister(credentials("alice", PASSWORD, HOME));
    accounts.book.submit(other, |outcome| assert!(outcome.is_ok()));
    let order = AccountOrder::Login(credentials("alice", PASSWORD, HOME));
    accounts.book.submit(order, move |outcome| reply.send(outcome).unwrap());
    drop(release);
    assert!(refused(replied.recv().unwrap()).contains("no account"));
}

#[test]
fn passwords_that_wait_take_the_memory_that_they_account_for() {
    use crate::heap::Heap;
    // no thread takes a job out of the queue
    let options = BookOptions { threads: 0, ..BookOptions::default() };
    for length in [8, 100, 256, 3_000] {
        let accounts = Fixture::of(AccountTable::new(connect_in_memory()), &options);
        let heap = Heap::now();
        // three bytes each, and what is typed may be longer than what it becomes
        let password = if length > 256 { "o\u{302}\u{301}" } else { "\u{20ac}" };
        let password = password.repeat(length.min(250));
        for number in 0..2_000 {
            let from = format!("2001:{number:x}::1");
            let credentials = credentials(&format!("user {number}"), &password, &from);
            let new = chatproto::accounts::Password::new(&password);
            accounts.book.submit(AccountOrder::ChangePassword(credentials, new), drop);
        }
        let used = accounts.book.usage();
        assert!(used.queue.bytes > 100 * 1_024, "{used:?}");
        let throttle: Usage = used.throttle.into_iter().sum();
        heap.assert_within(used.queue.bytes + throttle.bytes, "passwords");
    }
}

#[test]
fn an_error_of_the_disk_goes_to_the_log_that_has_a_budget_for_it() {
    let (log, logged) = mpsc::channel();
    let log = ErrorLog::new(move |line| log.send(line.to_owned()).unwrap());
    let accounts = Fixture::of(
        AccountTable::new(connect_in_memory()),
        &BookOptions { log, ..BookOptions::default() },
    );
    accounts.register("alice").unwrap();
    accounts.book.inner.table().fail_from_now_on();
    accounts.pass(3_600);
    // where an account was used cannot be noted, which is no reason to refuse a login
    for number in 0..5 {
        accounts.log_in("alice", PASSWORD, &format!("198.51.100.{number}")).unwrap();
    }
    assert!(refused(accounts.register("bob")).contains("cannot write accounts at the moment"));
    let lines: Vec<String> = logged.try_iter().collect();
    assert_eq!(lines.len(), 6);
    assert!(
        lines.iter().all(|line| line.starts_with("an account cannot be written: ")),
        "{lines:?}"
    );
}
