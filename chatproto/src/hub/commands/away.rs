//! `/away`: what those who write are told.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::excerpt::clipped;
use super::super::hub::Call;
use super::super::{Role, StateChange};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/away",
    arguments: "[TEXT]",
    help: "Sets a text that is sent to users who write to you privately. Without a text, removes it.",
    role: Role::User,
    run,
};

/// Longest text, in bytes: it is said again and again.
const LONGEST: usize = 256;

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    if text.is_empty() {
        let was_away = call.set_away(None);
        return call.answer(if was_away { "You are back." } else { "You are not away." });
    }
    if text.len() > LONGEST {
        return call.answer(&format!("❌ The text may have at most {LONGEST} bytes."));
    }
    if call.may_speak() {
        // the server says it in its own name
        let text = clipped(&text, LONGEST);
        call.set_away(Some(&text));
        call.answer(&format!("You are away: {text}"));
    }
}

impl Call<'_> {
    /// Whether the user was away before.
    fn set_away(&mut self, text: Option<&str>) -> bool {
        let Some(session) = self.hub.users.get_mut(self.conn) else { return false };
        let away = &mut session.extras_mut().away;
        if away.as_deref() == text {
            return text.is_some();
        }
        let was_away = std::mem::replace(away, text.map(Box::from)).is_some();
        let away = || text.map(str::to_owned);
        self.hub.note_of_user(self.conn, |name| StateChange::Away { name, text: away() });
        was_away
    }
}
