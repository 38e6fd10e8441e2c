//! `/leave`: is a member of a room no longer.

use crate::message::MessageRef;

use super::super::arguments::{only_argument, text_of};
use super::super::excerpt::quoted;
use super::super::hub::Call;
use super::super::presence::Change;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/leave",
    arguments: "#ROOM",
    help: "Leaves a room.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let name = match only_argument(&text) {
        Ok(Some(name)) => name,
        Ok(None) => return call.answer_usage(&COMMAND),
        Err(reason) => return call.answer(&format!("❌ Not left: {reason}")),
    };
    let Some(room) = call.own_room(&name) else {
        return call.answer(&format!("❌ You are not in {}.", quoted(&name)));
    };
    let name = call.hub.rooms.get(room).map(|room| std::sync::Arc::clone(&room.name));
    call.answer(&format!("Left {}.", name.as_deref().unwrap_or_default()));
    call.hub.state_moved(call.conn, name.as_deref(), false, "left", call.out);
    call.hub.leave_room(call.conn, room, Change::Left, call.now, call.out);
}
