//! A hub with a directory of names: claims, releases, the order in which they wait, and answers that
//! come late or never. Random histories of two hubs are in `names.rs`.

use std::time::Duration;

use chatproto::accounts::{AccountPolicy, Granted};
use chatproto::directory::{Claim, ClaimPurpose, Lease};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    AccountChange, Completion, ConnId, Departure, Effect, Event, Hub, Role, Token,
};

use crate::common::accounts::{granted, granted_at, name};
use crate::common::{HOME, House};

const UNCHECKED: &str = "the name cannot be checked now. Try again later.";

fn house() -> House {
    House::of(Hub::builder().directory().accounts(AccountPolicy::Optional))
}

/// The next effect, which is a claim of this name.
#[track_caller]
fn claimed(house: &mut House, name: &str) -> (Token, Claim) {
    match house.out.next_effect() {
        Some(Effect::Claim { token, claim }) if claim.name.as_str() == name => (token, claim),
        other => panic!("no claim of {name}: {other:?}"),
    }
}

/// The next effect, which is a release of this lease.
#[track_caller]
fn releasing(house: &mut House, name: &str, revision: u64) -> Token {
    match house.out.next_effect() {
        Some(Effect::Release { token, lease }) => {
            assert_eq!((lease.name().as_str(), lease.revision()), (name, revision));
            token
        }
        other => panic!("no release of {name}: {other:?}"),
    }
}

/// What waited goes on.
#[track_caller]
fn resume(house: &mut House) -> Option<ConnId> {
    match house.out.next_effect() {
        Some(Effect::Resume { token }) => house.complete(token, Completion::Resumed),
        other => panic!("nothing goes on: {other:?}"),
    }
}

fn lease(house: &House, conn: ConnId) -> Option<(String, u64)> {
    house.hub.lease(conn).map(|lease| (lease.name().to_string(), lease.revision()))
}

/// A connection that has asked for a name.
fn ask_for(house: &mut House, wanted: &str) -> ConnId {
    let conn = house.connect(HOME);
    house.name(conn, wanted, PeerKind::Stream);
    conn
}

/// A user whose name was granted with this number.
fn user(house: &mut House, wanted: &str, revision: u64) -> ConnId {
    let conn = ask_for(house, wanted);
    let (token, claim) = claimed(house, wanted);
    assert_eq!(claim.purpose, ClaimPurpose::Register);
    assert_eq!(house.complete(token, Completion::Claimed(revision)), Some(conn));
    house.forget();
    conn
}

/// A guest who wants the name of an account, under a name that was granted with this number.
fn guest(house: &mut House, wanted: &str, temporary: &str, revision: u64) -> ConnId {
    // (if the owner has the name, nobody is asked about it)
    let has_owner = house.hub.users().any(|user| user == wanted);
    let conn = ask_for(house, wanted);
    if !has_owner {
        let (token, _) = claimed(house, wanted);
        assert_eq!(house.complete(token, Completion::Reserved), None, "it waits for another name");
    }
    let (token, claim) = claimed(house, temporary);
    assert_eq!(claim.purpose, ClaimPurpose::Guest);
    assert_eq!(house.complete(token, Completion::Claimed(revision)), Some(conn));
    house.forget();
    conn
}

/// Sends `/login` for the account and has the password accepted.
fn prove(house: &mut House, conn: ConnId, account: &str, granted: Granted) {
    assert!(house.send(conn, "/login", &format!("{account} secret")));
    let Some(Effect::Account { token, .. }) = house.out.next_effect() else { panic!("no order") };
    house.complete(token, Completion::LoggedIn(name(account), Ok(granted)));
}

fn leave(house: &mut House, conn: ConnId) {
    house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
}

fn said(house: &mut House, conn: ConnId) -> Vec<String> {
    house.mail().messages(conn).into_iter().map(|message| message.msg).collect()
}

fn pass(house: &mut House, seconds: u64) {
    house.now.monotonic += Duration::from_secs(seconds);
    house.hub.handle_timeout(house.now, &mut house.out);
}

