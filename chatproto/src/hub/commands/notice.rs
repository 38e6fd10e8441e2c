//! `/notice`: a word to everybody.

use crate::message::MessageRef;

use super::super::Act;
use super::super::audience::Audience;
use super::super::route::{text_of, users};
use super::super::{Call, Role};
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
    let told = format!("Notice: {text}");
    let sent = call.hub.say_to_others(Audience::Everyone, call.conn, &told, call.out);
    if sent.delivered + sent.too_long > 0 && sent.delivered == 0 {
        return call.answer("❌ Nobody was told: the text is too long.");
    }
    call.report(Act::Notice, String::new(), None, &text);
    let mut answer = format!("Told {}.", users(sent.delivered));
    if sent.too_long > 0 {
        answer.push_str(&format!(" Too long for {}: send a shorter text.", users(sent.too_long)));
    }
    call.answer(&answer);
}
