//! `/list`: who else is connected.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::long_answer::Entries;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/list",
    arguments: "",
    help: "Lists the other users and their number.",
    role: Role::User,
    run,
};

/// The requester is not in the list; a list that is too long is cut by B11.
fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let count = call.hub.users.online() - 1;
    if count == 0 {
        return call.answer("No other users are connected.");
    }
    let entries = Entries::Users { except: Some(call.conn), after: None };
    call.answer_list(format!("Connected users ({count}): "), entries, count);
}
