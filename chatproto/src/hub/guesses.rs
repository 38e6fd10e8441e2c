//! Wrong tokens of `/admin`: how many an address may send, and how many all addresses together may.
//!
//! An address may send [`FREE`] wrong tokens. Then it must wait, for [`FIRST_WAIT`] at first and twice
//! as long after each further one. All addresses together may send [`IN_ALL`] wrong tokens, and one
//! more in each [`EACH`]. So a guesser with very many addresses is as slow as a single one. This must
//! not lock out the admins: an address that has sent the right token has its own count only.
//!
//! The number of counts is bounded. When all are in use, the count that ends first is removed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::origin::origin;
use super::usage::{in_deque, in_tree};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Wrong tokens of an address without a wait.
const FREE: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(12);
const LONGEST_WAIT: Duration = HOUR;
/// A count ends when so much time has passed after its wait.
const MEMORY: Duration = HOUR;

/// Wrong tokens of all addresses at one time, and the time for one more.
const IN_ALL: u32 = 100;
const EACH: Duration = Duration::from_secs(6);

/// Most counts, and most addresses that are known to have sent the right token.
const MOST_COUNTS: usize = 1024;
const MOST_KNOWN: usize = 16;

const COUNT_BYTES: usize = in_tree::<(IpNet, Count)>() + in_tree::<(Instant, IpNet)>();
const KNOWN_BYTES: usize = in_deque::<IpNet>();

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub(super) struct Guesses {
    counts: BTreeMap<IpNet, Count>,
    /// Each count by its end.
    ends: BTreeSet<(Instant, IpNet)>,
    /// The last addresses that have sent the right token, the oldest first.
    known: VecDeque<IpNet>,
    /// When the wrong tokens of all addresses are forgotten; each adds [`EACH`].
    all_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    /// No token is compared before.
    until: Instant,
    end: Instant,
}

impl Guesses {
    /// How long this address must wait before a token of it is compared.
    pub(super) fn wait(&mut self, address: IpAddr, now: Instant) -> Option<Duration> {
        self.expire(now);
        let origin = origin(address);
        let own = self.counts.get(&origin).map(|count| count.until);
        let all = self.all_until.filter(|_| !self.known.contains(&origin));
        let all = all.and_then(|until| until.checked_sub(EACH * (IN_ALL - 1)));
        let wait = own.max(all)?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// A wrong token was sent from this address.
    pub(super) fn add_wrong(&mut self, address: IpAddr, now: Instant) {
        let origin = origin(address);
        let count = self.counts.get(&origin).copied();
        let wrong = count.map_or(1, |count| count.wrong.saturating_add(1));
        let wait = match wrong.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(doublings) => (FIRST_WAIT * (1 << doublings.min(16))).min(LONGEST_WAIT),
        };
        if let Some(count) = count {
            self.ends.remove(&(count.end, origin));
        } else if self.counts.len() >= MOST_COUNTS
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.counts.remove(&first);
        }
        let until = now + wait;
        let end = until + MEMORY;
        self.ends.insert((end, origin));
        self.counts.insert(origin, Count { wrong, until, end });
        if !self.known.contains(&origin) {
            self.all_until = Some(self.all_until.map_or(now, |until| until.max(now)) + EACH);
        }
    }

    /// The right token was sent from this address.
    pub(super) fn add_right(&mut self, address: IpAddr) {
        let origin = origin(address);
        if let Some(count) = self.counts.remove(&origin) {
            self.ends.remove(&(count.end, origin));
        }
        self.known.retain(|known| *known != origin);
        if self.known.len() >= MOST_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(origin);
    }

    /// Removes the counts that have ended.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(end, origin)) = self.ends.first()
            && end <= now
        {
            self.ends.pop_first();
            self.counts.remove(&origin);
        }
    }

    /// Bytes that all counts take.
    pub(super) fn bytes(&self) -> usize {
        self.counts.len() * COUNT_BYTES + self.known.len() * KNOWN_BYTES
    }

    /// Bytes that they can take.
    pub(super) const MOST_BYTES: usize = MOST_COUNTS * COUNT_BYTES + MOST_KNOWN * KNOWN_BYTES;
}

