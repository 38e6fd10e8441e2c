//! `/mute`: silences a user.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::terms::until;
use super::super::{Action, Done, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/mute",
    arguments: "NAME [DURATION] [REASON]",
    help: "Silences a user, for a duration such as 10min or until /unmute. The user is told the reason. Commands of the user still work. The mute holds for the name after a reconnect.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some((user, duration, reason)) = call.sanction(&COMMAND, &text) else { return };
    let user = user.to_string();
    if let Some(Done::Muted(name)) = call.act(Action::Mute { user, duration, reason }) {
        call.answer(&format!("Muted {name}{}.", until(duration, "/unmute", call.now)));
    }
}