#[test]
fn a_lease_is_given_back_as_it_was_granted() {
    let mut house = house();
    let alice = user(&mut house, "alice", 7);
    assert_eq!(lease(&house, alice), Some(("alice".to_owned(), 7)));
    // for another name
    house.send(alice, "/nick", "bob");
    let (token, claim) = claimed(&mut house, "bob");
    assert_eq!((claim.purpose, claim.address), (ClaimPurpose::Rename, HOME));
    house.complete(token, Completion::Claimed(9));
    assert_eq!(lease(&house, alice), Some(("bob".to_owned(), 9)));
    let token = releasing(&mut house, "alice", 7);
    house.complete(token, Completion::Released);
    leave(&mut house, alice);
    releasing(&mut house, "bob", 9);
    assert!(house.out.next_effect().is_none());
}

#[test]
fn without_a_directory_nothing_is_claimed_for_guests_and_logins_and_nothing_is_given_back() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let conn = crate::common::accounts::guest(&mut house, "alice");
    assert!(house.out.next_effect().is_none());
    prove(&mut house, conn, "alice", granted());
    assert_eq!(lease(&house, conn), None);
    leave(&mut house, conn);
    assert!(house.out.next_effect().is_none());
    // and without accounts nobody is asked at all
    let mut house = House::new();
    let conn = ask_for(&mut house, "alice");
    house.send(conn, "/nick", "bob");
    assert!(house.hub.users().eq(["bob"]) && house.out.next_effect().is_none());
}

#[test]
fn a_claim_waits_until_the_name_is_given_back() {
    let mut house = house();
    let first = user(&mut house, "alice", 1);
    leave(&mut house, first);
    let release = releasing(&mut house, "alice", 1);
    house.forget();
    // it is free here, and not yet elsewhere
    let second = ask_for(&mut house, "alice");
    assert!(house.hub.is_waiting(second) && house.out.next_effect().is_none());
    let third = ask_for(&mut house, "alice");
    let Some(Effect::CheckReserved { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Unreserved);
    assert!(said(&mut house, third)[0].contains("already in use"));
    assert_eq!(house.complete(release, Completion::Released), None);
    assert_eq!(resume(&mut house), None, "it waits for the answer now");
    let (token, claim) = claimed(&mut house, "alice");
    assert_eq!((token.conn(), claim.purpose), (second, ClaimPurpose::Register));
    house.complete(token, Completion::Claimed(2));
    assert_eq!(lease(&house, second), Some(("alice".to_owned(), 2)));
}

#[test]
fn a_claim_waits_for_the_answer_to_one_that_was_left_behind() {
    for (answer, is_released) in [
        (Completion::Claimed(1), true),
        (Completion::Refused("no.".to_owned()), false),
        (Completion::Failed, false),
    ] {
        let mut house = house();
        let gone = ask_for(&mut house, "alice");
        let (first, _) = claimed(&mut house, "alice");
        leave(&mut house, gone);
        let other = user(&mut house, "bob", 5);
        house.send(other, "/nick", "alice");
        assert!(house.hub.is_waiting(other) && house.out.next_effect().is_none());
        assert_eq!(house.complete(first, answer), None);
        if is_released {
            // what nobody wants any more is given back first
            let release = releasing(&mut house, "alice", 1);
            assert!(house.out.next_effect().is_none());
            house.complete(release, Completion::Released);
        }
        resume(&mut house);
        let (second, claim) = claimed(&mut house, "alice");
        assert_eq!(claim.purpose, ClaimPurpose::Rename);
        house.complete(second, Completion::Claimed(6));
        assert_eq!(lease(&house, other), Some(("alice".to_owned(), 6)));
    }
}

#[test]
fn one_that_waits_and_leaves_leaves_nothing_behind() {
    let mut house = house();
    let first = user(&mut house, "alice", 1);
    leave(&mut house, first);
    let release = releasing(&mut house, "alice", 1);
    let second = ask_for(&mut house, "alice");
    leave(&mut house, second);
    house.complete(release, Completion::Released);
    assert_eq!(resume(&mut house), None);
    assert!(house.out.next_effect().is_none());
    assert_eq!(house.hub.usage().effects.bytes, 0);
    user(&mut house, "alice", 2);
}

#[test]
fn each_refusal_says_why() {
    let cases = [
        (Completion::Refused("not today.".to_owned()), "not today."),
        (
            Completion::Moved("node-2".to_owned()),
            "you belong to another server. Connect to node-2.",
        ),
        (Completion::Failed, UNCHECKED),
        (Completion::Answered(Ok(String::new())), UNCHECKED),
    ];
    for (answer, reason) in cases {
        let mut house = house();
        let conn = ask_for(&mut house, "alice");
        let (token, _) = claimed(&mut house, "alice");
        house.complete(token, answer.clone());
        assert_eq!(house.mail().refusal(conn), format!("⛔ Error: {reason}"));

        let conn = user(&mut house, "bob", 1);
        house.send(conn, "/nick", "carol");
        let (token, _) = claimed(&mut house, "carol");
        assert_eq!(house.complete(token, answer.clone()), Some(conn));
        let stays = format!("❌ Your name stays bob: {reason}");
        assert_eq!(house.mail().only_answer(conn), stays);
        assert_eq!(lease(&house, conn), Some(("bob".to_owned(), 1)));

        prove(&mut house, conn, "dave", granted_at(4));
        let (token, claim) = claimed(&mut house, "dave");
        assert_eq!(claim.purpose, ClaimPurpose::Login { revision: 4 });
        assert_eq!(house.complete(token, answer), Some(conn));
        assert_eq!(house.mail().only_answer(conn), format!("❌ Not logged in: {reason}"));
        assert_eq!(lease(&house, conn), Some(("bob".to_owned(), 1)));
        assert!(house.out.next_effect().is_none());
    }
}

#[test]
fn a_guest_gets_the_next_number_if_the_directory_refuses_one() {
    let mut house = house();
    let conn = ask_for(&mut house, "alice");
    let (token, _) = claimed(&mut house, "alice");
    house.complete(token, Completion::Reserved);
    for (number, answer) in
        [(1, Completion::Refused("in use.".to_owned())), (2, Completion::Reserved)]
    {
        let (token, _) = claimed(&mut house, &format!("alice~{number}"));
        assert_eq!(house.complete(token, answer), None);
        assert!(house.mail().is_empty());
    }
    let (token, _) = claimed(&mut house, "alice~3");
    assert_eq!(house.complete(token, Completion::Claimed(8)), Some(conn));
    assert!(said(&mut house, conn)[0].starts_with("Welcome, alice~3!"));
    assert_eq!(lease(&house, conn), Some(("alice~3".to_owned(), 8)));
    leave(&mut house, conn);
    releasing(&mut house, "alice~3", 8);
}

#[test]
fn a_guest_for_whom_no_name_is_granted_is_refused() {
    let refused = || Completion::Refused("in use.".to_owned());
    let mut house = house();
    let conn = ask_for(&mut house, "alice");
    let (token, _) = claimed(&mut house, "alice");
    house.complete(token, Completion::Reserved);
    let mut tries = 0;
    while let Some(Effect::Claim { token, .. }) = house.out.next_effect() {
        tries += 1;
        house.complete(token, refused());
    }
    assert_eq!(tries, 8);
    let no_name = "⛔ Error: no temporary name is free. Try again later.";
    assert_eq!(house.mail().refusal(conn), no_name);
    // and it is not asked again if it cannot answer
    let conn = ask_for(&mut house, "alice");
    let (token, _) = claimed(&mut house, "alice");
    house.complete(token, Completion::Reserved);
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Failed);
    assert!(house.mail().refusal(conn).contains(UNCHECKED));
    assert!(house.out.next_effect().is_none());
}

