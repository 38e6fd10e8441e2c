//! Names with owners: guests under temporary names, logging in, registering, and a server for those
//! with accounts only. The accounts here are what each test says.

use std::time::Duration;

use chatproto::accounts::{AccountOrder, AccountPolicy, Credentials, Granted};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    AccountChange, Completion, ConnId, Departure, Effect, Event, Hub, Role, Token,
};
use chatproto::{Limits, UserName};

use crate::common::accounts::{granted, granted_at, guest, name, order};
use crate::common::{AWAY, HOME, House};

fn house() -> House {
    House::of(Hub::builder().accounts(AccountPolicy::Optional).admin_token("t"))
}

fn log_in(house: &mut House, conn: ConnId, msg: &str, granted: Granted) -> Credentials {
    house.send(conn, "/login", msg);
    let (token, order) = order(house);
    let AccountOrder::Login(credentials) = order else { panic!("{order:?}") };
    let completion = Completion::LoggedIn(credentials.name.clone(), Ok(granted));
    house.complete(token, completion);
    credentials
}

#[test]
fn without_accounts_their_commands_are_unknown() {
    let mut house = House::new();
    let alice = house.stream("alice");
    for command in ["/login", "/register", "/passwd", "/unregister"] {
        assert!(house.ask(alice, command, "x").starts_with("❌ Unknown command"));
    }
}

#[test]
fn who_asks_for_an_owned_name_is_a_guest_under_a_temporary_one_and_is_told_how_to_log_in() {
    let mut house = house();
    let conn = guest(&mut house, "alice");
    let said = house.mail().said(conn, "alice~1");
    assert!(said[0].starts_with("Welcome, alice~1!"), "{said:?}");
    assert!(said[1].contains("The name alice belongs to an account") && said[1].contains("/login"));
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["alice~1"]);
    // it neither speaks as, nor reads for the owner
    let bob = house.stream("bob");
    house.send(conn, "bob", "I am alice");
    assert_eq!(house.mail().messages(bob)[0].from.name, "alice~1");
    assert!(house.ask(bob, "alice", "secret").contains("not found"));
    // another guest has another name, and the longest name is cut where a character ends
    let other = guest(&mut house, "alice");
    assert_eq!(house.mail().messages(other)[0].to, "alice~2");
    let long = "\u{e9}".repeat(32);
    let conn = guest(&mut house, &long);
    assert_eq!(house.mail().messages(conn)[0].to, format!("{}~3", "\u{e9}".repeat(31)));
}

#[test]
fn logging_in_gives_the_name_and_the_role_and_ends_the_session_before() {
    let mut house = house();
    let stale = guest(&mut house, "alice");
    log_in(&mut house, stale, "secret", granted());
    let bob = house.stream("bob");
    house.send(stale, "/join", "#tea");
    house.send(bob, "/join", "#tea");
    house.forget();
    // the name is in use, and by its owner: a guest all the same, who can get it
    let conn = house.join("alice", PeerKind::Stream, AWAY);
    assert_eq!(house.mail().messages(conn)[0].to, "alice~2");
    house.send(conn, "/join", "#tea");
    house.forget();
    let role = Role::Moderator;
    let mut granted = Granted::new(role, 1);
    granted.notice = Some("Beware.".to_owned());
    let credentials = log_in(&mut house, conn, "/login secret", granted);
    assert_eq!(credentials.name, name("alice"));
    assert_eq!((credentials.password.as_str(), credentials.address), ("secret", AWAY));
    assert!(!credentials.is_secure);
    let mail = house.mail();
    let own: Vec<_> = mail.messages(conn).into_iter().filter(|m| m.to == "alice").collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].msg, "You are logged in as alice, a moderator. Beware.");
    let last = mail.messages(stale).pop().unwrap();
    assert!(last.msg.starts_with("⛔ alice has logged in elsewhere"), "{last:?}");
    let told: Vec<_> = mail.messages(bob).into_iter().map(|message| message.msg).collect();
    assert_eq!(told, ["alice disconnected.", "alice~2 is now alice."]);
    let mut users: Vec<_> = house.hub.users().map(str::to_owned).collect();
    users.sort_unstable();
    assert_eq!(users, ["alice", "bob"]);
    let events = house.events();
    assert!(events.iter().any(|event| matches!(event, Event::LoggedIn { name, .. }
        if name.as_str() == "alice")));
    assert!(events.iter().any(|event| matches!(event, Event::Departed { reason, .. }
        if *reason == Departure::Replaced)));
    assert!(house.ask(conn, "/whoami", "").contains("a moderator, logged in"));
    assert!(house.ask(conn, "/login", "x").starts_with("You are logged in as alice already"));
    assert!(house.ask(conn, "/nick", "eve").contains("you are logged in under it"));
    house.send(bob, "alice", "hi");
    assert_eq!(house.mail().messages(conn).len(), 1);
}

