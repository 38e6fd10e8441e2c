//! `/list`: who else is connected.

use crate::message::MessageRef;

use super::super::Call;
use super::Command;

pub(super) const COMMAND: Command =
    Command { name: "/list", help: "Lists the other users that are connected.", run };

/// The requester is not in the list; a list that is too long is cut by B11.
fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let users = &call.hub.users;
    let count = users.online() - 1;
    if count == 0 {
        return call.answer("No other users are connected.");
    }
    let names = users.others(call.conn).filter_map(|(_, session)| session.name());
    call.answer_list(&format!("Connected users ({count}): "), names, count);
}
