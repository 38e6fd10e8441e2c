//! What the server itself says: the welcome, the five endpoints, lists within their bounds, and
//! endpoints of the application's own (A7, A10, A13, B10, B11, B15).

use std::collections::BTreeSet;

use chatproto::endpoint::Request;
use chatproto::handshake::PeerKind;
use chatproto::hub::{Completion, ConnId, Departure, Effect, Hub, HubBuilder, Token};
use chatproto::{Limits, Message};

use crate::common::{HOME, House, Sent, listed};

const COMMANDS: &str = "Commands: /admin, /away, /ban, /bans, /close, /help, /join, /kick, /leave, \
    /list, /mute, /mutes, /nick, /notice, /ping, /role, /roll, /rooms, /shout, /standard, /state, /time, /unban, \
    /unmute, /who, /whoami";

/// Registers so many users, whose names `name` makes.
fn crowd(house: &mut House, count: usize, name: impl Fn(usize) -> String) {
    for number in 0..count {
        house.join(&name(number), PeerKind::Stream, HOME);
        house.out.clear();
    }
    house.forget();
}

fn user(number: usize) -> String {
    format!("user {number}")
}

/// A name of 64 bytes that takes as many as possible in ASCII.
fn wide(number: usize) -> String {
    format!("{number:04}{}", "é".repeat(30))
}

/// A name of 64 bytes of which most are escaped.
fn quoted(number: usize) -> String {
    format!("{number:04}{}", "\"".repeat(60))
}

/// The text of the one welcome that a new user gets, of whatever kind.
fn welcome(house: &mut House, name: &str, kind: PeerKind) -> String {
    let conn = house.join(name, kind, HOME);
    let mail = house.mail();
    let [text] = mail.said(conn, name).try_into().expect("exactly one object");
    let limit = if kind == PeerKind::OneRead { 1024 } else { 16 * 1024 };
    assert!(mail.raw(conn)[0].len() < limit);
    assert_eq!(mail.0.len(), 1);
    text
}

/// The names in a welcome, and how many are not named.
fn named(text: &str) -> (Vec<String>, usize) {
    let (_, list) = text.split_once("): ").expect("a list");
    let (names, more) = list.rsplit_once(" and ").unwrap_or((list, "0 more"));
    let more = more.strip_suffix(" more").unwrap().parse().expect("a number");
    (names.split(", ").map(str::to_owned).collect(), more)
}

// the welcome

#[test]
fn who_is_alone_is_welcomed_and_told_so() {
    for kind in [PeerKind::Stream, PeerKind::OneRead] {
        let text = welcome(&mut House::new(), "alice", kind);
        assert!(text.contains("Welcome") && text.contains("alice") && text.contains("/help"));
        assert!(text.contains("Nobody else is online"));
    }
}

#[test]
fn a_welcome_has_the_form_that_its_reader_understands() {
    let mut house = House::new();
    let alice = house.join("aliçe", PeerKind::Stream, HOME);
    let bob = house.join("böb", PeerKind::OneRead, HOME);
    let mail = house.mail();
    let (stream, one_read) = (&mail.raw(alice)[0], &mail.raw(bob)[0]);
    assert_eq!(*stream, Message::decode(stream.as_bytes()).unwrap().to_json());
    assert_eq!(*one_read, Message::decode(one_read.as_bytes()).unwrap().to_python_json());
}

#[test]
fn a_welcome_names_the_others() {
    let mut house = House::new();
    crowd(&mut house, 3, user);
    for (name, others) in [("alice", 3), ("bob", 4)] {
        let text = welcome(&mut house, name, PeerKind::Stream);
        assert!(text.contains(&format!("({others})")), "{text}");
        let (names, more) = named(&text);
        assert_eq!((names.len(), more), (others, 0));
        assert!((0..3).all(|number| names.contains(&user(number))), "{text}");
    }
}

#[test]
fn a_welcome_in_a_crowd_names_20_and_counts_the_rest() {
    for kind in [PeerKind::Stream, PeerKind::OneRead] {
        let mut house = House::new();
        crowd(&mut house, 30, user);
        let text = welcome(&mut house, "alice", kind);
        assert!(text.contains("(30)"), "{text}");
        let (names, more) = named(&text);
        assert_eq!((BTreeSet::from_iter(names).len(), more), (20, 10));
    }
}

#[test]
fn a_welcome_among_exactly_20_counts_nobody() {
    let mut house = House::new();
    crowd(&mut house, 20, user);
    let text = welcome(&mut house, "alice", PeerKind::Stream);
    let (names, more) = named(&text);
    assert_eq!((names.len(), more), (20, 0));
    assert!(!text.contains("more"), "{text}");
}

