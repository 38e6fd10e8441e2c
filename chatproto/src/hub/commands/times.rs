//! `/times`: tells when each message was kept that is shown again.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/times",
    arguments: "on|off",
    help: "Sends you the time of each earlier message, with /history and with messages from while you were away.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let wants = match &*text_of(message, COMMAND.name) {
        "on" => true,
        "off" => false,
        _ => return call.answer_usage(&COMMAND),
    };
    if let Some(session) = call.hub.users.get_mut(call.conn) {
        session.extras_mut().wants_times = wants;
    }
    call.answer(if wants { "Times are on." } else { "Times are off." });
}
