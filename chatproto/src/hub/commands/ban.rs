//! `/ban`: shuts a user or an address out.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::act::{Action, Done};
use super::super::answer::shortened;
use super::super::control::BanTarget;
use super::super::moderation::{duration_and_reason, for_so_long};
use super::super::route::text_of;
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/ban",
    arguments: "NAME|ADDRESS [DURATION] [REASON]",
    help: "Bans a name and its look-alikes, or an address or network such as 192.0.2.0/24, for a duration such as 30min, 2h or 7d, or until /unban. Banned users are told the reason and closed.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let Some(target) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let (duration, reason) = duration_and_reason(arguments);
    let target: BanTarget = match target.parse() {
        Ok(target) => target,
        Err(error) => return call.answer(&format!("❌ Not banned: {error}.")),
    };
    let action = Action::Ban { target, duration, reason: reason.to_owned() };
    if let Some(Done::Banned { target, .. }) = call.act(action) {
        let shown = target.to_string();
        call.answer(&format!("Banned {}{}.", shortened(&shown), for_so_long(duration)));
    }
}
