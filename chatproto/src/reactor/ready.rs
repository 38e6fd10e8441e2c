//! Whose turn it is: the connections that have something to read, or a long answer to go on with.
//!
//! Light users come first: they have not used up their share of work. Then come some connections that
//! are no users, and last the heavy users, by deficit round robin, a bounded part of them in a turn of
//! the loop. So a line of text does not wait for uploads or for requests that are expensive to answer,
//! and each heavy user gets an equal share of the work that is left. (The idea is that of
//! [RFC 8290](https://www.rfc-editor.org/rfc/rfc8290#section-4.2), which sends the packets of sparse
//! flows before those of flows that fill their queue.)
//!
//! Work is counted in units of about one byte that is written (see [`Output::work`](crate::hub::Output::work)).
//! Each user may cause a quantum of units in a round. One that causes more has used up the following
//! rounds, as many as that work takes. Rounds pass as fast as the heavy users are served, so that a
//! single one is never delayed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::hub::ConnId;
use crate::spare::GiveBack;

/// Units of work that a user may cause in a round: some 0.05 ms, writes included.
pub(crate) const QUANTUM: u64 = 64 * 1024;

/// What kind of a turn a connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A user who sends little and causes little work.
    Light,
    /// A connection that is not a user yet, is leaving, or is not a user any more.
    Other,
    /// A user with a long read among its last ones, ahead of the rate, or with its share used up.
    Heavy,
}

/// Connections in the order in which they became ready.
#[derive(Debug)]
pub(super) struct Ready {
    light: VecDeque<ConnId>,
    other: VecDeque<ConnId>,
    heavy: FairQueue<ConnId>,
    quantum: u64,
}

impl Ready {
    pub(super) fn new(quantum: u64) -> Self {
        let (light, other, heavy) = Default::default();
        debug_assert!((1..=u64::from(u32::MAX)).contains(&quantum));
        Ready { light, other, heavy, quantum }
    }

    pub(super) fn quantum(&self) -> u64 {
        self.quantum
    }

    /// The heavy users' round.
    pub(super) fn round(&self) -> u64 {
        self.heavy.round
    }

    /// Adds a connection, whose share of work is to be had from round `from` on.
    pub(super) fn push(&mut self, class: Class, conn: ConnId, from: u64) {
        match class {
            Class::Light => self.light.push_back(conn),
            Class::Other => self.other.push_back(conn),
            Class::Heavy => self.heavy.push(conn, from),
        }
    }

    /// Takes the next one.
    pub(super) fn pop(&mut self, class: Class) -> Option<ConnId> {
        match class {
            Class::Light => self.light.pop_front(),
            Class::Other => self.other.pop_front(),
            Class::Heavy => self.heavy.pop(),
        }
    }

    pub(super) fn len(&self, class: Class) -> usize {
        match class {
            Class::Light => self.light.len(),
            Class::Other => self.other.len(),
            Class::Heavy => self.heavy.heap.len(),
        }
    }

    /// Whether the connection waits for its share of a round among the heavy users.
    #[cfg(test)]
    pub(super) fn has_heavy(&self, conn: ConnId) -> bool {
        self.heavy.heap.iter().any(|Reverse((_, _, queued))| *queued == conn)
    }

    pub(super) fn is_empty(&self) -> bool {
        [Class::Light, Class::Other, Class::Heavy].iter().all(|&class| self.len(class) == 0)
    }

    /// Nobody competes for the work at the moment: everybody gets a new share.
    pub(super) fn end_round_if_idle(&mut self) {
        if self.heavy.heap.is_empty() {
            self.heavy.round += 1;
        }
    }

    /// Gives back the memory that a crowd needed.
    pub(super) fn give_back(&mut self) {
        self.light.give_back();
        self.other.give_back();
        self.heavy.heap.give_back();
    }
}

/// Deficit round robin. A round in which nobody has a share is passed over.
#[derive(Debug)]
struct FairQueue<T> {
    round: u64,
    /// Counts what was added, so that the first one in a round is the first one served.
    serial: u64,
    heap: BinaryHeap<Reverse<(u64, u64, T)>>,
}

impl<T: Ord> Default for FairQueue<T> {
    fn default() -> Self {
        FairQueue { round: 0, serial: 0, heap: BinaryHeap::new() }
    }
}

impl<T: Ord> FairQueue<T> {
    fn push(&mut self, item: T, from: u64) {
        self.serial += 1;
        self.heap.push(Reverse((from.max(self.round), self.serial, item)));
    }

    fn pop(&mut self) -> Option<T> {
        let Reverse((round, _, item)) = self.heap.pop()?;
        self.round = round.max(self.round);
        Some(item)
    }
}

/// What a user has left of its share of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The round that the share is of. It may be one to come.
    round: u64,
    /// How much of it is used: less than a quantum.
    used: u32,
}

impl Share {
    pub(super) fn new() -> Self {
        Share { round: 0, used: 0 }
    }

    /// From which round on the user may cause work.
    pub(super) fn from(self) -> u64 {
        self.round
    }

    /// Whether the share of this round is used up.
    pub(super) fn is_used_up(self, round: u64) -> bool {
        self.round > round
    }

    /// The user caused so many units of work.
    pub(super) fn charge(&mut self, work: u64, queue: &Ready) {
        self.charge_in(queue.round(), work, queue.quantum);
    }

    fn charge_in(&mut self, round: u64, work: u64, quantum: u64) {
        // what was not used of earlier rounds is lost
        if self.round < round {
            (self.round, self.used) = (round, 0);
        }
        let used = u64::from(self.used) + work;
        self.round += used / quantum;
        // a quantum is small
        self.used = (used % quantum) as u32;
    }
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
