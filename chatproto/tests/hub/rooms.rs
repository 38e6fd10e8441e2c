//! Rooms and who is in them: joining, leaving, what members get and what they are told; and the
//! endpoints for users beside them: `/nick`, `/away`, `/whoami`, `/roll`, `/ping` (B10, B11, B15).

use std::time::Duration;

use chatproto::directory::ClaimPurpose;
use chatproto::handshake::PeerKind;
use chatproto::hub::{Completion, ConnId, Departure, Effect, Event, Hub};
use chatproto::{Limits, Message, NameError, RoomName};

use crate::common::{HOME, House, listed};

/// Registers a user and makes it a member of `#tea`.
fn member(house: &mut House, name: &str) -> ConnId {
    let conn = house.stream(name);
    house.send(conn, "/join", "#tea");
    house.forget();
    conn
}

/// What the server told a room, as this connection got it.
fn told(house: &mut House, conn: ConnId, room: &str) -> Vec<String> {
    let messages = house.mail().messages(conn);
    let notices = messages.into_iter().filter(|message| message.to == room);
    notices.map(|message| message.msg).collect()
}

fn pass(house: &mut House, time: Duration) {
    house.now.monotonic += time;
    let now = house.now;
    house.hub.handle_timeout(now, &mut house.out);
}

#[test]
fn a_message_to_a_room_reaches_its_other_members_and_nobody_else() {
    let mut house = House::new();
    let (alice, bob, carol) =
        (member(&mut house, "alice"), member(&mut house, "bob"), house.stream("carol"));
    house.send(alice, "#tea", "kettle's \u{e9} on");
    let mail = house.mail();
    let expected = Message::new("alice", "127.0.0.1", "#tea", "kettle's \u{e9} on");
    assert_eq!(mail.messages(bob), [expected]);
    assert!(mail.raw(alice).is_empty() && mail.raw(carol).is_empty());
}

#[test]
fn a_one_read_member_gets_its_own_form_and_what_is_too_long_is_told() {
    let mut house = House::new();
    let (alice, bob) = (member(&mut house, "alice"), house.one_read("bob"));
    house.send(bob, "/join", "/join #tea");
    house.forget();
    house.send(alice, "#tea", "\u{e9}");
    assert!(house.mail().raw(bob)[0].contains("\\u00e9"));
    house.send(alice, "#tea", &"x".repeat(1000));
    let mail = house.mail();
    assert!(mail.raw(bob).is_empty());
    let said = mail.said(alice, "alice");
    assert!(said[0].starts_with("❌ Not delivered to 1 user"), "{said:?}");
}

#[test]
fn who_is_no_member_cannot_speak_in_a_room() {
    let mut house = House::new();
    let (alice, bob) = (member(&mut house, "alice"), house.stream("bob"));
    for to in ["#tea", "#nowhere", "#", "#{"] {
        house.send(bob, to, "hi");
        let mail = house.mail();
        assert!(mail.only_answer(bob).starts_with("❌ You are not in"), "{mail:?}");
        assert!(mail.raw(alice).is_empty());
    }
}

#[test]
fn joining_names_the_others_and_a_room_is_gone_with_its_last_member() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    assert_eq!(house.ask(alice, "/rooms", ""), "There are no rooms. Send /join #NAME to make one.");
    assert_eq!(house.ask(alice, "/join", "#tea"), "Joined #tea. You are its only member.");
    house.send(bob, "/join", "/join #tea");
    let mail = house.mail();
    assert_eq!(mail.said(bob, "bob"), ["Joined #tea. Other members (1): alice"]);
    assert_eq!(mail.messages(alice)[0].msg, "bob joined.");
    assert_eq!(house.ask(bob, "/join", "#tea"), "You are in #tea already.");
    assert_eq!(house.ask(bob, "/rooms", ""), "Rooms (1): #tea (2)");
    assert_eq!(house.ask(bob, "/who", "#tea"), "Members of #tea (2): alice, bob");
    house.send(alice, "/leave", "#tea");
    let mail = house.mail();
    assert_eq!(mail.said(alice, "alice"), ["Left #tea."]);
    assert_eq!(mail.messages(bob), [Message::new("SERVER", "0.0.0.0", "#tea", "alice left.")]);
    assert_eq!(house.ask(alice, "/leave", "#tea"), "❌ You are not in \"#tea\".");
    assert_eq!(house.ask(bob, "/leave", "#tea"), "Left #tea.");
    assert!(house.ask(bob, "/who", "#tea").starts_with("❌ There is no room \"#tea\""));
    assert!(house.ask(bob, "/rooms", "").starts_with("There are no rooms"));
}