#[test]
fn a_wrong_password_changes_nothing_and_counts_as_an_error() {
    let mut house = house();
    let conn = guest(&mut house, "alice");
    house.forget();
    for n in 1.. {
        house.send(conn, "/login", "wrong");
        let (token, _) = order(&mut house);
        let refusal = Err("that is not the password.".to_owned());
        house.complete(token, Completion::LoggedIn(name("alice"), refusal));
        let answer = house.mail().messages(conn).remove(0);
        assert_eq!(answer.to, "alice~1");
        if n == Limits::default().errors {
            assert!(answer.msg.contains("one error too many"), "{answer:?}");
            break;
        }
        assert_eq!(answer.msg, "❌ that is not the password.");
    }
    let events = house.events();
    assert!(events.iter().any(|event| matches!(event, Event::Denied { endpoint, .. }
        if &**endpoint == "/login")));
}

#[test]
fn one_can_log_in_under_another_name_than_the_one_asked_for() {
    let mut house = house();
    let conn = house.stream("robot");
    let credentials = log_in(&mut house, conn, r#"alice "correct horse""#, granted());
    assert_eq!(credentials.name, name("alice"));
    assert_eq!(credentials.password.as_str(), "correct horse");
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["alice"]);
    house.forget();
    let conn = house.stream("bob");
    for bad in ["", "a b c", "/login", "/x y"] {
        let answer = house.ask(conn, "/login", bad);
        assert!(answer.starts_with("❌ "), "{bad}: {answer}");
    }
}

#[test]
fn registering_makes_the_name_ones_own_until_it_is_given_up() {
    let mut house = house();
    let conn = house.stream("alice");
    house.send(conn, "/register", "/register secret");
    let (token, order) = order(&mut house);
    let AccountOrder::Register(credentials) = order else { panic!("{order:?}") };
    assert_eq!((credentials.name.as_str(), credentials.password.as_str()), ("alice", "secret"));
    assert!(house.out.actions().next().is_none(), "it waits");
    house.complete(token, Completion::Registered(Ok(granted())));
    assert!(house.mail().only_answer(conn).starts_with("The name alice is yours"));
    assert!(house.ask(conn, "/register", "x").contains("yours already"));
    house.send(conn, "/passwd", "secret new");
    let (token, order) = self::order(&mut house);
    let AccountOrder::ChangePassword(credentials, new) = order else { panic!("{order:?}") };
    assert_eq!((credentials.password.as_str(), new.as_str()), ("secret", "new"));
    house.complete(token, Completion::PasswordChanged(Ok(granted_at(2))));
    assert_eq!(house.mail().only_answer(conn), "Your password is changed.");
    house.send(conn, "/unregister", "new");
    let (token, _) = self::order(&mut house);
    house.complete(token, Completion::Unregistered(Ok(3)));
    assert!(house.mail().only_answer(conn).starts_with("The account is gone."));
    assert!(house.ask(conn, "/passwd", "a b").contains("log in first"));
    assert!(house.ask(conn, "/unregister", "a").contains("log in first"));
    let guest = guest(&mut house, "bob");
    house.forget();
    assert!(house.ask(guest, "/register", "x").contains("a temporary one"));
}

