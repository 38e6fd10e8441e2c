//! `/kick`: ends a connection.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::Act;
use super::super::route::text_of;
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/kick",
    arguments: "NAME [REASON]",
    help: "Closes a user's connection, and tells the user the reason.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let Some(name) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let reason = arguments.rest();
    let Some((victim, name)) = call.find_subordinate(name) else { return };
    call.report(Act::Kick, name.as_str().to_owned(), None, reason);
    call.expel(victim, "kicked", reason);
    call.answer(&format!("Kicked {name}."));
}