#[test]
fn room_names_follow_the_rules_of_names() {
    assert_eq!(RoomName::new("#jose\u{301}").unwrap().as_str(), "#jos\u{e9}");
    for (bad, error) in [
        ("tea", NameError::NoRoom),
        ("", NameError::NoRoom),
        ("# tea", NameError::SpaceBehindHash),
        ("#\u{a0}tea", NameError::SpaceBehindHash),
        ("#", NameError::Empty),
        ("##tea", NameError::ForbiddenStart('#')),
        ("#a,b", NameError::ForbiddenCharacter(',')),
        ("#a\u{200b}b", NameError::ControlCharacter('\u{200b}')),
    ] {
        assert_eq!(RoomName::new(bad), Err(error), "{bad}");
    }
    assert!(RoomName::new(&format!("#{}", "x".repeat(64))).is_ok());
    assert_eq!(
        RoomName::new(&format!("#{}", "x".repeat(65))),
        Err(NameError::TooLong { limit: 64 })
    );
    let mut house = House::new();
    let alice = house.stream("alice");
    for bad in ["tea", "##tea", "#a,b", "#green tea", ""] {
        assert!(house.ask(alice, "/join", bad).starts_with("❌ Not joined: "), "{bad}");
    }
    assert!(house.ask(alice, "/join", "\"#green tea\"").starts_with("Joined #green tea."));
    assert!(house.ask(alice, "/join", "#Green").starts_with("Joined #Green. You are its only"));
    assert!(house.ask(alice, "/join", "#green").starts_with("Joined #green. You are its only"));
    assert!(house.ask(alice, "/join", "#jose\u{301}").starts_with("Joined #jos\u{e9}."));
    assert!(house.send(alice, "#jose\u{301}", "alone"));
    assert!(house.mail().is_empty());
}

#[test]
fn a_user_may_be_in_so_many_rooms() {
    let mut limits = Limits::default();
    limits.rooms = 2;
    let mut house = House::of(Hub::builder().limits(limits));
    let alice = house.stream("alice");
    house.send(alice, "/join", "#a");
    house.send(alice, "/join", "#b");
    house.forget();
    assert!(house.ask(alice, "/join", "#c").starts_with("❌ Not joined: you are in 2 rooms"));
    assert_eq!(house.ask(alice, "/join", "#b"), "You are in #b already.");
    house.send(alice, "/leave", "#a");
    house.forget();
    assert!(house.ask(alice, "/join", "#c").starts_with("Joined #c."));
}

#[test]
fn members_are_told_how_somebody_went() {
    let mut house = House::new();
    let (alice, bob, carol) =
        (member(&mut house, "alice"), member(&mut house, "bob"), member(&mut house, "carol"));
    house.hub.handle_disconnect(bob, Departure::Lost, house.now, &mut house.out);
    let mail = house.mail();
    for conn in [alice, carol] {
        assert_eq!(mail.messages(conn)[0].msg, "bob disconnected.");
    }
    assert!(house.hub.handle_end(carol, Departure::Left, house.now, &mut house.out));
    assert_eq!(told(&mut house, alice, "#tea"), ["carol disconnected."]);
    // a framing error ends it, and the room with it
    house.send_raw(alice, b"nonsense");
    let dave = house.stream("dave");
    assert!(house.ask(dave, "/rooms", "").starts_with("There are no rooms"));
}

#[test]
fn the_answer_to_a_join_is_one_object_however_long_the_names_are() {
    let mut house = House::new();
    for number in 0..20 {
        member(&mut house, &format!("{number:x>60}"));
    }
    let late = house.one_read("late");
    let joined = house.ask(late, "/join", "#tea");
    assert!(joined.starts_with("Joined #tea") && joined.ends_with(" more"), "{joined}");
}

