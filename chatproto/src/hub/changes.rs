//! The queue of changes that were not taken yet.

use std::collections::VecDeque;

use super::{Change, StateChange};

/// The changes that were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) is_watched: bool,
    /// The number of the last change.
    pub(super) last: u64,
    pub(super) queue: VecDeque<Change>,
}

impl Changes {
    /// Records a change, if somebody watches.
    #[inline]
    pub(super) fn note(&mut self, change: impl FnOnce() -> StateChange) {
        if self.is_watched {
            self.last += 1;
            self.queue.push_back(Change { number: self.last, change: change() });
        }
    }
}
