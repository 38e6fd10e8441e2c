//! `/register`: makes the current name one's own.

use crate::accounts::AccountOrder;
use crate::message::MessageRef;

use super::super::arguments::secret_text_of;
use super::super::excerpt::quoted;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/register",
    arguments: "PASSWORD",
    help: "Makes you the owner of your name: from then on, only /login gives it. A password with spaces is in double quotes.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = secret_text_of(call, message, COMMAND.name);
    let Some([password]) = call.exactly(&COMMAND, &text) else { return };
    let session = call.session();
    if session.is_logged_in() {
        return call.answer("❌ Not registered: your name is yours already.");
    }
    if session.wanted().is_some() {
        return call.answer(
            "❌ Not registered: your name is a temporary one. Choose another with /nick first.",
        );
    }
    let name = call.user_name();
    if let Err(error) = name.check_account() {
        let text = format!("❌ Not registered: {error}. Choose another with /nick first.");
        return call.answer(&text);
    }
    if let Some(other) = call.hub.users.looks_like(call.conn) {
        let text = format!(
            "❌ Not registered: your name looks like {}, the name of another user who is online. \
             Choose another with /nick first.",
            quoted(other.as_str())
        );
        return call.answer(&text);
    }
    let credentials = call.credentials(name, &password);
    call.ask_accounts(AccountOrder::Register(credentials));
}
