//! The outbox: what is on its way to one connection, without the socket (B2, B4, B9).
//!
//! It queues ranges of shared chunks. A stream peer's consecutive ranges are one write; a one-read
//! peer gets every object in a write of its own, and not before its time. Bounds are judged only
//! while something holds the queue up: a socket that refuses bytes, or that pace. What does not fit
//! is counted, never forgotten.

mod queue;

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::chunk::{Budget, Chunk};
use crate::handshake::PeerKind;
use crate::limits::Limits;

use queue::{Queue, Segment, keep};

/// What happens to a connection whose queue is full (B9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowReader {
    /// It is told how much it missed and closed, after what was queued had its time to drain.
    #[default]
    Disconnect,
    /// The oldest messages make room, and it is told how many as soon as it reads again.
    DropOldest,
}

/// The part of its bounds from which on a queue is pressing.
const PRESSING: usize = 4;

/// A long answer that is being produced (see `hub::long`). Its next objects go in front of all that was
/// queued after it began, so that nothing else appears inside of it.
#[derive(Debug)]
struct Open {
    behind: Queue,
    bytes: u32,
    objects: u32,
    /// Objects of the answer at the end of the outbox's queue.
    parts: u32,
    /// Bytes that the hub holds for the rest of the answer. They count as queued.
    held: usize,
    budget: Arc<Budget>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.budget.recount(self.held, 0);
    }
}

