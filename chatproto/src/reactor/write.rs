//! The loop's other half: what the hub decided goes into the outboxes, the outboxes into the
//! sockets, and connections come to their end without losing their last messages (B9, B16).

use std::io::{ErrorKind, IoSlice, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use crate::chunk::Chunk;
use crate::hub::{Departure, Effect, Hub, LaneAction, Output};
use crate::outbox::{Outbox, Writable};

use super::conn::{Closing, Step};
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
        shared.count_held(since, now);
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
        for action in actions {
            let (LaneAction::Deliver { slot, generation, .. }
            | LaneAction::Broadcast { slot, generation, .. }
            | LaneAction::Begin { slot, generation, .. }
            | LaneAction::Part { slot, generation, .. }
            | LaneAction::End { slot, generation }
            | LaneAction::Close { slot, generation }) = *action;
            let Some(conn) = find(&mut self.conns, slot, generation) else { continue };
            match *action {
                LaneAction::Deliver { object, .. } | LaneAction::Broadcast { object, .. } => {
                    let was_pressing = conn.outbox.is_pressing(&self.limits);
                    let range = object.bounds(aside_at);
                    conn.outbox.push(chunk, range, &self.limits, self.policy);
                    if !was_pressing && conn.outbox.is_pressing(&self.limits) {
                        self.pressing.push(slot);
                    }
                    note_length(&self.shared.lanes[self.lane], &conn.outbox);
                }
                LaneAction::Begin { held, .. } => {
                    conn.outbox.begin_answer(&self.shared.budget);
                    conn.outbox.set_held(held as usize);
                    if conn.outbox.take_cancelled() {
                        self.cancelled.push(conn.id);
                    }
                    note_length(&self.shared.lanes[self.lane], &conn.outbox);
                }
                LaneAction::Part { object, .. } => {
                    let range = object.bounds(aside_at);
                    conn.outbox.push_part(chunk, range, &self.limits, self.policy);
                    note_length(&self.shared.lanes[self.lane], &conn.outbox);
                }
                LaneAction::End { .. } => conn.outbox.end_answer(),
                LaneAction::Close { .. } => {
                    conn.discard_input();
                    self.shared.recount_input(conn);
                    conn.outbox.end_answer();
                    self.begin_drain(slot);
                    self.settle_soon(slot);
                }
            }
            match action {
                LaneAction::Deliver { .. } | LaneAction::Close { .. } => self.make_dirty(slot),
                LaneAction::Begin { .. } => {}
                LaneAction::Broadcast { .. } | LaneAction::Part { .. } | LaneAction::End { .. } => {
                    self.make_late(slot);
                }
            }
        }
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
    fn make_late(&mut self, slot: u32) {
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
        let (shared, limits) = (&self.shared, &self.limits);
        let mut total = 0;
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return 0 };
        if conn.is_lingering() {
            return 0;
        }
        if conn.stream.has_unsent()
            && let Err(error) = conn.stream.flush()
            && error.kind() != ErrorKind::WouldBlock
        {
            self.stop_writing(slot);
            return 0;
        }
        while !conn.outbox.is_refused() && total < VISIT_MOST {
            let left = VISIT_MOST - total;
            if conn.outbox.wants_notice() {
                let missed = conn.outbox.take_missed();
                let mut notice = Vec::new();
                shared.hub().write_missed(conn.id, missed, false, &mut notice);
                conn.outbox.insert_notice(notice, &shared.budget);
            }
            let written = match conn.outbox.writable(now) {
                Writable::Nothing => break,
                // each object to a one-read peer is one write
                Writable::One(bytes) if conn.outbox.is_paced() => conn.stream.write(bytes),
                Writable::One(bytes) => conn.stream.write(&bytes[..bytes.len().min(left)]),
                Writable::Many => {
                    let mut slices: [IoSlice<'_>; 64] = std::array::from_fn(|_| IoSlice::new(&[]));
                    let count = conn.outbox.fill(&mut slices, left);
                    conn.stream.write_vectored(&slices[..count])
                }
            };
            match written {
                Ok(count) => {
                    total += count;
                    // the pace counts from the write itself, however long the turn has been
                    let now = if conn.outbox.is_paced() { clock::instant() } else { now };
                    conn.outbox.handle_written(count, now, limits);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.outbox.handle_refused(limits, self.policy);
                    note_length(&shared.lanes[self.lane], &conn.outbox);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.stop_writing(slot);
                    return total;
                }
            }
        }
        let has_more = !conn.outbox.is_refused()
            && total >= VISIT_MOST
            && !matches!(conn.outbox.writable(now), Writable::Nothing);
        if has_more {
            if conn.outbox.is_pressing(limits) {
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
        if conn.closing.is_some() {
            return self.drop_conn(slot, Departure::Lost);
        }
        conn.outbox.die();
        if conn.outbox.take_cancelled() {
            self.cancelled.push(conn.id);
        }
        if !std::mem::replace(&mut conn.saw_end, true) {
            self.lose_patience(slot);
        }
        self.make_ready(slot);
    }

    /// What follows when an outbox is empty, or has to wait, or has overflown.
    pub(super) fn after_write(&mut self, slot: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let id = conn.id;
        if conn.outbox.take_cancelled() {
            self.cancelled.push(id);
        }
        if conn.outbox.is_overflown() && conn.closing.is_none() {
            conn.discard_input();
            self.shared.recount_input(conn);
            self.begin_drain(slot);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.can_take_part() {
            self.make_ready(slot);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if !conn.outbox.is_empty() {
            if let Some(at) = conn.outbox.next_write().filter(|&at| at > now)
                && !conn.is_paced
            {
                conn.is_paced = true;
                self.timers.add(at, Due::Pace, id);
            }
            return;
        }
        if conn.stream.has_unsent() {
            // it goes out when the socket can be written to
            return;
        }
        match conn.closing_step() {
            Some(Step::Draining) if conn.outbox.is_overflown() => self.say_last_words(slot, now),
            Some(Step::Draining | Step::LastWords) => self.shut_down(slot, now),
            Some(Step::Lingering) | None => {}
        }
    }

    /// Nothing more is to come for the connection; what is queued may still go out.
    fn begin_drain(&mut self, slot: u32) {
        self.enter(slot, Step::Draining, clock::instant() + self.limits.drain);
    }

    /// When the present step of the connection's end is over at the latest.
    fn closing_until(&self, slot: u32) -> Option<Instant> {
        let conn = self.conns.get(slot as usize)?.as_ref()?;
        conn.closing.as_deref().map(|closing| closing.until)
    }

    /// Goes on to a step of the connection's end, unless it is there or further.
    fn enter(&mut self, slot: u32, step: Step, until: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.closing_step().is_none_or(|present| present < step) {
            conn.closing = Some(Box::new(Closing { step, until }));
            self.timers.add(until, Due::Close, conn.id);
        }
    }

    /// A reader that was too slow has read what was queued, or had its time: it is told what it
    /// missed, exactly, and is a user no longer.
    fn say_last_words(&mut self, slot: u32, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let mut hub = shared.hub();
        // under the lock nothing new is decided, so after this nothing more is on its way to it
        for mail in shared.lanes[self.lane].take() {
            self.take_mail(mail);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let missed = conn.outbox.take_missed();
        let mut object = Vec::new();
        hub.write_missed(conn.id, missed, true, &mut object);
        let reason = Departure::TooSlow { missed };
        hub.handle_eviction(conn.id, reason, clock::now(), &mut self.out);
        conn.outbox.push_last(object, &shared.budget);
        self.hub_due = hub.poll_timeout();
        shared.feed.publish(&mut hub);
        // by mail to the own connections too: this may be in the middle of writing to them
        post(&shared, &mut self.out, |_| true);
        drop(hub);
        // a queue that was cut leaves its reader as much time for this as to drain it
        let drained_by = self.closing_until(slot);
        let until = (now + self.limits.linger).max(drained_by.unwrap_or(now));
        self.enter(slot, Step::LastWords, until);
        self.make_dirty(slot);
    }

    /// Nothing more will be written: shuts the writing side down, so that the peer reads to the
    /// end, and waits for the peer's end.
    pub(super) fn shut_down(&mut self, slot: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let is_text_to_the_end = conn.at_end && !conn.stream.is_secure();
        match if is_text_to_the_end { Ok(()) } else { conn.stream.shut_down_writing() } {
            // what ends TLS goes out when the socket can be written to
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(()) if !conn.at_end => {}
            _ => return self.drop_conn(slot, Departure::Left),
        }
        conn.discard_input();
        let until = now + self.limits.linger;
        let id = conn.id;
        self.enter(slot, Step::Lingering, until);
        self.lingering.push_back(id);
        self.drained.push(id);
        self.shared.lanes[self.lane].lingering.fetch_add(1, Ordering::Relaxed);
        self.make_ready(slot);
    }

    /// The time of a step of the connection's end is over.
    pub(super) fn handle_close_due(&mut self, slot: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let Some(closing) = conn.closing.as_deref().filter(|closing| closing.until <= now) else {
            return;
        };
        if closing.step == Step::Draining && conn.outbox.is_overflown() {
            conn.outbox.abandon();
            self.say_last_words(slot, now);
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
    let (mut log, aside_at) = out.take_log(shared.budget.buffer());
    if log.capacity() / 4 > log.len() && out.actions_len() > SHARED_BY {
        // many may have to keep it: what it holds is what it should cost
        log.shrink_to_fit();
    }
    let chunk = Arc::new(Chunk::new(log, &shared.budget));
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
