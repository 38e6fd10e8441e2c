//! Lives of a hub made of bytes: a fuzzer chooses the steps.
//!
//! The first byte is how it begins. Of then on five bytes each are a step: what happens, to whom,
//! and three more that say how. Every step stands by itself, so that a fuzzer can change, move and
//! repeat it without changing what the others mean.

use crate::handshake::PeerKind;
use crate::outbox::SlowReader;

use super::names::{
    ADDRESSES, LASTING, NAMES, NO_ROOM, Name, PRESENT, Peer, ROOMS, Target, good_names,
};
use super::reference::Model;
use super::steps::{Act, Question, Setup, Step, TOKEN, Verdict, Window};
use super::system::System;

/// Most steps of a life: more take longer, and show nothing else.
const MOST_STEPS: usize = 100;
/// The same in a crowd, where each takes much longer.
const MOST_IN_A_CROWD: usize = 20;

/// Lets it happen to a hub and its model.
pub(crate) fn hub_operations(input: &[u8]) {
    let Some((&first, steps)) = input.split_first() else { return };
    let setup = setup(first);
    let most = if setup.bystanders > 0 { MOST_IN_A_CROWD } else { MOST_STEPS };
    let mut model = Model::new(setup);
    let mut system = System::new(&model);
    for code in steps.as_chunks().0.iter().take(most) {
        if let Some(step) = step(&model, *code) {
            assert!(model.can(&step), "{step:?} makes no sense");
            model.apply(&step);
            system.apply(&step);
            system.compare(&model);
        }
    }
    system.finish(&model);
}

fn setup(byte: u8) -> Setup {
    Setup {
        policy: if byte & 1 == 0 { SlowReader::Disconnect } else { SlowReader::DropOldest },
        announces: byte & 2 != 0,
        present: usize::from(byte >> 2 & 7).min(PRESENT.len()),
        bystanders: if byte >> 5 == 7 { 98 } else { 0 },
    }
}

/// The step, if somebody is there who can do it.
fn step(model: &Model, [what, who, how, x, y]: [u8; 5]) -> Option<Step> {
    let one_of = |peers: Vec<Peer>| (!peers.is_empty()).then(|| pick(&peers, who));
    let times = [1, 5, 499, 500, 1000, 1001, 9_999, 10_000, 20_000, 29_999, 60_000, 600_000];
    Some(match what % 16 {
        0 => Step::Wait(pick(&times, how)),
        1 => Step::Wait(u64::from(u16::from_le_bytes([x, y]))),
        2 => Step::Connect(one_of(model.offline())?, pick(&ADDRESSES, how)),
        3 => {
            let kind = pick(&[PeerKind::Stream, PeerKind::OneRead], x);
            Step::Register(one_of(model.guests())?, pick(&NAMES, how), kind, verdict(y))
        }
        4 => {
            let objects = (how < 0xc0).then_some(how % 4);
            let window = Window { objects, and_a_byte: x & 1 == 1 };
            Step::Read(one_of(model.connected())?, window)
        }
        5 => Step::Vanish(one_of(model.connected())?),
        6 => {
            let claim = usize::from(who).checked_rem(model.claims())?;
            Step::Decide { claim, grants: how & 1 == 1 }
        }
        7 => Step::Send(one_of(model.strangers())?, talk(how, x, y)),
        8..12 => Step::Send(one_of(model.users())?, talk(how, x, y)),
        12 | 13 => Step::Send(one_of(model.users())?, orders(how, x, y)),
        _ => Step::Send(one_of(model.moderators())?, orders(how, x, y)),
    })
}

fn pick<T: Copy>(list: &[T], by: u8) -> T {
    list[usize::from(by) % list.len()]
}

fn name(by: u8) -> Name {
    pick(&[&PRESENT[..], &good_names()].concat(), by)
}

fn room(by: u8) -> &'static str {
    pick(&[&ROOMS[..], &[NO_ROOM]].concat(), by)
}

fn verdict(by: u8) -> Verdict {
    pick(&[Verdict::Grants, Verdict::Refuses, Verdict::AnswersLater], by)
}

/// What anybody may do.
fn talk(how: u8, x: u8, y: u8) -> Act {
    let (times, long) = (usize::from(y % 8) + 1, y & 0x80 != 0);
    let nobody = ["nobody", "Everyone", "SERVER", "BOB", "/nothing", "#nothing"];
    match how % 21 {
        0 | 1 => Act::Write { to: name(x), times, long },
        2 | 3 => Act::Say { room: room(x), times, long },
        4 => Act::WriteToNobody(pick(&nobody, x)),
        5 => Act::Shout { long },
        6 => Act::Join(room(x)),
        7 => Act::Leave(room(x)),
        8 => Act::Hop(room(x), times),
        9 => Act::Nick(pick(&NAMES, x), verdict(y)),
        10 => Act::Away(x & 1 == 1),
        11 => Act::Roll(room(x)),
        12 => Act::Admin { token: pick(&[TOKEN, "guess"], x) },
        13 => Act::SchemaErrors(usize::from(x % 20) + 1),
        14 => Act::FramingError,
        15 => Act::EndOfFile,
        16 => Act::Ask(Question::Ping),
        17 => Act::Ask(pick(&[Question::List, Question::Rooms], x)),
        18 => Act::Ask(Question::Who(room(x))),
        19 => Act::State(x & 3 != 0),
        _ => Act::Ask(Question::WhoAmI),
    }
}

/// What keeps order.
fn orders(how: u8, x: u8, y: u8) -> Act {
    let target = || match x & 1 {
        0 => Target::Name(name(x >> 1)),
        _ => pick(&Target::NETS, x >> 1),
    };
    match how % 9 {
        0 => Act::Kick(name(x)),
        1 => Act::Ban(target(), pick(&LASTING, y)),
        2 => Act::Unban(target()),
        3 => Act::Mute(name(x), pick(&LASTING, y)),
        4 => Act::Unmute(name(x)),
        5 => Act::Role(name(x), pick(&["user", "moderator", "admin"], y)),
        6 => Act::Close(room(x)),
        7 => Act::Notice,
        _ => Act::Ask(Question::Bans),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_life() {
        fastrand::seed(1);
        for first in 0..=u8::MAX {
            let steps = std::iter::repeat_with(|| fastrand::u8(..)).take(5 * 20);
            hub_operations(&std::iter::once(first).chain(steps).collect::<Vec<_>>());
        }
    }
}
