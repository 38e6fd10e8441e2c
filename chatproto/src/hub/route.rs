//! Routing: one call of a user's, and the objects that it makes for others (A9, B6, B10).

use std::borrow::Cow;

use crate::encode;
use crate::endpoint::{Argument, Arguments, without_own_name};
use crate::handshake::PeerKind;
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::name::{SERVER, UserName, normalise};

use super::answer::{SERVER_IP, quoted, unlike_line};
use super::archive::Conversation;
use super::output::Range;
use super::rooms::RoomId;
use super::users::Session;
use super::{ConnId, Hub, Now, Output};

/// One call: who asks, when, and where the answers go.
pub(super) struct Call<'a> {
    pub(super) hub: &'a mut Hub,
    pub(super) conn: ConnId,
    pub(super) now: Now,
    pub(super) out: &'a mut Output,
}

/// To how many something went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) delivered: usize,
    /// How many cannot take so long an object.
    pub(super) too_long: usize,
}

impl Call<'_> {
    pub(super) fn session(&self) -> &Session {
        self.hub.users.get(self.conn).expect("a call is made for a connection that is there")
    }

    /// The name of the registered user that this call is of.
    pub(super) fn user(&self) -> &str {
        self.session().name().expect("a registered user has a name")
    }

    pub(super) fn user_name(&self) -> UserName {
        UserName::from_normalised(self.user())
    }

    /// Whether the user may speak to others now; if not, it is told.
    pub(super) fn may_speak(&mut self) -> bool {
        let mute = self.hub.mute_of(self.session(), self.now.monotonic);
        let Some(mute) = mute else { return true };
        let left = mute.until.left(self.now.monotonic);
        self.answer(&format!("❌ You are muted{left} by a moderator."));
        false
    }

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

    /// The room of that name, if the user is in it.
    pub(super) fn own_room(&self, name: &str) -> Option<RoomId> {
        let room = self.hub.find_room(name)?;
        self.session().rooms().iter().any(|membership| membership.room == room).then_some(room)
    }
}

impl Hub {
    /// The registered user of that name. White space around it counts no more than in a user's name.
    pub(super) fn find_user(&self, name: &str) -> Option<(ConnId, &Session)> {
        let name = name.trim();
        // what is longer than any name could be is not worth normalising
        let can_be_name = name.len() <= self.longest_name.saturating_mul(3);
        can_be_name.then(|| self.users.find(&normalise(name))).flatten()
    }

    /// The room of that name: as for users.
    pub(super) fn find_room(&self, name: &str) -> Option<RoomId> {
        let name = name.trim();
        let can_be_name = name.len() <= self.longest_name.saturating_mul(3) + 1;
        can_be_name.then(|| self.rooms.find(&normalise(name))).flatten()
    }
}

/// What stands in a command's `msg`, without the command's own name (A13).
pub(super) fn text_of<'m>(message: &'m MessageRef<'_>, command: &str) -> Cow<'m, str> {
    match message.msg.to_str() {
        Cow::Borrowed(text) => Cow::Borrowed(without_own_name(text, command)),
        Cow::Owned(text) => Cow::Owned(without_own_name(&text, command).to_owned()),
    }
}

/// The one argument that there may be.
pub(super) fn only_argument(text: &str) -> Result<Option<Argument<'_>>, String> {
    let mut arguments = Arguments::new(text);
    let first = arguments.next().transpose().map_err(|error| format!("{error}."))?;
    if arguments.rest().is_empty() {
        Ok(first)
    } else {
        let name = quoted(&text.replace('"', ""));
        Err(format!("put a name with spaces in double quotes: {name}."))
    }
}

pub(super) fn no_user(name: &str) -> String {
    format!("❌ User {} not found. Send /list to see who is connected.", quoted(name))
}

pub(super) fn not_in(room: &str) -> String {
    format!("❌ You are not in {}. Send /join with its name first.", quoted(room))
}

pub(super) fn no_room(name: &str) -> String {
    format!("❌ There is no room {}. Send /rooms to see which there are.", quoted(name))
}

