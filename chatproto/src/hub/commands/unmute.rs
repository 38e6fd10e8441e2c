//! `/unmute`: gives the word back.

use crate::message::MessageRef;

use super::super::act::muted_as;
use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::{Action, Done, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/unmute",
    arguments: "NAME",
    help: "Lets a muted user speak again.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some([user]) = call.exactly(&COMMAND, &text) else { return };
    if let Some(Done::Unmuted(name)) = call.act(Action::Unmute { user: user.to_string() }) {
        let text = match call.hub.muting_name(name.as_str(), call.now) {
            Some(wanted) => {
                let still = muted_as(name.as_str(), wanted.as_str());
                format!("That mute is lifted, but {still}")
            }
            None => format!("{name} may speak again."),
        };
        call.answer(&text);
    }
}
