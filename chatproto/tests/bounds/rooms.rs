//! Rooms, memberships, changes of presence that are not told yet, and numbers for cursors.

use std::time::Duration;

use chatproto::Limits;
use chatproto::handshake::PeerKind;
use chatproto::hub::{ConnId, Hub, HubBuilder};

use super::common::House;
use super::heap::Heap;
use super::{address, answer, assert_within, crowd, forget_all};

const TOTAL: usize = 2 << 20;
const FULL: &str = "❌ Not joined: the server's rooms take all the memory that they may use.";
const OWN: &str = "❌ Not joined: you are in 100 rooms, which is the most.";
const NEARLY: &str = "❌ Not joined: the server's rooms are nearly full, so you may be in at most";

fn house(builder: HubBuilder, rooms: usize) -> House {
    let mut limits = Limits::default();
    limits.rooms_total = TOTAL;
    limits.rooms = rooms;
    House::of(builder.limits(limits))
}

/// A crowd each of whom has been away, so that what sessions take does not grow any more.
fn crowd_with_extras(house: &mut House, count: u32) -> Vec<ConnId> {
    let crowd = crowd(house, "user", count);
    for &conn in &crowd {
        answer(house, conn, "/away", "x");
        answer(house, conn, "/away", "");
    }
    forget_all(house);
    crowd
}

/// A name as long as names can be.
fn room(of: usize, number: usize) -> String {
    format!("#{of:032}{number:032}")
}

/// Has a user join rooms until it is refused, which it is told in a sentence.
fn join_until_refused(house: &mut House, conn: ConnId, of: usize) -> usize {
    for number in 0.. {
        let said = answer(house, conn, "/join", &room(of, number));
        if !said.starts_with("Joined") {
            assert!([OWN, FULL, NEARLY].iter().any(|text| said.starts_with(text)), "{said}");
            return number;
        }
    }
    unreachable!("somebody is refused")
}

#[test]
fn rooms_of_many_addresses_stay_within_their_bytes_and_leave_some_for_others() {
    let mut house = house(Hub::builder(), 100);
    let honest = house.join("honest", PeerKind::Stream, address(1_000_000));
    answer(&mut house, honest, "/join", "#tea");
    let attackers = crowd_with_extras(&mut house, 200);
    let heap = Heap::now();
    let before = house.hub.usage().rooms.bytes;
    let joined: Vec<usize> = (attackers.iter().enumerate())
        .map(|(of, &conn)| join_until_refused(&mut house, conn, of))
        .collect();
    forget_all(&mut house);
    let usage = house.hub.usage().rooms;
    assert_eq!(usage.most, TOTAL);
    assert!(usage.bytes <= TOTAL && usage.bytes > TOTAL / 2, "{usage:?}");
    assert_within("rooms", heap.grown() + before, TOTAL);
    assert!(
        heap.grown() + before <= usage.bytes + usage.bytes / 10,
        "the counter is an upper estimate"
    );
    assert!(joined.iter().all(|&rooms| rooms > 0), "everybody has a room: {joined:?}");
    // and who comes now, too
    let late = house.join("late", PeerKind::Stream, address(1_000_001));
    house.forget();
    let said = answer(&mut house, late, "/join", "#late");
    assert!(said.starts_with("Joined"), "{said}");
    let said = answer(&mut house, late, "/join", "#later");
    assert!(said.starts_with(&format!("{NEARLY} 1 now.")), "{said}");
    assert!(answer(&mut house, honest, "/whoami", "").contains("#tea"));
    // all is uncounted when they leave
    for conn in attackers.into_iter().chain([late, honest]) {
        house.hub.handle_disconnect(
            conn,
            chatproto::hub::Departure::Left,
            house.now,
            &mut house.out,
        );
    }
    house.hub.shrink();
    assert_eq!(house.hub.usage().rooms.bytes, 0);
}

