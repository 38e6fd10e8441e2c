//! `/shout`: a message to everybody else.

use crate::handshake::PeerKind;
use crate::message::MessageRef;
use crate::name::EVERYONE;

use super::super::Call;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/shout",
    help: "Sends the message to every other user and answers how many there were.",
    run,
};

/// Each form of the object is written once, at most, however many get it.
fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let hub = call.hub;
    let (mut stream, mut one_read) = (None, None);
    let (mut delivered, mut too_long) = (0, 0);
    for (conn, session) in hub.users.others(call.conn) {
        let form = match session.kind {
            PeerKind::Stream => &mut stream,
            PeerKind::OneRead => &mut one_read,
        };
        let object = form
            .get_or_insert_with(|| call.write_forward(session.kind, message, EVERYONE, EVERYONE));
        match object {
            Ok(object) => {
                call.out.deliver(conn, *object);
                delivered += 1;
            }
            Err(_) => too_long += 1,
        }
    }
    let users = |count| if count == 1 { "1 user".to_owned() } else { format!("{count} users") };
    let mut answer = format!("Delivered to {}.", users(delivered));
    if too_long > 0 {
        answer.push_str(&format!(" Too long for {}: send a shorter text.", users(too_long)));
    }
    call.answer(&answer);
}
