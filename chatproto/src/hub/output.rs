//! What the hub wants done, in the order in which it decided it: objects to deliver, connections
//! to close, effects to carry out, events to report.
//!
//! The objects of a batch stand one after the other in a buffer, each encoded once; a delivery is a
//! range of it. So a broadcast costs a few bytes per receiver, and consecutive objects to one
//! receiver are one range to whoever writes them. What would come between them (answers to the
//! sender, the form for one-read peers) stands aside, in a second buffer.

use std::collections::VecDeque;

use super::range::{ASIDE, Range, append};
use super::{ConnId, Conversation, Effect, Event, Record};

/// What small batches take, which is not worth giving back.
const KEPT: usize = 1024;
const ACTIONS_KEPT: usize = 16;

/// The output of a batch of calls to a [`Hub`](crate::hub::Hub). Reuse it: clearing keeps its memory.
#[derive(Debug, Default)]
pub struct Output {
    /// The encoded objects, each with its line feed: forwarded ones, and those that stand aside.
    log: Vec<u8>,
    aside: Vec<u8>,
    /// What to do, by lane.
    pub(crate) lanes: Vec<Vec<Action>>,
    /// What of the batch is to be kept: before the effects are carried out.
    pub(crate) records: Vec<Record>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) events: Vec<Event>,
    /// The input of the batch held a secret, and is to be wiped.
    pub(crate) has_secret: bool,
    /// Units of work so far: see [`Output::work`].
    work: u64,
}

/// A delivery costs as much as so many bytes, beside those of its object: it is a system call.
pub(super) const DELIVERY: u64 = 256;
/// To look at an entry of a table costs as much as so many bytes.
const ENTRY: u64 = 16;

/// One thing to do for one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Deliver {
        slot: u32,
        generation: u32,
        object: Range,
    },
    /// The same for one of many receivers: it may be written after what others wait for.
    Broadcast {
        slot: u32,
        generation: u32,
        object: Range,
    },
    /// A long answer begins: what is delivered from here on comes behind it.
    Begin {
        slot: u32,
        generation: u32,
        /// Bytes that the hub holds for it.
        held: u32,
    },
    /// An object of the long answer.
    Part {
        slot: u32,
        generation: u32,
        object: Range,
    },
    /// The long answer is complete.
    End {
        slot: u32,
        generation: u32,
    },
    Close {
        slot: u32,
        generation: u32,
    },
}

impl Action {
    /// Whether it sends an object.
    pub(crate) fn is_object(self) -> bool {
        matches!(self, Action::Deliver { .. } | Action::Broadcast { .. } | Action::Part { .. })
    }

    /// Its connection, which is one of this lane.
    #[inline]
    pub(crate) fn receiver(self, lane: usize) -> ConnId {
        let (Action::Deliver { slot, generation, .. }
        | Action::Broadcast { slot, generation, .. }
        | Action::Begin { slot, generation, .. }
        | Action::Part { slot, generation, .. }
        | Action::End { slot, generation }
        | Action::Close { slot, generation }) = self;
        ConnId { lane: lane as u16, slot, generation }
    }
}

