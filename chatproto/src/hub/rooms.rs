//! Rooms: who is in which. A room is there while it has members.
//!
//! Membership is kept on both sides, each with its place on the other one, so that joining,
//! leaving and going through the members cost what that room and that user are, and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::name::RoomName;
use crate::spare::{GiveBack, give_back_slots};

use super::ConnId;
use super::presence::{Change, Presence, Telling, bytes_of_name};
use super::room::{Audience, Membership, RoomId};
use super::usage::{in_deque, in_tree};
use super::users::Users;

#[derive(Debug)]
pub(super) struct Room {
    /// With its `#`.
    pub(super) name: Arc<str>,
    /// In no particular order once somebody left.
    pub(super) members: Vec<ConnId>,
    pub(super) presence: Presence,
}

impl Room {
    /// Its name and the number of its members, as `/rooms` lists them.
    pub(super) fn describe(&self, line: &mut String) {
        // writing to a string does not fail
        let _ = write!(line, "{} ({})", self.name, self.members.len());
    }
}

#[derive(Debug, Default)]
pub(super) struct Rooms {
    slots: Vec<Option<Room>>,
    /// The lowest is used first.
    free: BinaryHeap<Reverse<u32>>,
    /// In order, for those who ask for the list.
    by_name: BTreeMap<Arc<str>, RoomId>,
    /// Bytes of rooms and memberships, without the slots.
    bytes: usize,
    /// Bytes of names in changes that are not told yet.
    names: usize,
}

/// Bytes that a slot takes, free or not.
const SLOT: usize = in_deque::<Option<Room>>() + in_deque::<Reverse<u32>>();

/// Bytes that a room takes beside its slot and the text of its name: its entry in the order, its count of
/// changes with the time when it is due, and the number of its last message for those who want
/// cursors.
const ROOM: usize = 2 * size_of::<usize>()
    + in_tree::<(Arc<str>, RoomId)>()
    + Presence::PENDING
    + in_tree::<(Instant, Audience)>()
    + in_tree::<(RoomId, u64)>();

/// Bytes that a membership takes with the user at most: the first of a user makes room for four.
const MEMBERSHIP: usize = 4 * size_of::<Membership>();

/// All pending names may use this part of [`Limits::rooms_total`](crate::Limits::rooms_total).
const NAMES: usize = 8;

impl Rooms {
    pub(super) fn get(&self, id: RoomId) -> Option<&Room> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    /// The room of that (normalised) name.
    pub(super) fn find(&self, name: &str) -> Option<RoomId> {
        self.by_name.get(name).copied()
    }

