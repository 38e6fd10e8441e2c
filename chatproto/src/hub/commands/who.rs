//! `/who`: the members of a room.

use crate::message::MessageRef;

use super::super::arguments::{only_argument, text_of};
use super::super::hub::Call;
use super::super::long_answer::Entries;
use super::super::replies::no_room;
use super::super::Role;
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
    let Some(id) = call.hub.find_room(&name) else { return call.answer(&no_room(&name)) };
    let Some(room) = call.hub.rooms.get(id) else { return };
    let count = room.members.len();
    let head = format!("Members of {} ({count}): ", room.name);
    let entries = Entries::members(call.hub, id);
    call.answer_list(head, entries, count);
}
