//! How often passwords may be tried: a count for each account, for each address, and for each
//! address from which an account was used before. It is pure: time is passed in.
//!
//! Three failures within a minute are free; then nobody may try for 1 minute, and after each further
//! failure for 2, 4, 8 … minutes, at most an hour. A new address has to pass two counts, that of the
//! account and its own. An address from which the account was used before passes a third one alone,
//! which counts for this account and this address: whoever else guesses, there or elsewhere, does
//! not lock the owner out. Loopback is an address like others, and of IPv6 a network of 64 bits is
//! one.
//!
//! An attempt is reserved before its password is checked (see [`Throttle::reserve`]), and counts like
//! a failure until it is settled. So attempts at one time are no more than failures that are still
//! free. An attempt beyond that must not begin yet.
//!
//! Success resets what counts for the account; the count of an address it leaves alone, or whoever
//! has one account could try the passwords of all others from there. Memory is bounded in bytes: when
//! a table is full, the count goes that would be forgotten first, and that is never one with long
//! waits while there are short ones. A network has a share of each table (see [`Origin::networks`]).
//! When its share is used up, its new counts are refused, and none is forgotten for them. So nobody
//! with many addresses can make the throttle forget.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use shared::usage::Usage;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The names of the tables.
pub(crate) const TABLES: [&str; 6] = [
    "counts of wrong passwords by account",
    "counts of wrong passwords by address",
    "counts of wrong passwords by account and known address",
    "counts of registrations by address",
    "counts of registrations by site",
    "counts of registrations by region",
];
/// The most bytes of a table.
const MOST_BYTES: usize = 12 << 20;
/// The most bytes that a count takes in its table: a hash table has room for up to 16/7 of its
/// entries, and nodes of a B-tree are half full at least.
const COUNT_BYTES: usize = size_of::<(u64, Count)>() * 16 / 7
    + 3 * size_of::<(Duration, u64)>()
    + 2 * size_of::<(u64, u32)>();
const MOST_COUNTS: usize = MOST_BYTES / COUNT_BYTES;

/// A site has at most this part of each table, and a region at most that part.
const SITE_SHARE: usize = 64;
const REGION_SHARE: usize = 8;

/// An address as it is counted: of IPv6 the network of 64 bits, of an IPv4 address in IPv6 form the
/// IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    pub(crate) fn new(address: IpAddr) -> Self {
        Origin(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_unicast_link_local() => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
            // all link-local addresses are of one network
            address => address,
        })
    }

    /// As it is stored: an address, of IPv6 the first one of the network.
    pub(crate) fn address(self) -> IpAddr {
        self.0
    }

    /// The networks that it is in: a site (a /24 of IPv4, a /48 of IPv6), and a region (a /16, a
    /// /32). One owner can have a whole one of either.
    pub(crate) fn networks(self) -> [IpAddr; 2] {
        let network = |bits_v4: u32, bits_v6: u32| match self.0 {
            IpAddr::V4(address) => {
                IpAddr::from((address.to_bits() & (u32::MAX << (32 - bits_v4))).to_be_bytes())
            }
            IpAddr::V6(address) => {
                IpAddr::from((address.to_bits() & (u128::MAX << (128 - bits_v6))).to_be_bytes())
            }
        };
        [network(24, 48), network(16, 32)]
    }
}

/// How much of something is free, and what comes then.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// So many within this time are free.
    free: u32,
    within: Duration,
    /// Then one has to wait: for so long at first, twice as long after each further one.
    first_wait: Duration,
    longest_wait: Duration,
    /// When so much time has passed after the wait, everything is forgotten.
    memory: Duration,
}

/// Passwords of one account, from one address, or of both.
const PASSWORDS: Rules = Rules {
    free: 3,
    within: MINUTE,
    first_wait: MINUTE,
    longest_wait: HOUR,
    memory: Duration::from_secs(2 * 60 * 60),
};

/// Accounts made from one address.
const REGISTRATIONS: Rules = Rules {
    free: 10,
    within: HOUR,
    first_wait: Duration::from_secs(10 * 60),
    longest_wait: Duration::from_secs(24 * 60 * 60),
    memory: Duration::from_secs(24 * 60 * 60),
};

/// Accounts made from one site, and from one region, where somebody has many addresses.
const SITE_REGISTRATIONS: Rules = Rules { free: 40, ..REGISTRATIONS };
const REGION_REGISTRATIONS: Rules = Rules { free: 400, ..REGISTRATIONS };

/// Why nothing may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There were too many; how long to wait.
    Wait(Duration),
    /// Others are under way, and have to end first.
    UnderWay,
}

/// A password to be checked or an account to be made, as it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    kind: Kind,
    /// Whose share its counts take.
    networks: [u64; 2],
}

