//! Order in the house: roles, kicks, bans, mutes, closed rooms, notices, what is written down of
//! them, and the end of those who make too many errors (B8, B10).

use std::time::Duration;

use chatproto::Limits;
use chatproto::handshake::PeerKind;
use chatproto::hub::{Act, Completion, ConnId, Departure, Effect, Event, Hub, Role};

use crate::common::{AWAY, HOME, House};

const TOKEN: &str = "a token of some length";

fn guarded() -> House {
    House::of(Hub::builder().admin_token(&format!(" {TOKEN}\n")))
}

fn admin(house: &mut House) -> ConnId {
    let conn = house.stream("admin");
    assert_eq!(house.ask(conn, "/admin", TOKEN), "You are an admin now.");
    house.forget();
    conn
}

/// A moderator whom the admin made.
fn moderator(house: &mut House, admin: ConnId) -> ConnId {
    let conn = house.stream("mod");
    house.send(admin, "/role", "mod moderator");
    house.forget();
    conn
}

/// The acts since the last time: what, to whom, for how many seconds, why.
fn acts(house: &mut House) -> Vec<(Act, String, Option<u64>, String)> {
    let acts = house.events().into_iter().filter_map(|event| match event {
        Event::Moderated { act, target, duration, reason, .. } => {
            Some((act, target, duration.map(|duration| duration.as_secs()), reason))
        }
        _ => None,
    });
    acts.collect()
}

fn act(
    what: Act,
    target: &str,
    seconds: Option<u64>,
    reason: &str,
) -> (Act, String, Option<u64>, String) {
    (what, target.to_owned(), seconds, reason.to_owned())
}

/// Tries to register; the refusal, if it is one.
fn refusal(house: &mut House, name: &str) -> Option<String> {
    let conn = house.connect(HOME);
    house.name(conn, name, PeerKind::Stream);
    while let Some(Effect::Claim { token, .. }) = house.out.next_effect() {
        house.complete(token, Completion::Claimed(0));
    }
    let mail = house.mail();
    mail.closes(conn).then(|| mail.refusal(conn))
}

#[test]
fn only_the_token_makes_an_admin() {
    let mut house = guarded();
    let alice = house.stream("alice");
    for wrong in ["x", "a token of some lengt", "A token of some length", "a token of some length!"]
    {
        assert_eq!(house.ask(alice, "/admin", wrong), "❌ That is not the token.");
        let denied = |event: &Event| matches!(event, Event::Denied { endpoint, .. } if &**endpoint == "/admin");
        assert!(house.events().iter().any(denied));
    }
    assert_eq!(house.ask(alice, "/admin", ""), "❌ Send /admin TOKEN.");
    assert!(house.ask(alice, "/whoami", "").contains("a user"));
    assert_eq!(house.ask(alice, "/admin", &format!("/admin {TOKEN}")), "You are an admin now.");
    assert!(house.ask(alice, "/whoami", "").contains("an admin"));
    let written = house.events();
    assert!(
        matches!(&written[..], [Event::Moderated { act: Act::Admin, actor, .. }] if actor.name() == "alice")
    );
    assert!(!format!("{written:?}{:?}", house.hub).contains("some length"));

    let mut house = House::new();
    let alice = house.stream("alice");
    for token in ["", "x"] {
        assert!(house.ask(alice, "/admin", token).starts_with('❌'));
    }
}

#[test]
fn who_tries_many_tokens_is_closed() {
    let mut house = guarded();
    let alice = house.stream("alice");
    for number in 0..19 {
        let answer = match number {
            0..5 => "❌ That is not the token.",
            _ => "❌ Too many wrong tokens. Try again in 12 s.",
        };
        assert_eq!(house.ask(alice, "/admin", "guess"), answer);
    }
    house.send(alice, "/admin", "guess");
    assert!(house.mail().closes(alice));
    let denied = house.events().into_iter().filter(|event| matches!(event, Event::Denied { .. }));
    assert_eq!(denied.count(), 20);
}

