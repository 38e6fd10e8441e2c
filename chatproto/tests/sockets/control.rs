//! A server that is told other bounds, and whom to shut out, while it runs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};
use chatproto::hub::{Action, Actor, Ban, Departure, Event, Mute};
use chatproto::{Rate, Server, ServerError, SlowReader, UserName};

#[test]
fn another_rate_holds_at_once_for_who_is_connected() {
    let mut slow = limits();
    // a thousand messages would take a thousand seconds
    slow.rate = Some(Rate { per_second: 1, burst: 1 });
    let server = TestServer::with(slow.clone(), |builder| builder);
    let mut alice = Raw::join(server.address, "alice");
    let mut bob = Raw::join(server.address, "bob");
    alice.write(object("bob", "hi").repeat(1_000).as_bytes());
    assert_eq!(bob.read().msg, "hi");
    server.handle.set_limits(limits()).unwrap();
    (1..1_000).for_each(|_| assert_eq!(bob.read().msg, "hi"));
    assert_eq!(alice.fence(), []);

    server.handle.set_limits(slow).unwrap();
    // after this the loop has seen its mail
    alice.fence();
    let begun = Instant::now();
    alice.write(object("bob", "hi").repeat(3).as_bytes());
    (0..3).for_each(|_| assert_eq!(bob.read().msg, "hi"));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn what_was_used_up_of_a_rate_does_not_count_against_the_next() {
    let mut generous = limits();
    generous.rate = Some(Rate { per_second: 1, burst: 1_000 });
    let server = TestServer::with(generous, |builder| builder);
    let mut alice = Raw::join(server.address, "alice");
    // the burst is used up for a quarter of an hour
    alice.write(object("nobody", "hi").repeat(1_000).as_bytes());
    (0..1_000).for_each(|_| assert!(alice.read().msg.contains("not found")));
    let mut other = limits();
    other.rate = Some(Rate { per_second: 1_000, burst: 1_000 });
    server.handle.set_limits(other).unwrap();
    alice.write(object("nobody", "hi").repeat(1_000).as_bytes());
    (0..1_000).for_each(|_| assert!(alice.read().msg.contains("not found")));
}

#[test]
fn a_user_keeps_the_frame_limit_that_it_came_with() {
    let server = TestServer::start();
    let mut alice = Raw::join(server.address, "alice");
    let mut smaller = limits();
    smaller.frame = 1_000;
    server.handle.set_limits(smaller).unwrap();
    let mut bob = Raw::join(server.address, "bob");
    // nobody is sent more than the limit is now
    alice.send("bob", &"x".repeat(2_000));
    let answer = alice.read().msg;
    assert!(answer.starts_with("❌ Not delivered") && answer.contains("1000 bytes"), "{answer}");
    bob.send("alice", &"x".repeat(2_000));
    let last = bob.read_to_end().pop().expect("last words").msg;
    assert!(last.starts_with("⛔ Error") && last.contains("1000"), "{last}");

    let mut larger = limits();
    larger.frame = 1 << 20;
    server.handle.set_limits(larger).unwrap();
    let mut carol = Raw::join(server.address, "carol");
    carol.send("nobody", &"x".repeat(200_000));
    assert!(carol.read().msg.contains("not found"), "it came as a whole");
    alice.send("nobody", &"x".repeat(200_000));
    let last = alice.read_to_end().pop().expect("last words").msg;
    assert!(last.starts_with("⛔ Error") && last.contains("65536"), "{last}");
}

#[test]
fn a_shorter_deadline_is_kept_though_longer_ones_are_running() {
    let mut long = limits();
    long.registration = Duration::from_secs(3_600);
    let server = TestServer::with(long, |builder| builder.threads(1));
    let mut first = Raw::connect(server.address);
    eventually("it is accepted", || server.handle.connections() == 1);
    let mut short = limits();
    short.registration = Duration::from_millis(50);
    server.handle.set_limits(short).unwrap();
    let mut second = Raw::connect(server.address);
    let refusal = second.read_to_end().pop().expect("a refusal").msg;
    assert!(refusal.contains("no name came within 0.05 s"), "{refusal}");
    first.write(b"alice\n");
    assert!(first.read().msg.contains("Welcome"));
}

#[test]
fn limits_without_room_to_speak_are_refused_and_change_nothing() {
    let server = TestServer::start();
    let mut wrong = limits();
    (wrong.frame, wrong.name) = (1, 3);
    assert!(matches!(wrong.check(), Err(ServerError::Limits(_))));
    let error = server.handle.set_limits(wrong).unwrap_err();
    assert_eq!(error.to_string(), "the limits cannot be used: `frame` must be at least 128 bytes");
    Raw::join(server.address, "a long name");
}

#[test]
fn another_policy_holds_for_who_is_connected() {
    let server = TestServer::with(limits(), |builder| builder.slow_reader(SlowReader::Disconnect));
    let mut stalled = Raw::join(server.address, "stalled");
    let mut sender = Raw::join(server.address, "sender");
    server.handle.set_slow_reader(SlowReader::DropOldest);
    // a turn of both loops later it holds
    sender.fence();
    stalled.fence();
    let batch = object("stalled", &"x".repeat(1_000)).repeat(100);
    (0..200).for_each(|_| sender.write(batch.as_bytes()));
    assert_eq!(sender.fence(), [], "nobody was closed");
    let got = stalled.fence();
    let dropped = got.iter().filter(|message| message.msg.contains("dropped here"));
    assert!(dropped.count() > 0 && got.len() < 20_000);
}

#[test]
fn who_is_banned_by_the_application_is_told_and_closed_and_the_others_see_it() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let observe = move |event: &Event| seen.lock().unwrap().push(event.clone());
    let server = TestServer::with(limits(), |builder| builder.observer(observe));
    // on both loops
    let mut victims: Vec<Raw> =
        (0..4).map(|n| Raw::join(server.address, &format!("spammer {n}"))).collect();
    let mut alice = Raw::join(server.address, "alice");
    for (number, member) in victims.iter_mut().chain([&mut alice]).enumerate() {
        member.send("/join", "#tea");
        let joined = member.read().msg;
        assert!(joined.starts_with("Joined #tea"), "{number}: {joined}");
    }
    for (number, victim) in victims.iter_mut().enumerate() {
        let mut ban = Ban::new(format!("SPAMMER {number}").parse().unwrap());
        (ban.by, ban.is_configured) = ("the operator".to_owned(), true);
        assert_eq!(server.handle.restore_ban(ban), 1);
        let last = victim.read_to_end().pop().expect("last words").msg;
        assert_eq!(last, "⛔ You were banned by the operator.");
        assert_eq!(alice.read().msg, format!("spammer {number} was kicked."));
    }
    assert_eq!(server.handle.users(), ["alice"]);
    assert_eq!(server.handle.bans().len(), 4);
    let banned =
        |event: &&Event| matches!(event, Event::Departed { reason: Departure::Banned, .. });
    assert_eq!(events.lock().unwrap().iter().filter(banned).count(), 4);

    let mut again = Raw::connect(server.address);
    again.write(b"spammer 1\n");
    assert!(again.read_to_end()[0].msg.contains("you are banned"));
    let target = "spammer 1".parse().unwrap();
    assert!(server.handle.withdraw_ban(&target));
    Raw::join(server.address, "spammer 1");
}

