//! What is due at one time is done in bounded turns.

use std::time::Duration;

use chatproto::Limits;
use chatproto::accounts::AccountPolicy;
use chatproto::handshake::PeerKind;
use chatproto::hub::{Completion, ConnId, Departure, Effect, Hub};

use super::common::House;
use super::{address, crowd};

#[test]
fn counts_that_are_due_at_one_time_are_told_in_bounded_turns() {
    const ROOMS: usize = 100;
    const MEMBERS: u32 = 110;
    let mut house = House::new();
    let members = crowd(&mut house, "user", MEMBERS);
    for number in 0..ROOMS {
        for &conn in &members {
            house.send(conn, "/join", &format!("#{number}"));
            house.forget();
        }
    }
    // of more than a hundred members, every change is counted
    house.now.monotonic += Duration::from_secs(10);
    house.hub.handle_timeout(house.now, &mut house.out);
    while house.hub.poll_timeout().is_some_and(|due| due <= house.now.monotonic) {
        house.hub.handle_timeout(house.now, &mut house.out);
    }
    house.forget();
    house.hub.handle_disconnect(members[0], Departure::Left, house.now, &mut house.out);
    assert!(house.mail().is_empty());
    house.now.monotonic += Duration::from_secs(10);
    let (mut turns, mut told) = (0, 0);
    while house.hub.poll_timeout().is_some_and(|due| due <= house.now.monotonic) {
        house.hub.handle_timeout(house.now, &mut house.out);
        let mail = house.mail();
        assert!(mail.0.len() <= 1_000 + MEMBERS as usize, "{} deliveries", mail.0.len());
        told += mail.messages(members[1]).len();
        turns += 1;
    }
    assert_eq!(told, ROOMS, "each once");
    assert!(turns >= ROOMS * (MEMBERS as usize - 1) / 1_110, "{turns}");
    assert_eq!(house.hub.poll_timeout(), None);
}

/// A connection that asked for the name of an account, and is a visitor.
fn visit(house: &mut House, number: u32) -> ConnId {
    let conn = house.connect(address(number));
    house.name(conn, &format!("owner {number}"), PeerKind::Stream);
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!("no claim") };
    house.complete(token, Completion::Reserved);
    conn
}

fn house_with_visitors() -> House {
    let mut limits = Limits::default();
    limits.login = Duration::from_secs(60);
    House::of(Hub::builder().accounts(AccountPolicy::Required).limits(limits))
}

#[test]
fn visitors_who_reconnect_leave_no_deadlines_behind_and_others_keep_theirs() {
    let mut house = house_with_visitors();
    let honest = visit(&mut house, 1_000_000);
    house.forget();
    let heap = super::heap::Heap::now();
    for number in 0..20_000 {
        let conn = visit(&mut house, number % 500);
        house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
        super::forget_all(&mut house);
        let usage = house.hub.usage().visitors;
        assert!(usage.bytes <= 8 * 1024, "{usage:?}");
    }
    assert!(heap.grown() < 16 * 1024, "{} bytes", heap.grown());
    house.now.monotonic += Duration::from_secs(59);
    house.hub.handle_timeout(house.now, &mut house.out);
    assert!(house.mail().is_empty());
    house.now.monotonic += Duration::from_secs(1);
    house.hub.handle_timeout(house.now, &mut house.out);
    assert!(house.mail().messages(honest)[0].msg.contains("did not log in"));
}

#[test]
fn visitors_whose_time_is_over_at_once_are_refused_in_bounded_turns() {
    let mut house = house_with_visitors();
    for number in 0..2_500 {
        visit(&mut house, number);
        house.forget();
    }
    let usage = house.hub.usage().visitors;
    assert!(usage.bytes > 0 && usage.bytes <= usage.most, "{usage:?}");
    house.now.monotonic += Duration::from_secs(60);
    let mut refused = Vec::new();
    while house.hub.poll_timeout().is_some() {
        house.hub.handle_timeout(house.now, &mut house.out);
        // a sentence and the end for each
        refused.push(house.mail().0.len() / 2);
    }
    assert_eq!(refused, [1_000, 1_000, 500]);
}
