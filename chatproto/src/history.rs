//! The queue between the hub and the thread that keeps the history, and the way back for its
//! answers. The hub's documentation ([`hub`](crate::hub)) describes the messages and the orders.
//!
//! The event loops put messages and orders into one queue, in the hub's order. A [`History`] takes
//! them from its [`Inbox`] on a thread of its own, as many at a time as have come meanwhile, so that
//! it may block and still keep up.
//!
//! The queue is bounded in bytes ([`QueueUsage`]). A message beyond the bound is delivered and not
//! kept, and the history learns its number ([`Entry::Gap`]). An order beyond the bound is answered at
//! once with a sentence. The queue copies the objects, so that a message that waits for the disk does
//! not pin the shared buffer of its batch.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chunk::Chunk;
use crate::host::Host;
use crate::hub::{Completion, ConnId, Conversation, HistoryOrder, Record};
pub use crate::reply::Reply;

/// Bytes of messages that may wait to be kept: those in the queue, and those that the [`History`] has
/// taken and [holds](Inbox::hold).
pub const PENDING_MOST: usize = 64 * 1024 * 1024;
/// Bytes of orders that may wait in the queue.
pub const ORDERS_MOST: usize = 16 * 1024 * 1024;
/// Messages that are worth keeping in one go.
pub const GATHER_MOST: usize = 1024;
/// The cost of a message beside its object, and that of a batch.
const OVERHEAD: usize = 64;
const BATCH_OVERHEAD: usize = 128;
/// The cost of an order beside its object.
const ORDER_OVERHEAD: usize = 512;
/// The answer to an order for which the queue has no room.
const BUSY: &str = "too much waits for the server's disk. Try again later.";

/// Keeps what is said, and reads it again.
pub trait History: Send + 'static {
    /// The name of this life of the history: letters and digits, never used before. Readers show by
    /// it that a number that they were told is one of these.
    fn epoch(&self) -> String;

    /// The number for the next message: above every one that was ever given.
    fn next_id(&self) -> u64;

    /// Keeps and answers what comes, until the server has ended and [`Inbox::take`] says so. Runs on
    /// a thread of its own; when it returns before that, or panics, the server stops.
    fn run(self: Box<Self>, inbox: Inbox);
}

/// Where a [`History`] finds what it is to do.
pub struct Inbox {
    queue: Arc<Queue>,
    host: Arc<dyn Host>,
}

/// Something for a [`History`] to do.
#[derive(Debug)]
pub enum Entry {
    /// Keep these messages.
    Messages(Batch),
    /// These messages came faster than they could be kept, and are gone: nobody must be told that
    /// the history is complete over them.
    Gap {
        /// The first number.
        first: u64,
        /// The last number.
        last: u64,
        /// Who sent them, each once.
        from: Vec<ConnId>,
    },
    /// Do this, after what stands before it, and answer.
    Order(HistoryOrder, Reply),
}

/// Messages to keep, in order.
#[derive(Debug)]
pub struct Batch {
    /// The objects without their line feeds, one after the other.
    objects: Box<[u8]>,
    records: Box<[Kept]>,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    from: ConnId,
    conversation: Conversation,
    /// The end of its object.
    end: usize,
}

/// The memory of the queue, each part beside its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueUsage {
    /// Bytes of messages that are not kept yet, with their overhead.
    pub pending: usize,
    /// The bound of `pending`.
    pub pending_most: usize,
    /// Bytes of orders that wait in the queue.
    pub orders: usize,
    /// The bound of `orders`.
    pub orders_most: usize,
}

