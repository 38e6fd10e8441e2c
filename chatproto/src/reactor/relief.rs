//! How a loop makes room: it gives up the longest queue, connections that only wait for their end,
//! and memory that was needed and is not any more.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::connection::Step;
use crate::hub::{ConnId, Departure, Now};
use crate::outbox::SlowReader;
use crate::spare::GiveBack;

use super::conn::Conn;
use super::mail::{Lane, Mail};
use super::{ACCEPTING, Reactor, clock, find};

impl Reactor {
    /// With more queued in all than allowed, queues are given up: those of connections that are being
    /// closed first, then the longest, whichever loop has it.
    pub(super) fn relieve(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let is_over = |least: usize| shared.queues.used() > least;
        let has_stalled = &shared.lanes[self.lane].has_stalled;
        if shared.needs_room_for_pages.load(Ordering::Relaxed)
            && has_stalled.load(Ordering::Relaxed)
        {
            self.relieve_of_answers(now);
        }
        if !is_over(self.config.limits.queue_total) {
            return;
        }
        // what only waits for the loop is no sign of a slow reader
        self.write_dirty(now);
        self.write_some(now);
        // some more than is needed, so that this is not repeated for every message
        let enough = self.config.limits.queue_total / 16 * 15;
        let mut queues: BinaryHeap<(bool, usize, u32)> = BinaryHeap::new();
        for conn in self.conns.iter().flatten() {
            let (outbox, step) = (&conn.protocol.outbox, conn.protocol.closing_step());
            let may_go = match step {
                None => outbox.may_be_cut(),
                // from the next step on there is only the final message, which is outside the bound
                step => step == Some(Step::Draining),
            };
            if may_go && outbox.has_more_than_front() {
                queues.push((step.is_some(), outbox.len(), conn.protocol.id.slot));
            }
        }
        while is_over(enough)
            && let Some((is_closing, length, slot)) = queues.pop()
        {
            if !is_closing {
                shared.lanes[self.lane].longest.store(length, Ordering::Relaxed);
                let longer =
                    shared.lanes.iter().find(|lane| lane.longest.load(Ordering::Relaxed) > length);
                if let Some(lane) = longer {
                    // that loop looks for itself; one that cannot be woken is gone
                    let _ = lane.send(Mail::Relieve);
                    return;
                }
            }
            self.cut(slot, is_closing, now);
        }
        if queues.is_empty() {
            shared.lanes[self.lane].longest.store(0, Ordering::Relaxed);
            self.relieve_of_fronts();
        }
    }

    /// Cuts a queue, as the policy says.
    fn cut(&mut self, slot: u32, is_closing: bool, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        match self.config.slow_reader {
            SlowReader::DropOldest if !is_closing => conn.protocol.outbox.shed(),
            _ => conn.protocol.outbox.abandon(),
        }
        self.after_write(slot, now);
    }

    /// Pages wait because long answers hold too much: of the readers that take nothing at the moment,
    /// those with the longest queues are cut, a sixteenth of what answers may hold. If pages still wait
    /// after the next batch, more are cut.
    fn relieve_of_answers(&mut self, now: Instant) {
        let is_stalled =
            |conn: &&Conn| !conn.protocol.is_closing() && conn.protocol.outbox.has_stalled_answer();
        let stalled = self.conns.iter().flatten().filter(is_stalled);
        let mut stalled: BinaryHeap<(usize, u32)> =
            stalled.map(|conn| (conn.protocol.outbox.len(), conn.protocol.id.slot)).collect();
        if stalled.is_empty() {
            self.shared.lanes[self.lane].has_stalled.store(false, Ordering::Relaxed);
        }
        let mut freed = 0;
        while freed <= self.config.limits.queue_total / 64
            && let Some((length, slot)) = stalled.pop()
        {
            self.cut(slot, false, now);
            freed += length;
        }
    }

    /// Nothing is left of the queues but an object of each that was begun. If that is still too much,
    /// connections are reset, those with the longest object first: nothing can follow half an object.
    fn relieve_of_fronts(&mut self) {
        let shared = Arc::clone(&self.shared);
        if shared.queues.used() <= self.config.limits.queue_total {
            return;
        }
        let is_front = |conn: &&Conn| {
            matches!(conn.protocol.closing_step(), None | Some(Step::Draining))
                && conn.protocol.outbox.is_stuck()
        };
        let fronts = self.conns.iter().flatten().filter(is_front);
        let mut fronts: BinaryHeap<(usize, u32)> =
            fronts.map(|conn| (conn.protocol.outbox.len(), conn.protocol.id.slot)).collect();
        while shared.queues.used() > self.config.limits.queue_total
            && let Some((_, slot)) = fronts.pop()
        {
            self.drop_conn(slot, Departure::Lost);
        }
    }

