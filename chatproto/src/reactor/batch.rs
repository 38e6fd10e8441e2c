//! Batches: what a loop has for the hub goes through it under one lock, and the work that each user
//! causes is charged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::connection::{Input, Op};
use crate::host::Host;
use crate::hub::{ConnId, Now};

use super::counters::Counter;
use super::holders;
use super::read::HEAVY_FOR;
use super::ready::Class;
use super::write::note_length;
use super::{QUANTUM, Reactor, SHRINK, clock, find};

/// A batch whose output is this long is handed out before it grows further.
const OUTPUT_MOST: usize = 4 * 1024 * 1024;
/// An operation costs as much work as so many bytes, beside what comes of it.
const OPERATION: u64 = 256;
/// When completions have caused so much work in a batch, the others wait for the next one.
const COMPLETIONS_MOST: u64 = 4 * QUANTUM;

/// Units of work that the users of a batch share, however small a quantum is. So much work holds the
/// hub's lock for some 2 ms. Objects to one receiver that are made in one batch are written at once, and
/// writes are most of the cost of a message to many.
const BATCH_MOST: u64 = if cfg!(test) { 0 } else { 256 * QUANTUM };

impl Reactor {
    /// Those that have more to do after a batch are ready again.
    pub(super) fn make_ready_again(&mut self) {
        for slot in std::mem::take(&mut self.again) {
            if let Some(Some(conn)) = self.conns.get_mut(slot as usize) {
                conn.has_yielded = false;
                self.shared.recount_input(conn);
            }
            self.make_ready(slot);
        }
    }

