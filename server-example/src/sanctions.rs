//! Bans and mutes that outlive the server: moderators make and lift them in the hub, and here they
//! are written to the store as the server's events tell of them, and put in force again at the next
//! start. (Those of the configuration are the configuration's: see [`reload`](crate::reload).)
//!
//! A thread writes them, and changes that wait for it are bounded in bytes, in total and for each
//! moderator. Of several changes of one ban or mute, the last one is written alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::{Act, Event, ServerHandle, UserName};
use tracing::{error, warn};

use crate::failure::Failure;
use crate::lines::Usage;
use crate::shares::{Rules, Shares};
use crate::store::{self, Ban, Moderation, Mute, StoreError};

/// The most bytes of changes that wait for the store.
const MOST: usize = 1 << 20;
/// One moderator may have at most this part of them.
const OWNER_SHARE: usize = 4;
/// Bytes that a change takes besides its texts.
const CHANGE_BYTES: usize = 3 * size_of::<(Key, Waiting)>();
/// How long the end of the server waits for the store.
const LAST_CHANGES: Duration = Duration::from_secs(5);
/// How many lost changes have a line of their own in the log. The others are counted.
const LINES: Rules = Rules {
    owner_per_second: 10,
    per_second: 10,
    owner_per_day: usize::MAX,
    per_day: usize::MAX,
    owners: 1,
};

/// Writes bans and mutes on a thread of its own: an event loop does not wait for the disk.
#[derive(Debug)]
pub(crate) struct Sanctions {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The changes in their order, and each by what it changes.
    order: VecDeque<Key>,
    changes: HashMap<Key, Waiting>,
    bytes: usize,
    /// Bytes by moderator.
    owners: HashMap<String, usize>,
    is_writing: bool,
    /// All that were lost, since the start.
    lost: u64,
    /// Whether one was lost since the queue was last empty.
    is_losing: bool,
    is_closed: bool,
}

/// A change, and what it takes.
#[derive(Debug)]
struct Waiting {
    change: Change,
    owner: String,
    bytes: usize,
}

/// Bytes that a change is of: later ones take the place of earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Ban(String),
    Mute(String),
}

#[derive(Debug)]
enum Change {
    Ban(Ban),
    Unban(String),
    Mute(Mute),
    Unmute(String),
}

/// Bytes that the changes that wait take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "metrics are to read it")]
pub(crate) struct SanctionsUsage {
    pub(crate) queue: Usage,
    /// Changes that will not outlive the server, since the start.
    pub(crate) lost: u64,
}

impl Sanctions {
    pub(crate) fn start(moderation: Moderation) -> Result<Self, Failure> {
        let queue = Arc::new(Queue::default());
        let work = {
            let queue = Arc::clone(&queue);
            move || {
                let mut lines = Shares::new(LINES, Instant::now());
                while let Some(change) = queue.next() {
                    let outcome = change.write(&moderation);
                    queue.note_written(outcome.is_ok());
                    let (now, mut reports) = (Instant::now(), lines.tick(Instant::now()));
                    match outcome {
                        Err(error) if lines.admit("", 0, now) => {
                            error!("a ban or mute will not outlive the server: {error}");
                        }
                        _ => {}
                    }
                    reports.drain(..).for_each(|hidden| {
                        let count = hidden.count;
                        error!("{count} more bans or mutes will not outlive the server");
                    });
                }
            }
        };
        let started = thread::Builder::new().name("sanctions".to_owned()).spawn(work);
        started.map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        Ok(Sanctions { queue })
    }

    /// Waits until everything is written that was observed before, within a time limit.
    pub(crate) fn flush(&self) {
        let unwritten = self.queue.wait_until_written(LAST_CHANGES);
        if unwritten > 0 {
            error!(
                "{unwritten} bans or mutes were not written before the end: the disk of the data \
                 did not take them in time. The audit log has them; make them again"
            );
        }
    }

    /// Takes an event of the server.
    pub(crate) fn observe(&self, event: &Event) {
        if let Event::Moderated { by, .. } = event
            && let Some(change) = Change::of(event)
            && self.queue.push(by.as_str(), change) == Pushed::FirstLost
        {
            error!(
                "bans and mutes will not outlive the server: more than {} MiB wait for the disk of \
                 the data. The audit log has them; make them again later",
                MOST >> 20
            );
        }
    }

