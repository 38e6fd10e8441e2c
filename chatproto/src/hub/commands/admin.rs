//! `/admin`: proves by the token to be an admin.

use crate::message::MessageRef;

use super::super::route::text_of;
use super::super::{Act, Departure};
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/admin",
    arguments: "TOKEN",
    help: "Makes you an admin, if the token is that of the server.",
    role: Role::User,
    run,
};

/// A wrong token counts as an error of [`Limits::errors`](crate::Limits::errors), so that nobody
/// tries many.
fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let token = text_of(message, COMMAND.name);
    if token.is_empty() {
        return call.answer_usage(&COMMAND);
    }
    match &call.hub.admin_token {
        None => return call.answer("❌ This server has no admin token."),
        Some(secret) if !secret.is(&token) => {
            call.report_denied(COMMAND.name);
            if call.hub.is_one_too_many(call.conn, call.now) {
                call.answer("⛔ Error: that is not the token, once too often. The connection is closed.");
                return call.hub.handle_eviction(call.conn, Departure::Erring, call.now, call.out);
            }
            return call.answer("❌ That is not the token.");
        }
        Some(_) => {}
    }
    if let Some(session) = call.hub.users.get_mut(call.conn) {
        session.extras_mut().role = Role::Admin;
    }
    call.report(Act::Admin, call.user().to_owned(), None, "");
    call.answer("You are an admin now.");
}
