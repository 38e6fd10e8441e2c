//! Claims of names, leases, and the answers to claims.

use std::net::IpAddr;

use crate::name::UserName;

/// A name that a connection is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The name. In this server it is held for the connection meanwhile.
    pub name: UserName,
    /// The address of the connection.
    pub address: IpAddr,
    /// What the name is for.
    pub purpose: ClaimPurpose,
}

impl Claim {
    pub(crate) fn new(name: UserName, address: IpAddr, purpose: ClaimPurpose) -> Self {
        Claim { name, address, purpose }
    }
}

/// What a name is claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimPurpose {
    /// A connection asks to be a user of this name.
    Register,
    /// The server has made this name for a connection that cannot have the one that it asked for, or has
    /// to give its name up. If it is refused or reserved, the server claims another one.
    Guest,
    /// A user asks for this name instead of its own, by `/nick`.
    Rename,
    /// A user has proved to own the account of this name, by `/login`.
    Login {
        /// The revision of the account: see [`Accounts`](crate::accounts::Accounts#revisions).
        revision: u64,
    },
}

/// A name that a server has, until it gives it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    name: UserName,
    revision: u64,
}

impl Lease {
    pub(crate) fn new(name: UserName, revision: u64) -> Self {
        Lease { name, revision }
    }

    /// The name.
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// The number that the directory granted it with. It tells this lease from earlier and later ones of
    /// the name.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// What a directory says about a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimAnswer {
    /// The name is the claimant's, as a lease with this number: a fencing token, which the directory
    /// chooses.
    Granted(u64),
    /// The name is that of an account, here or elsewhere: the claimant has to log in. At registration it
    /// becomes a guest.
    Reserved,
    /// The name is not given, for the reason in this sentence, which the user is told.
    Refused(String),
    /// The user is to connect to another server, which the user is told: its address, or its name.
    Moved(String),
}