#[test]
fn a_visitor_has_a_lease_too() {
    let mut house = House::of(Hub::builder().directory().accounts(AccountPolicy::Required));
    let visitor = guest(&mut house, "alice", "alice~1", 3);
    assert_eq!(house.hub.online(), 0);
    prove(&mut house, visitor, "alice", granted());
    let (token, _) = claimed(&mut house, "alice");
    assert_eq!(house.hub.online(), 0, "not before the name is granted");
    house.complete(token, Completion::Claimed(4));
    assert!(house.hub.users().eq(["alice"]));
    releasing(&mut house, "alice~1", 3);
    let visitor = guest(&mut house, "bob", "bob~2", 5);
    leave(&mut house, visitor);
    releasing(&mut house, "bob~2", 5);
    // a name of nobody's is granted, and given back
    let stranger = ask_for(&mut house, "carol");
    let (token, _) = claimed(&mut house, "carol");
    house.complete(token, Completion::Claimed(6));
    assert!(house.mail().closes(stranger));
    releasing(&mut house, "carol", 6);
}

#[test]
fn a_login_claims_the_name_of_the_account_and_gives_the_former_one_back() {
    let mut house = house();
    let conn = guest(&mut house, "alice", "alice~1", 1);
    prove(&mut house, conn, "alice", Granted::new(Role::Moderator, 4));
    assert!(house.mail().is_empty() && house.hub.is_waiting(conn), "it waits for the name");
    assert_eq!(house.hub.account_revision(conn), None);
    let (token, claim) = claimed(&mut house, "alice");
    assert_eq!(claim.purpose, ClaimPurpose::Login { revision: 4 });
    assert_eq!(house.complete(token, Completion::Claimed(2)), Some(conn));
    assert_eq!(said(&mut house, conn), ["You are logged in as alice, a moderator."]);
    assert_eq!(lease(&house, conn), Some(("alice".to_owned(), 2)));
    assert_eq!(house.hub.account_revision(conn), Some(4));
    releasing(&mut house, "alice~1", 1);
}