#[test]
fn a_room_is_found_by_a_name_that_normalising_shortens() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    // the Kelvin sign: three bytes that compose to one
    let (long, short) = ("\u{212a}".repeat(64), "K".repeat(64));
    house.send(alice, "/join", &format!("#{short}"));
    house.send(bob, "/join", &format!("#{long}"));
    house.forget();
    assert!(house.send(bob, &format!("#{long}"), "hi"));
    assert_eq!(house.mail().messages(alice)[0].to, format!("#{short}"));
}

#[test]
fn more_than_ten_in_a_second_are_counted() {
    let mut house = House::new();
    let alice = member(&mut house, "alice");
    // the first second has seen alice come
    pass(&mut house, Duration::from_secs(2));
    let conns: Vec<ConnId> = (0..30).map(|number| house.stream(&format!("u{number}"))).collect();
    for conn in conns {
        house.send(conn, "/join", "#tea");
    }
    let at_once: Vec<String> = (0..10).map(|number| format!("u{number} joined.")).collect();
    assert_eq!(told(&mut house, alice, "#tea"), at_once);
    assert_eq!(house.hub.poll_timeout(), Some(house.now.monotonic + Duration::from_secs(1)));
    pass(&mut house, Duration::from_millis(999));
    assert!(house.mail().is_empty());
    pass(&mut house, Duration::from_millis(1));
    assert_eq!(told(&mut house, alice, "#tea"), ["20 joined: u10, u11, u12 and 17 more."]);
    assert_eq!(house.hub.poll_timeout(), None);
}

#[test]
fn a_crowd_that_comes_and_goes_costs_what_it_is() {
    let mut house = House::new();
    let mut conns = Vec::new();
    let (mut notices, count) = (0, 3_000);
    let mut counted = |house: &mut House| {
        let mail = house.mail();
        notices += mail.0.len();
        mail
    };
    for number in 0..count {
        let conn = house.join(&format!("u{number}"), PeerKind::Stream, HOME);
        house.mail();
        house.send(conn, "/join", "#tea");
        conns.push(conn);
        counted(&mut house);
        // three thousand a second
        pass(&mut house, Duration::from_micros(333));
    }
    pass(&mut house, Duration::from_secs(10));
    counted(&mut house);
    assert_eq!(house.hub.poll_timeout(), None);
    // each has its answer; the notices are a few per member
    let (answers, few) = (count, 4 * count);
    assert!(notices < answers + few, "{notices} objects for {count} members");
    house.send(conns[0], "#tea", "hi");
    assert_eq!(house.mail().0.len(), count - 1);
    for &conn in &conns[1..] {
        house.hub.handle_disconnect(conn, Departure::Lost, house.now, &mut house.out);
        pass(&mut house, Duration::from_micros(333));
    }
    pass(&mut house, Duration::from_secs(10));
    assert!(house.mail().0.len() < few);
    assert_eq!(house.ask(conns[0], "/who", "#tea"), "Members of #tea (1): u0");
}

#[test]
fn the_count_of_a_room_that_is_gone_is_not_told() {
    let mut house = House::new();
    let alice = member(&mut house, "alice");
    for number in 0..12 {
        let conn = member(&mut house, &format!("u{number}"));
        house.send(conn, "/leave", "#tea");
    }
    assert!(house.hub.poll_timeout().is_some());
    house.send(alice, "/leave", "#tea");
    assert_eq!(house.hub.poll_timeout(), None);
}

#[test]
fn names_too_long_for_a_one_read_member_are_left_out_of_a_count() {
    let mut house = House::new();
    let bob = house.one_read("bob");
    house.send(bob, "/join", "#tea");
    for number in 0..101 {
        let conn = house.stream(&format!("{number:03}{}", "\u{e9}".repeat(30)));
        house.send(conn, "/join", "#tea");
        house.send(conn, "/nick", &format!("{number:03}{}", "\u{e8}".repeat(30)));
        while let Some(Effect::Claim { token, .. }) = house.out.next_effect() {
            house.complete(token, Completion::Claimed(0));
        }
        if number < 100 {
            house.forget();
        }
    }
    house.forget();
    pass(&mut house, Duration::from_secs(2));
    assert_eq!(told(&mut house, bob, "#tea").len(), 1);
}

