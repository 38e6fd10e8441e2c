//! `/who`: the members of a room.

use crate::message::MessageRef;

use super::super::route::{no_room, only_argument, text_of};
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/who",
    arguments: "#ROOM",
    help: "Lists the members of a room.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let name = match only_argument(&text) {
        Ok(Some(name)) => name,
        Ok(None) => return call.answer_usage(&COMMAND),
        Err(reason) => return call.answer(&format!("❌ {reason}")),
    };
    let Some(room) = call.hub.find_room(name).and_then(|room| call.hub.rooms.get(room)) else {
        return call.answer(&no_room(name));
    };
    let members = call.hub.users.sessions(&room.members);
    let names = members.filter_map(|(_, session)| session.name());
    let count = room.members.len();
    let head = format!("Members of {} ({count}): ", room.name);
    let parts = call.layout().list(&head, names, count);
    call.answer_parts(parts);
}