#[test]
fn a_refusal_says_why_and_leaves_things_as_they_are() {
    let mut house = house();
    let conn = house.stream("alice");
    let no = || Err("too short.".to_owned());
    house.send(conn, "/register", "x");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::Registered(no()));
    assert_eq!(house.mail().only_answer(conn), "❌ Not registered: too short.");
    house.send(conn, "/register", "x");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::Failed);
    assert_eq!(house.mail().only_answer(conn), "❌ The command failed. Try again later.");
    assert!(house.ask(conn, "/passwd", "a b").contains("log in first"));

    house.send(conn, "/register", "secret");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::Registered(Ok(granted())));
    house.forget();
    house.send(conn, "/passwd", "secret x");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::PasswordChanged(Err("too short.".to_owned())));
    assert_eq!(house.mail().only_answer(conn), "❌ Your password is not changed: too short.");
    house.send(conn, "/unregister", "x");
    let (token, _) = order(&mut house);
    house.complete(token, Completion::Unregistered(Err("the password is wrong.".to_owned())));
    assert_eq!(house.mail().only_answer(conn), "❌ The account stays: the password is wrong.");
    assert!(house.ask(conn, "/register", "x").contains("yours already"));
}

#[test]
fn nobody_takes_an_owned_name_by_nick() {
    let mut house = house();
    let conn = house.stream("eve");
    house.send(conn, "/nick", "alice");
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Reserved);
    let answer = house.mail().only_answer(conn);
    assert!(answer.starts_with("❌ Your name stays eve: that name belongs to an account"));
    // and who waits for a name when its owner logs in does not get it
    house.send(conn, "/nick", "alice");
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    let owner = house.stream("bob");
    log_in(&mut house, owner, "alice secret", granted());
    house.forget();
    house.complete(token, Completion::Claimed(0));
    house.forget();
    let mut users: Vec<_> = house.hub.users().map(str::to_owned).collect();
    users.sort_unstable();
    assert_eq!(users, ["alice", "eve"]);
}

#[test]
fn who_claims_a_name_while_its_owner_logs_in_becomes_a_guest() {
    let mut house = house();
    let (claimant, token) = house.claim("alice");
    let owner = house.stream("bob");
    log_in(&mut house, owner, "alice secret", granted());
    house.forget();
    house.complete(token, Completion::Reserved);
    let messages = house.mail().messages(claimant);
    assert!(messages[0].to.starts_with("alice~"), "{messages:?}");
    assert!(messages[1].msg.contains("The name alice belongs"), "{messages:?}");
    let users: Vec<_> = house.hub.users().collect();
    assert!(users.contains(&"alice") && users.len() == 2, "{users:?}");
}

/// A connection that asks for a name while somebody else's claim of it is undecided.
fn contend(house: &mut House, wanted: &str) -> (ConnId, Token) {
    let conn = house.connect(HOME);
    house.name(conn, wanted, PeerKind::Stream);
    assert!(house.hub.is_waiting(conn));
    match house.out.next_effect() {
        Some(Effect::CheckReserved { token, name }) if name.as_str() == wanted => (conn, token),
        other => panic!("not asked whether {wanted} is reserved: {other:?}"),
    }
}

#[test]
fn who_asks_for_an_owned_name_beside_another_claim_becomes_a_guest_too() {
    let mut house = house();
    let (thief, first) = house.claim("alice");
    let (owner, second) = contend(&mut house, "alice");
    let (late, third) = contend(&mut house, "alice");
    // in whatever order it is found out
    assert_eq!(house.complete(second, Completion::Reserved), Some(owner));
    assert_eq!(house.complete(first, Completion::Reserved), Some(thief));
    assert_eq!(house.complete(third, Completion::Reserved), Some(late));
    let mail = house.mail();
    for conn in [thief, owner, late] {
        let messages = mail.messages(conn);
        assert!(messages[1].msg.contains("The name alice belongs"), "{messages:?}");
    }
    log_in(&mut house, owner, "secret", granted());
    house.forget();
    assert!(house.ask(owner, "/whoami", "").contains("You are alice"));
}

