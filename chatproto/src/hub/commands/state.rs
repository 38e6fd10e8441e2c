//! `/state`: lines for programs that say what changes.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::session::Phase;
use super::super::state::rights;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/state",
    arguments: "on|off",
    help: "Sends you lines for programs that say who joins, leaves or is renamed, and what happens to you.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let wants_state = match &*text_of(message, COMMAND.name) {
        "on" => true,
        "off" => false,
        _ => return call.answer_usage(&COMMAND),
    };
    call.hub.set_wants_state(call.conn, wants_state);
    if !wants_state {
        return call.say_line("Reporting off");
    }
    let session = call.session();
    // a program that would ask more has to log in before
    let visitor = if session.phase == Phase::Visitor { " visitor=true" } else { "" };
    call.say_line(&format!("Reporting on {}{visitor}", rights(session)));
    call.hub.send_owed(call.conn, call.now, call.out);
}
