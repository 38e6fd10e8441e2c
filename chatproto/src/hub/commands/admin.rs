//! `/admin`: proves by the token to be an admin.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::terms::shown;
use super::super::{Act, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/admin",
    arguments: "TOKEN",
    help: "Makes you an admin, if the token is the server's.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let token = text_of(message, COMMAND.name);
    if token.is_empty() {
        return call.answer_usage(&COMMAND);
    }
    if call.hub.admin_token.is_none() {
        return call.answer("❌ This server has no admin token.");
    }
    let (address, now) = (call.session().address, call.now.monotonic);
    if let Some(wait) = call.hub.guesses.wait(address, now) {
        let reason = format!("Too many wrong tokens. Try again in {}", shown(wait));
        return call.deny(COMMAND.name, &reason);
    }
    if !call.hub.admin_token.as_ref().is_some_and(|secret| secret.is(&token)) {
        call.hub.guesses.add_wrong(address, now);
        return call.deny(COMMAND.name, "That is not the token");
    }
    call.hub.guesses.add_right(address);
    let is_logged_in = call.session().is_logged_in();
    let has_other_rights = call.hub.set_rights(call.conn, Role::Admin, is_logged_in);
    call.report(Act::Admin, call.user().to_owned());
    call.answer("You are an admin now.");
    if has_other_rights {
        call.hub.state_rights(call.conn, call.out);
    }
}
