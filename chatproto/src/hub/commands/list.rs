//! `/list`: who else is connected.

use crate::message::MessageRef;

use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/list",
    arguments: "",
    help: "Lists the other users that are connected, with their number.",
    role: Role::User,
    run,
};

/// The requester is not in the list; a list that is too long is cut by B11.
fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let users = &call.hub.users;
    let count = users.online() - 1;
    if count == 0 {
        return call.answer("No other users are connected.");
    }
    let names = users.others(call.conn).filter_map(|(_, session)| session.name());
    let parts = call.layout().list(&format!("Connected users ({count}): "), names, count);
    call.answer_parts(parts);
}
