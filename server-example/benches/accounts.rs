//! What accounts cost. `cargo bench -p server-example --bench accounts`; it takes a minute, and needs a
//! directory for temporary files (`TMPDIR`), whose disk is measured with logins and registrations.
//!
//! 1. **Refusals**, which whoever floods a server with logins gets: by the throttle, for a password that
//!    is none, for a full queue. They are what must stay cheap.
//! 2. **Lookups** of a name, as each connection causes one, among 100,000 accounts.
//! 3. **Logins** through the pool, and the Argon2 in them with memory that is kept or allocated anew.
//! 4. **Starting** with 100,000 accounts.

// the accounts are a part of the program, and no library
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../src/accounts/mod.rs"]
mod accounts;
#[path = "../src/data.rs"]
mod data;
#[cfg(test)]
#[path = "../shared/src/heap.rs"]
mod heap;
#[path = "../src/priority.rs"]
mod priority;
#[cfg(test)]
#[path = "../shared/src/test_dir.rs"]
mod test_dir;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use accounts::book::{AccountBook, BookOptions};
use accounts::hasher::{Hasher, Memory};
use accounts::password::Password;
use chatproto::UserName;
use chatproto::accounts::{AccountOrder, Accounts as _, Credentials};
use chatproto::hub::Role;
use store::accounts::AccountTable;
use store::{Absent, connect_beside};

const ACCOUNTS: usize = 100_000;
const PASSWORD: &str = "correct horse";

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches`: nothing is to be measured
    }
    hashes();
    let directory = std::env::temp_dir().join(format!("chatproto-accounts-{}", std::process::id()));
    let connection = connect_beside(&directory, Absent::Make).expect("a data directory");
    fill(&connection);
    let begin = Instant::now();
    let options = BookOptions::default();
    let book = AccountBook::open(AccountTable::new(connection), &options, |_| {}).expect("a book");
    println!("starting with {ACCOUNTS} accounts: {:.0} ms", millis(begin.elapsed()));
    lookups(&book);
    logins(&book, options.threads);
    refusals(&book);
    drop(book);
    let _ = std::fs::remove_dir_all(directory);
}

fn hashes() {
    let (hasher, password) = (Hasher::new(), Password::new(PASSWORD).unwrap());
    let mut kept = Memory::default();
    for _ in 0..2 {
        let keeping = rate(20, |_| drop(hasher.hash(&password, &mut kept)));
        let anew = rate(20, |_| drop(hasher.hash(&password, &mut Memory::default())));
        println!(
            "Argon2id: {:.1} ms with memory that is kept, {:.1} ms with new memory",
            millis(keeping),
            millis(anew)
        );
    }
}

/// Accounts that all have one password.
fn fill(connection: &rusqlite::Connection) {
    let hash = Hasher::new().hash(&Password::new(PASSWORD).unwrap(), &mut Memory::default());
    let sql = "INSERT INTO account (name, key, hash, role, created_ms, changed_ms) \
               VALUES (?1, ?1, ?2, 'user', 0, 0)";
    connection.execute_batch("BEGIN").unwrap();
    for number in 0..ACCOUNTS {
        connection.prepare_cached(sql).unwrap().execute((name(number).as_str(), &hash)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

fn name(number: usize) -> UserName {
    UserName::new(&format!("user {number}")).unwrap()
}

fn credentials(number: usize, password: &str, from: u32) -> Credentials {
    let address = IpAddr::V4(Ipv4Addr::from_bits(from));
    Credentials::new(name(number), chatproto::accounts::Password::new(password), address, true)
}

fn lookups(book: &AccountBook) {
    let names: Vec<_> = (0..1_000).map(|number| name(number * 97)).collect();
    let there = rate(100_000, |n| assert!(book.is_reserved(&names[n % names.len()])));
    let names: Vec<_> = (0..1_000).map(|n| UserName::new(&format!("guest {n}")).unwrap()).collect();
    let free = rate(100_000, |n| assert!(!book.is_reserved(&names[n % names.len()])));
    println!(
        "lookup: {:.2} µs of an account, {:.2} µs of a free name",
        micros(there),
        micros(free)
    );
}

fn logins(book: &AccountBook, threads: usize) {
    for what in ["from a new address", "from a known one"] {
        let (reply, replied) = mpsc::channel();
        let begin = Instant::now();
        const LOGINS: usize = 100;
        for number in 0..LOGINS {
            let reply = reply.clone();
            let order = AccountOrder::Login(credentials(number, PASSWORD, 0x0a00_0000));
            book.submit(order, move |outcome| drop(reply.send(outcome)));
            if number >= 16 {
                replied.recv().unwrap().expect("the password is right");
            }
        }
        replied.iter().take(16).for_each(|outcome| drop(outcome.expect("the password is right")));
        let each = begin.elapsed() / LOGINS as u32;
        println!(
            "login {what}: {:.1} ms, {:.0} a second with {threads} thread(s)",
            millis(each),
            1.0 / each.as_secs_f64()
        );
    }
}

fn refusals(book: &AccountBook) {
    let attempt = |number: usize, password: &str, from: u32| {
        let (reply, replied) = mpsc::sync_channel(1);
        let order = AccountOrder::Login(credentials(number, password, from));
        let begin = Instant::now();
        book.submit(order, move |outcome| drop(reply.send(outcome)));
        let took = begin.elapsed();
        (took, replied)
    };
    // three failures, and then nobody is let in from there
    for number in 0..3 {
        let (_, replied) = attempt(number, "another horse", 7);
        replied.recv().unwrap().unwrap_err();
    }
    report("refused by the throttle", 100_000, |n| {
        let (took, replied) = attempt(n % ACCOUNTS, PASSWORD, 7);
        replied.try_recv().expect("at once").unwrap_err();
        took
    });
    report("refused for no password", 100_000, |n| {
        let (took, replied) = attempt(n % ACCOUNTS, "short", 8);
        replied.try_recv().expect("at once").unwrap_err();
        took
    });
    // each from an address of its own: the queue is filled, and then what arrives is refused
    let mut waiting = Vec::new();
    report("refused or queued, from 100,000 addresses", 100_000, |n| {
        let (took, replied) = attempt(n, PASSWORD, 0x0b00_0000 + n as u32);
        if replied.try_recv().is_err() {
            waiting.push(replied);
        }
        took
    });
    println!("  of which {} were queued", waiting.len());
    for replied in waiting {
        drop(replied.recv().unwrap());
    }
}

/// The mean time of a thing that is done so often.
fn rate(times: usize, mut what: impl FnMut(usize)) -> Duration {
    let begin = Instant::now();
    for number in 0..times {
        what(number);
    }
    begin.elapsed() / times as u32
}

fn report(what: &str, times: usize, mut each: impl FnMut(usize) -> Duration) {
    let mut took: Vec<_> = (0..times).map(&mut each).collect();
    took.sort();
    println!(
        "{what}: median {:.2} µs, p99 {:.2} µs, most {:.0} µs",
        micros(took[times / 2]),
        micros(took[times / 100 * 99]),
        micros(took[times - 1])
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
