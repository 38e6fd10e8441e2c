//! `/roll`: dice that nobody can load.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::excerpt::quoted;
use super::super::hub::Call;
use super::super::room::Audience;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/roll",
    arguments: "[#ROOM] [2d6]",
    help: "Rolls dice, by default one with six sides, and tells the members of the room if you name one.",
    role: Role::User,
    run,
};

/// Most dice, and most sides.
const MOST: u32 = 20;
const SIDES: u32 = 1_000_000;

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some(arguments) = call.arguments(&COMMAND, &text) else { return };
    let (room, rest) = match &arguments[..] {
        [room, rest @ ..] if room.starts_with('#') => (Some(&**room), rest),
        rest => (None, rest),
    };
    let dice = match rest {
        [] => Some((1, 6)),
        [dice] => self::dice(dice),
        _ => None,
    };
    let Some((count, sides)) = dice else {
        return call.answer(&format!(
            "❌ Send {}: at most {MOST} dice of at most {SIDES} sides.",
            COMMAND.usage()
        ));
    };
    let room = match room.map(|name| (name, call.own_room(name))) {
        None => None,
        Some((_, Some(room))) => Some(room),
        Some((name, None)) => {
            return call.answer(&format!("❌ You are not in {}.", quoted(name)));
        }
    };
    if room.is_some() && !call.may_speak() {
        return;
    }
    let rolls: Vec<u32> = (0..count).map(|_| call.hub.dice.u32(1..=sides)).collect();
    let total: u32 = rolls.iter().sum();
    let rolls = rolls.iter().map(u32::to_string).collect::<Vec<_>>().join(" + ");
    let each = if count == 1 { String::new() } else { format!(": {rolls}") };
    let text = format!("{} rolled {total} ({count}d{sides}{each}).", call.user());
    call.answer(&text);
    if let Some(room) = room {
        call.hub.say_to_others(Audience::Room(room), Some(call.conn), &text, call.out);
    }
}

/// Reads `2d6`, or `d6`.
fn dice(text: &str) -> Option<(u32, u32)> {
    let (count, sides) = text.split_once(['d', 'D'])?;
    let count = if count.is_empty() { 1 } else { count.parse().ok()? };
    let sides = sides.parse().ok()?;
    ((1..=MOST).contains(&count) && (1..=SIDES).contains(&sides)).then_some((count, sides))
}
