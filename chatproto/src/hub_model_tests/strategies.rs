//! How likely each step is in a random life of a hub.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::{Select, select};
use proptest::strategy::Union;

use crate::handshake::PeerKind;
use crate::outbox::SlowReader;

use super::names::{
    ADDRESSES, LASTING, NAMES, NO_ROOM, Name, PRESENT, Peer, ROOMS, Target, good_names,
};
use super::reference::Model;
use super::steps::{Act, Question, Setup, Step, TOKEN, Verdict, Window};

impl Setup {
    pub(super) fn any(is_crowded: bool) -> impl Strategy<Value = Setup> + use<> {
        let policy = select(&[SlowReader::DropOldest, SlowReader::Disconnect][..]);
        let (present, bystanders) =
            if is_crowded { (3..=PRESENT.len(), 95..101_usize) } else { (0..=PRESENT.len(), 0..1) };
        (policy, any::<bool>(), present, bystanders).prop_map(
            |(policy, announces, present, bystanders)| Setup {
                policy,
                announces,
                present,
                bystanders,
            },
        )
    }
}

thread_local! {
    static TALK: BoxedStrategy<Act> = talk();
    static ORDERS: BoxedStrategy<Act> = orders();
    static TIMES: BoxedStrategy<Step> = times();
}

/// What can happen next.
pub(super) fn next(model: &Model) -> BoxedStrategy<Step> {
    let mut all: Vec<(u32, BoxedStrategy<Step>)> =
        vec![(3, TIMES.with(Clone::clone)), (1, Just(Step::Restart).boxed())];
    let mut add = |weight, peers: Vec<Peer>, step: fn(Select<Peer>) -> BoxedStrategy<Step>| {
        if !peers.is_empty() {
            all.push((weight, step(select(peers))));
        }
    };
    let users = model.users();
    add(if users.len() < 3 { 6 } else { 2 }, model.offline(), |peer| {
        (peer, select(&ADDRESSES[..])).prop_map(|(peer, from)| Step::Connect(peer, from)).boxed()
    });
    add(12, model.guests(), |peer| {
        let kind = prop_oneof![3 => Just(PeerKind::Stream), 1 => Just(PeerKind::OneRead)];
        (peer, select(&NAMES[..]), kind, verdict())
            .prop_map(|(peer, name, kind, verdict)| Step::Register(peer, name, kind, verdict))
            .boxed()
    });
    add(3, model.connected(), |peer| (peer, window()).prop_map(|(p, w)| Step::Read(p, w)).boxed());
    add(1, model.connected(), |peer| peer.prop_map(Step::Vanish).boxed());
    // whoever is no user, not yet or no longer, is not listened to
    add(1, model.strangers(), |peer| sends(peer, TALK.with(Clone::clone)));
    add(6, model.moderators(), |peer| sends(peer, ORDERS.with(Clone::clone)));
    add(1, users.clone(), |peer| sends(peer, ORDERS.with(Clone::clone)));
    add(16, users, |peer| sends(peer, TALK.with(Clone::clone)));
    if let Some(last) = model.claims().checked_sub(1) {
        let decide = |(claim, grants)| Step::Decide { claim, grants };
        all.push((4, (0..=last, mostly(3, true, false)).prop_map(decide).boxed()));
    }
    Union::new_weighted(all).boxed()
}

fn sends(peer: Select<Peer>, act: BoxedStrategy<Act>) -> BoxedStrategy<Step> {
    (peer, act).prop_map(|(peer, act)| Step::Send(peer, act)).boxed()
}

/// Mostly one, and seldom the other.
fn mostly<T: Clone + fmt::Debug>(weight: u32, one: T, other: T) -> impl Strategy<Value = T> {
    prop_oneof![weight => Just(one), 1 => Just(other)]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    use Verdict::{AnswersLater, Grants, Refuses};
    prop_oneof![6 => Just(Grants), 1 => Just(Refuses), 2 => Just(AnswersLater)]
}