#[test]
fn a_welcome_that_may_name_everybody_is_one_object_all_the_same() {
    let mut limits = Limits::default();
    limits.welcome_names = 1_000;
    let mut house = House::of(Hub::builder().limits(limits));
    crowd(&mut house, 900, |number| format!("{number}"));
    let (names, more) = named(&welcome(&mut house, "alice", PeerKind::OneRead));
    assert!(names.len() > 100, "{names:?}");
    assert_eq!(names.len() + more, 900);

    // what separates the names counts as well: these are shorter than that
    let mut limits = Limits::default();
    (limits.answer, limits.welcome_names) = (256, 1_000);
    let mut house = House::of(Hub::builder().limits(limits));
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    crowd(&mut house, letters.len(), |number| letters[number].to_string());
    let alice = house.join("alice", PeerKind::Stream, HOME);
    let mail = house.mail();
    assert!(mail.raw(alice)[0].len() < 256, "{mail:?}");
    let (names, more) = named(&mail.said(alice, "alice")[0]);
    assert_eq!(names.len() + more, 52);
}

#[test]
fn an_answer_takes_no_more_than_a_quarter_of_a_queue() {
    let mut limits = Limits::default();
    (limits.answer, limits.answer_parts, limits.queue_bytes) = (1_024, 16, 8_192);
    let mut house = House::of(Hub::builder().limits(limits));
    crowd(&mut house, 900, user);
    let alice = house.stream("alice");
    house.send(alice, "/list", "");
    assert_eq!(house.mail().raw(alice).len(), 2);
}

#[test]
fn a_welcome_to_a_one_read_peer_is_one_object_however_long_the_names() {
    for name in [wide, quoted] {
        let mut house = House::new();
        crowd(&mut house, 30, name);
        let text = welcome(&mut house, &name(9999), PeerKind::OneRead);
        let (names, more) = named(&text);
        assert!(!names.is_empty() && names.len() < 20, "{text}");
        assert!(names.iter().all(|name| name.len() == 64), "no name is cut");
        assert_eq!(names.len() + more, 30);
    }
}

// the five endpoints

#[test]
fn time_is_the_server_s_local_time() {
    let mut house = House::new();
    let alice = house.stream("alice");
    for msg in ["", "/time", "x"] {
        assert_eq!(house.ask(alice, "/time", msg), "Server time: 14:03:07 (2026-11-20)");
    }
}

#[test]
fn standard_is_the_shape_of_a_message() {
    let mut house = House::new();
    let alice = house.one_read("alice");
    let shape: serde_json::Value =
        serde_json::from_str(&house.ask(alice, "/standard", "")).expect("JSON");
    let string = "string";
    let from = serde_json::json!({"name": string, "ip": string});
    assert_eq!(shape, serde_json::json!({"from": from, "to": string, "msg": string}));
}

#[test]
fn help_lists_the_commands_whatever_msg_says() {
    let mut house = House::new();
    let alice = house.stream("alice");
    for msg in ["", "x", "/help", " /help ", "/", "/nothing", "/list /time", "/LIST"] {
        assert_eq!(house.ask(alice, "/help", msg), COMMANDS, "{msg:?}");
    }
}

#[test]
fn help_explains_the_command_that_msg_names() {
    let mut house = House::new();
    let alice = house.stream("alice");
    for (msg, usage) in [
        ("/list", "/list"),
        ("/help /time", "/time"),
        ("time", "/time"),
        ("/help shout", "/shout TEXT"),
        ("/help /help", "/help [COMMAND]"),
    ] {
        let text = house.ask(alice, "/help", msg);
        assert!(text.starts_with(&format!("{usage}: ")), "{msg}: {text}");
    }
}

#[test]
fn an_endpoint_that_is_not_offered_points_to_help() {
    let mut house = House::new();
    let alice = house.stream("alice");
    for to in ["/foo", "/history", "/login", "/", "/List", "/list x", "//list", "/list\0"] {
        let text = house.ask(alice, to, "x");
        assert!(text.starts_with('❌') && text.contains("/help"), "{to:?}: {text}");
    }
}

#[test]
fn an_endpoint_is_found_however_it_is_escaped() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.send_raw(alice, br#"{"from":{"name":"","ip":""},"to":"\/tim\u0065","msg":""}"#);
    assert!(house.mail().said(alice, "alice")[0].contains("14:03:07"));
}