#[test]
fn wrong_tokens_of_an_address_have_to_wait_and_other_addresses_do_not() {
    const WRONG: &str = "❌ That is not the token.";
    const RIGHT: &str = "You are an admin now.";
    for from in [HOME, AWAY] {
        let mut house = guarded();
        // each attempt is of another connection
        let attempt = |house: &mut House, from, token: &str| {
            let conn = house.join("mallory", PeerKind::Stream, from);
            house.forget();
            let said = house.ask(conn, "/admin", token);
            house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
            house.forget();
            said
        };
        for _ in 0..5 {
            assert_eq!(attempt(&mut house, from, "guess"), WRONG);
        }
        for seconds in [12, 24, 48] {
            let throttled = format!("❌ Too many wrong tokens. Try again in {seconds} s.");
            assert_eq!(attempt(&mut house, from, "guess"), throttled);
            assert_eq!(attempt(&mut house, from, TOKEN), throttled, "nothing is compared");
            house.now.monotonic += Duration::from_secs(seconds);
            assert_eq!(attempt(&mut house, from, "guess"), WRONG);
        }
        let elsewhere = [198, 51, 100, 7].into();
        assert_eq!(attempt(&mut house, elsewhere, TOKEN), RIGHT);
        assert!(attempt(&mut house, from, TOKEN).starts_with("❌ Too many wrong tokens."));
        house.now.monotonic += Duration::from_secs(96);
        assert_eq!(attempt(&mut house, from, TOKEN), RIGHT);
        for _ in 0..5 {
            assert_eq!(attempt(&mut house, from, "guess"), WRONG, "the right one has reset it");
        }
    }
}

#[test]
fn each_command_is_for_its_role() {
    let mut house = guarded();
    let admin = admin(&mut house);
    let (moderator, alice) = (moderator(&mut house, admin), house.stream("alice"));
    house.forget();
    for command in
        ["/kick", "/ban", "/unban", "/bans", "/mute", "/mutes", "/unmute", "/close", "/notice"]
    {
        house.now.monotonic += Duration::from_secs(60);
        let text = house.ask(alice, command, "mod");
        assert_eq!(text, format!("❌ {command} is for moderators."));
        let events = house.events();
        assert!(matches!(&events[..], [Event::Denied { name, endpoint, .. }]
            if name.as_str() == "alice" && &**endpoint == command));
        assert!(house.send(moderator, command, "nobody-that-is-here"));
        house.events();
        let text = house.mail().said(moderator, "mod").remove(0);
        assert!(!text.contains("is for"), "{text}");
    }
    for user in [alice, moderator] {
        assert_eq!(house.ask(user, "/role", "alice admin"), "❌ /role is for admins.");
    }
    assert!(house.ask(alice, "/help", "").contains("/kick"));
    assert!(house.ask(alice, "/help", "/kick").contains("For moderators"));
}

#[test]
fn a_role_is_given_and_taken() {
    let mut house = guarded();
    let (admin, alice) = (admin(&mut house), house.stream("alice smith"));
    house.send(admin, "/role", "\"alice smith\" moderator");
    let mail = house.mail();
    assert_eq!(mail.said(admin, "admin"), ["alice smith is a moderator now."]);
    assert!(mail.said(alice, "alice smith")[0].contains("a moderator now"));
    assert_eq!(acts(&mut house), [act(Act::Role(Role::Moderator), "alice smith", None, "")]);
    assert_eq!(house.ask(alice, "/bans", ""), "Nobody is banned.");
    house.send(admin, "/role", "\"alice smith\" user");
    house.forget();
    assert_eq!(house.ask(alice, "/bans", ""), "❌ /bans is for moderators.");
    for bad in ["", "admin", "admin king", "admin user now"] {
        assert!(house.ask(admin, "/role", bad).starts_with("❌ Send /role"), "{bad}");
    }
    assert!(house.ask(admin, "/role", "nobody user").contains("not found"));
}

