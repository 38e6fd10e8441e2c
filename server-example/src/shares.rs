//! Budgets by owner and time: each owner has a number of entries a second and of bytes a day, and
//! so have all together. Entries beyond a budget are counted for their owner. It is pure: time is
//! passed in.
//!
//! The audit log has one for each class of entries, and the server's log has one for acts.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use shared::text::cut;
use shared::usage::Usage;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Owners with a count of their own in one report; the others share one.
const NAMED: usize = 8;
/// Bytes that a reported count takes of the budget of the day, in bytes. The audit log's line is shorter.
const COUNT_BYTES: usize = 512;
/// The most bytes of an owner's name that tell it apart.
const OWNER_BYTES: usize = 128;
/// The most that an owner takes of memory: its name in the table and in its count, and a hash table
/// has room for up to 16/7 of its entries.
const OWNER_COST: usize = 2 * OWNER_BYTES + size_of::<(Box<str>, Owner)>() * 16 / 7;

/// How much may be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Entries of one owner in a second.
    pub(crate) owner_per_second: u32,
    /// Entries of all in a second.
    pub(crate) per_second: u32,
    /// Bytes of one owner in 24 hours.
    pub(crate) owner_per_day: usize,
    /// Bytes of all in 24 hours.
    pub(crate) per_day: usize,
    /// Owners that are told apart in 24 hours. Further ones are one owner.
    pub(crate) owners: usize,
}

/// Entries of one owner that were counted and not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// None if they are of several owners.
    pub(crate) owner: Option<Box<str>>,
    pub(crate) count: u64,
    /// When the first and the last of them were due.
    pub(crate) first: SystemTime,
    pub(crate) last: SystemTime,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct Shares {
    rules: Rules,
    /// When the current second, and the current day, began.
    second: Instant,
    day: Instant,
    /// When counts were last reported.
    reported: Instant,
    total: Spent,
    owners: HashMap<Box<str>, Owner>,
    /// All that are not in `owners`.
    others: Owner,
}

#[derive(Debug, Default)]
struct Spent {
    in_second: u32,
    in_day: usize,
}

#[derive(Debug, Default)]
struct Owner {
    spent: Spent,
    hidden: Option<Hidden>,
    /// When its count was last reported.
    reported: Option<Instant>,
}

impl Shares {
    pub(crate) fn new(rules: Rules, now: Instant) -> Self {
        Shares {
            rules,
            second: now,
            day: now,
            reported: now,
            total: Spent::default(),
            owners: HashMap::new(),
            others: Owner::default(),
        }
    }

    /// Whether an entry of this size may be written. If not, it is counted.
    pub(crate) fn admit(&mut self, owner: &str, bytes: usize, now: Instant) -> bool {
        self.advance(now);
        let rules = self.rules;
        let name = cut(owner, OWNER_BYTES);
        let is_known = self.owners.contains_key(name);
        let (entry, name) = if is_known || self.owners.len() < rules.owners {
            (self.owners.entry(name.into()).or_default(), Some(name))
        } else {
            (&mut self.others, None)
        };
        let is_admitted = entry.spent.in_second < rules.owner_per_second
            && self.total.in_second < rules.per_second
            && entry.spent.in_day.saturating_add(bytes) <= rules.owner_per_day
            && self.total.in_day.saturating_add(bytes) <= rules.per_day;
        if is_admitted {
            for spent in [&mut entry.spent, &mut self.total] {
                spent.in_second += 1;
                spent.in_day += bytes;
            }
        } else {
            entry.hide(name, 1, SystemTime::now());
        }
        is_admitted
    }

    /// The counts of the seconds that are over. An owner whose day is used up has one an hour.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Hidden> {
        if now.saturating_duration_since(self.reported) < SECOND {
            return Vec::new();
        }
        self.reported = now;
        self.advance(now);
        self.report(now, false)
    }

    /// All counts that were not reported.
    pub(crate) fn close(&mut self, now: Instant) -> Vec<Hidden> {
        self.report(now, true)
    }

    /// Bytes that the owners take of memory.
    pub(crate) fn owners_usage(&self) -> Usage {
        Usage { bytes: self.owners.len() * OWNER_COST, most: self.rules.owners * OWNER_COST }
    }

    /// The used part of the budget of the day.
    pub(crate) fn usage(&self) -> Usage {
        Usage { bytes: self.total.in_day, most: self.rules.per_day }
    }

    fn report(&mut self, now: Instant, is_last: bool) -> Vec<Hidden> {
        let rules = self.rules;
        let mut counts: Vec<Hidden> = Vec::new();
        for owner in self.owners.values_mut().chain([&mut self.others]) {
            if owner.hidden.is_none() {
                continue;
            }
            let has_room = owner.spent.in_day.saturating_add(COUNT_BYTES) <= rules.owner_per_day
                && self.total.in_day.saturating_add(COUNT_BYTES) <= rules.per_day;
            let is_due = owner.reported.is_none_or(|at| now.saturating_duration_since(at) >= HOUR);
            if !has_room && !is_due && !is_last {
                continue;
            }
            owner.reported = Some(now);
            let Some(hidden) = owner.hidden.take() else { continue };
            if let Some(rest) = counts.get_mut(NAMED) {
                rest.owner = None;
                rest.count += hidden.count;
                rest.first = rest.first.min(hidden.first);
                rest.last = rest.last.max(hidden.last);
            } else {
                owner.spent.in_day = owner.spent.in_day.saturating_add(COUNT_BYTES);
                self.total.in_day = self.total.in_day.saturating_add(COUNT_BYTES);
                counts.push(hidden);
            }
        }
        counts
    }

    fn advance(&mut self, now: Instant) {
        if now.saturating_duration_since(self.day) >= DAY {
            self.day = now;
            self.total.in_day = 0;
            self.others.spent.in_day = 0;
            self.owners.retain(|_, owner| {
                owner.spent.in_day = 0;
                owner.hidden.is_some()
            });
        }
        if now.saturating_duration_since(self.second) >= SECOND {
            self.second = now;
            self.total.in_second = 0;
            for owner in self.owners.values_mut().chain([&mut self.others]) {
                owner.spent.in_second = 0;
            }
        }
    }
}

