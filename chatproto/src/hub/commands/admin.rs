//! `/admin`: proves by the token to be an admin.

use crate::message::MessageRef;

use super::super::Act;
use super::super::route::text_of;
use super::super::{Call, Role};
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
    match &call.hub.admin_token {
        None => return call.answer("❌ This server has no admin token."),
        Some(secret) if !secret.is(&token) => {
            return call.deny(COMMAND.name, "That is not the token");
        }
        Some(_) => {}
    }
    if let Some(session) = call.hub.users.get_mut(call.conn) {
        session.extras_mut().role = Role::Admin;
    }
    call.report(Act::Admin, call.user().to_owned());
    call.answer("You are an admin now.");
}
