//! The stream of changes where accounts, bans and mutes are concerned. (Random acts are in the model
//! test, and several event loops in `sockets/changes.rs`.)

use std::time::Duration;

use chatproto::accounts::{AccountPolicy, Granted};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    AccountChange, Action, Actor, Ban, Completion, ConnId, Hub, Role, Snapshot, StateChange,
};

use crate::common::accounts::{granted, guest, name, order};
use crate::common::{HOME, House};

/// A house whose changes are followed.
struct Followed {
    house: House,
    state: Snapshot,
}

impl Followed {
    fn new(policy: AccountPolicy) -> Self {
        let mut house = House::of(Hub::builder().accounts(policy).admin_token("t"));
        house.hub.set_watched(true);
        let state = house.hub.snapshot(house.now);
        Followed { house, state }
    }

    /// The changes since the last time. Applied, they must lead to the state as it is now.
    fn changes(&mut self) -> Vec<StateChange> {
        let mut now = self.house.hub.snapshot(self.house.now);
        let mut changes = Vec::new();
        while let Some(change) = self.house.hub.next_change() {
            self.state.apply(&change).unwrap();
            changes.push(change.change);
        }
        let mut state = self.state.clone();
        for ban in state.bans.values_mut().chain(now.bans.values_mut()) {
            (ban.age, ban.remaining) = (Duration::ZERO, None);
        }
        for mute in state.mutes.values_mut().chain(now.mutes.values_mut()) {
            (mute.age, mute.remaining) = (Duration::ZERO, None);
        }
        assert_eq!(state, now);
        changes
    }

    fn log_in(&mut self, conn: ConnId, account: &str, role: Role) {
        self.house.send(conn, "/login", &format!("{account} secret"));
        let (token, _) = order(&mut self.house);
        let granted = Granted::new(role, 1);
        self.house.complete(token, Completion::LoggedIn(name(account), Ok(granted)));
    }
}

#[test]
fn a_login_is_another_name_another_role_and_the_end_of_the_session_before() {
    let mut followed = Followed::new(AccountPolicy::Optional);
    let first = guest(&mut followed.house, "alice");
    followed.house.send(first, "/join", "#tea");
    followed.changes();
    followed.log_in(first, "alice", Role::Moderator);
    let changes = followed.changes();
    let role = StateChange::Role { name: name("alice"), role: Role::Moderator };
    let login = StateChange::Login { name: name("alice"), is_logged_in: true };
    let renamed = StateChange::Renamed { old: name("alice~1"), name: name("alice") };
    assert_eq!(changes, [renamed, role, login]);

    let second = followed.house.join("alice", PeerKind::Stream, HOME);
    followed.log_in(second, "alice", Role::User);
    let changes = followed.changes();
    assert!(matches!(&changes[0], StateChange::Joined(user) if user.name == name("alice~2")));
    assert!(matches!(&changes[1], StateChange::RoomLeft { .. }), "{changes:?}");
    assert!(matches!(&changes[2], StateChange::RoomClosed { .. }), "{changes:?}");
    assert!(matches!(&changes[3], StateChange::Left { name: left, .. } if *left == name("alice")));
    assert_eq!(followed.state.users[&name("alice")].role, Role::User);
}

#[test]
fn changes_of_an_account_are_changes_of_its_user() {
    let mut followed = Followed::new(AccountPolicy::Optional);
    let alice = followed.house.stream("alice");
    followed.house.send(alice, "/register", "\"correct horse\"");
    let (token, _) = order(&mut followed.house);
    followed.house.complete(token, Completion::Registered(Ok(granted())));
    followed.changes();
    assert!(followed.state.users[&name("alice")].is_logged_in);
    let House { hub, out, now } = &mut followed.house;
    hub.handle_account_change(&name("alice"), AccountChange::Role(Role::Admin), 2, *now, out);
    followed.changes();
    assert_eq!(followed.state.users[&name("alice")].role, Role::Admin);
    followed.house.send(alice, "/unregister", "\"correct horse\"");
    let (token, _) = order(&mut followed.house);
    followed.house.complete(token, Completion::Unregistered(Ok(3)));
    followed.changes();
    let user = &followed.state.users[&name("alice")];
    assert_eq!((user.is_logged_in, user.role), (false, Role::User));
    // an account takes the name from a user who does not own it
    let House { hub, out, now } = &mut followed.house;
    hub.handle_account_change(&name("alice"), AccountChange::Added(Role::User), 4, *now, out);
    let changes = followed.changes();
    assert!(matches!(&changes[..], [StateChange::Renamed { old, .. }] if *old == name("alice")));
}

