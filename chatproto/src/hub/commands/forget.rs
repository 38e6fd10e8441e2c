//! `/forget`: removes a message from the history.

use crate::message::MessageRef;
use crate::name::RoomName;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::{Act, Conversation, HistoryOrder, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/forget",
    arguments: "#ROOM|NAME ID",
    help: "Removes one of your messages from the history, by its number. Moderators can remove any message from any room. Copies already delivered cannot be recalled.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some([name, id]) = call.exactly(&COMMAND, &text) else { return };
    let Ok(id) = id.parse() else { return call.answer_usage(&COMMAND) };
    let is_moderator = call.hub.may(call.conn, Act::Forget, call.now);
    if !is_moderator && !call.session().is_logged_in() {
        return call.answer("❌ Not forgotten: log in first, so that it is known to be yours.");
    }
    let room = RoomName::with_limit(&name, call.hub.limits.name);
    let conversation = match room {
        Ok(room) if is_moderator => Ok(Conversation::room(&room)),
        _ => call.find_conversation(&name),
    };
    // what two users say to each other is nobody else's business
    let author = (!is_moderator || !name.starts_with('#')).then(|| call.user_name());
    match conversation {
        Ok(conversation) => call.order(HistoryOrder::Forget { conversation, id, author }),
        Err(reason) => call.answer(&reason),
    }
}
