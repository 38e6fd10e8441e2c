//! The ordered stream of changes: what a hub knows of users, rooms and sanctions, and each change of it,
//! numbered in the order in which the hub decided. [`Snapshot`](super::Snapshot) is the state that the
//! changes lead from and to. Nothing is recorded unless somebody [watches](Hub::set_watched).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use crate::name::{RoomName, UserName};

use super::control::{Ban, BanTarget, Mute};
use super::sanctions::{Full, Lifted, Sanction, Target};
use super::snapshot::Snapshot;
use super::users::Session;
use super::{ConnId, Departure, Hub, Now, Role};

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
    /// [`Hub::mutes`].
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

impl UserState {
    /// That of a session which is a user's.
    pub(super) fn of(session: &Session) -> Option<Self> {
        let away = session.extras().and_then(|extras| extras.away.as_deref());
        Some(UserState {
            name: session.user_name().filter(|_| session.is_user())?,
            address: session.address,
            role: session.role(),
            is_logged_in: session.is_logged_in(),
            away: away.map(str::to_owned),
        })
    }
}

/// The changes that were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Changes {
    is_watched: bool,
    /// The number of the last change.
    last: u64,
    queue: VecDeque<Change>,
}

impl Changes {
    /// Records a change, if somebody watches.
    #[inline]
    pub(super) fn note(&mut self, change: impl FnOnce() -> StateChange) {
        if self.is_watched {
            self.last += 1;
            self.queue.push_back(Change { number: self.last, change: change() });
        }
    }
}

impl Hub {
    /// Whether changes are recorded from now on: by default they are not, and cost nothing. After
    /// that, take a [`Hub::snapshot`], and call [`Hub::next_change`] after every call.
    ///
    /// ```
    /// use chatproto::{Hub, Now, Output, PeerKind, StateChange};
    ///
    /// let (mut hub, mut out, now) = (Hub::builder().build(), Output::new(), Now::system());
    /// hub.set_watched(true);
    /// let mut state = hub.snapshot(now);
    /// assert_eq!(state.users.len(), 0);
    ///
    /// let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, &mut out);
    /// hub.handle_name(conn, b"alice", PeerKind::Stream, now, &mut out);
    /// let change = hub.next_change().unwrap();
    /// assert!(matches!(&change.change, StateChange::Joined(user) if user.name.as_str() == "alice"));
    /// state.apply(&change).unwrap();
    /// assert_eq!(state, hub.snapshot(now));
    /// ```
    pub fn set_watched(&mut self, is_watched: bool) {
        self.changes.is_watched = is_watched;
        self.sanctions.set_keeps_lifted(is_watched);
        if !is_watched {
            self.changes.queue = VecDeque::new();
        }
    }

    /// Whether changes are recorded.
    pub fn is_watched(&self) -> bool {
        self.changes.is_watched
    }

    /// Whether [`Hub::next_change`] has one.
    #[inline]
    pub fn has_changes(&self) -> bool {
        !self.changes.queue.is_empty()
    }

