//! Whose a name is: names that only the server gives, look-alikes, reserved words, and that nobody is
//! a user without an account where accounts are required.

use chatproto::accounts::{AccountOrder, AccountPolicy};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    AccountChange, Completion, ConnId, Departure, Effect, Event, Hub, Role, Token,
};

use crate::common::accounts::{self, granted, guest, name};
use crate::common::{HOME, House};

const FOR_OWNERS: &str = "⛔ Error: this server is for those who have an account";
const LOG_IN_FIRST: &str = "❌ Log in first: send /login with your password.";

fn house() -> House {
    House::of(Hub::builder().accounts(AccountPolicy::Optional))
}

/// A house for owners of accounts alone.
fn closed_house() -> House {
    House::of(Hub::builder().accounts(AccountPolicy::Required).admin_token("t"))
}

/// What a user asks of the accounts.
fn order(house: &mut House, conn: ConnId, to: &str, msg: &str) -> Token {
    house.send(conn, to, msg);
    accounts::order(house).0
}

fn logged_in(account: &str) -> Completion {
    Completion::LoggedIn(name(account), Ok(granted()))
}

/// The owner of an account, who has logged in.
fn owner(house: &mut House, account: &str) -> ConnId {
    let conn = guest(house, account);
    let token = order(house, conn, "/login", "secret");
    house.complete(token, logged_in(account));
    house.forget();
    conn
}

fn register(house: &mut House, conn: ConnId) -> String {
    let token = order(house, conn, "/register", "secret");
    house.complete(token, Completion::Registered(Ok(granted())));
    house.mail().only_answer(conn)
}

fn change(house: &mut House, account: &str, change: AccountChange, revision: u64) {
    house.hub.handle_account_change(&name(account), change, revision, house.now, &mut house.out);
}

fn users(house: &House) -> Vec<String> {
    let mut users: Vec<_> = house.hub.users().map(str::to_owned).collect();
    users.sort_unstable();
    users
}

#[test]
fn a_name_that_only_the_server_gives_is_given_on_no_request() {
    const WHY: &str = "only the server gives names that end in '~'";
    for has_accounts in [false, true] {
        let mut house = if has_accounts { house() } else { House::new() };
        let eve = house.stream("eve");
        for wanted in ["alice~7", "alice~", "~", "alice~0", "alice ~42", "alice~node-1"] {
            let conn = house.join(wanted, PeerKind::Stream, HOME);
            let refusal = house.mail().refusal(conn);
            assert!(refusal.contains(WHY), "{wanted}: {refusal}");
            let answer = house.ask(eve, "/nick", wanted);
            assert!(
                answer.starts_with("❌ Your name stays eve: ") && answer.contains(WHY),
                "{answer}"
            );
            if has_accounts {
                let answer = house.ask(eve, "/login", &format!("\"{wanted}\" secret"));
                assert!(
                    answer.starts_with("❌ Not logged in: ") && answer.contains(WHY),
                    "{answer}"
                );
            }
        }
        assert_eq!(users(&house), ["eve"]);
        assert!(house.out.next_effect().is_none(), "nobody is asked for such names");
    }
}

#[test]
fn an_account_has_no_name_that_a_guest_could_seem_to_have() {
    let mut house = house();
    let conn = house.stream("alice~I");
    let answer = house.ask(conn, "/register", "secret");
    assert!(answer.starts_with("❌ Not registered: the name looks like one that the server gives"));
    assert!(house.out.next_effect().is_none());
}

#[test]
fn no_guest_has_the_name_of_an_account_of_an_older_version_or_one_that_looks_like_it() {
    let mut house = house();
    // whether there is a guest of that name or not
    let first = guest(&mut house, "alice");
    house.forget();
    for account in ["alice~1", "alice~3", "alice~4", "A1ice~5", "bob"] {
        change(&mut house, account, AccountChange::Added(Role::User), 1);
    }
    let said = house.mail().said(first, "alice~2");
    assert_eq!(
        said[0],
        "The name alice~1 belongs to an account now: you are alice~2. Send /login with the password \
         to be alice."
    );
    house.released();
    for number in [6, 7] {
        let conn = guest(&mut house, "alice");
        assert_eq!(house.mail().messages(conn)[0].to, format!("alice~{number}"));
    }
}

