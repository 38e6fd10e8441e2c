//! Telling many: a room, or everybody. Who comes and goes is told here, at once or counted.

use std::sync::Arc;

use crate::message::MessageRef;
use crate::name::EVERYONE;

use super::delivery::{Sent, broadcast, write_notice};
use super::output::DELIVERY;
use super::presence::{Change, Telling};
use super::room::{Audience, RoomId};
use super::session::Session;
use super::{ConnId, Hub, Now, Output, StateChange, change, presence};

impl Hub {
    /// Makes a user a member of a room no longer, and tells those who still are.
    pub(super) fn leave_room(
        &mut self,
        conn: ConnId,
        room: RoomId,
        change: Change,
        now: Now,
        out: &mut Output,
    ) {
        let Some(name) = self.users.get(conn).and_then(Session::user_name) else {
            return;
        };
        let Some(room_name) = self.rooms.get(room).map(|room| Arc::clone(&room.name)) else {
            return;
        };
        let gone = self.rooms.leave(&mut self.users, conn, room);
        self.changes.note(|| StateChange::RoomLeft {
            room: change::room_name(&room_name),
            name: name.clone(),
        });
        match gone {
            Some(gone) => {
                self.changes
                    .note(|| StateChange::RoomClosed { room: change::room_name(&room_name) });
                self.forget_count(Audience::Room(room), gone.presence.due());
            }
            None => self.notify(Audience::Room(room), conn, change, name.as_str(), now, out),
        }
    }

    /// The same with all the rooms of a user.
    pub(super) fn leave_rooms(&mut self, conn: ConnId, change: Change, now: Now, out: &mut Output) {
        while let Some(membership) = self.users.get(conn).and_then(|session| session.rooms().last())
        {
            self.leave_room(conn, membership.room, change, now, out);
        }
    }

    /// Closes a room and tells its members. Returns how many there were.
    pub(super) fn close_room(&mut self, room: RoomId, text: &str, out: &mut Output) -> usize {
        let Some(gone) = self.rooms.close(&mut self.users, room) else { return 0 };
        self.changes.note(|| StateChange::RoomClosed { room: change::room_name(&gone.name) });
        self.forget_count(Audience::Room(room), gone.presence.due());
        self.say_to(&gone.members, &gone.name, text, out);
        self.state_room_closed(&gone.name, &gone.members, out);
        gone.members.len()
    }

    /// Tells the rooms of a user what happened to it.
    pub(super) fn notify_rooms(
        &mut self,
        conn: ConnId,
        change: Change,
        name: &str,
        now: Now,
        out: &mut Output,
    ) {
        let rooms: Vec<RoomId> = self
            .users
            .get(conn)
            .map_or(&[][..], Session::rooms)
            .iter()
            .map(|membership| membership.room)
            .collect();
        for room in rooms {
            self.notify(Audience::Room(room), conn, change, name, now, out);
        }
        if self.announces {
            self.notify(Audience::Everyone, conn, change, name, now, out);
        }
    }

    /// Tells an audience what happened to one who is, or was, of it: the others at once, or all of
    /// them together with what else happens.
    pub(super) fn notify(
        &mut self,
        audience: Audience,
        conn: ConnId,
        change: Change,
        name: &str,
        now: Now,
        out: &mut Output,
    ) {
        if self.is_stopping {
            return;
        }
        let (total, at) = (self.limits.rooms_total, now.monotonic);
        let telling = match audience {
            Audience::Everyone => {
                Some(self.presence.take(change, name, self.users.online(), true, at))
            }
            Audience::Room(room) => self.rooms.take_change(room, change, name, total, at),
        };
        let Some(telling) = telling else { return };
        match telling {
            Telling::AtOnce => {
                self.say_to_others(audience, Some(conn), &presence::text(change, name), out);
                self.state_change(audience, conn, change, name, out);
            }
            Telling::At(due) => {
                self.counts_due.insert((due, audience));
            }
            Telling::Later => {}
        }
    }

    /// Tells an audience what was counted. Returns how many it has.
    pub(super) fn tell_count(&mut self, audience: Audience, now: Now, out: &mut Output) -> usize {
        let counted = match audience {
            Audience::Everyone => self.presence.flush(now.monotonic),
            Audience::Room(room) => self.rooms.flush_changes(room, now.monotonic),
        };
        let Some((text, short)) = counted else { return 0 };
        let (name, members) = match audience {
            Audience::Everyone => (EVERYONE, self.users.roster()),
            Audience::Room(room) => match self.rooms.get(room) {
                Some(room) => (&*room.name, &*room.members),
                None => return 0,
            },
        };
        let limits = &self.limits;
        broadcast(out, members.len(), self.users.sessions(members), |out, kind| {
            // names can be too long for one who takes no more than a read
            write_notice(out, limits, kind, name, &text)
                .or_else(|_| write_notice(out, limits, kind, name, &short))
        });
        let told = members.len();
        self.state_count(audience, out);
        told
    }

    /// The server says something to all of an audience but one.
    pub(super) fn say_to_others(
        &self,
        audience: Audience,
        except: Option<ConnId>,
        text: &str,
        out: &mut Output,
    ) -> Sent {
        let (name, members) = match audience {
            Audience::Everyone => (EVERYONE, self.users.roster()),
            Audience::Room(room) => match self.rooms.get(room) {
                Some(room) => (&*room.name, &*room.members),
                None => return Sent::default(),
            },
        };
        let receivers = self.users.sessions(members).filter(|(conn, _)| Some(*conn) != except);
        broadcast(out, members.len(), receivers, |out, kind| {
            write_notice(out, &self.limits, kind, name, text)
        })
    }

    /// Work that a message to many will cause, if that is more than `most`: units as in
    /// [`Output::work`].
    pub(crate) fn expects_more_work_than(&self, most: u64, message: &MessageRef<'_>) -> bool {
        let each = message.msg.raw().len() as u64 + DELIVERY;
        if self.users.online() as u64 * each <= most {
            return false;
        }
        let to = message.to.to_str();
        let to = to.trim();
        let receivers = match to.as_bytes().first() {
            Some(b'/') if matches!(to, "/shout" | "/notice") => self.users.online(),
            Some(b'#') => {
                let room = self.find_room(to).and_then(|room| self.rooms.get(room));
                room.map_or(0, |room| room.members.len())
            }
            _ => 0,
        };
        receivers as u64 * each > most
    }

    fn say_to(&self, members: &[ConnId], name: &str, text: &str, out: &mut Output) {
        broadcast(out, members.len(), self.users.sessions(members), |out, kind| {
            write_notice(out, &self.limits, kind, name, text)
        });
    }

    fn forget_count(&mut self, audience: Audience, due: Option<std::time::Instant>) {
        if let Some(due) = due {
            self.counts_due.remove(&(due, audience));
        }
    }
}