/// One thing to do for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// Send this object, which ends with its line feed.
    Object(&'a [u8]),
    /// A long answer begins. Objects that come from here on are to be queued behind it.
    Begin,
    /// Send this object of the long answer: in front of those that were queued since it began. Call
    /// [`Hub::handle_writable`](crate::hub::Hub::handle_writable) when the connection has taken it.
    Part(&'a [u8]),
    /// The long answer is complete: what was queued behind it may be sent.
    End,
    /// Send what is queued, then close; nothing more will come for it.
    Close,
}

impl Output {
    /// An empty output.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do, in order. (With more than one lane: lane by lane, in order within each.)
    pub fn actions(&self) -> impl Iterator<Item = (ConnId, Outgoing<'_>)> {
        self.lanes.iter().enumerate().flat_map(move |(lane, actions)| {
            let id = move |slot, generation| ConnId { lane: lane as u16, slot, generation };
            actions.iter().map(move |action| match *action {
                Action::Deliver { slot, generation, object }
                | Action::Broadcast { slot, generation, object } => {
                    (id(slot, generation), Outgoing::Object(self.bytes_of(object)))
                }
                Action::Begin { slot, generation, .. } => (id(slot, generation), Outgoing::Begin),
                Action::Part { slot, generation, object } => {
                    (id(slot, generation), Outgoing::Part(self.bytes_of(object)))
                }
                Action::End { slot, generation } => (id(slot, generation), Outgoing::End),
                Action::Close { slot, generation } => (id(slot, generation), Outgoing::Close),
            })
        })
    }

    fn bytes_of(&self, object: Range) -> &[u8] {
        let (buffer, base) = match object.is_aside() {
            true => (&self.aside, ASIDE),
            false => (&self.log, 0),
        };
        &buffer[(object.start - base) as usize..(object.end - base) as usize]
    }

    /// Units of work that made this output, since it was new: the bytes of each object times its
    /// receivers, 256 for each delivery, and 16 for each entry of a table that was examined. By these a
    /// server shares out the turns of its users.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// So many entries of a table were examined.
    pub(crate) fn examine(&mut self, entries: usize) {
        self.work += entries as u64 * ENTRY;
    }

    /// The messages of the batch that are to be kept, before any effect is carried out: the number
    /// of each, the conversation, and the object without its line feed.
    pub fn records(&self) -> impl Iterator<Item = (u64, &Conversation, &[u8])> {
        let object = |record: &'_ Record| self.object_bytes(record.object);
        self.records.iter().map(move |record| (record.id, &record.conversation, object(record)))
    }

    /// Takes the next effect to carry out.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether a password was in the input since the last call. If so, wipe the buffer that the input was read
    /// into.
    pub fn take_secret(&mut self) -> bool {
        std::mem::take(&mut self.has_secret)
    }

    /// Takes the events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Forgets the actions, for the next batch. Effects and events stay until they are taken.
    pub fn clear(&mut self) {
        self.log.clear();
        self.aside.clear();
        self.records.clear();
        self.lanes.iter_mut().for_each(Vec::clear);
    }

    /// Gives back the memory that large batches needed; what is not yet taken stays.
    pub(crate) fn shrink(&mut self) {
        self.log.shrink_to(KEPT);
        self.aside.shrink_to(KEPT);
        self.lanes.iter_mut().for_each(|actions| actions.shrink_to(ACTIONS_KEPT));
        self.records.shrink_to(KEPT);
        self.effects.shrink_to(0);
        self.events.shrink_to(0);
    }

    /// How many bytes it takes: the objects, and what is to be done with them.
    pub(crate) fn len(&self) -> usize {
        self.log.len() + self.aside.len() + self.actions_len() * size_of::<Action>()
    }

    /// How many things are to be done.
    pub(crate) fn actions_len(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    /// Takes the buffer with all the objects, and where those begin in it that stood aside. `next`
    /// is the buffer for the next batch.
    pub(crate) fn take_log(&mut self, next: Vec<u8>) -> (Vec<u8>, u32) {
        debug_assert!(next.is_empty());
        let aside_at = self.log.len() as u32;
        self.log.append(&mut self.aside);
        (std::mem::replace(&mut self.log, next), aside_at)
    }

    /// Appends an object to forward, written by `write`, with its line feed.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range {
        append(&mut self.log, 0, write)
    }

    /// The same for one that stands aside.
    pub(crate) fn object_aside(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range {
        append(&mut self.aside, ASIDE, write)
    }

    /// Takes the last object back.
    pub(crate) fn retract(&mut self, object: Range) {
        match object.is_aside() {
            true => self.aside.truncate((object.start - ASIDE) as usize),
            false => self.log.truncate(object.start as usize),
        }
    }

    /// The bytes of an object that does not stand aside, without its line feed.
    pub(crate) fn object_bytes(&self, object: Range) -> &[u8] {
        debug_assert!(!object.is_aside());
        &self.log[object.start as usize..object.end as usize - 1]
    }

    pub(crate) fn deliver(&mut self, to: ConnId, object: Range) {
        self.count_deliveries(1, object.len() as u64);
        self.send::<false>(to, object);
    }

    /// Delivers to one receiver, who may be one of many. The work is to be counted for all of them.
    #[inline]
    pub(crate) fn send<const IS_CROWD: bool>(&mut self, to: ConnId, object: Range) {
        let (slot, generation) = (to.slot, to.generation);
        self.lane(to).push(match IS_CROWD {
            true => Action::Broadcast { slot, generation, object },
            false => Action::Deliver { slot, generation, object },
        });
    }

    /// So many deliveries were made, of so many bytes in all.
    pub(crate) fn count_deliveries(&mut self, count: usize, bytes: u64) {
        self.work += count as u64 * DELIVERY + bytes;
    }

    pub(crate) fn begin_answer(&mut self, to: ConnId, held: usize) {
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let action = Action::Begin { slot: to.slot, generation: to.generation, held };
        self.lane(to).push(action);
    }

    pub(crate) fn part(&mut self, to: ConnId, object: Range) {
        self.count_deliveries(1, object.len() as u64);
        let action = Action::Part { slot: to.slot, generation: to.generation, object };
        self.lane(to).push(action);
    }

    pub(crate) fn end_answer(&mut self, to: ConnId) {
        let action = Action::End { slot: to.slot, generation: to.generation };
        self.lane(to).push(action);
    }

    /// Delivers bytes that are no object.
    pub(crate) fn deliver_raw(&mut self, to: ConnId, bytes: &[u8]) {
        let object = self.object_aside(|log| log.extend_from_slice(bytes));
        self.aside.pop();
        self.deliver(to, Range { end: object.end - 1, ..object });
    }

    pub(crate) fn close(&mut self, conn: ConnId) {
        let action = Action::Close { slot: conn.slot, generation: conn.generation };
        self.lane(conn).push(action);
    }

    fn lane(&mut self, conn: ConnId) -> &mut Vec<Action> {
        let lane = usize::from(conn.lane);
        if lane >= self.lanes.len() {
            self.lanes.resize_with(lane + 1, Vec::new);
        }
        &mut self.lanes[lane]
    }
}
