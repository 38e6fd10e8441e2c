//! How a loop makes room: it gives up the longest queue, connections that only wait for their end,
//! and memory that was needed and is not any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::hub::Departure;

use super::Reactor;

/// How long after something happened the memory is given back that was needed for it.
pub(super) const SHRINK: Duration = Duration::from_secs(1);

impl Reactor {
    /// With more queued in all than allowed, the longest queue is given up, whichever loop has it.
    pub(super) fn relieve(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        while shared.budget.used() > self.limits.queue_total {
            let longest = self
                .conns
                .iter_mut()
                .flatten()
                .filter(|conn| !conn.outbox.is_empty() && !conn.outbox.is_overflown())
                .max_by_key(|conn| conn.outbox.len());
            let length = longest.as_ref().map_or(0, |conn| conn.outbox.len());
            shared.lanes[self.lane].longest.store(length, Ordering::Relaxed);
            let longer =
                shared.lanes.iter().find(|lane| lane.longest.load(Ordering::Relaxed) > length);
            if let Some(lane) = longer {
                // that loop looks for itself when it is awake; one that cannot be woken is gone
                let _ = lane.wake();
                return;
            }
            let Some(conn) = longest else { return };
            conn.outbox.abandon();
            let slot = conn.id.slot;
            self.after_write(slot, now);
        }
    }

    /// With more connections than there may be, or can be, those that only wait for their peer's
    /// end do so no longer.
    pub(super) fn give_way(&mut self) {
        let is_paused = self.acceptor.as_ref().is_some_and(|one| one.paused_until().is_some());
        while (is_paused || self.shared.connections() > self.limits.connections)
            && let Some(id) = self.lingering.pop_front()
        {
            if self.conn(id.slot, id.generation).is_some() {
                self.drop_conn(id.slot, Departure::Left);
            }
        }
    }

    /// Gives back the memory that a crowd or a large batch needed, if it is time to.
    pub(super) fn shrink(&mut self, now: Instant) {
        if self.shrink_at.is_none_or(|at| at > now) {
            return;
        }
        while self.conns.pop_if(|conn| conn.is_none()).is_some() {}
        self.conns.shrink_to(self.conns.len().next_power_of_two());
        self.dirty.shrink_to(self.dirty.len().next_power_of_two());
        self.ready.shrink_to(self.ready.len().next_power_of_two());
        self.gone.shrink_to(self.gone.len());
        self.deadlines.shrink_to(self.deadlines.len());
        let mut lingering = std::mem::take(&mut self.lingering);
        lingering.retain(|id| self.conn(id.slot, id.generation).is_some());
        lingering.shrink_to(lingering.len().next_power_of_two());
        self.lingering = lingering;
        self.timers.shrink();
        self.out.shrink();
        self.shared.hub().shrink();
        // a buffer is not needed if nobody took it from one time to the next
        let again = self.shared.budget.shrink();
        self.shrink_at = again.then_some(now + SHRINK);
    }
}
