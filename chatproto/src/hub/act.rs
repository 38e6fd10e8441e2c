//! Acts of moderation as data: actions, outcomes and refusals, with the sentences for a refused actor.
//! [`perform`](super::perform) carries acts out.

use std::fmt;
use std::time::Duration;

use crate::argument::as_argument;
use crate::name::UserName;

use super::excerpt::shortened;
use super::replies::{no_room, no_user};
use super::rights::Denial;
use super::sanction::Full;
use super::{Act, BanTarget, Rank, Role};

/// An act with its object. Names of users and rooms are looked up as in a message's `to`. Reasons may be
/// empty, and are cut after 256 bytes. A duration of `None` has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Ends a user's connection.
    Kick {
        /// The user's name.
        user: String,
        /// Why.
        reason: String,
    },
    /// Shuts out a name with its look-alikes, an address or a network. A ban of a temporary name such as
    /// `alice~7` is one of its user's address.
    Ban {
        /// Whom.
        target: BanTarget,
        /// For how long.
        duration: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Lifts a ban.
    Unban {
        /// Whose.
        target: BanTarget,
    },
    /// Silences a user. It holds for the name, after a reconnect too; for a temporary name such as
    /// `alice~7` it holds as long as the connection.
    Mute {
        /// The user's name. The operator may mute a user who is not connected.
        user: String,
        /// For how long.
        duration: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Lets a muted user speak again.
    Unmute {
        /// The user's name.
        user: String,
    },
    /// Gives a connected user a role, until its connection ends.
    Role {
        /// The user's name.
        user: String,
        /// The role.
        role: Role,
    },
    /// Closes a room.
    Close {
        /// The name of the room.
        room: String,
        /// Why.
        reason: String,
    },
    /// Tells all users something in the name of the server, but for the one who says it.
    Notice {
        /// The text.
        text: String,
    },
}

impl Action {
    pub(super) fn act(&self) -> Act {
        match self {
            Action::Kick { .. } => Act::Kick,
            Action::Ban { .. } => Act::Ban,
            Action::Unban { .. } => Act::Unban,
            Action::Mute { .. } => Act::Mute,
            Action::Unmute { .. } => Act::Unmute,
            Action::Role { role, .. } => Act::Role(*role),
            Action::Close { .. } => Act::Close,
            Action::Notice { .. } => Act::Notice,
        }
    }
}

/// The outcome of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// This user's connection was ended.
    Kicked(UserName),
    /// The ban holds, and so many users were closed.
    Banned {
        /// The target, which is an address where a temporary name was given.
        target: BanTarget,
        /// How many users were closed.
        closed: usize,
    },
    /// The ban is lifted.
    Unbanned,
    /// This user is silenced.
    Muted(UserName),
    /// This user may speak again.
    Unmuted(UserName),
    /// This user has another role.
    Role(UserName),
    /// This room is closed.
    Closed(String),
    /// The text was delivered.
    Told {
        /// To so many users.
        delivered: usize,
        /// And was too long for so many.
        too_long: usize,
    },
}

/// Why nothing was done. It is shown as a sentence for the actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) act: Act,
    pub(super) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The actor is not a user any more.
    Gone,
    NoUser(String),
    NoRoom(String),
    /// No user can have that name.
    BadName(String),
    /// No user has this name, which only the server gives.
    NobodyHas(String),
    NotBanned(String),
    NotMuted(String),
    /// A guest is muted because the name is that it asked for.
    MutedAs(String, String),
    TooLong,
    Full(Full),
    /// Whom the act was on, and why not.
    Denied(String, Denial),
}

impl Refusal {
    /// Whether the actor has not the right, so that somebody else may have it.
    pub fn is_denied(&self) -> bool {
        matches!(self.why, Why::Denied(..))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.act, &self.why) {
            (Act::Ban, _) => f.write_str("Not banned: ")?,
            (Act::Mute, Why::Full(_)) => f.write_str("Not muted: ")?,
            _ => {}
        }
        match &self.why {
            Why::Gone => f.write_str("You are not connected any more."),
            Why::NoUser(name) => f.write_str(no_user(name).trim_start_matches("❌ ")),
            Why::NoRoom(name) => f.write_str(no_room(name).trim_start_matches("❌ ")),
            Why::BadName(reason) => f.write_str(reason),
            Why::NobodyHas(name) => {
                write!(f, "nobody has the temporary name {} now. Ban an address.", shortened(name))
            }
            Why::NotBanned(target) => {
                write!(f, "{} is not banned. Send /bans to see who is.", shortened(target))
            }
            Why::NotMuted(name) => write!(f, "{name} is not muted."),
            Why::MutedAs(guest, name) => f.write_str(&muted_as(guest, name)),
            Why::TooLong => f.write_str("Nobody was told: the text is too long."),
            Why::Full(full) => full.fmt(f),
            Why::Denied(target, denial) => denied(f, self.act, target, *denial),
        }
    }
}

impl std::error::Error for Refusal {}

/// The sentence about a guest who is muted because the name is that it asked for.
pub(super) fn muted_as(guest: &str, name: &str) -> String {
    format!("{guest} is muted because {name} is. Send /unmute {}.", as_argument(name))
}

fn denied(f: &mut fmt::Formatter<'_>, act: Act, target: &str, denial: Denial) -> fmt::Result {
    let target = shortened(target);
    match denial {
        Denial::Rank(rank) => write!(f, "That is for {rank}s."),
        Denial::Sanctioned if act == Act::Ban => {
            f.write_str("you are muted, and cannot moderate. Ask an admin to lift that.")
        }
        Denial::Sanctioned => {
            f.write_str("You are muted, and cannot moderate. Ask an admin to lift that.")
        }
        Denial::Oneself if act == Act::Ban => {
            f.write_str("that would shut out yourself. Use /kick or /mute for one user.")
        }
        Denial::Oneself => f.write_str("That is yourself."),
        Denial::User(rank) => {
            let article = if rank == Rank::Admin { "an" } else { "a" };
            write!(f, "{target} is {article} {rank}: ask an admin.")
        }
        Denial::Sanction(rank) => {
            let whom = if rank == Rank::Operator { "the operator" } else { "an admin" };
            let was = if matches!(act, Act::Mute | Act::Unmute) { "muted" } else { "banned" };
            write!(f, "{target} was {was} by {whom}: ask {whom}.")
        }
    }
}
