//! The stream of changes of a server whose users come, go and do things in several event loops at a time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chatproto::changes::{ChangeReceiver, ReceiveError};
use chatproto::hub::{Change, Snapshot};

use crate::support::{PATIENCE, Raw, TestServer, limits};

#[track_caller]
fn next(changes: &mut ChangeReceiver) -> Change {
    changes.recv_timeout(PATIENCE).expect("it does not lag").expect("a change comes")
}

/// Applies changes until the state is that of another snapshot.
#[track_caller]
fn follow(state: &mut Snapshot, changes: &mut ChangeReceiver, until: &Snapshot) {
    while state.number < until.number {
        state.apply(&next(changes)).expect("no change is missing");
    }
    assert_eq!(state, until);
}

/// A user who does all that changes something, again and again.
fn live(address: std::net::SocketAddr, number: usize, rounds: usize) {
    for round in 0..rounds {
        let mut user = Raw::join(address, &format!("user {number}.{round}"));
        for (to, msg) in [
            ("/join", "#tea"),
            ("/away", "gone fishing"),
            ("/join", &*format!("#{}", number % 3)),
            ("/nick", &format!("nick {number}.{round}")),
            ("/away", ""),
            ("/leave", "#tea"),
            ("/nick", &format!("other {number}.{round}")),
        ] {
            user.send(to, msg);
        }
        if round % 2 == 0 {
            user.fence();
            user.finish();
            user.read_to_end();
        }
    }
}

#[test]
fn a_snapshot_with_the_changes_behind_it_is_a_later_snapshot() {
    let server = TestServer::with(limits(), |builder| builder.threads(3));
    let (address, handle) = (server.address, &server.handle);
    let (mut state, mut changes) = handle.changes(1 << 20);
    assert_eq!(state, Snapshot::default());
    let is_over = AtomicBool::new(false);
    let checks = std::thread::scope(|scope| {
        let users: Vec<_> =
            (0..8).map(|number| scope.spawn(move || live(address, number, 20))).collect();
        let is_over = &is_over;
        let checking = scope.spawn(move || {
            let mut checks = 0;
            while !is_over.load(Ordering::Relaxed) {
                // what another follower is given is exact from its first change on
                let (mut other, mut behind) = handle.changes(1 << 20);
                follow(&mut state, &mut changes, &other);
                for _ in 0..20 {
                    let Some(change) = behind.recv_timeout(Duration::from_millis(50)).unwrap()
                    else {
                        break;
                    };
                    other.apply(&change).expect("no change is missing");
                }
                follow(&mut state, &mut changes, &other);
                checks += 1;
            }
            (checks, state, changes)
        });
        users.into_iter().for_each(|user| user.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        checking.join().unwrap()
    });
    let (checks, mut state, mut changes) = checks;
    assert!(checks > 0);
    // everybody leaves, and the end is the end
    crate::support::eventually("everybody has left", || handle.online() == 0);
    let (end, _) = handle.changes(1);
    follow(&mut state, &mut changes, &end);
    assert!(state.users.is_empty() && state.rooms.is_empty());
    server.stop().unwrap();
    assert_eq!(changes.recv(), Err(ReceiveError::Closed));
}

#[test]
fn a_follower_that_does_nothing_holds_nobody_up() {
    let server = TestServer::start();
    let (_, mut changes) = server.handle.changes(4);
    live(server.address, 1, 4);
    assert_eq!(changes.try_recv(), Err(ReceiveError::Lagged));
    crate::support::eventually("everybody has left", || server.handle.online() == 0);
    let mut state = changes.resync();
    let mut alice = Raw::join(server.address, "alice");
    alice.send("/join", "#tea");
    alice.fence();
    let (now, _) = server.handle.changes(1);
    follow(&mut state, &mut changes, &now);
    let names: BTreeSet<&str> = state.users.keys().map(chatproto::UserName::as_str).collect();
    assert_eq!(names, BTreeSet::from(["alice"]));
}

#[test]
fn a_ban_that_ends_is_told_though_nothing_else_happens() {
    use chatproto::hub::{Action, Actor, StateChange};

    let server = TestServer::start();
    let ban = Action::Ban {
        target: "bob".parse().unwrap(),
        duration: Some(Duration::from_millis(50)),
        reason: String::new(),
    };
    server.handle.act(&Actor::operator(""), ban).unwrap();
    let (state, mut changes) = server.handle.changes(8);
    assert_eq!(state.bans.len(), 1);
    assert!(matches!(next(&mut changes).change, StateChange::Unbanned(_)));
}
