//! Keeps the history of a server in the store, and carries out the orders to it: the application's
//! half of `/history`, `/sync`, `/forget` and of messages to users who are away.
//!
//! One thread writes; a few others read pages, so that a long read delays no commit. Messages and
//! letters for mailboxes are committed before any order of the same round is answered, so that an
//! answer never describes a state from before it.
//!
//! When the disk takes nothing, delivery goes on: messages wait here within a bound in bytes, senders
//! are told, the log has an alarm, and the commit is tried again until it succeeds. A sender may use a
//! quarter of the memory that is still free, so that one that sends much leaves room for the others.

mod pages;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use chatproto::UserName;
use chatproto::history::History;
use chatproto::history::{Batch, Entry, Inbox, PENDING_MOST, Reply};
use chatproto::hub::{Completion, ConnId, Conversation, Forgotten, HistoryOrder, Left, Page};
use shared::clock::{Clock, ClockChange, now_ms};
use shared::failure::Failure;
use store::{HandedOver, Letter, Reader, Removed, Reserve, Store, StoreError, StoreUsage, Writer};
use tracing::{error, info};

use crate::accounts::book::AccountBook;
use crate::budgets::Kind;
use crate::journal::Journal;
use crate::priority;
use pages::{NICENESS, PageOrder, page, reason};

/// The longest time that a message waits for others to be committed with it.
const GATHER: Duration = Duration::from_millis(5);
/// The period of retention, checkpoints, and another attempt after a failure.
const TICK: Duration = Duration::from_secs(1);
/// While nothing can be written, the memory of the messages that wait for it; the rest of the bound is
/// the queue's.
const WAITING_MOST: usize = PENDING_MOST / 4 * 3;
/// While nothing can be written, one sender may use this part of the free memory.
const SENDER_PART: usize = 4;
/// Ranges of messages that are remembered as missing during an outage; beyond, the last one grows.
const GAPS: usize = 256;
/// The cost of a message in memory beside its object.
const OVERHEAD: usize = 128;
/// How often the log says that the clock is still not believed.
const JUMP_EVERY: Duration = Duration::from_secs(3_600);
/// How often the log says how many messages were removed.
const REMOVED_EVERY: Duration = Duration::from_secs(60);
/// The period of the alarm while nothing can be written.
pub(crate) const ALARM_EVERY: Duration = Duration::from_secs(60);

/// The history of a server.
pub(crate) struct Keeper {
    epoch: String,
    /// The last number that was given out, as far as is known here.
    last_id: u64,
    /// `None` after the end.
    writer: Option<Writer>,
    reader: Reader,
    pages: Sender<PageOrder>,
    book: Option<Arc<AccountBook>>,
    failing: Option<Failing>,
    /// Connections whose messages are missing and that were not told yet. A new connection in the
    /// same slot takes the place of one that is gone, so that the slots are the bound.
    lost: HashMap<(usize, usize), ConnId>,
    /// Mail that was handed over and could not be removed yet.
    handed_over: HandedOver,
    usage: Arc<StoreUsage>,
    journal: Arc<Journal>,
    clock: Clock,
    /// When the log was told of a jump of the clock that lasts.
    jump_told: Instant,
    /// What was removed and is not in the log yet, and when the log was told last.
    removed: Removed,
    removed_told: Option<Instant>,
    reserve: Reserve,
    /// The disk was full at the start: nothing is written until the reserve is restored.
    is_short: bool,
}

/// That nothing can be written, and since when.
struct Failing {
    error: StoreError,
    since: Instant,
    alarmed: Instant,
    /// Numbers of messages for which there was no room.
    skipped: Vec<(u64, u64)>,
    /// The memory of each sender's messages since then.
    senders: HashMap<(usize, usize), usize>,
}

impl Keeper {
    /// The history in a store; with accounts, also of what their owners say to each other.
    pub(crate) fn new(
        store: &mut Store,
        book: Option<Arc<AccountBook>>,
        journal: Arc<Journal>,
    ) -> Result<Self, Failure> {
        let failed = |error: StoreError| Failure::Run(error.to_string());
        let pages = pages::start(store)?;
        Ok(Keeper {
            epoch: store.epoch().to_owned(),
            last_id: store.next_id() - 1,
            writer: Some(store.writer().map_err(failed)?),
            reader: store.reader().map_err(failed)?,
            pages,
            book,
            failing: None,
            lost: HashMap::new(),
            handed_over: HandedOver::default(),
            usage: store.usage(),
            journal,
            clock: Clock::start(),
            jump_told: Instant::now(),
            removed: Removed::default(),
            removed_told: None,
            reserve: store.reserve(),
            is_short: store.is_short(),
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
        if self.is_short {
            let error = self.writer().full();
            self.fail(error, &inbox);
        }
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
            self.measure(&inbox);
        }
    }
}

impl Keeper {
    /// Tells the queue how many bytes still wait here, and updates the gauges.
    fn measure(&mut self, inbox: &Inbox) {
        inbox.hold(self.writer().pending_bytes());
        let queue = inbox.usage();
        self.usage.set_pending(queue.pending as u64);
        self.usage.set_orders(queue.orders as u64);
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("it is there until the end")
    }

