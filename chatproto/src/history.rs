//! History under a server: how what the hub wants kept reaches the thread that keeps it, and how its
//! answers come back. What is kept and how it is asked for is described in [`hub`](crate::hub).
//!
//! The event loops put messages and orders into one queue, in the hub's order. A [`History`] takes
//! them from its [`Inbox`] on a thread of its own, as many at a time as have come meanwhile, so that
//! it may block and still keep up. If it does not keep up, messages are not kept rather than
//! anybody's delivery delayed: the history is told which ones ([`Entry::Gap`]).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chunk::Chunk;
use crate::hub::{ConnId, Conversation, HistoryOrder, Record, Token};
use crate::reactor::Shared;
pub use crate::reply::Reply;

/// So many bytes of messages may wait to be kept.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// So many messages are worth keeping in one go.
pub const GATHER_MOST: usize = 1024;
/// What a message counts beside its text.
const OVERHEAD: usize = 64;

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
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
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
    chunk: Arc<Chunk>,
    /// Each with the bounds of its object, line feed included.
    records: Vec<(Record, (u32, u32))>,
}

impl Batch {
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
        self.records.iter().map(|(record, (start, end))| {
            let object = &self.chunk.bytes[*start as usize..*end as usize - 1];
            let object = std::str::from_utf8(object).expect("objects are text");
            (record.id, record.from, &record.conversation, object)
        })
    }

    fn weight(&self) -> usize {
        self.records.iter().map(|(_, (start, end))| (end - start) as usize + OVERHEAD).sum()
    }
}

impl Inbox {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Inbox { shared }
    }

    /// Takes what there is, in order. Waits for something for at most `wait`; from the first message
    /// on it waits for others for at most `gather`, unless there are [`GATHER_MOST`] or an order
    /// comes: so many are kept in one go, and who asks does not wait. `None` when the server has
    /// ended and everything was taken.
    pub fn take(&self, wait: Duration, gather: Duration) -> Option<Vec<Entry>> {
        let queue = self.shared.history.as_ref()?;
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
        let is_closed = state.is_closed;
        let taken = std::mem::replace(&mut *state, State { is_closed, ..State::default() });
        let is_over = is_closed && taken.entries.is_empty();
        (!is_over).then(|| taken.entries.into())
    }

    /// Says why nothing is kept at the moment, or (`None`) that it is kept again. Whoever sends
    /// something that would be kept is told the reason, once.
    pub fn set_failing(&self, reason: Option<&str>) {
        self.shared.hub().handle_history_state(reason);
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
    /// There is an order, or enough messages.
    is_urgent: bool,
    /// Whoever takes them waits for more messages: one more is no reason to wake it.
    is_gathering: bool,
    is_closed: bool,
}

impl Queue {
    /// Adds the messages of a batch, whose objects lie in `chunk`; without room for them, only that
    /// they are missing. To be called under the hub's lock, so that the order is the hub's.
    pub(crate) fn keep(&self, chunk: &Arc<Chunk>, aside_at: u32, records: &mut Vec<Record>) {
        let records = records.drain(..).map(|record| {
            let bounds = record.object.bounds(aside_at);
            (record, bounds)
        });
        let batch = Batch { chunk: Arc::clone(chunk), records: records.collect() };
        let mut state = self.state();
        if state.bytes > MOST_BYTES {
            state.skip(&batch);
        } else {
            state.bytes += batch.weight();
            state.messages += batch.len();
            state.is_urgent |= state.messages >= GATHER_MOST;
            state.entries.push_back(Entry::Messages(batch));
        }
        if state.is_urgent || !state.is_gathering {
            self.came.notify_one();
        }
    }

    pub(crate) fn order(&self, order: HistoryOrder, token: Token, shared: &Arc<Shared>) {
        let reply = Reply::new(token, shared);
        let mut state = self.state();
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
    fn skip(&mut self, batch: &Batch) {
        for (record, _) in &batch.records {
            if !matches!(self.entries.back(), Some(Entry::Gap { .. })) {
                let (first, last) = (record.id, record.id);
                self.entries.push_back(Entry::Gap { first, last, from: Vec::new() });
            }
            if let Some(Entry::Gap { last, from, .. }) = self.entries.back_mut() {
                *last = record.id;
                if let Err(place) = from.binary_search_by_key(&key(record.from), |&c| key(c)) {
                    from.insert(place, record.from);
                }
            }
        }
    }
}

fn key(conn: ConnId) -> (u16, u32, u32) {
    (conn.lane, conn.slot, conn.generation)
}
