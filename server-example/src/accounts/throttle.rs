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
//! Success resets what counts for the account; the count of an address it leaves alone, or whoever
//! has one account could try the passwords of all others from there. Memory is bounded: when a table
//! is full, the count goes that would be forgotten first, and that is never one with long waits
//! while there are short ones.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The most counts of one kind; a full table takes about 10 MB.
const MOST_COUNTS: usize = 100_000;

/// An address as it is counted: of IPv6 the network of 64 bits, of an IPv4 address in IPv6 form the
/// IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    pub(crate) fn new(address: IpAddr) -> Self {
        Origin(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
            address => address,
        })
    }

    /// As it is stored: an address, of IPv6 the first one of the network.
    pub(crate) fn address(self) -> IpAddr {
        self.0
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
    /// How many may be under way at a time while none has failed.
    at_once: u32,
}

const ACCOUNT: Rules = Rules {
    free: 3,
    within: MINUTE,
    first_wait: MINUTE,
    longest_wait: HOUR,
    memory: Duration::from_secs(2 * 60 * 60),
    at_once: 3,
};

/// Many people can have one address, and log in at one time.
const ADDRESS: Rules = Rules { at_once: 32, ..ACCOUNT };

/// Accounts made from one address.
const REGISTRATIONS: Rules = Rules {
    free: 10,
    within: HOUR,
    first_wait: Duration::from_secs(10 * 60),
    longest_wait: Duration::from_secs(24 * 60 * 60),
    memory: Duration::from_secs(24 * 60 * 60),
    at_once: 10,
};

/// Why nothing may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There were too many; how long to wait.
    Wait(Duration),
    /// Others are under way, and have to end first.
    UnderWay,
}

/// Leave to try once; to be given back with the outcome.
#[derive(Debug)]
pub(crate) struct Ticket(Kind);

#[derive(Debug)]
enum Kind {
    Known { pair: u64 },
    New { account: u64, address: u64 },
    Registration { address: u64 },
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
    registrations: Counts,
    /// Keys are short, and nobody can choose two texts that have one.
    hasher: RandomState,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Throttle::with_room(MOST_COUNTS)
    }

    fn with_room(most: usize) -> Self {
        Throttle {
            accounts: Counts::new(ACCOUNT, most),
            addresses: Counts::new(ADDRESS, most),
            pairs: Counts::new(ACCOUNT, most),
            registrations: Counts::new(REGISTRATIONS, most),
            hasher: RandomState::new(),
        }
    }

    /// Whether the password of an account may be tried from an address; `is_known` says that the
    /// account was used from there before.
    pub(crate) fn try_password(
        &mut self,
        account: &str,
        origin: Origin,
        is_known: bool,
        now: Duration,
    ) -> Result<Ticket, Refusal> {
        if is_known {
            let pair = self.key((account, origin));
            self.pairs.check(pair, now)?;
            self.pairs.begin(pair, now);
            return Ok(Ticket(Kind::Known { pair }));
        }
        let (account, address) = (self.key(account), self.key(origin));
        self.addresses.check(address, now)?;
        self.accounts.check(account, now)?;
        self.addresses.begin(address, now);
        self.accounts.begin(account, now);
        Ok(Ticket(Kind::New { account, address }))
    }

    /// Whether an account may be made from an address.
    pub(crate) fn register(&mut self, origin: Origin, now: Duration) -> Result<Ticket, Refusal> {
        let address = self.key(origin);
        self.registrations.check(address, now)?;
        self.registrations.begin(address, now);
        Ok(Ticket(Kind::Registration { address }))
    }

    /// Says what came of a try.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is for one try")]
    pub(crate) fn settle(&mut self, ticket: Ticket, outcome: Outcome, now: Duration) {
        match ticket.0 {
            Kind::Known { pair } => self.pairs.settle(pair, outcome, now),
            Kind::New { account, address } => {
                self.accounts.settle(account, outcome, now);
                let outcome = if outcome == Outcome::Success { Outcome::Nothing } else { outcome };
                self.addresses.settle(address, outcome, now);
            }
            Kind::Registration { address } => {
                let outcome = if outcome == Outcome::Success { Outcome::Failure } else { outcome };
                self.registrations.settle(address, outcome, now);
            }
        }
    }

    fn key(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
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
}

impl Counts {
    fn new(rules: Rules, most: usize) -> Self {
        Counts { rules, most, counts: HashMap::new(), by_end: BTreeSet::new() }
    }

    fn check(&mut self, key: u64, now: Duration) -> Result<(), Refusal> {
        self.forget(now);
        let count = self.counts.get(&key).copied().unwrap_or_default();
        if now < count.until {
            return Err(Refusal::Wait(count.until - now));
        }
        let room = match count {
            Count { waits: 1.., .. } => 1,
            Count { used, since, .. } if used == 0 || now >= since + self.rules.within => {
                self.rules.at_once
            }
            Count { used, .. } => self.rules.free - used,
        };
        if count.under_way < room { Ok(()) } else { Err(Refusal::UnderWay) }
    }