#[test]
fn answers_come_in_the_order_of_the_commands() {
    let mut house = House::new();
    let alice = house.one_read("alice");
    for to in ["/time", "nobody", "/help", "/shout", "/list"] {
        house.send(alice, to, "");
    }
    let said = house.mail().said(alice, "alice");
    let begin = ["Server time", "❌", "Commands", "Delivered", "No other"];
    assert_eq!(said.len(), begin.len());
    assert!(said.iter().zip(begin).all(|(text, begin)| text.starts_with(begin)), "{said:?}");
}

#[test]
fn every_object_of_an_answer_is_within_the_limit_however_long_the_texts_in_it() {
    let mut house = House::new();
    let alice = house.one_read("alice");
    for room in 0..4 {
        house.send(alice, "/join", &format!("#{room}{}", "ü".repeat(20)));
    }
    for text in ["\u{1b}".repeat(256), "ü".repeat(128), "\" ".repeat(128)] {
        house.send(alice, "/away", &text);
        house.forget();
        for to in ["/whoami", "/who", "/list", "/rooms"] {
            house.send(alice, to, if to == "/who" { "alice" } else { "" });
        }
        let mail = house.mail();
        let longest = mail.raw(alice).iter().map(String::len).max();
        assert!(longest.is_some_and(|longest| longest <= 1024), "{longest:?}");
        assert!(mail.said(alice, "alice").iter().any(|text| text.contains("#3üü")));
    }
}

// lists

/// Asks for the list, checks the bounds of B11 and that everybody is named or counted.
fn list(house: &mut House, conn: ConnId, name: &str, limit: usize) -> (Vec<String>, usize) {
    house.send(conn, "/list", "");
    let mail = house.mail();
    let (raw, said) = (mail.raw(conn), mail.said(conn, name));
    assert_eq!(mail.0.len(), said.len(), "to nobody else");
    assert!(said.len() <= 16, "{} objects", said.len());
    assert!(raw.iter().all(|object| object.len() < limit), "the line feed counts");
    let others = house.hub.online() - 1;
    let (names, more) = listed(&format!("Connected users ({others}): "), &said);
    assert_eq!(names.len() + more, others);
    let users: BTreeSet<&str> = house.hub.users().filter(|user| *user != name).collect();
    assert!(names.iter().all(|name| users.contains(name.as_str())), "no name is cut");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "nor named twice");
    if said.len() > 1 {
        let fullest = raw.iter().map(String::len).max().unwrap();
        assert!(fullest > limit - 300, "parts are as full as they may be");
        let full = &raw[..raw.len() - 1];
        assert!(full.iter().all(|object| object.len() > limit - 300), "but for the last");
    }
    (names, more)
}

#[test]
fn who_is_alone_has_nobody_in_the_list() {
    for kind in [PeerKind::Stream, PeerKind::OneRead] {
        let mut house = House::with_directory();
        let alice = house.join("alice", kind, HOME);
        house.claim("claimant");
        house.forget();
        assert_eq!(house.ask(alice, "/list", "/list"), "No other users are connected.");
    }
}

#[test]
fn a_list_names_the_others() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.stream("bob smith");
    assert_eq!(house.ask(alice, "/list", "x"), "Connected users (1): bob smith");
    let carol = house.stream("carol");
    assert_eq!(
        list(&mut house, alice, "alice", 16 * 1024),
        (vec!["bob smith".into(), "carol".into()], 0)
    );
    house.hub.handle_disconnect(carol, Departure::Left, house.now, &mut house.out);
    assert_eq!(house.ask(alice, "/list", ""), "Connected users (1): bob smith");
}

#[test]
fn a_list_of_1000_users_is_whole_for_a_stream_peer() {
    let mut house = House::new();
    crowd(&mut house, 1000, user);
    let alice = house.stream("alice");
    let (names, more) = list(&mut house, alice, "alice", 16 * 1024);
    assert_eq!((names.len(), more), (1000, 0));
}

#[test]
fn a_list_of_1000_users_fits_16_reads_of_a_one_read_peer_and_counts_the_rest() {
    for (name, at_least) in [(user as fn(usize) -> String, 900), (wide, 30), (quoted, 70)] {
        let mut house = House::new();
        crowd(&mut house, 1000, name);
        for asker in ["alice".to_owned(), wide(9999), quoted(9999)] {
            let conn = house.one_read(&asker);
            let (names, _) = list(&mut house, conn, &asker, 1024);
            assert!(names.len() >= at_least, "{} names", names.len());
        }
    }
}

#[test]
fn a_list_of_20_000_users_is_16_objects() {
    let mut house = House::new();
    crowd(&mut house, 20_000, |number| format!("somebody called {number}"));
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    for (conn, name, limit, at_least) in
        [(alice, "alice", 16 * 1024, 10_000), (bob, "bob", 1024, 500)]
    {
        let (names, more) = list(&mut house, conn, name, limit);
        assert!(names.len() >= at_least && more > 0, "{} names", names.len());
    }
}

