//! Servers with a directory of names that answers from other threads: late, never, or not at all because
//! it panics. And two servers with one directory, which never give a name to two users.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use chatproto::accounts::{AccountOrder, AccountPolicy, AccountReply, Accounts, Granted};
use chatproto::directory::{
    BlockingDirectory, Claim, ClaimAnswer, ClaimPurpose, ClaimReply, Directory, Lease, ReleaseReply,
};
use chatproto::hub::{Event, Role};
use chatproto::{ServerHandle, UserName};

use crate::support::{Raw, TestServer, eventually, limits, object};

const UNCHECKED: &str = "the name cannot be checked now. Try again later.";

/// Something that a directory is asked.
enum Asked {
    Claim(Claim, ClaimReply),
    Release(Lease, ReleaseReply),
}

/// Hands everything on to the test.
struct HandsOn(mpsc::Sender<Asked>);

impl Directory for HandsOn {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        let _ = self.0.send(Asked::Claim(claim, reply));
    }

    fn release(&self, lease: Lease, reply: ReleaseReply) {
        let _ = self.0.send(Asked::Release(lease, reply));
    }
}

/// Every account has this password, and every name that begins with `own` is one.
struct Owners;

impl Accounts for Owners {
    fn is_reserved(&self, name: &UserName) -> bool {
        name.as_str().starts_with("own")
    }

    fn revision(&self, name: &UserName) -> Option<u64> {
        self.is_reserved(name).then_some(1)
    }

    fn handle(&self, order: AccountOrder, reply: AccountReply) {
        reply.send(match order {
            AccountOrder::Login(_) => Ok(Granted::new(Role::User, 1)),
            _ => Err("no.".to_owned()),
        });
    }
}

fn next_claim(asked: &mpsc::Receiver<Asked>) -> (Claim, ClaimReply) {
    match asked.recv_timeout(crate::support::PATIENCE) {
        Ok(Asked::Claim(claim, reply)) => (claim, reply),
        Ok(Asked::Release(lease, _)) => panic!("{lease:?} is given back"),
        Err(_) => panic!("no claim"),
    }
}

fn next_release(asked: &mpsc::Receiver<Asked>) -> (Lease, ReleaseReply) {
    match asked.recv_timeout(crate::support::PATIENCE) {
        Ok(Asked::Release(lease, reply)) => (lease, reply),
        Ok(Asked::Claim(claim, _)) => panic!("{claim:?}"),
        Err(_) => panic!("no release"),
    }
}

#[test]
fn every_name_is_claimed_and_every_answer_may_come_late() {
    let (sender, asked) = mpsc::channel();
    let server = TestServer::with(limits(), |builder| {
        builder.directory(HandsOn(sender)).accounts(AccountPolicy::Optional, Owners)
    });
    let mut peer = Raw::connect(server.address);
    // all at once: each waits for the one before
    let commands = [object("/login", "own secret"), object("/whoami", "")].concat();
    peer.write(format!("owner\n{commands}").as_bytes());
    // the name is an account's, so that a guest is to be admitted
    let (claim, reply) = next_claim(&asked);
    assert_eq!((claim.name.as_str(), claim.purpose), ("owner~1", ClaimPurpose::Guest));
    assert_eq!(server.handle.online(), 0);
    reply.granted(1);
    assert!(peer.read().msg.starts_with("Welcome, owner~1!"));
    peer.read();
    let (claim, reply) = next_claim(&asked);
    assert_eq!(claim.name.as_str(), "own");
    assert_eq!(claim.purpose, ClaimPurpose::Login { revision: 1 });
    assert_eq!(server.handle.users(), ["owner~1"]);
    reply.granted(2);
    assert_eq!(peer.read().msg, "You are logged in as own.");
    assert!(peer.read().msg.starts_with("You are own from"));
    let (lease, reply) = next_release(&asked);
    assert_eq!((lease.name().as_str(), lease.revision()), ("owner~1", 1));
    reply.done();
    peer.finish();
    peer.read_to_end();
    let (lease, released) = next_release(&asked);
    assert_eq!((lease.name().as_str(), lease.revision()), ("own", 2));

    // a claim waits for the release, and the connection for its answer
    let mut second = Raw::connect(server.address);
    second.write(b"bob\n");
    let (_, reply) = next_claim(&asked);
    reply.granted(3);
    assert!(second.read().msg.starts_with("Welcome, bob!"));
    second.send("/login", "own secret");
    assert!(asked.recv_timeout(Duration::from_millis(50)).is_err(), "not before it is given back");
    drop(released);
    let (claim, reply) = next_claim(&asked);
    assert_eq!(claim.name.as_str(), "own");
    reply.moved("node-2");
    let refusal = "❌ Not logged in: you belong to another server. Connect to node-2.";
    assert_eq!(second.read().msg, refusal);
}

