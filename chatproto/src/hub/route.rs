//! Routing: one call of a user's, and the objects that it makes for others (A9, B6, B10).

use std::borrow::Cow;

use crate::encode;
use crate::handshake::PeerKind;
use crate::message::MessageRef;

use super::delivery::{broadcast, write_forward};
use super::excerpt::quoted;
use super::hub::Call;
use super::replies::{not_in, users};
use super::{Conversation, Output};

impl Call<'_> {
    /// Delivers a message to the user that it is addressed to (A9).
    pub(super) fn forward(&mut self, message: &MessageRef<'_>, to: &str) {
        let hub = &*self.hub;
        let Some((receiver, session)) = hub.find_user(to) else {
            return self.leave_or_refuse(message, to);
        };
        let Some(sender) = hub.users.get(self.conn) else { return };
        if hub.mute_of(sender, self.now.monotonic).is_some() {
            self.may_speak();
            return;
        }
        // the sender's spelling of the name is kept, if it spells the name and nothing else
        let name = session.name().unwrap_or_default();
        let token = spelling(message, name);
        let is_kept = hub.archive.is_some() && sender.is_logged_in() && session.is_logged_in();
        let mut write =
            |kind| write_forward(self.out, &hub.limits, sender, kind, message, &token, name);
        let object = match write(session.kind) {
            Ok(object) => object,
            Err(limit) => {
                return self.answer(&format!(
                    "❌ Not delivered: {} can take objects of at most {limit} bytes. Send a shorter text.",
                    quoted(to)
                ));
            }
        };
        let kept = match session.kind {
            _ if !is_kept => None,
            PeerKind::Stream => Some(object),
            PeerKind::OneRead => write(PeerKind::Stream).ok(),
        };
        let conversation =
            kept.map(|object| (Conversation::of(sender.name().unwrap_or_default(), name), object));
        let away = session.extras().and_then(|extras| extras.away.as_deref());
        let away = away.map(|away| format!("{name} is away: {away}"));
        self.out.deliver(receiver, object);
        if let Some((conversation, object)) = conversation {
            self.keep(conversation, object);
        }
        if let Some(away) = away {
            self.answer(&away);
        }
    }

    /// Delivers a message to the other members of a room, of which the sender must be one.
    pub(super) fn forward_to_room(&mut self, message: &MessageRef<'_>, to: &str) {
        let Some(id) = self.own_room(to) else {
            return self.answer(&not_in(to));
        };
        if !self.may_speak() {
            return;
        }
        let hub = &*self.hub;
        let (Some(sender), Some(room)) = (hub.users.get(self.conn), hub.rooms.get(id)) else {
            return;
        };
        let token = spelling(message, &room.name);
        let write = |out: &mut Output, kind| {
            write_forward(out, &hub.limits, sender, kind, message, &token, &room.name)
        };
        // what is kept is in the form of a stream, whether anybody is sent that or not
        let kept = hub.archive.as_ref().map(|_| write(self.out, PeerKind::Stream));
        let receivers = hub.users.sessions(&room.members).filter(|(conn, _)| *conn != self.conn);
        let count = room.members.len();
        let sent = broadcast(self.out, count, receivers, |out, kind| match kept {
            Some(object) if kind == PeerKind::Stream => object,
            _ => write(out, kind),
        });
        if let Some(Ok(object)) = kept {
            let conversation = Conversation::of_room(&room.name);
            self.keep_in_room(id, conversation, object);
        }
        if sent.too_long > 0 {
            let users = users(sent.too_long);
            self.answer(&format!("❌ Not delivered to {users}: too long. Send a shorter text."));
        }
    }
}

/// The token for a name that a message is addressed to: the sender's, if it spells the name and
/// nothing else.
fn spelling<'m>(message: &MessageRef<'m>, name: &str) -> Cow<'m, str> {
    if message.to.is(name) {
        Cow::Borrowed(message.to.raw())
    } else {
        Cow::Owned(encode::escaped(name))
    }
}