impl Owner {
    fn hide(&mut self, name: Option<&str>, count: u64, now: SystemTime) {
        let hidden = self.hidden.get_or_insert_with(|| Hidden {
            owner: name.map(Into::into),
            count: 0,
            first: now,
            last: now,
        });
        hidden.count += count;
        hidden.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        owner_per_second: 10,
        per_second: 100,
        owner_per_day: 10_000,
        per_day: 100_000,
        owners: 50,
    };

    fn admitted(shares: &mut Shares, owner: &str, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| shares.admit(owner, 1, now)).count()
    }

    fn counts(hidden: &[Hidden]) -> Vec<(Option<&str>, u64)> {
        hidden.iter().map(|hidden| (hidden.owner.as_deref(), hidden.count)).collect()
    }

    #[test]
    fn a_flood_of_one_owner_is_counted_and_takes_nothing_from_another() {
        let start = Instant::now();
        let mut shares = Shares::new(RULES, start);
        assert_eq!(admitted(&mut shares, "mallory", 1_000, start), 10);
        assert_eq!(admitted(&mut shares, "alice", 5, start), 5);
        assert_eq!(shares.tick(start), []);
        assert_eq!(counts(&shares.tick(start + SECOND)), [(Some("mallory"), 990)]);
        assert_eq!(shares.tick(start + 2 * SECOND), []);
        assert_eq!(admitted(&mut shares, "mallory", 1_000, start + 2 * SECOND), 10);
    }

    #[test]
    fn many_owners_together_have_a_bound_in_a_second_and_in_memory() {
        let start = Instant::now();
        let mut shares = Shares::new(RULES, start);
        let all: usize = (0..1_000)
            .map(|number| admitted(&mut shares, &format!("user {number}"), 3, start))
            .sum();
        assert_eq!(all, 100);
        assert_eq!(shares.owners.len(), 50);
        let hidden = shares.tick(start + SECOND);
        assert_eq!(hidden.len(), NAMED + 1);
        assert_eq!(hidden.last().unwrap().owner, None);
        assert_eq!(hidden.iter().map(|hidden| hidden.count).sum::<u64>(), 2_900);
    }

    #[test]
    fn a_used_up_day_leaves_a_count_an_hour_until_the_next_day() {
        let start = Instant::now();
        let mut shares = Shares::new(RULES, start);
        let (mut now, mut written, mut reports) = (start, 0, 0);
        let mut bytes_of = |from: Instant, seconds: u64| {
            let (mut bytes, mut lines) = (0, 0);
            for second in 0..seconds {
                now = from + SECOND * u32::try_from(second).unwrap();
                bytes += (0..20).filter(|_| shares.admit("mallory", 100, now)).count() * 100;
                lines += shares.tick(now).len();
            }
            (bytes, lines)
        };
        for hour in 0..24 {
            let (bytes, lines) = bytes_of(start + HOUR * hour, 3_600);
            written += bytes;
            reports += lines;
        }
        assert!(written <= RULES.owner_per_day, "{written}");
        assert!((20..50).contains(&reports), "{reports}");
        let (bytes, _) = bytes_of(start + DAY, 10);
        assert!(bytes > 0, "a new day has a new budget");
    }

    #[test]
    fn one_owner_does_not_use_up_the_day_of_the_others() {
        let start = Instant::now();
        let mut shares = Shares::new(RULES, start);
        assert!(!shares.admit("mallory", RULES.owner_per_day + 1, start));
        assert!(shares.admit("mallory", RULES.owner_per_day, start));
        assert!(!shares.admit("mallory", 1, start));
        assert!(shares.admit("alice", RULES.owner_per_day, start));
        let usage = shares.usage();
        assert_eq!((usage.bytes, usage.most), (20_000, 100_000));
    }

    #[test]
    fn the_last_report_has_all_counts() {
        let start = Instant::now();
        let mut shares = Shares::new(RULES, start);
        admitted(&mut shares, "mallory", 15, start);
        assert_eq!(counts(&shares.close(start)), [(Some("mallory"), 5)]);
    }
}
