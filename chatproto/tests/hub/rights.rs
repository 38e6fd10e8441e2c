//! The table of rights, every combination: who acts, whether the actor is muted, what the act is, and on
//! whom. Users act by commands; the operator and users of other nodes by [`Hub::act`]. The expected
//! table is in `common/rights.rs`.

use std::net::IpAddr;
use std::time::Duration;

use chatproto::UserName;
use chatproto::accounts::{AccountPolicy, Granted};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    Act, Action, Actor, Ban, BanTarget, Completion, ConnId, Departure, Effect, Event, HistoryOrder,
    Hub, Mute, Now, Output, Rank, Role,
};

use crate::common::rights::{On, Who, action, every_combination, is_allowed, remote, target, text};
use crate::common::{AWAY, HOME, House};

fn operator(house: &mut House, action: Action) {
    let operator = Actor::operator("the operator");
    house.hub.act(&operator, action, house.now, &mut house.out).expect("the operator may");
}

fn join(house: &mut House, name: &str, role: Role) -> ConnId {
    let conn = house.stream(name);
    operator(house, Action::Role { user: name.to_owned(), role });
    conn
}

/// Mutes and bans `zed` and `Zed's look-alike` in the name of this rank.
fn sanction(house: &mut House, rank: Rank, act: &str) {
    let by = match rank {
        Rank::Operator => Actor::operator("the operator"),
        rank => {
            let role = if rank == Rank::Admin { Role::Admin } else { Role::Moderator };
            let conn = join(house, "sheriff", role);
            house.hub.actor(conn).expect("a user")
        }
    };
    let (user, reason) = ("zed".to_owned(), String::new());
    let action = match act {
        "mute" | "unmute" => Action::Mute { user, duration: None, reason },
        _ => Action::Ban { target: target("zed"), duration: None, reason },
    };
    house.hub.act(&by, action, house.now, &mut house.out).expect("the sheriff may");
}

/// What is seen of the hub from outside, which an act that is denied must not change.
fn state(house: &House) -> String {
    let mut users: Vec<&str> = house.hub.users().collect();
    users.sort_unstable();
    let (bans, mutes) = (house.hub.bans(house.now), house.hub.mutes(house.now));
    format!("{users:?} {:?} {:?}", bans.collect::<Vec<_>>(), mutes.collect::<Vec<_>>())
}

fn check(who: Who, is_muted: bool, act: &str, on: On) {
    let mut house = House::new();
    let reader = house.stream("reader");
    house.send(reader, "/join", "#tea");
    let name = match who {
        Who::User(_) => "actor",
        Who::Remote(_) => "remote",
        Who::Operator => "the operator",
    };
    let user = if on == On::Oneself { name } else { "zed" };
    match on {
        On::Connected(role) => drop(join(&mut house, "zed", role)),
        On::Away(role) => house.hub.set_stored_role(&UserName::new("zed").unwrap(), role, 1),
        On::By(rank) => {
            if act.ends_with("mute") {
                house.stream("zed");
            }
            sanction(&mut house, rank, act);
        }
        On::Nobody | On::Oneself => {}
    }
    let conn = match who {
        Who::User(role) => Some(join(&mut house, "actor", role)),
        _ => None,
    };
    if is_muted {
        let user = name.to_owned();
        operator(&mut house, Action::Mute { user, duration: None, reason: String::new() });
    }
    house.forget();
    let before = state(&house);
    let is_done = match conn {
        Some(conn) => {
            assert!(house.send(conn, &format!("/{act}"), &text(act, user)));
            let answer = house.mail().said(conn, "actor").remove(0);
            !answer.starts_with('❌')
        }
        None => {
            let actor = match who {
                Who::Remote(role) => remote(role),
                _ => Actor::operator("the operator"),
            };
            house.hub.act(&actor, action(act, user), house.now, &mut house.out).is_ok()
        }
    };
    let case = format!("{act} by {who:?}, muted: {is_muted}, on {on:?}");
    assert_eq!(is_done, is_allowed(who, is_muted, act, on), "{case}");
    let events = house.events();
    let acted = events.iter().filter(|event| matches!(event, Event::Moderated { .. })).count();
    assert_eq!(acted, usize::from(is_done), "{case}: {events:?}");
    if is_done {
        let is_by =
            |event: &Event| matches!(event, Event::Moderated { actor, .. } if actor.name() == name);
        assert!(events.iter().any(is_by), "{case}: {events:?}");
    } else {
        assert_eq!(state(&house), before, "{case}");
        // those of this hub are written down
        let denied = events.iter().filter(|event| matches!(event, Event::Denied { .. })).count();
        assert_eq!(denied, usize::from(conn.is_some()), "{case}: {events:?}");
    }
}

