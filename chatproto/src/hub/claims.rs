//! The table of claims and releases of names that are under way. [`claiming`](super::claiming)
//! describes their order.

use std::collections::BTreeMap;
use std::time::Instant;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::name::UserName;
use crate::spare::GiveBack;

use super::claim::Displaced;
use super::usage::{in_deque, in_table, in_tree};
use super::{ConnId, Effect, Token};

/// Bytes that a claim takes at most beside an effect, and a release with its effect, without names.
pub(super) const CLAIM: usize =
    in_table::<(UserName, Asked)>() + in_deque::<Token>() + in_tree::<(u32, (Instant, ConnId))>();
const RELEASE: usize =
    in_table::<(UserName, Asked)>() + in_table::<(u32, UserName)>() + in_deque::<(Effect, usize)>();

/// Bytes that a user takes who has to give a name up, without names.
pub(super) const DISPLACED: usize = in_tree::<(u32, (UserName, Displaced))>();

#[derive(Debug)]
pub(super) struct Claims {
    pub(super) has_directory: bool,
    /// What is under way about names that no connection holds (releases, claims of logins, and claims that
    /// nobody wants any more), and whatever others wait for.
    pub(super) asked: HashMap<UserName, Asked, FixedState>,
    /// The names of releases, by serial.
    pub(super) releases: HashMap<u32, UserName, FixedState>,
    /// Since when users wait, by the serial of the claim: serials rise.
    pub(super) since: BTreeMap<u32, (Instant, ConnId)>,
    /// Users who have to give their names up, by the serial of the claim of another one, with that.
    pub(super) displaced: BTreeMap<u32, (UserName, Displaced)>,
}

/// What the directory is asked about a name.
#[derive(Debug)]
pub(super) struct Asked {
    /// Of the claim or release.
    pub(super) serial: u32,
    /// Claims that wait for its answer.
    pub(super) waiters: Vec<Token>,
}

impl Claims {
    pub(super) fn new(seed: u64, has_directory: bool) -> Self {
        let hasher = || FixedState::with_seed(seed);
        let (asked, releases) = (HashMap::with_hasher(hasher()), HashMap::with_hasher(hasher()));
        let (since, displaced) = (BTreeMap::new(), BTreeMap::new());
        Claims { has_directory, asked, releases, since, displaced }
    }

    /// A claim goes on whose name its connection does not hold any more. False if it has not begun yet
    /// and will not: it waits for something else about the name.
    pub(super) fn leave(&mut self, name: &UserName, serial: u32) -> bool {
        if !self.has_directory {
            return false;
        }
        match self.asked.get(name) {
            Some(asked) => asked.serial == serial,
            None => {
                self.asked.insert(name.clone(), Asked { serial, waiters: Vec::new() });
                true
            }
        }
    }

    /// The directory is told something about a name that it granted; others wait for that from now on.
    pub(super) fn begin_release(&mut self, name: &UserName, serial: u32) {
        match self.asked.get_mut(name) {
            Some(asked) => asked.serial = serial,
            None => {
                self.asked.insert(name.clone(), Asked { serial, waiters: Vec::new() });
            }
        }
        self.releases.insert(serial, name.clone());
    }

    /// The claim is answered, or nobody waits for it any more.
    pub(super) fn end_wait(&mut self, serial: u32) {
        self.since.remove(&serial);
    }

    pub(super) fn shrink(&mut self) {
        self.asked.give_back();
        self.releases.give_back();
    }
}

pub(super) fn bytes_of_release(name: &UserName) -> usize {
    RELEASE + 3 * name.as_str().len()
}