#[test]
fn who_asks_for_a_name_that_somebody_has_is_refused_at_once() {
    let mut house = house();
    house.stream("bob");
    let conn = house.connect(HOME);
    house.name(conn, "bob", PeerKind::Stream);
    assert!(house.mail().refusal(conn).contains("in use"));
    assert!(house.out.next_effect().is_none(), "nobody is asked");
}

#[test]
fn who_asks_for_a_name_that_somebody_gets_is_refused() {
    let mut house = house();
    let (first, claim) = house.claim("bob");
    let (second, check) = contend(&mut house, "bob");
    house.complete(claim, Completion::Claimed(0));
    house.forget();
    house.complete(check, Completion::Unreserved);
    let answer = &house.mail().messages(second)[0].msg;
    assert!(answer.contains("the name \"bob\" is already in use"), "{answer}");
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["bob"]);

    // and beside one who waits to be renamed
    house.send(first, "/nick", "carol");
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    let (third, check) = contend(&mut house, "carol");
    house.complete(check, Completion::Unreserved);
    let answer = &house.mail().messages(third)[0].msg;
    assert!(answer.contains("the name \"carol\" is already in use"), "{answer}");
    house.complete(token, Completion::Claimed(0));
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["carol"]);
}

#[test]
fn what_answers_another_question_leaves_no_name_undecided() {
    let mut house = house();
    let (claimant, claim) = house.claim("alice");
    let (contender, check) = contend(&mut house, "alice");
    house.complete(claim, Completion::Unreserved);
    house.complete(check, Completion::Claimed(0));
    let mail = house.mail();
    for conn in [claimant, contender] {
        let refusal = &mail.messages(conn)[0].msg;
        assert!(refusal.contains("the name cannot be checked now"), "{refusal}");
        assert!(!house.hub.is_waiting(conn));
    }
    assert_eq!(house.hub.users().count(), 0);
}

#[test]
fn who_has_ended_is_not_waited_for_without_end() {
    let mut house = house();
    let idle = house.stream("idle");
    let asking = house.stream("asking");
    house.send(asking, "/register", "secret");
    order(&mut house);
    let (claimant, _) = house.claim("alice");
    house.forget();
    for conn in [idle, asking, claimant] {
        house.hub.handle_overdue(conn, house.now, &mut house.out);
    }
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["idle"], "it waits for nothing");
    let mail = house.mail();
    assert!(mail.messages(claimant)[0].msg.contains("cannot be checked now"));
    assert!(mail.messages(idle).is_empty() && mail.messages(asking).is_empty());
}

#[test]
fn who_asks_for_an_undecided_name_and_leaves_leaves_nothing_behind() {
    let mut house = house();
    let (_, claim) = house.claim("alice");
    let (gone, check) = contend(&mut house, "alice");
    let now = house.now;
    house.hub.handle_disconnect(gone, Departure::Left, now, &mut house.out);
    assert_eq!(house.complete(check, Completion::Reserved), None);
    house.complete(claim, Completion::Claimed(0));
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["alice"]);
    assert!(house.out.next_effect().is_none(), "nothing was claimed for it");
}

#[test]
fn of_two_that_log_in_at_once_the_last_has_the_name() {
    let mut house = house();
    let (one, other) = (guest(&mut house, "alice"), guest(&mut house, "alice"));
    let mut tokens = Vec::new();
    for conn in [one, other] {
        house.send(conn, "/login", "secret");
        tokens.push(order(&mut house).0);
    }
    for token in tokens {
        house.complete(token, Completion::LoggedIn(name("alice"), Ok(granted())));
    }
    house.forget();
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["alice"]);
    assert!(house.ask(other, "/whoami", "").contains("You are alice"));
}

