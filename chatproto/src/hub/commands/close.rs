//! `/close`: closes a room.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::act::{Action, Done};
use super::super::route::text_of;
use super::super::{Call, Role};
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
    let mut arguments = Arguments::new(&text);
    let Some(room) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let action = Action::Close { room: room.to_owned(), reason: arguments.rest().to_owned() };
    if let Some(Done::Closed(name)) = call.act(action) {
        call.answer(&format!("Closed {name}."));
    }
}
