//! Connections that do not become users: each is counted by its reason, told in a sentence, and closed.

use crate::name::UserName;

use super::excerpt::shortened;
use super::lines::CLOSED_REFUSED;
use super::replies::{in_use, reason_of};
use super::session::Session;
use super::waiting::Busy;
use super::{Completion, ConnId, Departure, Event, Hub, Now, Output, RefusalReason};

impl Hub {
    /// Tells a connection that it does not become a user, and closes it.
    pub(super) fn refuse(
        &mut self,
        conn: ConnId,
        name: &str,
        why: RefusalReason,
        reason: &str,
        now: Now,
        out: &mut Output,
    ) {
        let wants_state = self.users.get(conn).is_some_and(Session::wants_state);
        self.depart(conn, Departure::Left, now, out);
        // a refused connection takes no place of a user until it closes
        self.users.release_place(conn);
        let Some(session) = self.users.get(conn) else { return };
        let address = session.address;
        self.tell(conn, &format!("⛔ Error: {reason}"), now, out);
        if wants_state {
            self.send_last_state(conn, CLOSED_REFUSED, out);
        }
        let (name, reason) = (shortened(name).into_owned(), reason.to_owned());
        self.counts.refused.add(why);
        out.events.push(Event::Refused { conn, address, name, reason });
        out.close(conn);
    }

    pub(super) fn refuse_taken(
        &mut self,
        conn: ConnId,
        name: &UserName,
        now: Now,
        out: &mut Output,
    ) {
        let reason = format!("{} Choose another one and connect again.", in_use(name));
        self.refuse(conn, name.as_str(), RefusalReason::NameTaken, &reason, now, out);
    }

    pub(super) fn refuse_busy(
        &mut self,
        conn: ConnId,
        name: &UserName,
        busy: Busy,
        now: Now,
        out: &mut Output,
    ) {
        self.refuse(conn, name.as_str(), RefusalReason::Busy, &busy.to_string(), now, out);
    }

    /// The name of a connection that is no user yet was not granted.
    pub(super) fn refuse_claim(
        &mut self,
        conn: ConnId,
        name: &UserName,
        refusal: Completion,
        now: Now,
        out: &mut Output,
    ) {
        let why = RefusalReason::of(&refusal);
        self.refuse(conn, name.as_str(), why, &reason_of(refusal), now, out);
    }
}
