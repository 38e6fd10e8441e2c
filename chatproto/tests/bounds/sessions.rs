//! What one connection takes, and the work that one makes.

use chatproto::UserName;
use chatproto::accounts::AccountPolicy;
use chatproto::handshake::PeerKind;
use chatproto::hub::{AccountChange, Completion, Effect, Hub};

use super::common::House;
use super::heap::{Heap, calls};
use super::{address, answer, assert_within, forget_all};

#[test]
fn a_connection_with_everything_takes_no_more_than_it_is_counted_with() {
    const COUNT: u32 = 2_000;
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let heap = Heap::now();
    let mut waiting = Vec::with_capacity(COUNT as usize);
    for number in 0..COUNT {
        let conn = house.connect(address(number));
        // guests with the longest names that have an escape in each place
        house.name(conn, &format!("{number:04}{}", "\"".repeat(60)), PeerKind::Stream);
        let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
        house.complete(token, Completion::Reserved);
        let away = format!("{}\u{ad}", "x".repeat(250));
        assert!(answer(&mut house, conn, "/away", &away).contains("You are away"));
        for _ in 0..19 {
            house.send_raw(conn, b"{}");
        }
        // and a longest name that it waits for
        house.send(conn, "/nick", &format!("{number:064}"));
        let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
        waiting.push(token);
        forget_all(&mut house);
    }
    let usage = house.hub.usage();
    assert_eq!(house.hub.online(), COUNT as usize);
    let each = usage.sessions.bytes / COUNT as usize;
    println!("at most {each} bytes for each connection, {} used", heap.grown() / COUNT as usize);
    assert!(each < 4 * 1024, "{each} bytes for each connection");
    let tokens = waiting.capacity() * size_of_val(&waiting[0]);
    assert_within("sessions", heap.grown() - tokens, usage.sessions.bytes);
    assert!(heap.grown() - tokens > usage.sessions.bytes / 2, "the estimate is not a wild one");
}

#[test]
fn temporary_names_cost_no_more_work_where_the_next_ones_are_withheld() {
    let mut house = House::of(Hub::builder().accounts(AccountPolicy::Optional));
    let guest = |house: &mut House, number| {
        let conn = house.connect(address(number));
        house.name(conn, "alice", PeerKind::Stream);
        let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
        house.complete(token, Completion::Reserved);
        assert!(!house.mail().closes(conn));
    };
    let usual = calls(|| guest(&mut house, 0));
    for number in 2..3_000 {
        let name = UserName::new(&format!("alice~{number}")).unwrap();
        let change = AccountChange::Added(chatproto::hub::Role::User);
        house.hub.handle_account_change(&name, change, 1, house.now, &mut house.out);
    }
    let online = house.hub.online();
    let (mut most, count) = (0, 100);
    for number in 0..count {
        most = most.max(calls(|| guest(&mut house, 10_000 + number)));
    }
    println!("{usual} calls of the allocator for a guest, {most} at most");
    assert!(most < usual + 500, "{most} calls of the allocator");
    assert_eq!(house.hub.online(), online + count as usize, "everybody has a name");
}
