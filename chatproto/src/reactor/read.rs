//! The loop's first half: sockets that have something are read into the arena and decoded, users
//! before anybody else, and what they say goes through the hub in batches.

use std::collections::VecDeque;
use std::time::Instant;

use zeroize::Zeroize as _;

use crate::hub::{ConnId, Departure, Now};

use super::conn::{Filled, Op};
use super::timer::Due;
use super::{OTHERS_MOST, Reactor, USERS_PER_OTHER, find};

/// What one connection may give at a time, so that a busy one does not starve the rest.
pub(super) const READ_MOST: usize = 64 * 1024;
/// With less room than this the batch is put through the hub first.
const READ_LEAST: usize = 16 * 1024;

impl Reactor {
    /// Steps 2 and 3 of a turn, for users; then, when these have what there is for them, for others.
    pub(super) fn put_through(&mut self, now: Now, arena: &mut [u8]) {
        // what becomes ready from here on is for the next turn
        let users = self.ready.len();
        let most = OTHERS_MOST.max(users / USERS_PER_OTHER);
        let others = self.ready_others.len().min(most);
        self.put_through_some(users, |reactor| &mut reactor.ready, now, arena);
        self.accept(most, now.monotonic);
        self.put_through_some(others, |reactor| &mut reactor.ready_others, now, arena);
    }

    /// The same for so many of a queue, as often as the arena is full. What earlier batches left to be
    /// written does not wait for the last of them.
    fn put_through_some(
        &mut self,
        mut count: usize,
        queue: fn(&mut Self) -> &mut VecDeque<ConnId>,
        now: Now,
        arena: &mut [u8],
    ) {
        loop {
            let mut rest = &mut *arena;
            let mut ops = Vec::new();
            while count > 0 && rest.len() >= READ_LEAST {
                count -= 1;
                let Some(conn) = queue(self).pop_front() else { continue };
                rest = self.read(conn, now.monotonic, rest, &mut ops);
            }
            self.handle(now, ops);
            if std::mem::take(&mut self.out.has_secret) {
                arena.zeroize();
            }
            if count == 0 {
                return;
            }
            self.write_some_late(now.monotonic);
        }
    }

    /// Reads a connection into the arena, and decodes; returns what is left of the arena.
    fn read<'a>(
        &mut self,
        id: ConnId,
        now: Instant,
        arena: &'a mut [u8],
        ops: &mut Vec<Op<'a>>,
    ) -> &'a mut [u8] {
        let slot = id.slot;
        let Some(conn) = find(&mut self.conns, slot, id.generation) else { return arena };
        conn.is_ready = false;
        let was_shut = conn.stream.is_shut();
        let filled = conn.fill(arena, &self.limits);
        if was_shut && !self.open_up(slot, ops) {
            return arena;
        }
        let Some(conn) = find(&mut self.conns, slot, id.generation) else { return arena };
        let limits = &self.limits;
        let (length, mut again) = match filled {
            Ok(Filled::Bytes(length, may_have_more)) => (length, may_have_more),
            Ok(Filled::Backlog(length)) => (length, true),
            Ok(Filled::Nothing) => {
                conn.handle_silence(now, limits, ops);
                return arena;
            }
            Ok(Filled::More) => {
                self.make_ready(slot);
                return arena;
            }
            Err(_) => {
                self.drop_conn(slot, Departure::Lost);
                return arena;
            }
        };
        // elsewhere only a refused read makes the next event come
        again |= conn.saw_end || !cfg!(any(target_os = "linux", target_os = "android"));
        let (bytes, rest) = arena.split_at_mut(length);
        let was_silent_at = conn.silent_at();
        let resume_at = conn.handle_bytes(bytes, now, limits, ops);
        let silent_at = conn.silent_at();
        if conn.at_end && conn.is_lingering() {
            self.drop_conn(slot, Departure::Left);
            return rest;
        }
        again &= conn.wants_bytes() || conn.has_backlog();
        if let Some(at) = resume_at {
            self.timers.add(at, Due::Resume, id);
        }
        if let Some(at) = silent_at
            && silent_at != was_silent_at
        {
            self.timers.add(at, Due::Silence, id);
        }
        if again {
            self.make_ready(slot);
        }
        rest
    }
}
