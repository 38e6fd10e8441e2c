//! `/close`: closes a room.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::Act;
use super::super::moderation::because;
use super::super::route::{no_room, text_of};
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/close",
    arguments: "#ROOM [REASON]",
    help: "Closes a room. Its members are told the reason.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let Some(name) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let reason = arguments.rest();
    let Some(room) = call.hub.find_room(name) else { return call.answer(&no_room(name)) };
    let name = call.hub.rooms.get(room).map_or(String::new(), |room| room.name.to_string());
    call.report(Act::Close, name.clone(), None, reason);
    let told = format!("{} closed the room{}.", call.user(), because(reason));
    call.hub.close_room(room, &told, call.out);
    call.answer(&format!("Closed {name}."));
}
