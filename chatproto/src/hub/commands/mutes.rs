//! `/mutes`: who is muted.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::long_answer::Entries;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/mutes",
    arguments: "",
    help: "Lists the mutes of names, with actor, remaining time, age and reason.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let count = call.hub.sanctions.mutes(call.now.monotonic).count();
    call.out.examine(count);
    if count == 0 {
        return call.answer("Nobody is muted.");
    }
    call.answer_list(format!("Mutes ({count}): "), Entries::Mutes { after: None }, count);
}