#[test]
fn a_reserved_word_is_nobodys_name_however_it_is_written() {
    for (wanted, reserved) in [
        ("SERVER:", "SERVER"),
        ("S.E.R.V.E.R", "SERVER"),
        ("Every one", "Everyone"),
        ("<guest>", "Guest"),
        #[cfg(feature = "confusables")]
        ("\u{405}\u{415}RV\u{415}R", "SERVER"),
    ] {
        let mut house = house();
        let eve = house.stream("eve");
        let conn = house.join(wanted, PeerKind::Stream, HOME);
        let why = format!("the name looks like \"{reserved}\", which is reserved");
        let refusal = house.mail().refusal(conn);
        assert!(refusal.contains(&why), "{wanted}: {refusal}");
        let answer = house.ask(eve, "/nick", wanted);
        assert!(
            answer.starts_with("❌ Your name stays eve: ") && answer.contains(&why),
            "{answer}"
        );
        assert_eq!(users(&house), ["eve"]);
    }
    let mut house = house();
    for fine in ["Server1", "servers", "my server", "guest-7"] {
        house.stream(fine);
    }
    assert_eq!(house.hub.online(), 4);
}

#[test]
#[cfg(feature = "confusables")]
fn a_look_alike_of_a_user_who_is_online_is_not_registered() {
    const WHY: &str = "❌ Not registered: your name looks like \"bob\", the name of another user";
    let mut house = house();
    let bob = house.stream("bob");
    let [mallory, other] = ["B0b", "BOB"].map(|name| house.stream(name));
    house.forget();
    for conn in [mallory, other] {
        assert!(house.ask(conn, "/register", "secret").starts_with(WHY));
    }
    // the one who was first is not kept from it by the others
    assert!(register(&mut house, bob).starts_with("The name bob is yours"));
}

#[test]
#[cfg(feature = "confusables")]
fn who_takes_a_look_alike_by_nick_was_not_first() {
    let mut house = house();
    let mallory = house.stream("mallory");
    let bob = house.stream("bob");
    house.send(mallory, "/nick", "b0b");
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Claimed(0));
    house.forget();
    assert!(house.ask(mallory, "/register", "secret").contains("looks like \"bob\""));
    // who is gone, or has another name, is in nobody's way
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    house.forget();
    assert!(register(&mut house, mallory).starts_with("The name b0b is yours"));
}

#[test]
fn a_name_becomes_an_account_while_somebody_else_has_got_it() {
    let mut house = house();
    let first = house.stream("alice");
    let token = order(&mut house, first, "/register", "secret");
    house.hub.handle_disconnect(first, Departure::Left, house.now, &mut house.out);
    house.forget();
    let second = house.stream("alice");
    house.forget();
    house.complete(token, Completion::Registered(Ok(granted())));
    let said = house.mail().said(second, "alice~1");
    assert!(said[0].starts_with("The name alice belongs to an account now: you are alice~1"));
    assert_eq!(users(&house), ["alice~1"]);
}

// where accounts are required

/// Nobody is a user but these, and all of these have logged in.
fn assert_users(house: &mut House, expected: &[ConnId]) {
    assert_eq!(house.hub.online(), expected.len(), "{:?}", users(house));
    for &conn in expected {
        let answer = house.ask(conn, "/whoami", "");
        assert!(answer.contains("logged in"), "{answer}");
    }
}

#[test]
fn where_accounts_are_required_who_gives_the_account_up_is_told_and_closed() {
    let mut house = closed_house();
    let pupil = owner(&mut house, "pupil");
    let token = order(&mut house, pupil, "/unregister", "secret");
    house.complete(token, Completion::Unregistered(Ok(2)));
    let mail = house.mail();
    let last = mail.messages(pupil).pop().unwrap();
    assert_eq!(
        last.msg,
        "The account is gone. This server is for those who have an account: the connection is closed."
    );
    assert!(mail.closes(pupil));
    assert!(house.events().iter().any(|event| matches!(event, Event::Departed { reason, .. }
        if *reason == Departure::Unregistered)));
    for (to, msg) in [("/nick", "Headmaster"), ("/register", "secret"), ("teacher", "hello")] {
        house.send(pupil, to, msg);
        assert!(house.mail().is_empty(), "{to}");
    }
    assert_users(&mut house, &[]);
}