#[test]
fn bans_and_mutes_hold_from_the_first_connection_on() {
    let server = Server::builder().limits(limits()).bind(([127, 0, 0, 1], 0)).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    handle.restore_ban(Ban::new("eve".parse().unwrap()));
    let mut mute = Mute::new(UserName::new("bob").unwrap());
    mute.remaining = Some(PATIENCE);
    handle.restore_mute(mute);
    let running = std::thread::spawn(move || server.run());
    let mut eve = Raw::connect(address);
    eve.write(b"Eve\n");
    assert!(eve.read_to_end()[0].msg.contains("you are banned"));
    let mut peer = Raw::join(address, "bob");
    peer.send("/shout", "hi");
    assert!(peer.read().msg.starts_with("❌ You are muted for another "));
    assert_eq!(handle.mutes().len(), 1);
    let unmute = || handle.act(&Actor::operator(""), Action::Unmute { user: "bob".to_owned() });
    assert!(unmute().is_ok() && unmute().is_err());
    assert_eq!(peer.read().msg, "You may speak again.");
    handle.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn the_token_and_the_announcements_change() {
    let server = TestServer::start();
    let mut alice = Raw::join(server.address, "alice");
    server.handle.set_admin_token(Some("a token of some length"));
    alice.send("/admin", "a token of some length");
    assert_eq!(alice.read().msg, "You are an admin now.");
    server.handle.set_announce(true);
    Raw::join(server.address, "bob");
    assert_eq!(alice.read().msg, "bob joined.");
}
