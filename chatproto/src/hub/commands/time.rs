//! `/time`: the server's clock.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/time",
    arguments: "",
    help: "Shows the server's local time and date.",
    role: Role::User,
    run,
};

/// `HH:MM:SS (YYYY-MM-DD)`, with leading zeros.
fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let local = call.now.local;
    call.answer(&format!("Server time: {} ({})", local.time(), local.date()));
}
