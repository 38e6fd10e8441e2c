//! `/nick`: another name.

use crate::message::MessageRef;
use crate::name::UserName;

use super::super::arguments::{only_argument, text_of};
use super::super::hub::Call;
use super::super::replies::{in_use, name_stays};
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/nick",
    arguments: "NAME",
    help: "Changes your name, if the new one is free. Your rooms are told.",
    role: Role::User,
    run,
};

/// Whether the name is free beyond this hub is decided as at registration; until then the old one
/// is kept, and the new one held.
fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    if text.is_empty() {
        return call.answer_usage(&COMMAND);
    }
    let requested = check(call, &text).and_then(|name| {
        let claimed = call.hub.claim_other_name(call.conn, &name, call.now, call.out);
        claimed.map_err(|busy| busy.to_string())
    });
    if let Err(reason) = requested {
        let text = name_stays(call.user(), &reason);
        call.answer(&text);
    }
}

/// The name, if it is free in this hub and the user may have it.
fn check(call: &mut Call<'_>, text: &str) -> Result<UserName, String> {
    let now = call.now.monotonic;
    // all of it is the name: there is nothing else that could be meant, quoted or not
    let quoted = text.starts_with('"').then(|| only_argument(text)).transpose()?.flatten();
    let text = quoted.as_deref().unwrap_or(text);
    let name = UserName::from_bytes(text.as_bytes(), call.hub.limits.name)
        .map_err(|error| format!("{error}."))?;
    name.check_request().map_err(|error| format!("{error}."))?;
    if call.session().is_logged_in() {
        return Err("you are logged in under it.".to_owned());
    }
    if call.hub.mute_of(call.session(), now).is_some() {
        return Err("you are muted.".to_owned());
    }
    if name.as_str() == call.user() {
        return Err("that is your name.".to_owned());
    }
    if let Some(ban) = call.hub.sanctions.ban_of_name(name.as_str(), now) {
        return Err(ban.reason_for("that name is", now));
    }
    if call.hub.users.is_free(&name) { Ok(name) } else { Err(in_use(&name)) }
}
