//! `/sync`: says when everything that came before is safe.

use crate::message::MessageRef;

use super::super::hub::Call;
use super::super::{HistoryOrder, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/sync",
    arguments: "",
    help: "Answers when all your earlier messages are stored, with the number of the last one.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let conn = call.conn;
    call.order(HistoryOrder::Sync { conn });
}