#[test]
fn who_is_kicked_is_told_why_and_then_closed() {
    let mut house = guarded();
    let admin = admin(&mut house);
    let (bob, carol) = (house.stream("bob"), house.stream("carol"));
    for conn in [bob, carol] {
        house.send(conn, "/join", "#tea");
    }
    house.forget();
    house.send(admin, "/kick", "/kick bob too  loud \"here\"");
    let mail = house.mail();
    assert!(mail.closes(bob));
    assert_eq!(mail.said(bob, "bob"), ["⛔ You were kicked by admin: too  loud \"here\"."]);
    assert_eq!(mail.said(admin, "admin"), ["Kicked bob."]);
    assert_eq!(mail.messages(carol)[0].msg, "bob was kicked.");
    let events = house.events();
    assert!(matches!(&events[..], [
        Event::Moderated { actor, act: Act::Kick, target, reason, .. },
        Event::Departed { name, reason: Departure::Kicked, .. },
    ] if actor.name() == "admin" && target == "bob" && reason == "too  loud \"here\"" && name.as_str() == "bob"));
    house.send(bob, "carol", "still here?");
    assert!(house.mail().is_empty());
    assert_eq!(refusal(&mut house, "bob"), None);
}

#[test]
fn nobody_acts_against_those_above_or_beside() {
    let mut house = guarded();
    let admin = admin(&mut house);
    let (moderator, other) = (moderator(&mut house, admin), house.stream("other"));
    house.send(admin, "/role", "other moderator");
    house.forget();
    for target in ["admin", "other"] {
        for command in ["/kick", "/mute"] {
            let text = house.ask(moderator, command, target);
            assert!(text.starts_with("❌ ") && text.ends_with("ask an admin."), "{text}");
        }
        assert!(house.ask(moderator, "/ban", target).starts_with("❌ Not banned"));
    }
    assert_eq!(house.ask(moderator, "/kick", "mod"), "❌ That is yourself.");
    assert!(house.ask(moderator, "/ban", "127.0.0.0/8").starts_with("❌ Not banned"));
    assert!(house.ask(admin, "/ban", "127.0.0.1").starts_with("❌ Not banned"));
    assert_eq!(house.ask(admin, "/bans", ""), "Nobody is banned.");
    house.send(admin, "/kick", "other");
    assert!(house.mail().closes(other));
    let user = house.stream("user");
    house.send(moderator, "/kick", "user");
    assert!(house.mail().closes(user));
    // admins are above each other
    let second = house.stream("second");
    house.send(second, "/admin", TOKEN);
    house.forget();
    house.send(second, "/kick", "admin");
    assert!(house.mail().closes(admin));
}

#[test]
fn a_ban_holds_for_the_name_and_those_that_look_like_it() {
    let mut house = guarded();
    let (admin, bob) = (admin(&mut house), house.stream("bob"));
    house.send(admin, "/ban", "bob 1h spam, again");
    let mail = house.mail();
    assert_eq!(mail.said(bob, "bob"), ["⛔ You were banned for 1 h by admin: spam, again."]);
    assert!(mail.closes(bob));
    assert_eq!(
        mail.said(admin, "admin"),
        ["Banned bob and its look-alikes for 1 h, until 2026-11-20 15:03:07."]
    );
    assert_eq!(acts(&mut house), [act(Act::Ban, "bob", Some(3_600), "spam, again")]);
    for name in ["bob", "Bob", "BOB", "b0b", "b\u{43e}b", "\u{ff42}ob"] {
        let text = refusal(&mut house, name).expect(name);
        assert_eq!(text, "⛔ Error: you are banned for another 1 h: spam, again.");
    }
    assert_eq!(refusal(&mut house, "bobby"), None);
    let carol = house.stream("carol");
    let text = house.ask(carol, "/nick", "B0B");
    assert!(text.starts_with("❌ Your name stays carol: that name is banned"), "{text}");
    assert_eq!(
        house.ask(admin, "/bans", ""),
        "Bans (1): bob (for another 1 h, by admin, 0 s ago: spam, again)"
    );
    house.now.monotonic += Duration::from_secs(3_600);
    assert_eq!(house.ask(admin, "/bans", ""), "Nobody is banned.");
    assert_eq!(refusal(&mut house, "bob"), None);
}

