//! Claims of names, as the connections and users that wait for them remember them.

use std::time::Instant;

use crate::accounts::Granted;
use crate::name::UserName;

use super::ConnId;

/// What the claim is for that a connection waits for.
#[derive(Debug)]
pub(super) enum Pending {
    /// None: another connection claims the name. It is found out whether an account has it.
    Contend(UserName),
    /// Another name for a user (`/nick`), held for it.
    Rename(UserName),
    /// A temporary name, held for a connection that asked for another one.
    Guest { name: UserName, wanted: UserName, attempts: u8 },
    /// The name of an account, for a user who has proved to own it.
    Login { account: UserName, granted: Granted },
    /// A name that the connection is not to have any more: it is an account's.
    Withdrawn(UserName),
    /// The directory has not answered in time; the user is told this.
    Overdue(String),
}

impl Pending {
    /// The name that may be claimed.
    pub(super) fn claimed_name(&self) -> Option<&UserName> {
        match self {
            Pending::Rename(name)
            | Pending::Guest { name, .. }
            | Pending::Login { account: name, .. }
            | Pending::Withdrawn(name) => Some(name),
            Pending::Contend(_) | Pending::Overdue(_) => None,
        }
    }

    /// The name that nobody else can claim meanwhile.
    pub(super) fn held_name(&self) -> Option<&UserName> {
        match self {
            Pending::Rename(name) | Pending::Guest { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A user whose name belongs to an account now.
#[derive(Debug)]
pub(super) struct Displaced {
    /// When the claim was made.
    pub(super) since: Instant,
    pub(super) conn: ConnId,
    /// The name that is the account's, and the one for which the user asked first.
    pub(super) from: UserName,
    pub(super) wanted: UserName,
    pub(super) attempts: u8,
}
