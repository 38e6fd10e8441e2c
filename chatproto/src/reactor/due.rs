//! The work that is due when timers of an event loop fire.

use std::time::Instant;

use super::timer::Due;
use super::{OTHERS_MOST, Reactor, SHRINK, clock, find};

impl Reactor {
    /// Does, or has done, what is due.
    pub(super) fn fire_timers(&mut self, now: Instant) {
        let conns = &mut self.conns;
        if self.timers.sweep(|slot, generation| find(conns, slot, generation).is_some()) {
            self.shrink_at.get_or_insert(now + SHRINK);
        }
        let mut ended = 0;
        loop {
            let next = match self.timers.pop(now) {
                None if ended < OTHERS_MOST => self.timers.pop_end(now),
                next => next,
            };
            let Some((due, slot, generation)) = next else { break };
            self.shrink_at.get_or_insert(now + SHRINK);
            let Some(conn) = self.conn(slot, generation) else { continue };
            match due {
                Due::Registration if conn.stream.awaits_origin() => {
                    self.give_up_origin(slot);
                    ended += 1;
                }
                Due::Registration if conn.stream.is_handshaking() => {
                    self.give_up_handshake(slot);
                    ended += 1;
                }
                Due::Registration if conn.protocol.is_guest() || conn.protocol.is_waiting() => {
                    let id = conn.protocol.id;
                    self.deadlines.push(id);
                    self.settle(slot);
                    ended += 1;
                }
                Due::Registration => {}
                // if bytes came meanwhile, they have set a timer of their own
                Due::Silence => {
                    if !self.close_unlocated(slot) {
                        self.settle(slot);
                        self.make_ready(slot);
                    }
                }
                Due::Resume => {
                    conn.protocol.resume(now);
                    self.make_ready(slot);
                }
                Due::Pace => {
                    conn.is_paced = false;
                    self.make_dirty(slot);
                }
                Due::Close => {
                    self.handle_close_due(slot, now);
                    ended += 1;
                }
                // it has taken all that there was: only the server delays its answer
                Due::Patience if conn.protocol.wants_part() => self.lose_patience(slot),
                Due::Patience if conn.protocol.is_out_of_patience(now) => {
                    let id = conn.protocol.id;
                    self.overdue.push(id);
                }
                Due::Patience => {}
            }
        }
    }

    /// If the peer has ended and the hub waits for an effect, it is not waited for without end.
    pub(super) fn lose_patience(&mut self, slot: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(slot as usize)
            && let Some(at) = conn.protocol.lose_patience(clock::instant(), &self.config.limits)
        {
            self.timers.add(at, Due::Patience, conn.protocol.id);
        }
    }
}
