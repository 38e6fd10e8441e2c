//! What the application changes in a hub that runs, and that bans and mutes can be kept and made
//! again from what the hub says of them.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::hub::{
    Act, Action, Actor, Ban, BanTarget, Completion, Departure, Effect, Event, Hub, Mute, Rank,
};
use chatproto::{Limits, UserName};

use crate::common::{AWAY, HOME, House};

const TOKEN: &str = "a token of some length";
const HOUR: Duration = Duration::from_secs(3_600);

fn ban(target: &str) -> Ban {
    Ban::new(target.parse().expect(target))
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

fn impose(house: &mut House, ban: Ban) -> usize {
    house.hub.restore_ban(ban, house.now, &mut house.out)
}

#[test]
fn an_application_shuts_out_whoever_a_ban_is_for() {
    let mut house = House::of(Hub::builder().admin_token(TOKEN));
    let admin = house.stream("admin");
    house.send(admin, "/admin", TOKEN);
    let (bob, carol) = (house.stream("bob"), house.one_read("carol"));
    let away = house.join("away", PeerKind::Stream, AWAY);
    for conn in [bob, carol] {
        house.send(conn, "/join", "#tea");
    }
    house.forget();

    let mut of_bob = ban("B0B");
    (of_bob.by, of_bob.reason) = ("the operator".to_owned(), "spam\n".repeat(100));
    of_bob.remaining = Some(HOUR);
    assert_eq!(impose(&mut house, of_bob), 1);
    let mail = house.mail();
    assert!(mail.closes(bob));
    let told = mail.said(bob, "bob").remove(0);
    assert!(
        told.starts_with("⛔ You were banned for 1 h by the operator: spam\u{fffd}spam"),
        "{told}"
    );
    assert!(told.len() < 700 && !told.contains('\n'), "{told}");
    assert_eq!(mail.messages(carol)[0].msg, "bob was kicked.");
    // the application knows what it did: it is told of what came of that
    let events = house.events();
    assert!(
        matches!(&events[..], [Event::Departed { name, reason: Departure::Banned, .. }]
            if name.as_str() == "bob"),
        "{events:?}"
    );
    assert!(refusal(&mut house, "b\u{43e}b").unwrap().contains("banned for another 1 h: spam"));

    // admins too, and nobody need be named
    assert_eq!(impose(&mut house, ban("192.0.2.0/24")), 1);
    assert_eq!(impose(&mut house, ban("admin")), 1);
    let mail = house.mail();
    for (conn, name) in [(away, "away"), (admin, "admin")] {
        assert!(mail.closes(conn));
        assert_eq!(mail.said(conn, name), ["⛔ You were banned."]);
    }
    assert_eq!(impose(&mut house, ban("nobody")), 0);

    let listed = house.hub.bans(house.now).find(|ban| ban.remaining.is_some()).expect("a ban");
    assert_eq!(
        (listed.target.to_string(), listed.by, listed.rank),
        ("B0B".to_owned(), "the operator".to_owned(), Rank::Operator)
    );
    let bob = "bob".parse().unwrap();
    assert!(!house.hub.withdraw_ban(&bob, house.now), "it is not the configuration's");
    impose(&mut house, configured("bob"));
    assert!(house.hub.withdraw_ban(&bob, house.now));
    assert!(!house.hub.withdraw_ban(&bob, house.now));
    assert!(refusal(&mut house, "bob").is_some(), "the other one holds");
}

fn configured(target: &str) -> Ban {
    let mut ban = ban(target);
    ban.is_configured = true;
    ban
}

#[test]
fn a_ban_of_the_configuration_covers_another_one_and_each_goes_without_the_other() {
    let zed: BanTarget = "zed".parse().unwrap();
    let mut lasting = ban("ZED");
    (lasting.rank, lasting.by) = (Rank::Moderator, "alice".to_owned());
    let mut hour = lasting.clone();
    hour.remaining = Some(HOUR);
    let shown = |house: &House| -> Vec<String> {
        house.hub.bans(house.now).map(|ban| ban.target.to_string()).collect()
    };
    // in either order; the lasting one with an end, and without
    for (first, second, lasting) in [
        (&lasting, &configured("zed"), &lasting),
        (&configured("zed"), &lasting, &lasting),
        (&hour, &configured("zed"), &hour),
    ] {
        let mut house = House::of(Hub::builder().admin_token(TOKEN));
        let admin = house.stream("admin");
        house.send(admin, "/admin", TOKEN);
        house.forget();
        impose(&mut house, first.clone());
        impose(&mut house, second.clone());
        assert_eq!(shown(&house), ["zed"]);
        let answer = house.ask(admin, "/unban", "zed");
        assert!(answer.ends_with("was banned by the operator: ask the operator."), "{answer}");
        assert!(house.hub.withdraw_ban(&zed, house.now));
        assert_eq!(house.hub.bans(house.now).collect::<Vec<_>>(), std::slice::from_ref(lasting));
        assert!(refusal(&mut house, "zed").is_some());
        // it is covered again, and ends meanwhile
        impose(&mut house, configured("zed"));
        house.now.monotonic += HOUR;
        assert!(house.hub.withdraw_ban(&zed, house.now));
        assert_eq!(shown(&house).len(), usize::from(lasting.remaining.is_none()));
    }
    // one of the configuration can have an end, too
    let mut house = House::new();
    let mut short = configured("zed");
    short.remaining = Some(HOUR);
    impose(&mut house, lasting);
    impose(&mut house, short);
    house.now.monotonic += HOUR;
    house.hub.handle_timeout(house.now, &mut house.out);
    impose(&mut house, ban("another"));
    assert_eq!(shown(&house), ["another", "ZED"]);
    // an operator who lifts a ban lifts both
    impose(&mut house, configured("zed"));
    let operator = Actor::operator("");
    let unban = Action::Unban { target: zed };
    house.hub.act(&operator, unban, house.now, &mut house.out).unwrap();
    assert_eq!(shown(&house), ["another"]);
}

#[test]
fn a_target_is_kept_as_what_it_is() {
    let mut house = House::of(Hub::builder().admin_token(TOKEN));
    let admin = house.stream("admin");
    house.send(admin, "/admin", TOKEN);
    let names =
        ["bob", "0.0.0.0/0", "192.0.2.7", "2001:db8::1", "::", "a b", "\"q\"", "10/8", "[::1]"];
    for name in names {
        for (before, behind) in [("", ""), (" ", " "), ("\u{a0}", "\t"), ("\u{2003}\n", "")] {
            let quoted = format!("\"{before}{}{behind}\"", name.replace('"', "\"\""));
            house.events();
            house.send(admin, "/ban", &quoted);
            let events = house.events();
            let [Event::Moderated { target, .. }] = &events[..] else { panic!("{events:?}") };
            let kept: BanTarget = target.parse().expect(target);
            assert!(kept.is_name(), "{quoted} is kept as {target}");
            assert_eq!(kept, BanTarget::from(&UserName::new(name).unwrap()), "{quoted}");
            let listed: Vec<BanTarget> = house.hub.bans(house.now).map(|ban| ban.target).collect();
            assert_eq!(listed, [kept]);
            house.forget();
            let answer = house.ask(admin, "/unban", &format!("\"{}\"", name.replace('"', "\"\"")));
            assert!(answer.ends_with("is banned no longer."), "{answer}");
        }
    }
}

#[test]
fn bans_are_listed_with_what_is_known_of_them() {
    let mut house = House::of(Hub::builder().admin_token(TOKEN));
    let admin = house.stream("admin");
    house.send(admin, "/admin", TOKEN);
    house.forget();
    let (mut timed, mut by, mut both) = (ban("a"), ban("b"), ban("c"));
    timed.remaining = Some(HOUR);
    by.by = "the operator".to_owned();
    (both.remaining, both.reason) = (Some(HOUR), "spam".to_owned());
    for ban in [timed, by, both, ban("d")] {
        impose(&mut house, ban);
    }
    assert_eq!(
        house.ask(admin, "/bans", ""),
        "Bans (4): a (for another 1 h, 0 s ago), b (by the operator, 0 s ago), c (for another 1 h, 0 s ago: spam), d (0 s ago)"
    );
}

#[test]
fn targets_are_what_they_stand_for() {
    let target = |text: &str| text.parse::<BanTarget>().expect(text);
    for [one, other] in [
        ["bob", "B0B"],
        [" bob\n", "bob"],
        ["192.0.2.7", "192.0.2.7/32"],
        ["192.0.2.7", "::ffff:192.0.2.7"],
        ["192.0.2.99/24", "192.0.2.0/24"],
    ] {
        assert_eq!(target(one), target(other), "{one}, {other}");
    }
    for [one, other] in [["bob", "bobby"], ["192.0.2.7", "192.0.2.0/24"], ["::1", "127.0.0.1"]] {
        assert_ne!(target(one), target(other), "{one}, {other}");
    }
    for bad in ["", " ", "/list", "#tea", "SERVER", "a,b", "a\u{7}b", &"x".repeat(1_025)] {
        assert!(bad.parse::<BanTarget>().is_err(), "{bad}");
    }
    assert_eq!(target(&"x".repeat(1_024)).to_string().len(), 1_024);
    // so that a set of them has each once
    let same = [target("bob"), target("B0B"), target("alice")];
    assert_eq!(HashSet::from(same.clone()).len(), 2);
    assert_eq!(BTreeSet::from(same).len(), 2);
    assert!(target("192.0.2.7") < target("192.0.2.8"));
}

#[test]
fn the_key_of_a_name_has_all_its_looks() {
    let key = |text: &str| text.parse::<BanTarget>().expect(text).key();
    assert_eq!([key("bob"), key("UURI"), key("A b")], ["name bob", "name uurl", "name a b"]);
    assert_eq!(key("192.0.2.7"), "net 192.0.2.7/32");
    if cfg!(feature = "confusables") {
        assert_eq!(key("\u{3a5}uri"), "name uurl\tyurl");
    }
}

/// What an application would write down of what moderators do.
#[derive(Default)]
struct Store {
    acts: u64,
    bans: Vec<Ban>,
    mutes: Vec<Mute>,
}

impl Store {
    fn observe(&mut self, event: &Event) {
        let Event::Moderated { actor, rank, act, target, duration, reason, lasting } = event else {
            return;
        };
        let Some(number) = *lasting else { return };
        assert_eq!(number, self.acts + 1, "the numbers have no gaps");
        self.acts = number;
        match act {
            Act::Ban => {
                let mut ban = ban(target);
                (ban.by, ban.reason) = (actor.name().to_owned(), reason.clone());
                (ban.rank, ban.remaining) = (*rank, *duration);
                self.bans.retain(|other| other.target != ban.target);
                self.bans.push(ban);
            }
            Act::Unban => {
                let before = self.bans.len();
                self.bans.retain(|ban| ban.target.to_string() != *target);
                assert_eq!(self.bans.len(), before - 1, "{target} is found as it is written");
            }
            Act::Mute => {
                let mut mute = Mute::new(UserName::new(target).unwrap());
                (mute.by, mute.reason) = (actor.name().to_owned(), reason.clone());
                (mute.rank, mute.remaining) = (*rank, *duration);
                self.mutes.retain(|other| other.user != mute.user);
                self.mutes.push(mute);
            }
            Act::Unmute => self.mutes.retain(|mute| mute.user.as_str() != target),
            _ => {}
        }
    }
}

#[test]
fn what_moderators_did_can_be_written_down_and_done_again() {
    let mut limits = Limits::default();
    limits.name = 1_000;
    let mut house = House::of(Hub::builder().admin_token(TOKEN).limits(limits.clone()));
    let admin = house.stream("admin");
    let long = format!("long {}", "x".repeat(900));
    for name in ["bob", "carol", "dave"] {
        house.stream(name);
    }
    house.send(admin, "/admin", TOKEN);
    for (command, text) in [
        ("/ban", "eve 2h too \"loud\""),
        ("/ban", "3ve"),
        ("/ban", "EVE 1h again"),
        ("/ban", &format!("\"{long}\"")),
        ("/ban", "198.51.100.9"),
        ("/ban", "192.0.2.77/24 1d"),
        ("/ban", "zoe\u{308}"),
        ("/ban", "mallory"),
        ("/unban", "MALL0RY"),
        ("/unban", "3ve"),
        ("/mute", "bob 10min"),
        ("/mute", "carol"),
        ("/mute", "dave"),
        ("/unmute", "dave"),
    ] {
        house.send(admin, command, text);
    }
    let mut store = Store::default();
    house.events().iter().for_each(|event| store.observe(event));

    // a hub that knows nothing, and is told
    let mut again = House::of(Hub::builder().limits(limits));
    for ban in &store.bans {
        again.hub.restore_ban(ban.clone(), again.now, &mut again.out);
    }
    for mute in &store.mutes {
        again.hub.restore_mute(mute.clone(), again.now, &mut again.out);
    }
    let bans = |house: &House| {
        let bans = house.hub.bans(house.now);
        let mut bans: Vec<_> =
            bans.map(|ban| (ban.target.to_string(), ban.by, ban.reason, ban.remaining)).collect();
        bans.sort();
        bans
    };
    assert_eq!(bans(&again), bans(&house));
    assert_eq!(bans(&house).len(), 5, "{:?}", bans(&house));
    let mutes = |house: &House| house.hub.mutes(house.now).collect::<Vec<_>>();
    assert_eq!(mutes(&again), mutes(&house));
    assert_eq!(mutes(&house).len(), 2);

    for name in ["eve", "3VE", "Eve", &long, "zo\u{eb}", "mallory", "frank"] {
        assert_eq!(refusal(&mut again, name), refusal(&mut house, name), "{name}");
    }
    let conn = again.connect(AWAY);
    assert_eq!(again.mail().refusal(conn), "⛔ Error: your address is banned for another 1 d.");
    let bob = again.stream("bob");
    assert!(again.ask(bob, "/shout", "hi").contains("muted for another 10 min"));
    again.now.monotonic += Duration::from_secs(600);
    again.send(bob, "/shout", "hi");
    assert_eq!(again.mail().said(bob, "bob"), ["Delivered to 3 users."]);
    assert_eq!(mutes(&again).len(), 1, "what is over is not listed");
}

#[test]
fn the_operator_mutes_and_unmutes_a_user() {
    let mut house = House::new();
    let bob = house.stream("bob");
    house.forget();
    let operator = Actor::operator("");
    let act =
        |house: &mut House, action| house.hub.act(&operator, action, house.now, &mut house.out);
    let user = || "bob".to_owned();
    let mute = Action::Mute { user: user(), duration: Some(HOUR), reason: String::new() };
    assert!(act(&mut house, mute).is_ok());
    assert_eq!(house.mail().only_answer(bob), "❌ You are muted for 1 h.");
    assert!(house.ask(bob, "/shout", "hi").contains("muted"));
    assert!(act(&mut house, Action::Unmute { user: user() }).is_ok());
    assert_eq!(house.mail().only_answer(bob), "You may speak again.");
    assert!(!house.ask(bob, "/shout", "hi").contains("muted"));
    assert_eq!(house.events().len(), 2, "both acts are told, as those of users are");
    let refusal = act(&mut house, Action::Unmute { user: user() }).unwrap_err();
    assert_eq!(refusal.to_string(), "bob is not muted.");
    assert!(house.mail().is_empty() && house.events().is_empty());
}

#[test]
fn other_limits_throw_nobody_out_and_hold_from_then_on() {
    let mut house = House::of(Hub::builder().admin_token(TOKEN));
    let (long, alice) = ("a name of twenty bytes", house.stream("alice"));
    let owner = house.stream(long);
    for room in ["#one", "#two"] {
        house.send(alice, "/join", room);
    }
    house.send(alice, "/admin", TOKEN);
    house.forget();
    let mut limits = Limits::default();
    (limits.name, limits.rooms, limits.connections) = (3, 1, 1);
    (limits.frame, limits.errors) = (128, 2);
    house.hub.set_limits(limits);

    assert!(refusal(&mut house, "bob").unwrap().contains("full"));
    assert_eq!(house.hub.online(), 2);
    // who has a long name is found by it
    house.send(alice, long, "hi");
    assert_eq!(house.mail().messages(owner)[0].msg, "hi");
    house.send(alice, "/mute", &format!("\"{long}\""));
    house.send(alice, "/unmute", &format!("\"{long}\""));
    let said = house.mail().said(owner, long);
    assert_eq!(said.last().unwrap(), "You may speak again.", "{said:?}");
    // in two rooms, and in no third
    assert!(house.ask(alice, "/join", "#six").starts_with('❌'));
    assert!(house.send(alice, "#two", "alone"));
    assert!(house.mail().is_empty());
    let text = house.ask(alice, long, &"x".repeat(100));
    assert!(text.contains("at most 128 bytes"), "{text}");
    house.send_raw(alice, b"{}");
    assert!(!house.mail().closes(alice));
    house.send_raw(alice, b"{}");
    assert!(house.mail().closes(alice));
}

#[test]
fn another_token_makes_admins_and_the_old_one_does_not() {
    let mut house = House::of(Hub::builder().admin_token(TOKEN));
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    assert_eq!(house.ask(alice, "/admin", TOKEN), "You are an admin now.");
    house.hub.set_admin_token(Some("another token than before"));
    assert_eq!(house.ask(bob, "/admin", TOKEN), "❌ That is not the token.");
    assert_eq!(house.ask(bob, "/admin", "another token than before"), "You are an admin now.");
    house.hub.set_admin_token(None);
    let carol = house.stream("carol");
    assert!(house.ask(carol, "/admin", "another token than before").starts_with('❌'));
    assert_eq!(house.ask(alice, "/bans", ""), "Nobody is banned.");
}

#[test]
fn who_comes_is_announced_from_then_on() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.hub.set_announce(true);
    house.join("bob", PeerKind::Stream, HOME);
    assert_eq!(house.mail().messages(alice)[0].msg, "bob joined.");
    house.hub.set_announce(false);
    house.join("carol", PeerKind::Stream, HOME);
    assert!(house.mail().messages(alice).is_empty());
}
