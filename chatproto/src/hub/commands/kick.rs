//! `/kick`: ends a connection.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::{Action, Done, Role};
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
    let Some((user, reason)) = call.first_and_text(&COMMAND, &text) else { return };
    if let Some(Done::Kicked(name)) = call.act(Action::Kick { user: user.to_string(), reason }) {
        call.answer(&format!("Kicked {name}."));
    }
}
