//! `/bans`: who is banned.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::long_answer::Entries;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/bans",
    arguments: "",
    help: "Lists the bans, with actor, remaining time, age and reason.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let count = call.hub.sanctions.bans(call.now.monotonic).count();
    call.out.examine(count);
    if count == 0 {
        return call.answer("Nobody is banned.");
    }
    call.answer_list(format!("Bans ({count}): "), Entries::Bans { after: None }, count);
}
