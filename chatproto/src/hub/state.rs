//! State lines (B21): what changed, for programs, beside the notices for people. A user who asked for them
//! gets a line for each notice that it gets, and lines about itself.
//!
//! What concerns a room, or everybody, has the same receivers as the notice, and its `to`. What concerns one
//! user only is sent to that user. Lists of members are sent when no answer is under way.

use crate::name::{EVERYONE, UserName};
use crate::pairs::as_value;

use super::delivery::{broadcast, within_limit, write, write_line};
use super::hub::Call;
use super::lines::listed;
use super::long_answer::Entries;
use super::presence::Change;
use super::range::Range;
use super::room::{Audience, RoomId};
use super::session::Session;
use super::{ConnId, Departure, Hub, Now, Output, presence};

/// The list of a room of at most so many members, or of so many users, is told again after changes that
/// were counted. Of a larger one only the number is.
const TOLD_AGAIN: usize = 100;

impl Hub {
    /// Whether a connection wants state lines; the number of those who do is kept right.
    pub(super) fn set_wants_state(&mut self, conn: ConnId, wants_state: bool) {
        let announces = self.announces;
        let Some(session) = self.users.get_mut(conn) else { return };
        if session.wants_state() != wants_state {
            self.state_readers =
                self.state_readers.wrapping_add_signed(if wants_state { 1 } else { -1 });
        } else if !wants_state {
            return;
        }
        let is_user = session.is_user();
        let extras = session.extras_mut();
        extras.wants_state = wants_state;
        extras.is_owed_everyone = wants_state && announces && is_user;
        extras.rooms.iter_mut().for_each(|membership| membership.is_owed = wants_state);
    }

    /// A user who wants state lines is to be told who is in a room that it has joined.
    pub(super) fn owe_members(&mut self, conn: ConnId, room: RoomId) {
        let Some(session) = self.users.get_mut(conn).filter(|session| session.wants_state()) else {
            return;
        };
        let rooms = &mut session.extras_mut().rooms;
        let joined = rooms.iter_mut().find(|membership| membership.room == room);
        joined.into_iter().for_each(|membership| membership.is_owed = true);
    }

    /// The same with all users, where joins are announced.
    pub(super) fn owe_everyone(&mut self, conn: ConnId) {
        let announces = self.announces;
        if let Some(session) = self.users.get_mut(conn).filter(|session| session.wants_state()) {
            session.extras_mut().is_owed_everyone = announces;
        }
    }

    /// No list is owed any more: the reader lost one.
    pub(super) fn forget_owed(&mut self, conn: ConnId) {
        if let Some(session) = self.users.get_mut(conn).filter(|session| session.wants_state()) {
            let extras = session.extras_mut();
            extras.is_owed_everyone = false;
            extras.rooms.iter_mut().for_each(|membership| membership.is_owed = false);
        }
    }

    /// Sends the lists that are owed, unless an answer is under way.
    pub(super) fn send_owed(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        while self.state_readers > 0 && !self.is_waiting(conn) {
            let Some(session) = self.users.get_mut(conn).filter(|session| session.wants_state())
            else {
                return;
            };
            let extras = session.extras_mut();
            let owed = extras.rooms.iter_mut().find(|membership| membership.is_owed);
            let (to, entries, count) = if std::mem::take(&mut extras.is_owed_everyone) {
                let entries = Entries::Users { except: None, after: None };
                (String::new(), entries, self.users.online())
            } else if let Some(membership) = owed {
                membership.is_owed = false;
                let room = membership.room;
                let Some((name, count)) =
                    self.rooms.get(room).map(|room| (&*room.name, room.members.len()))
                else {
                    continue;
                };
                (room_pair(name), Entries::members(self, room), count)
            } else {
                return;
            };
            let head = format!("State members{to} count={count}");
            Call { hub: self, conn, now, out }.list_state(head, entries, count);
        }
    }

    /// Sends a line to one user, if it wants lines.
    pub(super) fn send_state(&mut self, conn: ConnId, line: &str, out: &mut Output) {
        if self.state_readers > 0
            && let Some(session) = self.users.get(conn).filter(|session| session.wants_state())
            && let Some(object) = self.line(session, line, out)
        {
            out.deliver(conn, object);
        }
    }

    /// The same for one that wanted lines, and is no user any more.
    pub(super) fn send_last_state(&mut self, conn: ConnId, line: &str, out: &mut Output) {
        if let Some(session) = self.users.get(conn)
            && let Some(object) = self.line(session, line, out)
        {
            out.deliver(conn, object);
        }
    }

    /// Writes a line to one reader, if it can take it.
    fn line(&self, session: &Session, line: &str, out: &mut Output) -> Option<Range> {
        let object = out.object_aside(|log| write(log, session, listed(line)));
        within_limit(out, &self.limits, session.kind, object).ok()
    }

    /// A user has another name.
    pub(super) fn state_renamed(&mut self, conn: ConnId, old: &UserName, out: &mut Output) {
        if self.state_readers == 0 {
            return;
        }
        let Some(name) = self.users.get(conn).and_then(Session::user_name) else { return };
        let (old, name) = (as_value(old.as_str()), as_value(name.as_str()));
        self.send_state(conn, &format!("State renamed old={old} name={name} self=true"), out);
    }

    /// A user has other rights.
    pub(super) fn state_rights(&mut self, conn: ConnId, out: &mut Output) {
        if self.state_readers == 0 {
            return;
        }
        let Some(session) = self.users.get(conn) else { return };
        let line = format!("State role {}", rights(session));
        self.send_state(conn, &line, out);
    }

