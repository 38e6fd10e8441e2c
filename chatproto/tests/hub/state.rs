//! State lines (B21): what a program learns from them alone, and who is sent them.

use std::collections::BTreeSet;
use std::time::Duration;

use chatproto::accounts::{AccountPolicy, Granted};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    AccountChange, Action, Actor, BanTarget, Completion, ConnId, Departure, Hub, Role,
};
use chatproto::pairs::StateLine;
use chatproto::{Limits, Message};

use crate::common::accounts::{granted, guest, name, order};
use crate::common::{AWAY, HOME, House, Mail};

/// A room as an argument.
const GREEN_TEA: &str = "\"#green tea\"";

/// The state lines for a connection, with their `to`.
fn lines(mail: &Mail, to: ConnId) -> Vec<(String, String)> {
    let server = mail.messages(to).into_iter().filter(Message::is_from_server);
    let lines = server.filter(|message| StateLine::parse(&message.msg).is_some());
    lines.map(|message| (message.to, message.msg)).collect()
}

/// The same without `to`.
fn texts(mail: &Mail, to: ConnId) -> Vec<String> {
    lines(mail, to).into_iter().map(|(_, line)| line).collect()
}

/// A stream peer that wants state lines.
fn reader(house: &mut House, name: &str) -> ConnId {
    let conn = house.stream(name);
    let answer = house.ask(conn, "/state", "on");
    assert_eq!(answer, format!("Reporting on name={name} role=user login=false"));
    conn
}

fn log_in(house: &mut House, conn: ConnId, account: &str, role: Role) {
    house.send(conn, "/login", &format!("{account} secret"));
    let (token, _) = order(house);
    house.complete(token, Completion::LoggedIn(name(account), Ok(Granted::new(role, 1))));
}

#[test]
fn a_user_who_did_not_ask_is_sent_none() {
    let mut house = House::new();
    let [alice, bob] = ["alice", "bob"].map(|name| house.stream(name));
    house.send(alice, "/join", "#tea");
    house.send(bob, "/join", "#tea");
    rename(&mut house, bob, "robert");
    house.send(bob, "/leave", "#tea");
    assert_eq!(texts(&house.mail(), alice), [""; 0]);
    let _ = reader(&mut house, "carol");
    assert_eq!(house.ask(alice, "/state", "off"), "Reporting off");
    assert_eq!(house.ask(alice, "/state", ""), "❌ Send /state on|off.");
    house.send(bob, "/join", "#tea");
    assert_eq!(texts(&house.mail(), alice), [""; 0]);
}

#[test]
fn a_room_is_followed_from_its_list_on() {
    let mut house = House::new();
    let alice = reader(&mut house, "alice");
    let [bob, carol] = ["bob", "ann \"lee\""].map(|name| house.stream(name));
    house.send(bob, "/join", GREEN_TEA);
    house.send(carol, "/join", GREEN_TEA);
    house.forget();
    house.send(alice, "/join", GREEN_TEA);
    let mail = house.mail();
    let said: Vec<_> = mail.messages(alice).into_iter().map(|m| (m.to, m.msg)).collect();
    assert_eq!(said[0].1, "State moved room=\"#green tea\" member=true reason=joined");
    assert!(said[1].1.starts_with("Joined #green tea."), "{said:?}");
    let members = "State members room=\"#green tea\" count=3 names=\"bob,ann \"\"lee\"\",alice\"";
    assert_eq!(said[2], ("alice".to_owned(), members.to_owned()));
    assert_eq!(said.len(), 3);

    let room = |text: &str| ("#green tea".to_owned(), text.to_owned());
    let own = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let dave = house.stream("dave");
    house.send(dave, "/join", GREEN_TEA);
    let joined = room("State joined room=\"#green tea\" name=dave");
    assert_eq!(lines(&house.mail(), alice), [joined]);
    house.send(carol, "/leave", GREEN_TEA);
    let left = room("State left room=\"#green tea\" name=\"ann \"\"lee\"\"\" reason=left");
    assert_eq!(lines(&house.mail(), alice), [left]);
    house.hub.handle_disconnect(dave, Departure::Lost, house.now, &mut house.out);
    let left = room("State left room=\"#green tea\" name=dave reason=disconnected");
    assert_eq!(lines(&house.mail(), alice), [left]);
    rename(&mut house, bob, "a=b");
    let renamed = room("State renamed room=\"#green tea\" old=bob name=\"a=b\"");
    assert_eq!(lines(&house.mail(), alice), [renamed]);
    rename(&mut house, alice, "al");
    let renamed = own("al", "State renamed old=alice name=al self=true");
    assert_eq!(lines(&house.mail(), alice), [renamed]);
    house.send(alice, "/leave", GREEN_TEA);
    let moved = own("al", "State moved room=\"#green tea\" member=false reason=left");
    assert_eq!(lines(&house.mail(), alice), [moved]);
    house.send(bob, "/leave", GREEN_TEA);
    assert_eq!(lines(&house.mail(), alice), []);
}

