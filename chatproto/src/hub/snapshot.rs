//! A hub's state as data: what the [changes](super::StateChange) lead from and to.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{RoomName, UserName};

use super::{Ban, BanTarget, Change, Mute, StateChange, UserState};

/// What a hub knows of users, rooms and sanctions at one point of the stream of changes. A snapshot with
/// the changes behind it applied equals a later one, but for the ages of bans and mutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The number of the last change that is in it; 0 if there was none.
    pub number: u64,
    /// The users, by name.
    pub users: BTreeMap<UserName, UserState>,
    /// The rooms with their members.
    pub rooms: BTreeMap<RoomName, BTreeSet<UserName>>,
    /// The bans that hold. Their times count from the snapshot, or from the change that added them.
    pub bans: BTreeMap<BanTarget, Ban>,
    /// The mutes of names that hold: otherwise as for bans.
    pub mutes: BTreeMap<UserName, Mute>,
}

/// A change does not follow a snapshot: others between them are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("change {found} does not follow change {last}")]
#[non_exhaustive]
pub struct Gap {
    /// The last change that is in the snapshot.
    pub last: u64,
    /// The number of the change.
    pub found: u64,
}

impl Snapshot {
    /// Applies the next change. One that is in the snapshot already changes nothing.
    ///
    /// # Errors
    /// [`Gap`] if changes between them are missing; nothing was changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), Gap> {
        let Change { number, change } = change;
        if *number <= self.number {
            return Ok(());
        }
        if *number != self.number + 1 {
            return Err(Gap { last: self.number, found: *number });
        }
        self.number = *number;
        match change {
            StateChange::Joined(user) => {
                self.users.insert(user.name.clone(), user.clone());
            }
            StateChange::Left { name, .. } => {
                self.users.remove(name);
            }
            StateChange::Renamed { old, name } => self.rename(old, name),
            StateChange::Role { name, role } => self.change(name, |user| user.role = *role),
            StateChange::Login { name, is_logged_in } => {
                self.change(name, |user| user.is_logged_in = *is_logged_in);
            }
            StateChange::Away { name, text } => {
                self.change(name, |user| user.away.clone_from(text));
            }
            StateChange::RoomOpened { room } => {
                self.rooms.insert(room.clone(), BTreeSet::new());
            }
            StateChange::RoomClosed { room } => {
                self.rooms.remove(room);
            }
            StateChange::RoomJoined { room, name } => {
                self.rooms.entry(room.clone()).or_default().insert(name.clone());
            }
            StateChange::RoomLeft { room, name } => {
                if let Some(members) = self.rooms.get_mut(room) {
                    members.remove(name);
                }
            }
            StateChange::Banned(ban) => {
                // the spelling of the target is that of the last ban
                self.bans.remove(&ban.target);
                self.bans.insert(ban.target.clone(), ban.clone());
            }
            StateChange::Unbanned(target) => {
                self.bans.remove(target);
            }
            StateChange::Muted(mute) => {
                self.mutes.insert(mute.user.clone(), mute.clone());
            }
            StateChange::Unmuted(name) => {
                self.mutes.remove(name);
            }
        }
        Ok(())
    }

    fn change(&mut self, name: &UserName, change: impl FnOnce(&mut UserState)) {
        if let Some(user) = self.users.get_mut(name) {
            change(user);
        }
    }

    fn rename(&mut self, old: &UserName, name: &UserName) {
        if let Some(mut user) = self.users.remove(old) {
            user.name = name.clone();
            self.users.insert(name.clone(), user);
        }
        for members in self.rooms.values_mut() {
            if members.remove(old) {
                members.insert(name.clone());
            }
        }
    }
}
