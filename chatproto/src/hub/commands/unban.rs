//! `/unban`: lifts a ban.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::excerpt::shortened;
use super::super::hub::Call;
use super::super::{Action, BanTarget, Done, Role};
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
