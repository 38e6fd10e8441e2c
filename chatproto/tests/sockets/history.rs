//! History and accounts under a real server: the store and the accounts of these tests are in
//! memory, everything else is what a program that uses the library gets.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatproto::UserName;
use chatproto::accounts::{AccountOrder, AccountPolicy, AccountReply, Accounts, Granted};
use chatproto::history::History;
use chatproto::history::{Entry, Inbox};
use chatproto::hub::{Completion, HistoryOrder, Left, Page, Role};

use crate::support::{PATIENCE, Raw, TestServer, limits};

/// What is kept: by conversation, number and object.
type Kept = Arc<Mutex<BTreeMap<String, Vec<(u64, String)>>>>;

/// Keeps in memory. With a gate, each `/sync` waits for a word through it.
struct Memory {
    kept: Kept,
    gate: Option<Receiver<()>>,
}

impl Memory {
    fn new() -> (Self, Kept) {
        let kept = Kept::default();
        (Memory { kept: Arc::clone(&kept), gate: None }, kept)
    }
}

impl History for Memory {
    fn epoch(&self) -> String {
        "e1".to_owned()
    }

    fn next_id(&self) -> u64 {
        1
    }

    fn run(self: Box<Self>, inbox: Inbox) {
        while let Some(entries) = inbox.take(PATIENCE, Duration::ZERO) {
            for entry in entries {
                match entry {
                    Entry::Messages(batch) => {
                        let mut kept = self.kept.lock().unwrap();
                        for (id, _, conversation, object) in batch.messages() {
                            let messages = kept.entry(conversation.key().to_owned()).or_default();
                            messages.push((id, object.to_owned()));
                        }
                    }
                    Entry::Gap { first, .. } => panic!("{first} is missing"),
                    Entry::Order(order, reply) => match self.carry_out(order) {
                        Some(completion) => reply.send(completion),
                        None => drop(reply),
                    },
                }
            }
        }
    }
}

impl Memory {
    fn carry_out(&self, order: HistoryOrder) -> Option<Completion> {
        match order {
            HistoryOrder::Sync { .. } => {
                if let Some(gate) = &self.gate {
                    gate.recv_timeout(PATIENCE).unwrap();
                }
                Some(Completion::Synced(Ok(())))
            }
            HistoryOrder::Replay { conversation, selection } => {
                let kept = self.kept.lock().unwrap();
                let all = kept.get(conversation.key()).cloned().unwrap_or_default();
                let messages = all.into_iter().filter(|(id, _)| *id <= selection.up_to).collect();
                Some(Completion::Replayed(conversation, Ok(Page { messages, ..Page::default() })))
            }
            HistoryOrder::Leave { account, .. } => {
                Some(Completion::Left(account, Ok(Left::Waiting)))
            }
            HistoryOrder::Collect { .. } => Some(Completion::Collected(Ok(Page::default()))),
            // dropped without an answer
            _ => None,
        }
    }
}

/// One account, `alice`, whose password is `secret`.
struct Book;

impl Accounts for Book {
    fn is_reserved(&self, name: &UserName) -> bool {
        name.as_str() == "alice"
    }

    fn revision(&self, name: &UserName) -> Option<u64> {
        self.is_reserved(name).then_some(1)
    }

    fn handle(&self, order: AccountOrder, reply: AccountReply) {
        let AccountOrder::Login(credentials) = order else { panic!("the book is full") };
        let is_right = credentials.name.as_str() == "alice"
            && credentials.password.as_str() == "secret"
            && credentials.address.is_loopback();
        // as a program does that checks passwords on threads of its own
        std::thread::spawn(move || {
            reply.send(match is_right {
                true => Ok(Granted::new(Role::Moderator, 1)),
                false => Err("that is not the password.".to_owned()),
            });
        });
    }
}

