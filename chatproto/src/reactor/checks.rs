//! Checks of connections whose names other connections ask for: see [`holders`](super::holders).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conn::Conn;
use super::mail::Mail;
use super::{Reactor, find};

/// How long a name waits for a connection whose peer has ended, and that has something left to do.
const PATIENCE: Duration = Duration::from_millis(250);

impl Reactor {
    /// Whether a check waits for the next poll.
    pub(super) fn has_fresh_check(&self) -> bool {
        self.checks.iter().any(|check| check.until.is_none())
    }

    /// When the next check is answered at the latest.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.checks.iter().filter_map(|check| check.until).min()
    }

    /// At the end of a turn, which followed a poll: answers the checks that came before that poll, unless the
    /// holder's end was seen and is not handled yet.
    pub(super) fn answer_checks(&mut self, now: Instant) {
        if self.checks.is_empty() {
            return;
        }
        let (shared, conns, has_polled_all) =
            (Arc::clone(&self.shared), &mut self.conns, self.has_polled_all);
        let gone = &self.gone;
        self.checks.retain_mut(|check| {
            let Some(until) = check.until else {
                check.until = has_polled_all.then_some(now + PATIENCE);
                return true;
            };
            let holder = find(conns, check.holder.slot, check.holder.generation);
            let is_ending = holder.is_some_and(|conn: &mut Conn| conn.protocol.saw_end())
                || gone.iter().any(|(conn, _)| *conn == check.holder);
            if is_ending && now < until {
                return true;
            }
            // a loop that cannot be woken is gone
            let _ = shared.lanes[check.asking.lane()].send(Mail::Checked(check.asking));
            false
        });
    }
}
