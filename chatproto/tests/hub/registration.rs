//! The hub as a state machine, without sockets: who becomes a user, who does not, and how each
//! ends (A6, A8, B5, B8, B13). Messages between users are in `delivery.rs`, the server's answers in
//! `answers.rs`.

use std::net::IpAddr;

use chatproto::directory::ClaimPurpose;
use chatproto::handshake::{PeerKind, Stranger};
use chatproto::hub::{Act, Completion, ConnId, Departure, Effect, Event, Hub, Role};
use chatproto::{Limits, NameError};

use crate::common::{AWAY, HOME, House, Sent};

const MESSAGE: &[u8] = br#"{"from":{"name":"","ip":""},"to":"/time","msg":""}"#;

fn granted() -> Completion {
    Completion::Claimed(0)
}

fn refused() -> Completion {
    Completion::Refused("alice is banned".to_owned())
}

fn left(house: &mut House, conn: ConnId) {
    house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
}

// claims

#[test]
fn nothing_is_said_before_the_claim_is_decided() {
    let mut house = House::with_directory();
    let (alice, token) = house.claim("alice");
    assert!(house.mail().is_empty());
    assert_eq!((house.hub.online(), house.hub.connections()), (0, 1));
    assert_eq!(token.conn(), alice);
    assert_eq!(house.complete(token, granted()), Some(alice));
    assert_eq!(house.mail().said(alice, "alice").len(), 1);
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn a_claim_carries_the_address_that_the_server_sees() {
    let mut house = House::with_directory();
    let alice = house.connect("::ffff:192.0.2.7".parse().unwrap());
    house.name(alice, " alice\r", PeerKind::Stream);
    let Some(Effect::Claim { claim, .. }) = house.out.next_effect() else { panic!() };
    assert_eq!((claim.name.as_str(), claim.address), ("alice", AWAY));
    assert_eq!(claim.purpose, ClaimPurpose::Register);
}

#[test]
fn a_name_in_use_is_refused_and_its_holder_not_disturbed() {
    let mut house = House::new();
    let first = house.stream("alice");
    let second = house.join("alice", PeerKind::Stream, HOME);
    let mail = house.mail();
    let text = mail.refusal(second);
    assert!(text.contains("\"alice\"") && text.contains("in use"), "{text}");
    assert!(mail.raw(first).is_empty());
    assert_eq!(house.hub.online(), 1);
    left(&mut house, second);
    assert_eq!(house.released(), [""; 0]);
    house.send(first, "alice", "still me");
    assert_eq!(house.mail().messages(first)[0].msg, "still me");
}

#[test]
fn of_simultaneous_claims_the_first_wins() {
    let mut house = House::with_directory();
    let (first, token) = house.claim("alice");
    for _ in 0..3 {
        let late = house.join("alice", PeerKind::Stream, HOME);
        house.mail().refusal(late);
    }
    assert_eq!(house.complete(token, granted()), Some(first));
    assert!(house.mail().said(first, "alice")[0].contains("Welcome"));
}

#[test]
fn a_name_that_only_looks_different_in_bytes_is_in_use() {
    let mut house = House::new();
    house.stream("jos\u{e9}");
    let second = house.join("  jose\u{301}\r", PeerKind::Stream, HOME);
    house.mail().refusal(second);
}

#[test]
fn names_differ_in_case() {
    let mut house = House::new();
    let lower = house.stream("alice");
    let upper = house.stream("Alice");
    house.send(lower, "Alice", "hi");
    let mail = house.mail();
    assert_eq!((mail.raw(upper).len(), mail.raw(lower).len()), (1, 0));
}

#[test]
fn a_refused_claim_is_explained_and_frees_the_name() {
    let mut house = House::with_directory();
    let (alice, token) = house.claim("alice");
    house.complete(token, refused());
    assert!(house.mail().refusal(alice).contains("alice is banned"));
    assert_eq!(house.hub.online(), 0);
    assert_eq!(house.released(), [""; 0], "what was not granted is not given back");
    house.stream("alice");
}

#[test]
fn a_completion_for_a_connection_that_is_gone_is_ignored() {
    for completion in [granted(), refused()] {
        let mut house = House::with_directory();
        let (gone, token) = house.claim("alice");
        left(&mut house, gone);
        let bob = house.stream("bob");
        assert_eq!(bob.slot(), gone.slot(), "in the same place");
        assert_eq!(house.complete(token, completion), None);
        assert!(house.mail().is_empty());
        assert_eq!(house.hub.online(), 1);
    }
}

#[test]
fn a_name_that_is_granted_to_nobody_any_more_is_given_back() {
    let mut house = House::with_directory();
    let (gone, token) = house.claim("alice");
    left(&mut house, gone);
    house.complete(token, granted());
    assert_eq!(house.released(), ["alice"]);
}

#[test]
fn a_token_is_good_for_one_completion() {
    let mut house = House::with_directory();
    let (_, token) = house.claim("alice");
    house.complete(token, granted());
    house.forget();
    assert_eq!(house.complete(token, refused()), None);
    assert!(house.mail().is_empty());
    assert_eq!(house.hub.online(), 1);
}

#[test]
fn a_second_name_is_ignored() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.name(alice, "bob", PeerKind::OneRead);
    assert!(house.mail().is_empty() && house.out.next_effect().is_none());
    assert!(house.hub.users().eq(["alice"]));
}

