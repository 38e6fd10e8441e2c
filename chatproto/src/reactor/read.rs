//! The loop's first half: sockets that have something are read into the arena and decoded, those of
//! light users before any others, and what they ask for goes through the hub in batches.

use std::time::Instant;

use zeroize::Zeroize as _;

use crate::connection::Op;
use crate::hub::{ConnId, Departure, Now};

use super::conn::Filled;
use super::counters::Counter;
use super::ready::Class;
use super::timer::Due;
use super::{OTHERS_MOST, Reactor, USERS_PER_OTHER, find};

/// What one connection may give at a time, so that a busy one does not starve the rest.
pub(super) const READ_MOST: usize = 64 * 1024;
/// The same for light users. A user that has more to say, or is ahead of the rate, is a heavy user from
/// then on, until it has less. (In the simulation nobody says much.) It holds for those who are ahead,
/// too: they are paused soon, and what they send is better left in the system's buffers, which do not
/// grow for slow readers, than on the heap.
const LIGHT_MOST: usize = if cfg!(test) { 128 } else { 2 * 1024 };
/// When heavy users have given so much in a turn, that was their last read: some 0.1 ms of uploads, or
/// 0.3 ms of commands. Where many light users are busy, heavy users may give a quarter of the bytes that
/// these may, or a short read for sixteen of theirs, so that light users do not lock them out. The same
/// holds for others.
const HEAVY_MOST: usize = if cfg!(test) { 1024 } else { READ_MOST };
const HEAVY_PER_LIGHT: usize = LIGHT_MOST / 4;
/// A read of little, and a write of what comes of it, count as so many bytes; they take longer.
const READ_COST: usize = 4 * LIGHT_MOST;
/// What comes of one object counts as so many more.
const OBJECT_COST: usize = 256;
/// So many short reads that give something, and are not ahead of the rate, make a heavy user a light
/// one again: between long ones there are short ones, where a message ends.
pub(super) const HEAVY_FOR: u8 = 4;
/// While more receivers than this wait for broadcasts, heavy users cause no others.
const LATE_MOST: usize = if cfg!(test) { 16 } else { 256 };
/// With less room than this the batch is put through the hub first.
const READ_LEAST: usize = 16 * 1024;

impl Reactor {
    /// Steps 2 and 3 of a turn: for light users; then, when these have been served, for connections of
    /// others; then for heavy users.
    pub(super) fn put_through(&mut self, now: Now, arena: &mut [u8]) {
        // light users and others that become ready from here on are for the next turn
        let light = self.ready.len(Class::Light);
        let most = OTHERS_MOST.max(light / USERS_PER_OTHER);
        let others = self.ready.len(Class::Other).min(most);
        self.put_through_some(Class::Light, light, usize::MAX, now, arena);
        self.accept(most, now.monotonic);
        let bytes = HEAVY_MOST.max(light * HEAVY_PER_LIGHT);
        self.put_through_some(Class::Other, others, bytes, now, arena);
        if self.late.len() > LATE_MOST {
            // what they asked for is still being written
            return;
        }
        // among these are users that have just turned out to be heavy
        let heavy = self.ready.len(Class::Heavy);
        self.put_through_some(Class::Heavy, heavy, bytes, now, arena);
    }

    /// The same for so many of a class, as often as the arena is full, until they have given so many
    /// bytes. What earlier batches left to be written does not wait for the last of them.
    fn put_through_some(
        &mut self,
        class: Class,
        mut count: usize,
        mut bytes: usize,
        now: Now,
        arena: &mut [u8],
    ) {
        loop {
            let mut rest = &mut *arena;
            let mut ops = Vec::new();
            while count > 0 && bytes > 0 && rest.len() >= READ_LEAST {
                count -= 1;
                let Some(id) = self.ready.pop(class) else { continue };
                let Some(conn) = find(&mut self.conns, id.slot, id.generation) else { continue };
                let present = conn.class(self.ready.round());
                let is_for_another_turn = match class {
                    Class::Light => present != Class::Light,
                    Class::Heavy => present == Class::Other,
                    Class::Other => false,
                };
                if is_for_another_turn {
                    // it has ended meanwhile, or used up its share
                    self.ready.push(present, id, conn.share.from());
                    continue;
                }
                let (room, before) = (rest.len(), ops.len());
                rest = self.read(id, class, now.monotonic, rest, &mut ops);
                let read = READ_COST.max(room - rest.len());
                bytes = bytes.saturating_sub(read + (ops.len() - before) * OBJECT_COST);
            }
            self.handle(now, class, &ops);
            if std::mem::take(&mut self.out.has_secret) {
                arena.zeroize();
            }
            if count == 0 || bytes == 0 {
                return;
            }
            self.write_some(now.monotonic);
        }
    }