    /// Bytes that the changes that wait take.
    #[allow(dead_code, reason = "metrics are to read it")]
    pub(crate) fn usage(&self) -> SanctionsUsage {
        let state = self.queue.state();
        SanctionsUsage { queue: Usage { bytes: state.bytes, most: MOST }, lost: state.lost }
    }
}

impl Drop for Sanctions {
    fn drop(&mut self) {
        self.queue.state().is_closed = true;
        self.queue.filled.notify_all();
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushed {
    Queued,
    /// The first one that was lost since the queue was last empty.
    FirstLost,
    Lost,
}

impl Queue {
    fn push(&self, by: &str, change: Change) -> Pushed {
        let key = change.key();
        let mut state = self.state();
        let before = state.take(&key);
        let bytes = CHANGE_BYTES + 3 * change.target().len() + 2 * by.len() + change.text_bytes();
        let owned = state.owners.get(by).copied().unwrap_or(0);
        if state.bytes + bytes > MOST || owned + bytes > MOST / OWNER_SHARE {
            // what was there is over, whoever made it
            if before {
                state.order.retain(|other| *other != key);
            }
            state.lost += 1;
            let is_first = !std::mem::replace(&mut state.is_losing, true);
            return if is_first { Pushed::FirstLost } else { Pushed::Lost };
        }
        state.bytes += bytes;
        *state.owners.entry(by.to_owned()).or_default() += bytes;
        if !before {
            state.order.push_back(key.clone());
        }
        state.changes.insert(key, Waiting { change, owner: by.to_owned(), bytes });
        self.filled.notify_one();
        Pushed::Queued
    }

    /// Waits for a change. None if there will be no more.
    fn next(&self) -> Option<Change> {
        let is_idle = |state: &mut State| state.order.is_empty() && !state.is_closed;
        let waited = self.filled.wait_while(self.state(), is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let key = state.order.pop_front()?;
        state.is_writing = true;
        let change = state.changes.remove(&key)?;
        state.give_back(&change);
        Some(change.change)
    }

    fn note_written(&self, is_written: bool) {
        let mut state = self.state();
        state.is_writing = false;
        state.is_losing &= !state.order.is_empty();
        state.lost += u64::from(!is_written);
        self.written.notify_all();
    }

    /// How many changes still wait after this time.
    fn wait_until_written(&self, patience: Duration) -> usize {
        let is_busy = |state: &mut State| state.is_writing || !state.order.is_empty();
        let waited = self.written.wait_timeout_while(self.state(), patience, is_busy);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.order.len() + usize::from(state.is_writing)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the change of this key away, if there is one. Its place in the order stays.
    fn take(&mut self, key: &Key) -> bool {
        let Some(before) = self.changes.remove(key) else { return false };
        self.give_back(&before);
        true
    }

    fn give_back(&mut self, waiting: &Waiting) {
        self.bytes -= waiting.bytes;
        if let Some(owned) = self.owners.get_mut(&waiting.owner) {
            *owned -= waiting.bytes;
            if *owned == 0 {
                self.owners.remove(&waiting.owner);
            }
        }
    }
}

/// Puts in force what was kept. What cannot be any more, such as a name that is not allowed now, is
/// left out.
pub(crate) fn restore(moderation: &Moderation, handle: &ServerHandle) -> Result<(), StoreError> {
    let now_ms = store::now_ms();
    moderation.expire(now_ms)?;
    for kept in moderation.bans(now_ms)? {
        match kept.target.parse() {
            Ok(target) => {
                let mut ban = chatproto::Ban::new(target);
                ban.by = kept.by;
                ban.reason = kept.reason;
                ban.remaining = remaining(kept.until_ms, now_ms);
                handle.ban(ban);
            }
            Err(error) => warn!("the ban of {:?} cannot be put in force: {error}", kept.target),
        }
    }
    for kept in moderation.mutes(now_ms)? {
        match UserName::from_bytes(kept.name.as_bytes(), usize::MAX) {
            Ok(name) => handle.mute(&name, remaining(kept.until_ms, now_ms)),
            Err(error) => warn!("the mute of {:?} cannot be put in force: {error}", kept.name),
        }
    }
    Ok(())
}

fn remaining(until_ms: Option<i64>, now_ms: i64) -> Option<Duration> {
    until_ms.map(|until| Duration::from_millis(u64::try_from(until - now_ms).unwrap_or(0)))
}

impl Change {
    fn of(event: &Event) -> Option<Self> {
        let Event::Moderated { by, act, target, duration, reason, .. } = event else { return None };
        let until = |duration: Duration| {
            store::now_ms().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
        };
        let until_ms = duration.map(until);
        let target = target.clone();
        Some(match act {
            Act::Ban => {
                let (by, reason) = (by.to_string(), reason.clone());
                Change::Ban(Ban { target, by, reason, until_ms })
            }
            Act::Unban => Change::Unban(target),
            Act::Mute => Change::Mute(Mute { name: target, until_ms }),
            Act::Unmute => Change::Unmute(target),
            _ => return None,
        })
    }

    fn write(&self, moderation: &Moderation) -> Result<(), StoreError> {
        match self {
            Change::Ban(ban) => moderation.set_ban(ban),
            Change::Unban(target) => moderation.remove_ban(target).map(drop),
            Change::Mute(mute) => moderation.set_mute(mute),
            Change::Unmute(name) => moderation.remove_mute(name).map(drop),
        }
    }

    fn target(&self) -> &str {
        match self {
            Change::Ban(ban) => &ban.target,
            Change::Mute(mute) => &mute.name,
            Change::Unban(target) | Change::Unmute(target) => target,
        }
    }

    fn key(&self) -> Key {
        let target = self.target().to_owned();
        match self {
            Change::Ban(_) | Change::Unban(_) => Key::Ban(target),
            Change::Mute(_) | Change::Unmute(_) => Key::Mute(target),
        }
    }

    /// The bytes of texts besides the target.
    fn text_bytes(&self) -> usize {
        match self {
            Change::Ban(ban) => ban.by.len() + ban.reason.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(target: &str, reason: &str) -> Change {
        let (target, reason) = (target.to_owned(), reason.to_owned());
        Change::Ban(Ban { target, by: "alice".to_owned(), reason, until_ms: None })
    }

    #[test]
    fn the_last_change_of_a_ban_is_written_alone() {
        let queue = Queue::default();
        for _ in 0..1_000 {
            queue.push("alice", ban("bob", "spam"));
            queue.push("alice", ban("carol", "spam"));
            queue.push("alice", Change::Unban("bob".to_owned()));
        }
        assert!(matches!(queue.next(), Some(Change::Unban(target)) if target == "bob"));
        assert!(matches!(queue.next(), Some(Change::Ban(ban)) if ban.target == "carol"));
        let state = queue.state();
        assert_eq!((state.bytes, state.owners.len(), state.order.len()), (0, 0, 0));
    }

    #[test]
    fn waiting_changes_have_a_bound_and_a_moderator_leaves_room_for_others() {
        let queue = Queue::default();
        let reason = "x".repeat(256);
        let mut said = Vec::new();
        for number in 0..20_000 {
            said.push(queue.push("mallory", ban(&format!("user {number}"), &reason)));
        }
        assert!(queue.state().bytes <= MOST / OWNER_SHARE, "{}", queue.state().bytes);
        assert_eq!(said.iter().filter(|pushed| **pushed == Pushed::FirstLost).count(), 1);
        assert_eq!(queue.push("alice", ban("bob", &reason)), Pushed::Queued);
        for number in 0..20_000 {
            let by = format!("moderator {}", number % 100);
            queue.push(&by, ban(&format!("another {number}"), &reason));
        }
        let state = queue.state();
        assert!(state.bytes <= MOST && state.bytes > MOST / 2, "{}", state.bytes);
        assert_eq!(state.order.len(), state.changes.len());
        assert_eq!(state.lost as usize + state.order.len(), 40_001);
    }

    #[test]
    fn the_end_does_not_wait_beyond_its_limit_for_a_disk_that_stalls() {
        let queue = Queue::default();
        queue.push("alice", ban("bob", "spam"));
        queue.push("alice", ban("carol", "spam"));
        assert!(queue.next().is_some());
        assert_eq!(queue.wait_until_written(Duration::ZERO), 2);
        queue.note_written(true);
        assert!(queue.next().is_some());
        queue.note_written(true);
        assert_eq!(queue.wait_until_written(Duration::ZERO), 0);
    }
}