    /// Puts a batch of operations of one class through the hub and hands out what comes of it.
    pub(super) fn handle(&mut self, now: Now, class: Class, ops: &[Op<'_>]) {
        let is_due = self.hub_due.is_some_and(|due| due <= now.monotonic);
        if ops.is_empty() && !is_due && !self.has_hub_work() {
            return self.make_ready_again();
        }
        self.shrink_at.get_or_insert(now.monotonic + SHRINK);
        let shared = Arc::clone(&self.shared);
        let mut hub = shared.hub();
        let mut since = clock::instant();
        let work_before = self.out.work();
        if shared.is_stopping() {
            // the hub says goodbye to those that were told elsewhere that they are connected
            self.fresh.retain(|arrival| arrival.is_adopted);
        }
        for (conn, reason) in self.failed.drain(..) {
            hub.handle_failed_handshake(conn, reason, &mut self.out);
        }
        for (conn, reason) in self.unlocated.drain(..) {
            hub.handle_missing_origin(conn, reason, &mut self.out);
        }
        for conn in self.drained.drain(..) {
            hub.handle_drained(conn);
        }
        for (conn, reason) in self.gone.drain(..) {
            hub.handle_disconnect(conn, reason, now, &mut self.out);
        }
        for conn in self.deaf.drain(..) {
            if hub.handle_reader_gone(conn, &mut self.out)
                && let Some(conn) = find(&mut self.conns, conn.slot, conn.generation)
            {
                conn.protocol.go_on();
                self.again.push(conn.protocol.id.slot);
            }
        }
        for conn in self.cancelled.drain(..) {
            hub.handle_answer_dropped(conn, &mut self.out);
            if let Some(conn) = find(&mut self.conns, conn.slot, conn.generation)
                && conn.protocol.is_answering()
            {
                conn.protocol.go_on();
                self.again.push(conn.protocol.id.slot);
            }
        }
        let begin = self.out.work();
        while self.out.work() - begin < COMPLETIONS_MOST
            && let Some((token, completion)) = self.completed.pop_front()
        {
            let before = self.out.work();
            let can_go_on = hub.handle_completion(token, completion, now, &mut self.out).is_some();
            let ConnId { slot, generation, .. } = token.conn();
            let Some(conn) = find(&mut self.conns, slot, generation) else { continue };
            conn.share.charge(self.out.work() - before + OPERATION, &self.ready);
            if can_go_on {
                conn.protocol.go_on();
            } else if hub.is_answering(token.conn()) {
                conn.protocol.outbox.set_held(hub.held(token.conn()));
                note_length(&shared.lanes[self.lane], &conn.protocol.outbox);
                conn.protocol.wait(true, hub.is_waiting_for_effect(token.conn()));
                self.lose_patience(slot);
            }
            self.again.push(slot);
        }
        for id in std::mem::take(&mut self.checked) {
            let Some((name, kind)) = holders::take(&mut self.asking, id) else { continue };
            let Some(conn) = find(&mut self.conns, id.slot, id.generation) else { continue };
            hub.handle_name(id, &name, kind, now, &mut self.out);
            conn.protocol.go_on();
            if hub.is_waiting(id) {
                conn.protocol.wait(hub.is_answering(id), hub.is_waiting_for_effect(id));
                self.lose_patience(id.slot);
            }
            self.again.push(id.slot);
        }
        self.tally.add(Counter::Accepted, self.fresh.len() as u64);
        for arrival in std::mem::take(&mut self.fresh) {
            let (lane, address) = (self.lane as u16, arrival.address);
            let conn = match arrival.stream.awaits_origin() {
                true => hub.handle_proxied(lane, address, now, &mut self.out),
                false => hub.handle_connect(lane, address, now, &mut self.out),
            };
            if arrival.is_adopted {
                hub.handle_transport(conn, arrival.transport());
            }
            self.add_conn(arrival, conn, now.monotonic);
            if !self.keep_to_limit() {
                self.give_way();
            }
        }
        for conn in self.deadlines.drain(..) {
            hub.handle_deadline(conn, now, &mut self.out);
        }
        for conn in self.overdue.drain(..) {
            hub.handle_overdue(conn, now, &mut self.out);
        }
        let users = 1 + self.ready.len(Class::Heavy) + ops.windows(2).filter(differ).count();
        let slice = BATCH_MOST / users as u64;
        let (mut user, mut user_work) = (None, 0);
        for (index, op) in ops.iter().enumerate() {
            if self.out.len() > OUTPUT_MOST {
                self.hand_out(hub, since);
                hub = shared.hub();
                since = clock::instant();
            }
            let ConnId { slot, generation, .. } = op.conn;
            let Some(conn) = find(&mut self.conns, slot, generation) else { continue };
            if let Input::Part = op.input {
                let before = self.out.work();
                let may_go_on = hub.handle_writable(op.conn, now, &mut self.out);
                conn.share.charge(self.out.work() - before + OPERATION, &self.ready);
                conn.protocol.outbox.set_held(hub.held(op.conn));
                note_length(&shared.lanes[self.lane], &conn.protocol.outbox);
                if hub.is_answering(op.conn) {
                    // the peer took a part, so that it has all its time for the next one
                    conn.protocol.wait(true, !may_go_on);
                    self.lose_patience(slot);
                } else {
                    conn.protocol.go_on();
                }
                self.again.push(slot);
                continue;
            }
            if conn.protocol.is_waiting() || conn.has_yielded {
                continue;
            }
            if class == Class::Light
                && let Input::Frame(frame) = &op.input
                && hub.expects_more_work_than(self.ready.quantum(), &frame.message())
            {
                conn.protocol.keep_all(op, frame, &self.config.limits);
                conn.heavy = HEAVY_FOR;
                conn.has_yielded = true;
                self.again.push(slot);
                continue;
            }
            if let Input::Name(name, kind) = &op.input
                && holders::ask(&shared, &mut self.asking, &hub, op.conn, name, *kind)
            {
                conn.protocol.keep_rest(op, &self.config.limits);
                conn.protocol.wait(false, true);
                self.lose_patience(slot);
                self.again.push(slot);
                continue;
            }
            let before = self.out.work();
            op.input.apply(&mut hub, op.conn, now, &mut self.out);
            match op.input {
                Input::Frame(_) => self.tally.add(Counter::MessagesReceived, 1),
                Input::Bad(error) => self.tally.add(Counter::of_error(error.class()), 1),
                Input::Violation(_) => self.tally.add(Counter::FramingErrors, 1),
                _ => {}
            }
            let work = self.out.work() - before + OPERATION;
            conn.share.charge(work, &self.ready);
            if user.replace(op.conn) != Some(op.conn) {
                user_work = 0;
            }
            user_work += work;
            if hub.is_waiting(op.conn) {
                conn.protocol.keep_rest(op, &self.config.limits);
                let awaits_effect = hub.is_waiting_for_effect(op.conn);
                conn.protocol.wait(hub.is_answering(op.conn), awaits_effect);
                if conn.protocol.outbox.is_dead() {
                    self.deaf.push(op.conn);
                }
                self.lose_patience(slot);
                self.again.push(slot);
            } else if user_work > slice
                && conn.share.is_used_up(self.ready.round())
                && ops.get(index + 1).is_some_and(|next| next.conn == op.conn)
            {
                conn.protocol.keep_rest(op, &self.config.limits);
                conn.has_yielded = true;
                self.again.push(slot);
            }
        }
        shared.end_batch(&mut hub, now, &mut self.out);
        self.tally.add(Counter::Batches, 1);
        self.tally.add(Counter::Work, self.out.work() - work_before);
        self.hub_due = hub.poll_timeout();
        if shared.needs_room_for_pages.load(Ordering::Relaxed) {
            shared.wake_for_stalled(self.lane);
        }
        self.hand_out(hub, since);
        self.make_ready_again();
        self.carry_out_effects();
        for event in self.out.take_events() {
            shared.observe(&event);
        }
    }
}

/// Whether two operations are of different connections.
fn differ(pair: &&[Op<'_>]) -> bool {
    pair[0].conn != pair[1].conn
}
