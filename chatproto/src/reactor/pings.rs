//! Pings to quiet peers over WebSocket. A load balancer or router closes a connection on which nothing travels,
//! often after 60 s. A browser has no way to send pings itself, and TCP keep-alive ends at the balancer.
//!
//! No connection has a timer for this. A loop looks at a part of its connections at a time, so that there is no
//! burst of writes either.

use std::time::{Duration, Instant};

use super::Reactor;

/// Each connection is looked at once in this time. It is pinged if nothing was written to it since the last
/// look, so nothing travels for at most twice this time.
const ROUND: Duration = Duration::from_secs(20);
/// The parts of a round.
const PARTS: usize = 20;

impl Reactor {
    /// A connection over WebSocket was added.
    pub(super) fn begin_pings(&mut self, now: Instant) {
        self.framed += 1;
        self.ping_at.get_or_insert(now + ROUND / PARTS as u32);
    }

    /// Looks at the next part of the connections, if it is time to.
    pub(super) fn ping(&mut self, now: Instant) {
        if self.ping_at.is_none_or(|at| at > now) {
            return;
        }
        self.ping_at = (self.framed > 0).then(|| now + ROUND / PARTS as u32);
        self.ping_part = (self.ping_part + 1) % PARTS;
        for slot in (self.ping_part..self.conns.len()).step_by(PARTS) {
            if let Some(conn) = &mut self.conns[slot]
                && std::mem::replace(&mut conn.is_quiet, true)
                && conn.protocol.ping()
            {
                // messages do not wait for a crowd that is pinged
                self.make_late(slot as u32);
            }
        }
    }
}
