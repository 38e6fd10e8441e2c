//! `/notice`: a word to everybody.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::replies::users;
use super::super::{Action, Done, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/notice",
    arguments: "TEXT",
    help: "Sends the text to all other users, in the name of the server.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    if text.is_empty() {
        return call.answer_usage(&COMMAND);
    }
    let action = Action::Notice { text: text.into_owned() };
    if let Some(Done::Told { delivered, too_long }) = call.act(action) {
        let mut answer = format!("Told {}.", users(delivered));
        if too_long > 0 {
            answer.push_str(&format!(" Too long for {}: send a shorter text.", users(too_long)));
        }
        call.answer(&answer);
    }
}
