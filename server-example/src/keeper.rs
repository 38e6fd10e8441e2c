//! Keeps the history of a server in the store, and answers what is asked of it: the application's
//! half of `/history`, `/sync`, `/forget` and of messages to users who are away.
//!
//! One thread writes, in whole commits; a few others read pages, so that whoever reads holds nobody
//! up. When the disk takes nothing, delivery goes on: messages wait here within bounds, senders are
//! told, the log has an alarm, and the commit is tried again until it succeeds.

use std::collections::HashSet;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::history::{Batch, Entry, Inbox, Reply};
use chatproto::{
    Completion, ConnId, Conversation, Forgotten, History, HistoryOrder, Left, MailboxBound, Page,
    Place, Selection, UserName,
};
use tracing::{error, info};

use crate::accounts::book::AccountBook;
use crate::failure::Failure;
use crate::priority;
use crate::store::{self, Query, Reader, Store, StoreError, Writer};

/// A message waits at most so long for others to be committed with it.
const GATHER: Duration = Duration::from_millis(5);
/// How often what can wait is done: retention, checkpoints, another try after a failure.
const TICK: Duration = Duration::from_secs(1);
/// While nothing can be written, so many messages wait for it.
const WAITING_MOST: usize = 100_000;
/// While nothing can be written, the log says so once in so long.
const ALARM_EVERY: Duration = Duration::from_secs(60);
/// Messages that wait for one user who is away.
const MAILBOX: usize = 100;
/// The event loops come first where they share a core; so much less, that the writer keeps up with
/// a hundred thousand messages a second on what a busy loop leaves it.
const NICENESS: i32 = 5;
/// Threads that read pages.
const READERS: usize = 2;

/// The history of a server.
pub(crate) struct Keeper {
    epoch: String,
    /// The last number that was given out, as far as is known here.
    last_id: u64,
    /// There until the end.
    writer: Option<Writer>,
    reader: Reader,
    pages: Sender<PageOrder>,
    book: Option<Arc<AccountBook>>,
    failing: Option<Failing>,
    /// Those whose messages are missing, and were not told yet.
    lost: HashSet<ConnId>,
}

/// That nothing can be written, and since when.
struct Failing {
    error: StoreError,
    since: Instant,
    alarmed: Instant,
    /// Numbers of messages for which there was no room.
    skipped: Option<(u64, u64)>,
}

/// A page that somebody asked for.
struct PageOrder {
    conversation: Conversation,
    selection: Selection,
    /// What was kept before is another owner's.
    since_ms: i64,
    reply: Reply,
}

impl Keeper {
    /// The history in a store; with accounts, also of what their owners say to each other.
    pub(crate) fn new(store: &mut Store, book: Option<Arc<AccountBook>>) -> Result<Self, Failure> {
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
            started.map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        }
        Ok(Keeper {
            epoch: store.epoch().to_owned(),
            last_id: store.next_id() - 1,
            writer: Some(store.writer().map_err(failed)?),
            reader: store.reader().map_err(failed)?,
            pages,
            book,
            failing: None,
            lost: HashSet::new(),
        })
    }
}

impl History for Keeper {
    fn epoch(&self) -> String {
        self.epoch.clone()
    }

    fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    fn run(mut self: Box<Self>, inbox: Inbox) {
        priority::lower(NICENESS);
        let mut ticked = Instant::now();
        let mut has_more = false;
        loop {
            let wait = match has_more {
                true => Duration::ZERO,
                false => TICK.saturating_sub(ticked.elapsed()),
            };
            let Some(entries) = inbox.take(wait, GATHER) else { break };
            self.work(entries, &inbox);
            if has_more || ticked.elapsed() >= TICK {
                has_more = self.tick(&inbox);
                ticked = Instant::now();
            }
        }
    }
}