/// What may be written to a connection.
#[derive(Debug)]
pub(crate) enum Writable<'a> {
    /// There is nothing, or it is not time yet.
    Nothing,
    One(&'a [u8]),
    /// More than one slice: see [`Outbox::fill`].
    Many,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct Outbox {
    /// What may be written, and its bytes and objects.
    queue: Queue,
    bytes: u32,
    objects: u32,
    /// Boxed, as most connections have none.
    open: Option<Box<Open>>,
    kind: PeerKind,
    /// The socket refused bytes and has not taken any since.
    refused: bool,
    /// The front object is partly written.
    partial: bool,
    /// The front object tells how many messages were missed: dropping it would falsify the count.
    notice: bool,
    /// Nothing more is queued: the queue was full.
    overflown: bool,
    /// Nothing more is queued: the peer does not read any more.
    dead: bool,
    /// A long answer was dropped before it was complete: the hub is to stop producing it.
    has_cancelled: bool,
    /// A notice was written to a one-read peer, and no message since: with a pace that drops a
    /// message between any two notices there would be nothing but notices.
    owes_message: bool,
    /// Messages that were not queued, or dropped, and not yet told.
    missed: u64,
    /// Before when a one-read peer gets nothing.
    next_write: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Outbox {
            queue: Queue::default(),
            bytes: 0,
            objects: 0,
            open: None,
            kind: PeerKind::OneRead,
            refused: false,
            partial: false,
            notice: false,
            overflown: false,
            dead: false,
            has_cancelled: false,
            owes_message: false,
            missed: 0,
            next_write: None,
        }
    }

    pub(crate) fn set_kind(&mut self, kind: PeerKind) {
        self.kind = kind;
    }

    /// Whether its peer takes nothing any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether a long answer to it is being produced.
    pub(crate) fn has_answer(&self) -> bool {
        self.open.is_some()
    }

    /// Whether nothing is queued, and nothing more of a long answer is to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.open.is_none()
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Whether objects to it are spaced.
    pub(crate) fn is_paced(&self) -> bool {
        self.kind == PeerKind::OneRead
    }

    /// Whether so much of what it may keep has come that it should be written now, if that is possible.
    pub(crate) fn is_pressing(&self, limits: &Limits) -> bool {
        !self.is_held_up()
            && !self.overflown
            && (self.len() > limits.queue_bytes / PRESSING
                || self.objects() > limits.queue_messages / PRESSING)
    }

    /// Whether what is queued waits for the peer: for its socket, or for its pace.
    pub(crate) fn is_held_up(&self) -> bool {
        self.refused || self.is_paced()
    }

    /// Whether its queue is one of those that make room for others when all queues hold too much.
    pub(crate) fn may_be_cut(&self) -> bool {
        self.is_held_up() || self.has_answer()
    }

    /// Whether its peer takes nothing of a long answer at the moment.
    pub(crate) fn has_stalled_answer(&self) -> bool {
        self.refused && self.has_answer()
    }

    /// The socket may take bytes again.
    pub(crate) fn handle_writable(&mut self) {
        self.refused = false;
    }

    /// The peer does not read any more: forgets what is queued, and what will be.
    pub(crate) fn die(&mut self) {
        (self.dead, self.refused, self.partial, self.notice) = (true, false, false, false);
        (self.queue, self.bytes, self.objects, self.missed) = (Queue::default(), 0, 0, 0);
        self.has_cancelled |= self.open.take().is_some();
    }

    /// Bytes that are queued.
    pub(crate) fn len(&self) -> usize {
        self.bytes as usize + self.open.as_ref().map_or(0, |open| open.bytes as usize) + self.held()
    }

    /// Bytes that the hub holds for the rest of a long answer.
    pub(crate) fn held(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.held)
    }

    /// Objects that are queued.
    fn objects(&self) -> usize {
        (self.objects + self.open.as_ref().map_or(0, |open| open.objects)) as usize
    }

    /// A long answer begins: what is queued from here on waits until it is complete.
    pub(crate) fn begin_answer(&mut self, budget: &Arc<Budget>) {
        if self.dead || self.overflown {
            self.has_cancelled = true;
            return;
        }
        debug_assert!(self.open.is_none(), "a connection has one long answer at a time");
        let (behind, budget) = (Queue::default(), Arc::clone(budget));
        let open = Open { behind, bytes: 0, objects: 0, parts: 0, held: 0, budget };
        self.open = Some(Box::new(open));
    }

    /// Whether the next objects of a long answer can be written as soon as they are produced.
    pub(crate) fn wants_part(&self) -> bool {
        self.open.is_some() && self.queue.is_empty() && !self.refused
    }

    /// Counts what the hub holds for the rest of the long answer.
    pub(crate) fn set_held(&mut self, held: usize) {
        if let Some(open) = &mut self.open {
            open.budget.recount(std::mem::replace(&mut open.held, held), held);
        }
    }

    /// The long answer is complete, or ends here because the connection does.
    pub(crate) fn end_answer(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        self.bytes += open.bytes;
        self.objects += open.objects;
        if self.queue.is_empty() {
            self.queue = std::mem::take(&mut open.behind);
        }
        while let Some(segment) = open.behind.pop_front() {
            self.queue.push_back(segment);
        }
    }

    /// The hub has produced all of the long answer. If the rest was dropped, the hub need not know.
    pub(crate) fn finish_answer(&mut self) {
        self.end_answer();
        self.has_cancelled = false;
    }

    /// Whether something can be given up: more than an object that was begun.
    pub(crate) fn has_more_than_front(&self) -> bool {
        self.objects > u32::from(self.is_front_fixed()) || self.open.is_some()
    }

    /// Whether nothing is left but an object that was begun and that the socket refuses to go on with.
    pub(crate) fn is_stuck(&self) -> bool {
        self.refused && self.partial && !self.has_more_than_front()
    }

    /// Drops what was not yet produced of a long answer, and counts it as one message.
    fn cancel_answer(&mut self) {
        if self.open.is_some() {
            self.end_answer();
            self.missed += 1;
            self.has_cancelled = true;
        }
    }

    /// Whether a long answer was dropped since [`Outbox::take_cancelled`].
    pub(crate) fn has_cancelled(&self) -> bool {
        self.has_cancelled
    }

    /// Whether a long answer was dropped since this was last asked.
    pub(crate) fn take_cancelled(&mut self) -> bool {
        std::mem::take(&mut self.has_cancelled)
    }

    /// How many messages were not queued, or dropped, since [`Outbox::take_missed`].
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// How many messages were not queued, or dropped, since this was last taken.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Queues the object at `start..end` of the chunk.
    pub(crate) fn push(
        &mut self,
        chunk: &Arc<Chunk>,
        range: (u32, u32),
        limits: &Limits,
        policy: SlowReader,
    ) {
        if self.dead {
            return;
        }
        if self.overflown {
            self.missed += 1;
            return;
        }
        let may_join = self.kind == PeerKind::Stream;
        if let Some(open) = &mut self.open {
            open.bytes += range.1 - range.0;
            open.objects += 1;
            open.behind.append(chunk, range, may_join);
            open.behind.keep_back(may_join);
            return self.enforce_if_held_up(limits, policy);
        }
        self.add(chunk, range);
        self.enforce_if_held_up(limits, policy);
    }

    /// Queues an object of the long answer, in front of what was queued since it began.
    pub(crate) fn push_part(
        &mut self,
        chunk: &Arc<Chunk>,
        range: (u32, u32),
        limits: &Limits,
        policy: SlowReader,
    ) {
        // (one that was cancelled a moment ago is counted already)
        let Some(open) = &mut self.open else { return };
        open.parts += 1;
        self.add(chunk, range);
        self.enforce_if_held_up(limits, policy);
    }

    fn add(&mut self, chunk: &Arc<Chunk>, range: (u32, u32)) {
        let may_join = self.kind == PeerKind::Stream;
        self.bytes += range.1 - range.0;
        self.objects += 1;
        self.queue.append(chunk, range, may_join);
        // what waits for its time is queued as well as what the socket refused
        if self.refused || (self.kind == PeerKind::OneRead && self.objects > 1) {
            self.queue.keep_back(may_join);
        }
    }

    fn enforce_if_held_up(&mut self, limits: &Limits, policy: SlowReader) {
        // what is queued behind a long answer waits for the server: so the answer is dropped, and the
        // reader is not too slow
        let is_open = self.open.is_some();
        if is_open && !self.refused && self.is_full(limits) {
            self.cancel_answer();
        }
        if self.refused {
            self.enforce(limits, policy);
        } else if self.kind == PeerKind::OneRead && self.objects() > 1 {
            // it may read as fast as it can: the pace is ours, so it is not too slow
            self.enforce(limits, SlowReader::DropOldest);
        }
    }

    /// Queues the final objects of a connection, each with its line feed. They are not counted among its
    /// messages.
    pub(crate) fn push_last(&mut self, bytes: Vec<u8>, budget: &Arc<Budget>) {
        let (end, objects) =
            (bytes.len() as u32, memchr::memchr_iter(b'\n', &bytes).count() as u32);
        self.bytes += end;
        self.objects += objects;
        let chunk = Arc::new(Chunk::last(bytes, budget));
        self.queue.push_back(Segment { chunk, start: 0, end, objects });
    }

    /// What may be written now.
    pub(crate) fn writable(&self, now: Instant) -> Writable<'_> {
        let Some(front) = &self.queue.first else { return Writable::Nothing };
        if !self.takes_one_object() {
            let is_one = self.queue.rest.is_none();
            return if is_one { Writable::One(front.bytes()) } else { Writable::Many };
        }
        if self.partial || self.next_write.is_none_or(|at| at <= now) {
            return Writable::One(&front.bytes()[..front.first_object()]);
        }
        Writable::Nothing
    }

    /// A copy of what may be written now, at most `most` bytes: one slice is shared and not copied. An object
    /// to a one-read peer is a whole.
    pub(crate) fn take(&self, most: usize, now: Instant) -> Option<Bytes> {
        match self.writable(now) {
            Writable::Nothing => None,
            Writable::One(bytes) => {
                let length = if self.is_paced() { bytes.len() } else { bytes.len().min(most) };
                let front = self.queue.first.as_ref()?;
                if front.is_small_part() {
                    // a few bytes do not keep the objects of a whole batch
                    return Some(Bytes::copy_from_slice(&bytes[..length]));
                }
                Some(Bytes::from_owner(front.clone()).slice(..length))
            }
            Writable::Many => {
                let mut bytes = BytesMut::with_capacity(most.min(self.bytes as usize));
                for segment in self.queue.iter() {
                    let left = most - bytes.len();
                    bytes.extend_from_slice(&segment.bytes()[..segment.len().min(left)]);
                }
                Some(bytes.freeze())
            }
        }
    }

    /// The objects that may be written now, without a pace, each with its line feed. If the first one was
    /// begun, its rest is here.
    pub(crate) fn writable_objects(&self) -> impl Iterator<Item = &[u8]> {
        let most = if self.takes_one_object() { 1 } else { usize::MAX };
        self.queue.iter().flat_map(Segment::objects).take(most)
    }

    /// Whether a part of the front object was written.
    pub(crate) fn is_begun(&self) -> bool {
        self.partial
    }

    /// Bytes that belong to the front object were written, and the object itself was not begun.
    pub(crate) fn begin_front(&mut self) {
        self.partial = true;
    }

    /// Fills in the slices of a [`Writable::Many`], from the front and of at most `most` bytes; returns
    /// how many there are.
    pub(crate) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>], mut most: usize) -> usize {
        let mut count = 0;
        for (segment, slice) in self.queue.iter().zip(slices) {
            if most == 0 {
                break;
            }
            let bytes = &segment.bytes()[..segment.len().min(most)];
            *slice = IoSlice::new(bytes);
            most -= bytes.len();
            count += 1;
        }
        count
    }

    /// Whether a write may have one object at most: for a one-read peer, or because a notice is to
    /// come right behind it.
    fn takes_one_object(&self) -> bool {
        self.kind == PeerKind::OneRead || (self.missed > 0 && !self.overflown)
    }

    /// When there will be something to write that there is not now: the pace of a one-read peer.
    pub(crate) fn next_write(&self) -> Option<Instant> {
        self.next_write.filter(|_| self.takes_one_object() && !self.queue.is_empty())
    }

    /// The socket took `count` bytes of what [`Outbox::writable`] gave.
    pub(crate) fn handle_written(&mut self, mut count: usize, now: Instant, limits: &Limits) {
        self.refused = false;
        self.bytes -= count as u32;
        while let Some(front) = &mut self.queue.first
            && count > 0
        {
            if front.len() <= count {
                count -= front.len();
                self.objects -= front.objects;
                self.owes_message = self.notice && self.kind == PeerKind::OneRead;
                (self.partial, self.notice) = (false, false);
                self.queue.pop_front();
            } else {
                let written = &front.bytes()[..count];
                let whole = memchr::memchr_iter(b'\n', written).count();
                self.partial = written.last() != Some(&b'\n');
                front.start += count as u32;
                // (a stranger is answered in lines that are no objects)
                let whole = whole.min(front.objects as usize);
                self.notice &= whole == 0;
                front.objects -= whole as u32;
                self.objects -= whole as u32;
                count = 0;
            }
        }
        if let Some(open) = &mut self.open {
            open.parts = open.parts.min(self.objects);
        }
        if self.kind == PeerKind::OneRead && !self.partial {
            self.next_write = Some(now + limits.one_read_gap);
        }
    }

    /// The socket takes no more for now: what is queued has to be kept, within bounds.
    pub(crate) fn handle_refused(&mut self, limits: &Limits, policy: SlowReader) {
        self.refused = true;
        for segment in self.queue.iter_mut() {
            keep(segment);
        }
        if !self.overflown {
            self.enforce(limits, policy);
        }
    }

    /// Whether the peer is to be told now what it missed, before anything else.
    pub(crate) fn wants_notice(&self) -> bool {
        let owes = self.owes_message && self.objects > 0;
        self.missed > 0 && !self.is_front_fixed() && !self.overflown && !owes
    }

    /// Puts that notice in front.
    pub(crate) fn insert_notice(&mut self, object: Vec<u8>, budget: &Arc<Budget>) {
        let end = object.len() as u32;
        self.bytes += end;
        self.objects += 1;
        self.notice = true;
        let chunk = Arc::new(Chunk::new(object, budget));
        self.queue.push_front(Segment { chunk, start: 0, end, objects: 1 });
    }

    /// Gives up: what is queued is dropped and counted, but for one that was begun.
    pub(crate) fn abandon(&mut self) {
        self.overflown = true;
        self.shed();
    }

    /// Makes room as `drop-oldest` does: what is queued is dropped and counted, but for one object that
    /// was begun, and the peer is told as soon as it reads again.
    pub(crate) fn shed(&mut self) {
        self.cancel_answer();
        while self.objects > u32::from(self.is_front_fixed()) {
            self.drop_newest();
        }
        // that one does not keep the memory of all that stood behind it
        self.queue.iter_mut().for_each(keep);
    }

    /// Whether the front object must stay.
    fn is_front_fixed(&self) -> bool {
        self.partial || self.notice
    }

    fn is_full(&self, limits: &Limits) -> bool {
        self.len() > limits.queue_bytes || self.objects() > limits.queue_messages
    }

    fn enforce(&mut self, limits: &Limits, policy: SlowReader) {
        while self.is_full(limits) {
            let droppable = self.objects.saturating_sub(u32::from(self.is_front_fixed()));
            match (policy, &self.open) {
                (SlowReader::Disconnect, Some(_)) => {
                    self.overflown = true;
                    self.cancel_answer();
                }
                (SlowReader::Disconnect, None) if droppable > 0 => {
                    self.overflown = true;
                    self.drop_newest();
                }
                (SlowReader::DropOldest, Some(open)) => {
                    // what stood before the answer is older than the answer, which goes as a whole
                    if droppable > open.parts {
                        self.drop_oldest();
                    } else {
                        self.drop_parts();
                        self.cancel_answer();
                    }
                }
                (SlowReader::DropOldest, None) if droppable > 0 => self.drop_oldest(),
                _ => return,
            }
        }
    }

    /// Drops the objects of the long answer that are queued, but for one that was begun. They count as
    /// part of the answer.
    fn drop_parts(&mut self) {
        let missed = self.missed;
        let parts = self.open.as_ref().map_or(0, |open| open.parts);
        let stay = self.objects.saturating_sub(parts).max(u32::from(self.is_front_fixed()));
        while self.objects > stay {
            self.drop_newest();
        }
        self.missed = missed;
    }

    fn drop_newest(&mut self) {
        let Some(back) = self.queue.back_mut() else { return };
        let bytes = back.bytes();
        let cut = memchr::memrchr(b'\n', &bytes[..bytes.len() - 1]).map_or(0, |at| at + 1);
        self.bytes -= (bytes.len() - cut) as u32;
        self.objects -= 1;
        self.missed += 1;
        back.end = back.start + cut as u32;
        back.objects -= 1;
        if cut == 0 {
            self.queue.pop_back();
        }
    }

    /// Drops the oldest object but one that must stay.
    fn drop_oldest(&mut self) {
        let Some(mut front) = self.queue.pop_front() else { return };
        let fixed = if self.is_front_fixed() {
            let length = front.first_object() as u32;
            let mut head = front.clone();
            (head.end, head.objects) = (front.start + length, 1);
            front.start += length;
            front.objects -= 1;
            if front.objects == 0 {
                front = self.queue.pop_front().expect("there is more than the fixed object");
            }
            Some(head)
        } else {
            None
        };
        let dropped = front.first_object();
        self.bytes -= dropped as u32;
        self.objects -= 1;
        self.missed += 1;
        front.start += dropped as u32;
        front.objects -= 1;
        if front.objects > 0 {
            self.queue.push_front(front);
        }
        if let Some(fixed) = fixed {
            self.queue.push_front(fixed);
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