#[test]
#[cfg(feature = "confusables")]
fn bans_of_names_that_look_alike_and_differ_stand_side_by_side() {
    let mut house = guarded();
    let admin = admin(&mut house);
    // with the Greek capital, which looks like Y; in small letters it looks like u
    let greek = "\u{3a5}uri";
    for (name, text) in [(greek, format!("{greek} spam")), ("uuri", "uuri 1s".to_owned())] {
        let answer = house.ask(admin, "/ban", &text);
        assert!(answer.starts_with(&format!("Banned {name} and its look-alikes")), "{answer}");
    }
    assert_eq!(
        house.ask(admin, "/bans", ""),
        format!(
            "Bans (2): uuri (for another 1 s, by admin, 0 s ago), {greek} (by admin, 0 s ago: spam)"
        )
    );
    house.now.monotonic += Duration::from_secs(1);
    assert_eq!(
        house.ask(admin, "/bans", ""),
        format!("Bans (1): {greek} (by admin, 1 s ago: spam)")
    );
    for name in ["Yuri", "uuri", greek] {
        assert!(refusal(&mut house, name).is_some(), "{name}");
    }
    // each is lifted by its own name, and then by one that looks like it
    house.send(admin, "/ban", "uuri");
    house.events();
    house.forget();
    for (name, lifted) in [(greek, greek), ("UURI", "uuri")] {
        assert_eq!(house.ask(admin, "/unban", name), format!("{name} is banned no longer."));
        assert_eq!(acts(&mut house), [act(Act::Unban, lifted, None, "")]);
    }
    house.send(admin, "/ban", greek);
    house.events();
    house.forget();
    assert_eq!(house.ask(admin, "/unban", "yuri"), "yuri is banned no longer.");
    assert_eq!(acts(&mut house), [act(Act::Unban, greek, None, "")]);
    assert_eq!(refusal(&mut house, "Yuri"), None);
}

#[test]
fn a_ban_of_an_address_holds_for_who_is_there_and_who_comes() {
    let mut house = guarded();
    let admin = admin(&mut house);
    let bob = house.join("bob", PeerKind::Stream, AWAY);
    house.forget();
    house.send(admin, "/ban", "192.0.2.0/24");
    let mail = house.mail();
    assert!(mail.closes(bob));
    assert_eq!(mail.said(admin, "admin"), ["Banned the network 192.0.2.0/24 until /unban."]);
    let conn = house.connect(AWAY);
    let text = house.mail().refusal(conn);
    assert_eq!(text, "⛔ Error: your address is banned.");
    house.name(conn, "bob", PeerKind::Stream);
    assert!(house.mail().is_empty(), "it is closing");
    assert_eq!(house.ask(admin, "/unban", "192.0.2.77/24"), "192.0.2.77/24 is banned no longer.");
    assert!(house.ask(admin, "/unban", "192.0.2.0/24").starts_with('❌'));
    house.connect(AWAY);
    assert!(house.mail().is_empty());
}

#[test]
fn a_ban_holds_for_who_is_on_the_way_in() {
    let mut house = House::of(Hub::builder().directory().admin_token(TOKEN));
    let admin = admin(&mut house);
    let guest = house.connect(AWAY);
    let (claimant, token) = house.claim("bob");
    let carol = house.stream("carol");
    house.send(carol, "/nick", "rob");
    let Some(Effect::Claim { token: renaming, .. }) = house.out.next_effect() else { panic!() };
    for target in ["192.0.2.7", "bob", "rob"] {
        house.send(admin, "/ban", target);
    }
    house.forget();
    house.name(guest, "eve", PeerKind::Stream);
    assert!(house.mail().refusal(guest).contains("your address is banned"));
    house.complete(token, Completion::Claimed(0));
    assert!(house.mail().refusal(claimant).contains("you are banned"));
    house.complete(renaming, Completion::Claimed(0));
    let said = house.mail().said(carol, "carol");
    assert!(said[0].starts_with("❌ Your name stays carol: you are banned"), "{said:?}");
    // what a directory has given is given back
    assert_eq!(house.released(), ["bob", "rob"]);
    assert_eq!(house.hub.online(), 2);
}

