//! `/bans`: who is banned.

use crate::message::MessageRef;

use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/bans",
    arguments: "",
    help: "Lists the bans: who, for how long, by whom and why.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let now = call.now.monotonic;
    let lines: Vec<String> = call.hub.sanctions.bans(now).map(|ban| ban.line(now)).collect();
    if lines.is_empty() {
        return call.answer("Nobody is banned.");
    }
    let count = lines.len();
    let parts = call.layout().list(&format!("Bans ({count}): "), lines.into_iter(), count);
    call.answer_parts(parts);
}
