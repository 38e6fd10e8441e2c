//! Effects under way: claims of names, calls, and orders, of connections that are there or not.

use chatproto::accounts::AccountPolicy;
use chatproto::endpoint::Request;
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    Completion, ConnId, Conversation, Departure, Effect, Hub, HubBuilder, Page, Token,
};
use chatproto::{Limits, RoomName};

use super::common::House;
use super::heap::Heap;
use super::{address, answer, assert_within, crowd, forget_all};

const TOTAL: usize = 4 << 20;
const SERVER: &str = "the server is busy. Try again later.";
const ADDRESS: &str = "too many requests from your address are not finished yet. Try again later.";

fn house(builder: HubBuilder) -> House {
    let mut limits = Limits::default();
    limits.effects_total = TOTAL;
    House::of(builder.limits(limits))
}

/// Claims a name and leaves. Returns the claim, unless it is refused with this sentence.
fn claim_and_leave(house: &mut House, name: &str, number: u32) -> Result<Effect, String> {
    let conn = house.connect(address(number));
    house.name(conn, name, PeerKind::Stream);
    let claim = house.out.next_effect();
    let result = claim.ok_or_else(|| house.mail().refusal(conn));
    house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
    forget_all(house);
    result
}

fn token_of(effect: &Effect) -> Token {
    match effect {
        Effect::Claim { token, .. }
        | Effect::Call { token, .. }
        | Effect::Account { token, .. }
        | Effect::History { token, .. } => *token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn claims_left_behind_are_bounded_and_a_granted_name_is_always_given_back() {
    let mut house = house(Hub::builder().directory());
    let heap = Heap::now();
    let mut queue = Vec::new();
    // one address may leave 64
    let refusal = loop {
        match claim_and_leave(&mut house, &format!("{:064}", queue.len()), 1) {
            Ok(claim) => queue.push(claim),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(queue.len(), 64);
    assert!(refusal.ends_with(ADDRESS), "{refusal}");
    // and many addresses as much as there is memory for, of which others get a part
    for number in 2..1_000 {
        while let Ok(claim) = claim_and_leave(&mut house, &format!("{:064}", queue.len()), number) {
            queue.push(claim);
        }
        if number == 100 {
            let honest = house.claim_from("honest", 1_000_000);
            assert!(honest.is_ok(), "who comes late gets a name: {honest:?}");
        }
    }
    let usage = house.hub.usage().effects;
    assert!(usage.bytes <= TOTAL && usage.bytes > TOTAL * 3 / 4, "{usage:?}");
    assert_within("claims", heap.grown(), TOTAL);
    let refusal = claim_and_leave(&mut house, "late", 1).unwrap_err();
    assert!(refusal.ends_with(SERVER) || refusal.ends_with(ADDRESS), "{refusal}");
    // the directory catches up
    for claim in &queue {
        house.complete(token_of(claim), Completion::Claimed(0));
    }
    assert_eq!(house.released().len(), queue.len(), "every name is given back");
    drop(queue);
    house.hub.shrink();
    assert!(claim_and_leave(&mut house, "late", 1).is_ok());
}

impl House {
    /// A user whose name is granted at once.
    fn claim_from(&mut self, name: &str, number: u32) -> Result<ConnId, String> {
        let conn = self.connect(address(number));
        self.name(conn, name, PeerKind::Stream);
        if let Some(Effect::Claim { token, .. }) = self.out.next_effect() {
            self.complete(token, Completion::Claimed(0));
        }
        match self.hub.actor(conn) {
            Some(_) => {
                self.forget();
                Ok(conn)
            }
            None => Err(self.mail().refusal(conn)),
        }
    }
}

#[test]
fn calls_with_long_texts_are_bounded_and_who_stays_is_answered() {
    let echo = |request: &Request| Ok(request.msg.clone());
    let mut house = house(Hub::builder().endpoint("/echo", "Answers.", echo).unwrap());
    let users = crowd(&mut house, "user", 200);
    let text = "x".repeat(60_000);
    forget_all(&mut house);
    let heap = Heap::now();
    let mut queue = Vec::new();
    let mut refused = None;
    for &conn in &users {
        assert!(house.send(conn, "/echo", &text));
        match house.out.next_effect() {
            Some(call) => queue.push(call),
            None => refused = Some((conn, house.mail().only_answer(conn))),
        }
        forget_all(&mut house);
    }
    let (conn, said) = refused.expect("not all are taken");
    assert!(
        said == format!("❌ Not done: {ADDRESS}") || said == format!("❌ Not done: {SERVER}"),
        "{said}"
    );
    assert!(!house.hub.is_waiting(conn), "it can go on");
    let usage = house.hub.usage().effects;
    assert!(usage.bytes <= TOTAL && usage.bytes > TOTAL / 2, "{usage:?}");
    assert_within("calls", heap.grown(), TOTAL);
    // a short one is taken
    assert!(house.send(conn, "/echo", "hi"));
    let short = house.out.next_effect().expect("a call");
    house.complete(token_of(&short), Completion::Answered(Ok("hi".into())));
    assert_eq!(house.mail().only_answer(conn), "hi");
    for call in &queue {
        house.complete(token_of(call), Completion::Failed);
    }
    assert_eq!(house.hub.usage().effects.bytes, 0);
}

#[test]
fn calls_left_behind_by_one_address_are_bounded_and_counted_until_they_are_finished() {
    let echo = |request: &Request| Ok(request.msg.clone());
    let mut house =
        House::of(Hub::builder().directory().endpoint("/echo", "Answers.", echo).unwrap());
    let mut queue = Vec::new();
    let refusal = loop {
        match house.claim_from("user", 1) {
            Ok(conn) => {
                assert!(house.send(conn, "/echo", "hi"));
                queue.push(token_of(&house.out.next_effect().expect("a call")));
                house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
                house.released();
            }
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(queue.len(), 64);
    assert!(refusal.ends_with(ADDRESS), "{refusal}");
    assert!(house.claim_from("other", 2).is_ok(), "others do not notice");
    house.complete(queue[0], Completion::Answered(Ok("late".into())));
    assert!(house.claim_from("user", 1).is_ok());
    for &token in &queue[1..] {
        house.complete(token, Completion::Failed);
    }
    assert_eq!(house.hub.usage().effects.bytes, 0);
}

#[test]
fn a_refused_change_of_name_or_order_leaves_nothing_behind() {
    let accounts = Hub::builder().accounts(AccountPolicy::Optional).history("e", 1);
    let mut house = House::of(accounts);
    let user = crowd(&mut house, "user", 1)[0];
    let mut limits = Limits::default();
    limits.effects_total = 0;
    house.hub.set_limits(limits);
    assert_eq!(
        answer(&mut house, user, "/nick", "other"),
        format!("❌ Your name stays user 0: {SERVER}")
    );
    assert_eq!(answer(&mut house, user, "/register", "secret"), format!("❌ Not done: {SERVER}"));
    let said = answer(&mut house, user, "/sync", "");
    assert_eq!(said, format!("❌ The history was not asked: {SERVER}"));
    assert!(house.out.next_effect().is_none() && !house.hub.is_waiting(user));
    house.hub.set_limits(Limits::default());
    assert!(house.claim_from("other", 7).is_ok(), "the name was not held");
    assert_eq!(house.hub.usage().effects.bytes, 0);
}

/// The user is alone in a room and asks for its history. Returns whether the user waits for the page.
fn ask_for_page(house: &mut House, conn: ConnId, number: u32) -> bool {
    assert!(house.send(conn, "/history", &format!("#room-{number} 256")));
    house.hub.is_waiting(conn)
}

/// Users who may ask for pages, each in a room.
fn readers(house: &mut House, numbers: std::ops::Range<u32>) -> Vec<ConnId> {
    let join = |number: u32| {
        let conn = house.join(&format!("reads {number}"), PeerKind::Stream, address(number));
        assert!(house.send(conn, "/join", &format!("#room-{number}")));
        forget_all(house);
        conn
    };
    numbers.map(join).collect()
}

/// Answers the orders for pages with empty ones until no more follow. Returns the users, in order.
fn answer_pages(house: &mut House, mut orders: Vec<Token>) -> Vec<ConnId> {
    let mut answered = Vec::new();
    while !orders.is_empty() {
        for token in std::mem::take(&mut orders) {
            let at = Conversation::room(&RoomName::new("#room").unwrap());
            if house.complete(token, Completion::Replayed(at, Ok(Page::default()))).is_some() {
                answered.push(token.conn());
            }
            orders.extend(pages_to_read(house));
            forget_all(house);
        }
    }
    answered
}

/// The orders for pages that are handed out.
fn pages_to_read(house: &mut House) -> Vec<Token> {
    let orders = std::iter::from_fn(|| house.out.next_effect());
    orders.map(|effect| token_of(&effect)).collect()
}

#[test]
fn pages_of_users_who_left_take_no_memory_and_no_place() {
    let mut house = house(Hub::builder().history("e", 1));
    let early = readers(&mut house, 0..9);
    // eight of these pages are being read, and one waits in front of all others
    for (&conn, number) in early.iter().zip(0..) {
        assert!(ask_for_page(&mut house, conn, number));
    }
    let orders = pages_to_read(&mut house);
    let before = house.hub.usage().effects;
    let heap = Heap::now();
    // more than there is room for
    for number in 9..6_000 {
        let conn = readers(&mut house, number..number + 1)[0];
        assert!(ask_for_page(&mut house, conn, number), "user {number} is refused");
        house.hub.handle_disconnect(conn, Departure::Lost, house.now, &mut house.out);
        forget_all(&mut house);
    }
    assert_eq!(house.hub.usage().effects, before);
    house.hub.shrink();
    assert_within("pages left behind", heap.grown(), 64 * 1024);
    assert_eq!(answer_pages(&mut house, orders), early);
    assert_eq!(house.hub.usage().effects.bytes, 0);
}

#[test]
fn pages_that_wait_are_bounded_and_their_memory_is_given_back() {
    let mut house = house(Hub::builder().history("e", 1));
    let users = readers(&mut house, 0..6_000);
    let ask_each = |house: &mut House| {
        for (&conn, number) in users.iter().zip(0..) {
            assert!(ask_for_page(house, conn, number));
            let orders = pages_to_read(house);
            assert_eq!(answer_pages(house, orders), [conn]);
        }
        house.hub.shrink();
    };
    // each user has what it keeps after the first page
    ask_each(&mut house);
    let heap = Heap::now();
    let (mut waiting, mut orders) = (Vec::new(), Vec::new());
    for (&conn, number) in users.iter().zip(0..) {
        if ask_for_page(&mut house, conn, number) {
            waiting.push(conn);
        }
        orders.extend(pages_to_read(&mut house));
        forget_all(&mut house);
    }
    let usage = house.hub.usage().effects;
    assert!(usage.bytes <= TOTAL && usage.bytes > TOTAL * 3 / 4, "{usage:?}");
    assert!(waiting.len() < users.len(), "the last ones are refused");
    assert_within("pages that wait", heap.grown(), TOTAL);
    assert_eq!(orders.len(), 8, "few are read at a time");
    assert_eq!(answer_pages(&mut house, orders), waiting);
    assert_eq!(house.hub.usage().effects.bytes, 0);
    drop(waiting);
    house.hub.shrink();
    assert_within("answered pages", heap.grown(), 64 * 1024);
}
