//! Bans and mutes that outlive the server. Moderators make and lift them in the hub. Each such event
//! is written to the store, and the next start of the server puts them in force again. (Those of the configuration are the configuration's: see [`reload`](crate::reload).)
//!
//! A thread writes them, and changes that wait for it are bounded in bytes, in total and for each
//! moderator. Only the last of several changes of one ban or mute is written. Event loops hand in
//! their changes without a common order, so the last one is the one that the hub decided last. The same
//! thread removes bans and mutes from the store when they have run out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use chatproto::hub::{Act, Ban, BanTarget, BanTargetError, Event, Mute, Rank};
use chatproto::{ServerHandle, UserName};
use shared::clock::{Clock, now_ms};
use shared::failure::Failure;
use shared::text::Quoted;
use shared::usage::Usage;
use store::{Moderation, Sanction, SanctionKind as Kind, StoreError};
use tracing::{error, warn};

use crate::budgets;
use crate::journal::Journal;

/// The most bytes of changes that wait for the store.
const MOST: usize = 1 << 20;
/// One moderator may have at most this part of them.
const OWNER_SHARE: usize = 4;
/// Bytes that a change takes besides its texts.
const CHANGE_BYTES: usize = 3 * size_of::<(Key, Waiting)>() + size_of::<Sanction>();
/// At most this many changes are remembered that came before others with lower numbers.
const MOST_EARLY: usize = 4_096;
/// How long the end of the server waits for the store.
const LAST_CHANGES: Duration = Duration::from_secs(5);
/// How often bans and mutes that have run out are removed from the store.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Writes bans and mutes on a thread of its own: an event loop does not wait for the disk.
#[derive(Debug)]
pub(crate) struct Sanctions {
    queue: Arc<SanctionQueue>,
    journal: Arc<Journal>,
}

#[derive(Debug)]
struct SanctionQueue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Debug)]
struct State {
    /// The changes in their order, and each by what it changes.
    order: VecDeque<Key>,
    changes: HashMap<Key, Waiting>,
    usage: Usage,
    /// Bytes by moderator.
    owners: HashMap<String, usize>,
    arrivals: Arrivals,
    is_writing: bool,
    is_closed: bool,
}

/// Finds changes that come late: the hub decided a later one of the same ban or mute, which came before.
#[derive(Debug, Default)]
struct Arrivals {
    /// All changes up to this number have come.
    all_until: u64,
    /// Those that came beyond it: their numbers, and hashes of what they change.
    early: BTreeMap<u64, u64>,
    hasher: RandomState,
}

/// A change, its moderator and its cost.
#[derive(Debug)]
struct Waiting {
    change: SanctionChange,
    owner: String,
    bytes: usize,
}

/// The subject of a change: a later change replaces an earlier one.
type Key = (Kind, String);

/// A ban or a mute that is imposed, or lifted if there is none.
#[derive(Debug)]
struct SanctionChange {
    /// Its place in the order of the hub's decisions.
    number: u64,
    kind: Kind,
    key: String,
    target: String,
    /// Boxed, as changes are handed around.
    sanction: Option<Box<Sanction>>,
}

impl Sanctions {
    pub(crate) fn start(moderation: Moderation, journal: Arc<Journal>) -> Result<Self, Failure> {
        Sanctions::start_with(moderation, journal, EXPIRE_EVERY)
    }

    fn start_with(
        moderation: Moderation,
        journal: Arc<Journal>,
        expire_every: Duration,
    ) -> Result<Self, Failure> {
        let sanctions = Sanctions { queue: Arc::new(SanctionQueue::new()), journal };
        let (queue, journal) = (Arc::clone(&sanctions.queue), Arc::clone(&sanctions.journal));
        let work = move || {
            // a jump of the clock, which the keeper of the history reports, ends no sanction
            let mut clock = Clock::start();
            while let Some(next) = queue.next(expire_every) {
                let Some(Waiting { change, owner, .. }) = next else {
                    // an expired row has no effect; the next period tries again
                    let _ = moderation.expire(clock.check().0);
                    continue;
                };
                if let Err(error) = change.write(&moderation, clock.check().0) {
                    note_lost(&journal, &change, &owner, &error);
                }
                queue.note_written();
            }
        };
        let started = thread::Builder::new().name("sanctions".to_owned()).spawn(work);
        started.map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        Ok(sanctions)
    }