#[test]
fn what_is_kept_is_what_was_sent_in_the_order_in_which_everybody_got_it() {
    let (memory, kept) = Memory::new();
    let server = TestServer::with(limits(), |builder| builder.history(memory));
    let mut peers: Vec<Raw> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| {
            let mut peer = Raw::join(server.address, name);
            peer.send("/join", "#tea");
            peer.fence();
            peer
        })
        .collect();
    let mut reader = Raw::join(server.address, "reader");
    reader.send("/join", "#tea");
    reader.fence();
    for peer in &mut peers {
        peer.fence();
    }
    const EACH: usize = 500;
    std::thread::scope(|scope| {
        for peer in &mut peers {
            scope.spawn(move || {
                for n in 0..EACH {
                    peer.send("#tea", &n.to_string());
                }
                peer.send("/sync", "");
                let synced = std::iter::from_fn(|| Some(peer.read()))
                    .find(|message| message.msg.starts_with("synced "));
                assert!(synced.unwrap().msg.ends_with(" epoch=e1"));
            });
        }
    });
    let heard: Vec<String> = (0..4 * EACH).map(|_| reader.read().to_json()).collect();
    let kept = kept.lock().unwrap();
    let (ids, objects): (Vec<u64>, Vec<String>) = kept["#tea"].iter().cloned().unzip();
    assert_eq!(ids, (1..=4 * EACH as u64).collect::<Vec<_>>());
    assert_eq!(objects, heard);
}

#[test]
fn nobody_waits_for_the_disk_but_who_asks_for_it() {
    let (mut memory, _) = Memory::new();
    let (open, gate): (Sender<()>, _) = mpsc::channel();
    memory.gate = Some(gate);
    let server = TestServer::with(limits(), |builder| builder.history(memory));
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| {
        let mut peer = Raw::join(server.address, name);
        peer.send("/join", "#tea");
        peer.fence();
        peer
    });
    alice.fence();
    alice.send("#tea", "one");
    alice.send("/sync", "");
    alice.send("#tea", "after");
    assert_eq!(bob.read().msg, "one");
    bob.send("#tea", "two");
    bob.fence();
    assert_eq!(alice.read().msg, "two");
    open.send(()).unwrap();
    assert_eq!(alice.read().msg, "synced id=1 epoch=e1");
    assert_eq!(bob.read().msg, "after");
}

#[test]
fn an_order_that_is_dropped_has_failed_and_a_stopping_server_waits_for_what_is_under_way() {
    let (memory, kept) = Memory::new();
    let server =
        TestServer::with(limits(), |b| b.history(memory).accounts(AccountPolicy::Optional, Book));
    let mut alice = Raw::join(server.address, "alice");
    alice.read();
    alice.send("/login", "secret");
    assert!(alice.read().msg.starts_with("You are logged in as alice, a moderator"));
    alice.send("/join", "#tea");
    alice.send("/forget", "#tea 1");
    alice.read();
    assert_eq!(alice.read().msg, "❌ The command failed. Try again later.");
    for n in 0..100 {
        alice.send("#tea", &n.to_string());
    }
    alice.fence();
    server.stop().unwrap();
    assert_eq!(kept.lock().unwrap()["#tea"].len(), 100);
}

#[test]
fn a_history_that_panics_ends_the_server_and_says_so() {
    struct Broken;
    impl History for Broken {
        fn epoch(&self) -> String {
            "e".to_owned()
        }
        fn next_id(&self) -> u64 {
            1
        }
        fn run(self: Box<Self>, inbox: Inbox) {
            inbox.take(PATIENCE, Duration::ZERO);
            panic!("no disk");
        }
    }
    let server = TestServer::with(limits(), |builder| builder.history(Broken));
    let mut alice = Raw::join(server.address, "alice");
    alice.send("/join", "#tea");
    alice.send("#tea", "x");
    alice.read_to_end();
    let error = server.stop().unwrap_err();
    assert_eq!(error.to_string(), "a thread of the server panicked: no disk");
}

#[test]
fn an_owner_logs_in_over_a_socket_in_one_go_with_its_name() {
    let server =
        TestServer::with(limits(), |builder| builder.accounts(AccountPolicy::Optional, Book));
    let mut bob = Raw::join(server.address, "bob");
    let mut alice = Raw::connect(server.address);
    // the name, a wrong and the right password, and what comes after them, in one segment
    let input = [
        "alice\n".to_owned(),
        crate::support::object("/login", "wrong"),
        crate::support::object("/login", "secret"),
        crate::support::object("bob", "it is me"),
    ];
    alice.write(input.concat().as_bytes());
    let said: Vec<_> = (0..4).map(|_| alice.read()).collect();
    assert!(said[0].msg.starts_with("Welcome, alice~1!"), "{said:?}");
    assert!(said[1].msg.contains("belongs to an account"), "{said:?}");
    assert_eq!(said[2].msg, "❌ that is not the password.");
    assert!(said[3].msg.starts_with("You are logged in as alice"), "{said:?}");
    assert_eq!(bob.read().from.name, "alice");
    // a panic in the accounts is an answer too
    bob.send("/register", "x");
    assert_eq!(bob.read().msg, "❌ The command failed. Try again later.");
}
