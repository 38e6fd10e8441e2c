//! The ordered stream of changes: operations that change users, rooms and sanctions, and record it. Changes
//! are numbered in the order in which the hub decided. Nothing is recorded unless somebody
//! [watches](Hub::set_watched).

use std::collections::VecDeque;
use std::time::Instant;

use crate::name::UserName;

use super::change::room_name;
use super::sanction::{Full, Sanction};
use super::sanctions::Lifted;
use super::session::Session;
use super::target::Target;
use super::{
    Ban, BanTarget, Change, ConnId, Hub, Mute, Now, Role, Snapshot, StateChange, UserState,
};

impl Hub {
    /// Whether changes are recorded from now on: by default they are not, and cost nothing. After
    /// that, take a [`Hub::snapshot`], and call [`Hub::next_change`] after every call.
    ///
    /// ```
    /// use chatproto::handshake::PeerKind;
    /// use chatproto::hub::{Hub, Now, Output, StateChange};
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