impl Keeper {
    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("it is there until the end")
    }

    /// Keeps what came, then answers what was asked.
    fn work(&mut self, entries: Vec<Entry>, inbox: &Inbox) {
        let mut orders = Vec::new();
        for entry in entries {
            match entry {
                Entry::Messages(batch) => self.keep(&batch),
                Entry::Gap { first, last, from } => {
                    self.last_id = self.last_id.max(last);
                    self.writer().gap(first, last);
                    self.lost.extend(from);
                    error!("history cannot keep up: messages {first} to {last} are not kept");
                }
                Entry::Order(order, reply) => orders.push((order, reply)),
            }
        }
        self.commit(inbox);
        let mut left = Vec::new();
        for (order, reply) in orders {
            self.carry_out(order, reply, &mut left);
        }
        // what was changed by the orders themselves
        if self.writer().pending() > 0 {
            self.commit(inbox);
        }
        for (completion, reply) in left {
            let refusal = self.refusal();
            reply.send(match (refusal, completion) {
                (Some(reason), Completion::Left(account, _)) => {
                    Completion::Left(account, Err(reason))
                }
                (Some(reason), Completion::Forgotten(at, id, _)) => {
                    Completion::Forgotten(at, id, Err(reason))
                }
                (_, completion) => completion,
            });
        }
    }

    fn keep(&mut self, batch: &Batch) {
        let at_ms = store::now_ms();
        let is_full = self.failing.is_some() && self.writer().pending() >= WAITING_MOST;
        for (id, from, conversation, object) in batch.messages() {
            self.last_id = self.last_id.max(id);
            match &mut self.failing {
                Some(failing) if is_full => {
                    let first = failing.skipped.map_or(id, |(first, _)| first);
                    failing.skipped = Some((first, id));
                    self.lost.insert(from);
                }
                _ => self.writer().append(id, conversation.key(), at_ms, object),
            }
        }
    }

    /// Writes what waits. If that fails it goes on waiting, and senders are told.
    fn commit(&mut self, inbox: &Inbox) {
        if let Some((first, last)) = self.failing.as_mut().and_then(|f| f.skipped.take()) {
            // if this fails too, it is among what waits
            self.writer().gap(first, last);
        }
        match self.writer().commit() {
            Ok(()) => {
                if let Some(failing) = self.failing.take() {
                    inbox.set_failing(None);
                    let for_seconds = failing.since.elapsed().as_secs();
                    info!(for_seconds, "history is kept again");
                }
            }
            Err(error) => self.fail(error, inbox),
        }
    }

    fn fail(&mut self, error: StoreError, inbox: &Inbox) {
        let now = Instant::now();
        match &mut self.failing {
            Some(failing) => {
                if now - failing.alarmed >= ALARM_EVERY {
                    error!("history is still not kept: {error}");
                    failing.alarmed = now;
                }
                failing.error = error;
            }
            None => {
                error!("history is not kept: {error}");
                inbox.set_failing(Some(&reason(&error)));
                let skipped = None;
                self.failing = Some(Failing { error, since: now, alarmed: now, skipped });
            }
        }
    }

    /// What users are told while nothing can be written.
    fn refusal(&self) -> Option<String> {
        self.failing.as_ref().map(|failing| reason(&failing.error))
    }

    fn carry_out(
        &mut self,
        order: HistoryOrder,
        reply: Reply,
        left: &mut Vec<(Completion, Reply)>,
    ) {
        match order {
            HistoryOrder::Sync { conn } => {
                let outcome = match self.refusal() {
                    Some(reason) => Err(reason),
                    None if self.lost.remove(&conn) => {
                        Err("some of it came while nothing could be stored.".to_owned())
                    }
                    None => Ok(()),
                };
                reply.send(Completion::Synced(outcome));
            }
            HistoryOrder::Replay { conversation, selection } => {
                let since_ms = self.since_ms(&conversation);
                // readers live as long as this
                let _ = self.pages.send(PageOrder { conversation, selection, since_ms, reply });
            }
            HistoryOrder::Forget { conversation, id, author } => {
                let outcome = match self.reader.sender_of(conversation.key(), id) {
                    Err(error) => Err(reason(&error)),
                    Ok(None) => Ok(Forgotten::Unknown),
                    // what a former owner of the name has said is not this one's
                    Ok(Some(sender))
                        if author.is_none_or(|author| {
                            let name = author.as_str();
                            name == sender.name && sender.at_ms >= self.created_ms(name)
                        }) =>
                    {
                        self.writer().forget(conversation.key(), id);
                        Ok(Forgotten::Gone)
                    }
                    Ok(Some(_)) => Ok(Forgotten::NotYours),
                };
                left.push((Completion::Forgotten(conversation, id, outcome), reply));
            }
            HistoryOrder::Leave { account, conversation, id, object, .. } => {
                let outcome = self.leave(&account, &conversation, id, &object, left);
                left.push((Completion::Left(account, outcome), reply));
            }
            HistoryOrder::Collect { account, .. } => {
                reply.send(Completion::Collected(self.collect(&account)));
            }
            // dropped: the user is told that the command failed
            _ => drop(reply),
        }
    }

    fn leave(
        &mut self,
        account: &UserName,
        conversation: &Conversation,
        id: u64,
        object: &str,
        left: &[(Completion, Reply)],
    ) -> Result<Left, String> {
        self.last_id = self.last_id.max(id);
        let name = account.as_str();
        if self.book.as_ref().is_none_or(|book| book.created_ms(name).is_none()) {
            return Ok(Left::NoAccount);
        }
        if let Some(reason) = self.refusal() {
            return Err(reason);
        }
        let is_same = |(completion, _): &&(Completion, Reply)| matches!(completion, Completion::Left(other, Ok(Left::Waiting)) if other == account);
        let waiting = self.reader.waiting(name).map_err(|error| reason(&error))?;
        if waiting + left.iter().filter(is_same).count() >= MAILBOX {
            return Ok(Left::Full(MailboxBound::Messages(MAILBOX)));
        }
        self.writer().append(id, conversation.key(), store::now_ms(), object);
        self.writer().leave(name, id);
        Ok(Left::Waiting)
    }

    fn collect(&mut self, account: &UserName) -> Result<Page, String> {
        let name = account.as_str();
        let entries = self.reader.collect(name, MAILBOX).map_err(|error| reason(&error))?;
        if let Some(last) = entries.last() {
            self.writer().collected(name, last.id);
        }
        let since_ms = self.created_ms(name);
        Ok(page(entries, since_ms, false))
    }

    /// Since when a conversation is that of the owners that its names have now.
    fn since_ms(&self, conversation: &Conversation) -> i64 {
        let names = conversation.key().split_once('\t');
        names.map_or(i64::MIN, |(one, other)| self.created_ms(one).max(self.created_ms(other)))
    }

    fn created_ms(&self, name: &str) -> i64 {
        self.book.as_ref().and_then(|book| book.created_ms(name)).unwrap_or(i64::MIN)
    }

    /// What can wait. Whether there is more of it to do at once.
    fn tick(&mut self, inbox: &Inbox) -> bool {
        if self.failing.is_some() {
            self.commit(inbox);
            return false;
        }
        match self.writer().maintain(store::now_ms()) {
            Ok(has_more) => has_more,
            Err(error) => {
                self.fail(error, inbox);
                false
            }
        }
    }
}