#[test]
fn while_a_claim_is_pending_no_input_is_taken() {
    let mut house = House::with_directory();
    let (alice, token) = house.claim("alice");
    assert!(house.hub.is_waiting(alice));
    assert!(!house.send_raw(alice, MESSAGE));
    assert!(!house.send_raw(alice, b"no JSON"));
    assert!(!house.hub.handle_end(alice, Departure::Left, house.now, &mut house.out));
    assert!(house.mail().is_empty());
    house.complete(token, granted());
    assert!(!house.hub.is_waiting(alice));
    assert!(house.send_raw(alice, MESSAGE));
    assert_eq!(house.mail().said(alice, "alice").len(), 2);
}

// names that cannot be

#[test]
fn a_name_that_cannot_be_is_refused_with_the_reason() {
    let long = "é".repeat(33);
    for (name, reason) in [
        ("SERVER", "reserved"),
        ("everyone", "reserved"),
        ("\u{ff27}uest", "reserved"),
        (" \t", "at least one character"),
        (&long, "at most 64 bytes"),
        ("a\u{202e}b", "U+202E"),
        ("a\u{0}b", "U+0000"),
        ("a,b", "','"),
        ("a}b", "'}'"),
        ("/list", "begin with '/'"),
        ("#tea", "begin with '#'"),
        ("@bob", "begin with '@'"),
    ] {
        let mut house = House::new();
        let conn = house.join(name, PeerKind::Stream, HOME);
        let text = house.mail().refusal(conn);
        assert!(text.contains(reason), "{name:?}: {text}");
        assert_eq!(house.hub.online(), 0);
        assert!(house.send_raw(conn, MESSAGE), "it is taken");
        assert!(house.mail().is_empty(), "and thrown away");
    }
}

#[test]
fn a_name_of_64_bytes_is_long_enough() {
    let mut house = House::new();
    house.stream(&"é".repeat(32));
}

#[test]
fn what_cannot_be_a_name_is_refused_in_ascii_and_reported_readably() {
    let mut house = House::new();
    let conn = house.connect(HOME);
    let bytes = [b"\xff\x1b[2J".as_slice(), &[b'x'; 5000]].concat();
    let error = NameError::TooLong { limit: 64 };
    house.hub.handle_bad_name(conn, &bytes, error, house.now, &mut house.out);
    let mail = house.mail();
    assert!(mail.refusal(conn).contains("at most 64 bytes"));
    assert!(mail.raw(conn)[0].is_ascii());
    let Some(Event::Refused { name, .. }) = house.events().pop() else { panic!() };
    assert!(name.len() <= 80 && !name.contains('\u{1b}'), "{name:?}");
}

// time, strangers, crowds

#[test]
fn who_sends_no_name_in_time_is_refused() {
    let mut house = House::new();
    let conn = house.connect(HOME);
    house.hub.handle_deadline(conn, house.now, &mut house.out);
    assert!(house.mail().refusal(conn).contains("within 10 s"));
}

