//! Changes of what a hub knows of users, rooms and sanctions. [`Snapshot`](super::Snapshot) is the state
//! that the changes lead from and to.

use std::net::IpAddr;

use crate::name::{RoomName, UserName};

use super::{Ban, BanTarget, Departure, Mute, Role};

/// A change with its number. Numbers have no gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// One more than that of the change before.
    pub number: u64,
    /// What changed.
    pub change: StateChange,
}

/// A change of what a hub knows of users, rooms and sanctions.
///
/// A user is identified by its name, which no other user has at the same time. Connections that are not
/// users, such as visitors, are not in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateChange {
    /// A user is there. It is in no room.
    Joined(UserState),
    /// A user is gone. It was in no room any more.
    Left {
        /// The user's last name, which is free now.
        name: UserName,
        /// Why.
        reason: Departure,
    },
    /// A user has another name, in its rooms too.
    Renamed {
        /// The name until now.
        old: UserName,
        /// The name from now on.
        name: UserName,
    },
    /// A user has another role.
    Role {
        /// The user.
        name: UserName,
        /// The role from now on.
        role: Role,
    },
    /// A user has logged in, or its account is gone.
    Login {
        /// The user.
        name: UserName,
        /// Whether the user is logged in now.
        is_logged_in: bool,
    },
    /// A user is away, or back.
    Away {
        /// The user.
        name: UserName,
        /// The text for those who write to the user; `None` if the user is back.
        text: Option<String>,
    },
    /// A room is there. It has no members yet.
    RoomOpened {
        /// The room.
        room: RoomName,
    },
    /// A room is gone. Its members, if it had any, are not in it any more.
    RoomClosed {
        /// The room.
        room: RoomName,
    },
    /// A user is in a room.
    RoomJoined {
        /// The room.
        room: RoomName,
        /// The user.
        name: UserName,
    },
    /// A user is not in a room any more.
    RoomLeft {
        /// The room.
        room: RoomName,
        /// The user.
        name: UserName,
    },
    /// A ban holds, in place of another one of the same target that there may have been. Its age and
    /// the time that remains count from the change on.
    Banned(Ban),
    /// A ban holds no longer: it was lifted, or its time is over.
    Unbanned(BanTarget),
    /// The mute of a name holds, in place of another one that there may have been: otherwise as for a
    /// ban. The mute of a temporary name belongs to its connection and is not in the stream, as in
    /// [`Hub::mutes`](super::Hub::mutes).
    Muted(Mute),
    /// The mute of a name holds no longer: it was lifted, or its time is over.
    Unmuted(UserName),
}

/// A user, as the stream of changes knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserState {
    /// The user's name.
    pub name: UserName,
    /// The user's address.
    pub address: IpAddr,
    /// The user's role.
    pub role: Role,
    /// Whether the user has proved to own the name.
    pub is_logged_in: bool,
    /// The text for those who write to the user, if the user is away.
    pub away: Option<String>,
}

/// The name of a room that is there.
pub(super) fn room_name(name: &str) -> RoomName {
    RoomName::from_normalised(name)
}