#[test]
fn every_combination_of_actor_act_and_object_is_as_decided() {
    every_combination(check);
}

#[test]
fn the_name_of_an_admins_account_and_its_look_alikes_are_out_of_a_moderators_reach() {
    let mut house = House::new();
    house.hub.set_stored_role(&UserName::new("boss").unwrap(), Role::Admin, 2);
    let moderator = join(&mut house, "mod", Role::Moderator);
    house.forget();
    for name in ["boss", "B0SS", "\"b\u{43e}ss\""] {
        let answer = house.ask(moderator, "/ban", name);
        assert_eq!(answer, "❌ Not banned: boss is an admin: ask an admin.", "{name}");
    }
    house.hub.set_stored_role(&UserName::new("boss").unwrap(), Role::User, 3);
    assert_eq!(
        house.ask(moderator, "/ban", "boss"),
        "Banned boss and its look-alikes until /unban."
    );
}

#[test]
fn a_ban_of_higher_rank_is_neither_lifted_nor_shortened() {
    let mut house = House::new();
    let admin = join(&mut house, "admin", Role::Admin);
    let moderator = join(&mut house, "mod", Role::Moderator);
    house.forget();
    assert_eq!(
        house.ask(admin, "/ban", "eve by order"),
        "Banned eve and its look-alikes until /unban."
    );
    for (command, text) in [("/unban", "EVE"), ("/ban", "Eve 1s")] {
        let answer = house.ask(moderator, command, text);
        assert!(answer.ends_with("eve was banned by an admin: ask an admin."), "{answer}");
    }
    house.now.monotonic += Duration::from_secs(3_600);
    assert_eq!(house.ask(moderator, "/bans", ""), "Bans (1): eve (by admin, 1 h ago: by order)");
    assert_eq!(house.ask(admin, "/unban", "EVE"), "EVE is banned no longer.");
    // what was kept over a restart has its rank
    let mut kept = Ban::new(target("eve"));
    (kept.by, kept.rank) = ("admin".to_owned(), Rank::Admin);
    house.hub.restore_ban(kept, house.now, &mut house.out);
    assert!(house.ask(moderator, "/unban", "eve").starts_with('❌'));
    assert_eq!(house.ask(admin, "/unban", "eve"), "eve is banned no longer.");
}

/// A guest, whose name was made from that of an account.
fn guest(house: &mut House, address: IpAddr) -> (ConnId, String) {
    let conn = house.connect(address);
    house.name(conn, "alice", PeerKind::Stream);
    while let Some(Effect::Claim { token, .. }) = house.out.next_effect() {
        house.complete(token, Completion::Reserved);
    }
    let name = house.hub.actor(conn).expect("a guest is a user").name().to_owned();
    house.forget();
    (conn, name)
}

#[test]
fn the_mute_of_a_temporary_name_is_its_connections() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let (conn, name) = guest(&mut house, HOME);
    assert!(name.starts_with("alice~"), "{name}");
    operator(&mut house, action("mute", &name));
    assert_eq!(house.hub.mutes(house.now).count(), 0);
    let events = house.events();
    assert!(
        matches!(&events[..], [Event::Moderated { act: Act::Mute, lasting: None, .. }]),
        "{events:?}"
    );
    house.forget();
    assert!(house.ask(conn, "/shout", "hi").contains("You are muted"));
    operator(&mut house, Action::Unmute { user: name.clone() });
    house.forget();
    assert!(!house.ask(conn, "/shout", "hi").contains("muted"));
}

