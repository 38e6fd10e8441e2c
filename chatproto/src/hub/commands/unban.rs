//! `/unban`: lifts a ban.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::Act;
use super::super::answer::shortened;
use super::super::route::text_of;
use super::super::sanctions::Target;
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
    let Some(shown) = Arguments::new(&text).next() else { return call.answer_usage(&COMMAND) };
    let target = Target::new(shown);
    let shown = shortened(shown);
    let Some(ban) = call.hub.sanctions.remove_ban(&target, call.now.monotonic) else {
        return call.answer(&format!("❌ {shown} is not banned. Send /bans to see who is."));
    };
    // as the ban had it, by which whoever keeps bans finds it again
    call.report(Act::Unban, ban.shown, None, "");
    call.answer(&format!("{shown} is banned no longer."));
}
