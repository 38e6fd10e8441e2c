//! `/ping`: the text comes back (B15).

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/ping",
    arguments: "[TEXT]",
    help: "Answers with the text. All earlier commands are answered before it.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    call.answer_as_it_is(if text.is_empty() { "pong" } else { &text });
}