#[test]
fn a_ban_holds_for_owners_and_a_mute_for_guests_of_the_name() {
    let mut house = house();
    let moderator = house.stream("mod");
    house.send(moderator, "/admin", "t");
    let conn = guest(&mut house, "alice");
    house.forget();
    house.send(moderator, "/ban", "carol");
    house.forget();
    log_in(&mut house, conn, "carol secret", granted());
    let answer = house.mail().only_answer(conn);
    assert!(answer.starts_with("❌ Not logged in: you are banned"), "{answer}");
    log_in(&mut house, conn, "secret", granted());
    house.send(moderator, "/mute", "alice");
    house.forget();
    let again = house.join("alice", PeerKind::Stream, HOME);
    house.forget();
    assert!(house.ask(again, "mod", "hi").starts_with("❌ You are muted"));
}

#[test]
fn where_accounts_are_required_others_are_refused_and_owners_are_seen_once_they_logged_in() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Required));
    let (stranger, token) = house.claim("mallory");
    house.complete(token, Completion::Claimed(0));
    let refusal = house.mail().messages(stranger).remove(0).msg;
    assert!(refusal.starts_with("⛔ Error: this server is for those who have an account"));
    let bob = guest(&mut house, "bob");
    log_in(&mut house, bob, "secret", granted());
    house.forget();

    let visitor = guest(&mut house, "alice");
    let welcome = house.mail().said(visitor, "alice~2");
    assert!(welcome[0].starts_with("Welcome, alice~2!") && !welcome[0].contains("bob"));
    for (to, msg) in [
        ("bob", "hi"),
        ("/shout", "hi"),
        ("/list", ""),
        ("#tea", "x"),
        ("/join", "#tea"),
        ("/nobody", ""),
    ] {
        assert!(house.ask(visitor, to, msg).starts_with("❌ Log in first"), "{to}");
    }
    assert!(house.ask(visitor, "/help", "").starts_with("Commands: "));
    assert_eq!(house.ask(visitor, "/ping", "x"), "x");
    // nobody sees it, and it sees nobody
    assert!(!house.ask(bob, "/list", "").contains("alice"));
    assert!(house.ask(bob, "alice~2", "hi").contains("not found"));
    assert_eq!(house.ask(bob, "/shout", "hi"), "Delivered to 0 users.");
    log_in(&mut house, visitor, "secret", granted());
    let said = house.mail().said(visitor, "alice");
    assert_eq!(said[0], "You are logged in as alice.");
    assert!(said[1].starts_with("Welcome, alice!") && said[1].contains("bob"), "{said:?}");
    assert!(house.ask(bob, "/list", "").contains("alice"));
    house.hub.handle_disconnect(visitor, Departure::Left, house.now, &mut house.out);
    assert_eq!(house.hub.online(), 1);
}

#[test]
fn where_accounts_are_required_who_does_not_log_in_is_refused_in_the_end() {
    let mut limits = Limits::default();
    limits.login = Duration::from_secs(60);
    let builder = Hub::builder().accounts(AccountPolicy::Required).limits(limits);
    let mut house = House::of(builder);
    let idle = guest(&mut house, "alice");
    house.now.monotonic += Duration::from_secs(1);
    let owner = guest(&mut house, "bob");
    let gone = guest(&mut house, "carol");
    let late = guest(&mut house, "dave");
    log_in(&mut house, owner, "secret", granted());
    house.hub.handle_disconnect(gone, Departure::Left, house.now, &mut house.out);
    house.forget();

    house.now.monotonic += Duration::from_secs(59);
    assert_eq!(house.hub.poll_timeout(), Some(house.now.monotonic));
    house.hub.handle_timeout(house.now, &mut house.out);
    let mail = house.mail();
    assert_eq!(
        mail.messages(idle)[0].msg,
        "⛔ Error: you did not log in within 60 s. Connect again."
    );
    assert!(mail.messages(late).is_empty(), "it has a second more");
    house.now.monotonic += Duration::from_secs(1);
    house.hub.handle_timeout(house.now, &mut house.out);
    let mail = house.mail();
    assert_eq!(mail.messages(late).len(), 1);
    assert!(mail.messages(owner).is_empty());
    assert_eq!(house.hub.poll_timeout(), None);
    assert_eq!(house.hub.users().collect::<Vec<_>>(), ["bob"]);
}

