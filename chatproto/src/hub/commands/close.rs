//! `/close`: closes a room.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::{Action, Done, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/close",
    arguments: "#ROOM [REASON]",
    help: "Closes a room. Its members are told the reason.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some((room, reason)) = call.first_and_text(&COMMAND, &text) else { return };
    if let Some(Done::Closed(name)) = call.act(Action::Close { room: room.to_string(), reason }) {
        call.answer(&format!("Closed {name}."));
    }
}
