//! The table of rights, written a second time, from the texts of the decision: every actor, act and object,
//! and whether the actor may.

use chatproto::UserName;
use chatproto::hub::{Action, Actor, BanTarget, Rank, Role};

pub(crate) const ROLES: [Role; 3] = [Role::User, Role::Moderator, Role::Admin];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Who {
    User(Role),
    Remote(Role),
    Operator,
}

/// What an act is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum On {
    Nobody,
    Oneself,
    Connected(Role),
    /// The owner of an account who is not connected.
    Away(Role),
    /// A mute or ban that this rank imposed.
    By(Rank),
}

pub(crate) const ACTS: [&str; 8] =
    ["kick", "mute", "ban", "unmute", "unban", "role", "close", "notice"];

pub(crate) fn objects(act: &str) -> Vec<On> {
    let connected = ROLES.map(On::Connected).into_iter();
    let users = || connected.clone().chain([On::Oneself]);
    let by = [Rank::Moderator, Rank::Admin, Rank::Operator].map(On::By);
    match act {
        "kick" | "role" => users().collect(),
        "mute" => users().chain(by).collect(),
        "ban" => users().chain(ROLES.map(On::Away)).chain(by).collect(),
        "unmute" | "unban" => by.to_vec(),
        _ => vec![On::Nobody],
    }
}

pub(crate) fn is_allowed(who: Who, is_muted: bool, act: &str, on: On) -> bool {
    let role = match who {
        // a user of another node cannot be oneself here
        Who::Operator => return true,
        Who::User(role) | Who::Remote(role) => role,
    };
    if is_muted {
        return false;
    }
    match (act, role, on) {
        (_, Role::User, _) => false,
        ("close" | "notice", ..) => true,
        ("role", Role::Admin, _) => true,
        ("role", ..) | (_, _, On::Oneself) => false,
        (_, Role::Moderator, On::Connected(Role::User) | On::Away(Role::User)) => true,
        (_, Role::Moderator, On::By(Rank::Moderator)) => true,
        (_, Role::Admin, On::Connected(_) | On::Away(_)) => true,
        (_, Role::Admin, On::By(Rank::Moderator | Rank::Admin)) => true,
        _ => false,
    }
}

pub(crate) fn target(text: &str) -> BanTarget {
    text.parse().expect("a target")
}

pub(crate) fn action(act: &str, user: &str) -> Action {
    let (user, reason, duration) = (user.to_owned(), "a reason".to_owned(), None);
    match act {
        "kick" => Action::Kick { user, reason },
        "mute" => Action::Mute { user, duration, reason },
        "ban" => Action::Ban { target: target(&user), duration, reason },
        "unmute" => Action::Unmute { user },
        "unban" => Action::Unban { target: target(&user) },
        "role" => Action::Role { user, role: Role::Moderator },
        "close" => Action::Close { room: "#tea".to_owned(), reason },
        _ => Action::Notice { text: "a text".to_owned() },
    }
}

pub(crate) fn text(act: &str, user: &str) -> String {
    match act {
        "role" => format!("{user} moderator"),
        "close" => "#tea a reason".to_owned(),
        "notice" => "a text".to_owned(),
        "unmute" | "unban" => user.to_owned(),
        _ => format!("{user} a reason"),
    }
}

/// As another node makes one.
pub(crate) fn remote(role: Role) -> Actor {
    let name = UserName::new("remote").unwrap();
    Actor::remote("node-b", name, role)
}

/// Calls `check` with every combination: who acts, whether the actor is muted, the act, and its object.
pub(crate) fn every_combination(mut check: impl FnMut(Who, bool, &'static str, On)) {
    let users = ROLES.map(Who::User).into_iter();
    let everybody: Vec<Who> = users.chain(ROLES.map(Who::Remote)).chain([Who::Operator]).collect();
    let mut cases = 0;
    for &who in &everybody {
        for act in ACTS {
            for on in objects(act) {
                if on == On::Oneself && !matches!(who, Who::User(_)) {
                    continue;
                }
                for is_muted in [false, true] {
                    if is_muted && who == Who::Operator {
                        continue;
                    }
                    check(who, is_muted, act, on);
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 300, "{cases}");
}