#[test]
fn who_tries_again_and_again_what_it_may_not_is_closed() {
    let mut house = guarded();
    let alice = house.stream("alice");
    for _ in 0..19 {
        assert_eq!(house.ask(alice, "/kick", "bob"), "❌ /kick is for moderators.");
    }
    house.send(alice, "/kick", "bob");
    let mail = house.mail();
    assert!(mail.closes(alice) && mail.said(alice, "alice")[0].contains("one error too many"));
    let denied = |event: &&Event| matches!(event, Event::Denied { .. });
    assert_eq!(house.events().iter().filter(denied).count(), 20);
}

#[test]
fn a_reason_is_bounded() {
    let mut house = guarded();
    let (admin, bob) = (admin(&mut house), house.stream("bob"));
    house.send(admin, "/kick", &format!("bob {}", "x\u{1b}".repeat(10_000)));
    let mail = house.mail();
    let [told] = mail.said(bob, "bob").try_into().expect("one object");
    let [(.., reason)] = acts(&mut house).try_into().expect("one act");
    assert!(told.len() < 700 && reason.len() < 700 && !reason.contains('\u{1b}'));
}

#[test]
fn a_mute_takes_the_word_and_nothing_else() {
    let mut house = guarded();
    let (admin, bob) = (admin(&mut house), house.stream("bob"));
    house.send(bob, "/join", "#tea");
    house.forget();
    house.send(admin, "/mute", "bob 10min shouting");
    let mail = house.mail();
    assert_eq!(mail.said(bob, "bob"), ["❌ You are muted for 10 min, by admin: shouting."]);
    assert_eq!(mail.said(admin, "admin"), ["Muted bob for 10 min, until 2026-11-20 14:13:07."]);
    assert_eq!(acts(&mut house), [act(Act::Mute, "bob", Some(600), "shouting")]);
    for (to, msg) in
        [("admin", "hi"), ("#tea", "hi"), ("/shout", "hi"), ("/away", "hi"), ("/nick", "rob")]
    {
        let text = house.ask(bob, to, msg);
        assert!(text.starts_with('❌') && text.contains("muted"), "{to}: {text}");
    }
    assert!(house.ask(bob, "/list", "").starts_with("Connected users"));
    // under the same name it holds for the next connection too
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    house.forget();
    let bob = house.stream("bob");
    assert!(house.ask(bob, "admin", "hi").contains("for another 10 min"));
    house.now.monotonic += Duration::from_secs(599);
    assert!(house.ask(bob, "admin", "hi").contains("for another 1 s"));
    house.now.monotonic += Duration::from_secs(1);
    house.send(bob, "admin", "hi");
    assert_eq!(house.mail().messages(admin)[0].msg, "hi");
}

#[test]
fn a_mute_lasts_while_others_are_muted() {
    let mut house = guarded();
    let (admin, bob) = (admin(&mut house), house.stream("bob"));
    house.stream("carol");
    house.send(admin, "/mute", "bob");
    house.send(admin, "/mute", "carol 10min");
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    house.forget();
    let bob = house.stream("bob");
    assert!(house.ask(bob, "admin", "hi").starts_with("❌ You are muted"));
}

#[test]
fn a_mute_can_be_lifted() {
    let mut house = guarded();
    let (admin, bob) = (admin(&mut house), house.stream("bob"));
    house.send(admin, "/mute", "bob");
    house.forget();
    assert_eq!(house.ask(bob, "/shout", "x"), "❌ You are muted by a moderator.");
    house.send(admin, "/unmute", "bob");
    let mail = house.mail();
    assert_eq!(mail.said(bob, "bob"), ["You may speak again."]);
    assert_eq!(mail.said(admin, "admin"), ["bob may speak again."]);
    assert!(house.ask(admin, "/unmute", "bob").starts_with('❌'));
    assert!(house.ask(admin, "/unmute", "B0B").starts_with('❌'));
    house.send(bob, "admin", "hi");
    assert_eq!(house.mail().messages(admin)[0].msg, "hi");

    // it is of the name: whoever has it is not asked
    house.send(admin, "/mute", "bob 10min");
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    house.forget();
    assert_eq!(house.ask(admin, "/unmute", "bob"), "bob may speak again.");
    // and one that is over cannot be lifted
    house.stream("carol");
    house.send(admin, "/mute", "carol 10min");
    house.forget();
    house.now.monotonic += Duration::from_secs(601);
    assert!(house.ask(admin, "/unmute", "carol").starts_with('❌'));
}

