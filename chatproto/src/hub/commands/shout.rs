//! `/shout`: a message to everybody else.

use crate::message::MessageRef;
use crate::name::EVERYONE;

use super::super::delivery::{broadcast, write_forward};
use super::super::hub::Call;
use super::super::replies::users;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/shout",
    arguments: "TEXT",
    help: "Sends the text to all other users and answers with their number.",
    role: Role::User,
    run,
};

/// `msg` goes out as it is: nothing is dropped from its beginning (B10).
fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    if !call.may_speak() {
        return;
    }
    let hub = &*call.hub;
    let Some(sender) = hub.users.get(call.conn) else { return };
    let count = hub.users.online();
    let sent = broadcast(call.out, count, hub.users.others(call.conn), |out, kind| {
        write_forward(out, &hub.limits, sender, kind, message, EVERYONE, EVERYONE)
    });
    let mut answer = format!("Delivered to {}.", users(sent.delivered));
    if sent.too_long > 0 {
        answer.push_str(&format!(" Too long for {}: send a shorter text.", users(sent.too_long)));
    }
    call.answer(&answer);
}
