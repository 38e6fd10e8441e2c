//! `/role`: makes somebody a moderator.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::{Action, Done, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/role",
    arguments: "NAME user|moderator|admin",
    help: "Gives a user a role, until the connection ends.",
    role: Role::Admin,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some([user, role]) = call.exactly(&COMMAND, &text) else { return };
    let Some(role) = Role::ALL.into_iter().find(|known| role == *known.to_string()) else {
        return call.answer_usage(&COMMAND);
    };
    if let Some(Done::Role(name)) = call.act(Action::Role { user: user.to_string(), role }) {
        call.answer(&format!("{name} is {} now.", role.one()));
    }
}
