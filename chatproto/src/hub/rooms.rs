//! Rooms: who is in which. A room is there while it has members.
//!
//! Membership is kept on both sides, each with its place on the other one, so that joining,
//! leaving and going through the members cost what that room and that user are, and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;

use crate::name::RoomName;
use crate::spare::{GiveBack, give_back_slots};

use super::ConnId;
use super::presence::Presence;
use super::users::Users;

/// A room, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RoomId(u32);

/// That a user is in a room: kept with the user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) room: RoomId,
    /// The user's place among the room's members.
    place: u32,
}

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
}

impl Rooms {
    pub(super) fn get(&self, id: RoomId) -> Option<&Room> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
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
        self.by_name.insert(name, RoomId(slot));
        RoomId(slot)
    }

    /// Makes a user a member; it must not be one.
    pub(super) fn join(&mut self, users: &mut Users, conn: ConnId, id: RoomId) {
        let (Some(room), Some(session)) = (self.get_mut(id), users.get_mut(conn)) else { return };
        let place = u32::try_from(room.members.len()).expect("fewer than 2^32 members");
        room.members.push(conn);
        session.extras_mut().rooms.push(Membership { room: id, place });
    }

    /// Makes a user a member no longer. Returns the room if it was its last member: the room is
    /// gone then.
    pub(super) fn leave(&mut self, users: &mut Users, conn: ConnId, id: RoomId) -> Option<Room> {
        let memberships = &mut users.get_mut(conn)?.extras_mut().rooms;
        let at = memberships.iter().position(|membership| membership.room == id)?;
        let place = memberships.remove(at).place as usize;
        let room = self.get_mut(id)?;
        room.members.swap_remove(place);
        room.members.give_back();
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
                session.extras_mut().rooms.retain(|membership| membership.room != id);
            }
        }
        Some(room)
    }

    /// Gives back the memory of rooms that are gone, if they were most.
    pub(super) fn shrink(&mut self) {
        give_back_slots(&mut self.slots, &mut self.free, Option::is_none);
    }

    fn remove(&mut self, id: RoomId) -> Option<Room> {
        let room = self.slots.get_mut(id.0 as usize)?.take()?;
        self.free.push(Reverse(id.0));
        self.by_name.remove(&room.name);
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_rooms_that_are_gone_is_given_back() {
        let (mut rooms, mut users) = (Rooms::default(), Users::new(0));
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
