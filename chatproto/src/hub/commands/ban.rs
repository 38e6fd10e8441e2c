//! `/ban`: shuts a user or an address out.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::terms::until;
use super::super::{Action, BanTarget, Done, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/ban",
    arguments: "NAME|ADDRESS [DURATION] [REASON]",
    help: "Bans a name and its look-alikes, or an address or network such as 192.0.2.0/24, for a duration such as 30min, 2h or 7d, or until /unban. Banned users are told the reason and closed. A target in double quotes is always a name.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some((target, duration, reason)) = call.sanction(&COMMAND, &text) else { return };
    let target = match BanTarget::of(&target).and_then(BanTarget::check) {
        Ok(target) => target,
        Err(error) => return call.answer(&format!("❌ Not banned: {error}.")),
    };
    if let Some(Done::Banned { target, .. }) = call.act(Action::Ban { target, duration, reason }) {
        let until = until(duration, "/unban", call.now);
        call.answer(&format!("Banned {}{until}.", target.described()));
    }
}
