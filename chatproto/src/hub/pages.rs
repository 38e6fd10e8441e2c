//! Pages of history that are being read. Each takes memory from the moment that it was read until its
//! reader has taken it, so that only a few are read at a time. The others wait in the order in which
//! they were asked for. A connection asks for one at a time, and all that wait are bounded as effects
//! under way are (see [`waiting`](super::waiting)).
//!
//! An order that waits here was not handed out yet. When its connection ends, the order ends as well: no
//! completion follows, and it does not count any more.

use std::collections::VecDeque;

use crate::spare::GiveBack;

use super::{HistoryOrder, Token};

/// Most pages that are being read at a time. Each takes at most a quarter of
/// [`Limits::queue_bytes`](crate::Limits::queue_bytes), or its first message.
pub(super) const AT_A_TIME: usize = 8;
/// Abandoned orders are removed from the queue when they are more than this part of it and more than
/// [`FEW`]. So their removal costs little for each, and the length of the queue is bounded.
const ABANDONED: usize = 4;
/// See [`ABANDONED`].
const FEW: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Serials of the effects.
    pub(super) under_way: Vec<u32>,
    waiting: VecDeque<(Token, HistoryOrder)>,
    /// The number of orders in `waiting` whose connections have ended or do not wait any more.
    abandoned: usize,
}

impl Pages {
    pub(super) fn add(&mut self, token: Token, order: HistoryOrder) {
        self.waiting.push_back((token, order));
    }

    /// Removes abandoned orders from the front. Whether there is another one.
    pub(super) fn has_next(&mut self, is_awaited: impl Fn(Token) -> bool) -> bool {
        while let Some(&(token, _)) = self.waiting.front() {
            if is_awaited(token) {
                return true;
            }
            self.waiting.pop_front();
            self.abandoned -= 1;
        }
        false
    }

    /// Takes the first order, which [`has_next`](Self::has_next) has found.
    pub(super) fn take_next(&mut self) -> Option<(Token, HistoryOrder)> {
        self.waiting.pop_front()
    }

    /// A connection does not wait for a page any more. If its order waits here, it is abandoned: returns
    /// true.
    pub(super) fn abandon(&mut self, serial: u32, is_awaited: impl Fn(Token) -> bool) -> bool {
        if self.under_way.contains(&serial) {
            return false;
        }
        self.abandoned += 1;
        if self.abandoned > FEW && self.abandoned > self.waiting.len() / ABANDONED {
            self.waiting.retain(|&(token, _)| is_awaited(token));
            self.abandoned = 0;
        }
        true
    }

    /// Releases the memory that a crowd needed.
    pub(super) fn shrink(&mut self) {
        self.waiting.give_back();
    }

    /// Checks the counter against what is there.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_counter(&self, is_awaited: impl Fn(Token) -> bool) {
        let abandoned = self.waiting.iter().filter(|&&(token, _)| !is_awaited(token)).count();
        assert_eq!(self.abandoned, abandoned);
    }
}
