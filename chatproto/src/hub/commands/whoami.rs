//! `/whoami`: what the server knows of a user.

use crate::message::MessageRef;

use super::super::Role;
use super::super::hub::Call;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/whoami",
    arguments: "",
    help: "Shows your name, address, role and rooms.",
    role: Role::User,
    run,
};

fn run(call: &mut Call<'_>, _: &MessageRef<'_>) {
    let session = call.session();
    let mut text =
        format!("You are {} from {}, {}", call.user(), session.address, session.role().one());
    if session.is_logged_in() {
        text.push_str(", logged in");
    }
    if session.transport.is_secure() {
        text.push_str(", over TLS");
    }
    if let Some(mute) = call.hub.mute_of(session, call.now.monotonic) {
        text.push_str(&format!(", muted{}", mute.until.left(call.now.monotonic)));
    }
    text.push('.');
    if let Some(away) = session.extras().and_then(|extras| extras.away.as_deref()) {
        text.push_str(&format!(" Away: {away}"));
    }
    let rooms = session.rooms();
    if rooms.is_empty() {
        return call.answer(&text);
    }
    text.push_str(&format!(" Rooms ({}): ", rooms.len()));
    let names = rooms.iter().filter_map(|membership| call.hub.rooms.get(membership.room));
    let names = names.map(|room| &*room.name);
    let parts = call.layout().list(&text, names, rooms.len());
    call.answer_parts(parts);
}