#[test]
fn who_leaves_before_the_answer_leaves_no_name_behind() {
    let (sender, asked) = mpsc::channel();
    let mut limits = limits();
    limits.drain = Duration::from_millis(50);
    let server = TestServer::with(limits, |builder| builder.directory(HandsOn(sender)));
    let mut peer = Raw::connect(server.address);
    peer.write(b"alice\n");
    let (_, reply) = next_claim(&asked);
    drop(peer);
    // the next one waits for the answer to the first claim
    let mut peer = Raw::connect(server.address);
    peer.write(b"bob\n");
    next_claim(&asked).1.granted(1);
    assert!(peer.read().msg.starts_with("Welcome, bob!"));
    eventually("the first is gone", || server.handle.connections() == 1);
    peer.send("/nick", "alice");
    peer.send("/nick", "bob");
    assert!(asked.recv_timeout(Duration::from_millis(50)).is_err());
    reply.granted(2);
    let (lease, released) = next_release(&asked);
    assert_eq!((lease.name().as_str(), lease.revision()), ("alice", 2));
    released.done();
    let (claim, reply) = next_claim(&asked);
    assert_eq!((claim.name.as_str(), claim.purpose), ("alice", ClaimPurpose::Rename));
    reply.granted(3);
    assert_eq!(peer.read().msg, "You are now alice.");
}

/// Loses claims, in one way or another.
struct Broken(Mutex<Vec<ClaimReply>>);

impl Directory for Broken {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        match claim.name.as_str() {
            "never" => self.0.lock().unwrap().push(reply),
            "panic" => panic!("on purpose"),
            "drop" => drop(reply),
            "thread" => drop(thread::spawn(move || {
                let _reply = reply;
                panic!("on purpose");
            })),
            _ => reply.granted(0),
        }
    }

    fn release(&self, _: Lease, _: ReleaseReply) {
        panic!("on purpose");
    }
}

#[test]
fn a_claim_that_gets_no_answer_keeps_nobody_waiting() {
    let mut limits = limits();
    limits.registration = Duration::from_millis(300);
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let observer = move |event: &Event| {
        if let Event::HandlerPanicked { endpoint, reason } = event {
            assert_eq!((&**endpoint, &**reason), ("the directory", "on purpose"));
            counted.fetch_add(1, Ordering::SeqCst);
        }
    };
    let broken = Arc::new(Broken(Mutex::default()));
    let directory = Arc::clone(&broken);
    let server =
        TestServer::with(limits, |builder| builder.directory(directory).observer(observer));
    for name in ["panic", "drop", "thread"] {
        let mut peer = Raw::connect(server.address);
        peer.write(format!("{name}\n").as_bytes());
        let [refusal] = &peer.read_to_end()[..] else { panic!("{name}") };
        assert_eq!(refusal.msg, format!("⛔ Error: {UNCHECKED}"), "{name}");
    }
    assert_eq!(panics.load(Ordering::SeqCst), 1);
    let mut peer = Raw::connect(server.address);
    peer.write(b"never\n");
    let [refusal] = &peer.read_to_end()[..] else { panic!() };
    assert!(refusal.msg.contains("could not be checked within 0.3 s"), "{refusal:?}");
    // a user goes on after that, under its name
    let mut peer = Raw::join(server.address, "alice");
    for name in ["panic", "drop", "thread", "never", "never"] {
        peer.send("/nick", name);
        peer.send("/ping", name);
        assert_eq!(peer.read().msg, format!("❌ Your name stays alice: {UNCHECKED}"), "{name}");
        assert_eq!(peer.read().msg, name);
    }
    // a release that panics is done
    peer.finish();
    peer.read_to_end();
    eventually("the release has panicked", || panics.load(Ordering::SeqCst) == 3);
    Raw::join(server.address, "alice");
    broken.0.lock().unwrap().clear();
}

