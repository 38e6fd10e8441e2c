//! `/cursors`: tells the numbers under which messages are kept.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/cursors",
    arguments: "on|off",
    help: "Sends you the number of the last message after each burst in one of your rooms, for /history since.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let watches = match &*text_of(message, COMMAND.name) {
        "on" => true,
        "off" => false,
        _ => return call.answer_usage(&COMMAND),
    };
    call.hub.set_watching(call.conn, watches);
    call.answer(if watches { "Cursors are on." } else { "Cursors are off." });
}