#[test]
fn where_accounts_are_required_nobody_without_one_can_do_more_than_log_in() {
    let mut house = closed_house();
    let teacher = owner(&mut house, "teacher");
    // a name of nobody's
    let (stranger, token) = house.claim("stranger");
    house.complete(token, Completion::Claimed(0));
    assert!(house.mail().refusal(stranger).starts_with(FOR_OWNERS));
    // one beside another claim
    let (first, claim) = house.claim("late");
    let second = house.connect(HOME);
    house.name(second, "late", PeerKind::Stream);
    let Some(Effect::CheckReserved { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(claim, Completion::Claimed(0));
    house.complete(token, Completion::Unreserved);
    let mail = house.mail();
    assert!(mail.closes(first) && mail.closes(second));
    // an owner who has not logged in
    let visitor = guest(&mut house, "pupil");
    house.forget();
    let help = house.ask(teacher, "/help", "");
    let (_, commands) = help.split_once(": ").unwrap();
    let commands: Vec<_> =
        commands.split(", ").map(|c| c.trim_end_matches('.').to_owned()).collect();
    assert!(commands.len() > 20, "{help}");
    for command in commands.iter().map(String::as_str).chain(["teacher", "#tea"]) {
        let for_visitors = ["/help", "/login", "/ping", "/standard", "/state", "/time", "/times"];
        if !for_visitors.contains(&command) {
            assert_eq!(house.ask(visitor, command, "secret"), LOG_IN_FIRST, "{command}");
        }
    }
    // who has logged in keeps the name, and gets no other account
    assert!(house.ask(teacher, "/nick", "head").contains("you are logged in under it"));
    assert!(house.ask(teacher, "/register", "secret").contains("yours already"));
    assert!(house.ask(teacher, "/login", "head secret").contains("already"));
    assert_users(&mut house, &[teacher]);
}

#[test]
fn where_accounts_are_required_a_login_does_not_outlive_the_account() {
    let mut house = closed_house();
    // the account goes while its owner logs in a second time, whichever is done first
    for is_replaced in [false, true] {
        let first = owner(&mut house, "pupil");
        let going = order(&mut house, first, "/unregister", "secret");
        let second = house.join("pupil", PeerKind::Stream, HOME);
        let coming = order(&mut house, second, "/login", "secret");
        house.forget();
        if is_replaced {
            house.complete(coming, logged_in("pupil"));
            house.complete(going, Completion::Unregistered(Ok(2)));
            let last = house.mail().messages(second).pop().unwrap();
            assert!(last.msg.starts_with("⛔ Your account was changed"), "{last:?}");
        } else {
            house.complete(going, Completion::Unregistered(Ok(2)));
            house.complete(coming, logged_in("pupil"));
            let last = house.mail().messages(second).pop().unwrap();
            assert_eq!(
                last.msg,
                "❌ Not logged in: the account was changed meanwhile. Log in again."
            );
        }
        assert_users(&mut house, &[]);
        house.released();
    }
    // an operator removes it while its owner logs in, and afterwards
    let conn = guest(&mut house, "pupil");
    let token = order(&mut house, conn, "/login", "secret");
    change(&mut house, "pupil", AccountChange::Removed, 2);
    house.complete(token, logged_in("pupil"));
    assert_users(&mut house, &[]);
    let token = order(&mut house, conn, "/login", "secret");
    house.complete(token, logged_in("pupil"));
    house.forget();
    assert_users(&mut house, &[conn]);
    change(&mut house, "pupil", AccountChange::Removed, 3);
    assert!(house.mail().closes(conn));
    assert_users(&mut house, &[]);
}

#[test]
fn a_registration_does_not_outlive_the_account() {
    let mut house = house();
    let conn = house.stream("alice");
    let token = order(&mut house, conn, "/register", "secret");
    house.forget();
    change(&mut house, "alice", AccountChange::Removed, 2);
    house.complete(token, Completion::Registered(Ok(granted())));
    let messages = house.mail().messages(conn);
    assert_eq!(
        messages[0].msg,
        "❌ Not logged in: the account was changed meanwhile. Log in again."
    );
    assert_eq!(messages[1].to, "alice~1", "the account may be there, with another password");
    house.released();
    assert!(house.ask(conn, "/passwd", "a b").contains("log in first"));
}

#[test]
fn the_hub_asks_about_the_name_that_the_user_has() {
    let mut house = house();
    let conn = house.stream("alice");
    house.send(conn, "/register", "secret");
    match house.out.next_effect() {
        Some(Effect::Account { order: AccountOrder::Register(credentials), .. }) => {
            assert_eq!(credentials.name, name("alice"));
        }
        other => panic!("{other:?}"),
    }
}