#[test]
fn the_ban_of_a_temporary_name_is_its_users_address() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let (conn, name) = guest(&mut house, AWAY);
    let (other, _) = guest(&mut house, HOME);
    operator(&mut house, action("ban", &name));
    let mail = house.mail();
    assert!(mail.closes(conn) && !mail.closes(other));
    let bans: Vec<Ban> = house.hub.bans(house.now).collect();
    assert_eq!(bans.len(), 1);
    assert_eq!(bans[0].target, BanTarget::from(AWAY));
}

/// The guest logs in as `alice`, with this role.
fn log_in(house: &mut House, conn: ConnId, role: Role) {
    house.send(conn, "/login", "secret");
    loop {
        match house.out.next_effect() {
            Some(Effect::Account { token, .. }) => {
                let granted = Granted::new(role, 1);
                let alice = UserName::new("alice").unwrap();
                house.complete(token, Completion::LoggedIn(alice, Ok(granted)));
                break;
            }
            Some(Effect::Release { .. }) => {}
            other => panic!("no order: {other:?}"),
        }
    }
    house.forget();
}

fn is_muted(house: &mut House, conn: ConnId) -> bool {
    house.ask(conn, "/whoami", "").contains("muted")
}

#[test]
fn a_moderator_who_mutes_a_guest_has_not_muted_the_admin_that_it_turns_out_to_be() {
    for (role, is_kept) in [(Role::User, true), (Role::Moderator, false), (Role::Admin, false)] {
        let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
        let moderator = join(&mut house, "mod", Role::Moderator);
        let (conn, name) = guest(&mut house, HOME);
        house.send(moderator, "/mute", &name);
        house.forget();
        assert!(is_muted(&mut house, conn));
        log_in(&mut house, conn, role);
        assert_eq!(is_muted(&mut house, conn), is_kept, "{role}");
    }
}

#[test]
fn of_the_mutes_of_a_name_and_of_its_guest_the_one_of_higher_rank_stays() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let mut kept = Mute::new(UserName::new("alice").unwrap());
    (kept.rank, kept.remaining) = (Rank::Moderator, Some(Duration::from_secs(6)));
    house.hub.restore_mute(kept, house.now, &mut house.out);
    let admin = join(&mut house, "admin", Role::Admin);
    let (conn, name) = guest(&mut house, HOME);
    house.send(admin, "/unmute", "alice");
    assert_eq!(house.mail().said(admin, "admin"), ["alice may speak again."]);
    assert!(!is_muted(&mut house, conn), "nor is the guest who wants the name");

    let mut kept = Mute::new(UserName::new("alice").unwrap());
    (kept.rank, kept.remaining) = (Rank::Moderator, Some(Duration::from_secs(6)));
    house.hub.restore_mute(kept, house.now, &mut house.out);
    house.send(admin, "/mute", &name);
    house.forget();
    log_in(&mut house, conn, Role::User);
    house.now.monotonic += Duration::from_secs(7);
    assert!(is_muted(&mut house, conn));
}

/// Lets this time pass.
fn wait(house: &mut House, seconds: u64) {
    house.now.monotonic += Duration::from_secs(seconds);
    house.hub.handle_timeout(house.now, &mut house.out);
    house.forget();
}