impl Batch {
    /// Copies the objects of the records, line feeds excluded, into a buffer of their exact size.
    fn copy(chunk: &Chunk, aside_at: u32, records: &mut Vec<Record>) -> Self {
        let bounds = |record: &Record| {
            let (start, end) = record.object.bounds(aside_at);
            start as usize..end as usize - 1
        };
        let size = records.iter().map(|record| bounds(record).len()).sum();
        let mut objects = Vec::with_capacity(size);
        let records = records.drain(..).map(|record| {
            objects.extend_from_slice(&chunk.bytes[bounds(&record)]);
            let Record { id, from, conversation, .. } = record;
            Kept { id, from, conversation, end: objects.len() }
        });
        let records = records.collect();
        Batch { objects: objects.into_boxed_slice(), records }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The messages: the number of each, who sent it, where it was said, and its object in the
    /// compact form, without a line feed.
    pub fn messages(&self) -> impl Iterator<Item = (u64, ConnId, &Conversation, &str)> {
        let mut start = 0;
        self.records.iter().map(move |record| {
            let object = &self.objects[std::mem::replace(&mut start, record.end)..record.end];
            let object = std::str::from_utf8(object).expect("objects are text");
            (record.id, record.from, &record.conversation, object)
        })
    }
}

impl Inbox {
    pub(crate) fn new(queue: Arc<Queue>, host: Arc<dyn Host>) -> Self {
        Inbox { queue, host }
    }

