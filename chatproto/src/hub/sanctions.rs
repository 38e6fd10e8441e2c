//! Bans and mutes, as long as they hold.
//!
//! Moderators are peers too: the bytes of their bans and mutes are bounded, for each moderator and in
//! total. Those of the operator are counted, and never refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::time::Instant;

use ipnet::IpNet;

use crate::name::{LookalikeKeys, UserName};

use super::Rank;
use super::sanction::{Full, Sanction};
use super::target::Target;
use super::usage::{in_tree, share};

/// One moderator may use this part of [`Limits::sanctions_total`](crate::Limits::sanctions_total),
/// and this part when it is nearly full (see [`share`]).
const MOST: usize = 8;
const LEAST: usize = 256;

/// At most this many entries that are over are removed in one call, so that no call takes long
/// after many ended at one time. More than one for each new entry, so that all get removed.
const REMOVED_AT_ONCE: usize = 256;

/// Bans and mutes.
#[derive(Debug, Default)]
pub(super) struct Sanctions {
    /// The bans that hold: of each target one.
    bans: BTreeMap<Target, Box<Entry>>,
    /// The bans beneath those of the configuration: they hold again when those are withdrawn or over.
    covered: BTreeMap<Target, Box<Entry>>,
    /// The other keys of banned names, each before all keys of its name.
    other_keys: BTreeSet<(Box<str>, LookalikeKeys)>,
    mutes: BTreeMap<UserName, Box<Entry>>,
    /// The entries that end, in the order in which they do.
    ends: BTreeMap<(Instant, u64), Key>,
    /// Bytes that the entries of each moderator take.
    makers: BTreeMap<Box<str>, usize>,
    /// Of the last entry.
    number: u64,
    /// The number of the last act that is to be stored.
    acts: u64,
    bytes: usize,
    /// Those that do not hold any more and were not [taken](Sanctions::take_lifted), if that is asked
    /// for.
    lifted: Vec<Lifted>,
    keeps_lifted: bool,
}

/// A ban or a mute that holds no longer.
#[derive(Debug)]
pub(super) enum Lifted {
    /// With the target as it was given.
    Ban(Target, String),
    /// A ban of the configuration, and the one beneath it holds again.
    Cover(Target),
    Mute(UserName),
}

/// A ban or a mute, and what it takes.
#[derive(Debug)]
struct Entry {
    sanction: Sanction,
    number: u64,
    bytes: usize,
}

#[derive(Debug)]
enum Key {
    Ban(Target),
    Covered(Target),
    Mute(UserName),
}

impl Target {
    /// Bytes of its keys, behind itself.
    fn text_len(&self) -> usize {
        let Target::Name(keys) = self else { return 0 };
        let others: usize = keys.others().map(|key| size_of::<Box<str>>() + key.len()).sum();
        keys.first().len() + others
    }

    /// Bytes by which its other keys are found.
    fn index_len(&self) -> usize {
        let Target::Name(keys) = self else { return 0 };
        let entry = in_tree::<(Box<str>, LookalikeKeys)>() + self.text_len();
        keys.others().map(|key| entry + key.len()).sum()
    }

    /// Each other key of a name, with all of them.
    fn other_keys(&self) -> impl Iterator<Item = (Box<str>, LookalikeKeys)> {
        let keys = match self {
            Target::Name(keys) => Some(keys),
            Target::Net(_) => None,
        };
        keys.into_iter().flat_map(|keys| keys.others().map(|key| (key.into(), keys.clone())))
    }
}

