//! Memory of the table of users, also after a crowd has gone.

use std::net::Ipv4Addr;

use super::*;

#[test]
fn the_memory_of_those_who_left_is_given_back_and_their_ids_are_not() {
    let mut users = Users::new(0, false);
    let connect = |users: &mut Users| users.connect(0, Ipv4Addr::LOCALHOST.into()).0;
    let crowd: Vec<ConnId> = (0..1_000).map(|_| connect(&mut users)).collect();
    for conn in crowd.iter().filter(|conn| !matches!(conn.slot, 3 | 500)) {
        users.disconnect(*conn);
    }
    users.shrink();
    assert_eq!(users.lanes[0].slots.len(), 501);
    users.disconnect(crowd[500]);
    users.shrink();
    let Lane { slots, free, .. } = &users.lanes[0];
    assert_eq!((slots.len(), free.len()), (4, 3));
    assert!(slots.capacity() < 10 && free.capacity() < 10);
    // the lowest slots are used first, and nobody is taken for somebody who had one before
    let fresh: Vec<ConnId> = (0..5).map(|_| connect(&mut users)).collect();
    let slots: Vec<usize> = fresh.iter().map(|conn| conn.slot()).collect();
    assert_eq!(slots, [0, 1, 2, 4, 5]);
    assert!(crowd.iter().filter(|conn| conn.slot != 3).all(|&conn| users.get(conn).is_none()));
    assert!(users.get(crowd[3]).is_some());
}

#[test]
fn memory_of_many_that_may_soon_be_needed_again_is_kept() {
    let mut users = Users::new(0, true);
    let connect = |users: &mut Users, number: usize| {
        let conn = users.connect(0, Ipv4Addr::LOCALHOST.into()).0;
        users.claim(conn, &UserName::new(&format!("user {number}")).unwrap());
        users.register(conn);
        conn
    };
    let crowd: Vec<ConnId> = (0..4_000).map(|number| connect(&mut users, number)).collect();
    let room = |users: &Users| {
        let Lane { slots, .. } = &users.lanes[0];
        let of_alike = users.alike.as_ref().unwrap().capacity();
        let of_names = users.names.capacity().min(of_alike);
        (
            slots.len(),
            slots.capacity(),
            of_names,
            of_alike.max(users.names.capacity()),
            users.roster.capacity(),
        )
    };
    let before = room(&users);
    for conn in &crowd[2_000..] {
        users.disconnect(*conn);
    }
    users.shrink();
    let (slots, of_slots, of_names, _, of_roster) = room(&users);
    assert_eq!((slots, of_slots, of_roster), (before.0, before.1, before.4));
    assert!(of_names >= 4_000, "{of_names}");
    // with hardly anybody left it is given back
    for conn in &crowd[10..2_000] {
        users.disconnect(*conn);
    }
    users.shrink();
    let (slots, of_slots, _, of_names, of_roster) = room(&users);
    assert_eq!(slots, 10);
    assert!(of_slots < 40 && of_names < 40 && of_roster < 40);
    let names: Vec<&str> = users.names().collect();
    assert_eq!(names.len(), 10);
    assert!(names.iter().all(|name| users.find(name).is_some()), "every name is found again");
}