#[test]
fn at_the_bound_of_bytes_nobody_makes_a_room_and_nobody_loses_one() {
    let mut house = house(Hub::builder(), 100);
    let crowd = crowd_with_extras(&mut house, 4_000);
    let heap = Heap::now();
    let mut rooms = 0;
    for (of, &conn) in crowd.iter().enumerate() {
        let said = answer(&mut house, conn, "/join", &room(of, 0));
        rooms += usize::from(said.starts_with("Joined"));
    }
    forget_all(&mut house);
    assert!(rooms > 1_000 && rooms < crowd.len(), "{rooms}");
    let usage = house.hub.usage().rooms;
    assert!(usage.bytes <= TOTAL && usage.bytes > TOTAL - 1024, "{usage:?}");
    assert_within("rooms of one member", heap.grown(), TOTAL);
    let last = crowd[crowd.len() - 1];
    assert!(answer(&mut house, last, "/join", &room(9_999, 9)).starts_with(FULL));
    for (of, &conn) in crowd.iter().enumerate().take(rooms) {
        assert!(answer(&mut house, conn, "/whoami", "").contains(&room(of, 0)[..60]));
    }
    // one that is left makes room for another one
    answer(&mut house, crowd[0], "/leave", &room(0, 0));
    assert!(answer(&mut house, last, "/join", "#tea").starts_with("Joined"));
}

#[test]
fn memberships_of_large_rooms_count_too() {
    let mut house = house(Hub::builder(), 100);
    let mut limits = Limits::default();
    limits.rooms_total = TOTAL / 8;
    house.hub.set_limits(limits);
    let crowd = crowd_with_extras(&mut house, 3_000);
    let heap = Heap::now();
    let mut refused = 0;
    for round in 0..6 {
        for &conn in &crowd {
            let said = answer(&mut house, conn, "/join", &format!("#large {round}"));
            refused += usize::from(!said.starts_with("Joined"));
        }
    }
    forget_all(&mut house);
    assert!(refused > 3_000, "{refused}");
    assert_within("memberships", heap.grown(), TOTAL / 8);
}

#[test]
fn names_that_are_to_be_told_take_a_part_of_the_bytes_and_every_change_is_counted() {
    const ROOMS: usize = 60;
    let mut house = house(Hub::builder(), ROOMS);
    let crowd = crowd_with_extras(&mut house, 40);
    let heap = Heap::now();
    for number in 0..ROOMS {
        for (of, pair) in crowd.chunks(2).enumerate() {
            for &conn in pair {
                let said = answer(&mut house, conn, "/join", &room(of, number));
                assert!(said.starts_with("Joined"), "{said}");
            }
        }
    }
    let before = house.hub.usage().rooms.bytes;
    // fifteen changes in each of them: ten are told at once
    for round in 0..15 {
        for (of, pair) in crowd.chunks(2).enumerate() {
            let name = format!("{round:032}{of:032}");
            assert!(house.send(pair[0], "/nick", &name));
            while let Some(effect) = house.out.next_effect() {
                if let chatproto::hub::Effect::Claim { token, .. } = effect {
                    house.complete(token, chatproto::hub::Completion::Claimed(0));
                }
            }
            house.forget();
        }
    }
    forget_all(&mut house);
    let usage = house.hub.usage().rooms;
    let names = usage.bytes - before;
    assert!(names <= TOTAL / 8 && names > TOTAL / 8 - 1024, "{names} of {}", TOTAL / 8);
    assert_within("rooms with changes to tell", heap.grown(), usage.bytes);
    // and all are told, some with names
    house.now.monotonic += Duration::from_secs(1);
    let (mut told, mut named) = (0, 0);
    while house.hub.poll_timeout().is_some() {
        house.hub.handle_timeout(house.now, &mut house.out);
        for message in house.mail().messages(crowd[1]) {
            told += usize::from(message.msg.starts_with("7 renamed"));
            named += usize::from(message.msg.contains(" → "));
        }
    }
    assert_eq!(told, ROOMS);
    assert!(named <= ROOMS);
    assert_eq!(house.hub.usage().rooms.bytes, before);
}

#[test]
fn numbers_for_cursors_are_within_the_bytes_of_their_rooms() {
    let mut house = house(Hub::builder().history("e", 1), 100);
    let crowd = crowd_with_extras(&mut house, 20);
    let heap = Heap::now();
    for (of, &conn) in crowd.iter().enumerate() {
        answer(&mut house, conn, "/cursors", "on");
        for number in 0..50 {
            answer(&mut house, conn, "/join", &room(of, number));
        }
    }
    // in one batch
    for (of, &conn) in crowd.iter().enumerate() {
        for number in 0..50 {
            assert!(house.send(conn, &room(of, number), "hi"));
        }
    }
    forget_all(&mut house);
    assert_within("rooms with cursors", heap.grown(), house.hub.usage().rooms.bytes);
    house.hub.handle_batch_end(house.now, &mut house.out);
    assert_eq!(house.mail().messages(crowd[0]).len(), 50, "each room's number is told");
}