fn times() -> BoxedStrategy<Step> {
    // around the ends of everything that ends
    let short = select(&[1, 5, 100, 499, 500, 999, 1000, 1001, 2000][..]);
    let long = select(&[9_999, 10_000, 20_000, 29_999, 30_000, 59_999, 60_000, 600_000][..]);
    prop_oneof![3 => short, 2 => long].prop_map(Step::Wait).boxed()
}

fn window() -> impl Strategy<Value = Window> {
    let objects = prop_oneof![1 => Just(None), 3 => (0..4_u8).prop_map(Some)];
    (objects, any::<bool>()).prop_map(|(objects, and_a_byte)| Window { objects, and_a_byte })
}

/// Mostly one who was there at the beginning, and is no admin.
fn any_name() -> Select<Name> {
    let [_, others @ ..] = &PRESENT;
    select([&others[..], others, others, &good_names()].concat())
}

fn any_room() -> Select<&'static str> {
    select([&ROOMS[..], &[ROOMS[0], ROOMS[0], NO_ROOM]].concat())
}

/// What anybody may do.
fn talk() -> BoxedStrategy<Act> {
    let how_often = || prop_oneof![4 => Just(1), 1 => 2..7_usize];
    let long = || mostly(9, false, true);
    let question = prop_oneof![
        Just(Question::Ping),
        Just(Question::List),
        Just(Question::Rooms),
        any_room().prop_map(Question::Who),
        Just(Question::WhoAmI),
    ];
    let nobody = select(&["nobody", "Everyone", "SERVER", "BOB", "/nothing", "#nothing"][..]);
    let speech = prop_oneof![
        3 => (any_name(), how_often(), long())
            .prop_map(|(to, times, long)| Act::Write { to, times, long }),
        4 => (any_room(), how_often(), long())
            .prop_map(|(room, times, long)| Act::Say { room, times, long }),
        1 => nobody.prop_map(Act::WriteToNobody),
        2 => long().prop_map(|long| Act::Shout { long }),
    ];
    let moves = prop_oneof![
        6 => any_room().prop_map(Act::Join),
        3 => any_room().prop_map(Act::Leave),
        3 => (any_room(), 2..8_usize).prop_map(|(room, times)| Act::Hop(room, times)),
        4 => (select(&NAMES[..]), verdict()).prop_map(|(name, verdict)| Act::Nick(name, verdict)),
        1 => Just(Act::EndOfFile),
    ];
    let rest = prop_oneof![
        2 => question.prop_map(Act::Ask),
        1 => any::<bool>().prop_map(Act::Away),
        2 => mostly(4, true, false).prop_map(Act::State),
        1 => any_room().prop_map(Act::Roll),
        1 => mostly(2, TOKEN, "guess").prop_map(|token| Act::Admin { token }),
        2 => prop_oneof![1..19_usize, 19..21_usize].prop_map(Act::SchemaErrors),
        1 => Just(Act::FramingError),
    ];
    prop_oneof![8 => speech, 8 => moves, 4 => rest].boxed()
}

/// What keeps order.
fn orders() -> BoxedStrategy<Act> {
    let lasts = || select(&LASTING[..]);
    let target = || prop_oneof![any_name().prop_map(Target::Name), select(&Target::NETS[..])];
    let roles = select(&["user", "moderator", "admin"][..]);
    prop_oneof![
        2 => any_name().prop_map(Act::Kick),
        3 => (target(), lasts()).prop_map(|(target, lasts)| Act::Ban(target, lasts)),
        2 => target().prop_map(Act::Unban),
        3 => (any_name(), lasts()).prop_map(|(name, lasts)| Act::Mute(name, lasts)),
        2 => any_name().prop_map(Act::Unmute),
        2 => (any_name(), roles).prop_map(|(name, role)| Act::Role(name, role)),
        2 => any_room().prop_map(Act::Close),
        1 => Just(Act::Notice),
        1 => Just(Act::Ask(Question::Bans)),
    ]
    .boxed()
}