#[test]
fn the_deadline_is_none_for_a_user_and_one_for_who_still_waits_for_a_decision() {
    let mut house = House::with_directory();
    let alice = house.stream("alice");
    let (bob, token) = house.claim("bob");
    for conn in [alice, bob] {
        house.hub.handle_deadline(conn, house.now, &mut house.out);
    }
    assert!(house.mail().refusal(bob).contains("could not be checked within 10 s"));
    assert_eq!(
        house.complete(token, granted()),
        None,
        "a decision that comes late gives the name back"
    );
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn a_stranger_is_told_so_in_its_own_protocol() {
    for stranger in [Stranger::Http, Stranger::Tls, Stranger::Ssh, Stranger::Proxy] {
        let mut house = House::new();
        let conn = house.connect(AWAY);
        house.events();
        house.hub.handle_stranger(conn, stranger, house.now, &mut house.out);
        let answer = (conn, Sent::Object(stranger.answer().to_vec()));
        assert_eq!(house.mail().0, [answer, (conn, Sent::Close)]);
        let protocol = stranger.protocol();
        assert_eq!(house.events(), [Event::Stranger { address: AWAY, protocol }]);
        assert_eq!((house.hub.online(), house.released()), (0, vec![]));
    }
}

#[test]
fn a_full_server_refuses_until_somebody_leaves() {
    let mut limits = Limits::default();
    limits.connections = 2;
    let mut house = House::of(Hub::builder().limits(limits));
    let alice = house.stream("alice");
    house.stream("bob");
    let third = house.connect(HOME);
    assert!(house.mail().refusal(third).contains("full"));
    house.name(third, "carol", PeerKind::Stream);
    assert!(house.out.next_effect().is_none());
    // the third is slow to go, and keeps nobody out
    left(&mut house, alice);
    house.released();
    house.stream("carol");
    assert_eq!(house.hub.connections(), 3);
    left(&mut house, third);
    let fourth = house.connect(HOME);
    assert!(house.mail().refusal(fourth).contains("full"));
}

#[test]
fn one_address_has_a_bounded_number_of_connections() {
    let mut limits = Limits::default();
    limits.per_address = 2;
    let mut house = House::of(Hub::builder().limits(limits));
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    let first = house.connect(AWAY);
    house.connect(mapped);
    let third = house.connect(AWAY);
    assert!(house.mail().refusal(third).contains("your address"));
    house.connect("192.0.2.8".parse().unwrap());
    left(&mut house, first);
    house.connect(AWAY);
    assert!(house.mail().is_empty(), "one who was refused does not count");
    let fourth = house.connect(AWAY);
    assert!(house.mail().refusal(fourth).contains("your address"));
    left(&mut house, third);
    let fifth = house.connect(AWAY);
    assert!(house.mail().refusal(fifth).contains("your address"), "it was counted once");
}

#[test]
fn a_network_of_ipv6_counts_as_one_address() {
    let mut limits = Limits::default();
    limits.per_address = 2;
    let mut house = House::of(Hub::builder().limits(limits));
    let mut connect = |address: &str| house.connect(address.parse().unwrap());
    connect("2001:db8:0:1::1");
    connect("2001:db8:0:1:ffff:ffff:ffff:ffff");
    let third = connect("2001:db8:0:1:8000::");
    connect("2001:db8:0:2::1");
    let mail = house.mail();
    assert!(mail.refusal(third).contains("your address"));
}

#[test]
fn hosts_of_one_link_are_not_one_address() {
    let mut limits = Limits::default();
    limits.per_address = 1;
    let mut house = House::of(Hub::builder().limits(limits));
    for host in 1..=20 {
        house.connect(format!("fe80::{host:x}").parse().unwrap());
    }
    assert!(house.mail().is_empty());
    let again = house.connect("fe80::1".parse().unwrap());
    assert!(house.mail().refusal(again).contains("your address"));
}

#[test]
fn loopback_has_as_many_connections_as_it_likes() {
    let mut limits = Limits::default();
    limits.per_address = 2;
    let mut house = House::of(Hub::builder().limits(limits));
    for home in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"].repeat(5) {
        house.connect(home.parse().unwrap());
    }
    assert!(house.mail().is_empty());
}

// ends

#[test]
fn a_name_is_free_again_after_disconnect() {
    let mut house = House::with_directory();
    let alice = house.stream("alice");
    left(&mut house, alice);
    assert_eq!((house.hub.online(), house.hub.connections()), (0, 0));
    assert_eq!(house.released(), ["alice"]);
    house.stream("alice");
}