fn rename(house: &mut House, conn: ConnId, to: &str) {
    house.send(conn, "/nick", to);
    while let Some(effect) = house.out.next_effect() {
        if let chatproto::hub::Effect::Claim { token, .. } = effect {
            house.complete(token, Completion::Claimed(0));
        }
    }
}

#[test]
fn each_join_has_one_line() {
    let mut house = House::new();
    let alice = reader(&mut house, "alice");
    let mut line = |msg: &str| {
        house.send(alice, "/join", msg);
        let lines = texts(&house.mail(), alice);
        lines.into_iter().filter(|line| line.starts_with("State moved")).collect::<Vec<_>>()
    };
    assert_eq!(line("#tea"), ["State moved room=#tea member=true reason=joined"]);
    assert_eq!(line(" #te\u{301}a"), ["State moved room=#t\u{e9}a member=true reason=joined"]);
    assert_eq!(line("#tea"), ["State moved room=#tea member=true reason=already"]);
    assert_eq!(line("tea"), ["State moved member=false reason=refused"]);
    assert_eq!(line(""), ["State moved member=false reason=refused"]);
    assert_eq!(line("#a b"), ["State moved member=false reason=refused"]);
    let mut limits = Limits::default();
    limits.rooms = 2;
    house.hub.set_limits(limits);
    house.send(alice, "/join", "#third");
    let refused = "State moved room=#third member=false reason=refused";
    assert_eq!(texts(&house.mail(), alice), [refused]);
}

#[test]
fn the_lines_begin_with_the_lists_of_the_rooms() {
    let mut house = House::of(Hub::builder().announce(true));
    let alice = house.stream("alice");
    house.send(alice, "/join", "#tea");
    house.send(alice, "/join", "#cake");
    house.forget();
    house.send(alice, "/state", "on");
    let mail = house.mail();
    let said: Vec<String> = mail.said(alice, "alice");
    assert_eq!(
        said,
        [
            "Reporting on name=alice role=user login=false",
            "State members count=1 names=\"alice\"",
            "State members room=#tea count=1 names=\"alice\"",
            "State members room=#cake count=1 names=\"alice\"",
        ]
    );
    // and everybody is told of who comes and goes
    let bob = house.join("bob", PeerKind::Stream, HOME);
    let to_all = |text: &str| ("Everyone".to_owned(), text.to_owned());
    assert_eq!(lines(&house.mail(), alice), [to_all("State joined name=bob")]);
    rename(&mut house, bob, "rob");
    assert_eq!(lines(&house.mail(), alice), [to_all("State renamed old=bob name=rob")]);
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    let left = to_all("State left name=rob reason=disconnected");
    assert_eq!(lines(&house.mail(), alice), [left]);
}

#[test]
fn a_list_takes_as_many_lines_as_it_needs_and_nothing_comes_between() {
    let mut house = House::new();
    let names: BTreeSet<String> = (0..3000).map(|n| format!("a rather long name {n}")).collect();
    for name in &names {
        let conn = house.stream(name);
        house.send(conn, "/join", "#tea");
    }
    house.forget();
    for (me, kind) in [("alice", PeerKind::Stream), ("one", PeerKind::OneRead)] {
        let conn = house.join(me, kind, HOME);
        house.send(conn, "/state", "on");
        house.forget();
        house.send(conn, "/join", "#tea");
        let mail = house.mail();
        let (limit, lines) = match kind {
            PeerKind::Stream => (16 * 1024, texts(&mail, conn)),
            PeerKind::OneRead => (1024, texts(&mail, conn)),
        };
        assert!(mail.raw(conn).iter().all(|raw| raw.len() < limit), "{me}");
        assert!(lines[0].starts_with("State moved"), "{me}");
        let lines: Vec<_> = lines[1..].iter().map(|line| StateLine::parse(line).unwrap()).collect();
        let total = lines.len();
        assert!(total > 1 && total <= 16, "{me}: {total} lines");
        let mut listed = BTreeSet::new();
        for (k, line) in lines.iter().enumerate() {
            let part = format!("{}/{total}", k + 1);
            assert_eq!((line.kind, line.pairs.get("part")), ("members", Some(&*part)));
            listed.extend(line.pairs.get("names").unwrap().split(',').map(str::to_owned));
        }
        let count = lines[0].pairs.number("count").unwrap();
        let more = lines[total - 1].pairs.number("more").unwrap_or(0);
        assert_eq!(listed.len() as u64 + more, count, "{me}");
        assert_eq!(more > 0, kind == PeerKind::OneRead);
        if more == 0 {
            assert!(names.iter().all(|name| listed.contains(name)));
        }
    }
}