    /// Stores messages and letters, then carries out the orders. An order that was queued after a letter
    /// finds it in its mailbox.
    fn work(&mut self, entries: Vec<Entry>, inbox: &Inbox) {
        let (mut letters, mut orders) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Messages(batch) => self.keep(&batch),
                Entry::Gap { first, last, from } => {
                    self.skip_queued(first, last);
                    self.lost.extend(from.into_iter().map(|conn| (slot(conn), conn)));
                }
                Entry::Order(
                    HistoryOrder::Leave { account, from, conversation, id, object },
                    reply,
                ) => {
                    self.last_id = self.last_id.max(id);
                    letters.push((Leave { account, from, conversation, id, object }, reply));
                }
                Entry::Order(order, reply) => orders.push((order, reply)),
            }
        }
        self.commit(inbox);
        self.leave(letters, inbox);
        for (order, reply) in orders {
            self.carry_out(order, reply, inbox);
        }
    }

    fn keep(&mut self, batch: &Batch) {
        let at_ms = now_ms();
        for (id, from, conversation, object) in batch.messages() {
            self.last_id = self.last_id.max(id);
            let bytes = conversation.key().len() + object.len() + OVERHEAD;
            if !self.has_room(from, bytes) {
                self.lost.insert(slot(from), from);
                self.skip(id, id);
                continue;
            }
            self.writer().append(id, conversation.key(), at_ms, object);
        }
    }

    /// Notes messages for which the queue had no room.
    fn skip_queued(&mut self, first: u64, last: u64) {
        self.skip(first, last);
        self.journal.write(Kind::NotKept, || {
            error!("the disk is slower than the messages: {first} to {last} are not stored");
        });
    }

    /// Notes that messages are missing. During an outage the notes are bounded; otherwise the next
    /// commit writes them.
    fn skip(&mut self, first: u64, last: u64) {
        self.last_id = self.last_id.max(last);
        self.usage.count_not_kept(last + 1 - first);
        match &mut self.failing {
            Some(failing) => failing.skip(first, last),
            None => self.writer().gap(first, last),
        }
    }

    /// Whether a message may wait for the disk; while it takes messages, each one may.
    fn has_room(&mut self, from: ConnId, bytes: usize) -> bool {
        let pending = self.writer().pending_bytes();
        let Some(failing) = &mut self.failing else { return true };
        let free = WAITING_MOST.saturating_sub(pending);
        let used = failing.senders.entry(slot(from)).or_default();
        let has_room = *used + bytes <= free / SENDER_PART;
        if has_room {
            *used += bytes;
        }
        has_room
    }

    /// Writes the waiting messages. After an error they still wait, and senders are told.
    fn commit(&mut self, inbox: &Inbox) {
        let has_skipped = self.failing.as_ref().is_some_and(|failing| !failing.skipped.is_empty());
        if self.writer().pending_bytes() == 0 && !has_skipped {
            return;
        }
        match self.write() {
            Ok(()) => self.recover(inbox),
            Err(error) => self.fail(error, inbox),
        }
    }

    /// Writes the waiting messages, then the gaps.
    fn write(&mut self) -> Result<(), StoreError> {
        self.check_room()?;
        self.writer().commit()?;
        let skipped = self.failing.as_mut().map(|failing| std::mem::take(&mut failing.skipped));
        for (first, last) in skipped.into_iter().flatten() {
            self.writer().gap(first, last);
        }
        self.writer().commit()
    }

    /// After a start on a full disk, messages wait until the reserve is restored.
    fn check_room(&mut self) -> Result<(), StoreError> {
        self.is_short = self.is_short && !self.reserve.restore();
        if self.is_short { Err(self.writer().full()) } else { Ok(()) }
    }

    /// The disk takes messages, again or still.
    fn recover(&mut self, inbox: &Inbox) {
        if let Some(failing) = self.failing.take() {
            inbox.set_failing(None);
            let for_seconds = failing.since.elapsed().as_secs();
            self.journal.write(Kind::OutageOver, || info!(for_seconds, "history is kept again"));
            self.reserve.restore();
        }
    }

    fn fail(&mut self, error: StoreError, inbox: &Inbox) {
        let now = Instant::now();
        match &mut self.failing {
            Some(failing) => {
                if now - failing.alarmed >= ALARM_EVERY {
                    let line = || error!("history is still not kept: {error}");
                    self.journal.write(Kind::Outage, line);
                    failing.alarmed = now;
                }
                failing.error = error;
            }
            None => {
                self.journal.write(Kind::Outage, || error!("history is not kept: {error}"));
                inbox.set_failing(Some(&reason(&error)));
                let (skipped, senders) = (Vec::new(), HashMap::new());
                self.failing = Some(Failing { error, since: now, alarmed: now, skipped, senders });
            }
        }
    }

    /// The reason that users are told while nothing can be written.
    fn refusal(&self) -> Option<String> {
        self.failing.as_ref().map(|failing| reason(&failing.error))
    }

    fn carry_out(&mut self, order: HistoryOrder, reply: Reply, inbox: &Inbox) {
        match order {
            HistoryOrder::Sync { conn } => {
                let outcome = match self.refusal() {
                    Some(reason) => Err(reason),
                    None if self.lost.get(&slot(conn)) == Some(&conn) => {
                        self.lost.remove(&slot(conn));
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
                let outcome = self.forget(&conversation, id, author, inbox);
                reply.send(Completion::Forgotten(conversation, id, outcome));
            }
            HistoryOrder::Collect { account, handed_over, most_bytes } => {
                let page = self.collect(&account, handed_over, most_bytes);
                reply.send(Completion::Collected(page));
            }
            // dropped: the user is told that the command failed
            _ => drop(reply),
        }
    }

    fn forget(
        &mut self,
        conversation: &Conversation,
        id: u64,
        author: Option<UserName>,
        inbox: &Inbox,
    ) -> Result<Forgotten, String> {
        if let Some(reason) = self.refusal() {
            return Err(reason);
        }
        let key = conversation.key();
        let Some(sender) = self.reader.sender_of(key, id).map_err(|error| reason(&error))? else {
            return Ok(Forgotten::Unknown);
        };
        // messages of a former owner of the name are not this one's
        let is_theirs = author.is_none_or(|author| {
            let name = author.as_str();
            name == sender.name && sender.at_ms >= self.created_ms(name)
        });
        if !is_theirs {
            return Ok(Forgotten::NotYours);
        }
        match self.writer().forget(key, id) {
            Ok(()) => Ok(Forgotten::Gone),
            Err(error) => {
                let reason = reason(&error);
                self.fail(error, inbox);
                Err(reason)
            }
        }
    }

    /// Puts letters into mailboxes, and answers them.
    fn leave(&mut self, letters: Vec<(Leave, Reply)>, inbox: &Inbox) {
        let (mut accepted, mut at_ms) = (Vec::new(), 0);
        let book = self.book.clone();
        for (letter, reply) in letters {
            if !book.as_ref().is_some_and(|book| book.has_owner(&letter.account)) {
                reply.send(Completion::Left(letter.account, Ok(Left::NoAccount)));
            } else if let Some(reason) = self.refusal() {
                reply.send(Completion::Left(letter.account, Err(reason)));
            } else {
                at_ms = now_ms();
                accepted.push((letter, reply));
            }
        }
        if accepted.is_empty() {
            return;
        }
        let letters: Vec<_> = accepted.iter().map(|(letter, _)| letter.as_letter(at_ms)).collect();
        let (answers, outcome) = self.writer().leave(&letters);
        let mut answers = answers.into_iter();
        let refusal = outcome.map_err(|error| {
            let reason = reason(&error);
            self.fail(error, inbox);
            reason
        });
        for (letter, reply) in accepted {
            let answer = match (answers.next(), &refusal) {
                (Some(answer), _) => Ok(answer),
                (None, Err(reason)) => Err(reason.clone()),
                // each letter has an answer unless there was an error
                (None, Ok(())) => continue,
            };
            reply.send(Completion::Left(letter.account, answer));
        }
    }

    /// Removes mail that was handed over, and reads the next page. If the mail cannot be removed now,
    /// the page is read anyway, and the mail is removed later.
    fn collect(
        &mut self,
        account: &UserName,
        handed_over: u64,
        most_bytes: usize,
    ) -> Result<Page, String> {
        let name = account.as_str();
        let since_ms = self.created_ms(name);
        if let Err(error) = self.writer().collected(name, handed_over, since_ms)
            && !self.handed_over.note(name, handed_over)
        {
            return Err(reason(&error));
        }
        let after = handed_over.max(self.handed_over.up_to(name));
        let found = self.reader.collect(name, after, since_ms, most_bytes);
        let found = found.map_err(|error| reason(&error))?;
        Ok(page(found.entries, since_ms, found.more))
    }

    /// Since when a conversation is that of the owners that its names have now.
    fn since_ms(&self, conversation: &Conversation) -> i64 {
        let names = conversation.key().split_once('\t');
        names.map_or(i64::MIN, |(one, other)| self.created_ms(one).max(self.created_ms(other)))
    }

    fn created_ms(&self, name: &str) -> i64 {
        self.book.as_ref().and_then(|book| book.created_ms(name)).unwrap_or(i64::MIN)
    }

    /// The periodic work; whether there is more to do at once. During an outage this tests whether the
    /// disk can be written again, also if no message waits.
    fn tick(&mut self, inbox: &Inbox) -> bool {
        if self.failing.is_some() {
            self.commit(inbox);
        }
        if self.writer().pending_bytes() > 0 {
            return false;
        }
        let outcome = self.check_room().and_then(|()| self.maintain());
        match outcome {
            Ok(has_more) => {
                self.recover(inbox);
                has_more
            }
            Err(error) => {
                self.fail(error, inbox);
                false
            }
        }
    }
}

impl Keeper {
    /// Removes mail that was handed over, and has the store do a step of its own work.
    fn maintain(&mut self) -> Result<bool, StoreError> {
        let now_ms = self.now_ms();
        let Keeper { writer, handed_over, .. } = self;
        let writer = writer.as_mut().expect("it is there until the end");
        let has_more = handed_over.write(writer)?;
        let outcome = writer.maintain(now_ms);
        let Removed { old, surplus } = writer.take_removed();
        self.removed.old += old;
        self.removed.surplus += surplus;
        let has_more_to_do = outcome?;
        if !has_more_to_do && self.removed_told.is_none_or(|told| told.elapsed() >= REMOVED_EVERY) {
            self.tell_removed();
        }
        Ok(has_more || has_more_to_do)
    }

    /// The time by which messages are old. Reports a jump of the clock, and that it lasts.
    fn now_ms(&mut self) -> i64 {
        let (now_ms, change) = self.clock.check();
        let is_due = self.jump_told.elapsed() >= JUMP_EVERY;
        match (change, self.clock.jump()) {
            (Some(ClockChange::Jumped(jump)), _) => {
                self.jump_told = Instant::now();
                self.journal.write(Kind::Clock, || {
                    error!(
                        "the clock was set {jump} while the server runs: nothing is removed for \
                         that. If the clock is right now, restart the server"
                    );
                });
            }
            (None, Some(jump)) if is_due => {
                self.jump_told = Instant::now();
                self.journal.write(Kind::Clock, || {
                    error!(
                        "the clock is still set {jump}: if it is right, restart the server, which \
                         then goes by it"
                    );
                });
            }
            (Some(ClockChange::Returned), _) => {
                self.journal
                    .write(Kind::Clock, || error!("the clock is as it was before the jump"));
            }
            _ => {}
        }
        now_ms
    }

    /// Says in the log how many messages were removed.
    fn tell_removed(&mut self) {
        let Removed { old, surplus } = std::mem::take(&mut self.removed);
        if (old, surplus) != (0, 0) {
            self.removed_told = Some(Instant::now());
        }
        if old > 0 {
            self.journal.write(Kind::Purged, || {
                info!(messages = old, "history: removed messages older than --history-keep");
            });
        }
        if surplus > 0 {
            self.journal.write(Kind::Purged, || {
                info!(
                    messages = surplus,
                    "history: removed the oldest messages of the heaviest senders (--history-max)"
                );
            });
        }
    }
}

impl Failing {
    /// Notes that messages are missing.
    fn skip(&mut self, first: u64, last: u64) {
        let has_room = self.skipped.len() < GAPS;
        match self.skipped.last_mut() {
            Some((_, end)) if *end + 1 == first || !has_room => *end = last,
            _ => self.skipped.push((first, last)),
        }
    }
}

/// A [`HistoryOrder::Leave`].
struct Leave {
    account: UserName,
    from: UserName,
    conversation: Conversation,
    id: u64,
    object: String,
}

impl Leave {
    fn as_letter(&self, at_ms: i64) -> Letter<'_> {
        let Leave { account, from, conversation, id, object } = self;
        let (account, from, conversation) = (account.as_str(), from.as_str(), conversation.key());
        Letter { account, from, conversation, id: *id, at_ms, object }
    }
}

fn slot(conn: ConnId) -> (usize, usize) {
    (conn.lane(), conn.slot())
}

/// The server has ended, and everything is here; or there never was one.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.tell_removed();
        let Some(mut writer) = self.writer.take() else { return };
        for (first, last) in self.failing.iter().flat_map(|failing| &failing.skipped) {
            writer.gap(*first, *last);
        }
        let outcome = writer.hurry().and_then(|()| writer.commit());
        let waiting = writer.pending_messages();
        match outcome.and_then(|()| writer.close(self.last_id)) {
            Err(error) if waiting > 0 => {
                error!("the last {waiting} messages are not in the history: {error}");
            }
            Err(error) => error!("the history was not closed as it should be: {error}"),
            Ok(()) if self.failing.is_some() && !self.is_short => info!("history is kept again"),
            Ok(()) => {}
        }
    }
}
