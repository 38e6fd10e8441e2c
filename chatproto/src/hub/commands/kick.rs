//! `/kick`: ends a connection.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::act::{Action, Done};
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
    let Some(user) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let action = Action::Kick { user: user.to_owned(), reason: arguments.rest().to_owned() };
    if let Some(Done::Kicked(name)) = call.act(action) {
        call.answer(&format!("Kicked {name}."));
    }
}
