//! `/mute`: takes the word from a user.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::act::{Action, Done};
use super::super::moderation::{duration_and_reason, for_so_long};
use super::super::route::text_of;
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/mute",
    arguments: "NAME [DURATION]",
    help: "Silences a user, for a duration such as 10min or until /unmute. Commands of the user still work. The mute holds for the name after a reconnect.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let Some(user) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let (duration, reason) = duration_and_reason(arguments);
    let (user, reason) = (user.to_owned(), reason.to_owned());
    if let Some(Done::Muted(name)) = call.act(Action::Mute { user, duration, reason }) {
        call.answer(&format!("Muted {name}{}.", for_so_long(duration)));
    }
}