impl Entry {
    /// `key` is the length of its key's text.
    fn new(mut sanction: Sanction, key: usize, table: usize) -> Self {
        for text in [&mut sanction.shown, &mut sanction.by, &mut sanction.reason] {
            text.shrink_to_fit();
        }
        let texts = sanction.shown.len() + sanction.by.len() + sanction.reason.len();
        let end = match sanction.until.0 {
            Some(_) => in_tree::<((Instant, u64), Key)>() + key,
            None => 0,
        };
        // the name by which the maker is counted, in the sanction and in the table
        let counted = sanction.maker.as_ref().map_or(sanction.by.len(), |maker| 2 * maker.len());
        let maker = counted + in_tree::<(Box<str>, usize)>();
        let bytes = table + size_of::<Entry>() + texts + key + end + maker;
        Entry { sanction, number: 0, bytes }
    }

    /// The moderator that it counts for; none for the operator.
    fn maker(&self) -> Option<&str> {
        let Sanction { by, maker, rank, .. } = &self.sanction;
        (*rank < Rank::Operator).then(|| maker.as_deref().unwrap_or(by))
    }
}

impl Sanctions {
    /// Bytes that all entries take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of an act that is to be stored: the store learns of acts in another order.
    pub(super) fn number_act(&mut self) -> u64 {
        self.acts += 1;
        self.acts
    }

    /// The ban that shuts out this name.
    pub(super) fn ban_of_name(&self, name: &str, now: Instant) -> Option<&Sanction> {
        if self.bans.is_empty() {
            return None;
        }
        self.ban_that_holds_for(&Target::name(name), now).map(|(_, ban)| ban)
    }

    /// The ban of this target. If it is a name that is not banned, a ban that shuts it out: that of a name
    /// that looks like it.
    pub(super) fn ban_that_holds_for(
        &self,
        target: &Target,
        now: Instant,
    ) -> Option<(Target, &Sanction)> {
        match target {
            Target::Name(keys) => {
                let own = self.ban(target, now).map(|ban| (target.clone(), ban));
                own.or_else(|| self.ban_of_keys(keys, now))
            }
            Target::Net(_) => Some((target.clone(), self.ban(target, now)?)),
        }
    }

    /// A ban of a name that has one of the keys. An earlier key counts before others. A name that has it as
    /// its first key comes before other names.
    fn ban_of_keys(&self, keys: &LookalikeKeys, now: Instant) -> Option<(Target, &Sanction)> {
        keys.iter().find_map(|key| {
            let of_first = self.bans_with_first(key, now).next();
            of_first.or_else(|| self.bans_with_other(key, now).next())
        })
    }

    /// The bans of the names of which this is the first key.
    fn bans_with_first(
        &self,
        key: &str,
        now: Instant,
    ) -> impl Iterator<Item = (Target, &Sanction)> {
        let from = Target::Name(LookalikeKeys::of_first(key));
        let has_key =
            move |target: &Target| matches!(target, Target::Name(keys) if keys.first() == key);
        let found = self.bans.range(from..).take_while(move |(target, _)| has_key(target));
        let found = found.map(|(target, entry)| (target.clone(), &entry.sanction));
        found.filter(move |(_, ban)| !ban.until.is_over(now))
    }

    /// The bans of the names of which this is another key.
    fn bans_with_other(
        &self,
        key: &str,
        now: Instant,
    ) -> impl Iterator<Item = (Target, &Sanction)> {
        let has_others = !self.other_keys.is_empty();
        let from = has_others.then(|| (Box::from(key), LookalikeKeys::of_first("")));
        let found = from.into_iter().flat_map(|from| self.other_keys.range(from..));
        let found = found.take_while(move |(other, _)| **other == *key);
        found.filter_map(move |(_, keys)| {
            let target = Target::Name(keys.clone());
            self.ban(&target, now).map(|ban| (target, ban))
        })
    }

