//! The table of rights over sockets: every combination that `hub/rights.rs` checks on the hub. Users act by
//! commands; the operator and users of other nodes by [`ServerHandle::act`](chatproto::ServerHandle::act).

use chatproto::hub::{Action, Actor, Rank, Role};
use chatproto::{ServerHandle, UserName};

use crate::common::rights::{On, Who, action, every_combination, is_allowed, remote, target, text};
use crate::support::{Raw, TestServer};

fn operator(handle: &ServerHandle, action: Action) {
    handle.act(&Actor::operator("the operator"), action).expect("the operator may");
}

fn join(server: &TestServer, name: &str, role: Role) -> Raw {
    let raw = Raw::join(server.address, name);
    operator(&server.handle, Action::Role { user: name.to_owned(), role });
    raw
}

/// Mutes or bans `zed` in the name of this rank.
fn sanction(server: &TestServer, rank: Rank, act: &str) -> Option<Raw> {
    let role = if rank == Rank::Admin { Role::Admin } else { Role::Moderator };
    let sheriff = (rank != Rank::Operator).then(|| join(server, "sheriff", role));
    let by = match &sheriff {
        Some(_) => server.handle.actor(&UserName::new("sheriff").unwrap()).expect("a user"),
        None => Actor::operator("the operator"),
    };
    let (user, reason) = ("zed".to_owned(), String::new());
    let action = match act {
        "mute" | "unmute" => Action::Mute { user, duration: None, reason },
        _ => Action::Ban { target: target("zed"), duration: None, reason },
    };
    server.handle.act(&by, action).expect("the sheriff may");
    sheriff
}

/// What an act that is denied must not change.
fn state(handle: &ServerHandle) -> String {
    let bans = handle.bans().into_iter().map(|ban| (ban.target.to_string(), ban.by));
    let mutes = handle.mutes().into_iter().map(|mute| (mute.user, mute.by));
    let (bans, mutes): (Vec<_>, Vec<_>) = (bans.collect(), mutes.collect());
    format!("{} {bans:?} {mutes:?}", handle.online())
}

fn check(who: Who, is_muted: bool, act: &str, on: On) {
    let server = TestServer::start();
    let mut reader = Raw::join(server.address, "reader");
    reader.send("/join", "#tea");
    reader.fence();
    let name = match who {
        Who::User(_) => "actor",
        Who::Remote(_) => "remote",
        Who::Operator => "the operator",
    };
    let user = if on == On::Oneself { name } else { "zed" };
    let mut others = Vec::new();
    match on {
        On::Connected(role) => others.push(join(&server, "zed", role)),
        On::Away(role) => server.handle.set_stored_role(&UserName::new("zed").unwrap(), role, 1),
        On::By(rank) => {
            if act.ends_with("mute") {
                others.push(Raw::join(server.address, "zed"));
            }
            others.extend(sanction(&server, rank, act));
        }
        On::Nobody | On::Oneself => {}
    }
    let mut raw = match who {
        Who::User(role) => Some(join(&server, "actor", role)),
        _ => None,
    };
    if is_muted {
        let user = name.to_owned();
        operator(&server.handle, Action::Mute { user, duration: None, reason: String::new() });
    }
    let is_done = match (&mut raw, who) {
        (Some(raw), _) => {
            // what it was told before
            raw.fence();
            let before = state(&server.handle);
            raw.send(&format!("/{act}"), &text(act, user));
            let is_refused = raw.fence()[0].msg.starts_with('❌');
            assert!(!is_refused || state(&server.handle) == before, "{act} by {who:?} on {on:?}");
            !is_refused
        }
        (None, Who::Remote(role)) => server.handle.act(&remote(role), action(act, user)).is_ok(),
        _ => server.handle.act(&Actor::operator("the operator"), action(act, user)).is_ok(),
    };
    let case = format!("{act} by {who:?}, muted: {is_muted}, on {on:?}");
    assert_eq!(is_done, is_allowed(who, is_muted, act, on), "{case}");
}

#[test]
fn every_combination_is_as_decided_over_sockets_too() {
    every_combination(check);
}
