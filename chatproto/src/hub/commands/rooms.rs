//! `/rooms`: the rooms there are.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::long_answer::Entries;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/rooms",
    arguments: "",
    help: "Lists the rooms and the number of their members.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let count = call.hub.rooms.len();
    if count == 0 {
        return call.answer("There are no rooms. Send /join #NAME to make one.");
    }
    call.answer_list(format!("Rooms ({count}): "), Entries::Rooms { after: None }, count);
}
