//! The calls for another transport. Each call handles one event of one connection. (The event loops
//! of [`Server`](crate::Server) put the events of many connections through the hub at once, so they use the
//! parts.)

use std::time::Instant;

use bytes::Bytes;
use zeroize::Zeroize;

use crate::hub::{Departure, Hub, Now, Output};
use crate::outbox::{SlowReader, Writable};

use super::config::ConnectionConfig;
use super::ending::NextStep;
use super::input::Op;
use super::moment::Moment;
use super::stash::Stash;
use super::state::{Phase, ServerConnection, Step};

/// The parts of a server that a connection needs while it handles an event.
#[derive(Debug)]
pub struct Context<'a> {
    /// The hub that knows the connection.
    pub hub: &'a mut Hub,
    /// The present time.
    pub now: Now,
    /// The configuration that all connections share.
    pub config: &'a ConnectionConfig,
    /// The output of the hub. Deliver it afterwards (see [`Output::take_deliveries`]).
    pub out: &'a mut Output,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Bytes go both ways.
    Open,
    /// The connection is being closed. The queue is still written. The peer's bytes are discarded.
    Closing,
    /// Everything was written: shut the writing side down, and read and discard until the peer's end.
    ShutDown,
    /// It is over: close the transport and forget the connection.
    Closed,
}

/// Bytes of stored input that are handled at a time.
const BACKLOG: usize = 4 * 1024;

impl ServerConnection {
    /// How far the connection is.
    pub fn state(&self) -> ConnectionState {
        match self.closing_step() {
            None => ConnectionState::Open,
            Some(Step::Draining | Step::LastWords) => ConnectionState::Closing,
            Some(Step::Lingering) => ConnectionState::ShutDown,
            Some(Step::Closed) => ConnectionState::Closed,
        }
    }

    /// The peer sent bytes. Those that cannot be handled now are stored. Do not read on while
    /// [`ServerConnection::wants_input`] is false, so that this is no more than one read.
    pub fn handle_input(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        if bytes.is_empty() {
            return;
        }
        let (wants_input, was_at_end) = (self.wants_input(), self.at_end);
        let mut unframed = Vec::new();
        let bytes = if self.is_framed() {
            unframed = [&[0], bytes].concat();
            let length = self.unframe(&mut unframed, cx.now.monotonic, &cx.config.limits);
            &unframed[..length]
        } else {
            bytes
        };
        if matches!(self.phase, Phase::Discard) {
            // nothing of it counts but its end
        } else if wants_input {
            self.begin_input();
            self.feed(bytes, cx);
        } else {
            self.store(bytes);
        }
        // a password, or a part of one that goes on in the next bytes
        unframed.as_mut_slice().zeroize();
        if self.at_end && !was_at_end {
            // a close frame
            self.handle_end(cx);
        }
    }

    /// The peer will send nothing more. Everything that it sent before counts.
    pub fn handle_end(&mut self, cx: &mut Context<'_>) {
        (self.saw_end, self.at_end) = (true, true);
        if self.state() == ConnectionState::ShutDown {
            return self.finish(Departure::Left, cx);
        }
        self.lose_patience(cx.now.monotonic, &cx.config.limits);
        self.work_off_backlog(cx);
    }

    /// The transport does not take bytes any more, and never will. Go on reading: everything that the peer
    /// sent before counts.
    pub fn handle_write_error(&mut self, cx: &mut Context<'_>) {
        if self.is_closing() {
            return self.finish(Departure::Lost, cx);
        }
        self.outbox.die();
        self.outbox.take_cancelled();
        self.saw_end = true;
        self.reader_is_gone(cx);
        self.lose_patience(cx.now.monotonic, &cx.config.limits);
    }

    /// The transport is broken in both directions.
    pub fn handle_lost(&mut self, cx: &mut Context<'_>) {
        self.finish(Departure::Lost, cx);
    }