    /// Waits until everything is written that was observed before, within a time limit.
    pub(crate) fn flush(&self) {
        let unwritten = self.queue.wait_until_written(LAST_CHANGES);
        for Waiting { change, owner, .. } in self.queue.state().changes.values() {
            note_lost(
                &self.journal,
                change,
                owner,
                &"the disk of the data did not take it in time",
            );
        }
        if unwritten > 0 {
            error!(
                "{unwritten} bans or mutes were not written before the end: the disk of the data \
                 did not take them in time. The audit log has them; make them again"
            );
        }
    }

    /// Takes an event of the server.
    pub(crate) fn observe(&self, event: &Event) {
        if let Event::Moderated { actor, .. } = event
            && let Some(change) = SanctionChange::of(event)
            && let Err(change) = self.queue.push(actor.name(), change)
        {
            note_lost(&self.journal, &change, actor.name(), &BEYOND);
        }
    }

    /// Bytes that the changes that wait take.
    pub(crate) fn usage(&self) -> Usage {
        self.queue.state().usage
    }
}

impl Drop for Sanctions {
    fn drop(&mut self) {
        self.queue.state().is_closed = true;
        self.queue.filled.notify_all();
    }
}

/// Why a change beyond the bound of the queue is lost.
const BEYOND: &str = "too many changes wait for the disk of the data. The audit log has it; make it \
                      again later";

/// Logs that a change is not in the store.
fn note_lost(journal: &Journal, change: &SanctionChange, by: &str, reason: &dyn fmt::Display) {
    journal.write(budgets::Kind::Unsaved, || {
        let (act, target, by) = (change.act(), Quoted(&change.target), Quoted(by));
        error!(%target, %by, "{act} will not outlive the server: {reason}");
    });
}

impl SanctionQueue {
    fn new() -> Self {
        let state = State {
            order: VecDeque::new(),
            changes: HashMap::new(),
            usage: Usage::of(MOST),
            owners: HashMap::new(),
            arrivals: Arrivals::default(),
            is_writing: false,
            is_closed: false,
        };
        SanctionQueue { state: Mutex::new(state), filled: Condvar::new(), written: Condvar::new() }
    }