#[test]
fn lines_about_a_room_wait_for_its_list() {
    let mut house = House::of(Hub::builder().history("e", 1));
    let alice = reader(&mut house, "alice");
    let bob = house.stream("bob");
    // the page is part of the answer, and the list comes behind it
    house.send(alice, "/join", "#tea 5");
    let Some(chatproto::hub::Effect::History { token, .. }) = house.out.next_effect() else {
        panic!("a page is asked for");
    };
    assert_eq!(texts(&house.mail(), alice), ["State moved room=#tea member=true reason=joined"]);
    house.send(bob, "/join", "#tea");
    assert_eq!(texts(&house.mail(), alice), [""; 0]);
    let at = chatproto::hub::Conversation::room(&chatproto::RoomName::new("#tea").unwrap());
    house.complete(token, Completion::Replayed(at, Ok(chatproto::hub::Page::default())));
    let said = house.mail().said(alice, "alice");
    assert!(said[0].starts_with("history #tea") && said[1] == "end of history #tea", "{said:?}");
    assert_eq!(said[2], "State members room=#tea count=2 names=\"alice,bob\"");
}

#[test]
fn what_is_counted_is_followed_by_the_list_or_by_its_number() {
    let mut house = House::new();
    let alice = reader(&mut house, "alice");
    house.send(alice, "/join", "#tea");
    let joins: Vec<ConnId> = (0..15).map(|n| house.stream(&format!("u{n:02}"))).collect();
    house.forget();
    for &conn in &joins {
        house.send(conn, "/join", "#tea");
    }
    assert_eq!(texts(&house.mail(), alice).len(), 9, "after her own, as many as notices");
    let flush = |house: &mut House| {
        house.now.monotonic = house.hub.poll_timeout().expect("a count is due");
        house.hub.handle_timeout(house.now, &mut house.out);
        let mail = house.mail();
        lines(&mail, alice)
    };
    let told = flush(&mut house);
    let [(to, line)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(to, "#tea");
    let line = StateLine::parse(line).unwrap();
    let names: BTreeSet<&str> = line.pairs.get("names").unwrap().split(',').collect();
    assert_eq!((line.pairs.number("count"), names.len()), (Some(16), 16));
    // in a crowd only the number is told
    for n in 0..100 {
        let conn = house.stream(&format!("v{n}"));
        house.send(conn, "/join", "#tea");
    }
    house.forget();
    let told = flush(&mut house);
    let number = ("#tea".to_owned(), "State members room=#tea count=116".to_owned());
    assert_eq!(told, [number]);
}

#[test]
fn the_last_line_says_why_the_server_closes() {
    let policy = AccountPolicy::Optional;
    let closed = |act: &dyn Fn(&mut House, ConnId)| {
        let mut house = House::of(Hub::builder().accounts(policy).admin_token("t"));
        let conn = house.join("alice", PeerKind::Stream, AWAY);
        house.send(conn, "/state", "on");
        house.forget();
        act(&mut house, conn);
        let mail = house.mail();
        if !mail.raw(conn).is_empty() {
            assert!(mail.closes(conn), "{mail:?}");
        }
        let lines = texts(&mail, conn);
        let last = mail.messages(conn).pop().map(|message| message.msg);
        assert_eq!(lines.last(), last.as_ref(), "it is the last of all");
        lines
    };
    let operator = |house: &mut House, action| {
        let House { hub, out, now } = house;
        hub.act(&Actor::operator(""), action, *now, out).unwrap();
    };
    let target = |text: &str| text.parse::<BanTarget>().unwrap();
    let ban = |target| Action::Ban { target, duration: None, reason: String::new() };
    let kick = || Action::Kick { user: "alice".to_owned(), reason: String::new() };
    let line = |reason| [format!("State closed reason={reason}")];
    assert_eq!(closed(&|house, _| operator(house, kick())), line("kicked"));
    assert_eq!(closed(&|house, _| operator(house, ban(target("alice")))), line("banned"));
    assert_eq!(closed(&|house, _| operator(house, ban(target("192.0.2.0/24")))), line("banned"));
    assert_eq!(closed(&|house, conn| assert!(house.send_raw(conn, b"x"))), line("errors"));
    let err = |house: &mut House, conn| (0..20).for_each(|_| assert!(house.send_raw(conn, b"{}")));
    assert_eq!(closed(&err), line("errors"));
    let stop = |house: &mut House, _| house.hub.handle_shutdown(house.now, &mut house.out);
    assert_eq!(closed(&stop), line("shutdown"));
    let elsewhere = |house: &mut House, conn| {
        log_in(house, conn, "alice", Role::User);
        house.forget();
        let other = house.join("alice", PeerKind::Stream, AWAY);
        log_in(house, other, "alice", Role::User);
    };
    assert_eq!(closed(&elsewhere), line("elsewhere"));
    let change = |house: &mut House, conn| {
        log_in(house, conn, "alice", Role::User);
        house.forget();
        let House { hub, out, now } = house;
        hub.handle_account_change(&name("alice"), AccountChange::Password, 2, *now, out);
    };
    assert_eq!(closed(&change), line("refused"));
    // the peer itself closes
    let end = |house: &mut House, conn| {
        assert!(house.hub.handle_end(conn, Departure::Left, house.now, &mut house.out));
    };
    assert_eq!(closed(&end), [""; 0]);
}

#[test]
fn the_last_words_to_a_slow_reader_end_with_the_line() {
    let mut house = House::new();
    for (kind, name) in [(PeerKind::Stream, "alice"), (PeerKind::OneRead, "one")] {
        let conn = house.join(name, kind, HOME);
        house.send(conn, "/state", "on");
        house.forget();
        let mut words = Vec::new();
        house.hub.write_missed(conn, 3, false, &mut words);
        assert_eq!(words.split_inclusive(|&byte| byte == b'\n').count(), 1, "it goes on");
        house.hub.write_missed(conn, 3, true, &mut words);
        let last = words.split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
        assert_eq!(Message::decode(last).unwrap().msg, "State closed reason=slow");
        house.hub.handle_eviction(
            conn,
            Departure::TooSlow { missed: 3 },
            house.now,
            &mut house.out,
        );
        assert!(house.mail().raw(conn).is_empty());
    }
}

#[test]
fn a_visitor_follows_its_own_login_and_is_told_why_it_is_closed() {
    let mut limits = Limits::default();
    limits.login = Duration::from_secs(60);
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Required).limits(limits));
    let [alice, bob] = ["alice", "bob"].map(|wanted| guest(&mut house, wanted));
    house.forget();
    for (conn, name) in [(alice, "alice~1"), (bob, "bob~2")] {
        let on = format!("Reporting on name={name} role=user login=false visitor=true");
        assert_eq!(house.ask(conn, "/state", "on"), on);
    }
    log_in(&mut house, alice, "alice", Role::Moderator);
    let expected = [
        "State renamed old=alice~1 name=alice self=true",
        "State role name=alice role=moderator login=true",
    ];
    assert_eq!(texts(&house.mail(), alice), expected);
    house.now.monotonic += Duration::from_secs(60);
    house.hub.handle_timeout(house.now, &mut house.out);
    let mail = house.mail();
    assert!(mail.closes(bob));
    assert_eq!(texts(&mail, bob), ["State closed reason=refused"]);
    // under the name that it was told
    let last_words = mail.messages(bob);
    assert_eq!(last_words.len(), 2);
    assert!(last_words.iter().all(|message| message.to == "bob~2"), "{last_words:?}");
}

