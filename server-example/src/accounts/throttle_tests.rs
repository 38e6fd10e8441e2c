//! The throttle under failures, crowds, and networks that want it to forget; time is passed in.

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
    match begin(throttle, account, from, is_known, now) {
        Ok(ticket) => {
            throttle.settle(ticket, outcome, now);
            None
        }
        Err(Refusal::Wait(wait)) => Some(wait),
        Err(Refusal::UnderWay) => panic!("nothing is under way"),
    }
}

/// Reserves an attempt to prove a password.
fn begin(
    throttle: &mut Throttle,
    account: &str,
    from: &str,
    is_known: bool,
    now: Duration,
) -> Result<Ticket, Refusal> {
    let attempt = throttle.password(account, origin(from), is_known);
    throttle.reserve(attempt, now)
}

/// Makes an account, if that is allowed.
fn register(throttle: &mut Throttle, from: &str, now: Duration) -> Result<(), Refusal> {
    let attempt = throttle.registration(origin(from));
    let ticket = throttle.reserve(attempt, now)?;
    throttle.settle(ticket, Outcome::Success, now);
    Ok(())
}

/// An address that was not used before.
fn other(number: &mut u32) -> String {
    *number += 1;
    // each is in another network
    std::net::Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1)).to_string()
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
    now += HOUR + PASSWORDS.memory;
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
    assert_ne!(origin("fe80::1"), origin("fe80::2"), "of one wire, not of one person");
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
    let mut own = |outcome, now| attempt(&mut throttle, "alice", "192.0.2.7", true, outcome, now);
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
fn attempts_under_way_count_as_failures() {
    let mut throttle = Throttle::new();
    let now = HOUR;
    let mut last = 0;
    let mut begin =
        |throttle: &mut Throttle| begin(throttle, "alice", &other(&mut last), false, now);
    let tickets: Vec<_> = (0..3).map(|_| begin(&mut throttle).unwrap()).collect();
    assert_eq!(begin(&mut throttle).unwrap_err(), Refusal::UnderWay);
    for ticket in tickets {
        throttle.settle(ticket, Outcome::Nothing, now);
    }
    // two failed: one more may be tried
    for _ in 0..2 {
        let ticket = begin(&mut throttle).unwrap();
        throttle.settle(ticket, Outcome::Failure, now);
    }
    let third = begin(&mut throttle).unwrap();
    assert_eq!(begin(&mut throttle).unwrap_err(), Refusal::UnderWay);
    throttle.settle(third, Outcome::Failure, now);
    assert_eq!(begin(&mut throttle).unwrap_err(), Refusal::Wait(MINUTE));
}

#[test]
fn attempts_at_one_time_are_as_few_as_failures_are_free() {
    // of one address with many accounts, of one account from many addresses, of one owner
    /// The account and the address of each attempt, and whether the account was used from there.
    type Kind = fn(u32) -> (String, String, bool);
    let kinds: [Kind; 3] = [
        |number| (format!("account {number}"), "192.0.2.7".to_owned(), false),
        |number| ("alice".to_owned(), format!("198.{number}.100.7"), false),
        |_| ("alice".to_owned(), "192.0.2.7".to_owned(), true),
    ];
    for (kind, of) in kinds.into_iter().enumerate() {
        let mut throttle = Throttle::new();
        let mut now = HOUR;
        let begin = |throttle: &mut Throttle, number, now| {
            let (account, from, is_known) = of(number);
            begin(throttle, &account, &from, is_known, now)
        };
        for allowed in [3, 1, 1] {
            let begun: Vec<_> =
                (0..32).filter_map(|number| begin(&mut throttle, number, now).ok()).collect();
            assert_eq!(begun.len(), allowed, "{kind}");
            for ticket in begun {
                throttle.settle(ticket, Outcome::Failure, now);
            }
            let Refusal::Wait(wait) = begin(&mut throttle, 40, now).unwrap_err() else {
                panic!("nothing is under way");
            };
            now += wait;
        }
    }
}

#[test]
fn a_crowd_logs_in_from_one_address_one_after_the_other() {
    let mut throttle = Throttle::new();
    let mut waiting: Vec<_> = (0..100).map(|number| format!("pupil {number}")).collect();
    let mut under_way = Vec::new();
    while let Some(pupil) = waiting.pop() {
        match begin(&mut throttle, &pupil, "192.0.2.7", false, HOUR) {
            Ok(ticket) => under_way.push(ticket),
            Err(refusal) => {
                assert_eq!((refusal, under_way.len()), (Refusal::UnderWay, 3));
                throttle.settle(under_way.remove(0), Outcome::Success, HOUR);
                waiting.push(pupil);
            }
        }
    }
}

#[test]
fn ten_accounts_an_hour_are_made_from_an_address() {
    let mut throttle = Throttle::new();
    let mut now = HOUR;
    for _ in 0..10 {
        assert_eq!(register(&mut throttle, "127.0.0.1", now), Ok(()));
    }
    for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
        let wait = Refusal::Wait(MINUTE * minutes);
        assert_eq!(register(&mut throttle, "127.0.0.1", now), Err(wait));
        now += MINUTE * minutes;
        assert_eq!(register(&mut throttle, "127.0.0.1", now), Ok(()));
    }
    assert_eq!(register(&mut throttle, "127.0.0.2", now), Ok(()));
}