    /// Queues a change, unless a later one of the same has come. Hands it back if there is no room.
    fn push(&self, by: &str, change: SanctionChange) -> Result<(), SanctionChange> {
        let key = change.key();
        let mut state = self.state();
        if state.arrivals.is_late(change.number, &key) {
            return Ok(());
        }
        let before = state.take(&key);
        let bytes = CHANGE_BYTES + 2 * by.len() + change.text_bytes();
        let owned = state.owners.get(by).copied().unwrap_or(0);
        if !state.usage.has_room(bytes) || owned + bytes > MOST / OWNER_SHARE {
            // the new change ends the one before, so neither is written
            if before {
                state.order.retain(|other| *other != key);
            }
            return Err(change);
        }
        state.usage.add(bytes);
        *state.owners.entry(by.to_owned()).or_default() += bytes;
        if !before {
            state.order.push_back(key.clone());
        }
        state.changes.insert(key, Waiting { change, owner: by.to_owned(), bytes });
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for a change; `Some(None)` if none came in time, `None` if there will be no more.
    fn next(&self, patience: Duration) -> Option<Option<Waiting>> {
        let is_idle = |state: &mut State| state.order.is_empty() && !state.is_closed;
        let waited = self.filled.wait_timeout_while(self.state(), patience, is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let Some(key) = state.order.pop_front() else {
            return (!state.is_closed).then_some(None);
        };
        let change = state.changes.remove(&key).expect("each key in the order has a change");
        state.is_writing = true;
        state.give_back(&change);
        Some(Some(change))
    }

    fn note_written(&self) {
        let mut state = self.state();
        state.is_writing = false;
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
        self.usage.subtract(waiting.bytes);
        if let Some(owned) = self.owners.get_mut(&waiting.owner) {
            *owned -= waiting.bytes;
            if *owned == 0 {
                self.owners.remove(&waiting.owner);
            }
        }
    }
}

impl Arrivals {
    /// Notes that a change has come. Whether a later one of the same came before it.
    fn is_late(&mut self, number: u64, key: &Key) -> bool {
        let key = self.hasher.hash_one(key);
        let is_late = self.early.range(number..).any(|(_, later)| *later == key);
        self.early.insert(number, key);
        // one that never comes would keep all behind it here
        if self.early.len() > MOST_EARLY
            && let Some((&first, _)) = self.early.first_key_value()
        {
            self.all_until = self.all_until.max(first - 1);
        }
        while let Some(first) = self.early.first_entry()
            && *first.key() <= self.all_until + 1
        {
            self.all_until = self.all_until.max(first.remove_entry().0);
        }
        is_late
    }
}

/// Puts the stored bans and mutes in force. Those with a target that is no longer valid are left out.
pub(crate) fn restore(moderation: &Moderation, handle: &ServerHandle) -> Result<(), StoreError> {
    let now_ms = now_ms();
    moderation.expire(now_ms)?;
    for kept in moderation.all(Kind::Ban, now_ms)? {
        match target_of(&kept) {
            Ok(target) => {
                if target.key() != kept.key {
                    // so that it is found when it is lifted
                    moderation.correct_ban(&kept.key, &target, now_ms)?;
                }
                let mut ban = Ban::new(target);
                (ban.rank, ban.age, ban.remaining) = what_is_left(&kept, now_ms);
                (ban.by, ban.reason) = (kept.by, kept.reason);
                handle.restore_ban(ban);
            }
            Err(error) => {
                warn!("the ban of {} cannot be put in force: {error}", Quoted(&kept.target));
            }
        }
    }
    for kept in moderation.all(Kind::Mute, now_ms)? {
        match UserName::from_bytes(kept.target.as_bytes(), usize::MAX) {
            Ok(name) => {
                let mut mute = Mute::new(name);
                (mute.rank, mute.age, mute.remaining) = what_is_left(&kept, now_ms);
                (mute.by, mute.reason) = (kept.by, kept.reason);
                handle.restore_mute(mute);
            }
            Err(error) => {
                warn!("the mute of {} cannot be put in force: {error}", Quoted(&kept.target));
            }
        }
    }
    Ok(())
}

/// The target of a stored ban. The key says whether it is a name, also one that looks like an address.
/// Older versions stored some names without the double quotes that these need now. Names with white space
/// around them they took for what stands between, be it a network; no network was stored with white space.
fn target_of(kept: &Sanction) -> Result<BanTarget, BanTargetError> {
    let target = kept.target.parse::<BanTarget>();
    let is_name = kept.key.starts_with("name ") || kept.target.trim() != kept.target;
    match is_name && !target.as_ref().is_ok_and(BanTarget::is_name) {
        true => Ok(BanTarget::from(&UserName::from_bytes(kept.target.as_bytes(), usize::MAX)?)),
        false => target,
    }
}

/// The rank of the actor, how long it has held, and how long it holds yet.
fn what_is_left(kept: &Sanction, now_ms: i64) -> (Rank, Duration, Option<Duration>) {
    let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    // a rank of a newer version is above all that are known
    let rank = kept.rank.parse().unwrap_or(Rank::Operator);
    let age = now_ms.saturating_sub(kept.since_ms);
    let remaining = kept.until_ms.map(|until| until.saturating_sub(now_ms));
    (rank, millis(age), remaining.map(millis))
}

impl SanctionChange {
    fn of(event: &Event) -> Option<Self> {
        let Event::Moderated { actor, rank, act, target, duration, reason, lasting } = event else {
            return None;
        };
        let number = (*lasting)?;
        let (kind, is_imposed) = match act {
            Act::Ban => (Kind::Ban, true),
            Act::Unban => (Kind::Ban, false),
            Act::Mute => (Kind::Mute, true),
            Act::Unmute => (Kind::Mute, false),
            _ => return None,
        };
        let target = target.clone();
        let key = match kind {
            // the hub has taken the target
            Kind::Ban => target.parse::<BanTarget>().ok()?.key(),
            Kind::Mute => target.clone(),
        };
        let since_ms = now_ms();
        let until = |duration: &Duration| {
            since_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
        };
        let sanction = is_imposed.then(|| {
            Box::new(Sanction {
                key: key.clone(),
                target: target.clone(),
                by: actor.name().to_owned(),
                rank: rank.to_string(),
                reason: reason.clone(),
                since_ms,
                until_ms: duration.as_ref().map(until),
            })
        });
        Some(SanctionChange { number, kind, key, target, sanction })
    }

    fn write(&self, moderation: &Moderation, now_ms: i64) -> Result<(), StoreError> {
        match &self.sanction {
            Some(sanction) => moderation.set(self.kind, sanction, now_ms),
            None => moderation.remove(self.kind, &self.key).map(drop),
        }
    }

    fn act(&self) -> &'static str {
        match (self.kind, self.sanction.is_some()) {
            (Kind::Ban, true) => "a ban",
            (Kind::Ban, false) => "the end of a ban",
            (Kind::Mute, true) => "a mute",
            (Kind::Mute, false) => "the end of a mute",
        }
    }

    fn key(&self) -> Key {
        (self.kind, self.key.clone())
    }

    /// The bytes of its texts.
    fn text_bytes(&self) -> usize {
        let texts = |sanction: &Sanction| {
            let Sanction { key, target, by, rank, reason, .. } = sanction;
            key.len() + target.len() + by.len() + rank.len() + reason.len()
        };
        // two copies of the key are in the queue
        3 * self.key.len() + self.target.len() + self.sanction.as_deref().map_or(0, texts)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tracing_subscriber::filter::LevelFilter;

    use super::*;
    use crate::audit::tests::moderated;
    use crate::fixtures::{open, sanction};
    use crate::journal::tests::{split_counts, written};
    use crate::test_dir::TempDir;

    fn ban(target: &str, reason: &str) -> SanctionChange {
        SanctionChange::of(&moderated(Act::Ban, target, None, reason)).unwrap()
    }

    /// The next change, if one waits.
    fn next(queue: &SanctionQueue) -> Option<SanctionChange> {
        queue.next(Duration::ZERO).unwrap().map(|waiting| waiting.change)
    }

    #[test]
    fn the_last_change_of_a_ban_is_written_alone() {
        let queue = SanctionQueue::new();
        for _ in 0..1_000 {
            queue.push("alice", ban("bob", "spam")).unwrap();
            queue.push("alice", ban("carol", "spam")).unwrap();
            let unban = SanctionChange::of(&moderated(Act::Unban, "B0B", None, "")).unwrap();
            queue.push("alice", unban).unwrap();
        }
        let unban = next(&queue).unwrap();
        assert_eq!((&*unban.target, unban.sanction), ("B0B", None));
        let ban = next(&queue).unwrap();
        assert_eq!((&*ban.target, ban.sanction.is_some()), ("carol", true));
        assert!(next(&queue).is_none());
        let state = queue.state();
        assert_eq!((state.usage.bytes, state.owners.len(), state.order.len()), (0, 0, 0));
    }

    #[test]
    fn the_order_of_the_hub_counts_in_whatever_order_changes_come() {
        let act = |act| SanctionChange::of(&moderated(act, "bob", None, "")).unwrap();
        // whether the later one was written or waits
        for is_written in [true, false] {
            let queue = SanctionQueue::new();
            let (first, lifted, other) = (act(Act::Ban), act(Act::Unban), ban("carol", ""));
            assert!(first.number < lifted.number && lifted.number < other.number);
            queue.push("alice", other).unwrap();
            queue.push("alice", lifted).unwrap();
            let written = if is_written { vec![next(&queue), next(&queue)] } else { Vec::new() };
            queue.push("bob", first).unwrap();
            let rest: Vec<_> = std::iter::from_fn(|| next(&queue)).map(Some).collect();
            let all: Vec<SanctionChange> = written.into_iter().chain(rest).flatten().collect();
            let all: Vec<_> = all.iter().map(|c| (&*c.target, c.sanction.is_some())).collect();
            assert_eq!(all, [("carol", true), ("bob", false)], "{is_written}");
            queue.push("alice", act(Act::Ban)).unwrap();
            assert!(next(&queue).is_some(), "a later one is written");
        }
    }

    #[test]
    fn changes_that_came_early_are_remembered_until_those_before_them_came() {
        let (mut arrivals, key) = (Arrivals::default(), (Kind::Ban, "name bob".to_owned()));
        let other = (Kind::Ban, "name carol".to_owned());
        for number in (2..1_000).rev() {
            assert_eq!(arrivals.is_late(number, &key), number < 999);
        }
        assert!(!arrivals.is_late(1, &other) && arrivals.early.is_empty());
        // numbers that never come
        for number in (2_000..40_000).step_by(2) {
            assert!(!arrivals.is_late(number, &key));
        }
        assert!(arrivals.early.len() <= MOST_EARLY);
        assert!(arrivals.is_late(39_997, &key));
    }

    #[test]
    fn a_row_is_read_as_what_its_key_says_and_one_that_was_misread_is_corrected() {
        let directory = TempDir::new();
        let moderation = open(&directory).moderation().unwrap();
        for (key, target) in [
            ("name bob", "bob"),
            ("name l92.0.2.7", "192.0.2.7"),
            ("net 0.0.0.0/0", " 0.0.0.0/0 "),
            ("net 192.0.2.0/24", "192.0.2.0/24"),
            ("name an older key", "zed"),
        ] {
            let kept = Sanction { key: key.to_owned(), ..sanction(target, None) };
            moderation.set(Kind::Ban, &kept, 0).unwrap();
        }
        let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
        restore(&moderation, &server.handle()).unwrap();
        let shown: Vec<_> =
            server.handle().bans().iter().map(|ban| ban.target.to_string()).collect();
        let expected = ["\"0.0.0.0/0\"", "bob", "\"192.0.2.7\"", "zed", "192.0.2.0/24"];
        assert_eq!(shown.len(), expected.len(), "{shown:?}");
        assert!(expected.iter().all(|target| shown.iter().any(|s| s == target)), "{shown:?}");
        // the keys are those of the targets, by which they are lifted
        let rows = moderation.all(Kind::Ban, 0).unwrap();
        assert!(
            rows.iter().all(|row| row.target.parse::<BanTarget>().unwrap().key() == row.key),
            "{rows:?}"
        );
    }

    #[test]
    fn a_row_of_a_name_with_several_looks_gets_the_key_of_all_and_none_is_lost() {
        let directory = TempDir::new();
        let moderation = open(&directory).moderation().unwrap();
        // as older versions wrote them: the first look alone
        let rows = [("name vlck", "\u{3bd}ick"), ("name uurl", "uuri"), ("name x", "\u{3a5}uri")];
        for (key, target) in rows {
            let kept = Sanction { key: key.to_owned(), ..sanction(target, None) };
            moderation.set(Kind::Ban, &kept, 0).unwrap();
        }
        let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
        // the second start finds what the first one wrote
        for _ in 0..2 {
            restore(&moderation, &server.handle()).unwrap();
            let rows = moderation.all(Kind::Ban, 0).unwrap();
            let rows: Vec<_> = rows.iter().map(|row| (&*row.key, &*row.target)).collect();
            let expected = [
                ("name uurl", "uuri"),
                ("name uurl\tyurl", "\u{3a5}uri"),
                ("name vlck\tnlck", "\u{3bd}ick"),
            ];
            assert_eq!(rows, expected);
            assert_eq!(server.handle().bans().len(), expected.len());
        }
    }

    #[test]
    fn waiting_changes_have_a_bound_and_a_moderator_leaves_room_for_others() {
        let queue = SanctionQueue::new();
        let reason = "x".repeat(256);
        let push = |by: &str, target: String| queue.push(by, ban(&target, &reason)).is_ok();
        let pushed = (0..20_000).filter(|number| push("mallory", format!("user {number}"))).count();
        assert!(queue.state().usage.bytes <= MOST / OWNER_SHARE, "{}", queue.state().usage.bytes);
        assert_eq!(queue.state().order.len(), pushed);
        assert!(push("alice", "bob".to_owned()));
        for number in 0..20_000 {
            push(&format!("moderator {}", number % 100), format!("another {number}"));
        }
        let state = queue.state();
        assert!(state.usage.bytes <= MOST && state.usage.bytes > MOST / 2, "{}", state.usage.bytes);
        assert_eq!(state.order.len(), state.changes.len());
    }

    #[test]
    fn a_flood_of_lost_changes_has_a_few_lines_which_say_what_is_lost() {
        let (mut lost, begun) = (0, Instant::now());
        let lines = written(LevelFilter::ERROR, |journal, _| {
            let reason = "x".repeat(256);
            let sanctions =
                Sanctions { queue: Arc::new(SanctionQueue::new()), journal: Arc::clone(journal) };
            for number in 0..3_000 {
                sanctions.observe(&moderated(Act::Ban, &format!("user {number}"), None, &reason));
            }
            let queued = sanctions.queue.state().order.len();
            assert!((100..1_000).contains(&queued), "{queued}");
            lost = 3_000 - queued;
            journal.close();
        });
        let (counts, each) =
            split_counts(&lines, "ERROR bans and mutes that end with the server: ");
        assert_eq!(each.len() + counts.iter().sum::<usize>(), lost);
        assert!(each.len() as u64 <= 10 * (begun.elapsed().as_secs() + 2), "{}", each.len());
        assert!(each[0].starts_with("ERROR a ban will not outlive the server: too many changes"));
        assert!(each[0].contains(r#"target="user "#) && each[0].contains(r#"by="alice""#));
    }

    #[test]
    fn what_has_run_out_is_removed_while_the_server_runs() {
        let directory = TempDir::new();
        let store = open(&directory);
        let (moderation, kinds) = (store.moderation().unwrap(), [Kind::Ban, Kind::Mute]);
        for kind in kinds {
            moderation.set(kind, &sanction("bob", Some(1)), 0).unwrap();
        }
        let journal = Arc::new(Journal::new(LevelFilter::OFF));
        let often = Duration::from_millis(1);
        let _sanctions =
            Sanctions::start_with(store.moderation().unwrap(), journal, often).unwrap();
        let begun = Instant::now();
        // `0` is a time at which both were in force
        let is_empty = |kind| moderation.all(kind, 0).unwrap().is_empty();
        while !kinds.into_iter().all(is_empty) {
            assert!(begun.elapsed() < Duration::from_secs(60), "they are never removed");
            thread::sleep(often);
        }
    }

    #[test]
    fn the_end_does_not_wait_beyond_its_limit_for_a_disk_that_stalls() {
        let queue = SanctionQueue::new();
        queue.push("alice", ban("bob", "spam")).unwrap();
        queue.push("alice", ban("carol", "spam")).unwrap();
        assert!(next(&queue).is_some());
        assert_eq!(queue.wait_until_written(Duration::ZERO), 2);
        queue.note_written();
        assert!(next(&queue).is_some());
        queue.note_written();
        assert_eq!(queue.wait_until_written(Duration::ZERO), 0);
    }

    #[test]
    fn waiting_changes_take_the_memory_that_they_account_for() {
        use crate::heap::Heap;
        for (name, reason) in [(1, 0), (20, 100), (60, 1_000), (1_000, 0)] {
            let (heap, queue) = (Heap::now(), SanctionQueue::new());
            let (name, reason) = ("n".repeat(name), "x".repeat(reason));
            for number in 0..40_000 {
                let by = format!("{number:05}{name}");
                let change = match number % 2 {
                    0 => ban(&by, &reason),
                    _ => SanctionChange::of(&moderated(Act::Unmute, &by, None, "")).unwrap(),
                };
                // most are beyond the bound
                let _ = queue.push(&by, change);
            }
            heap.assert_within(MOST, "changes");
            assert!(queue.state().usage.bytes > MOST / 2);
        }
    }
}
