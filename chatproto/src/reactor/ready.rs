//! Whose turn it is: the connections that have something to read, in three queues.
//!
//! Users that say a little now and then come first, then some of those who are no users, and last
//! whoever sends much or often, a bounded part of it in a turn. So nobody waits for a crowd's uploads
//! who has a line to say, and nobody who uploads is kept waiting for ever. (The idea is that of
//! [RFC 8290](https://www.rfc-editor.org/rfc/rfc8290#section-4.2), which lets the packets of sparse
//! flows go before those of flows that fill their queue.)

use std::collections::VecDeque;

use crate::hub::ConnId;
use crate::spare::GiveBack;

/// What kind of a turn a connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A user whose last reads were short, and not ahead of the rate.
    Sparse,
    /// One who is no user yet, or goes, or is none any more.
    Other,
    /// A user with a long read among its last ones, or one ahead of the rate.
    Bulk,
}

/// Connections in the order in which they became ready.
#[derive(Debug, Default)]
pub(super) struct Ready([VecDeque<ConnId>; 3]);

impl Ready {
    pub(super) fn push(&mut self, class: Class, conn: ConnId) {
        self.0[class as usize].push_back(conn);
    }

    /// Takes the one that has waited longest.
    pub(super) fn pop(&mut self, class: Class) -> Option<ConnId> {
        self.0[class as usize].pop_front()
    }

    pub(super) fn len(&self, class: Class) -> usize {
        self.0[class as usize].len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }

    /// Gives back the memory that a crowd needed.
    pub(super) fn give_back(&mut self) {
        self.0.iter_mut().for_each(GiveBack::give_back);
    }
}