#[test]
fn what_an_operator_does_to_an_account_concerns_who_is_connected_under_its_name() {
    let mut house = house();
    let conn = house.stream("alice");
    let mut revision = 0;
    let mut change = |house: &mut House, name: &UserName, change| {
        revision += 1;
        house.hub.handle_account_change(name, change, revision, house.now, &mut house.out);
    };
    let alice = name("alice");
    change(&mut house, &alice, AccountChange::Role(Role::Admin));
    change(&mut house, &alice, AccountChange::Password);
    assert!(house.mail().0.is_empty(), "who is no owner has nothing to do with it");
    change(&mut house, &alice, AccountChange::Added(Role::User));
    let said = house.mail().said(conn, "alice~1");
    assert!(said[0].starts_with("The name alice belongs to an account now: you are alice~1"));
    log_in(&mut house, conn, "secret", granted());
    house.forget();
    change(&mut house, &alice, AccountChange::Added(Role::User));
    assert!(house.mail().0.is_empty());
    change(&mut house, &alice, AccountChange::Role(Role::Moderator));
    assert_eq!(house.mail().only_answer(conn), "You are a moderator now.");
    assert!(house.ask(conn, "/whoami", "").contains("a moderator, logged in"));
    change(&mut house, &alice, AccountChange::Removed);
    let mail = house.mail();
    assert!(mail.messages(conn)[0].msg.starts_with("⛔ Your account was changed"));
    assert_eq!(house.hub.online(), 0);
    // each of these is written down, as an act of the operator
    let acts = house.events().into_iter().filter_map(|event| match event {
        Event::Moderated { actor, act, target, .. } => {
            Some(format!("{} {act} {target}", actor.name()))
        }
        _ => None,
    });
    assert_eq!(
        acts.collect::<Vec<_>>(),
        ["account add", "role moderator", "account remove"]
            .map(|act| format!("the operator {act} alice"))
    );
}

/// What becomes of a login, or of a registration, that is under way while something happens, and that
/// the accounts granted at this revision.
fn overtaken(command: &str, revision: u64, happens: impl Fn(&mut House)) -> String {
    let mut house = house();
    let conn = match command {
        "/login" => guest(&mut house, "alice"),
        _ => house.stream("alice"),
    };
    house.send(conn, command, "secret");
    let (token, order) = order(&mut house);
    happens(&mut house);
    house.forget();
    let completion = order.completion();
    let granted = Granted::new(Role::Moderator, revision);
    house.complete(token, completion(name("alice"), Ok(granted)));
    let said = house.mail().messages(conn);
    let text = said[0].msg.clone();
    let is_in = text.starts_with("You are logged in");
    assert_eq!(house.ask(conn, "/whoami", "").contains("moderator"), is_in, "{said:?}");
    text
}

#[test]
fn a_login_that_was_checked_after_a_change_takes_effect() {
    for change in [AccountChange::Role(Role::Moderator), AccountChange::Password] {
        let text = overtaken("/login", 2, |house| {
            let alice = name("alice");
            house.hub.handle_account_change(&alice, change, 2, house.now, &mut house.out);
        });
        assert_eq!(text, "You are logged in as alice, a moderator.", "{change:?}");
    }
}

#[test]
fn a_change_that_is_told_late_does_not_concern_those_who_logged_in_after_it() {
    let changes =
        [AccountChange::Role(Role::User), AccountChange::Password, AccountChange::Removed];
    for (change, revision) in changes.into_iter().flat_map(|change| [(change, 1), (change, 2)]) {
        let mut house = house();
        let conn = guest(&mut house, "alice");
        log_in(&mut house, conn, "secret", Granted::new(Role::Moderator, 2));
        house.forget();
        let alice = name("alice");
        house.hub.handle_account_change(&alice, change, revision, house.now, &mut house.out);
        assert!(house.mail().is_empty(), "{change:?} at {revision}");
        assert!(house.ask(conn, "/whoami", "").contains("a moderator, logged in"));
        assert_eq!(house.hub.account_revision(conn), Some(2));
    }
}

