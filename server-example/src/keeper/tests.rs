//! The keeper under a server, with orders that wait while another program writes to the file.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use chatproto::accounts::{AccountOrder, AccountPolicy, AccountReply, Accounts, Granted};
use chatproto::hub::Role;
use chatproto::{Message, Server};
use store::accounts::AccountTable;
use store::{ErrorKind, Query, StoreOptions};

use tracing_subscriber::filter::LevelFilter;

use super::*;
use crate::accounts::book::BookOptions;
use crate::journal::tests::{split_counts, written};
use crate::test_dir::TempDir;

const OWNERS: [&str; 4] = ["alice", "bob", "carol", "zed"];

/// Any password is right.
struct Owners;

impl Accounts for Owners {
    fn is_reserved(&self, name: &UserName) -> bool {
        OWNERS.contains(&name.as_str())
    }

    fn revision(&self, name: &UserName) -> Option<u64> {
        self.is_reserved(name).then_some(1)
    }

    fn handle(&self, _: AccountOrder, reply: AccountReply) {
        reply.send(Ok(Granted::new(Role::User, 1)));
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn join(address: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        (&stream).write_all(format!("{name}\n").as_bytes()).unwrap();
        Client(BufReader::new(stream))
    }

    fn login(address: SocketAddr, name: &str) -> Self {
        let mut client = Client::join(address, name);
        client.send("/login", "x");
        client.until("You are logged in");
        client
    }

    /// Waits until all is done that was asked before, such as the collection of its mail.
    fn fence(&mut self) {
        self.send("/ping", "done");
        self.until("done");
    }

    fn send(&mut self, to: &str, text: &str) {
        let line = Message::new("x", "", to, text).to_json() + "\n";
        self.0.get_ref().write_all(line.as_bytes()).unwrap();
    }

    /// Reads until a text begins so.
    fn until(&mut self, beginning: &str) {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap_or_else(|_| panic!("no {beginning:?} comes"));
            if Message::decode(line.as_bytes()).unwrap().msg.starts_with(beginning) {
                return;
            }
        }
    }
}

#[test]
fn mail_that_was_queued_before_a_login_is_in_its_first_page() {
    let directory = TempDir::new();
    let mut store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let mut table = AccountTable::new(store.connect().unwrap());
    for name in OWNERS {
        table.add(&UserName::new(name).unwrap(), "hash", Role::User, 1).unwrap();
    }
    let book = AccountBook::open(table, &BookOptions::default(), |_| ()).unwrap();
    let journal = Arc::new(Journal::new(LevelFilter::OFF));
    let keeper = Keeper::new(&mut store, Some(Arc::new(book)), journal).unwrap();
    let server = Server::builder()
        .threads(1)
        .accounts(AccountPolicy::Optional, Owners)
        .history(keeper)
        .bind(([127, 0, 0, 1], 0))
        .unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let server = thread::spawn(move || server.run());
    let other = store.connect().unwrap();
    let mut alice = Client::login(address, "alice");
    alice.fence();
    let mut dave = Client::join(address, "dave");

    for round in 0..5 {
        let mut carol = Client::login(address, "carol");
        carol.fence();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        // the keeper takes this letter, and waits for the other program
        alice.send("zed", "hi");
        let mut pass = |text: &str| {
            dave.send("/ping", text);
            dave.until(text);
        };
        (0..10).for_each(|n| pass(&format!("first {round} {n}")));
        // these two wait together
        let text = format!("letter {round}");
        carol.send("bob", &text);
        (0..10).for_each(|n| pass(&format!("second {round} {n}")));
        let mut bob = Client::login(address, "bob");
        other.execute_batch("ROLLBACK").unwrap();
        bob.until(&text);
        carol.until("bob is not connected, and will get it");
        alice.until("zed is not connected, and will get it");
        drop((bob, carol));
        loop {
            pass("away?");
            if !handle.users().iter().any(|name| ["bob", "carol"].contains(&&**name)) {
                break;
            }
        }
    }
    handle.stop();
    server.join().unwrap().unwrap();
}

