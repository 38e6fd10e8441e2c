//! The timers of one event loop. An entry is never taken back: whoever fires it looks whether it
//! still means anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::hub::ConnId;

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The name must be complete (B4).
    Registration,
    /// The peer may have been silent for long enough to have said its name (B2).
    Silence,
    /// A peer that sent too fast may be read again.
    Resume,
    /// A one-read peer may get its next object (B2).
    Pace,
    /// A connection that is being closed has had its time: to drain, or to end.
    Close,
}

type Entry = (Instant, Due, u32, u32);

#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<Entry>>);

impl Timers {
    pub(super) fn add(&mut self, at: Instant, due: Due, conn: ConnId) {
        self.0.push(Reverse((at, due, conn.slot, conn.generation)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes an entry whose time has come: what is due, for which slot and generation.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Due, u32, u32)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, due, slot, generation))| (due, slot, generation))
    }
}
