//! Rooms and moderation over real sockets: a room of thousands, what is told by the clock alone,
//! members who do not read, and names that somebody else decides about.

use std::time::Duration;

use crate::support::{Raw, TestServer, limits};
use chatproto::Message;
use chatproto::directory::{Claim, ClaimReply, Directory};

/// How many the notice says have done this: one, or those of a count.
fn counted(notice: &str, what: &str) -> usize {
    let one = [format!(" {what}."), format!(" was {what}.")];
    if one.iter().any(|end| notice.ends_with(end)) {
        return 1;
    }
    let parts = notice.trim_end_matches('.').split("; ");
    let counts = parts.filter_map(|part| {
        let (count, rest) = part.split_once(' ')?;
        rest.starts_with(what).then(|| count.parse::<usize>().expect("a count"))
    });
    counts.sum()
}

/// Reads up to the object that `is_it`; returns what came before.
#[track_caller]
fn read_to(peer: &mut Raw, is_it: impl Fn(&Message) -> bool) -> Vec<Message> {
    let mut before = Vec::new();
    loop {
        let message = peer.read();
        if is_it(&message) {
            return before;
        }
        before.push(message);
    }
}

/// Reads notices of a room until they have told of so many; returns how many notices it took.
#[track_caller]
fn read_counts(peer: &mut Raw, what: &str, mut seen: usize, until: usize) -> usize {
    let mut notices = 0;
    while seen < until {
        let message = peer.read();
        assert!(message.is_from_server() && message.to.starts_with('#'), "{message:?}");
        seen += counted(&message.msg, what);
        notices += 1;
    }
    assert_eq!(seen, until, "nobody is counted twice");
    notices
}

/// How many members a room can have here: both ends of each connection are in this process.
fn crowd(wanted: usize) -> usize {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(256);
    let possible = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(200) / 2;
    if possible < wanted {
        eprintln!("only {possible} members: raise the limit of open files for more");
    }
    wanted.min(possible)
}

#[test]
fn a_room_of_five_thousand_fills_is_told_spoken_to_and_empties() {
    let server = TestServer::start();
    let count = crowd(5_000);
    let mut peers: Vec<Raw> = (0..count)
        .map(|number| {
            let mut peer = Raw::join(server.address, &format!("u{number}"));
            peer.send("/join", "#hall");
            if number == 0 {
                // another event loop must not be faster with the second one
                assert!(peer.read().msg.starts_with("Joined #hall."));
            }
            peer.send("/ping", "in");
            peer
        })
        .collect();
    let mut notices = 0;
    let mut joined = Vec::new();
    for (number, peer) in peers.iter_mut().enumerate() {
        let before = read_to(peer, |message| message.msg == "in");
        let own = before.iter().filter(|message| message.msg.starts_with("Joined #hall.")).count();
        assert_eq!(own, usize::from(number > 0));
        notices += before.len() - own;
        joined.push(before.iter().map(|message| counted(&message.msg, "joined")).sum::<usize>());
    }
    // the first one is told of everybody else, exactly once, by the clock if by nothing else
    notices += read_counts(&mut peers[0], "joined", joined[0], count - 1);
    assert!(notices < 20 * count, "{notices} notices to {count} members");

    peers[0].send("#hall", "hello");
    for peer in &mut peers[1..] {
        let before = read_to(peer, |message| message.msg == "hello");
        notices += before.len();
    }
    assert!(notices < 40 * count, "{notices} notices to {count} members");

    peers.truncate(10);
    let told = read_counts(&mut peers[0], "disconnected", 0, count - 10);
    assert!(told <= 20, "{told} notices that {} have gone", count - 10);
    peers[0].send("/who", "#hall");
    let answer = peers[0].read();
    assert!(answer.msg.starts_with("Members of #hall (10): "), "{}", answer.msg);
}

#[test]
fn what_was_counted_is_told_when_the_time_has_come() {
    let server = TestServer::start();
    let mut alice = Raw::join(server.address, "alice");
    alice.send("/join", "#tea");
    assert!(alice.read().msg.starts_with("Joined"));
    // each waits for its answer, and nothing happens after the last one
    let peers: Vec<Raw> = (0..25)
        .map(|number| {
            let mut peer = Raw::join(server.address, &format!("u{number}"));
            peer.send("/join", "#tea");
            read_to(&mut peer, |message| message.msg.starts_with("Joined"));
            peer
        })
        .collect();
    read_counts(&mut alice, "joined", 0, peers.len());
}

#[test]
fn a_member_dropped_for_not_reading_leaves_its_rooms() {
    let mut limits = limits();
    limits.queue_bytes = 256 * 1024;
    limits.drain = Duration::from_millis(50);
    let server = TestServer::with(limits, |builder| builder);
    let mut alice = Raw::join(server.address, "alice");
    let mut bob = Raw::join(server.address, "bob");
    let mut slow = Raw::join(server.address, "slow");
    for peer in [&mut slow, &mut bob, &mut alice] {
        peer.send("/join", "#tea");
        read_to(peer, |message| message.msg.starts_with("Joined"));
    }
    // until the notice comes, as the system's own buffers have to be filled first
    let text = "x".repeat(16 * 1024);
    let told = loop {
        alice.send("#tea", &text);
        alice.send("/ping", "sent");
        let before = read_to(&mut alice, |message| message.msg == "sent");
        read_to(&mut bob, |message| message.msg == text);
        if let Some(notice) = before.into_iter().find(|message| message.to == "#tea") {
            break notice;
        }
    };
    assert_eq!(told.msg, "slow disconnected.");
    alice.send("/who", "#tea");
    assert!(alice.read().msg.starts_with("Members of #tea (2): "));
}

#[test]
fn who_is_kicked_reads_why_before_the_end() {
    let server = TestServer::with(limits(), |builder| builder.admin_token("correct horse battery"));
    let mut admin = Raw::join(server.address, "admin");
    let mut bob = Raw::join(server.address, "bob");
    admin.send("/admin", "correct horse battery");
    assert_eq!(admin.read().msg, "You are an admin now.");
    admin.send("/kick", "bob enough");
    assert_eq!(admin.read().msg, "Kicked bob.");
    let last: Vec<String> = bob.read_to_end().into_iter().map(|message| message.msg).collect();
    assert_eq!(last, ["⛔ You were kicked by admin: enough."]);
    Raw::join(server.address, "bob");
}

/// Gives every name but those of one letter.
struct Registry;

impl Directory for Registry {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        match claim.name.as_str().len() {
            1 => reply.refused("too short for us."),
            _ => reply.granted(0),
        }
    }
}

#[test]
fn a_directory_decides_about_new_names_too() {
    let server = TestServer::with(limits(), |builder| builder.directory(Registry));
    let mut alice = Raw::join(server.address, "alice");
    // all in one segment: what follows waits until it is decided
    let objects = ["b", "bob"].map(|name| crate::support::object("/nick", name)).concat();
    alice.write([objects, crate::support::object("/whoami", "")].concat().as_bytes());
    assert_eq!(alice.read().msg, "❌ Your name stays alice: too short for us.");
    assert_eq!(alice.read().msg, "You are now bob.");
    assert_eq!(alice.read().msg, "You are bob from 127.0.0.1, a user.");
    assert_eq!(server.handle.users(), ["bob"]);
    Raw::join(server.address, "alice");
}