    fn begin(&mut self, key: u64, now: Duration) {
        self.change(key, |count, rules| {
            count.under_way += 1;
            count.end = count.end.max(now + rules.within);
        });
    }

    fn settle(&mut self, key: u64, outcome: Outcome, now: Duration) {
        self.change(key, |count, rules| {
            count.under_way = count.under_way.saturating_sub(1);
            match outcome {
                Outcome::Nothing => {}
                Outcome::Success => {
                    *count = Count { under_way: count.under_way, end: now, ..Count::default() };
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

    fn change(&mut self, key: u64, change: impl FnOnce(&mut Count, &Rules)) {
        let mut count = match self.counts.get(&key) {
            Some(count) => *count,
            None => {
                while self.counts.len() >= self.most
                    && let Some((_, oldest)) = self.by_end.pop_first()
                {
                    self.counts.remove(&oldest);
                }
                Count::default()
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
            self.counts.remove(&key);
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
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::new(text.parse().unwrap())
    }

    /// Tries and fails; how long to wait if that was not allowed.
    fn fail(throttle: &mut Throttle, account: &str, from: &str, now: Duration) -> Option<Duration> {
        attempt(throttle, account, from, false, Outcome::Failure, now)
    }

    fn attempt(
        throttle: &mut Throttle,
        account: &str,
        from: &str,
        is_known: bool,
        outcome: Outcome,
        now: Duration,
    ) -> Option<Duration> {
        match throttle.try_password(account, origin(from), is_known, now) {
            Ok(ticket) => {
                throttle.settle(ticket, outcome, now);
                None
            }
            Err(Refusal::Wait(wait)) => Some(wait),
            Err(Refusal::UnderWay) => panic!("nothing is under way"),
        }
    }

    /// An address that was not used before.
    fn other(number: &mut u32) -> String {
        *number += 1;
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + *number).to_string()
    }

    #[test]
    fn three_failures_a_minute_are_free_and_waits_grow_to_an_hour() {
        let mut throttle = Throttle::new();
        let mut now = HOUR;
        let mut last = 0;
        for _ in 0..3 {
            assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), None);
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = MINUTE * minutes;
            assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), Some(wait));
            now += wait - SECOND;
            assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), Some(SECOND));
            now += SECOND;
            assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), None);
        }
        // nobody else's account is meant
        assert_eq!(fail(&mut throttle, "bob", &other(&mut last), now), None);
        now += HOUR + ACCOUNT.memory;
        for _ in 0..3 {
            assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), None);
        }
        assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), Some(MINUTE));
    }

    #[test]
    fn slow_failures_are_free() {
        let mut throttle = Throttle::new();
        for number in 0..100 {
            let now = MINUTE / 2 * number;
            assert_eq!(fail(&mut throttle, "alice", "192.0.2.7", now), None, "{number}");
        }
    }

    #[test]
    fn an_address_is_counted_over_all_accounts() {
        let mut throttle = Throttle::new();
        let now = HOUR;
        for account in ["a", "b", "c"] {
            assert_eq!(fail(&mut throttle, account, "192.0.2.7", now), None);
        }
        assert_eq!(fail(&mut throttle, "d", "192.0.2.7", now), Some(MINUTE));
        assert_eq!(fail(&mut throttle, "d", "::ffff:192.0.2.7", now), Some(MINUTE));
        assert_eq!(fail(&mut throttle, "d", "192.0.2.8", now), None);
        // success with one's own account does not open the others'
        let mut throttle = Throttle::new();
        for account in ["a", "b", "c"] {
            let own = attempt(&mut throttle, "eve", "192.0.2.7", false, Outcome::Success, now);
            assert_eq!(own, None);
            assert_eq!(fail(&mut throttle, account, "192.0.2.7", now), None);
        }
        assert_eq!(fail(&mut throttle, "d", "192.0.2.7", now), Some(MINUTE));
    }

    #[test]
    fn of_ipv6_a_network_of_64_bits_is_one_address() {
        let mut throttle = Throttle::new();
        for (number, account) in ["a", "b", "c"].into_iter().enumerate() {
            let from = format!("2001:db8:1:2::{number}");
            assert_eq!(fail(&mut throttle, account, &from, HOUR), None);
        }
        let from = "2001:db8:1:2:ffff:ffff:ffff:ffff";
        assert_eq!(fail(&mut throttle, "d", from, HOUR), Some(MINUTE));
        assert_eq!(fail(&mut throttle, "d", "2001:db8:1:3::1", HOUR), None);
        assert_eq!(origin(from).address().to_string(), "2001:db8:1:2::");
    }

    #[test]
    fn an_owner_is_not_locked_out_by_others() {
        let mut throttle = Throttle::new();
        let now = HOUR;
        let mut last = 0;
        for _ in 0..3 {
            fail(&mut throttle, "alice", &other(&mut last), now);
        }
        assert!(fail(&mut throttle, "alice", &other(&mut last), now).is_some());
        for account in ["a", "b", "c"] {
            fail(&mut throttle, account, "192.0.2.7", now);
        }
        assert!(fail(&mut throttle, "d", "192.0.2.7", now).is_some());
        // where alice was before, her own mistakes count and nothing else
        let mut own =
            |outcome, now| attempt(&mut throttle, "alice", "192.0.2.7", true, outcome, now);
        assert_eq!(own(Outcome::Failure, now), None);
        assert_eq!(own(Outcome::Failure, now), None);
        assert_eq!(own(Outcome::Success, now), None);
        for _ in 0..3 {
            assert_eq!(own(Outcome::Failure, now), None);
        }
        assert_eq!(own(Outcome::Success, now), Some(MINUTE));
        assert_eq!(own(Outcome::Success, now + MINUTE), None);
        assert_eq!(own(Outcome::Failure, now + MINUTE), None, "success has reset it");
        // and that opens nothing to others
        assert!(fail(&mut throttle, "alice", &other(&mut last), now).is_some());
    }

    #[test]
    fn what_is_under_way_counts() {
        let mut throttle = Throttle::new();
        let now = HOUR;
        let mut last = 0;
        let mut begin = |throttle: &mut Throttle, account: &str| {
            let from = origin(&other(&mut last));
            throttle.try_password(account, from, false, now)
        };
        let tickets: Vec<_> = (0..3).map(|_| begin(&mut throttle, "alice").unwrap()).collect();
        assert_eq!(begin(&mut throttle, "alice").unwrap_err(), Refusal::UnderWay);
        for ticket in tickets {
            throttle.settle(ticket, Outcome::Nothing, now);
        }
        // two failed: one more may be tried
        for _ in 0..2 {
            let ticket = begin(&mut throttle, "alice").unwrap();
            throttle.settle(ticket, Outcome::Failure, now);
        }
        let third = begin(&mut throttle, "alice").unwrap();
        assert_eq!(begin(&mut throttle, "alice").unwrap_err(), Refusal::UnderWay);
        throttle.settle(third, Outcome::Failure, now);
        assert_eq!(begin(&mut throttle, "alice").unwrap_err(), Refusal::Wait(MINUTE));
    }

    #[test]
    fn a_crowd_may_log_in_from_one_address_at_a_time() {
        let mut throttle = Throttle::new();
        let school = origin("192.0.2.7");
        let mut begin =
            |number: u32| throttle.try_password(&format!("pupil {number}"), school, false, HOUR);
        let tickets: Vec<_> = (0..32).map(|number| begin(number).unwrap()).collect();
        assert_eq!(begin(32).unwrap_err(), Refusal::UnderWay);
        for ticket in tickets {
            throttle.settle(ticket, Outcome::Success, HOUR);
        }
        assert!(throttle.try_password("pupil 33", school, false, HOUR).is_ok());
    }

    #[test]
    fn ten_accounts_an_hour_are_made_from_an_address() {
        let mut throttle = Throttle::new();
        let mut now = HOUR;
        let mut register = |from: &str, now| match throttle.register(origin(from), now) {
            Ok(ticket) => {
                throttle.settle(ticket, Outcome::Success, now);
                None
            }
            Err(Refusal::Wait(wait)) => Some(wait),
            Err(Refusal::UnderWay) => panic!("nothing is under way"),
        };
        for _ in 0..10 {
            assert_eq!(register("127.0.0.1", now), None);
        }
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            assert_eq!(register("127.0.0.1", now), Some(MINUTE * minutes));
            now += MINUTE * minutes;
            assert_eq!(register("127.0.0.1", now), None);
        }
        assert_eq!(register("127.0.0.2", now), None);
    }

    #[test]
    fn memory_is_bounded_and_short_counts_go_first() {
        let mut throttle = Throttle::with_room(100);
        let mut last = 0;
        for _ in 0..3 {
            fail(&mut throttle, "alice", &other(&mut last), HOUR);
        }
        let now = HOUR + SECOND;
        for number in 0..10_000 {
            let account = format!("account {number}");
            assert_eq!(fail(&mut throttle, &account, &other(&mut last), now), None);
        }
        assert_eq!(throttle.accounts.counts.len(), 100);
        assert_eq!(throttle.accounts.by_end.len(), 100);
        assert_eq!(throttle.addresses.counts.len(), 100);
        let wait = fail(&mut throttle, "alice", &other(&mut last), now);
        assert_eq!(wait, Some(MINUTE - SECOND), "not forgotten for the others");
        // what is over is gone without having been asked for
        fail(&mut throttle, "bob", &other(&mut last), now + 3 * HOUR);
        assert_eq!(throttle.accounts.counts.len(), 1);
        assert_eq!(throttle.accounts.by_end.len(), 1);
    }

    #[test]
    fn waits_as_one_says_them() {
        for (seconds, said) in [
            (0.0, "1 s"),
            (0.2, "1 s"),
            (60.0, "60 s"),
            (99.1, "2 min"),
            (3600.0, "60 min"),
            (7000.0, "2 h"),
        ] {
            assert_eq!(spoken(Duration::from_secs_f64(seconds)), said);
        }
    }
}
