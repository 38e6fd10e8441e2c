//! `/history`: what was said before.

use crate::endpoint::Argument;
use crate::message::MessageRef;
use crate::name::UserName;

use super::super::arguments::text_of;
use super::super::history::USUAL;
use super::super::hub::Call;
use super::super::replies::not_in;
use super::super::{Conversation, Place, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/history",
    arguments: "#ROOM|NAME [N] [before ID|since ID EPOCH]",
    help: "Shows the last N messages (default 20) of one of your rooms, or of your conversation with another user, if both are logged in.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let Some(arguments) = call.arguments(&COMMAND, &text) else { return };
    let selected = arguments.split_first().and_then(|(name, rest)| Some((name, selection(rest)?)));
    let Some((name, (most, place))) = selected else { return call.answer_usage(&COMMAND) };
    match call.find_conversation(name) {
        Ok(conversation) => call.replay(conversation, most, place),
        Err(reason) => call.answer(&reason),
    }
}

/// How many, and from where.
fn selection(arguments: &[Argument<'_>]) -> Option<(usize, Place)> {
    let words: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    let (most, place) = match words[..] {
        [number, ref place @ ..] if number.parse::<usize>().is_ok() => (number.parse().ok()?, place),
        _ => (USUAL, &words[..]),
    };
    let place = match *place {
        [] => Place::Newest,
        ["before", id] => Place::Before(id.parse().ok()?),
        ["since", id, epoch] => Place::Since { id: id.parse().ok()?, epoch: epoch.to_owned() },
        _ => return None,
    };
    (most > 0).then_some((most, place))
}

impl Call<'_> {
    /// The conversation that a user may read: of a room it is in, or with another user.
    pub(super) fn find_conversation(&self, name: &str) -> Result<Conversation, String> {
        if name.starts_with('#') {
            let room = self.own_room(name).and_then(|id| self.hub.rooms.get(id));
            return room.map(|room| Conversation::of_room(&room.name)).ok_or_else(|| not_in(name));
        }
        if !self.session().is_logged_in() {
            return Err("❌ What users say to each other is kept if both are logged in: log in \
                        first."
                .to_owned());
        }
        let name = UserName::from_bytes(name.as_bytes(), self.hub.limits.name)
            .map_err(|error| format!("❌ {error}."))?;
        Ok(Conversation::of(self.user(), name.as_str()))
    }
}