#[test]
fn an_answer_is_within_the_limit_whatever_its_length() {
    let mut limits = Limits::default();
    limits.answer = 1000;
    let mut house = House::of(Hub::builder().limits(limits));
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    for (conn, limit) in [(alice, 1000), (bob, 1024)] {
        let mut most = 0;
        for length in 850..1_000 {
            house.send(conn, "/ping", &"x".repeat(length));
            let parts = house.mail().raw(conn);
            // the line feed counts
            assert!(parts.iter().all(|part| part.len() < limit), "{length}: {parts:?}");
            most = if parts.len() == 1 { parts[0].len() } else { most };
        }
        assert_eq!(most, limit - 1, "what fits is not split");
    }
}

#[test]
fn a_list_that_just_fits_is_neither_split_nor_counted() {
    // every length up to and beyond one object for a one-read peer
    for count in 60..130 {
        let mut house = House::new();
        crowd(&mut house, count, user);
        let bob = house.one_read("bob");
        let (names, more) = list(&mut house, bob, "bob", 1024);
        assert_eq!((names.len(), more), (count, 0));
    }
}

#[test]
fn the_number_of_objects_is_a_limit() {
    let mut limits = Limits::default();
    limits.answer_parts = 1;
    let mut house = House::of(Hub::builder().limits(limits));
    crowd(&mut house, 200, user);
    let bob = house.one_read("bob");
    house.send(bob, "/list", "");
    let said = house.mail().said(bob, "bob");
    let (names, more) = listed("Connected users (200): ", &said);
    assert_eq!((said.len(), names.len() + more), (1, 200));
}

// endpoints of the application's own

fn with_dice() -> HubBuilder {
    let dice = |request: &Request| Ok(format!("{} rolls {}", request.user, request.msg));
    Hub::builder().endpoint("/dice", "Rolls dice.", dice).unwrap()
}

/// Sends a command, and takes the call that it becomes.
fn call(house: &mut House, conn: ConnId, msg: &str) -> (Token, Request, Result<String, String>) {
    assert!(house.send(conn, "/dice", msg));
    assert!(house.mail().is_empty() && house.hub.is_waiting(conn));
    match house.out.next_effect() {
        Some(Effect::Call { token, handler, request }) => {
            let answer = handler.handle(&request);
            (token, request, answer)
        }
        other => panic!("no call: {other:?}"),
    }
}

#[test]
fn an_endpoint_of_the_application_is_called_and_answers() {
    let mut house = House::of(with_dice());
    let alice = house.stream("alice");
    let (token, request, answer) = call(&mut house, alice, "2d6");
    assert_eq!(
        (request.user.as_str(), &*request.endpoint, &*request.msg),
        ("alice", "/dice", "2d6")
    );
    assert_eq!(house.complete(token, Completion::Answered(answer)), Some(alice));
    assert_eq!(house.mail().said(alice, "alice"), ["alice rolls 2d6"]);
    assert!(!house.hub.is_waiting(alice));
}

#[test]
fn the_endpoint_s_own_name_is_dropped_from_what_it_gets() {
    for (msg, expected) in [
        ("/dice 2d6", "2d6"),
        (" /dice ", ""),
        ("/dice", ""),
        ("/dicey", "/dicey"),
        ("2d6 /dice", "2d6 /dice"),
        ("/dice /dice", "/dice"),
    ] {
        let mut house = House::of(with_dice());
        let alice = house.stream("alice");
        assert_eq!(call(&mut house, alice, msg).1.msg, expected, "{msg:?}");
    }
}

#[test]
fn an_endpoint_of_the_application_is_in_the_help() {
    let mut house = House::of(with_dice());
    let alice = house.stream("alice");
    assert_eq!(house.ask(alice, "/help", ""), COMMANDS.replace("/help", "/dice, /help"));
    assert_eq!(house.ask(alice, "/help", "dice"), "/dice: Rolls dice.");
}

#[test]
fn a_refusal_and_a_failure_are_told_with_a_cross() {
    let mut house = House::of(with_dice());
    let alice = house.one_read("alice");
    for (completion, expected) in [
        (Completion::Answered(Err("no such die".to_owned())), "no such die"),
        (Completion::Failed, "failed"),
    ] {
        let (token, ..) = call(&mut house, alice, "");
        house.complete(token, completion);
        let text = house.mail().only_answer(alice);
        assert!(text.starts_with('❌') && text.contains(expected), "{text}");
    }
    assert!(house.ask(alice, "/time", "").contains("14:03:07"));
}

