//! Pages of the history, which threads of their own read, so that a long read delays no commit.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chatproto::history::Reply;
use chatproto::hub::{Completion, Conversation, Page, Place, Selection};
use shared::failure::{self, Failure};
use store::{Query, Reader, Store, StoreError, StoredMessage};

use crate::priority;

/// The niceness of the threads of the history. Event loops have priority where they share a core. With
/// this value the writer still stores a hundred thousand messages a second beside a busy loop.
pub(super) const NICENESS: i32 = 5;
/// Threads that read pages.
const READERS: usize = 2;

/// A page that somebody asked for.
pub(super) struct PageOrder {
    pub(super) conversation: Conversation,
    pub(super) selection: Selection,
    /// What was kept before is another owner's.
    pub(super) since_ms: i64,
    pub(super) reply: Reply,
}

/// Starts the threads, which end when the sender is dropped. A connection waits for its page, so that
/// no more orders wait than there are connections.
pub(super) fn start(store: &Store) -> Result<Sender<PageOrder>, Failure> {
    let failed = |error: StoreError| Failure::Run(error.to_string());
    let (pages, orders) = mpsc::channel::<PageOrder>();
    let orders = Arc::new(Mutex::new(orders));
    for number in 0..READERS {
        let (reader, orders) = (store.reader().map_err(failed)?, Arc::clone(&orders));
        let next = move || orders.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        let work = move || {
            priority::lower(NICENESS);
            while let Some(order) = next() {
                order.answer(&reader);
            }
        };
        let started = thread::Builder::new().name(format!("history-{number}")).spawn(work);
        started.map_err(|error| {
            Failure::Run(format!("cannot start a thread: {}", failure::reason(&error)))
        })?;
    }
    Ok(pages)
}

impl PageOrder {
    fn answer(self, reader: &Reader) {
        let PageOrder { conversation, selection, since_ms, reply } = self;
        let page = read(reader, &conversation, &selection, since_ms);
        let page = page.map_err(|error| reason(&error));
        reply.send(Completion::Replayed(conversation, page));
    }
}

fn read(
    reader: &Reader,
    conversation: &Conversation,
    selection: &Selection,
    since_ms: i64,
) -> Result<Page, StoreError> {
    let key = conversation.key();
    let mut query = Query {
        most: selection.most,
        max_bytes: selection.most_bytes,
        up_to: selection.up_to,
        from_ms: since_ms,
        ..Query::default()
    };
    let mut is_recovered = None;
    match &selection.place {
        Place::Newest => {}
        Place::Before(id) => query.before = Some(*id),
        Place::Since { id, epoch } => {
            let start = reader.start_of_page(*id, epoch, selection.up_to)?;
            query.since = Some(start);
            is_recovered = Some(start == *id && reader.recovered(key, *id, epoch)?);
        }
    }
    let found = reader.page(key, &query)?;
    Ok(Page { is_recovered, ..page(found.entries, since_ms, found.more) })
}

/// Entries as the server takes them, without those from before `since_ms`.
pub(super) fn page(entries: Vec<StoredMessage>, since_ms: i64, has_more: bool) -> Page {
    let entries = entries.into_iter().filter(|entry| entry.at_ms >= since_ms);
    let (mut times, mut messages) = (Vec::new(), Vec::new());
    for entry in entries {
        times.push(entry.at_ms);
        messages.push((entry.id, entry.object));
    }
    Page { messages, times, has_more, is_recovered: None }
}

/// What a user is told of an error: nothing about files of the server's.
pub(super) fn reason(error: &StoreError) -> String {
    use store::ErrorKind;
    let what = match error.kind {
        ErrorKind::Full => "the server's disk is full",
        ErrorKind::ReadOnly => "the server cannot write to its disk",
        ErrorKind::Busy => "the server's data is in use by another program",
        _ => "the server's disk fails",
    };
    format!("{what}.")
}