#[test]
fn a_closed_room_is_gone_and_its_members_know() {
    let mut house = guarded();
    let (admin, bob, carol) = (admin(&mut house), house.stream("bob"), house.one_read("carol"));
    for conn in [bob, carol] {
        house.send(conn, "/join", "#tea");
        house.send(conn, "/join", "#other");
    }
    house.forget();
    house.send(admin, "/close", "#tea off topic");
    let mail = house.mail();
    for conn in [bob, carol] {
        let message = &mail.messages(conn)[0];
        assert_eq!((&*message.to, &*message.msg), ("#tea", "admin closed the room: off topic."));
    }
    assert_eq!(mail.said(admin, "admin"), ["Closed #tea."]);
    assert_eq!(acts(&mut house), [act(Act::Close, "#tea", None, "off topic")]);
    assert!(house.ask(bob, "#tea", "hi").starts_with("❌ You are not in"));
    assert!(house.ask(admin, "/close", "#tea").starts_with("❌ There is no room"));
    house.send(bob, "#other", "hi");
    assert_eq!(house.mail().messages(carol)[0].msg, "hi", "the others stay");
}

#[test]
fn a_notice_reaches_everybody_else() {
    let mut house = guarded();
    let (admin, bob, carol) = (admin(&mut house), house.stream("bob"), house.one_read("carol"));
    house.send(admin, "/notice", "down at 5");
    let mail = house.mail();
    for conn in [bob, carol] {
        let message = &mail.messages(conn)[0];
        assert!(message.is_from_server());
        assert_eq!((&*message.to, &*message.msg), ("Everyone", "Notice: down at 5"));
    }
    assert_eq!(mail.said(admin, "admin"), ["Told 2 users."]);
    assert_eq!(acts(&mut house), [act(Act::Notice, "", None, "down at 5")]);
    house.send(admin, "/notice", &"x".repeat(2_000));
    assert_eq!(
        house.mail().said(admin, "admin"),
        ["Told 1 user. Too long for 1 user: send a shorter text."]
    );
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    house.forget();
    house.send(admin, "/notice", &"x".repeat(2_000));
    assert_eq!(house.mail().only_answer(admin), "❌ Nobody was told: the text is too long.");
    house.hub.handle_disconnect(carol, Departure::Left, house.now, &mut house.out);
    house.forget();
    assert_eq!(house.ask(admin, "/notice", "anybody?"), "Told 0 users.");
}

#[test]
fn twenty_schema_errors_in_a_minute_are_too_many() {
    let mut house = House::new();
    let alice = house.stream("alice");
    let err = |house: &mut House| {
        house.send_raw(alice, b"{}");
        let mail = house.mail();
        (mail.said(alice, "alice").remove(0), mail.closes(alice))
    };
    for _ in 0..19 {
        assert!(!err(&mut house).1);
    }
    // the minute of the first nineteen is over
    house.now.monotonic += Duration::from_secs(60);
    for number in 0..19 {
        assert!(!err(&mut house).1, "{number}");
        house.now.monotonic += Duration::from_secs(3);
        assert!(house.ask(alice, "Everyone", "beat").contains("not found"), "not an error");
    }
    let (text, closes) = err(&mut house);
    assert!(closes && text.starts_with('⛔') && text.contains("too many"), "{text}");
    let departed =
        |event: &Event| matches!(event, Event::Departed { reason: Departure::Erring, .. });
    assert!(house.events().iter().any(departed));
}

#[test]
fn how_many_errors_are_too_many_is_a_limit() {
    let mut limits = Limits::default();
    limits.errors = 1;
    let mut house = House::of(Hub::builder().limits(limits));
    let alice = house.stream("alice");
    house.send_raw(alice, b"{}");
    assert!(house.mail().closes(alice));
}
