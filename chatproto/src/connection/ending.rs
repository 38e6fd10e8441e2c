//! The end of a connection, in steps (B9, B16). The queue is written. A slow reader is told how much it missed.
//! Then the writing side is shut down, and the peer's end is awaited.

use std::time::Instant;

use crate::hub::{Departure, Hub, Now, Output};

use super::config::ConnectionConfig;
use super::state::{Closing, Phase, ServerConnection, Step};

/// The next thing to do for the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Its queue was full: nothing more is queued ([`ServerConnection::begin_drain`]).
    Drain,
    /// It is told what it missed ([`ServerConnection::say_last_words`]).
    LastWords,
    /// A close frame is queued ([`ServerConnection::queue_close_frame`]), where the framing has one.
    CloseFrame,
    /// Everything was written: the writing side is shut down.
    ShutDown,
}

impl ServerConnection {
    /// The next thing to do for its end, as far as the queue says.
    pub(crate) fn next_step(&self) -> Option<NextStep> {
        let is_overflown = self.outbox.is_overflown();
        match self.closing_step() {
            None if is_overflown => Some(NextStep::Drain),
            _ if !self.outbox.is_empty() || self.has_control() => None,
            Some(Step::Draining) if is_overflown => Some(NextStep::LastWords),
            Some(Step::Draining | Step::LastWords) if self.owes_close_frame() => {
                Some(NextStep::CloseFrame)
            }
            Some(Step::Draining | Step::LastWords) => Some(NextStep::ShutDown),
            Some(Step::Lingering | Step::Closed) | None => None,
        }
    }

    /// Stops looking at what the peer sends.
    pub(crate) fn discard_input(&mut self) {
        self.phase = Phase::Discard;
        self.stash = None;
        self.go_on();
        self.end_told = true;
        // discarded bytes have no rate limit
        self.forgive();
    }

    /// The hub has sent the last object to the connection. Returns the deadline for the queue to drain.
    pub(crate) fn close(&mut self, now: Instant, config: &ConnectionConfig) -> Option<Instant> {
        self.outbox.end_answer();
        self.begin_drain(now, config)
    }

    /// Nothing more is to come for the connection, or from it; what is queued may still go out. Returns the
    /// deadline, if this began now.
    pub(crate) fn begin_drain(
        &mut self,
        now: Instant,
        config: &ConnectionConfig,
    ) -> Option<Instant> {
        self.discard_input();
        self.enter(Step::Draining, now + config.limits.drain)
    }

    /// A slow reader has read its queue, or had its time. It is told how many messages it missed, and is a user
    /// no longer. Returns the deadline for that. Everything that was decided for it must have been delivered
    /// before.
    pub(crate) fn say_last_words(
        &mut self,
        hub: &mut Hub,
        now: Now,
        config: &ConnectionConfig,
        out: &mut Output,
    ) -> Option<Instant> {
        let missed = self.outbox.take_missed();
        let mut object = Vec::new();
        hub.write_missed(self.id, missed, true, &mut object);
        hub.handle_eviction(self.id, Departure::TooSlow { missed }, now, out);
        self.outbox.push_last(object, &config.queues);
        // a queue that was cut leaves its reader as much time for this as to drain it
        let drained_by = self.closing_until().unwrap_or(now.monotonic);
        let until = (now.monotonic + config.limits.linger).max(drained_by);
        self.enter(Step::LastWords, until)
    }

    /// The deadline of the present step has passed. Whether that was for a slow reader to drain its queue: the
    /// rest of the queue is dropped then, and [`ServerConnection::say_last_words`] follows.
    pub(crate) fn gives_up_draining(&mut self) -> bool {
        let is_slow = self.closing_step() == Some(Step::Draining) && self.outbox.is_overflown();
        if is_slow {
            self.outbox.abandon();
        }
        is_slow
    }

    /// The writing side was shut down: the peer's end is awaited. Returns the deadline for that.
    pub(crate) fn linger(&mut self, now: Instant, config: &ConnectionConfig) -> Option<Instant> {
        self.discard_input();
        self.enter(Step::Lingering, now + config.limits.linger)
    }

    /// When the present step of the end is over at the latest.
    pub(crate) fn closing_until(&self) -> Option<Instant> {
        self.closing.as_deref().map(|closing| closing.until)
    }

    /// Goes on to a step of the end, unless it is there or further. Returns its deadline then.
    pub(super) fn enter(&mut self, step: Step, until: Instant) -> Option<Instant> {
        if self.closing_step().is_some_and(|present| present >= step) {
            return None;
        }
        self.closing = Some(Box::new(Closing { step, until }));
        Some(until)
    }
}
