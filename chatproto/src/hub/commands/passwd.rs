//! `/passwd`: another password.

use crate::accounts::{AccountOrder, Password};
use crate::message::MessageRef;

use super::super::arguments::secret_text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/passwd",
    arguments: "OLD NEW",
    help: "Changes the password of your account. A password with spaces is in double quotes.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = secret_text_of(call, message, COMMAND.name);
    let Some([old, new]) = call.exactly(&COMMAND, &text) else { return };
    if !call.session().is_logged_in() {
        return call.answer("❌ Your password is not changed: log in first.");
    }
    let credentials = call.credentials(call.user_name(), &old);
    call.ask_accounts(AccountOrder::ChangePassword(credentials, Password::new(&new)));
}
