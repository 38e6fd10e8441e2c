//! Routing: one call of a user's, and the objects that it makes for others (A9, B6).

use std::borrow::Cow;

use crate::encode;
use crate::handshake::PeerKind;
use crate::message::MessageRef;
use crate::name::normalise;

use super::answer::quoted;
use super::output::Range;
use super::users::Session;
use super::{ConnId, Hub, Now, Output};

/// One call: who asks, when, and where the answers go.
pub(super) struct Call<'a> {
    pub(super) hub: &'a Hub,
    pub(super) conn: ConnId,
    pub(super) session: &'a Session,
    pub(super) now: Now,
    pub(super) out: &'a mut Output,
}

impl<'a> Call<'a> {
    /// The name of the registered user that this call is of.
    pub(super) fn user(&self) -> &'a str {
        self.session.name().expect("a registered user has a name")
    }

    /// Delivers a message to the user that it is addressed to (A9).
    pub(super) fn forward(&mut self, message: &MessageRef<'_>, to: &str) {
        // what is longer than any name could be is not worth normalising
        let can_be_name = to.len() <= self.hub.limits.name.saturating_mul(3);
        let found = can_be_name.then(|| self.hub.users.find(&normalise(to))).flatten();
        let Some((receiver, session)) = found else {
            return self.answer(&format!(
                "❌ User {} not found. Send /list to see who is connected.",
                quoted(to)
            ));
        };
        // the sender's spelling of the name is kept, if it spells the name and nothing else
        let name = session.name().unwrap_or_default();
        let token = if message.to.is(name) {
            Cow::Borrowed(message.to.raw())
        } else {
            Cow::Owned(encode::escaped(name))
        };
        match self.write_forward(session.kind, message, &token, name) {
            Ok(object) => self.out.deliver(receiver, object),
            Err(limit) => self.answer(&format!(
                "❌ Not delivered: {} can take objects of at most {limit} bytes. Send a shorter text.",
                quoted(to)
            )),
        }
    }

    /// Writes the object that a reader of that kind gets of a message, or says the limit that it
    /// would exceed. `to` is given as a token and as text.
    pub(super) fn write_forward(
        &mut self,
        kind: PeerKind,
        message: &MessageRef<'_>,
        token: &str,
        to: &str,
    ) -> Result<Range, usize> {
        let (session, limits) = (self.session, &self.hub.limits);
        // no escape is longer than six bytes: what cannot fit need not be written to see that
        if kind == PeerKind::OneRead && message.msg.raw().len() / 6 > limits.one_read {
            return Err(limits.one_read.min(limits.frame));
        }
        let (object, limit) = match kind {
            PeerKind::Stream => {
                let stamp = session.stamp();
                // the line feed does not count
                let limit = limits.frame + 1;
                (self.out.object(|log| encode::splice(log, stamp, token, message.msg.raw())), limit)
            }
            PeerKind::OneRead => {
                let name = self.user();
                let (ip, msg) = (session.address.to_string(), message.msg.to_str());
                let write = |log: &mut Vec<u8>| encode::python(log, name, &ip, to, &msg);
                (self.out.object_aside(write), limits.one_read.min(limits.frame + 1))
            }
        };
        if object.len() > limit {
            self.out.retract(object);
            return Err(limit.min(limits.frame));
        }
        Ok(object)
    }
}