#[test]
fn everybody_is_told_of_everybody_if_the_server_is_to() {
    let mut house = House::of(Hub::builder().announce(true));
    let alice = house.stream("alice");
    let bob = house.join("bob", PeerKind::Stream, HOME);
    assert_eq!(told(&mut house, alice, "Everyone"), ["bob joined."]);
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    assert_eq!(told(&mut house, alice, "Everyone"), ["bob disconnected."]);
    let mut quiet = House::new();
    let alice = quiet.stream("alice");
    quiet.join("bob", PeerKind::Stream, HOME);
    assert!(told(&mut quiet, alice, "Everyone").is_empty());
}

// names

/// Asks for another name, and has it granted or not.
fn nick(house: &mut House, conn: ConnId, name: &str, completion: Completion) {
    house.send(conn, "/nick", name);
    assert!(house.hub.is_waiting(conn));
    let Some(Effect::Claim { token, claim }) = house.out.next_effect() else { panic!("no claim") };
    assert_eq!((claim.name.as_str(), claim.purpose), (name, ClaimPurpose::Rename));
    house.complete(token, completion);
}

#[test]
fn a_new_name_takes_the_place_of_the_old_one() {
    let mut house = House::with_directory();
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    nick(&mut house, alice, "alice smith", Completion::Claimed(0));
    let mail = house.mail();
    assert_eq!(mail.said(alice, "alice smith"), ["You are now alice smith."]);
    assert_eq!(mail.messages(bob)[0].msg, "alice is now alice smith.");
    assert_eq!(house.released(), ["alice"]);
    let renamed = |event: &Event| matches!(event, Event::Renamed { old, name, .. } if old.as_str() == "alice" && name.as_str() == "alice smith");
    assert!(house.events().iter().any(renamed));
    house.send(bob, "alice smith", "hi");
    assert_eq!(house.mail().raw(alice).len(), 1);
    house.send(alice, "#tea", "hi");
    assert_eq!(house.mail().messages(bob)[0].from.name, "alice smith");
    assert!(house.ask(bob, "alice", "hi").contains("not found"));
    house.stream("alice");
}

#[test]
fn the_old_name_is_kept_if_the_new_one_is_refused() {
    let mut house = House::with_directory();
    let (alice, _) = (house.stream("alice"), house.stream("bob"));
    for (name, why) in [
        ("bob", "already in use"),
        ("/list", "must not begin"),
        ("server", "reserved"),
        ("alice", "that is your name"),
    ] {
        let text = house.ask(alice, "/nick", name);
        assert!(text.starts_with("❌ Your name stays alice: ") && text.contains(why), "{text}");
    }
    nick(&mut house, alice, "carol", Completion::Refused("not today.".to_owned()));
    assert_eq!(house.mail().said(alice, "alice"), ["❌ Your name stays alice: not today."]);
    house.stream("carol");
    assert!(house.released().is_empty());
}

#[test]
fn a_name_that_is_being_decided_about_is_nobody_elses() {
    let mut house = House::with_directory();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    house.send(alice, "/nick", "carol");
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!("no claim") };
    assert!(house.ask(bob, "/nick", "carol").contains("already in use"));
    let dave = house.connect(HOME);
    house.name(dave, "carol", PeerKind::Stream);
    assert!(house.mail().refusal(dave).contains("already in use"));
    // the claimant goes: what is then granted is given back, as is the name it had
    house.hub.handle_disconnect(alice, Departure::Lost, house.now, &mut house.out);
    house.forget();
    assert_eq!(house.released(), ["alice"]);
    house.complete(token, Completion::Claimed(0));
    assert_eq!(house.released(), ["carol"]);
    house.stream("carol");
}

// the rest

