//! `/unmute`: gives the word back.

use crate::endpoint::Arguments;
use crate::message::MessageRef;
use crate::name::normalise;

use super::super::Act;
use super::super::answer::shortened;
use super::super::route::text_of;
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
    let (name, now) = (normalise(name), call.now.monotonic);
    let user = call.hub.find_user(&name).map(|(conn, _)| conn);
    let session = user.and_then(|user| call.hub.users.get_mut(user));
    let was_muted_here =
        session.and_then(|session| session.extras_mut().mute.take()).is_some();
    let name = shortened(&name);
    if !call.hub.sanctions.unmute(&name, now) && !was_muted_here {
        return call.answer(&format!("❌ {name} is not muted."));
    }
    call.report(Act::Unmute, name.clone().into_owned(), None, "");
    if let Some(user) = user {
        call.hub.tell(user, "You may speak again.", call.now, call.out);
    }
    call.answer(&format!("{name} may speak again."));
}