/// The server has ended, and everything is here; or there never was one.
impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let waiting = writer.pending();
        match writer.close(self.last_id) {
            Err(error) if waiting > 0 => {
                error!("the last {waiting} messages are not in the history: {error}");
            }
            Err(error) => error!("the history was not closed as it should be: {error}"),
            Ok(()) if self.failing.is_some() => info!("history is kept again"),
            Ok(()) => {}
        }
    }
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
        ..Query::default()
    };
    let mut is_recovered = None;
    match &selection.place {
        Place::Newest => {}
        Place::Before(id) => query.before = Some(*id),
        Place::Since { id, epoch } => {
            query.since = Some(*id);
            is_recovered = Some(reader.recovered(key, *id, epoch)?);
        }
    }
    let found = reader.page(key, &query)?;
    Ok(Page { is_recovered, ..page(found.entries, since_ms, found.more) })
}

/// Entries as the server takes them, without those from before `since_ms`.
fn page(entries: Vec<store::Entry>, since_ms: i64, has_more: bool) -> Page {
    let entries = entries.into_iter().filter(|entry| entry.at_ms >= since_ms);
    let mut times = None::<(i64, i64)>;
    let mut messages = Vec::new();
    for entry in entries {
        let first = times.map_or(entry.at_ms, |(first, _)| first);
        times = Some((first, entry.at_ms));
        messages.push((entry.id, entry.object));
    }
    Page { messages, times, has_more, is_recovered: None }
}

/// What a user is told of an error: nothing about files of the server's.
fn reason(error: &StoreError) -> String {
    use crate::store::ErrorKind;
    let what = match error.kind {
        ErrorKind::Full => "the server's disk is full",
        ErrorKind::ReadOnly => "the server cannot write to its disk",
        ErrorKind::Busy => "the server's data is in use by another program",
        _ => "the server's disk fails",
    };
    format!("{what}.")
}