#[test]
fn a_visitor_is_there_when_it_has_logged_in() {
    let mut followed = Followed::new(AccountPolicy::Required);
    let visitor = guest(&mut followed.house, "alice");
    assert_eq!(followed.changes(), []);
    followed.log_in(visitor, "alice", Role::Moderator);
    let changes = followed.changes();
    let [StateChange::Joined(user)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((user.is_logged_in, user.role), (true, Role::Moderator));
    let other = guest(&mut followed.house, "bob");
    followed.house.hub.handle_disconnect(
        other,
        chatproto::hub::Departure::Left,
        followed.house.now,
        &mut followed.house.out,
    );
    assert_eq!(followed.changes(), []);
}

#[test]
fn bans_and_mutes_come_and_go_by_whatever_way() {
    let mut followed = Followed::new(AccountPolicy::Optional);
    let house = &mut followed.house;
    house.join("bob", PeerKind::Stream, HOME);
    let operator = Actor::operator("the operator");
    let minute = Duration::from_secs(60);
    let House { hub, out, now } = house;
    let ban = |target: &str, duration| Action::Ban {
        target: target.parse().unwrap(),
        duration,
        reason: "spam".to_owned(),
    };
    let mute = |user: &str, duration| Action::Mute {
        user: user.to_owned(),
        duration,
        reason: String::new(),
    };
    for action in [ban("zed", None), ban("ZED", Some(minute)), ban("192.0.2.0/24", None)] {
        hub.act(&operator, action, *now, out).unwrap();
    }
    for action in [mute("bob", Some(minute)), mute("carol", None)] {
        hub.act(&operator, action, *now, out).unwrap();
    }
    hub.restore_ban(Ban::new("2001:db8::1".parse().unwrap()), *now, out);
    followed.changes();
    assert_eq!((followed.state.bans.len(), followed.state.mutes.len()), (3, 2));
    assert!(followed.state.bans.values().any(|ban| ban.target.to_string() == "ZED"));
    let House { hub, out, now } = &mut followed.house;
    let mut covering = Ban::new("192.0.2.9/24".parse().unwrap());
    covering.is_configured = true;
    hub.restore_ban(covering.clone(), *now, out);
    followed.changes();
    let House { hub, now, .. } = &mut followed.house;
    assert!(hub.withdraw_ban(&covering.target, *now));
    let changes = followed.changes();
    assert!(
        matches!(&changes[..], [StateChange::Banned(ban)] if !ban.is_configured),
        "the covered one holds again: {changes:?}"
    );
    let House { hub, out, now } = &mut followed.house;
    hub.act(&operator, Action::Unban { target: covering.target }, *now, out).unwrap();
    hub.act(&operator, Action::Unmute { user: "carol".to_owned() }, *now, out).unwrap();
    followed.changes();
    assert_eq!((followed.state.bans.len(), followed.state.mutes.len()), (2, 1));
    // those that end by themselves are lifted when it is time
    let due = followed.house.hub.poll_timeout().expect("something ends");
    assert_eq!(due, followed.house.now.monotonic + minute);
    followed.house.now.monotonic = due;
    let House { hub, out, now } = &mut followed.house;
    hub.handle_timeout(*now, out);
    let changes = followed.changes();
    assert!(matches!(&changes[..], [StateChange::Unbanned(_), StateChange::Unmuted(_)]));
    assert_eq!(followed.house.hub.poll_timeout(), None);
}