#[test]
fn registrations_at_one_time_are_as_few_as_are_free() {
    let mut throttle = Throttle::new();
    let attempt = throttle.registration(origin("127.0.0.1"));
    let begun: Vec<_> = (0..32).filter_map(|_| throttle.reserve(attempt, HOUR).ok()).collect();
    assert_eq!(begun.len(), 10);
    assert_eq!(throttle.check(attempt, HOUR), Err(Refusal::UnderWay));
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
fn a_table_has_a_bound_in_bytes() {
    let mut throttle = Throttle::new();
    let mut last = 0;
    for number in 0..2 * MOST_COUNTS {
        fail(&mut throttle, &format!("account {number}"), &other(&mut last), HOUR);
    }
    let usage: Usage = throttle.usage().into_iter().sum();
    assert!(usage.bytes <= usage.most && usage.most <= 72 << 20, "{usage:?}");
    for table in [&throttle.accounts, &throttle.addresses] {
        let bytes = table.counts.capacity() * (size_of::<(u64, Count)>() + 1) * 8 / 7
            + table.by_end.len() * 2 * size_of::<(Duration, u64)>()
            + table.shares.capacity() * (size_of::<(u64, u32)>() + 1) * 8 / 7;
        assert!(bytes <= MOST_BYTES * 5 / 4, "{bytes} bytes");
    }
}

#[test]
fn a_network_cannot_make_the_throttle_forget() {
    for (network, share) in [("2001:db8", REGION_SHARE), ("2001:db8:7", SITE_SHARE)] {
        let mut throttle = Throttle::with_room(640);
        let mut last = 0;
        let first = format!("{network}:1::1");
        for _ in 0..3 {
            fail(&mut throttle, "alice", &first, HOUR);
            fail(&mut throttle, "bob", &other(&mut last), HOUR);
        }
        let now = HOUR + SECOND;
        let tried = (0..20_000u32).filter(|number| {
            let from = format!("{network}:{:x}:{:x}::1", number >> 8, 0x100 + (number & 0xff));
            fail(&mut throttle, &format!("account {number}"), &from, now).is_none()
        });
        assert!(tried.count() < 640 / share, "{network}");
        let wait = Some(MINUTE - SECOND);
        assert_eq!(fail(&mut throttle, "alice", &other(&mut last), now), wait);
        assert_eq!(fail(&mut throttle, "bob", &other(&mut last), now), wait);
        assert_eq!(fail(&mut throttle, "x", &first, now), wait, "its own address");
        // others log in meanwhile, and the network does later
        assert_eq!(fail(&mut throttle, "carol", &other(&mut last), now), None);
        let from = format!("{network}:ff:ff::1");
        assert_eq!(fail(&mut throttle, "carol", &from, now + 2 * MINUTE), None);
        fail(&mut throttle, "carol", &other(&mut last), now + 4 * HOUR);
        assert!(throttle.accounts.shares.len() <= 4, "{:?}", throttle.accounts.shares);
    }
}

#[test]
fn a_site_and_a_region_have_a_number_of_registrations_an_hour() {
    for (network, most) in [("2001:db8", 400), ("2001:db8:7", 40)] {
        let mut throttle = Throttle::new();
        let registered = (0..2_000u32).filter(|number| {
            let from = format!("{network}:{:x}:{:x}::1", number >> 4, 0x100 + (number & 0xf));
            register(&mut throttle, &from, HOUR).is_ok()
        });
        assert_eq!(registered.count(), most, "{network}");
        assert_eq!(register(&mut throttle, "192.0.2.7", HOUR), Ok(()));
    }
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

#[test]
fn each_table_takes_the_memory_that_it_accounts_for() {
    use crate::heap::Heap;
    /// The nth address, each in a region of its own.
    fn origin(number: usize) -> Origin {
        let region = u128::from(u32::try_from(number).unwrap().wrapping_mul(0x9e37_79b1));
        Origin::new(Ipv6Addr::from_bits(region << 96).into())
    }
    fn bytes(throttle: &Throttle) -> usize {
        throttle.usage().into_iter().sum::<Usage>().bytes
    }
    type Fill = fn(&mut Throttle, usize);
    let fills: [(&str, Fill, usize); 3] = [
        ("known", |throttle, n| fill(throttle, n, true), 1),
        ("new", |throttle, n| fill(throttle, n, false), 2),
        ("registrations", register, 3),
    ];
    fn fill(throttle: &mut Throttle, number: usize, is_known: bool) {
        let account = number.to_string();
        let attempt = throttle.password(&account, origin(number), is_known);
        if let Ok(ticket) = throttle.reserve(attempt, HOUR) {
            throttle.settle(ticket, Outcome::Failure, HOUR);
        }
    }
    fn register(throttle: &mut Throttle, number: usize) {
        let attempt = throttle.registration(origin(number));
        if let Ok(ticket) = throttle.reserve(attempt, HOUR) {
            throttle.settle(ticket, Outcome::Success, HOUR);
        }
    }
    for (what, fill, tables) in fills {
        let (heap, mut throttle) = (Heap::now(), Throttle::new());
        for number in 0..MOST_COUNTS + 5_000 {
            fill(&mut throttle, number);
            // what a table takes jumps when it grows
            if number % 500 == 0 && number > 10_000 {
                heap.assert_within(bytes(&throttle), what);
            }
        }
        assert!(bytes(&throttle) > tables * (MOST_BYTES - COUNT_BYTES) - 1);
        heap.assert_within(tables * MOST_BYTES, what);
    }
}
