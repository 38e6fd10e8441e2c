//! Each test fills a table of the hub from many addresses and counts its heap with the allocator.
//! The heap must stay within a tenth above the bound, and entries of honest users must stay.

#![allow(missing_docs, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod effects;
mod guesses;
mod heap;
mod rooms;
mod sanctions;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod timeouts;
mod workers;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chatproto::Limits;
use chatproto::handshake::PeerKind;
use chatproto::hub::{ConnId, Hub, Output};

use common::House;

/// Addresses that count as different ones: hosts of IPv4, and networks of 64 bits of IPv6.
fn address(number: u32) -> IpAddr {
    if number.is_multiple_of(2) {
        return Ipv4Addr::from(0x0a00_0000 + number).into();
    }
    let [high, low] = [(number >> 16) as u16, number as u16];
    Ipv6Addr::new(0x2001, 0xdb8, high, low, 0, 0, 0, 1).into()
}

/// Registers stream peers, each from an address of its own.
fn crowd(house: &mut House, name: &str, count: u32) -> Vec<ConnId> {
    let join = |number| {
        let conn = house.join(&format!("{name} {number}"), PeerKind::Stream, address(number));
        house.forget();
        conn
    };
    (0..count).map(join).collect()
}

/// What the last call said to a connection, in one text.
fn answer(house: &mut House, from: ConnId, to: &str, msg: &str) -> String {
    assert!(house.send(from, to, msg));
    let mail = house.mail();
    let texts: Vec<String> = mail.messages(from).into_iter().map(|message| message.msg).collect();
    texts.concat()
}

/// Forgets what was said, and the memory that it took.
fn forget_all(house: &mut House) {
    house.out = Output::new();
}

#[test]
fn the_default_bounds_have_room_for_twenty_thousand_connections() {
    let limits = Limits::default();
    let mut house = House::of(Hub::builder().directory().admin_token("token"));
    let user = house.stream("user");
    answer(&mut house, user, "/join", &format!("#{}", "x".repeat(64)));
    answer(&mut house, user, "/admin", "token");
    let reason = "r".repeat(100);
    answer(&mut house, user, "/ban", &format!("{} 1h {reason}", "x".repeat(64)));
    house.claim(&"y".repeat(64));
    let usage = house.hub.usage();
    println!("{usage:?}");
    assert!(usage.rooms.bytes * 20_000 <= limits.rooms_total / 4, "a first room for each");
    assert!(usage.effects.bytes * 20_000 <= limits.effects_total, "an effect for each");
    assert!(usage.sanctions.bytes * 9_600 <= limits.sanctions_total, "many bans");
}

/// Whether what was counted is within a tenth of a bound.
#[track_caller]
fn assert_within(what: &str, heap: usize, bound: usize) {
    println!("{what}: {heap} bytes of heap, of at most {bound}");
    assert!(heap <= bound + bound / 10, "{what}: {heap} bytes of heap, of at most {bound}");
}