#[test]
fn names_and_rights_that_others_change_are_told() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional).admin_token("t"));
    let alice = reader(&mut house, "alice");
    house.send(alice, "/admin", "t");
    let role = |role, login| [format!("State role name=alice role={role} login={login}")];
    assert_eq!(texts(&house.mail(), alice), role("admin", false));
    house.send(alice, "/admin", "t");
    assert_eq!(texts(&house.mail(), alice), [""; 0], "nothing changed");
    house.send(alice, "/role", "alice user");
    assert_eq!(texts(&house.mail(), alice), role("user", false));
    house.send(alice, "/register", "\"correct horse\"");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::Registered(Ok(granted())));
    assert_eq!(texts(&house.mail(), alice), role("user", true));
    let House { hub, out, now } = &mut house;
    hub.handle_account_change(&name("alice"), AccountChange::Role(Role::Moderator), 2, *now, out);
    assert_eq!(texts(&house.mail(), alice), role("moderator", true));
    house.send(alice, "/unregister", "\"correct horse\"");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::Unregistered(Ok(3)));
    assert_eq!(texts(&house.mail(), alice), role("user", false));
    let House { hub, out, now } = &mut house;
    hub.handle_account_change(&name("alice"), AccountChange::Added(Role::User), 4, *now, out);
    let renamed = "State renamed old=alice name=alice~1 self=true";
    assert_eq!(texts(&house.mail(), alice), [renamed]);
    log_in(&mut house, alice, "alice", Role::User);
    let expected = [
        "State renamed old=alice~1 name=alice self=true",
        "State role name=alice role=user login=true",
    ];
    assert_eq!(texts(&house.mail(), alice), expected);
}