/// Looks at the server before it answers, on the event loop: no lock is held there.
struct Curious(Arc<Mutex<Option<ServerHandle>>>);

impl Directory for Curious {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        let online = self.0.lock().unwrap().as_ref().map_or(0, ServerHandle::online);
        match online < 2 {
            true => reply.granted(online as u64),
            false => reply.refused(format!("no room for {}.", claim.name)),
        }
    }
}

#[test]
fn a_directory_can_use_the_server_and_answer_at_once() {
    let handle = Arc::<Mutex<Option<ServerHandle>>>::default();
    let directory = Curious(Arc::clone(&handle));
    let server = TestServer::with(limits(), |builder| builder.directory(directory));
    *handle.lock().unwrap() = Some(server.handle.clone());
    let _first = (Raw::join(server.address, "a"), Raw::join(server.address, "b"));
    let mut third = Raw::connect(server.address);
    third.write(b"c\n");
    assert_eq!(third.read().msg, "⛔ Error: no room for c.");
    *handle.lock().unwrap() = None;
}

#[test]
fn a_function_that_blocks_runs_on_so_many_threads_as_it_was_given() {
    const THREADS: usize = 3;
    let [running, most, granted] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let (counters, releases) = ([&running, &most, &granted].map(Arc::clone), Arc::clone(&granted));
    let claim = move |claim: &Claim| {
        let [running, most, granted] = &counters;
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(2));
        running.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(claim.name.as_str(), "panic");
        granted.fetch_add(1, Ordering::SeqCst);
        ClaimAnswer::Granted(0)
    };
    let release = move |_: &Lease| {
        releases.fetch_sub(1, Ordering::SeqCst);
    };
    let directory = BlockingDirectory::start(THREADS, claim, release).unwrap();
    let server = TestServer::with(limits(), |builder| builder.directory(directory));
    let mut peers: Vec<Raw> = (0..40)
        .map(|number| {
            let mut peer = Raw::connect(server.address);
            let name = if number == 7 { "panic".to_owned() } else { format!("user {number}") };
            peer.write(format!("{name}\n").as_bytes());
            peer
        })
        .collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        let said = peer.read().msg;
        let is_right =
            if number == 7 { said.contains(UNCHECKED) } else { said.contains("Welcome") };
        assert!(is_right, "{number}: {said}");
    }
    assert_eq!(granted.load(Ordering::SeqCst), 39);
    assert!(most.load(Ordering::SeqCst) <= THREADS, "{most:?} at a time");
    drop(peers);
    eventually("all names are given back", || granted.load(Ordering::SeqCst) == 0);
}

/// Who has each name; a thread answers, in its own time.
struct Cluster {
    asked: mpsc::Sender<(usize, Asked)>,
    node: usize,
}

impl Directory for Cluster {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        let _ = self.asked.send((self.node, Asked::Claim(claim, reply)));
    }

    fn release(&self, lease: Lease, reply: ReleaseReply) {
        let _ = self.asked.send((self.node, Asked::Release(lease, reply)));
    }
}