    /// Reads a connection into the arena, and decodes; returns what is left of the arena.
    fn read<'a>(
        &mut self,
        id: ConnId,
        class: Class,
        now: Instant,
        arena: &'a mut [u8],
        ops: &mut Vec<Op<'a>>,
    ) -> &'a mut [u8] {
        let slot = id.slot;
        let Some(conn) = find(&mut self.conns, slot, id.generation) else { return arena };
        conn.is_ready = false;
        if conn.protocol.is_answering() {
            // its input waits; if it has not yet taken the last part, it is ready again when it has
            if conn.protocol.can_take_part() {
                conn.protocol.take_part(ops);
            }
            return arena;
        }
        let was_shut = conn.stream.is_shut();
        let is_little = class == Class::Light || conn.is_ahead;
        let most = if is_little { LIGHT_MOST } else { READ_MOST };
        let filled = conn.fill(arena, most, now, &self.config.limits);
        if was_shut && !self.open_up(slot, ops) {
            return arena;
        }
        let Some(conn) = find(&mut self.conns, slot, id.generation) else { return arena };
        let limits = &self.config.limits;
        // (a read of TLS may give less than there is)
        let is_more = class == Class::Light
            && matches!(filled, Ok(Filled::Bytes { may_have_more: true, .. }));
        let (read, length, mut again) = match filled {
            Ok(Filled::Bytes { read, length, may_have_more }) => (read, length, may_have_more),
            Ok(Filled::Backlog(length)) => (0, length, true),
            Ok(Filled::Nothing) => {
                conn.protocol.handle_silence(now, limits, ops);
                return arena;
            }
            Ok(Filled::More) => {
                conn.heavy = HEAVY_FOR;
                self.again.push(slot);
                return arena;
            }
            Err(_) => {
                self.drop_conn(slot, Departure::Lost);
                return arena;
            }
        };
        // elsewhere only a refused read makes the next event come
        again |= conn.protocol.saw_end() || !cfg!(any(target_os = "linux", target_os = "android"));
        // headers and control frames are work, too
        let taken = read.max(length);
        let (bytes, rest) = arena.split_at_mut(taken);
        let bytes = &bytes[..length];
        let was_silent_at = conn.protocol.silent_at();
        conn.share.charge(taken as u64, &self.ready);
        conn.protocol.handle_bytes(bytes, now, limits, ops);
        let resume_at = conn.protocol.resume_at();
        let silent_at = conn.protocol.silent_at();
        self.tally.add(Counter::BytesReceived, read as u64);
        self.tally.add(Counter::RatePauses, u64::from(resume_at.is_some()));
        conn.is_ahead = resume_at.is_some() || conn.protocol.has_lead(now, limits);
        let is_heavy = is_more || taken >= LIGHT_MOST || conn.is_ahead;
        conn.heavy = if is_heavy { HEAVY_FOR } else { conn.heavy.saturating_sub(1) };
        self.shared.recount_input(conn);
        let has_control = conn.protocol.has_control();
        if conn.protocol.is_at_end() && conn.protocol.is_lingering() {
            conn.discard_behind_the_end();
            self.drop_conn(slot, Departure::Left);
            return rest;
        }
        again &= conn.protocol.wants_input() || conn.protocol.has_backlog();
        if let Some(at) = resume_at {
            self.timers.add(at, Due::Resume, id);
        }
        if let Some(at) = silent_at
            && silent_at != was_silent_at
        {
            self.timers.add(at, Due::Silence, id);
        }
        if again {
            self.again.push(slot);
        }
        if has_control {
            // messages of others do not wait for a crowd that sends pings
            self.make_late(slot);
        }
        rest
    }
}