#[test]
fn a_mute_of_a_name_and_one_of_its_guest_hold_until_both_are_over() {
    let own = |name: &str, duration: &str| (format!("{name} {duration}"), false);
    let of_name = |duration: &str| (format!("alice {duration}"), true);
    for is_name_first in [true, false] {
        for (of_guest, of_account) in [("3s", ""), ("", "3s"), ("3s", "6s"), ("6s", "3s")] {
            for logs_in in [true, false] {
                let case = format!("{is_name_first} {of_guest:?} {of_account:?} {logs_in}");
                let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
                let mods = ["mod", "another"].map(|name| join(&mut house, name, Role::Moderator));
                let (conn, name) = guest(&mut house, HOME);
                let mut acts = [own(&name, of_guest), of_name(of_account)];
                if is_name_first {
                    acts.reverse();
                }
                for ((text, is_of_name), by) in acts.into_iter().zip(mods) {
                    match is_of_name {
                        true => {
                            // the account's owner need not be connected
                            let mut mute = Mute::new(UserName::new("alice").unwrap());
                            mute.rank = Rank::Moderator;
                            let seconds = of_account.trim_end_matches('s').parse();
                            mute.remaining = seconds.ok().map(Duration::from_secs);
                            house.hub.restore_mute(mute, house.now, &mut house.out);
                        }
                        false => drop(house.send(by, "/mute", &text)),
                    }
                }
                house.forget();
                if logs_in {
                    log_in(&mut house, conn, Role::User);
                }
                wait(&mut house, 4);
                assert!(is_muted(&mut house, conn), "{case}");
                assert!(house.ask(conn, "/shout", "hi").contains("You are muted"), "{case}");
                wait(&mut house, 4);
                let is_for_good = of_guest.is_empty() || of_account.is_empty();
                assert_eq!(is_muted(&mut house, conn), is_for_good, "{case}");
            }
        }
    }
}

#[test]
fn a_guest_is_unmuted_when_its_own_mute_and_that_of_the_name_are_lifted() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let moderator = join(&mut house, "mod", Role::Moderator);
    let (owner, _) = guest(&mut house, HOME);
    log_in(&mut house, owner, Role::User);
    let (conn, name) = guest(&mut house, HOME);
    house.send(moderator, "/mute", "alice");
    house.forget();
    assert!(is_muted(&mut house, owner) && is_muted(&mut house, conn), "a guest is muted, too");
    let answer = house.ask(moderator, "/unmute", &name);
    assert_eq!(answer, format!("❌ {name} is muted because alice is. Send /unmute alice."));
    house.send(moderator, "/mute", &name);
    house.send(moderator, "/unmute", &name);
    let mail = house.mail();
    let still =
        format!("That mute is lifted, but {name} is muted because alice is. Send /unmute alice.");
    assert_eq!(mail.said(moderator, "mod").last(), Some(&still));
    assert!(!mail.said(conn, &name).contains(&"You may speak again.".to_owned()));
    assert!(is_muted(&mut house, conn));
    house.send(moderator, "/unmute", "alice");
    let mail = house.mail();
    assert_eq!(mail.said(conn, &name), ["You may speak again."]);
    assert_eq!(mail.said(owner, "alice"), ["You may speak again."]);
    assert!(!is_muted(&mut house, owner) && !is_muted(&mut house, conn));
}

#[test]
fn white_space_around_a_quoted_name_is_no_part_of_it() {
    let mut house = House::new();
    let (root, moderator) =
        (join(&mut house, "root", Role::Admin), join(&mut house, "mod", Role::Moderator));
    house.hub.set_stored_role(&UserName::new("boss").unwrap(), Role::Admin, 1);
    house.send(root, "/ban", "evil");
    house.forget();
    let before = state(&house);
    for (before, behind) in [(" ", " "), ("\u{a0}", ""), ("", "\t"), ("\n", "\u{2003}")] {
        let quoted = |name: &str| format!("\"{before}{name}{behind}\"");
        for (command, text, reason) in [
            ("/ban", quoted("boss"), "boss is an admin: ask an admin."),
            ("/ban", quoted("r00t"), "root is an admin: ask an admin."),
            ("/kick", quoted("root"), "root is an admin: ask an admin."),
            ("/mute", quoted("root"), "root is an admin: ask an admin."),
            (
                "/ban",
                format!("{} 1s", quoted("evil")),
                "evil was banned by an admin: ask an admin.",
            ),
            ("/unban", quoted("evil"), "evil was banned by an admin: ask an admin."),
        ] {
            let answer = house.ask(moderator, command, &text);
            assert!(answer.ends_with(reason), "{command} {text:?}: {answer}");
        }
    }
    assert_eq!(state(&house), before);
    join(&mut house, "user", Role::User);
    house.send(moderator, "/join", "#tea");
    house.forget();
    house.send(moderator, "/mute", "\" user \"");
    assert_eq!(house.mail().said(moderator, "mod"), ["Muted user until /unmute."]);
    house.send(moderator, "/close", "\" #tea \"");
    let told = house.mail().messages(moderator);
    assert_eq!(told.last().map(|message| &*message.msg), Some("Closed #tea."));
}

