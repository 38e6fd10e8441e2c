//! `/unmute`: gives the word back.

use crate::endpoint::Arguments;
use crate::message::MessageRef;
use crate::name::UserName;

use super::super::Act;
use super::super::route::{no_user, text_of};
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/unmute",
    arguments: "NAME",
    help: "Lets a muted user speak again.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some(name) = Arguments::new(&text).next() else { return call.answer_usage(&COMMAND) };
    let Ok(name) = UserName::from_bytes(name.as_bytes(), call.hub.longest_name) else {
        return call.answer(&no_user(name));
    };
    let user = call.hub.find_user(name.as_str()).map(|(conn, _)| conn);
    if !call.hub.lift_mute(&name, call.now) {
        return call.answer(&format!("❌ {name} is not muted."));
    }
    call.report(Act::Unmute, name.as_str().to_owned(), None, "");
    if let Some(user) = user {
        call.hub.tell(user, "You may speak again.", call.now, call.out);
    }
    call.answer(&format!("{name} may speak again."));
}