    /// When [`ServerConnection::handle_timeout`] is to be called. It is `now` if there is something to do, or
    /// to write, at once. Ask after each event of the connection, and after the completion of an effect
    /// ([`Hub::handle_completion`]).
    pub fn poll_timeout(&self, hub: &Hub, now: Instant) -> Option<Instant> {
        if self.state() == ConnectionState::Closed {
            return None;
        }
        let can_go_on = self.is_waiting
            && (!hub.is_waiting(self.id)
                || (self.awaits_effect && !hub.is_waiting_for_effect(self.id)));
        let can_write = !self.outbox.is_refused()
            && self.state() < ConnectionState::ShutDown
            && (!matches!(self.writable(now), Writable::Nothing)
                || self.outbox.wants_notice()
                || self.next_step().is_some());
        let has_more = self.has_backlog() || self.can_take_part() || self.outbox.has_cancelled();
        if can_go_on || can_write || has_more {
            return Some(now);
        }
        let is_unregistered = self.is_guest() || self.is_waiting;
        let deadlines = [
            self.register_by.filter(|_| is_unregistered).map(Moment::instant),
            self.silent_at(),
            self.resume_at(),
            self.patient_until.map(Moment::instant),
            self.closing_until(),
            self.outbox.next_write().filter(|_| !self.outbox.is_refused()),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due, and goes on with what had to wait.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if self.state() == ConnectionState::Closed {
            return;
        }
        let now = cx.now.monotonic;
        self.resume(now);
        self.follow_hub(cx);
        let is_overdue = self.register_by.take_if(|at| *at <= Moment::of(now)).is_some();
        if is_overdue && (self.is_guest() || self.is_waiting) {
            cx.hub.handle_deadline(self.id, cx.now, cx.out);
        }
        if self.is_out_of_patience(now) {
            self.patient_until = None;
            if self.wants_part() {
                // it has taken all that there was: only the server delays its answer
                self.lose_patience(now, &cx.config.limits);
            } else {
                cx.hub.handle_overdue(self.id, cx.now, cx.out);
            }
        }
        if self.closing_until().is_some_and(|until| until <= now) {
            if !self.gives_up_draining() {
                return self.finish(Departure::Lost, cx);
            }
            self.say_last_words(cx.hub, cx.now, cx.config, cx.out);
        }
        let mut ops = Vec::new();
        self.handle_silence(now, &cx.config.limits, &mut ops);
        self.perform(&ops, cx);
        self.work_off_backlog(cx);
        if self.can_take_part() {
            self.take_next_part(cx);
        }
        if !self.outbox.is_refused() {
            if self.outbox.wants_notice() {
                self.insert_notice(cx.hub, cx.config);
            }
            self.go_on_ending(cx);
        }
    }

    /// Takes the bytes to write now, at most `most` (but an object to a one-read peer as a whole, which is to
    /// be one write). `None` if there is nothing, or not yet.
    ///
    /// The bytes count as written. Ask for more when the transport has taken them. While it does not take
    /// them, call [`ServerConnection::handle_blocked`] so that the queue keeps its bounds, and
    /// [`ServerConnection::handle_unblocked`] afterwards.
    ///
    /// The output may hold deliveries for this connection afterwards. Look at
    /// [`ServerConnection::state`] when there is nothing to write.
    pub fn poll_transmit(&mut self, most: usize, cx: &mut Context<'_>) -> Option<Bytes> {
        let now = cx.now.monotonic;
        loop {
            if self.outbox.is_refused() || self.state() >= ConnectionState::ShutDown {
                return None;
            }
            if self.outbox.wants_notice() {
                self.insert_notice(cx.hub, cx.config);
            }
            if let Some(bytes) = self.take(most.max(1), now) {
                self.handle_written(bytes.len(), now, &cx.config.limits);
                return Some(bytes);
            }
            if self.next_step().is_none() {
                self.follow_hub(cx);
                if self.can_take_part() {
                    self.take_next_part(cx);
                }
                return None;
            }
            self.go_on_ending(cx);
        }
    }

    fn take(&self, most: usize, now: Instant) -> Option<Bytes> {
        if !self.is_framed() {
            return self.outbox.take(most, now);
        }
        let mut frames = Vec::new();
        self.write_frames(&mut frames, most);
        (!frames.is_empty()).then(|| frames.into())
    }

    /// The next step of the connection's end, if it is time for it.
    fn go_on_ending(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.monotonic;
        match self.next_step() {
            Some(NextStep::Drain) => {
                self.begin_drain(now, cx.config);
            }
            Some(NextStep::LastWords) => {
                self.say_last_words(cx.hub, cx.now, cx.config, cx.out);
            }
            Some(NextStep::CloseFrame) => self.queue_close_frame(cx.hub.is_stopping()),
            Some(NextStep::ShutDown) if self.at_end => self.finish(Departure::Left, cx),
            Some(NextStep::ShutDown) => {
                self.linger(now, cx.config);
                cx.hub.handle_drained(self.id);
            }
            None => {}
        }
    }

    /// Makes room: drops what is queued, as the configuration says for slow readers. The peer is told how
    /// many messages it missed. For a server whose queues hold more than
    /// [`Limits::queue_total`](crate::Limits::queue_total) in all. Returns whether there was something to
    /// drop: an object that was begun stays, and so do the final objects of a connection.
    pub fn cut(&mut self, now: Instant, config: &ConnectionConfig) -> bool {
        let is_final = self.closing_step().is_some_and(|step| step > Step::Draining);
        if is_final || !self.outbox.has_more_than_front() {
            return false;
        }
        match config.slow_reader {
            SlowReader::DropOldest if !self.is_closing() => self.outbox.shed(),
            _ => self.outbox.abandon(),
        }
        self.drain_if_overflown(now, config);
        true
    }

    /// A queue that was full gets nothing more.
    pub(super) fn drain_if_overflown(&mut self, now: Instant, config: &ConnectionConfig) {
        if self.next_step() == Some(NextStep::Drain) {
            self.begin_drain(now, config);
        }
    }

    fn feed(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let mut ops = Vec::new();
        self.handle_bytes(bytes, cx.now.monotonic, &cx.config.limits, &mut ops);
        self.perform(&ops, cx);
    }

    /// Puts operations through the hub until one of them has to wait. The bytes of the others are stored.
    fn perform(&mut self, ops: &[Op<'_>], cx: &mut Context<'_>) {
        for op in ops {
            op.input.apply(cx.hub, self.id, cx.now, cx.out);
            if cx.hub.is_waiting(self.id) {
                self.keep_rest(op, &cx.config.limits);
                self.wait(cx.hub.is_answering(self.id), cx.hub.is_waiting_for_effect(self.id));
                if self.outbox.is_dead() {
                    self.reader_is_gone(cx);
                }
                self.lose_patience(cx.now.monotonic, &cx.config.limits);
                // the other operations are stored, even if the wait is over already
                return;
            }
        }
    }

    fn work_off_backlog(&mut self, cx: &mut Context<'_>) {
        let mut buffer = [0; BACKLOG];
        while self.has_backlog() {
            let length = self.take_backlog(&mut buffer);
            self.feed(&buffer[..length], cx);
            buffer[..length].zeroize();
        }
    }

    /// Stores bytes behind what is stored already.
    fn store(&mut self, bytes: &[u8]) {
        match &mut self.stash {
            Some(stash) => stash.append(bytes),
            None => self.stash = Some(Box::new(Stash::new(bytes))),
        }
    }

    /// The effect or answer that the connection waits for may be finished, or may go on in another way.
    fn follow_hub(&mut self, cx: &mut Context<'_>) {
        if self.outbox.take_cancelled() {
            cx.hub.handle_answer_dropped(self.id, cx.out);
            if self.is_answering {
                self.go_on();
            }
        }
        if !self.is_waiting {
            return;
        }
        if !cx.hub.is_waiting(self.id) {
            self.go_on();
        } else if self.awaits_effect && !cx.hub.is_waiting_for_effect(self.id) {
            self.outbox.set_held(cx.hub.held(self.id));
            self.wait(cx.hub.is_answering(self.id), false);
            self.lose_patience(cx.now.monotonic, &cx.config.limits);
        }
    }

    fn take_next_part(&mut self, cx: &mut Context<'_>) {
        let may_go_on = cx.hub.handle_writable(self.id, cx.now, cx.out);
        self.outbox.set_held(cx.hub.held(self.id));
        if cx.hub.is_answering(self.id) {
            // the peer took a part, so that it has all its time for the next one
            self.wait(true, !may_go_on);
            self.lose_patience(cx.now.monotonic, &cx.config.limits);
        } else {
            self.go_on();
        }
    }

    fn reader_is_gone(&mut self, cx: &mut Context<'_>) {
        if self.is_waiting && cx.hub.handle_reader_gone(self.id, cx.out) {
            self.go_on();
        }
    }

    /// The connection is over: the hub forgets it.
    fn finish(&mut self, reason: Departure, cx: &mut Context<'_>) {
        if self.state() == ConnectionState::Closed {
            return;
        }
        self.discard_input();
        self.outbox.die();
        self.enter(Step::Closed, cx.now.monotonic);
        cx.hub.handle_disconnect(self.id, reason, cx.now, cx.out);
    }
}
