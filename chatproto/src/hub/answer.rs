//! What the server itself says: one object, or as many as it takes within bounds (A6, B11).

use crate::encode;
use crate::handshake::PeerKind;

use super::delivery::{addressee, write};
use super::hub::Call;
use super::layout::{Layout, TAIL};
use super::lines::{CLOSED_SLOW, listed, unlike_line};
use super::long_answer::{LongAnswer, Parts};
use super::range::Range;
use super::{ConnId, Hub, Now, Output};

impl Call<'_> {
    /// Says something to the one who asked, in as many objects as it takes.
    pub(super) fn answer(&mut self, text: &str) {
        self.answer_as_it_is(&unlike_line(text));
    }

    /// The same with a line for programs.
    pub(super) fn answer_line(&mut self, line: &str) {
        self.answer_as_it_is(listed(line));
    }

    /// The same with a text that begins as it does, whatever that is like.
    pub(super) fn answer_as_it_is(&mut self, text: &str) {
        let layout = self.layout();
        if layout.fits(text) {
            return self.say_as_it_is(text);
        }
        self.answer_parts(layout.text(text));
    }

    /// Says what was laid out in parts.
    pub(super) fn answer_parts(&mut self, parts: Vec<String>) {
        let total = parts.len();
        for (k, part) in parts.into_iter().enumerate() {
            if total == 1 {
                self.say(&part);
            } else {
                self.say(&format!("{} ({}/{total})", part.trim_end(), k + 1));
            }
        }
    }

    /// Greets a new user in exactly one object (A7, B11).
    pub(super) fn welcome(&mut self) {
        let users = &self.hub.users;
        let others = users.online() - 1;
        let mut text = format!("Welcome, {}! Send /help to see the commands.", self.user());
        if others == 0 {
            text.push_str(" Nobody else is online.");
            return self.say(&text);
        }
        text.push_str(&format!(" Online ({others}): "));
        let layout = self.layout();
        let mut room =
            (layout.room - TAIL).saturating_sub(encode::escaped_len(&text, layout.ascii));
        let mut named = 0;
        for (_, session) in users.others(self.conn).take(self.hub.limits.welcome_names) {
            let name = addressee(session);
            let size = encode::escaped_len(name, layout.ascii) + 2;
            if size > room {
                break;
            }
            room -= size;
            text.push_str(if named == 0 { "" } else { ", " });
            text.push_str(name);
            named += 1;
        }
        if named < others {
            text.push_str(&format!(" and {} more", others - named));
        }
        self.say(&text);
    }

    /// An answer that the application gave, of any length.
    pub(super) fn answer_at_length(&mut self, text: &str) {
        let layout = self.layout();
        if layout.ascii || layout.fits(text) {
            return self.answer(text);
        }
        let parts = layout.text(text);
        let (total, said) = (parts.len(), 0);
        self.begin_answer(LongAnswer::Text(Parts { texts: parts.into_iter(), total, said }));
    }

    /// Says something in one object, whatever its length.
    pub(super) fn say(&mut self, text: &str) {
        self.say_as_it_is(&unlike_line(text));
    }

    /// The same with a line for programs.
    pub(super) fn say_line(&mut self, line: &str) {
        self.say_as_it_is(listed(line));
    }

    /// The same with a text that begins as it does, whatever that is like.
    pub(super) fn say_as_it_is(&mut self, text: &str) {
        if let Some(object) = self.write(text) {
            self.out.deliver(self.conn, object);
        }
    }

    /// Writes an object to the one who asked, in the form that it can read.
    pub(super) fn write(&mut self, text: &str) -> Option<Range> {
        let session = self.hub.users.get(self.conn)?;
        Some(self.out.object_aside(|log| write(log, session, text)))
    }

    /// How an answer to the one who asks is laid out.
    pub(super) fn layout(&self) -> Layout {
        let (session, limits) = (self.session(), &self.hub.limits);
        let limit = match session.kind {
            PeerKind::Stream => limits.answer,
            PeerKind::OneRead => limits.one_read,
        };
        let mut envelope = Vec::new();
        write(&mut envelope, session, "");
        Layout {
            ascii: session.kind == PeerKind::OneRead,
            // limits that leave no room at all would be a mistake; better a long object than none
            room: limit.saturating_sub(envelope.len() + 1).max(128),
            most: limits.answer_parts.min(limits.queue_bytes / 4 / limits.answer.max(1)).max(1),
            names: usize::MAX,
        }
    }
}

impl Hub {
    /// Appends the object that tells a reader how many messages it missed (B9). If its connection is being
    /// closed for that, it may be two objects: the second one is a state line.
    pub fn write_missed(&self, conn: ConnId, missed: u64, closing: bool, object: &mut Vec<u8>) {
        let Some(session) = self.users.get(conn) else { return };
        let plural = if missed == 1 { "message was" } else { "messages were" };
        let text = if closing {
            format!(
                "⛔ Error: you did not read fast enough; {missed} {plural} not delivered. The connection is closed."
            )
        } else {
            format!("❌ You did not read fast enough; {missed} {plural} dropped here.")
        };
        write(object, session, &text);
        object.push(b'\n');
        if closing && session.wants_state() {
            write(object, session, CLOSED_SLOW);
            object.push(b'\n');
        }
    }

    /// Says something to a connection that is there.
    pub(super) fn tell(&mut self, conn: ConnId, text: &str, now: Now, out: &mut Output) {
        if self.users.get(conn).is_some() {
            Call { hub: self, conn, now, out }.answer(text);
        }
    }
}