    /// The rooms behind that name, in the order of their names.
    pub(super) fn after(&self, name: Option<&Arc<str>>) -> impl Iterator<Item = &Room> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.by_name.range::<Arc<str>, _>((from, Bound::Unbounded));
        ids.filter_map(|(_, &id)| self.get(id))
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Bytes that all rooms take.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * SLOT + self.bytes + self.names
    }

    /// Bytes that it takes to make a user a member of the room of that name, which may have to be made.
    pub(super) fn bytes_to_join(&self, name: &RoomName) -> usize {
        let members =
            self.find(name.as_str()).and_then(|id| self.get(id)).map(|room| &room.members);
        let room = match members {
            Some(_) => 0,
            None if self.free.is_empty() => SLOT + ROOM + name.as_str().len(),
            None => ROOM + name.as_str().len(),
        };
        // as a vector grows
        let grown = match members {
            Some(members) if members.len() < members.capacity() => 0,
            Some(members) => members.len().max(4),
            None => 4,
        };
        room + MEMBERSHIP + grown * size_of::<ConnId>()
    }

    /// Takes a change in a room: see [`Presence::take`]. All rooms may take `total` bytes.
    pub(super) fn take_change(
        &mut self,
        id: RoomId,
        change: Change,
        name: &str,
        total: usize,
        now: Instant,
    ) -> Option<Telling> {
        let (used, bytes) = (self.bytes(), bytes_of_name(name));
        let has_room = used.saturating_add(bytes) <= total && self.names + bytes <= total / NAMES;
        let room = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        let before = room.presence.bytes_of_names();
        let telling = room.presence.take(change, name, room.members.len(), has_room, now);
        self.names += room.presence.bytes_of_names() - before;
        Some(telling)
    }

    /// Changes that were counted in a room: see [`Presence::flush`].
    pub(super) fn flush_changes(&mut self, id: RoomId, now: Instant) -> Option<(String, String)> {
        let room = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        self.names -= room.presence.bytes_of_names();
        room.presence.flush(now)
    }

    /// The room of that name, which is made if it is not there.
    pub(super) fn open(&mut self, name: &RoomName) -> RoomId {
        if let Some(id) = self.find(name.as_str()) {
            return id;
        }
        let name: Arc<str> = name.as_str().into();
        let room =
            Room { name: Arc::clone(&name), members: Vec::new(), presence: Presence::default() };
        let slot = self.free.pop().map(|Reverse(slot)| slot).unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 rooms")
        });
        self.slots[slot as usize] = Some(room);
        self.bytes += ROOM + name.len();
        self.by_name.insert(name, RoomId(slot));
        RoomId(slot)
    }

    /// Makes a user a member; it must not be one.
    pub(super) fn join(&mut self, users: &mut Users, conn: ConnId, id: RoomId) {
        let room = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut);
        let (Some(room), Some(session)) = (room, users.get_mut(conn)) else { return };
        let place = u32::try_from(room.members.len()).expect("fewer than 2^32 members");
        self.bytes -= bytes_of_members(room);
        room.members.push(conn);
        self.bytes += bytes_of_members(room) + MEMBERSHIP;
        session.extras_mut().rooms.push(Membership { room: id, place, is_owed: false });
    }

    /// Makes a user a member no longer. Returns the room if it was its last member: the room is
    /// gone then.
    pub(super) fn leave(&mut self, users: &mut Users, conn: ConnId, id: RoomId) -> Option<Room> {
        let memberships = &mut users.get_mut(conn)?.extras_mut().rooms;
        let at = memberships.iter().position(|membership| membership.room == id)?;
        let place = memberships.remove(at).place as usize;
        memberships.give_back();
        let room = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        self.bytes -= bytes_of_members(room) + MEMBERSHIP;
        room.members.swap_remove(place);
        room.members.give_back();
        self.bytes += bytes_of_members(room);
        if let Some(&moved) = room.members.get(place)
            && let Some(session) = users.get_mut(moved)
            && let Some(membership) =
                session.extras_mut().rooms.iter_mut().find(|membership| membership.room == id)
        {
            membership.place = place as u32;
        }
        if room.members.is_empty() { self.remove(id) } else { None }
    }

    /// Makes a room go, and nobody a member of it any longer.
    pub(super) fn close(&mut self, users: &mut Users, id: RoomId) -> Option<Room> {
        let room = self.remove(id)?;
        for &member in &room.members {
            if let Some(session) = users.get_mut(member) {
                let memberships = &mut session.extras_mut().rooms;
                memberships.retain(|membership| membership.room != id);
                memberships.give_back();
            }
        }
        self.bytes -= room.members.len() * MEMBERSHIP;
        Some(room)
    }

    /// Gives back the memory of rooms that are gone, if they were most.
    pub(super) fn shrink(&mut self) {
        give_back_slots(&mut self.slots, &mut self.free, Option::is_none);
    }

    /// Checks the counters against what is there.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_counters(&self) {
        let rooms = || self.slots.iter().flatten();
        let bytes = rooms().map(|room| {
            ROOM + room.name.len() + bytes_of_members(room) + room.members.len() * MEMBERSHIP
        });
        assert_eq!(self.bytes, bytes.sum::<usize>());
        assert_eq!(self.names, rooms().map(|room| room.presence.bytes_of_names()).sum::<usize>());
    }

    fn remove(&mut self, id: RoomId) -> Option<Room> {
        let room = self.slots.get_mut(id.0 as usize)?.take()?;
        self.free.push(Reverse(id.0));
        self.by_name.remove(&room.name);
        self.bytes -= ROOM + room.name.len() + bytes_of_members(&room);
        self.names -= room.presence.bytes_of_names();
        Some(room)
    }
}

fn bytes_of_members(room: &Room) -> usize {
    room.members.capacity() * size_of::<ConnId>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_rooms_that_are_gone_is_given_back() {
        let (mut rooms, mut users) = (Rooms::default(), Users::new(0, false));
        let name = |number: u32| RoomName::new(&format!("#{number}")).unwrap();
        let crowd: Vec<RoomId> = (0..1_000).map(|number| rooms.open(&name(number))).collect();
        for &id in crowd.iter().filter(|id| !matches!(id.0, 3 | 500)) {
            rooms.close(&mut users, id).expect("it was there");
        }
        rooms.shrink();
        assert_eq!((rooms.slots.len(), rooms.free.len(), rooms.len()), (501, 499, 2));
        rooms.close(&mut users, crowd[500]);
        rooms.shrink();
        assert_eq!((rooms.slots.len(), rooms.free.len()), (4, 3));
        assert!(rooms.slots.capacity() < 10 && rooms.free.capacity() < 10);
        // the lowest slots are used first
        let fresh: Vec<u32> = (10..15).map(|number| rooms.open(&name(number)).0).collect();
        assert_eq!(fresh, [0, 1, 2, 4, 5]);
        assert_eq!(rooms.find("#3"), Some(crowd[3]));
    }
}
