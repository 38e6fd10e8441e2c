//! The queue of one reader, as the rules have it (B2, B4, B9): counted in messages, without what is
//! in them.

use std::collections::VecDeque;

use crate::handshake::PeerKind;
use crate::outbox::SlowReader;

use super::super::steps::Window;

/// So many messages a queue takes.
pub(crate) const MESSAGES: usize = 4;
/// Between two objects to a one-read peer, in milliseconds.
pub(crate) const GAP: u64 = 5;

#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub(crate) kind: PeerKind,
    /// For each object whether it is a notice of what was missed.
    queue: VecDeque<bool>,
    /// The front one is partly written.
    is_begun: bool,
    is_refused: bool,
    /// The queue was full, and the reader will be disconnected.
    is_full: bool,
    missed: u64,
    /// A one-read peer was told what it missed, and got nothing since.
    owes: bool,
    /// When a one-read peer may get the next one.
    next_at: Option<u64>,
    window: Window,
}

impl Mailbox {
    pub(crate) fn new(kind: PeerKind, window: Window) -> Self {
        Mailbox {
            kind,
            queue: VecDeque::new(),
            is_begun: false,
            is_refused: false,
            is_full: false,
            missed: 0,
            owes: false,
            next_at: None,
            window,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// When something can be written that waits for its time now.
    pub(crate) fn due(&self, now: u64) -> Option<u64> {
        let waits = self.kind == PeerKind::OneRead && !self.is_refused && !self.is_begun;
        self.next_at.filter(|&at| at > now && waits && !self.is_empty())
    }

    pub(crate) fn push(&mut self, policy: SlowReader) {
        if self.is_full {
            self.missed += 1;
            return;
        }
        self.queue.push_back(false);
        if self.is_refused {
            self.judge(policy);
        } else if self.kind == PeerKind::OneRead && self.queue.len() > 1 {
            // the pace is ours: it is not too slow
            self.judge(SlowReader::DropOldest);
        }
    }

    /// The reader reads.
    pub(crate) fn open(&mut self, window: Window) {
        self.window = window;
        self.is_refused = false;
    }

    /// Writes what can be written.
    pub(crate) fn pump(&mut self, now: u64, policy: SlowReader) {
        while !self.is_refused {
            let owes = self.owes && !self.is_empty();
            if self.missed > 0 && !self.has_fixed_front() && !self.is_full && !owes {
                self.queue.push_front(true);
                self.missed = 0;
            }
            let Some(&is_notice) = self.queue.front() else { return };
            let is_paced = self.kind == PeerKind::OneRead;
            if is_paced && !self.is_begun && self.next_at.is_some_and(|at| at > now) {
                return;
            }
            match &mut self.window {
                Window { objects: Some(0), and_a_byte: false } => {
                    self.is_refused = true;
                    self.judge(policy);
                }
                Window { objects: Some(0), and_a_byte } => {
                    *and_a_byte = false;
                    self.is_begun = true;
                }
                Window { objects, .. } => {
                    *objects = objects.map(|objects| objects - 1);
                    self.queue.pop_front();
                    self.is_begun = false;
                    self.owes = is_paced && is_notice;
                    if is_paced {
                        self.next_at = Some(now + GAP);
                    }
                }
            }
        }
    }

    fn has_fixed_front(&self) -> bool {
        self.is_begun || self.queue.front() == Some(&true)
    }

    fn judge(&mut self, policy: SlowReader) {
        while self.queue.len() > MESSAGES && !self.is_full {
            match policy {
                SlowReader::Disconnect => {
                    let excess = self.queue.len() - MESSAGES;
                    self.queue.truncate(MESSAGES);
                    self.missed += excess as u64;
                    self.is_full = true;
                }
                SlowReader::DropOldest => {
                    self.queue.remove(usize::from(self.has_fixed_front()));
                    self.missed += 1;
                }
            }
        }
    }
}
