//! Whose a name is: names that only the server gives, look-alikes, and reserved words.

mod common;

use chatproto::{
    AccountChange, AccountOrder, AccountPolicy, Completion, ConnId, Departure, Effect, Granted,
    Hub, PeerKind, Role, Token, UserName,
};

use common::{HOME, House};

fn house() -> House {
    House::of(Hub::builder().accounts(AccountPolicy::Optional))
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn granted() -> Granted {
    Granted { role: Role::User, notice: None }
}

/// A connection that asked for an account's name.
fn guest(house: &mut House, wanted: &str) -> ConnId {
    let (conn, token) = house.claim(wanted);
    house.complete(token, Completion::Reserved);
    conn
}

fn order(house: &mut House, conn: ConnId, to: &str, msg: &str) -> Token {
    house.send(conn, to, msg);
    loop {
        match house.out.next_effect() {
            Some(Effect::Account { token, .. }) => return token,
            Some(Effect::Release { .. }) => {}
            other => panic!("no order: {other:?}"),
        }
    }
}

fn register(house: &mut House, conn: ConnId) -> String {
    let token = order(house, conn, "/register", "secret");
    house.complete(token, Completion::Registered(Ok(granted())));
    house.mail().only_answer(conn)
}

fn change(house: &mut House, account: &str, change: AccountChange) {
    house.hub.handle_account_change(&name(account), change, house.now, &mut house.out);
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
        change(&mut house, account, AccountChange::Added);
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
    house.complete(token, Completion::Claimed);
    house.forget();
    assert!(house.ask(mallory, "/register", "secret").contains("looks like \"bob\""));
    // who is gone, or has another name, is in nobody's way
    house.hub.handle_disconnect(bob, Departure::Left, house.now, &mut house.out);
    house.forget();
    assert!(register(&mut house, mallory).starts_with("The name b0b is yours"));
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