#[test]
fn a_name_is_released_once() {
    let mut house = House::with_directory();
    let alice = house.stream("alice");
    assert!(house.hub.handle_end(alice, Departure::Left, house.now, &mut house.out));
    left(&mut house, alice);
    left(&mut house, alice);
    assert_eq!(house.released(), ["alice"]);
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn whose_input_ended_is_no_user_and_gets_nothing_new() {
    let mut house = House::new();
    let alice = house.stream("alice");
    let bob = house.stream("bob");
    assert!(house.hub.handle_end(alice, Departure::Left, house.now, &mut house.out));
    assert!(house.mail().closes(alice));
    assert!(house.ask(bob, "alice", "hi").contains("not found"));
    assert_eq!(house.ask(bob, "/shout", "hi"), "Delivered to 0 users.");
    assert!(house.send_raw(alice, MESSAGE));
    assert!(house.mail().is_empty());
}

#[test]
fn an_id_of_a_connection_that_is_gone_gets_and_does_nothing() {
    let mut house = House::with_directory();
    let gone = house.stream("gone");
    left(&mut house, gone);
    assert_eq!(house.released(), ["gone"]);
    let alice = house.stream("alice");
    assert_eq!(gone.slot(), alice.slot());
    assert_ne!(gone, alice);
    house.name(gone, "eve", PeerKind::Stream);
    assert!(house.send_raw(gone, MESSAGE) && house.send_raw(gone, b"no JSON"));
    house.hub.handle_late_line_feed(gone);
    house.hub.handle_deadline(gone, house.now, &mut house.out);
    house.hub.handle_stranger(gone, Stranger::Http, house.now, &mut house.out);
    house.hub.handle_disconnect(gone, Departure::Lost, house.now, &mut house.out);
    let mut notice = Vec::new();
    house.hub.write_missed(gone, 3, true, &mut notice);
    assert!(notice.is_empty() && !house.hub.is_waiting(gone));
    let mail = house.mail();
    assert!(mail.raw(alice).is_empty() && mail.raw(gone).is_empty(), "{mail:?}");
    assert!(house.out.next_effect().is_none() && house.events().is_empty());
    assert_eq!((house.hub.online(), house.hub.connections()), (1, 1));
    assert!(house.ask(alice, "/time", "").contains("14:03:07"));
}

#[test]
fn at_a_shutdown_everybody_is_told_and_closed() {
    let mut house = House::with_directory();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    let guest = house.connect(HOME);
    let closing = house.join("alice", PeerKind::Stream, HOME);
    house.forget();
    house.hub.handle_shutdown(house.now, &mut house.out);
    let mail = house.mail();
    for (conn, name) in [(alice, "alice"), (bob, "bob"), (guest, "Guest")] {
        assert!(mail.closes(conn));
        assert!(mail.said(conn, name)[0].contains("shutting down"));
    }
    assert!(mail.raw(closing).is_empty(), "its last words were said");
    let mut released = house.released();
    released.sort();
    assert_eq!((released, house.hub.online()), (vec!["alice".into(), "bob".into()], 0));
}

#[test]
fn at_a_shutdown_who_is_no_user_yet_is_called_guest() {
    let mut house = House::with_directory();
    let (conn, token) = house.claim("alice");
    house.hub.handle_shutdown(house.now, &mut house.out);
    let mail = house.mail();
    assert_eq!(mail.messages(conn)[0].to, "Guest");
    assert!(mail.closes(conn));
    assert_eq!(house.complete(token, granted()), None);
    assert_eq!(house.hub.online(), 0);
}

#[test]
fn who_read_too_slowly_is_told_how_much_it_missed() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    let notice = |conn, missed, closing| {
        let mut object = Vec::new();
        house.hub.write_missed(conn, missed, closing, &mut object);
        let text = String::from_utf8(object).unwrap();
        let message = chatproto::Message::decode(text.as_bytes()).unwrap();
        (text, message)
    };
    let (text, message) = notice(alice, 12, false);
    assert!(text.ends_with('\n') && message.is_from_server() && message.to == "alice");
    assert!(message.msg.starts_with('❌') && message.msg.contains("12 messages were dropped"));
    assert!(notice(alice, 1, true).1.msg.contains("1 message was not delivered"));
    assert!(notice(bob, 3, false).0.is_ascii());
}

// what a log sees

#[test]
fn a_life_leaves_its_events() {
    let mut house = House::new();
    let conn = house.join("alice", PeerKind::OneRead, AWAY);
    house.send_raw(conn, b"[]");
    left(&mut house, conn);
    let events = house.events();
    let Event::BadInput { name, error, .. } = &events[2] else { panic!("{events:?}") };
    let name = name.clone();
    assert_eq!((name.as_str(), error.offset()), ("alice", 0));
    let (address, kind) = (AWAY, PeerKind::OneRead);
    assert_eq!(events[0], Event::Connected { conn, address });
    assert_eq!(events[1], Event::Registered { conn, address, name: name.clone(), kind, online: 1 });
    let reason = Departure::Broken;
    assert_eq!(events[3..], [Event::Departed { conn, address, name, reason, online: 0 }]);
}

