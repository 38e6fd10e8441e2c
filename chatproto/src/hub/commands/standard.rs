//! `/standard`: the shape of a message.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/standard",
    arguments: "",
    help: "Shows the shape of a message, a JSON object.",
    role: Role::User,
    run,
};

/// The schema as text: a message whose four values say their type.
pub(crate) const STANDARD: &str =
    r#"{"from": {"name": "string", "ip": "string"}, "to": "string", "msg": "string"}"#;

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    call.answer(STANDARD);
}
