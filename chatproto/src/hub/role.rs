//! Roles and ranks. The acts that each rank may perform are in [`rights`](super::rights).

use std::fmt;
use std::str::FromStr;

/// What a user may do beyond speaking. Each role may do what the one before it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Speak.
    #[default]
    User,
    /// Keep order: kick, ban, mute, close rooms, speak to all.
    Moderator,
    /// Give roles, and keep order among moderators.
    Admin,
}

impl Role {
    pub(super) const ALL: [Role; 3] = [Role::User, Role::Moderator, Role::Admin];

    /// Those who have it.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Role::User => "users",
            Role::Moderator => "moderators",
            Role::Admin => "admins",
        }
    }

    /// One who has it, with its article.
    pub(super) fn one(self) -> &'static str {
        match self {
            Role::User => "a user",
            Role::Moderator => "a moderator",
            Role::Admin => "an admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::User => "user",
            Role::Moderator => "moderator",
            Role::Admin => "admin",
        })
    }
}

/// What an actor may do. Each rank may do what the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// A user without a role.
    User,
    /// A moderator.
    Moderator,
    /// An admin.
    Admin,
    /// The operator of the server.
    Operator,
}

impl Rank {
    pub(super) const ALL: [Rank; 4] = [Rank::User, Rank::Moderator, Rank::Admin, Rank::Operator];
}

impl From<Role> for Rank {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Rank::User,
            Role::Moderator => Rank::Moderator,
            Role::Admin => Rank::Admin,
        }
    }
}

impl FromStr for Rank {
    type Err = UnknownRank;

    /// The rank that is shown as this text.
    fn from_str(text: &str) -> Result<Self, UnknownRank> {
        Rank::ALL.into_iter().find(|rank| rank.to_string() == text).ok_or(UnknownRank)
    }
}

/// A text is none of `user`, `moderator`, `admin` and `operator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rank is user, moderator, admin or operator")]
#[non_exhaustive]
pub struct UnknownRank;

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rank::User => "user",
            Rank::Moderator => "moderator",
            Rank::Admin => "admin",
            Rank::Operator => "operator",
        })
    }
}