/// A reserved attempt; to be given back with the outcome.
#[derive(Debug)]
#[must_use = "an attempt that is not settled counts as under way"]
pub(crate) struct Ticket(Attempt);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Known { pair: u64 },
    New { account: u64, address: u64 },
    Registration { keys: [u64; 3] },
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The password was right, or the account was made.
    Success,
    /// The password was wrong.
    Failure,
    /// It was not tried after all.
    Nothing,
}

/// See the [module's documentation](self). `now` is the time since any fixed moment.
#[derive(Debug)]
pub(crate) struct Throttle {
    accounts: Counts,
    addresses: Counts,
    pairs: Counts,
    /// By address, by site, by region.
    registrations: [Counts; 3],
    /// Keys are short, and nobody can choose two texts that have one.
    hasher: RandomState,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Throttle::with_room(MOST_COUNTS)
    }

    fn with_room(most: usize) -> Self {
        Throttle {
            accounts: Counts::new(PASSWORDS, most),
            addresses: Counts::new(PASSWORDS, most),
            pairs: Counts::new(PASSWORDS, most),
            registrations: [REGISTRATIONS, SITE_REGISTRATIONS, REGION_REGISTRATIONS]
                .map(|rules| Counts::new(rules, most)),
            hasher: RandomState::new(),
        }
    }

    /// The attempt to prove the password of an account from an address. `is_known`: the account was
    /// used from there before.
    pub(crate) fn password(&self, account: &str, origin: Origin, is_known: bool) -> Attempt {
        let kind = match is_known {
            true => Kind::Known { pair: self.key((account, origin)) },
            false => Kind::New { account: self.key(account), address: self.key(origin) },
        };
        Attempt { kind, networks: self.networks(origin) }
    }

    /// The attempt to make an account from an address.
    pub(crate) fn registration(&self, origin: Origin) -> Attempt {
        let networks = self.networks(origin);
        let keys = [self.key(origin), networks[0], networks[1]];
        Attempt { kind: Kind::Registration { keys }, networks }
    }

    /// Whether an attempt may begin now.
    pub(crate) fn check(&mut self, attempt: Attempt, now: Duration) -> Result<(), Refusal> {
        let Attempt { kind, networks } = attempt;
        match kind {
            Kind::Known { pair } => self.pairs.check(pair, networks, now),
            Kind::New { account, address } => {
                self.addresses.check(address, networks, now)?;
                self.accounts.check(account, networks, now)
            }
            Kind::Registration { keys } => {
                let mut tables = self.registrations.iter_mut().zip(keys);
                tables.try_for_each(|(counts, key)| counts.check(key, networks, now))
            }
        }
    }

    /// Counts an attempt if it may begin now. Its ticket must be settled.
    pub(crate) fn reserve(&mut self, attempt: Attempt, now: Duration) -> Result<Ticket, Refusal> {
        self.check(attempt, now)?;
        let Attempt { kind, networks } = attempt;
        match kind {
            Kind::Known { pair } => self.pairs.begin(pair, networks, now),
            Kind::New { account, address } => {
                self.addresses.begin(address, networks, now);
                self.accounts.begin(account, networks, now);
            }
            Kind::Registration { keys } => {
                for (counts, key) in self.registrations.iter_mut().zip(keys) {
                    counts.begin(key, networks, now);
                }
            }
        }
        Ok(Ticket(attempt))
    }

    /// Bytes that each table takes, in the order of [`TABLES`].
    pub(crate) fn usage(&self) -> [Usage; TABLES.len()] {
        let [address, site, region] = &self.registrations;
        [&self.accounts, &self.addresses, &self.pairs, address, site, region].map(|table| Usage {
            bytes: table.counts.len() * COUNT_BYTES,
            most: table.most * COUNT_BYTES,
        })
    }

    /// Says what came of a try.
    #[allow(clippy::needless_pass_by_value, reason = "a ticket is settled once")]
    pub(crate) fn settle(&mut self, ticket: Ticket, outcome: Outcome, now: Duration) {
        let Ticket(Attempt { kind, networks }) = ticket;
        match kind {
            Kind::Known { pair } => self.pairs.settle(pair, networks, outcome, now),
            Kind::New { account, address } => {
                self.accounts.settle(account, networks, outcome, now);
                let outcome = if outcome == Outcome::Success { Outcome::Nothing } else { outcome };
                self.addresses.settle(address, networks, outcome, now);
            }
            Kind::Registration { keys } => {
                let outcome = if outcome == Outcome::Success { Outcome::Failure } else { outcome };
                for (counts, key) in self.registrations.iter_mut().zip(keys) {
                    counts.settle(key, networks, outcome, now);
                }
            }
        }
    }

    fn key(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    /// The keys of the site and of the region.
    fn networks(&self, origin: Origin) -> [u64; 2] {
        let [site, region] = origin.networks();
        [self.key(("site", site)), self.key(("region", region))]
    }
}