#[test]
fn a_login_takes_over_the_lease_of_the_user_it_replaces() {
    let mut house = house();
    let first = guest(&mut house, "alice", "alice~1", 1);
    prove(&mut house, first, "alice", granted());
    let (token, _) = claimed(&mut house, "alice");
    house.complete(token, Completion::Claimed(2));
    releasing(&mut house, "alice~1", 1);
    let second = guest(&mut house, "alice", "alice~2", 3);
    prove(&mut house, second, "alice", granted());
    assert!(house.mail().closes(first));
    assert_eq!(lease(&house, second), Some(("alice".to_owned(), 2)));
    releasing(&mut house, "alice~2", 3);
    leave(&mut house, first);
    assert!(house.out.next_effect().is_none(), "the name is not given back");
    leave(&mut house, second);
    releasing(&mut house, "alice", 2);
}

#[test]
fn two_logins_to_one_account_get_the_name_one_after_the_other() {
    let mut house = house();
    let first = guest(&mut house, "alice", "alice~1", 1);
    let second = guest(&mut house, "alice", "alice~2", 2);
    prove(&mut house, first, "alice", granted());
    let (token, _) = claimed(&mut house, "alice");
    assert_eq!(token.conn(), first);
    prove(&mut house, second, "alice", granted());
    assert!(house.out.next_effect().is_none(), "the name is claimed once");
    house.complete(token, Completion::Claimed(3));
    assert!(house.hub.is_waiting(second));
    assert_eq!(resume(&mut house), Some(second));
    releasing(&mut house, "alice~1", 1);
    let mail = house.mail();
    assert!(mail.closes(first));
    assert_eq!(mail.messages(second).pop().unwrap().msg, "You are logged in as alice.");
    assert_eq!(lease(&house, second), Some(("alice".to_owned(), 3)));
}

#[test]
fn a_login_takes_no_effect_if_the_account_changes_before_its_name_is_granted() {
    let changes =
        [AccountChange::Role(Role::User), AccountChange::Password, AccountChange::Removed];
    for (change, revision, is_stale) in
        changes.into_iter().flat_map(|change| [(change, 5, true), (change, 4, false)])
    {
        let mut house = house();
        let conn = guest(&mut house, "alice", "alice~1", 1);
        prove(&mut house, conn, "alice", Granted::new(Role::Admin, 4));
        let (token, _) = claimed(&mut house, "alice");
        let alice = name("alice");
        house.hub.handle_account_change(&alice, change, revision, house.now, &mut house.out);
        assert_eq!(house.complete(token, Completion::Claimed(2)), Some(conn));
        let told = said(&mut house, conn);
        if is_stale {
            let why = "❌ Not logged in: the account was changed meanwhile. Log in again.";
            assert_eq!(told, [why], "{change:?}");
            releasing(&mut house, "alice", 2);
            assert!(!house.ask(conn, "/whoami", "").contains("admin"));
        } else {
            assert_eq!(told, ["You are logged in as alice, an admin."], "{change:?}");
        }
    }
}

