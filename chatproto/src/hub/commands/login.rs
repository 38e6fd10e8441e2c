//! `/login`: proves to own a name.

use crate::accounts::AccountOrder;
use crate::message::MessageRef;
use crate::name::UserName;

use super::super::arguments::secret_text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/login",
    arguments: "[NAME] PASSWORD",
    help: "Logs you in to an account and gives you its name. Without NAME, it is the name that you asked for when you connected. A password with spaces is in double quotes.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = secret_text_of(call, message, COMMAND.name);
    let Some(arguments) = call.arguments(&COMMAND, &text) else { return };
    let (name, password) = match &arguments[..] {
        [password] => (None, password),
        [name, password] => (Some(name), password),
        _ => return call.answer_usage(&COMMAND),
    };
    let session = call.session();
    if session.is_logged_in() {
        let text = format!("You are logged in as {} already.", call.user());
        return call.answer(&text);
    }
    let name = match name {
        None => session.wanted().cloned().unwrap_or_else(|| call.user_name()),
        Some(name) => match UserName::from_bytes(name.as_bytes(), call.hub.limits.name) {
            Ok(name) => name,
            Err(error) => return call.answer(&format!("❌ Not logged in: {error}.")),
        },
    };
    if let Err(error) = name.check_request() {
        return call.answer(&format!("❌ Not logged in: {error}."));
    }
    let credentials = call.credentials(name, password);
    call.ask_accounts(AccountOrder::Login(credentials));
}
