//! The loop's other half: what the hub decided goes into the outboxes, the outboxes into the
//! sockets, and connections come to their end without losing their last messages (B9, B16).

use std::io::{ErrorKind, IoSlice, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use crate::chunk::Chunk;
use crate::connection::{Delivery, NextStep};
use crate::hub::{ConnId, Departure, Effect, Hub, LaneAction, Output};
use crate::outbox::{Outbox, Writable};

use super::counters::Counter;
use super::mail::{Lane, Mail};
use super::timer::Due;
use super::{Reactor, Shared, clock, find};

/// A batch with more deliveries than this is worth a copy into a buffer of its own size.
const SHARED_BY: usize = 16;
/// To so many connections a batch is written at once, and to as many what earlier batches left: what is
/// said to many keeps the loop from other work for some 0.5 ms, and not until everybody has it. (In the
/// simulation there are no large crowds.)
const WRITES_MOST: usize = if cfg!(test) { 3 } else { 64 };
/// When so many bytes were written, the other connections wait for their turn as well.
const BYTES_MOST: usize = if cfg!(test) { 8 * 1024 } else { 256 * 1024 };
/// So many bytes are written to one connection at a time. The rest is written after the others' bytes.
const VISIT_MOST: usize = if cfg!(test) { 4 * 1024 } else { 128 * 1024 };
/// More room than for so many actions is given back after a batch.
const ACTIONS_KEPT: usize = 16 * 1024;

impl Reactor {
    /// Posts the hub's output to the loops that own the receivers, in the hub's order; unlocks;
    /// writes what is for the own connections. The lock was taken at `since`.
    pub(super) fn hand_out(&mut self, mut hub: MutexGuard<'_, Hub>, since: Instant) {
        let shared = Arc::clone(&self.shared);
        let own = self.lane;
        shared.feed.publish(&mut hub);
        let (chunk, aside_at) = post(&shared, &mut self.out, |lane| lane != own);
        // what others put through the hub before comes first
        let before = shared.lanes[own].take();
        drop(hub);
        let now = clock::instant();
        shared.count_held(own, since, now);
        for mail in before {
            self.take_mail(mail);
        }
        if let Some(actions) = self.out.lanes.get_mut(own) {
            let mut actions = std::mem::take(actions);
            self.apply(&chunk, aside_at, &actions);
            actions.clear();
            actions.shrink_to(ACTIONS_KEPT);
            self.out.lanes[own] = actions;
        }
        self.write_dirty(now);
    }

    /// Appends a batch to the outboxes of the connections that this loop owns.
    pub(super) fn apply(&mut self, chunk: &Arc<Chunk>, aside_at: u32, actions: &[LaneAction]) {
        let mut deliveries = 0;
        for &action in actions {
            let ConnId { slot, generation, .. } = action.receiver(self.lane);
            let Some(conn) = find(&mut self.conns, slot, generation) else { continue };
            if let LaneAction::Close { .. } = action {
                let until = conn.protocol.close(clock::instant(), &self.config);
                conn.is_ahead = false;
                self.shared.recount_input(conn);
                self.end_by(slot, until);
                self.settle_soon(slot);
                self.make_dirty(slot);
                continue;
            }
            let was_pressing = conn.protocol.outbox.is_pressing(&self.config.limits);
            conn.protocol.queue(Delivery { chunk, aside_at, action }, &self.config);
            if !was_pressing && conn.protocol.outbox.is_pressing(&self.config.limits) {
                self.pressing.push(slot);
            }
            note_length(&self.shared.lanes[self.lane], &conn.protocol.outbox);
            deliveries += u64::from(action.is_object());
            match action {
                LaneAction::Deliver { .. } | LaneAction::Close { .. } => self.make_dirty(slot),
                LaneAction::Begin { .. } if conn.protocol.outbox.take_cancelled() => {
                    self.cancelled.push(conn.protocol.id);
                }
                LaneAction::Begin { .. } => {}
                LaneAction::Broadcast { .. } | LaneAction::Part { .. } | LaneAction::End { .. } => {
                    self.make_late(slot);
                }
            }
        }
        self.tally.add(Counter::Deliveries, deliveries);
    }

    pub(super) fn make_dirty(&mut self, slot: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(slot as usize)
            && (!conn.is_dirty || conn.is_late)
        {
            (conn.is_dirty, conn.is_late) = (true, false);
            self.dirty.push(slot);
        }
    }

    /// The same for a connection that others need not wait for.
    pub(super) fn make_late(&mut self, slot: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(slot as usize)
            && !conn.is_dirty
        {
            (conn.is_dirty, conn.is_late) = (true, true);
            self.late.push_back(slot);
        }
    }

    /// One write for each connection that has something new, and for some of a crowd. The rest of them
    /// is for later, but for those that have got much meanwhile: no queue becomes full because the loop
    /// had no time for it.
    pub(super) fn write_dirty(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.overdue_writes.extend(dirty.drain(WRITES_MOST.min(dirty.len())..));
        let mut budget = Budget::new();
        for slot in dirty.drain(..) {
            budget.spend(self.write_new(slot, now));
        }
        // keeps the larger buffer; what became dirty meanwhile is for the next time
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        for slot in std::mem::take(&mut self.pressing) {
            budget.spend(self.write_new(slot, now));
        }
        self.write_late(budget, now);
    }

    /// Goes on with what earlier batches left, the oldest first.
    pub(super) fn write_some(&mut self, now: Instant) {
        let mut budget = Budget::new();
        while !budget.is_spent()
            && let Some(slot) = self.overdue_writes.pop_front()
        {
            budget.spend(self.write_new(slot, now));
        }
        // a crowd does not wait for ever
        budget.writes = budget.writes.max(WRITES_MOST.div_ceil(4));
        budget.bytes = budget.bytes.max(BYTES_MOST / 4);
        self.write_late(budget, now);
    }

    /// Writes whatever the sockets take.
    pub(super) fn write_all(&mut self, now: Instant) {
        while !(self.dirty.is_empty() && self.overdue_writes.is_empty() && self.late.is_empty()) {
            self.write_dirty(now);
            self.write_some(now);
        }
    }

    fn write_late(&mut self, mut budget: Budget, now: Instant) {
        // a connection with more than one visit's bytes comes again behind the others
        for _ in 0..self.late.len() {
            if budget.is_spent() {
                return;
            }
            let Some(slot) = self.late.pop_front() else { return };
            budget.spend(self.write_new(slot, now));
        }
    }

    /// Writes to a connection that has something new. How many bytes, or `None` if it had nothing: one
    /// that was pressing is in two lists.
    fn write_new(&mut self, slot: u32, now: Instant) -> Option<usize> {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return None };
        conn.is_late = false;
        std::mem::take(&mut conn.is_dirty).then(|| self.write(slot, now))
    }

    /// Writes as much as the socket takes and the peer's pace allows, within a visit's bound. Returns
    /// how many bytes.
    fn write(&mut self, slot: u32, now: Instant) -> usize {
        let (shared, limits) = (&self.shared, &self.config.limits);
        let mut total = 0;
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return 0 };
        if conn.protocol.is_lingering() {
            return 0;
        }
        if conn.stream.has_unsent()
            && let Err(error) = conn.stream.flush()
            && error.kind() != ErrorKind::WouldBlock
        {
            self.stop_writing(slot);
            return 0;
        }
        while !conn.protocol.outbox.is_refused() && total < VISIT_MOST {
            let left = VISIT_MOST - total;
            if conn.protocol.outbox.wants_notice() {
                let missed = conn.protocol.insert_notice(&shared.hub(), &self.config);
                self.tally.add(Counter::Missed, missed);
            }
            let written = match conn.protocol.writable(now) {
                Writable::Nothing => break,
                _ if conn.protocol.is_framed() => {
                    self.frames.clear();
                    conn.protocol.write_frames(&mut self.frames, left);
                    conn.stream.write(&self.frames)
                }
                // each object to a one-read peer is one write
                Writable::One(bytes) if conn.protocol.outbox.is_paced() => conn.stream.write(bytes),
                Writable::One(bytes) => conn.stream.write(&bytes[..bytes.len().min(left)]),
                Writable::Many => {
                    let mut slices: [IoSlice<'_>; 64] = std::array::from_fn(|_| IoSlice::new(&[]));
                    let count = conn.protocol.outbox.fill(&mut slices, left);
                    conn.stream.write_vectored(&slices[..count])
                }
            };
            match written {
                Ok(count) => {
                    total += count;
                    conn.is_quiet = false;
                    self.tally.add(Counter::Writes, 1);
                    self.tally.add(Counter::BytesSent, count as u64);
                    // the pace counts from the write itself, however long the turn has been
                    let now = if conn.protocol.outbox.is_paced() { clock::instant() } else { now };
                    conn.protocol.handle_written(count, now, limits);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.protocol.outbox.handle_refused(limits, self.config.slow_reader);
                    note_length(&shared.lanes[self.lane], &conn.protocol.outbox);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.stop_writing(slot);
                    return total;
                }
            }
        }
        let has_more = !conn.protocol.outbox.is_refused()
            && total >= VISIT_MOST
            && !matches!(conn.protocol.writable(now), Writable::Nothing);
        if has_more {
            if conn.protocol.outbox.is_pressing(limits) {
                self.pressing.push(slot);
            }
            self.make_late(slot);
        }
        self.after_write(slot, now);
        total
    }

    /// The peer reads no more, but what it sent before counts (B16).
    fn stop_writing(&mut self, slot: u32) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.protocol.is_closing() {
            return self.drop_conn(slot, Departure::Lost);
        }
        conn.protocol.outbox.die();
        if conn.protocol.outbox.take_cancelled() {
            self.cancelled.push(conn.protocol.id);
        }
        if !conn.protocol.expect_end() {
            self.lose_patience(slot);
        }
        self.make_ready(slot);
    }

    /// What follows when an outbox is empty, or has to wait, or has overflown.
    pub(super) fn after_write(&mut self, slot: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let id = conn.id();
        if conn.protocol.outbox.take_cancelled() {
            self.cancelled.push(id);
        }
        if conn.protocol.next_step() == Some(NextStep::Drain) {
            let until = conn.protocol.begin_drain(clock::instant(), &self.config);
            conn.is_ahead = false;
            self.shared.recount_input(conn);
            self.end_by(slot, until);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.protocol.can_take_part() {
            self.make_ready(slot);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if !conn.protocol.outbox.is_empty() {
            if let Some(at) = conn.protocol.outbox.next_write().filter(|&at| at > now)
                && !conn.is_paced
            {
                conn.is_paced = true;
                self.timers.add(at, Due::Pace, id);
            }
            return;
        }
        if conn.stream.has_unsent() || conn.protocol.has_control() {
            // it goes out when the socket can be written to
            return;
        }
        match conn.protocol.next_step() {
            Some(NextStep::LastWords) => self.say_last_words(slot),
            Some(NextStep::CloseFrame) => {
                conn.protocol.queue_close_frame(self.shared.is_stopping());
                self.make_dirty(slot);
            }
            Some(NextStep::ShutDown) => self.shut_down(slot, now),
            Some(NextStep::Drain) | None => {}
        }
    }

    /// A step of the connection's end has a deadline, if it began now.
    fn end_by(&mut self, slot: u32, until: Option<Instant>) {
        if let (Some(until), Some(Some(conn))) = (until, self.conns.get(slot as usize)) {
            self.timers.add(until, Due::Close, conn.id());
        }
    }

    /// A reader that was too slow has read what was queued, or had its time: it is told what it
    /// missed, exactly, and is a user no longer.
    fn say_last_words(&mut self, slot: u32) {
        let shared = Arc::clone(&self.shared);
        let mut hub = shared.hub();
        // under the lock nothing new is decided, so after this nothing more is on its way to it
        for mail in shared.lanes[self.lane].take() {
            self.take_mail(mail);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let (now, out) = (clock::now(), &mut self.out);
        let missed = conn.protocol.outbox.missed();
        let until = conn.protocol.say_last_words(&mut hub, now, &self.config, out);
        self.tally.add(Counter::Missed, missed);
        self.tally.add(Counter::SlowReaders, 1);
        self.hub_due = hub.poll_timeout();
        shared.feed.publish(&mut hub);
        // by mail to the own connections too: this may be in the middle of writing to them
        post(&shared, &mut self.out, |_| true);
        drop(hub);
        self.end_by(slot, until);
        self.make_dirty(slot);
    }

    /// Nothing more will be written: shuts the writing side down, so that the peer reads to the
    /// end, and waits for the peer's end.
    pub(super) fn shut_down(&mut self, slot: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let at_end = conn.protocol.is_at_end();
        // (behind a close frame, the peer may not have ended its stream)
        let is_ended = at_end && !conn.protocol.is_framed();
        let is_text_to_the_end = is_ended && !conn.stream.is_secure();
        match if is_text_to_the_end { Ok(()) } else { conn.stream.shut_down_writing() } {
            // what ends TLS goes out when the socket can be written to
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(()) if !at_end => {}
            _ => {
                conn.discard_behind_the_end();
                return self.drop_conn(slot, Departure::Left);
            }
        }
        let until = conn.protocol.linger(now, &self.config);
        conn.is_ahead = false;
        let id = conn.id();
        self.end_by(slot, until);
        self.lingering.push_back(id);
        self.drained.push(id);
        self.shared.lanes[self.lane].lingering.fetch_add(1, Ordering::Relaxed);
        self.make_ready(slot);
    }

    /// The time of a step of the connection's end is over.
    pub(super) fn handle_close_due(&mut self, slot: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.protocol.closing_until().is_none_or(|until| until > now) {
            return;
        }
        if conn.protocol.gives_up_draining() {
            self.say_last_words(slot);
        } else {
            self.drop_conn(slot, Departure::Lost);
        }
    }
}

/// What may yet be written before other work has its turn.
struct Budget {
    writes: usize,
    bytes: usize,
}

impl Budget {
    fn new() -> Self {
        Budget { writes: WRITES_MOST, bytes: BYTES_MOST }
    }

    fn is_spent(&self) -> bool {
        self.writes == 0 || self.bytes == 0
    }

    fn spend(&mut self, written: Option<usize>) {
        if let Some(bytes) = written {
            self.writes = self.writes.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// Lets the other loops know how long a queue of this one is, if it may be cut, and whether its reader
/// takes nothing of a long answer: see `relieve`.
pub(super) fn note_length(lane: &Lane, outbox: &Outbox) {
    let is_candidate = outbox.may_be_cut() && !outbox.is_overflown();
    if is_candidate && outbox.len() > lane.longest.load(Ordering::Relaxed) {
        lane.longest.store(outbox.len(), Ordering::Relaxed);
    }
    if outbox.has_stalled_answer() && !lane.has_stalled.load(Ordering::Relaxed) {
        lane.has_stalled.store(true, Ordering::Relaxed);
    }
}

/// Posts the hub's output to those loops that `is_for` says, what is to be kept to the history, and
/// what is to be done elsewhere to those who do it (but what concerns accounts and names: those are not
/// asked under the lock). Returns the objects of the batch, and where those begin in it that stand aside.
/// To be called under the hub's lock.
pub(super) fn post(
    shared: &Arc<Shared>,
    out: &mut Output,
    is_for: impl Fn(usize) -> bool,
) -> (Arc<Chunk>, u32) {
    let (mut log, aside_at) = out.take_log(shared.queues.buffer());
    if log.capacity() / 4 > log.len() && out.actions_len() > SHARED_BY {
        // many may have to keep it: what it holds is what it should cost
        log.shrink_to_fit();
    }
    let chunk = Arc::new(Chunk::new(log, &shared.queues));
    // what is kept comes before what is asked about it
    if let Some(history) = shared.history.as_ref().filter(|_| !out.records.is_empty()) {
        history.keep(&chunk, aside_at, &mut out.records);
    }
    // under the lock, so that the history is asked in the hub's order
    for _ in 0..out.effects.len() {
        match out.effects.pop_front() {
            Some(effect @ (Effect::History { .. } | Effect::Call { .. })) => {
                shared.carry_out(effect);
            }
            Some(effect) => out.effects.push_back(effect),
            None => break,
        }
    }
    for (lane, actions) in out.lanes.iter_mut().enumerate() {
        if is_for(lane) && !actions.is_empty() {
            // the next batch will be about as long
            let next = Vec::with_capacity(actions.len().min(ACTIONS_KEPT));
            let actions = std::mem::replace(actions, next);
            let mail = Mail::Batch(Arc::clone(&chunk), aside_at, actions);
            // a loop that cannot be woken is gone, and its connections with it
            let _ = shared.lanes[lane].send(mail);
        }
    }
    (chunk, aside_at)
}