    /// Takes what there is, in order. Waits for something for at most `wait`; from the first message
    /// on it waits for others for at most `gather`, unless there are [`GATHER_MOST`] or an order
    /// comes: so many are kept in one go, and who asks does not wait. `None` when the server has
    /// ended and everything was taken.
    pub fn take(&self, wait: Duration, gather: Duration) -> Option<Vec<Entry>> {
        let queue = &*self.queue;
        let mut deadline = Instant::now().checked_add(wait);
        let mut state = queue.state();
        loop {
            if state.is_urgent || state.is_closed {
                break;
            }
            if state.messages > 0 && !state.is_gathering {
                state.is_gathering = true;
                deadline = Instant::now().checked_add(gather);
            }
            let Some(at) = deadline else {
                state = queue.came.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = queue.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // until the history says otherwise, it holds what it takes now and nothing of before
        let State { is_closed, reported, bytes, .. } = *state;
        let fresh = State { is_closed, held: reported + bytes, ..State::default() };
        let taken = std::mem::replace(&mut *state, fresh);
        let is_over = is_closed && taken.entries.is_empty();
        (!is_over).then(|| taken.entries.into())
    }

    /// Says how many bytes of the messages that were taken are still in memory. They count against
    /// [`PENDING_MOST`] until this is called again. If a history never calls this, the messages of its
    /// last [`take`](Self::take) count.
    pub fn hold(&self, bytes: usize) {
        let mut state = self.queue.state();
        (state.held, state.reported) = (bytes, bytes);
    }

    /// The memory of the queue at the moment.
    pub fn usage(&self) -> QueueUsage {
        let state = self.queue.state();
        let (pending, orders) = (state.bytes + state.held, state.order_bytes);
        QueueUsage { pending, pending_most: PENDING_MOST, orders, orders_most: ORDERS_MOST }
    }

    /// Says why nothing is kept at the moment, or (`None`) that it is kept again. Whoever sends
    /// something that would be kept is told the reason, once.
    pub fn set_failing(&self, reason: Option<&str>) {
        self.host.set_history_state(reason);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// What waits to be kept.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Of the messages in it, and how many there are.
    bytes: usize,
    messages: usize,
    /// Of the orders and the gaps in it.
    order_bytes: usize,
    /// Bytes that were taken and are not kept yet, and what the history said of that last.
    held: usize,
    reported: usize,
    /// There is an order, or enough messages.
    is_urgent: bool,
    /// Whoever takes them waits for more messages: one more is no reason to wake it.
    is_gathering: bool,
    is_closed: bool,
}

impl Queue {
    /// Adds the messages of a batch, whose objects lie in `chunk`. Without room for them, adds their
    /// numbers as a gap. To be called under the hub's lock, so that the order is the hub's.
    pub(crate) fn keep(&self, chunk: &Chunk, aside_at: u32, records: &mut Vec<Record>) {
        let weight = records.iter().map(|record| {
            let (start, end) = record.object.bounds(aside_at);
            (end - start) as usize + OVERHEAD
        });
        let weight = weight.sum::<usize>() + BATCH_OVERHEAD;
        let mut state = self.state();
        if state.order_bytes > ORDERS_MOST || state.bytes + state.held + weight > PENDING_MOST {
            state.skip(records);
        } else {
            state.bytes += weight;
            state.messages += records.len();
            state.is_urgent |= state.messages >= GATHER_MOST;
            state.entries.push_back(Entry::Messages(Batch::copy(chunk, aside_at, records)));
        }
        if state.is_urgent || !state.is_gathering {
            self.came.notify_one();
        }
    }

    /// Adds an order, or answers it at once if there is no room for it.
    pub(crate) fn order(&self, order: HistoryOrder, reply: Reply) {
        let weight = ORDER_OVERHEAD + size(&order);
        let mut state = self.state();
        if state.order_bytes + weight > ORDERS_MOST {
            drop(state);
            return reply.send(refusal(order));
        }
        state.order_bytes += weight;
        state.entries.push_back(Entry::Order(order, reply));
        state.is_urgent = true;
        self.came.notify_one();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.came.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that messages are missing. Once gaps and orders take more than [`ORDERS_MOST`], all
    /// messages are part of one gap, which names each slot of a connection once.
    fn skip(&mut self, records: &mut Vec<Record>) {
        for record in records.drain(..) {
            if !matches!(self.entries.back(), Some(Entry::Gap { .. })) {
                let (first, last) = (record.id, record.id);
                self.entries.push_back(Entry::Gap { first, last, from: Vec::new() });
                self.order_bytes += ORDER_OVERHEAD;
            }
            if let Some(Entry::Gap { last, from, .. }) = self.entries.back_mut() {
                *last = record.id;
                match from.binary_search_by_key(&slot(record.from), |&conn| slot(conn)) {
                    // an earlier connection of the slot is gone
                    Ok(place) => from[place] = record.from,
                    Err(place) => {
                        from.insert(place, record.from);
                        self.order_bytes += size_of::<ConnId>();
                    }
                }
            }
        }
    }
}

fn slot(conn: ConnId) -> (u16, u32) {
    (conn.lane, conn.slot)
}

/// Bytes that an order owns beside itself.
fn size(order: &HistoryOrder) -> usize {
    match order {
        HistoryOrder::Leave { object, .. } => object.capacity(),
        _ => 0,
    }
}

/// The answer to an order for which there is no room.
fn refusal(order: HistoryOrder) -> Completion {
    let busy = BUSY.to_owned();
    match order {
        HistoryOrder::Sync { .. } => Completion::Synced(Err(busy)),
        HistoryOrder::Replay { conversation, .. } => Completion::Replayed(conversation, Err(busy)),
        HistoryOrder::Forget { conversation, id, .. } => {
            Completion::Forgotten(conversation, id, Err(busy))
        }
        HistoryOrder::Leave { account, .. } => Completion::Left(account, Err(busy)),
        HistoryOrder::Collect { .. } => Completion::Collected(Err(busy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Budget;
    use crate::hub::Output;
    use crate::name::UserName;

    fn conversation() -> Conversation {
        let [alice, bob] = ["alice", "bob"].map(|name| UserName::new(name).unwrap());
        Conversation::between(&alice, &bob)
    }

    fn conn(slot: u32, generation: u32) -> ConnId {
        ConnId { lane: 0, slot, generation }
    }

    /// A batch of the hub with objects of these texts, in a buffer that is much larger.
    fn batch(first: u64, from: ConnId, texts: &[&str]) -> (Chunk, u32, Vec<Record>) {
        let mut out = Output::new();
        let records = texts.iter().zip(first..).map(|(text, id)| {
            let object = out.object_aside(|log| log.extend_from_slice(text.as_bytes()));
            Record { id, from, conversation: conversation(), object }
        });
        let records = records.collect();
        let (mut bytes, aside_at) = out.take_log(Vec::new());
        bytes.reserve_exact(1 << 20);
        (Chunk::new(bytes, &Arc::new(Budget::default())), aside_at, records)
    }

    fn keep(queue: &Queue, first: u64, from: ConnId, texts: &[&str]) {
        let (chunk, aside_at, mut records) = batch(first, from, texts);
        queue.keep(&chunk, aside_at, &mut records);
        assert!(records.is_empty());
    }

    #[test]
    fn the_queue_owns_the_objects_and_nothing_else() {
        let queue = Queue::default();
        keep(&queue, 7, conn(1, 1), &["{\"a\"}", "", "gr\u{fc}\u{df}e"]);
        let mut state = queue.state();
        assert_eq!((state.messages, state.bytes), (3, 5 + 7 + 3 + 3 * OVERHEAD + BATCH_OVERHEAD));
        let Some(Entry::Messages(batch)) = state.entries.pop_front() else { panic!() };
        let messages: Vec<_> = batch.messages().map(|(id, _, _, object)| (id, object)).collect();
        assert_eq!(messages, [(7, "{\"a\"}"), (8, ""), (9, "gr\u{fc}\u{df}e")]);
        assert_eq!(batch.objects.len(), 12);
    }

    #[test]
    fn messages_beyond_the_bound_are_gaps_that_name_each_slot_once() {
        let queue = Queue::default();
        let text = "x".repeat(1 << 20);
        let mut id = 0;
        while !matches!(queue.state().entries.back(), Some(Entry::Gap { .. })) {
            id += 1;
            assert!(id <= 64, "the queue has no bound");
            keep(&queue, id, conn(1, 1), &[&text]);
            assert!(queue.state().bytes <= PENDING_MOST);
        }
        let first_missing = id;
        for generation in 1..1_000 {
            id += 1;
            keep(&queue, id, conn(generation % 3, generation), &[&text]);
        }
        let state = queue.state();
        let Some(Entry::Gap { first, last, from }) = state.entries.back() else { panic!() };
        assert_eq!((*first, *last), (first_missing, id));
        assert_eq!(from[..], [conn(0, 999), conn(1, 997), conn(2, 998)]);
        assert!(state.order_bytes < 1_000);
    }

    #[test]
    fn gaps_between_messages_that_fit_are_bounded() {
        const ROOM: usize = 100;
        let queue = Queue::default();
        queue.state().held = PENDING_MOST - 1_000;
        queue.state().order_bytes = ORDERS_MOST - ROOM * ORDER_OVERHEAD;
        let long = "x".repeat(1_000);
        for id in 1..=10 * ROOM as u64 {
            let text = if id % 2 == 0 { &*long } else { "" };
            keep(&queue, id, conn(1, 1), &[text]);
            // what was taken was kept
            queue.state().bytes = 0;
        }
        let state = queue.state();
        let gaps = state.entries.iter().filter(|entry| matches!(entry, Entry::Gap { .. })).count();
        assert!((2..=ROOM + 1).contains(&gaps), "{gaps} gaps");
        assert!(
            matches!(state.entries.back(), Some(Entry::Gap { last, .. }) if *last == 10 * ROOM as u64)
        );
    }

    #[test]
    fn messages_that_the_history_holds_count() {
        let queue = Queue::default();
        queue.state().held = PENDING_MOST - 1_000;
        keep(&queue, 1, conn(1, 1), &["short"]);
        keep(&queue, 2, conn(1, 1), &[&"x".repeat(1_000)]);
        keep(&queue, 3, conn(1, 1), &["short"]);
        let state = queue.state();
        let kinds = state.entries.iter().map(|entry| match entry {
            Entry::Messages(batch) => batch.records[0].id,
            Entry::Gap { first, .. } => first * 10,
            Entry::Order(..) => 0,
        });
        assert_eq!(kinds.collect::<Vec<_>>(), [1, 20, 3]);
    }

    #[test]
    fn an_order_costs_what_it_owns_and_is_refused_with_a_sentence_of_its_kind() {
        let name = |text| UserName::new(text).unwrap();
        let conversation = conversation();
        let (account, from, object) = (name("bob"), name("alice"), "x".repeat(50_000));
        let leave = HistoryOrder::Leave { account, from, conversation, id: 1, object };
        let collect = HistoryOrder::Collect { account: name("bob"), handed_over: 0, most_bytes: 1 };
        assert!(size(&leave) >= 50_000);
        assert_eq!(size(&collect), 0);
        let Completion::Left(_, Err(said)) = refusal(leave) else { panic!() };
        assert_eq!(said, BUSY);
        assert!(matches!(refusal(collect), Completion::Collected(Err(_))));
        let sync = HistoryOrder::Sync { conn: conn(1, 1) };
        assert!(matches!(refusal(sync), Completion::Synced(Err(_))));
    }
}