#[test]
fn gaps_of_an_outage_are_bounded_and_so_are_their_lines() {
    let directory = TempDir::new();
    let mut store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let begun = Instant::now();
    let lines = written(LevelFilter::ERROR, |journal, now| {
        let mut keeper = Keeper::new(&mut store, None, Arc::clone(journal)).unwrap();
        let error = StoreError::new(ErrorKind::Full, "the disk is full");
        let (skipped, senders) = (Vec::new(), HashMap::new());
        keeper.failing = Some(Failing { error, since: now, alarmed: now, skipped, senders });
        for number in 1..=10_000 {
            keeper.skip_queued(10 * number, 10 * number + 4);
        }
        assert_eq!(keeper.writer().pending_bytes(), 0);
        assert_eq!(keeper.failing.as_ref().unwrap().skipped.len(), GAPS);
        assert_eq!((keeper.last_id, store.usage().not_kept()), (100_004, 50_000));
        journal.close();
    });
    let (counts, each) = split_counts(&lines, "ERROR messages not stored: ");
    assert_eq!(each.len() + counts.iter().sum::<usize>(), 10_000);
    assert!(each.len() as u64 <= 10 * (begun.elapsed().as_secs() + 2), "{}", each.len());
    assert!(each[0].starts_with("ERROR the disk is slower than the messages: 10 to 14 are not"));
    // the keeper has ended: what is missing is in the file
    let reader = store.reader().unwrap();
    assert!(!reader.recovered("#tea", 100_003, store.epoch()).unwrap());
    assert!(reader.recovered("#tea", 100_004, store.epoch()).unwrap());
}

#[test]
fn a_jump_of_the_clock_removes_nothing_and_raises_an_alarm() {
    use shared::clock::Reading;
    use store::Retention;
    const DAY_MS: i64 = 86_400_000;
    let directory = TempDir::new();
    let keep = Some(Duration::from_secs(90 * 86_400));
    let retention = Retention { keep, max_bytes: None };
    let options = StoreOptions { retention, ..StoreOptions::default() };
    let mut store = Store::open(directory.path(), options).unwrap();
    let now = Reading::now();
    let lines = written(LevelFilter::INFO, |journal, _| {
        let mut keeper = Keeper::new(&mut store, None, Arc::clone(journal)).unwrap();
        // 400 days ago by the clock that can be set, and just now by the other one
        let before = Reading { wall_ms: now.wall_ms - 400 * DAY_MS, ..now };
        keeper.clock = Clock::believing(before);
        for (id, days) in [(1, 89), (2, 10)] {
            keeper.writer().append(id, "#tea", before.wall_ms - days * DAY_MS, "{}");
        }
        keeper.last_id = 2;
        keeper.writer().commit().unwrap();
        for _ in 0..3 {
            assert!(!keeper.maintain().unwrap());
        }
        assert_eq!(keeper.removed, Removed::default());
        drop(keeper);
        journal.close();
    });
    let jumps: Vec<_> = lines.iter().filter(|line| line.contains("the clock was set")).collect();
    let [jump] = &jumps[..] else { panic!("{lines:?}") };
    assert!(jump.starts_with("ERROR the clock was set 400 days forward"), "{jump}");
    let reader = store.reader().unwrap();
    assert_eq!(reader.page("#tea", &Query::default()).unwrap().entries.len(), 2);
}

#[test]
fn after_an_end_of_400_days_what_is_old_goes_and_the_log_says_so() {
    use store::Retention;
    const DAY_MS: i64 = 86_400_000;
    let directory = TempDir::new();
    let keep = Some(Duration::from_secs(90 * 86_400));
    let retention = Retention { keep, max_bytes: None };
    let options = StoreOptions { retention, ..StoreOptions::default() };
    let mut store = Store::open(directory.path(), options).unwrap();
    let now_ms = now_ms();
    let mut writer = store.writer().unwrap();
    for (id, days) in [(1, 410), (2, 401), (3, 1)] {
        writer.append(id, "#tea", now_ms - days * DAY_MS, "{}");
    }
    writer.close(3).unwrap();
    drop(store);
    let mut store = Store::open(directory.path(), options).unwrap();
    let lines = written(LevelFilter::INFO, |journal, _| {
        let mut keeper = Keeper::new(&mut store, None, Arc::clone(journal)).unwrap();
        while keeper.maintain().unwrap() {}
        drop(keeper);
        journal.close();
    });
    let reader = store.reader().unwrap();
    let left = reader.page("#tea", &Query::default()).unwrap().entries;
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), [3]);
    let purges: Vec<_> = lines.iter().filter(|line| line.contains("removed messages")).collect();
    let [purge] = &purges[..] else { panic!("{lines:?}") };
    assert!(purge.contains("older than --history-keep") && purge.contains("messages=2"), "{purge}");
}