#[test]
fn a_temporary_name_that_nobody_has_cannot_be_banned() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let moderator = join(&mut house, "mod", Role::Moderator);
    house.forget();
    for name in ["alice~1", "ALICE~1", "alice~"] {
        let answer = house.ask(moderator, "/ban", name);
        let refused =
            format!("❌ Not banned: nobody has the temporary name {name} now. Ban an address.");
        assert_eq!(answer, refused);
    }
    // an older version may have kept such bans: guests get other names
    for number in 1..=5 {
        let ban = Ban::new(target(&format!("alice~{number}")));
        house.hub.restore_ban(ban, house.now, &mut house.out);
    }
    let (_, name) = guest(&mut house, HOME);
    assert_eq!(name, "alice~6");
}

#[test]
fn a_muted_moderator_removes_messages_of_its_own_alone() {
    let forget = |is_muted: bool| {
        let mut house = House::of(Hub::builder().history("epoch", 1));
        let moderator = join(&mut house, "mod", Role::Moderator);
        house.send(moderator, "/join", "#tea");
        if is_muted {
            operator(&mut house, action("mute", "mod"));
        }
        house.forget();
        house.send(moderator, "/forget", "#tea 1");
        let order = house.out.next_effect();
        let author = order.map(|effect| match effect {
            Effect::History { order: HistoryOrder::Forget { author, .. }, .. } => author,
            other => panic!("{other:?}"),
        });
        (author, house.mail().messages(moderator))
    };
    assert_eq!(forget(false).0, Some(None), "anybody's");
    let (author, said) = forget(true);
    // it is not logged in, so that none is known to be its own
    assert!(author.is_none() && said[0].msg.contains("log in first"), "{said:?}");
}

#[test]
fn mutes_are_listed_with_who_imposed_them_when_until_when_and_why() {
    let mut house = House::new();
    let moderator = join(&mut house, "mod", Role::Moderator);
    for name in ["bob", "carol"] {
        house.stream(name);
    }
    house.forget();
    assert_eq!(house.ask(moderator, "/mutes", ""), "Nobody is muted.");
    house.send(moderator, "/mute", "bob 2h too loud");
    house.send(moderator, "/mute", "carol");
    house.forget();
    house.now.monotonic += Duration::from_secs(600);
    let list = "Mutes (2): bob (for another 110 min, by mod, 10 min ago: too loud), carol (by mod, 10 min ago)";
    assert_eq!(house.ask(moderator, "/mutes", ""), list);
    house.now.monotonic += Duration::from_secs(7_200);
    let list = house.ask(moderator, "/mutes", "");
    assert!(list.starts_with("Mutes (1): carol (by mod"), "{list}");
}

#[test]
fn the_act_of_a_user_who_has_left_is_refused() {
    let mut house = House::new();
    let conn = join(&mut house, "mod", Role::Moderator);
    let actor = house.hub.actor(conn).expect("a user");
    house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
    house.stream("zed");
    house.forget();
    let act = |hub: &mut Hub, now: Now, out: &mut Output| {
        hub.act(&actor, action("kick", "zed"), now, out)
    };
    let refusal = act(&mut house.hub, house.now, &mut house.out).unwrap_err();
    assert_eq!(refusal.to_string(), "You are not connected any more.");
    assert!(house.mail().is_empty() && house.hub.actor(conn).is_none());
}
