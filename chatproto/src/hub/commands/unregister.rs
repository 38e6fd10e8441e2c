//! `/unregister`: gives an account up.

use crate::accounts::AccountOrder;
use crate::message::MessageRef;

use super::super::arguments::secret_text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/unregister",
    arguments: "PASSWORD",
    help: "Removes your account. The name is free when you leave; your messages stay. Where accounts are required, the connection is closed.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = secret_text_of(call, message, COMMAND.name);
    let Some([password]) = call.exactly(&COMMAND, &text) else { return };
    if !call.session().is_logged_in() {
        return call.answer("❌ The account stays: log in first.");
    }
    let credentials = call.credentials(call.user_name(), &password);
    call.ask_accounts(AccountOrder::Unregister(credentials));
}
