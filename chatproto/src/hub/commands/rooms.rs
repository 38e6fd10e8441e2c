//! `/rooms`: the rooms there are.

use crate::message::MessageRef;

use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/rooms",
    arguments: "",
    help: "Lists the rooms, with the number of their members.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let rooms = &call.hub.rooms;
    let count = rooms.len();
    if count == 0 {
        return call.answer("There are no rooms. Send /join #NAME to make one.");
    }
    let lines = rooms.iter().map(|room| format!("{} ({})", room.name, room.members.len()));
    let parts = call.layout().list(&format!("Rooms ({count}): "), lines, count);
    call.answer_parts(parts);
}