/// Grants names, and checks that each lease is given back once, by the node that has it.
fn decide(asked: &mpsc::Receiver<(usize, Asked)>) -> BTreeMap<String, (usize, u64)> {
    let (mut leased, mut last) = (BTreeMap::<String, (usize, u64)>::new(), 0);
    let mut held_back = Vec::new();
    loop {
        let (node, each) = match asked.recv_timeout(Duration::from_millis(2)) {
            Ok(each) => each,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                held_back.clear();
                continue;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return leased,
        };
        match each {
            Asked::Claim(claim, reply) => {
                last += 1;
                match leased.entry(claim.name.to_string()) {
                    std::collections::btree_map::Entry::Occupied(entry) => {
                        assert_ne!(entry.get().0, node, "{claim:?} by the node that has it");
                        reply.refused("in use elsewhere.");
                    }
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert((node, last));
                        reply.granted(last);
                    }
                }
            }
            Asked::Release(lease, reply) => {
                let held = leased.remove(lease.name().as_str());
                assert_eq!(held, Some((node, lease.revision())), "{lease:?}");
                held_back.push(reply);
                // a few at a time, so that claims have to wait
                if held_back.len() > 3 {
                    held_back.clear();
                }
            }
        }
    }
}

#[test]
fn two_servers_with_one_directory_never_give_a_name_to_two_users() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 25;
    let (sender, asked) = mpsc::channel();
    let directory = thread::spawn(move || decide(&asked));
    let server = |node| {
        let asked = sender.clone();
        TestServer::with(limits(), |builder| {
            builder.directory(Cluster { asked, node }).accounts(AccountPolicy::Optional, Owners)
        })
    };
    let servers = [server(0), server(1)];
    drop(sender);
    // the names that somebody has, as far as clients know: each says so when it got a name
    let had = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (address, had) = (servers[number % 2].address, Arc::clone(&had));
            thread::spawn(move || (0..ROUNDS).for_each(|round| play(address, number, round, &had)))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    for server in servers {
        eventually("all have left", || server.handle.connections() == 0);
        server.stop().unwrap();
    }
    // the directory ends with the servers
    assert_eq!(directory.join().unwrap(), BTreeMap::new(), "every lease is given back");
}

/// A client that takes names, and checks that nobody else has them while it certainly does.
fn play(
    address: std::net::SocketAddr,
    number: usize,
    round: usize,
    had: &Mutex<BTreeMap<String, usize>>,
) {
    let take = |name: &str| {
        let before = had.lock().unwrap().insert(name.to_owned(), number);
        assert_eq!(before, None, "{name} is had by two");
    };
    let give = |name: &str| {
        had.lock().unwrap().remove(name);
    };
    let wanted = ["alice", "own", "bob"][(number + round) % 3];
    let mut peer = Raw::connect(address);
    peer.write(format!("{wanted}\n").as_bytes());
    let first = peer.read();
    if first.msg.starts_with('⛔') {
        assert!(first.msg.contains("in use"), "{first:?}");
        return;
    }
    assert!(first.msg.starts_with("Welcome, "), "{first:?}");
    let own = first.to;
    take(&own);
    give(&own);
    peer.send("/nick", ["carol", "dave", "alice"][(number * 7 + round) % 3]);
    let answer = loop {
        let message = peer.read();
        if message.msg.starts_with("You are now") || message.msg.starts_with("❌ Your name stays")
        {
            break message;
        }
    };
    assert_eq!(answer.msg.starts_with('❌'), answer.to == own, "{answer:?}");
    take(&answer.to);
    give(&answer.to);
    // another login to the same account can end this connection, at any time
    peer.send("/login", "own secret");
    while let Some(message) = peer.try_read() {
        if message.msg.starts_with("You are logged in as own") || message.msg.starts_with('❌') {
            break;
        }
    }
}
