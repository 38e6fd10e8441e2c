//! Bans and mutes: those of moderators are bounded, those of the operator are not.

use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::hub::{Ban, ConnId, Departure, Hub, Mute};
use chatproto::{Limits, UserName};

use super::common::{HOME, House};
use super::heap::Heap;
use super::{address, answer, assert_within, forget_all};

const TOTAL: usize = 1 << 20;
const OWN: &str = "your bans and mutes take all the memory that one moderator may use.";
const ALL: &str = "the server's bans and mutes take nearly all the memory that they may use.";

fn house() -> (House, ConnId) {
    let mut limits = Limits::default();
    limits.sanctions_total = TOTAL;
    let mut house = House::of(Hub::builder().admin_token("token").limits(limits));
    let admin = house.stream("admin");
    assert_eq!(answer(&mut house, admin, "/admin", "token"), "You are an admin now.");
    (house, admin)
}

fn moderator(house: &mut House, admin: ConnId, name: &str, number: u32) -> ConnId {
    let conn = house.join(name, PeerKind::Stream, address(number));
    house.forget();
    answer(house, admin, "/role", &format!("\"{name}\" moderator"));
    conn
}

/// Bans names, addresses and networks, with a duration or without, until it is refused.
fn ban_until_refused(house: &mut House, conn: ConnId, of: u32) -> (u32, String) {
    for number in 0.. {
        let target = match number % 3 {
            0 => format!("{of:032}{number:032}"),
            1 => format!("172.{}.{}.{}", 16 + of, number / 256, number % 256),
            _ => format!("2001:db9:{of:x}:{number:x}::/64"),
        };
        let duration = if number % 2 == 0 { "1h" } else { "" };
        let reason = "r".repeat(number as usize % 256);
        let said = answer(house, conn, "/ban", &format!("{target} {duration} {reason}"));
        if !said.starts_with("Banned") {
            return (number, said);
        }
    }
    unreachable!("somebody is refused")
}

#[test]
fn bans_of_many_moderators_stay_within_their_bytes_and_leave_some_for_others() {
    let (mut house, admin) = house();
    answer(&mut house, admin, "/ban", "192.0.2.0/24 spam");
    let rogues: Vec<ConnId> =
        (0..12).map(|of| moderator(&mut house, admin, &format!("rogue {of}"), of)).collect();
    let late = moderator(&mut house, admin, "late", 99);
    forget_all(&mut house);
    let heap = Heap::now();
    let mut counts = Vec::new();
    for (of, &conn) in rogues.iter().enumerate() {
        let (count, said) = ban_until_refused(&mut house, conn, of as u32);
        assert!(said.starts_with("❌ Not banned: ") && said.contains("/unban"), "{said}");
        // nobody is said to have an eighth who has less
        let reason = if of < 4 { OWN } else { ALL };
        assert!(said.contains(reason), "{of}: {said}");
        counts.push(count);
        if of == 0 {
            assert!(house.hub.usage().sanctions.bytes <= TOTAL / 8 + 1024, "an eighth for one");
        }
    }
    forget_all(&mut house);
    let usage = house.hub.usage().sanctions;
    assert!(usage.bytes <= TOTAL && usage.bytes > TOTAL / 2, "{usage:?}");
    assert_within("bans", heap.grown(), TOTAL);
    assert!(counts.iter().all(|&count| count >= 10), "{counts:?}");
    // an honest one still can, and so can the operator
    assert!(answer(&mut house, late, "/ban", "mallory 1h").starts_with("Banned"));
    for number in 0..5_000 {
        let target = format!("operator's {number}").parse().unwrap();
        house.hub.restore_ban(Ban::new(target), house.now, &mut house.out);
    }
    assert!(house.hub.usage().sanctions.bytes > TOTAL);
    let said = answer(&mut house, late, "/ban", "eve");
    assert!(said.starts_with("❌ Not banned: ") && said.contains(ALL), "{said}");
    let all = house.hub.bans(house.now).count();
    assert_eq!(all, counts.iter().sum::<u32>() as usize + 5_002, "none is lost");
    let conn = house.join("x", PeerKind::Stream, [192, 0, 2, 7].into());
    assert!(house.mail().refusal(conn).contains("spam"));
}

#[test]
fn a_moderator_has_one_share_under_all_its_names_and_one_without_bans_is_told_so() {
    let (mut house, admin) = house();
    let rogue = moderator(&mut house, admin, "rogue 0", 0);
    let (first, said) = ban_until_refused(&mut house, rogue, 0);
    assert!(first > 10 && said.contains(OWN), "{said}");
    for number in 1..12 {
        let name = format!("rogue {number}");
        assert_eq!(answer(&mut house, rogue, "/nick", &name), format!("You are now {name}."));
        let (more, said) = ban_until_refused(&mut house, rogue, number);
        assert!(more < 10 && said.contains(OWN), "{more}: {said}");
    }
    assert!(house.hub.usage().sanctions.bytes <= TOTAL / 8 + 1024);
    for number in 0..20_000 {
        let target = format!("operator's {number}").parse().unwrap();
        house.hub.restore_ban(Ban::new(target), house.now, &mut house.out);
    }
    let said = answer(&mut house, admin, "/ban", "mallory");
    assert!(said.starts_with("❌ Not banned: ") && said.contains(ALL), "{said}");
}

#[test]
fn mutes_of_many_names_stay_within_their_bytes_and_are_forgotten_when_they_are_over() {
    let (mut house, admin) = house();
    let rogue = moderator(&mut house, admin, "rogue", 0);
    let honest = UserName::new("honest").unwrap();
    house.hub.restore_mute(Mute::new(honest), house.now, &mut house.out);
    forget_all(&mut house);
    let heap = Heap::now();
    let mut muted = 0;
    let refusal = loop {
        // an accomplice comes under ever other names
        let name = format!("{muted:064}");
        let victim = house.join(&name, PeerKind::Stream, address(muted + 1));
        house.forget();
        let said = answer(&mut house, rogue, "/mute", &format!("{name} 1h"));
        house.hub.handle_disconnect(victim, Departure::Left, house.now, &mut house.out);
        forget_all(&mut house);
        if !said.starts_with("Muted") {
            break said;
        }
        muted += 1;
    };
    assert!(refusal.starts_with("❌ Not muted: ") && refusal.contains(OWN), "{refusal}");
    house.hub.shrink();
    let usage = house.hub.usage().sanctions;
    assert!(usage.bytes > TOTAL / 8 - 1024, "{usage:?}");
    assert_within("mutes", heap.grown(), TOTAL / 8);
    assert_eq!(house.hub.mutes(house.now).count(), muted as usize + 1);
    // they are over: each call removes a bounded number, until all are gone
    house.now.monotonic += Duration::from_secs(3600);
    assert_eq!(house.hub.mutes(house.now).count(), 1);
    for _ in 0..=muted / 256 {
        house.hub.handle_timeout(house.now, &mut house.out);
    }
    assert!(house.hub.usage().sanctions.bytes < 512);
    let conn = house.join("honest", PeerKind::Stream, HOME);
    house.forget();
    assert!(answer(&mut house, conn, "admin", "hi").contains("You are muted"));
}

#[test]
fn a_ban_that_is_made_again_or_lifted_counts_no_more() {
    let (mut house, admin) = house();
    for _ in 0..5_000 {
        assert!(answer(&mut house, admin, "/ban", "mallory 1h spam").starts_with("Banned"));
    }
    assert!(house.hub.usage().sanctions.bytes < 2048);
    answer(&mut house, admin, "/unban", "mallory");
    assert_eq!(house.hub.usage().sanctions.bytes, 0);
}