#[test]
fn who_writes_to_somebody_away_is_told() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    assert_eq!(house.ask(alice, "/away", "/away at lunch"), "You are away: at lunch");
    house.send(bob, "alice", "hi");
    let mail = house.mail();
    assert_eq!(mail.messages(alice)[0].msg, "hi");
    assert_eq!(mail.said(bob, "bob"), ["alice is away: at lunch"]);
    house.send(bob, "/shout", "hi");
    assert_eq!(house.mail().said(bob, "bob"), ["Delivered to 1 user."]);
    assert_eq!(house.ask(alice, "/away", ""), "You are back.");
    assert_eq!(house.ask(alice, "/away", ""), "You are not away.");
    assert!(house.ask(alice, "/away", &"x".repeat(257)).starts_with('❌'));
    assert!(house.ask(alice, "/away", &"x".repeat(256)).starts_with("You are away: xxx"));
    assert_eq!(house.ask(alice, "/away", ""), "You are back.");
    house.send(bob, "alice", "hi");
    assert!(house.mail().raw(bob).is_empty());
}

#[test]
fn a_ping_fences_what_was_asked_before_it() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.send(alice, "/list", "");
    house.send(alice, "/ping", "/ping n-17");
    assert_eq!(house.mail().said(alice, "alice"), ["No other users are connected.", "n-17"]);
    assert_eq!(house.ask(alice, "/ping", ""), "pong");
    assert_eq!(house.ask(alice, "/ping", "a  \"b\" \u{e9}"), "a  \"b\" \u{e9}");
}

#[test]
fn whoami_says_what_the_server_knows() {
    let mut house = House::new();
    let alice = member(&mut house, "alice");
    house.send(alice, "/join", "#bits");
    house.send(alice, "/away", "out");
    house.forget();
    assert_eq!(
        house.ask(alice, "/whoami", "/whoami"),
        "You are alice from 127.0.0.1, a user. Away: out Rooms (2): #tea, #bits"
    );
}

#[test]
fn dice_are_within_their_bounds_and_the_same_for_the_same_seed() {
    let play = |seed| {
        let mut house = House::of(Hub::builder().seed(seed));
        let alice = house.stream("alice");
        (0..50).map(|_| house.ask(alice, "/roll", "2d20")).collect::<Vec<_>>()
    };
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
    for text in play(7) {
        let text = text.strip_prefix("alice rolled ").unwrap().strip_suffix(").").unwrap();
        let (total, dice) = text.split_once(" (2d20: ").unwrap();
        let dice: Vec<u32> = dice.split(" + ").map(|die| die.parse().unwrap()).collect();
        assert!(dice.len() == 2 && dice.iter().all(|die| (1..=20).contains(die)));
        assert_eq!(total.parse::<u32>().unwrap(), dice.iter().sum::<u32>());
    }
    let mut house = House::new();
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    for bad in ["0d6", "21d6", "d0", "x", "2d6 3", "1d1000001", "-1d6", "#nowhere"] {
        assert!(house.ask(alice, "/roll", bad).starts_with('❌'), "{bad}");
    }
    assert!(house.ask(alice, "/roll", "").ends_with("(1d6)."));
    house.send(alice, "/roll", "/roll #tea d4");
    let mail = house.mail();
    assert_eq!(mail.said(alice, "alice")[0], mail.messages(bob)[0].msg);
    assert_eq!(mail.messages(bob)[0].to, "#tea");
}

#[test]
fn a_long_list_of_members_is_split_and_counted() {
    let mut house = House::new();
    let alice = member(&mut house, "alice");
    for number in 0..300 {
        member(&mut house, &format!("user {number}"));
    }
    let bob = house.one_read("bob");
    house.send(bob, "/who", "#tea");
    let parts = house.mail().said(bob, "bob");
    let (names, more) = listed("Members of #tea (301): ", &parts);
    assert!(parts.len() > 1 && names.len() + more == 301);
    house.send(bob, "/join", "#tea");
    let [joined] = house.mail().said(bob, "bob").try_into().expect("one object");
    assert!(joined.ends_with(" and 281 more"), "{joined}");
    house.send(alice, "#tea", "hi");
    assert_eq!(house.mail().0.len(), 301);
}