#[test]
fn a_closed_room_is_told_to_each_of_its_members() {
    let mut house = House::new();
    let [alice, bob] = ["alice", "bob"].map(|name| reader(&mut house, name));
    house.send(alice, "/join", "#tea");
    house.send(bob, "/join", "#tea");
    house.forget();
    let close = Action::Close { room: "#tea".to_owned(), reason: "late".to_owned() };
    let House { hub, out, now } = &mut house;
    hub.act(&Actor::operator(""), close, *now, out).unwrap();
    let mail = house.mail();
    for (conn, name) in [(alice, "alice"), (bob, "bob")] {
        let said: Vec<_> = mail.messages(conn).into_iter().map(|m| (m.to, m.msg)).collect();
        assert_eq!(said[0].0, "#tea");
        let moved = "State moved room=#tea member=false reason=closed";
        assert_eq!(said[1..], [(name.to_owned(), moved.to_owned())]);
    }
}

#[test]
fn no_user_can_have_the_server_say_a_line() {
    let forged = [
        "State moved room=#evil member=true x=\"",
        "State closed reason=kicked",
        "State left room=#tea name=bob x=\"",
        "history #tea count=1 ids=1 epoch=e more=false x=\"",
        "end of history #tea",
        "Reporting on name=x",
        "Resumed name=x",
    ];
    let is_forged = |message: &Message| {
        let text = message.msg.as_str();
        let heads = ["State ", "history ", "end of history ", "Reporting ", "Resume"];
        message.is_from_server() && heads.iter().any(|head| text.starts_with(head))
    };
    for evil_name in forged {
        let mut house = House::of(Hub::builder().admin_token("t").announce(true));
        let alice = house.stream("alice");
        house.send(alice, "/join", "#tea");
        let evil = house.stream(evil_name);
        house.send(evil, "/admin", "t");
        house.send(evil, "/away", "\"");
        house.send(evil, "/join", "#tea");
        house.send(evil, "/roll", "#tea");
        house.send(alice, evil_name, "hello");
        rename(&mut house, evil, "y\" z=");
        rename(&mut house, evil, evil_name);
        house.send(evil, "/leave", "#tea");
        house.send(evil, "/join", "#tea");
        house.send(evil, "/close", "#tea \" z=");
        house.send(alice, "/who", "#tea");
        house.send(alice, "/list", "");
        let heard = house.mail().messages(alice);
        assert!(heard.len() > 8, "{heard:?}");
        assert!(!heard.iter().any(is_forged), "{heard:?}");
        // what one asks to be said is said
        assert_eq!(house.ask(alice, "/ping", evil_name), evil_name);
    }
}

#[test]
fn an_endpoint_of_the_application_says_no_line() {
    let endpoint = |request: &chatproto::endpoint::Request| Ok(request.msg.clone());
    let mut house = House::of(Hub::builder().endpoint("/echo", "Echoes.", endpoint).unwrap());
    let alice = house.stream("alice");
    house.send(alice, "/echo", "x");
    let Some(chatproto::hub::Effect::Call { token, .. }) = house.out.next_effect() else {
        panic!("a call");
    };
    let text = "State moved room=#evil member=true reason=joined";
    house.complete(token, Completion::Answered(Ok(text.to_owned())));
    assert_eq!(house.mail().said(alice, "alice"), [format!("- {text}")]);
}
