//! `/join`: becomes a member of a room.

use crate::limits::Limits;
use crate::message::MessageRef;
use crate::name::RoomName;

use super::super::arguments::{only_argument, text_of};
use super::super::hub::Call;
use super::super::presence::Change;
use super::super::room::Audience;
use super::super::usage::share;
use super::super::{Conversation, Place, Role, StateChange};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/join",
    arguments: "#ROOM [N]",
    help: "Joins a room, and creates it if it does not exist. Messages to #ROOM then go to its members. With N, it also shows the last N messages, if the server has history.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    if let Err(reason) = join(call, &text) {
        call.answer(&format!("❌ Not joined: {reason}"));
        let (asked, _) = room_and_number(&text);
        let asked = only_argument(asked).ok().flatten();
        let room = asked.and_then(|name| RoomName::with_limit(&name, call.hub.limits.name).ok());
        let room = room.as_ref().map(RoomName::as_str);
        call.hub.state_moved(call.conn, room, false, "refused", call.out);
    }
    call.hub.send_owed(call.conn, call.now, call.out);
}

fn join(call: &mut Call<'_>, text: &str) -> Result<(), String> {
    let (text, shown) = room_and_number(text);
    let Some(name) = only_argument(text)? else {
        return Err(format!("send {}.", COMMAND.usage()));
    };
    let Limits { rooms: most, name: limit, welcome_names: most_names, .. } = call.hub.limits;
    let name = RoomName::with_limit(&name, limit).map_err(|error| format!("{error}."))?;
    if call.own_room(name.as_str()).is_some() {
        call.answer(&format!("You are in {name} already."));
        call.hub.state_moved(call.conn, Some(name.as_str()), true, "already", call.out);
        return Ok(());
    }
    if call.session().rooms().len() >= most {
        return Err(format!("you are in {most} rooms, which is the most. Leave one first."));
    }
    call.check_room_for(&name)?;
    let (conn, now, user) = (call.conn, call.now, call.user_name());
    let is_new = call.hub.rooms.find(name.as_str()).is_none();
    let room = call.hub.rooms.open(&name);
    if is_new {
        call.hub.changes.note(|| StateChange::RoomOpened { room: name.clone() });
    }
    call.hub.rooms.join(&mut call.hub.users, conn, room);
    call.hub.note_of_user(conn, |user| StateChange::RoomJoined { room: name.clone(), name: user });
    call.hub.owe_members(conn, room);
    call.hub.state_moved(conn, Some(name.as_str()), true, "joined", call.out);
    let members = call.hub.rooms.get(room).map_or(&[][..], |room| &room.members);
    let count = members.len() - 1;
    let text = if count == 0 {
        vec![format!("Joined {name}. You are its only member.")]
    } else {
        let others = call.hub.users.sessions(members).filter(|(other, _)| *other != conn);
        let names = others.filter_map(|(_, session)| session.name());
        let head = format!("Joined {name}. Other members ({count}): ");
        // as many as a welcome names: who joins does not pay for the crowd
        call.layout().with_names(most_names).list(&head, names, count)
    };
    call.answer_parts(text);
    call.hub.notify(Audience::Room(room), conn, Change::Joined, user.as_str(), now, call.out);
    if let Some(shown) = shown {
        if call.hub.archive.is_none() {
            call.answer("❌ This server keeps no history.");
        } else {
            call.replay(Conversation::room(&name), shown, Place::Newest);
        }
    }
    Ok(())
}

impl Call<'_> {
    /// Checks that joining this room stays within the bounds of bytes.
    ///
    /// # Errors
    /// The sentence that says which bound is reached.
    fn check_room_for(&self, name: &RoomName) -> Result<(), String> {
        let Limits { rooms: most, rooms_total: total, .. } = self.hub.limits;
        let used = self.hub.rooms.bytes();
        if used.saturating_add(self.hub.rooms.bytes_to_join(name)) > total {
            return Err(
                "the server's rooms take all the memory that they may use. Try again later.".into()
            );
        }
        let share = share(most, 1, used, total);
        if self.session().rooms().len() >= share {
            return Err(format!(
                "the server's rooms are nearly full, so you may be in at most {share} now. Leave \
                 one first, or try again later."
            ));
        }
        Ok(())
    }
}

/// The room's name, and the number behind it, if there is one.
fn room_and_number(text: &str) -> (&str, Option<usize>) {
    let number = text.rsplit_once(char::is_whitespace).and_then(|(room, number)| {
        let number = number.parse().ok().filter(|&number| number > 0)?;
        Some((room.trim_end(), Some(number)))
    });
    number.unwrap_or((text, None))
}