#[test]
fn a_refusal_leaves_its_reason() {
    let mut house = House::new();
    let conn = house.join("/list", PeerKind::Stream, AWAY);
    let events = house.events();
    let [_, Event::Refused { conn: of, address, name, reason }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((*of, *address, name.as_str()), (conn, AWAY, "/list"));
    assert!(reason.contains("'/'"));
}

// bounds that are odd, and the same twice

#[test]
fn a_bound_that_leaves_no_room_makes_long_objects_and_no_panic() {
    let mut limits = Limits::default();
    (limits.answer, limits.one_read) = (100, 100);
    let mut house = House::of(Hub::builder().limits(limits));
    for kind in [PeerKind::Stream, PeerKind::OneRead] {
        for name in ["x".repeat(63), "é".repeat(31)] {
            let conn = house.join(&format!("{name}{}", kind as u8), kind, HOME);
            assert_eq!(house.mail().raw(conn).len(), 1);
        }
    }
}

#[test]
fn two_hubs_that_hear_the_same_say_the_same() {
    let say = || {
        let mut house = House::of(Hub::builder().seed(7));
        let mut conns = Vec::new();
        for number in 0..200 {
            let kind = if number % 3 == 0 { PeerKind::OneRead } else { PeerKind::Stream };
            conns.push(house.join(&format!("user {number}"), kind, HOME));
        }
        for number in (0..200).step_by(7) {
            left(&mut house, conns[number]);
        }
        for (number, &conn) in conns.iter().enumerate() {
            house.send(conn, "/list", "");
            house.send(conn, &format!("user {}", number / 2), "hi");
            house.send(conn, "/shout", "hi, all");
        }
        house.hub.handle_shutdown(house.now, &mut house.out);
        (house.released(), house.mail(), house.events())
    };
    let (first, second) = (say(), say());
    assert!(first.1.0.len() > 10_000);
    assert!(first == second);
}

#[test]
fn who_cannot_be_encrypted_is_no_user_and_leaves_its_place() {
    let mut limits = Limits::default();
    limits.per_address = 1;
    let mut house = House::of(Hub::builder().limits(limits));
    let conn = house.connect(AWAY);
    house.forget();
    house.hub.handle_failed_handshake(conn, "no cipher in common".to_owned(), &mut house.out);
    let events = house.events();
    assert!(
        matches!(&events[..], [Event::HandshakeFailed { address: AWAY, reason, .. }]
            if reason == "no cipher in common"),
        "{events:?}"
    );
    house.connect(AWAY);
    assert!(house.mail().is_empty(), "there is room for another");
}

#[test]
fn a_name_in_clear_is_refused_where_only_tls_is_spoken() {
    let mut house = House::new();
    let conn = house.connect(HOME);
    house.hub.handle_insecure_name(conn, b"alice\n", house.now, &mut house.out);
    assert!(house.mail().refusal(conn).contains("Connect again with TLS"));
}

#[test]
fn whose_connection_is_encrypted_can_be_seen() {
    let mut house = House::new();
    let conn = house.connect(HOME);
    house.hub.handle_secured(conn);
    house.name(conn, "alice", PeerKind::Stream);
    house.forget();
    assert!(house.ask(conn, "/whoami", "").contains("TLS"));
    let bob = house.stream("bob");
    assert!(!house.ask(bob, "/whoami", "").contains("TLS"));
}

#[test]
fn who_only_waits_for_its_peers_end_takes_no_place() {
    let mut limits = Limits::default();
    limits.per_address = 1;
    let mut house = House::of(Hub::builder().limits(limits));
    let first = house.connect(AWAY);
    let second = house.connect(AWAY);
    assert!(house.mail().refusal(second).contains("your address"));
    house.hub.handle_drained(first);
    house.connect(AWAY);
    assert!(house.mail().is_empty());
}

#[test]
fn what_happened_can_be_read() {
    let slow = Departure::TooSlow { missed: 3 };
    assert_eq!(slow.to_string(), "too slow, missed 3 messages");
    assert_eq!(Act::Role(Role::Moderator).to_string(), "role moderator");
    assert_eq!(Act::Kick.to_string(), "kick");
    let mut house = House::with_directory();
    let conn = house.connect(HOME);
    house.name(conn, "alice", PeerKind::Stream);
    let effect = house.out.next_effect().expect("a claim");
    let shown = format!("{effect:?}");
    assert!(shown.starts_with("Claim") && shown.contains("alice"), "{shown}");
}
