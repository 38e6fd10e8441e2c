//! Steps that many commands have in common: acts and reports, refusals, and the check whether the user may
//! speak.

use std::time::Duration;

use super::hub::Call;
use super::replies::TOO_MANY;
use super::room::RoomId;
use super::{Act, Action, ConnId, Departure, Done, Event, Hub, Now};

impl Call<'_> {
    /// Has the user act; what comes of it is for the caller to say. A refusal is told.
    pub(super) fn act(&mut self, action: Action) -> Option<Done> {
        let actor = self.hub.actor(self.conn)?;
        match self.hub.act(&actor, action, self.now, self.out) {
            Ok(done) => Some(done),
            Err(refusal) => {
                self.answer(&format!("❌ {refusal}"));
                None
            }
        }
    }

    /// Has something written down that is no act of moderation.
    pub(super) fn report(&mut self, act: Act, target: String) {
        self.hub.report(self.conn, act, target, self.out);
    }

    /// Refuses what the user may not do, and has it written down. It counts as an error (see
    /// [`Limits::errors`](crate::Limits::errors)): who goes on trying is closed.
    pub(super) fn deny(&mut self, endpoint: &str, reason: &str) {
        let (conn, name, address) = (self.conn, self.user_name(), self.session().address);
        self.hub.counts.denied += 1;
        self.out.events.push(Event::Denied { conn, address, name, endpoint: endpoint.into() });
        if self.hub.is_one_too_many(conn, self.now) {
            self.answer(&format!("⛔ Error: {reason}.{TOO_MANY} The connection is closed."));
            self.hub.handle_eviction(conn, Departure::Erring, self.now, self.out);
        } else {
            self.answer(&format!("❌ {reason}."));
        }
    }

    /// Whether the user may speak to others now; if not, it is told.
    pub(super) fn may_speak(&mut self) -> bool {
        let mute = self.hub.mute_of(self.session(), self.now.monotonic);
        let Some(mute) = mute else { return true };
        let left = mute.until.left(self.now.monotonic);
        self.answer(&format!("❌ You are muted{left} by a moderator."));
        false
    }

    /// The room of that name, if the user is in it.
    pub(super) fn own_room(&self, name: &str) -> Option<RoomId> {
        let room = self.hub.find_room(name)?;
        self.session().rooms().iter().any(|membership| membership.room == room).then_some(room)
    }
}

impl Hub {
    /// Counts an error of a user's that it is told of. Whether it was one too many.
    pub(super) fn is_one_too_many(&mut self, conn: ConnId, now: Now) -> bool {
        const MINUTE: Duration = Duration::from_secs(60);
        let most = self.limits.errors;
        let Some(session) = self.users.get_mut(conn) else { return false };
        let errors = &mut session.extras_mut().errors;
        while errors.front().is_some_and(|&at| at + MINUTE <= now.monotonic) {
            errors.pop_front();
        }
        errors.push_back(now.monotonic);
        errors.len() >= most
    }
}
