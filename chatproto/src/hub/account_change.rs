//! Changes of accounts by others than their owners.

use super::Role;

/// What somebody else than its owner did to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountChange {
    /// It is there now, with this role: a guest who has the name gives it up. No temporary name is made
    /// that looks like it: see [`Hub::withhold_name`](super::Hub::withhold_name).
    Added(Role),
    /// Its owner has another role.
    Role(Role),
    /// It has another password: whoever is logged in has to prove it again.
    Password,
    /// It is gone: whoever is logged in is closed.
    Removed,
}