#[test]
fn moderators_who_log_in_while_they_are_demoted_do_not_keep_the_role() {
    const COUNT: usize = 300;
    let mut house = house();
    let account = |number: usize| name(&format!("mod {number}"));
    let mut under_way = Vec::new();
    let mut conns = Vec::new();
    for number in 0..COUNT {
        let wanted = account(number);
        let temporary = format!("{wanted}~{}", number + 1);
        let conn = guest(&mut house, wanted.as_str(), &temporary, 1);
        house.send(conn, "/login", "secret");
        let Some(Effect::Account { token, .. }) = house.out.next_effect() else { panic!() };
        // a third is demoted before the password is accepted, a third before the name is granted
        let accept = |house: &mut House| {
            let granted = Granted::new(Role::Moderator, 1);
            house.complete(token, Completion::LoggedIn(account(number), Ok(granted)));
        };
        let demote = |house: &mut House| {
            let change = AccountChange::Role(Role::User);
            house.hub.handle_account_change(&wanted, change, 2, house.now, &mut house.out);
        };
        let grant = |house: &mut House| {
            let (token, _) = claimed(house, wanted.as_str());
            house.complete(token, Completion::Claimed(2));
            house.released();
        };
        match number % 3 {
            0 => {
                demote(&mut house);
                accept(&mut house);
            }
            1 => {
                accept(&mut house);
                demote(&mut house);
                grant(&mut house);
            }
            _ => {
                accept(&mut house);
                grant(&mut house);
                demote(&mut house);
            }
        }
        house.forget();
        under_way.extend(house.out.next_effect());
        conns.push(conn);
    }
    assert!(under_way.is_empty(), "{under_way:?}");
    for conn in conns {
        let who = house.ask(conn, "/whoami", "");
        assert!(!who.contains("moderator"), "{who}");
    }
}

#[test]
fn a_name_that_is_claimed_when_its_owner_logs_in_is_the_owners() {
    let mut house = house();
    let owner = guest(&mut house, "bob", "bob~1", 1);
    let claimant = ask_for(&mut house, "alice");
    let (token, _) = claimed(&mut house, "alice");
    prove(&mut house, owner, "alice", granted());
    assert!(house.out.next_effect().is_none(), "one claim at a time");
    // the account is new, or the claimant would have been told
    let change = AccountChange::Added(Role::User);
    house.hub.handle_account_change(&name("alice"), change, 1, house.now, &mut house.out);
    assert_eq!(house.complete(token, Completion::Claimed(2)), None);
    let release = releasing(&mut house, "alice", 2);
    let (token, _) = claimed(&mut house, "alice~2");
    assert_eq!(house.complete(token, Completion::Claimed(3)), Some(claimant));
    assert_eq!(lease(&house, claimant), Some(("alice~2".to_owned(), 3)));
    house.complete(release, Completion::Released);
    assert_eq!(resume(&mut house), None);
    let (token, _) = claimed(&mut house, "alice");
    house.complete(token, Completion::Claimed(4));
    assert_eq!(lease(&house, owner), Some(("alice".to_owned(), 4)));
}

#[test]
fn a_user_whose_name_becomes_an_account_keeps_it_until_another_one_is_granted() {
    let mut house = house();
    let bob = user(&mut house, "bob", 1);
    let change = AccountChange::Added(Role::User);
    house.hub.handle_account_change(&name("bob"), change, 1, house.now, &mut house.out);
    let (token, claim) = claimed(&mut house, "bob~1");
    assert_eq!(claim.purpose, ClaimPurpose::Guest);
    assert!(house.mail().is_empty() && !house.hub.is_waiting(bob));
    assert_eq!(house.complete(token, Completion::Refused("in use.".to_owned())), None);
    let (token, _) = claimed(&mut house, "bob~2");
    house.complete(token, Completion::Claimed(7));
    assert_eq!(lease(&house, bob), Some(("bob~2".to_owned(), 7)));
    let text = "The name bob belongs to an account now: you are bob~2.";
    assert!(said(&mut house, bob)[0].starts_with(text));
    releasing(&mut house, "bob", 1);
    let renamed =
        |event: &Event| matches!(event, Event::Renamed { name, .. } if name.as_str() == "bob~2");
    assert!(house.events().iter().any(renamed));
}

