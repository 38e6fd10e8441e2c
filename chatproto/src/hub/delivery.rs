//! Objects for users: how one is written in the form that its reader can read, and delivered to many
//! (A6, A9).

use crate::encode;
use crate::handshake::PeerKind;
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::name::{GUEST, SERVER};

use super::lines::unlike_line;
use super::range::Range;
use super::session::{Phase, Session};
use super::{ConnId, Output};

/// The address under which the server speaks.
pub(super) const SERVER_IP: &str = "0.0.0.0";

/// Writes a server's object to the connection, in the form that it can read.
pub(super) fn write(object: &mut Vec<u8>, session: &Session, text: &str) {
    let to = addressee(session);
    match session.kind {
        PeerKind::Stream => encode::compact(object, SERVER, SERVER_IP, to, text),
        PeerKind::OneRead => encode::python(object, SERVER, SERVER_IP, to, text),
    }
}

pub(super) fn addressee(session: &Session) -> &str {
    session.name().filter(|_| session.phase != Phase::Claiming).unwrap_or(GUEST)
}

/// To how many something went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) delivered: usize,
    /// How many cannot take so long an object.
    pub(super) too_long: usize,
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