#[test]
fn what_is_sent_while_an_endpoint_works_is_held_so_that_answers_keep_their_order() {
    let mut house = House::of(with_dice());
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    let (token, _, answer) = call(&mut house, alice, "2d6");
    assert!(!house.send(alice, "/time", ""));
    assert!(!house.send(alice, "/dice", ""));
    assert!(!house.send_raw(alice, b"no JSON"));
    assert!(house.mail().is_empty() && house.out.next_effect().is_none());
    house.send(bob, "alice", "I do not wait");
    assert_eq!(house.mail().messages(alice)[0].from.name, "bob");
    house.complete(token, Completion::Answered(answer));
    assert!(house.send(alice, "/time", ""));
    let said = house.mail().said(alice, "alice");
    assert!(said[0].contains("rolls") && said[1].contains("14:03:07"), "{said:?}");
}

#[test]
fn an_answer_for_who_is_gone_reaches_nobody() {
    let mut house = House::of(with_dice().directory());
    let alice = house.stream("alice");
    let (token, _, answer) = call(&mut house, alice, "");
    house.hub.handle_disconnect(alice, Departure::Lost, house.now, &mut house.out);
    assert_eq!(house.released(), ["alice"]);
    let next = house.stream("alice");
    assert_eq!(house.complete(token, Completion::Answered(answer)), None);
    assert!(house.mail().is_empty() && !house.hub.is_waiting(next));
}

#[test]
fn a_long_answer_is_cut_between_words_and_none_is_lost() {
    let words: Vec<String> = (0..1500).map(|number| format!("wörd{number}")).collect();
    for (kind, limit) in [(PeerKind::Stream, 16 * 1024), (PeerKind::OneRead, 1024)] {
        let mut house = House::of(with_dice());
        let alice = house.join("alice", kind, HOME);
        house.forget();
        let count = if kind == PeerKind::Stream { 1500 } else { 400 };
        let (token, ..) = call(&mut house, alice, "");
        house.complete(token, Completion::Answered(Ok(words[..count].join(" ").repeat(2))));
        let mail = house.mail();
        let (said, raw) = (mail.said(alice, "alice"), mail.raw(alice));
        assert!((2..=16).contains(&said.len()), "{} objects", said.len());
        assert!(raw.iter().all(|object| object.len() < limit));
        let end = |k| format!(" ({k}/{})", said.len());
        let parts =
            said.iter().zip(1..).map(|(text, k)| text.strip_suffix(&end(k)).expect("k of n"));
        let text = parts.collect::<Vec<_>>().join(" ");
        assert_eq!(text, words[..count].join(" ").repeat(2), "{kind:?}");
    }
}

#[test]
fn an_endless_answer_is_bounded() {
    for answer in ["x".repeat(1 << 20), "\u{1}".repeat(1 << 20), "a ".repeat(1 << 19)] {
        for (kind, limit) in [(PeerKind::Stream, 16 * 1024), (PeerKind::OneRead, 1024)] {
            let mut house = House::of(with_dice());
            let alice = house.join("alice", kind, HOME);
            house.forget();
            let (token, ..) = call(&mut house, alice, "");
            house.complete(token, Completion::Answered(Ok(answer.clone())));
            let mail = house.mail();
            assert_eq!(mail.0.len(), 16);
            let fits = |sent: &Sent| matches!(sent, Sent::Object(bytes) if bytes.len() <= limit);
            assert!(mail.0.iter().all(|(_, sent)| fits(sent)));
        }
    }
}

#[test]
fn a_low_bound_holds_for_characters_that_are_escaped() {
    let mut limits = Limits::default();
    limits.one_read = 384;
    let mut house = House::of(with_dice().limits(limits));
    let alice = house.join("alice", PeerKind::OneRead, HOME);
    house.forget();
    let (token, ..) = call(&mut house, alice, "");
    house.complete(token, Completion::Answered(Ok("\u{1}".repeat(200))));
    let mail = house.mail();
    assert!(mail.raw(alice).iter().all(|object| object.len() <= 384));
    assert_eq!(mail.said(alice, "alice").concat().matches('\u{1}').count(), 200);
}

#[test]
fn an_endpoint_has_a_name_of_its_own() {
    for name in ["dice", "/", "/time", "/two words", "/dïce", &format!("/{}", "x".repeat(33))] {
        let handler = |_: &Request| Ok(String::new());
        assert!(Hub::builder().endpoint(name, "", handler).is_err(), "{name}");
    }
}
