//! Wrong tokens of `/admin` from very many addresses.

use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::hub::{Departure, Hub};

use super::common::{HOME, House};
use super::heap::Heap;
use super::{address, answer, assert_within, forget_all};

const WRONG: &str = "❌ That is not the token.";

/// Sends a token from an address of its own, and leaves; what was answered.
fn guess(house: &mut House, number: u32, token: &str) -> String {
    let conn = house.join("mallory", PeerKind::Stream, address(number));
    house.forget();
    let said = answer(house, conn, "/admin", token);
    house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
    forget_all(house);
    said
}

#[test]
fn tokens_from_very_many_addresses_have_a_rate_and_their_counts_stay_within_their_bytes() {
    let mut house = House::of(Hub::builder().admin_token("token"));
    let admin = house.stream("admin");
    assert_eq!(answer(&mut house, admin, "/admin", "token"), "You are an admin now.");
    house.hub.handle_disconnect(admin, Departure::Left, house.now, &mut house.out);
    forget_all(&mut house);
    let heap = Heap::now();
    let (mut compared, mut most) = (0, 0);
    let seconds = 10_000;
    for number in 0..=seconds {
        // more than the rate of all addresses, until counts end as fast as others begin
        let said = guess(&mut house, number, "guess");
        if said == WRONG {
            compared += 1;
        } else {
            assert!(said.starts_with("❌ Too many wrong tokens. Try again in "), "{said}");
        }
        most = most.max(heap.grown());
        house.now.monotonic += Duration::from_secs(1);
    }
    assert_eq!(compared, 100 + seconds / 6, "a hundred at once, and one in 6 s");
    // the right token is not compared either, or each answer would say whether it is right
    let said = guess(&mut house, 20_000, "token");
    assert!(said.starts_with("❌ Too many wrong tokens."), "{said}");
    let usage = house.hub.usage().guesses;
    assert!(usage.bytes <= usage.most && usage.bytes > usage.most / 2, "{usage:?}");
    assert_within("wrong tokens", most, usage.most);
    // who has sent the right token before is not locked out
    let admin = house.join("admin", PeerKind::Stream, HOME);
    house.forget();
    assert_eq!(answer(&mut house, admin, "/admin", "token"), "You are an admin now.");
}
