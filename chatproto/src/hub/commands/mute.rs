//! `/mute`: takes the word from a user.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::Act;
use super::super::moderation::{because, duration_and_reason, for_so_long};
use super::super::route::text_of;
use super::super::sanctions::{Maker, Until};
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/mute",
    arguments: "NAME [DURATION]",
    help: "Silences a user, for a duration such as 10min or until /unmute. Commands of the user still work. The mute holds for the name after a reconnect.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let Some(name) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let (duration, reason) = duration_and_reason(arguments);
    let Some((user, name)) = call.find_subordinate(name) else { return };
    let now = call.now.monotonic;
    let until = Until::after(duration, now);
    let (by, total) = (call.user_name(), call.hub.limits.sanctions_total);
    let maker = Maker::Moderator { name: by.as_str(), total };
    if let Err(full) = call.hub.sanctions.mute(&name, until, maker, now) {
        return call.answer(&format!("❌ Not muted: {full}"));
    }
    if let Some(session) = call.hub.users.get_mut(user) {
        session.extras_mut().mute = Some(until);
    }
    call.report(Act::Mute, name.as_str().to_owned(), duration, reason);
    let told = format!("❌ You are muted{}, by {by}{}.", for_so_long(duration), because(reason));
    call.hub.tell(user, &told, call.now, call.out);
    call.answer(&format!("Muted {name}{}.", for_so_long(duration)));
}