    /// The ban that shuts out this address: the one of the smallest network.
    pub(super) fn ban_of_address(&self, address: IpAddr, now: Instant) -> Option<&Sanction> {
        if self.bans.is_empty() {
            return None;
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (0..=longest).rev().find_map(|prefix| {
            let net = IpNet::new(address, prefix).ok()?.trunc();
            self.ban(&Target::Net(net), now)
        })
    }

    /// The ban of exactly this target.
    pub(super) fn ban(&self, target: &Target, now: Instant) -> Option<&Sanction> {
        let ban = self.bans.get(target).map(|entry| &entry.sanction);
        ban.filter(|ban| !ban.until.is_over(now))
    }

    /// Adds a ban, in place of one of the same target. One of the configuration covers one that is not.
    /// All entries may take `total` bytes, unless it is the operator's. Whether it holds: it does not if
    /// it is covered.
    ///
    /// # Errors
    /// [`Full`], if there is no room: nothing was changed.
    pub(super) fn add_ban(
        &mut self,
        target: Target,
        ban: Sanction,
        total: Option<usize>,
        now: Instant,
    ) -> Result<bool, Full> {
        self.expire(now);
        if self.bans.get(&target).is_some_and(|entry| entry.sanction.until.is_over(now)) {
            self.lift_ban(&target, now);
        }
        let is_configured = ban.is_configured;
        let table = in_tree::<(Target, Box<Entry>)>() + target.index_len();
        let entry = Entry::new(ban, target.text_len(), table);
        let top = self.bans.get(&target).map(|top| top.sanction.is_configured);
        if top == Some(true) && !is_configured {
            self.check(self.covered.get(&target).map(Box::as_ref), &entry, total)?;
            self.take_covered(&target);
            let entry = self.count(entry, || Key::Covered(target.clone()));
            self.covered.insert(target, entry);
            return Ok(false);
        }
        if top == Some(false) && is_configured {
            self.cover(&target);
        }
        self.check(self.bans.get(&target).map(Box::as_ref), &entry, total)?;
        self.take_ban(&target);
        let entry = self.count(entry, || Key::Ban(target.clone()));
        self.put_ban(target, entry);
        Ok(true)
    }

    /// Removes the bans of a target, a covered one too. Returns the one that was in force.
    pub(super) fn remove_ban(&mut self, target: &Target, now: Instant) -> Option<Sanction> {
        self.take_covered(target);
        self.lift_ban(target, now).filter(|ban| !ban.until.is_over(now))
    }

    /// Removes the ban of the configuration, and not one that it covers. Whether there was one.
    pub(super) fn withdraw_ban(&mut self, target: &Target, now: Instant) -> bool {
        let is_configured = self.bans.get(target).is_some_and(|entry| entry.sanction.is_configured);
        is_configured && self.lift_ban(target, now).is_some_and(|ban| !ban.until.is_over(now))
    }

    /// The bans behind a target, in order.
    pub(super) fn bans_from(
        &self,
        from: Bound<&Target>,
        now: Instant,
    ) -> impl Iterator<Item = (&Target, &Sanction)> {
        let bans = self.bans.range((from, Bound::Unbounded));
        let bans = bans.map(|(target, entry)| (target, &entry.sanction));
        bans.filter(move |(_, ban)| !ban.until.is_over(now))
    }

    /// Each ban, with whom it is for.
    pub(super) fn bans(&self, now: Instant) -> impl Iterator<Item = (&Target, &Sanction)> {
        self.bans_from(Bound::Unbounded, now)
    }

    /// Whether any name is muted, or was until a moment ago.
    pub(super) fn has_mutes(&self) -> bool {
        !self.mutes.is_empty()
    }

    /// The mute of this name, if there is one.
    pub(super) fn mute_of(&self, name: &str, now: Instant) -> Option<&Sanction> {
        let mute = self.mutes.get(name).map(|entry| &entry.sanction);
        mute.filter(|mute| !mute.until.is_over(now))
    }

    /// Adds a mute, in place of one of the same name: otherwise as [`Sanctions::add_ban`].
    pub(super) fn add_mute(
        &mut self,
        name: &UserName,
        mute: Sanction,
        total: Option<usize>,
        now: Instant,
    ) -> Result<(), Full> {
        self.expire(now);
        let entry = Entry::new(mute, name.as_str().len(), in_tree::<(UserName, Box<Entry>)>());
        self.check(self.mutes.get(name).map(Box::as_ref), &entry, total)?;
        self.take_mute(name);
        let entry = self.count(entry, || Key::Mute(name.clone()));
        self.mutes.insert(name.clone(), entry);
        Ok(())
    }

    /// The mutes behind a name, in order.
    pub(super) fn mutes_from(
        &self,
        from: Bound<&UserName>,
        now: Instant,
    ) -> impl Iterator<Item = (&UserName, &Sanction)> {
        let mutes = self.mutes.range::<UserName, _>((from, Bound::Unbounded));
        let mutes = mutes.map(|(name, entry)| (name, &entry.sanction));
        mutes.filter(move |(_, mute)| !mute.until.is_over(now))
    }

    pub(super) fn mutes(&self, now: Instant) -> impl Iterator<Item = (&UserName, &Sanction)> {
        self.mutes_from(Bound::Unbounded, now)
    }

    /// Returns the one that there was.
    pub(super) fn remove_mute(&mut self, name: &UserName, now: Instant) -> Option<Sanction> {
        self.lift_mute(name).filter(|mute| !mute.until.is_over(now))
    }

    /// Removes entries that are over, but not all at once. Whether there may be more.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        for _ in 0..REMOVED_AT_ONCE {
            let Some(first) = self.ends.first_entry().filter(|first| first.key().0 <= now) else {
                return false;
            };
            match first.remove() {
                Key::Ban(target) => drop(self.lift_ban(&target, now)),
                Key::Covered(target) => drop(self.take_covered(&target)),
                Key::Mute(name) => drop(self.lift_mute(&name)),
            }
        }
        true
    }

    /// When the next entry ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first_key_value().map(|(&(end, _), _)| end)
    }

    /// Whether entries that do not hold any more are remembered for [`Sanctions::take_lifted`].
    pub(super) fn set_keeps_lifted(&mut self, keeps_lifted: bool) {
        (self.keeps_lifted, self.lifted) = (keeps_lifted, Vec::new());
    }

    /// Takes the entries that do not hold any more, in the order in which they were removed.
    pub(super) fn take_lifted(&mut self) -> Vec<Lifted> {
        std::mem::take(&mut self.lifted)
    }

    /// Checks the counters against what is there.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_counters(&self) {
        let (mut bytes, mut ends) = (0, 0);
        let mut makers = BTreeMap::<Box<str>, usize>::new();
        let bans = self.bans.values().chain(self.covered.values());
        for entry in bans.chain(self.mutes.values()) {
            bytes += entry.bytes;
            ends += usize::from(entry.sanction.until.0.is_some());
            if let Some(maker) = entry.maker() {
                *makers.entry(maker.into()).or_default() += entry.bytes;
            }
        }
        assert_eq!((self.bytes, self.ends.len()), (bytes, ends));
        assert_eq!(self.makers, makers);
        assert!(
            self.other_keys.iter().cloned().eq(self
                .bans
                .keys()
                .flat_map(Target::other_keys)
                .collect::<BTreeSet<_>>())
        );
    }

    /// Whether there is room for an entry in place of an `old` one.
    fn check(&self, old: Option<&Entry>, new: &Entry, total: Option<usize>) -> Result<(), Full> {
        let (Some(maker), Some(total)) = (new.maker(), total) else { return Ok(()) };
        let freed = old.map_or(0, |old| old.bytes);
        let is_own = |old: &&Entry| old.maker() == Some(maker);
        let freed_of_maker = old.filter(is_own).map_or(0, |old| old.bytes);
        let used = self.bytes - freed;
        if used.saturating_add(new.bytes) > total {
            return Err(Full::Total);
        }
        let own = self.makers.get(maker).map_or(0, |own| own - freed_of_maker);
        if own + new.bytes > total / MOST {
            return Err(Full::Maker);
        }
        if own + new.bytes > share(total / MOST, total / LEAST, used, total) {
            return Err(Full::Total);
        }
        Ok(())
    }

    /// Counts a new entry, and remembers when it ends.
    fn count(&mut self, mut entry: Entry, key: impl FnOnce() -> Key) -> Box<Entry> {
        self.number += 1;
        self.bytes += entry.bytes;
        if let Some(maker) = entry.maker() {
            match self.makers.get_mut(maker) {
                Some(own) => *own += entry.bytes,
                None => drop(self.makers.insert(maker.into(), entry.bytes)),
            }
        }
        if let Some(until) = entry.sanction.until.0 {
            self.ends.insert((until, self.number), key());
        }
        entry.number = self.number;
        Box::new(entry)
    }

    fn lift_ban(&mut self, target: &Target, now: Instant) -> Option<Sanction> {
        let ban = self.take_ban(target)?;
        let is_uncovered = self.uncover(target, now);
        if self.keeps_lifted {
            self.lifted.push(match is_uncovered {
                true => Lifted::Cover(target.clone()),
                false => Lifted::Ban(target.clone(), ban.shown.clone()),
            });
        }
        Some(ban)
    }

    /// The ban of a target holds no longer, but is not lifted.
    fn cover(&mut self, target: &Target) {
        let Some((target, entry)) = self.pull_ban(target) else { return };
        if let Some(until) = entry.sanction.until.0 {
            self.ends.insert((until, entry.number), Key::Covered(target.clone()));
        }
        self.covered.insert(target, entry);
    }

    /// The ban of a target that was covered holds again. Whether there is one.
    fn uncover(&mut self, target: &Target, now: Instant) -> bool {
        let Some((target, entry)) = self.covered.remove_entry(target) else { return false };
        if entry.sanction.until.is_over(now) {
            self.uncount(*entry);
            return false;
        }
        if let Some(until) = entry.sanction.until.0 {
            self.ends.insert((until, entry.number), Key::Ban(target.clone()));
        }
        self.put_ban(target, entry);
        true
    }

    fn take_covered(&mut self, target: &Target) -> Option<Sanction> {
        let entry = self.covered.remove(target)?;
        Some(self.uncount(*entry))
    }

    fn lift_mute(&mut self, name: &UserName) -> Option<Sanction> {
        let mute = self.take_mute(name)?;
        if self.keeps_lifted {
            self.lifted.push(Lifted::Mute(name.clone()));
        }
        Some(mute)
    }

    fn take_ban(&mut self, target: &Target) -> Option<Sanction> {
        let (_, entry) = self.pull_ban(target)?;
        Some(self.uncount(*entry))
    }

    /// Puts a ban among those that hold.
    fn put_ban(&mut self, target: Target, entry: Box<Entry>) {
        self.other_keys.extend(target.other_keys());
        self.bans.insert(target, entry);
    }

    /// The opposite of [`Sanctions::put_ban`].
    fn pull_ban(&mut self, target: &Target) -> Option<(Target, Box<Entry>)> {
        let (target, entry) = self.bans.remove_entry(target)?;
        for key in target.other_keys() {
            self.other_keys.remove(&key);
        }
        Some((target, entry))
    }

    fn take_mute(&mut self, name: &UserName) -> Option<Sanction> {
        let entry = self.mutes.remove(name)?;
        Some(self.uncount(*entry))
    }

    fn uncount(&mut self, entry: Entry) -> Sanction {
        self.bytes -= entry.bytes;
        if let Some(until) = entry.sanction.until.0 {
            self.ends.remove(&(until, entry.number));
        }
        if let Some(maker) = entry.maker()
            && let Some(own) = self.makers.get_mut(maker)
        {
            *own -= entry.bytes;
            if *own == 0 {
                self.makers.remove(maker);
            }
        }
        entry.sanction
    }
}

#[cfg(test)]
#[path = "sanctions_tests.rs"]
mod tests;