#[test]
fn a_user_who_has_to_give_a_name_up_and_gets_no_other_is_closed() {
    let fail =
        |answer: Option<Completion>| {
            let mut house = house();
            let bob = user(&mut house, "bob", 1);
            let change = AccountChange::Added(Role::User);
            house.hub.handle_account_change(&name("bob"), change, 1, house.now, &mut house.out);
            let mut claims = 0;
            while let Some(Effect::Claim { token, .. }) = house.out.next_effect() {
                claims += 1;
                match &answer {
                    Some(answer) => drop(house.complete(token, answer.clone())),
                    None => pass(&mut house, 10),
                }
            }
            let mail = house.mail();
            assert!(mail.closes(bob));
            let last = mail.messages(bob).pop().unwrap().msg;
            assert!(last.starts_with(
                "⛔ The name bob belongs to an account now, and you can have no other"
            ));
            (claims, last)
        };
    let refused = Completion::Refused("in use.".to_owned());
    assert_eq!(fail(Some(refused)).0, 8);
    assert_eq!(fail(Some(Completion::Failed)).0, 1);
    let (claims, last) = fail(None);
    assert!(claims == 1 && last.contains(UNCHECKED), "{last}");
}

#[test]
fn a_user_who_has_given_a_name_up_by_itself_needs_no_other() {
    for happens in ["/nick", "leaves", "/login"] {
        let mut house = house();
        let bob = user(&mut house, "bob", 1);
        let change = AccountChange::Added(Role::User);
        house.hub.handle_account_change(&name("bob"), change, 1, house.now, &mut house.out);
        let (forced, _) = claimed(&mut house, "bob~1");
        match happens {
            "/nick" => {
                house.send(bob, "/nick", "rob");
                let (token, _) = claimed(&mut house, "rob");
                house.complete(token, Completion::Claimed(2));
            }
            "/login" => prove(&mut house, bob, "bob", granted_at(2)),
            _ => leave(&mut house, bob),
        }
        house.released();
        house.forget();
        house.complete(forced, Completion::Claimed(3));
        assert!(house.mail().is_empty(), "{happens}");
        assert_eq!(house.released(), ["bob~1"], "{happens}");
    }
}

#[test]
fn a_directory_that_does_not_answer_keeps_no_user_waiting() {
    let mut house = house();
    let (bob, carol) = (user(&mut house, "bob", 1), user(&mut house, "carol", 2));
    house.send(bob, "/nick", "rob");
    let (rob, _) = claimed(&mut house, "rob");
    prove(&mut house, carol, "alice", granted());
    let (alice, _) = claimed(&mut house, "alice");
    assert_eq!(house.hub.poll_timeout(), Some(house.now.monotonic + Duration::from_secs(10)));
    pass(&mut house, 9);
    assert!(house.out.next_effect().is_none());
    pass(&mut house, 1);
    assert!(house.hub.is_waiting(bob), "until its event loop knows");
    assert_eq!(resume(&mut house), Some(bob));
    assert_eq!(resume(&mut house), Some(carol));
    let mail = house.mail();
    assert_eq!(mail.said(bob, "bob"), [format!("❌ Your name stays bob: {UNCHECKED}")]);
    assert_eq!(mail.said(carol, "carol"), [format!("❌ Not logged in: {UNCHECKED}")]);
    assert_eq!(house.hub.poll_timeout(), None);
    // what is granted then is given back
    house.complete(rob, Completion::Claimed(3));
    house.complete(alice, Completion::Claimed(4));
    let given_back: Vec<Lease> = std::iter::from_fn(|| house.out.next_effect())
        .map(|effect| match effect {
            Effect::Release { lease, .. } => lease,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(given_back.len(), 2);
    assert_eq!(lease(&house, bob), Some(("bob".to_owned(), 1)));
}

#[test]
fn what_is_given_back_counts_against_the_bound_of_effects() {
    let mut limits = chatproto::Limits::default();
    limits.effects_total = 64 * 1024;
    let mut house = House::of(Hub::builder().directory().limits(limits.clone()));
    let mut releases = Vec::new();
    let refusal = loop {
        let wanted = format!("user {}", releases.len());
        let conn = ask_for(&mut house, &wanted);
        let Some(Effect::Claim { token, .. }) = house.out.next_effect() else {
            break house.mail().refusal(conn);
        };
        house.complete(token, Completion::Claimed(1));
        leave(&mut house, conn);
        releases.push(releasing(&mut house, &wanted, 1));
        house.forget();
        assert!(house.hub.usage().effects.bytes <= limits.effects_total);
    };
    assert!(refusal.contains("the server is busy"), "{refusal}");
    assert!(releases.len() > 50, "{}", releases.len());
    for token in releases {
        house.complete(token, Completion::Released);
    }
    assert_eq!(house.hub.usage().effects.bytes, 0);
    let conn = ask_for(&mut house, "late");
    assert!(house.hub.is_waiting(conn));
}