    /// The server is about to close a connection, and not because its peer did.
    pub(super) fn state_closed(&mut self, conn: ConnId, reason: Departure, out: &mut Output) {
        if let Some(reason) = reason.of_close().filter(|_| self.state_readers > 0) {
            self.send_state(conn, &format!("State closed reason={reason}"), out);
        }
    }

    /// Whether a user is in a room now, and why.
    pub(super) fn state_moved(
        &mut self,
        conn: ConnId,
        room: Option<&str>,
        is_member: bool,
        reason: &str,
        out: &mut Output,
    ) {
        if self.state_readers > 0 {
            let room = room.map_or(String::new(), room_pair);
            let line = format!("State moved{room} member={is_member} reason={reason}");
            self.send_state(conn, &line, out);
        }
    }

    /// The members of a room that was closed are in it no longer.
    pub(super) fn state_room_closed(&mut self, room: &str, members: &[ConnId], out: &mut Output) {
        if self.state_readers > 0 {
            out.examine(members.len());
            for &member in members {
                self.state_moved(member, Some(room), false, "closed", out);
            }
        }
    }

    /// Tells an audience of a change that is told at once. `who` is as in [`presence::text`].
    pub(super) fn state_change(
        &self,
        audience: Audience,
        except: ConnId,
        change: Change,
        who: &str,
        out: &mut Output,
    ) {
        if self.state_readers == 0 {
            return;
        }
        let room = match audience {
            Audience::Everyone => String::new(),
            Audience::Room(id) => {
                self.rooms.get(id).map_or(String::new(), |room| room_pair(&room.name))
            }
        };
        let line = match (change, presence::old_and_new(who)) {
            (Change::Renamed, Some((old, new))) => {
                format!("State renamed{room} old={} name={}", as_value(old), as_value(new))
            }
            (Change::Joined, _) => format!("State joined{room} name={}", as_value(who)),
            (change, _) => {
                let reason = match change {
                    Change::Kicked => "kicked",
                    Change::Disconnected => "disconnected",
                    _ => "left",
                };
                format!("State left{room} name={} reason={reason}", as_value(who))
            }
        };
        self.send_state_to(audience, Some(except), &line, out);
    }

    /// Tells an audience who belongs to it, after changes that were counted.
    pub(super) fn state_count(&self, audience: Audience, out: &mut Output) {
        if self.state_readers == 0 {
            return;
        }
        let members = match audience {
            Audience::Everyone => self.users.roster(),
            Audience::Room(id) => self.rooms.get(id).map_or(&[][..], |room| &room.members),
        };
        if members.len() > TOLD_AGAIN {
            return self.send_state_to(audience, None, &self.count_line(audience, members), out);
        }
        let sessions = self.users.sessions(members);
        let names: Vec<&str> = sessions.filter_map(|(_, session)| session.name()).collect();
        let names = names.join(",").replace('"', "\"\"");
        let line = format!("{} names=\"{names}\"", self.count_line(audience, members));
        self.send_state_to(audience, None, &line, out);
    }

    fn count_line(&self, audience: Audience, members: &[ConnId]) -> String {
        let room = match audience {
            Audience::Everyone => None,
            Audience::Room(id) => self.rooms.get(id),
        };
        let room = room.map_or(String::new(), |room| room_pair(&room.name));
        format!("State members{room} count={}", members.len())
    }

    /// Sends a line to those of an audience who want lines. A reader that cannot take it gets the number
    /// of members.
    fn send_state_to(
        &self,
        audience: Audience,
        except: Option<ConnId>,
        line: &str,
        out: &mut Output,
    ) {
        let (name, members) = match audience {
            Audience::Everyone => (EVERYONE, self.users.roster()),
            Audience::Room(id) => match self.rooms.get(id) {
                Some(room) => (&*room.name, &*room.members),
                None => return,
            },
        };
        out.examine(members.len());
        let receivers = self.users.sessions(members).filter(|(conn, session)| {
            Some(*conn) != except && session.wants_state() && !session.is_owed(audience)
        });
        broadcast(out, members.len(), receivers, |out, kind| {
            write_line(out, &self.limits, kind, name, listed(line)).or_else(|_| {
                write_line(out, &self.limits, kind, name, &self.count_line(audience, members))
            })
        });
    }
}

impl Departure {
    /// The reason of a close by the server.
    fn of_close(self) -> Option<&'static str> {
        match self {
            // the peer closed, or is gone; and who is too slow is told with the number of what it missed
            Departure::Left | Departure::Lost | Departure::TooSlow { .. } => None,
            Departure::Broken | Departure::Erring | Departure::Unfinished => Some("errors"),
            Departure::Kicked => Some("kicked"),
            Departure::Banned => Some("banned"),
            Departure::Replaced => Some("elsewhere"),
            Departure::AccountChanged | Departure::Unregistered => Some("refused"),
            Departure::Shutdown => Some("shutdown"),
        }
    }
}

/// A user's name and rights, as pairs.
pub(super) fn rights(session: &Session) -> String {
    let name = as_value(session.name().unwrap_or_default());
    let (role, is_logged_in) = (session.role(), session.is_logged_in());
    format!("name={name} role={role} login={is_logged_in}")
}

/// A room as a pair, behind a space.
fn room_pair(room: &str) -> String {
    format!(" room={}", as_value(room))
}