    /// Takes the oldest change that was recorded and not taken.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.queue.pop_front()
    }

    /// All that the changes are about, as it is now. [`Snapshot::number`] is that of the last change
    /// before it, which may be among those that were not taken yet.
    pub fn snapshot(&mut self, now: Now) -> Snapshot {
        // so that what is over is over in both
        while self.sanctions.expire(now.monotonic) {}
        self.note_lifted(now);
        let sessions = self.users.sessions(self.users.roster());
        let users = sessions.filter_map(|(_, session)| UserState::of(session));
        let rooms = self.rooms.after(None).map(|room| {
            let members = self.users.sessions(&room.members);
            (room_name(&room.name), members.filter_map(|(_, member)| member.user_name()).collect())
        });
        Snapshot {
            number: self.changes.last,
            users: users.map(|user| (user.name.clone(), user)).collect(),
            rooms: rooms.collect(),
            bans: self.bans(now).map(|ban| (ban.target.clone(), ban)).collect(),
            mutes: self.mutes(now).map(|mute| (mute.user.clone(), mute)).collect(),
        }
    }

    /// When the next ban or mute ends, if somebody is to be told.
    pub(super) fn lift_due(&self) -> Option<Instant> {
        self.changes.is_watched.then(|| self.sanctions.next_end()).flatten()
    }

    /// Records a change of a user, if the connection is one.
    pub(super) fn note_of_user(
        &mut self,
        conn: ConnId,
        change: impl FnOnce(UserName) -> StateChange,
    ) {
        if self.changes.is_watched
            && let Some(session) = self.users.get(conn).filter(|session| session.is_user())
            && let Some(name) = session.user_name()
        {
            self.changes.note(|| change(name));
        }
    }

    /// Records that a connection has become a user.
    pub(super) fn note_joined(&mut self, conn: ConnId) {
        if self.changes.is_watched
            && let Some(user) = self.users.get(conn).and_then(UserState::of)
        {
            self.changes.note(|| StateChange::Joined(user));
        }
    }

    /// Gives a connection another name, which nobody has. Returns the former one.
    pub(super) fn rename_to(&mut self, conn: ConnId, name: &UserName) -> Option<UserName> {
        let old = self.users.rename(conn, name)?;
        self.note_of_user(conn, |name| StateChange::Renamed { old: old.clone(), name });
        Some(old)
    }

    /// Gives a connection these rights. Whether it had others before.
    pub(super) fn set_rights(&mut self, conn: ConnId, role: Role, is_logged_in: bool) -> bool {
        let Some(session) = self.users.get_mut(conn) else { return false };
        let before = (session.role(), session.is_logged_in());
        if before == (role, is_logged_in) {
            return false;
        }
        let extras = session.extras_mut();
        (extras.role, extras.is_logged_in) = (role, is_logged_in);
        if before.0 != role {
            self.note_of_user(conn, |name| StateChange::Role { name, role });
        }
        if before.1 != is_logged_in {
            self.note_of_user(conn, |name| StateChange::Login { name, is_logged_in });
        }
        true
    }

    /// Adds a ban: see [`Sanctions::add_ban`](super::sanctions::Sanctions::add_ban).
    pub(super) fn add_ban(
        &mut self,
        target: Target,
        ban: Sanction,
        total: Option<usize>,
        now: Now,
    ) -> Result<(), Full> {
        let noted = self.changes.is_watched.then(|| Ban::of(&target, &ban, now));
        let added = self.sanctions.add_ban(target, ban, total, now.monotonic);
        self.note_lifted(now);
        if let Some(ban) = noted.filter(|_| added == Ok(true)) {
            self.changes.note(|| StateChange::Banned(ban));
        }
        added.map(drop)
    }

    /// Removes a ban. Whether there was one that held.
    pub(super) fn remove_ban(&mut self, target: &Target, now: Now) -> bool {
        let removed = self.sanctions.remove_ban(target, now.monotonic);
        self.note_lifted(now);
        removed.is_some()
    }

    /// Removes the ban of the configuration. Whether there was one in force.
    pub(super) fn remove_configured_ban(&mut self, target: &Target, now: Now) -> bool {
        let removed = self.sanctions.withdraw_ban(target, now.monotonic);
        self.note_lifted(now);
        removed
    }

    /// Adds a mute of a name: see [`Sanctions::add_mute`](super::sanctions::Sanctions::add_mute).
    pub(super) fn add_mute(
        &mut self,
        name: &UserName,
        mute: Sanction,
        total: Option<usize>,
        now: Now,
    ) -> Result<(), Full> {
        let noted = self.changes.is_watched.then(|| Mute::of(name, &mute, now));
        let added = self.sanctions.add_mute(name, mute, total, now.monotonic);
        self.note_lifted(now);
        if let Some(mute) = noted.filter(|_| added.is_ok()) {
            self.changes.note(|| StateChange::Muted(mute));
        }
        added
    }

    /// Removes the mute of a name. Whether there was one that held.
    pub(super) fn remove_mute(&mut self, name: &UserName, now: Now) -> bool {
        let removed = self.sanctions.remove_mute(name, now.monotonic);
        self.note_lifted(now);
        removed.is_some()
    }

    /// Removes some of the sanctions that are over.
    pub(super) fn expire_sanctions(&mut self, now: Now) {
        self.sanctions.expire(now.monotonic);
        self.note_lifted(now);
    }

    fn note_lifted(&mut self, now: Now) {
        for lifted in self.sanctions.take_lifted() {
            match lifted {
                Lifted::Ban(target, shown) => {
                    let target = BanTarget::shown(&shown, &target);
                    self.changes.note(|| StateChange::Unbanned(target));
                }
                // one that is gone again has its own entry behind this one
                Lifted::Cover(target) => {
                    if let Some(ban) = self.sanctions.ban(&target, now.monotonic) {
                        self.changes.note(|| StateChange::Banned(Ban::of(&target, ban, now)));
                    }
                }
                Lifted::Mute(name) => self.changes.note(|| StateChange::Unmuted(name)),
            }
        }
    }
}

/// The name of a room that is there.
pub(super) fn room_name(name: &str) -> RoomName {
    RoomName::from_normalised(name)
}