#[test]
fn the_user_who_changes_the_password_stays_and_has_its_revision() {
    let mut house = house();
    let conn = guest(&mut house, "alice");
    assert_eq!(house.hub.account_revision(conn), None);
    log_in(&mut house, conn, "secret", granted());
    house.send(conn, "/passwd", "secret new");
    let (token, change) = order(&mut house);
    house.complete(token, change.completion()(name("alice"), Ok(granted_at(5))));
    house.forget();
    assert_eq!(house.hub.account_revision(conn), Some(5));
    let alice = name("alice");
    house.hub.handle_account_change(&alice, AccountChange::Password, 5, house.now, &mut house.out);
    assert!(house.mail().is_empty(), "that is the change of its own");
    house.hub.handle_account_change(&alice, AccountChange::Password, 6, house.now, &mut house.out);
    assert!(house.mail().closes(conn));
}

#[test]
fn a_role_that_is_told_late_does_not_replace_a_later_one() {
    let mut house = house();
    let (boss, zed) = (name("boss"), guest(&mut house, "zed"));
    log_in(&mut house, zed, "secret", Granted::new(Role::Moderator, 1));
    house.forget();
    house.hub.set_stored_role(&boss, Role::Admin, 5);
    house.hub.set_stored_role(&boss, Role::User, 4);
    assert!(house.ask(zed, "/ban", "boss").contains("boss is an admin"));
    house.hub.set_stored_role(&boss, Role::User, 6);
    assert!(!house.ask(zed, "/ban", "boss").contains("boss is an admin"));
}

#[test]
fn a_login_that_was_under_way_while_its_account_changed_takes_no_effect() {
    let changes = [
        AccountChange::Role(Role::User),
        AccountChange::Password,
        AccountChange::Removed,
        AccountChange::Added(Role::User),
    ];
    for change in changes {
        for command in ["/login", "/register"] {
            let text = overtaken(command, 1, |house| {
                let alice = name("alice");
                house.hub.handle_account_change(&alice, change, 2, house.now, &mut house.out);
            });
            let refused = "❌ Not logged in: the account was changed meanwhile. Log in again.";
            assert_eq!(text, refused, "{command}, {change:?}");
        }
    }
}

#[test]
fn a_login_with_the_old_password_does_not_survive_its_change_by_the_owner() {
    for (command, text) in [("/passwd", "old new"), ("/unregister", "old")] {
        let text = overtaken("/login", 1, |house| {
            let owner = guest(house, "alice");
            log_in(house, owner, "secret", granted());
            house.send(owner, command, text);
            let (token, order) = order(house);
            let completion = order.completion();
            house.complete(token, completion(name("alice"), Ok(granted_at(2))));
        });
        assert!(text.contains("the account was changed meanwhile"), "{command}: {text}");
    }
}

#[test]
fn a_login_to_another_account_is_not_concerned_by_a_change() {
    let mut house = house();
    let conn = guest(&mut house, "alice");
    house.send(conn, "/login", "secret");
    let (token, order) = order(&mut house);
    house.forget();
    let bob = name("bob");
    house.hub.handle_account_change(&bob, AccountChange::Removed, 2, house.now, &mut house.out);
    let completion = order.completion();
    house.complete(token, completion(name("alice"), Ok(granted())));
    assert!(house.mail().messages(conn)[0].msg.starts_with("You are logged in as alice"));
}

#[test]
fn who_logged_in_with_the_old_password_while_the_owner_changed_it_is_closed() {
    let mut house = house();
    let owner = guest(&mut house, "alice");
    log_in(&mut house, owner, "secret", granted());
    let thief = house.connect(HOME);
    house.name(thief, "alice", PeerKind::Stream);
    house.send(owner, "/passwd", "secret new");
    let (token, change) = order(&mut house);
    log_in(&mut house, thief, "secret", granted());
    assert!(house.mail().closes(owner), "it has logged in elsewhere, as far as the server knows");
    house.complete(token, change.completion()(name("alice"), Ok(granted_at(2))));
    assert!(house.mail().closes(thief));
    assert_eq!(house.hub.online(), 0);
}
