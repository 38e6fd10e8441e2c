//! Upkeep: the work that is due at a time, and the release of memory.

use std::time::Instant;

use crate::spare::GiveBack;

use super::{Hub, Now, Output};

/// One call of [`Hub::handle_timeout`] makes at most this many deliveries and those to one more
/// audience, because it blocks all other input.
const DUE_AT_ONCE: usize = 1_000;

impl Hub {
    /// When [`Hub::handle_timeout`] is to be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let count = self.counts_due.first().map(|&(due, _)| due);
        let due = [count, self.login_due(), self.lift_due(), self.claim_due()];
        due.into_iter().flatten().min()
    }

    /// The time has come that [`Hub::poll_timeout`] gave: tells what was counted, refuses those who had
    /// to log in and did not, and ends the wait for claims that the directory does not answer. One call
    /// does a bounded amount of this; for the rest, [`Hub::poll_timeout`] gives a time that has passed.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Output) {
        let mut done = 0;
        while done < DUE_AT_ONCE
            && let Some(&(due, audience)) = self.counts_due.first()
            && due <= now.monotonic
        {
            self.counts_due.pop_first();
            done += 1 + self.tell_count(audience, now, out);
        }
        self.refuse_overdue_visitors(DUE_AT_ONCE, now, out);
        self.end_overdue_claims(DUE_AT_ONCE, now, out);
        self.expire_sanctions(now);
        self.guesses.expire(now.monotonic);
    }

    /// Gives back the memory that a crowd needed and those who are left do not (of large tables, once
    /// no more than a quarter is in use): to be called from time to time. It takes next to no time
    /// unless a crowd has gone since the last call.
    pub fn shrink(&mut self) {
        self.users.shrink();
        self.rooms.shrink();
        self.waiting.shrink();
        self.orders.shrink();
        self.pages.shrink();
        self.claims.shrink();
        self.visitors.give_back();
    }
}