#[cfg(any(test, fuzzing))]
impl Guesses {
    /// Checks the two orders of the counts against each other.
    pub(super) fn check_counters(&self) {
        let ends = self.counts.iter().map(|(&origin, count)| (count.end, origin));
        assert_eq!(self.ends, ends.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// An address that counts by itself.
    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    /// Sends a wrong token if it is compared; else how long to wait.
    fn guess(guesses: &mut Guesses, from: IpAddr, now: Instant) -> Option<Duration> {
        let wait = guesses.wait(from, now);
        if wait.is_none() {
            guesses.add_wrong(from, now);
        }
        guesses.check_counters();
        wait
    }

    #[test]
    fn five_wrong_tokens_are_free_and_waits_grow_to_an_hour() {
        for from in [address(1), IpAddr::from([127, 0, 0, 1])] {
            let (mut guesses, mut now) = (Guesses::default(), Instant::now());
            for _ in 0..5 {
                assert_eq!(guess(&mut guesses, from, now), None);
            }
            for seconds in [12, 24, 48, 96, 192, 384, 768, 1536, 3072, 3600, 3600] {
                let wait = SECOND * seconds;
                assert_eq!(guess(&mut guesses, from, now), Some(wait));
                assert_eq!(guess(&mut guesses, from, now + wait - SECOND), Some(SECOND));
                now += wait;
                assert_eq!(guess(&mut guesses, from, now), None);
            }
            assert_eq!(guess(&mut guesses, address(2), now), None, "another address");
            now += 2 * HOUR;
            for _ in 0..5 {
                assert_eq!(guess(&mut guesses, from, now), None);
            }
            assert_eq!(guess(&mut guesses, from, now), Some(FIRST_WAIT));
        }
    }

    #[test]
    fn the_right_token_resets_the_count_of_its_address() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..10 {
            for _ in 0..4 {
                assert_eq!(guess(&mut guesses, address(1), now), None);
            }
            guesses.add_right(address(1));
        }
        assert_eq!(guesses.counts.len(), 0);
    }

    #[test]
    fn of_ipv6_a_network_of_64_bits_is_one_address() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for host in 0..5 {
            let from = format!("2001:db8:1:2::{host}").parse().unwrap();
            assert_eq!(guess(&mut guesses, from, now), None);
        }
        let from = "2001:db8:1:2:ffff::".parse().unwrap();
        assert_eq!(guess(&mut guesses, from, now), Some(FIRST_WAIT));
    }

    #[test]
    fn all_addresses_have_a_rate_and_an_admin_is_not_locked_out() {
        let (mut guesses, mut now) = (Guesses::default(), Instant::now());
        let (admin, admin_elsewhere) = (address(1), address(2));
        guesses.add_right(admin);
        let mut number = 100;
        let mut compared = |guesses: &mut Guesses, now| {
            let mut compared = 0;
            loop {
                number += 1;
                match guess(guesses, address(number), now) {
                    None => compared += 1,
                    Some(wait) => return (compared, wait),
                }
            }
        };
        assert_eq!(compared(&mut guesses, now), (IN_ALL, EACH));
        assert_eq!(guesses.wait(admin, now), None);
        assert_eq!(guesses.wait(admin_elsewhere, now), Some(EACH));
        assert_eq!(guesses.wait(admin_elsewhere, now + SECOND), Some(5 * SECOND));
        now += 10 * EACH;
        assert_eq!(compared(&mut guesses, now), (10, EACH));
        now += 24 * HOUR;
        assert_eq!(compared(&mut guesses, now), (IN_ALL, EACH));
        // the admin's own mistakes count for this address, and for no other
        for _ in 0..5 {
            assert_eq!(guess(&mut guesses, admin, now), None);
        }
        assert_eq!(guess(&mut guesses, admin, now), Some(FIRST_WAIT));
        assert_eq!(guesses.wait(admin_elsewhere, now), Some(EACH));
        for number in 0..MOST_KNOWN as u32 {
            guesses.add_right(address(10 + number));
        }
        assert_eq!(guesses.known.len(), MOST_KNOWN);
        assert_eq!(guesses.wait(admin, now + FIRST_WAIT), None, "two have been forgotten");
    }

    #[test]
    fn counts_are_bounded_and_long_waits_are_not_forgotten_for_short_ones() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..8 {
            guesses.add_wrong(address(1), now);
        }
        for number in 2..3_000 {
            guesses.add_wrong(address(number), now + SECOND);
        }
        guesses.check_counters();
        assert_eq!(guesses.counts.len(), MOST_COUNTS);
        assert!(guesses.bytes() <= Guesses::MOST_BYTES);
        assert!(guesses.counts.contains_key(&origin(address(1))));
        guesses.expire(now + SECOND + MEMORY);
        assert_eq!(guesses.counts.len(), 1);
    }
}
