//! `/unban`: lifts a ban.

use crate::message::MessageRef;

use super::super::act::{Action, Done};
use super::super::answer::shortened;
use super::super::control::BanTarget;
use super::super::route::text_of;
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/unban",
    arguments: "NAME|ADDRESS",
    help: "Lifts a ban.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some([target]) = call.exactly(&COMMAND, &text) else { return };
    let target = match BanTarget::of(&target) {
        Ok(target) => target,
        Err(error) => return call.answer(&format!("❌ Not unbanned: {error}.")),
    };
    let shown = target.to_string();
    if let Some(Done::Unbanned) = call.act(Action::Unban { target }) {
        call.answer(&format!("{} is banned no longer.", shortened(&shown)));
    }
}