    /// With more input kept in all than allowed, the connections of this loop that keep most of it are
    /// closed, as many as it takes.
    pub(super) fn relieve_of_input(&mut self, now: Now) {
        let shared = Arc::clone(&self.shared);
        let used = |least: usize| shared.input() > least;
        if !used(self.config.limits.input_total) || self.is_for_others_to_relieve_of_input() {
            return;
        }
        let conns = self.conns.iter().flatten().filter(|conn| conn.protocol.input_held() > 0);
        let mut largest: BinaryHeap<(usize, ConnId)> =
            conns.map(|conn| (conn.protocol.input_held(), conn.protocol.id)).collect();
        let mut hub = shared.hub();
        let since = clock::instant();
        // some more than is needed, so that this is not repeated for every message
        while used(self.config.limits.input_total / 16 * 15)
            && !self.is_for_others_to_relieve_of_input()
            && let Some((_, id)) = largest.pop()
        {
            hub.handle_input_overflow(id, now, &mut self.out);
            if let Some(conn) = find(&mut self.conns, id.slot, id.generation) {
                conn.discard_input();
                shared.recount_input(conn);
            }
        }
        self.hub_due = hub.poll_timeout();
        self.hand_out(hub, since);
    }

    /// Whether another loop keeps more input. It is told, and looks for itself.
    fn is_for_others_to_relieve_of_input(&self) -> bool {
        let input = |lane: &Lane| lane.input.load(Ordering::Relaxed);
        let own = input(&self.shared.lanes[self.lane]);
        let other = self.shared.lanes.iter().find(|lane| input(lane) > own);
        // a loop that cannot be woken is gone, and what it kept with it
        other.is_some_and(|lane| lane.send(Mail::Relieve).is_ok())
    }

    /// There is no room for a new connection: one that only waits for its peer's end does so no
    /// longer, here or, if there is none here, where there are most. False if there is none at all.
    pub(super) fn give_way(&mut self) -> bool {
        if self.close_oldest_lingering() {
            return true;
        }
        let lingering = |lane: &&Lane| lane.lingering.load(Ordering::Relaxed);
        let most =
            self.shared.lanes.iter().filter(|lane| lingering(lane) > 0).max_by_key(lingering);
        // a loop that cannot be woken is gone, and its connections with it
        most.is_some_and(|lane| lane.send(Mail::GiveWay).is_ok())
    }

    /// As long as there are more connections than there may be, those give way that this loop has
    /// and that only wait for their end. Whether that is enough.
    pub(super) fn keep_to_limit(&mut self) -> bool {
        loop {
            let is_kept = self.shared.connections() <= self.config.limits.connections;
            if is_kept || !self.close_oldest_lingering() {
                return is_kept;
            }
        }
    }

    /// Closes the connection that has waited longest for its peer's end, and says so to the loop
    /// that accepts. False if there is none.
    pub(super) fn close_oldest_lingering(&mut self) -> bool {
        while let Some(id) = self.lingering.pop_front() {
            let Some(conn) = self.conn(id.slot, id.generation) else { continue };
            conn.discard_what_came();
            self.drop_conn(id.slot, Departure::Left);
            // a loop that cannot be woken is gone
            let _ = self.shared.lanes[ACCEPTING].send(Mail::GaveWay);
            return true;
        }
        false
    }

    /// Gives back the memory that a crowd or a large batch needed, if it is time to.
    pub(super) fn shrink(&mut self, now: Instant) {
        if self.shrink_at.is_none_or(|at| at > now) {
            return;
        }
        while self.conns.pop_if(|conn| conn.is_none()).is_some() {}
        self.conns.give_back();
        self.dirty.give_back();
        self.overdue_writes.give_back();
        self.late.give_back();
        self.ready.give_back();
        self.gone.give_back();
        self.drained.give_back();
        self.deadlines.give_back();
        self.completed.give_back();
        self.cancelled.give_back();
        self.deaf.give_back();
        self.again.give_back();
        let mut lingering = std::mem::take(&mut self.lingering);
        lingering.retain(|id| self.conn(id.slot, id.generation).is_some());
        lingering.give_back();
        self.lingering = lingering;
        self.timers.shrink();
        self.out.shrink();
        self.shrink_at = self.shared.shrink(self.lane, now);
    }
}