/// `1 user`, `2 users`.
pub(super) fn users(count: usize) -> String {
    if count == 1 { "1 user".to_owned() } else { format!("{count} users") }
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

/// So many receivers are a crowd: objects to it are written after what others wait for.
const CROWD: usize = 64;

/// Delivers something to `count` receivers or one fewer, in the form that each of them reads; each
/// form is written once, at most, however many get it.
pub(super) fn broadcast<'s>(
    out: &mut Output,
    count: usize,
    receivers: impl Iterator<Item = (ConnId, &'s Session)>,
    write: impl FnMut(&mut Output, PeerKind) -> Result<Range, usize>,
) -> Sent {
    match count > CROWD {
        true => deliver_to_all::<true>(out, receivers, write),
        false => deliver_to_all::<false>(out, receivers, write),
    }
}

fn deliver_to_all<'s, const IS_CROWD: bool>(
    out: &mut Output,
    receivers: impl Iterator<Item = (ConnId, &'s Session)>,
    mut write: impl FnMut(&mut Output, PeerKind) -> Result<Range, usize>,
) -> Sent {
    let (mut stream, mut one_read) = (None, None);
    let mut sent = Sent::default();
    let mut work = 0;
    for (conn, session) in receivers {
        let form = match session.kind {
            PeerKind::Stream => &mut stream,
            PeerKind::OneRead => &mut one_read,
        };
        match form.get_or_insert_with(|| write(out, session.kind)) {
            Ok(object) => {
                out.send::<IS_CROWD>(conn, *object);
                work += object.len() as u64;
                sent.delivered += 1;
            }
            Err(_) => sent.too_long += 1,
        }
    }
    out.count_deliveries(sent.delivered, work);
    sent
}

/// Writes the object that a reader of that kind gets of a message, or says the limit that it
/// would exceed. `to` is given as a token and as text.
pub(super) fn write_forward(
    out: &mut Output,
    limits: &Limits,
    sender: &Session,
    kind: PeerKind,
    message: &MessageRef<'_>,
    token: &str,
    to: &str,
) -> Result<Range, usize> {
    // no escape is longer than six bytes: what cannot fit need not be written to see that
    if kind == PeerKind::OneRead && message.msg.raw().len() / 6 > limits.one_read {
        return Err(limits.one_read.min(limits.frame));
    }
    let object = match kind {
        PeerKind::Stream => {
            out.object(|log| encode::splice(log, sender.stamp(), token, message.msg.raw()))
        }
        PeerKind::OneRead => {
            let name = sender.name().unwrap_or_default();
            let (ip, msg) = (sender.address.to_string(), message.msg.to_str());
            out.object_aside(|log| encode::python(log, name, &ip, to, &msg))
        }
    };
    within_limit(out, limits, kind, object)
}

/// The same for something that the server says to a room, or to all.
pub(super) fn write_notice(
    out: &mut Output,
    limits: &Limits,
    kind: PeerKind,
    to: &str,
    text: &str,
) -> Result<Range, usize> {
    write_line(out, limits, kind, to, &unlike_line(text))
}

/// The same for a line for programs.
pub(super) fn write_line(
    out: &mut Output,
    limits: &Limits,
    kind: PeerKind,
    to: &str,
    text: &str,
) -> Result<Range, usize> {
    let object = match kind {
        PeerKind::Stream => out.object(|log| encode::compact(log, SERVER, SERVER_IP, to, text)),
        PeerKind::OneRead => {
            out.object_aside(|log| encode::python(log, SERVER, SERVER_IP, to, text))
        }
    };
    within_limit(out, limits, kind, object)
}

/// Takes an object back that a reader of that kind cannot take, and says the limit.
pub(super) fn within_limit(
    out: &mut Output,
    limits: &Limits,
    kind: PeerKind,
    object: Range,
) -> Result<Range, usize> {
    // the line feed counts only for a reader that takes what one read gives
    let limit = match kind {
        PeerKind::Stream => limits.frame + 1,
        PeerKind::OneRead => limits.one_read.min(limits.frame + 1),
    };
    if object.len() > limit {
        out.retract(object);
        return Err(limit.min(limits.frame));
    }
    Ok(object)
}
