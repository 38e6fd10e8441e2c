//! The timers of one event loop. An entry stays when it means nothing any more, and is checked when it
//! fires. Entries of connections that are gone are removed together, once there are twice as many entries as
//! after the last sweep. So connections that come and go fill no memory until their time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use crate::hub::ConnId;
use crate::spare::GiveBack;

use super::clock;

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
    /// The effect that the hub waits for has had its time, if the peer has ended.
    Patience,
}

/// Fewer entries than these are not swept.
const SWEEP_LEAST: usize = 1024;

/// Nanoseconds since the timers were made: half the size of an [`Instant`].
type Nanos = u64;

/// When, the slot, the generation, what.
type Entry = (Nanos, u32, u32, Due);

#[derive(Debug)]
pub(super) struct Timers {
    epoch: Instant,
    heap: BinaryHeap<Reverse<Entry>>,
    /// Those that end a connection, which takes longer than what else is due.
    ends: BinaryHeap<Reverse<Entry>>,
    /// The deadlines for registration come in order, as each is as far ahead as the others: no heap
    /// for these, of which every connection has one. Those that come out of order, because they are
    /// less far ahead since a moment ago, are in the heap.
    registrations: VecDeque<(Nanos, u32, u32)>,
    /// The number of entries that causes the next sweep.
    sweep_at: usize,
}

impl Timers {
    pub(super) fn new() -> Self {
        let (heap, ends, registrations) = Default::default();
        Timers { epoch: clock::instant(), heap, ends, registrations, sweep_at: SWEEP_LEAST }
    }

    pub(super) fn add(&mut self, at: Instant, due: Due, conn: ConnId) {
        let at = self.nanos(at);
        match due {
            Due::Registration if self.registrations.back().is_none_or(|&(last, ..)| last <= at) => {
                self.registrations.push_back((at, conn.slot, conn.generation));
            }
            Due::Registration | Due::Close => {
                self.ends.push(Reverse((at, conn.slot, conn.generation, due)));
            }
            due => self.heap.push(Reverse((at, conn.slot, conn.generation, due))),
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let first = |heap: &BinaryHeap<Reverse<Entry>>| heap.peek().map(|Reverse((at, ..))| *at);
        let registration = self.registrations.front().map(|(at, ..)| *at);
        let next = [first(&self.heap), first(&self.ends), registration];
        let next = next.into_iter().flatten().min()?;
        Some(self.epoch + Duration::from_nanos(next))
    }

    /// Takes an entry whose time has come: what is due, for which slot and generation. Those that
    /// end a connection are for [`Timers::pop_end`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Due, u32, u32)> {
        let now = self.nanos(now);
        pop_due(&mut self.heap, now)
    }

    /// The same for what may end a connection.
    pub(super) fn pop_end(&mut self, now: Instant) -> Option<(Due, u32, u32)> {
        let now = self.nanos(now);
        if let Some(&(at, slot, generation)) = self.registrations.front()
            && at <= now
        {
            self.registrations.pop_front();
            if self.registrations.is_empty() {
                self.registrations = VecDeque::new();
            }
            return Some((Due::Registration, slot, generation));
        }
        pop_due(&mut self.ends, now)
    }

    fn len(&self) -> usize {
        self.heap.len() + self.ends.len() + self.registrations.len()
    }

    /// Removes the entries of connections that are not open, given by slot and generation, if there are
    /// twice as many entries as the last sweep left. Returns whether it looked.
    pub(super) fn sweep(&mut self, mut is_open: impl FnMut(u32, u32) -> bool) -> bool {
        if self.len() < self.sweep_at {
            return false;
        }
        self.heap.retain(|Reverse((_, slot, generation, _))| is_open(*slot, *generation));
        self.ends.retain(|Reverse((_, slot, generation, _))| is_open(*slot, *generation));
        self.registrations.retain(|&(_, slot, generation)| is_open(slot, generation));
        self.sweep_at = (2 * self.len()).max(SWEEP_LEAST);
        true
    }

    /// Gives back the memory that many timers needed.
    pub(super) fn shrink(&mut self) {
        self.heap.give_back();
        self.ends.give_back();
        self.registrations.give_back();
        self.sweep_at = (2 * self.len()).max(SWEEP_LEAST);
    }

    fn nanos(&self, at: Instant) -> Nanos {
        // five hundred years fit
        at.saturating_duration_since(self.epoch).as_nanos() as Nanos
    }
}

fn pop_due(heap: &mut BinaryHeap<Reverse<Entry>>, now: Nanos) -> Option<(Due, u32, u32)> {
    heap.peek().filter(|Reverse((at, ..))| *at <= now)?;
    heap.pop().map(|Reverse((_, slot, generation, due))| (due, slot, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_of_connections_that_are_gone_are_bounded() {
        let mut timers = Timers::new();
        let start = clock::instant();
        let at =
            |number: u32| start + Duration::from_secs(10) + Duration::from_micros(number.into());
        let dues = [Due::Registration, Due::Close, Due::Silence];
        for number in 0..100_000 {
            // the connections in the first ten slots stay, the others go at once
            let slot = if number < 10 { number } else { 10 };
            let conn = ConnId { lane: 0, slot, generation: number };
            for due in dues {
                timers.add(at(number), due, conn);
            }
            timers.sweep(|slot, generation| slot < 10 || generation == number);
            assert!(timers.len() <= SWEEP_LEAST);
        }
        timers.sweep_at = 0;
        timers.sweep(|slot, _| slot < 10);
        let late = at(100_000);
        for number in 0..10 {
            assert_eq!(timers.pop(late), Some((Due::Silence, number, number)));
        }
        assert_eq!(timers.pop(late), None);
        let ends: Vec<_> = std::iter::from_fn(|| timers.pop_end(late)).collect();
        let of = |due| ends.iter().filter(|end| end.0 == due).map(|end| end.1).collect::<Vec<_>>();
        assert_eq!(of(Due::Registration), (0..10).collect::<Vec<_>>());
        assert_eq!(of(Due::Close), (0..10).collect::<Vec<_>>());
        assert_eq!(timers.next(), None);
    }
}
