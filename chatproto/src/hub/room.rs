//! Rooms as other tables name them: ids, memberships, and audiences.

/// A room, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RoomId(pub(super) u32);

/// That a user is in a room: kept with the user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) room: RoomId,
    /// The user's place among the room's members.
    pub(super) place: u32,
    /// The user is to be told who is in the room.
    pub(super) is_owed: bool,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    Everyone,
    Room(RoomId),
}
