//! Tests of the table of bans and mutes.

use std::time::Duration;

use super::super::BanTarget;
use super::super::sanction::{Since, Until};
use super::*;

fn target(text: &str) -> Target {
    text.parse::<BanTarget>().unwrap().key
}

fn sanction(by: &str, rank: Rank, until: Until, now: Instant) -> Sanction {
    let since = Since::ago(Duration::ZERO, now);
    let (shown, by, reason) = ("x".to_owned(), by.to_owned(), "y".to_owned());
    let (maker, is_configured) = (None, false);
    Sanction { shown, by, maker, rank, is_configured, reason, since, until }
}

#[test]
fn an_address_is_banned_with_its_network() {
    let (mut sanctions, now) = (Sanctions::default(), Instant::now());
    for net in ["192.0.2.9/24", "198.51.100.7", "2001:db8::1/64"] {
        let ban = sanction("the operator", Rank::Operator, Until(None), now);
        sanctions.add_ban(target(net), ban, None, now).unwrap();
    }
    let is_banned = |text: &str| sanctions.ban_of_address(text.parse().unwrap(), now).is_some();
    assert!(is_banned("192.0.2.200") && is_banned("198.51.100.7") && is_banned("2001:db8::ff"));
    assert!(!is_banned("192.0.3.1") && !is_banned("198.51.100.8") && !is_banned("2001:db9::1"));
}

#[test]
fn a_ban_of_an_address_holds_for_what_counts_as_the_same_one() {
    let is_for = |text: &str, address: &str| target(text).is_for("alice", address.parse().unwrap());
    // a host of IPv6 has another address whenever it likes
    assert!(is_for("2001:db8::1", "2001:db8::ff:1") && !is_for("2001:db8::1", "2001:db8:0:1::1"));
    assert!(is_for("2001:db8::1/128", "2001:db8::1") && !is_for("2001:db8::1/128", "2001:db8::2"));
    assert!(is_for("fe80::1", "fe80::1") && !is_for("fe80::1", "fe80::2"));
    assert!(is_for("192.0.2.1", "192.0.2.1") && !is_for("192.0.2.1", "192.0.2.2"));
    assert!(is_for("::ffff:192.0.2.1", "192.0.2.1"));
    assert!(is_for("::ffff:192.0.2.1/128", "192.0.2.1"));
    assert!(is_for("::ffff:192.0.2.0/120", "192.0.2.9"));
    assert!(!is_for("::ffff:192.0.2.0/120", "192.0.3.9"));
    // and is lifted by any of its addresses
    assert_eq!(target("2001:db8::1"), target("2001:db8::2"));
}

#[test]
#[cfg(feature = "confusables")]
fn a_ban_of_a_name_holds_for_look_alikes_in_capitals_and_small_letters() {
    let (mut sanctions, now) = (Sanctions::default(), Instant::now());
    for name in ["EVE", "Нans", "νick", "Ольга"] {
        let ban = sanction("", Rank::Operator, Until(None), now);
        sanctions.add_ban(Target::name(name), ban, None, now).unwrap();
    }
    for (name, is_banned) in [
        ("EVЕ", true),
        ("eve", true),
        ("Hans", true),
        ("нans", true),
        ("nick", true),
        ("VICK", true),
        ("Νick", true),
        ("ОЛЬГА", true),
        ("nans", false),
        ("Олег", false),
    ] {
        assert_eq!(sanctions.ban_of_name(name, now).is_some(), is_banned, "{name}");
    }
    sanctions.check_counters();
    let (target, _) = sanctions.ban_that_holds_for(&Target::name("Hans"), now).unwrap();
    assert_eq!(target, Target::name("Нans"));
    assert!(sanctions.remove_ban(&target, now).is_some());
    assert!(sanctions.ban_of_name("Hans", now).is_none());
    for name in ["EVE", "νick", "Ольга"] {
        assert!(sanctions.remove_ban(&Target::name(name), now).is_some());
    }
    sanctions.check_counters();
    assert_eq!((sanctions.bytes, sanctions.other_keys.len()), (0, 0));
}

#[test]
#[cfg(feature = "confusables")]
fn bans_of_names_that_have_keys_in_common_stand_side_by_side() {
    let now = Instant::now();
    let second = Until::after(Some(Duration::from_secs(1)), now);
    // the last two have three keys each, of which two are the same
    let names = ["vick", "\u{3bd}ick", "nick", "ОльГа", "ОлЬга"];
    for short in names {
        let mut sanctions = Sanctions::default();
        for name in names {
            let until = if name == short { second } else { Until(None) };
            let ban = sanction("", Rank::Operator, until, now);
            sanctions.add_ban(Target::name(name), ban, None, now).unwrap();
        }
        assert_eq!(sanctions.bans(now).count(), names.len());
        for name in names {
            let (found, _) = sanctions.ban_that_holds_for(&Target::name(name), now).unwrap();
            assert_eq!(found, Target::name(name));
        }
        let later = now + Duration::from_secs(1);
        for is_removed in [false, true] {
            if is_removed {
                sanctions.expire(later);
            }
            assert_eq!(sanctions.bans(later).count(), names.len() - 1);
            for name in names {
                let is_banned = sanctions.ban_of_name(name, later).is_some();
                assert!(is_banned, "{name} without {short}");
            }
            sanctions.check_counters();
        }
        for name in names.iter().filter(|name| **name != short) {
            assert!(sanctions.remove_ban(&Target::name(name), later).is_some(), "{name}");
            sanctions.check_counters();
        }
        assert_eq!((sanctions.bytes, sanctions.other_keys.len()), (0, 0));
    }
}

#[test]
fn everything_is_uncounted_when_it_is_lifted_replaced_or_over() {
    let (mut sanctions, now) = (Sanctions::default(), Instant::now());
    let total = Some(1 << 24);
    let minute = Until::after(Some(Duration::from_secs(60)), now);
    for (number, until) in (0..1_000).map(|n| (n, if n % 2 == 0 { minute } else { Until(None) })) {
        let net = target(&format!("10.0.{}.{}", number / 256, number % 256));
        let maker = ["ann", "ben", "cora", "dan", "eve"][number % 5];
        let of_moderator = sanction(maker, Rank::Moderator, until, now);
        let of_operator = sanction("", Rank::Operator, until, now);
        sanctions.add_ban(net.clone(), of_moderator.clone(), total, now).unwrap();
        sanctions.add_ban(net, of_operator, total, now).unwrap();
        let name = UserName::new(&format!("user {number}")).unwrap();
        sanctions.add_mute(&name, of_moderator, total, now).unwrap();
    }
    assert_eq!((sanctions.bans(now).count(), sanctions.mutes(now).count()), (1_000, 1_000));
    assert_eq!((sanctions.ends.len(), sanctions.makers.len()), (1_000, 5));
    let later = now + Duration::from_secs(60);
    assert_eq!((sanctions.bans(later).count(), sanctions.mutes(later).count()), (500, 500));
    for removed in [256, 512, 768, 1_000, 1_000] {
        sanctions.expire(later);
        sanctions.check_counters();
        assert_eq!(sanctions.ends.len(), 1_000 - removed);
    }
    let names: Vec<UserName> = sanctions.mutes(later).map(|(name, _)| name.clone()).collect();
    assert!(names.iter().all(|name| sanctions.remove_mute(name, later).is_some()));
    let targets: Vec<Target> = sanctions.bans(later).map(|(target, _)| target.clone()).collect();
    assert!(targets.iter().all(|target| sanctions.remove_ban(target, later).is_some()));
    assert_eq!((sanctions.bytes, sanctions.makers.len()), (0, 0));
}