/// The counts of one kind.
#[derive(Debug)]
struct Counts {
    rules: Rules,
    most: usize,
    counts: HashMap<u64, Count>,
    /// Each count by the time when it is forgotten.
    by_end: BTreeSet<(Duration, u64)>,
    /// How many counts each site and each region has.
    shares: HashMap<u64, u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// When the first of the free ones was.
    since: Duration,
    /// How many of the free ones are used.
    used: u32,
    /// How many waits there were; none while `used` is less than what is free.
    waits: u32,
    /// Nothing may be tried before.
    until: Duration,
    /// How many are under way.
    under_way: u32,
    /// When it is forgotten.
    end: Duration,
    /// The site and the region that it takes room of.
    networks: [u64; 2],
}

impl Counts {
    fn new(rules: Rules, most: usize) -> Self {
        let (counts, by_end, shares) = (HashMap::new(), BTreeSet::new(), HashMap::new());
        Counts { rules, most, counts, by_end, shares }
    }

    fn check(&mut self, key: u64, networks: [u64; 2], now: Duration) -> Result<(), Refusal> {
        self.forget(now);
        let count = self.counts.get(&key).copied();
        if count.is_none() && !self.has_room(networks) {
            return Err(Refusal::Wait(self.rules.first_wait));
        }
        let count = count.unwrap_or_default();
        if now < count.until {
            return Err(Refusal::Wait(count.until - now));
        }
        let room = match count {
            Count { waits: 1.., .. } => 1,
            Count { since, .. } if now >= since + self.rules.within => self.rules.free,
            Count { used, .. } => self.rules.free - used,
        };
        if count.under_way < room { Ok(()) } else { Err(Refusal::UnderWay) }
    }

    /// Whether both networks have room for one more count.
    fn has_room(&self, networks: [u64; 2]) -> bool {
        networks.iter().zip([SITE_SHARE, REGION_SHARE]).all(|(network, share)| {
            let used = self.shares.get(network).copied().unwrap_or(0) as usize;
            used < (self.most / share).max(1)
        })
    }

    fn begin(&mut self, key: u64, networks: [u64; 2], now: Duration) {
        self.change(key, networks, |count, rules| {
            count.under_way += 1;
            count.end = count.end.max(now + rules.within);
        });
    }

    fn settle(&mut self, key: u64, networks: [u64; 2], outcome: Outcome, now: Duration) {
        self.change(key, networks, |count, rules| {
            count.under_way = count.under_way.saturating_sub(1);
            match outcome {
                Outcome::Nothing => {}
                Outcome::Success => {
                    let Count { under_way, networks, .. } = *count;
                    *count = Count { under_way, networks, end: now, ..Count::default() };
                }
                // it was begun before the wait
                Outcome::Failure if now < count.until => {}
                Outcome::Failure => count.fail(rules, now),
            }
            if count.under_way > 0 {
                count.end = count.end.max(now + rules.within);
            }
        });
        self.forget(now);
    }

    fn change(&mut self, key: u64, networks: [u64; 2], change: impl FnOnce(&mut Count, &Rules)) {
        let mut count = match self.counts.get(&key) {
            Some(count) => *count,
            None => {
                while self.counts.len() >= self.most
                    && let Some((_, oldest)) = self.by_end.pop_first()
                {
                    self.remove(oldest);
                }
                for network in networks {
                    *self.shares.entry(network).or_default() += 1;
                }
                Count { networks, ..Count::default() }
            }
        };
        self.by_end.remove(&(count.end, key));
        change(&mut count, &self.rules);
        self.by_end.insert((count.end, key));
        self.counts.insert(key, count);
    }

    fn forget(&mut self, now: Duration) {
        while let Some(&(end, key)) = self.by_end.first()
            && end <= now
        {
            self.by_end.pop_first();
            self.remove(key);
        }
    }

    fn remove(&mut self, key: u64) {
        let Some(count) = self.counts.remove(&key) else { return };
        for network in count.networks {
            if let Some(used) = self.shares.get_mut(&network) {
                *used -= 1;
                if *used == 0 {
                    self.shares.remove(&network);
                }
            }
        }
    }
}

impl Count {
    fn fail(&mut self, rules: &Rules, now: Duration) {
        if self.waits == 0 {
            if self.used == 0 || now >= self.since + rules.within {
                (self.since, self.used) = (now, 0);
            }
            self.used += 1;
            self.end = self.since + rules.within;
            if self.used < rules.free {
                return;
            }
        }
        let doublings = self.waits.min(16);
        let wait = (rules.first_wait * (1 << doublings)).min(rules.longest_wait);
        self.waits += 1;
        self.until = now + wait;
        self.end = self.until + rules.memory;
    }
}

/// A wait as one says it: whole seconds, minutes or hours, never less than it is.
pub(crate) fn spoken(wait: Duration) -> String {
    let seconds = (wait + (SECOND - Duration::from_nanos(1))).as_secs();
    match seconds {
        0..=99 => format!("{} s", seconds.max(1)),
        100..=5999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
