//! What the server itself says: one object, or as many as it takes within bounds (A6, B11).

use std::borrow::Cow;

use crate::encode;
use crate::handshake::PeerKind;
use crate::name::{GUEST, SERVER, is_invisible, is_shaping};

use super::Call;
use super::long::{LongAnswer, Parts};
use super::output::Range;
use super::users::{Phase, Session};

/// The address under which the server speaks.
pub(super) const SERVER_IP: &str = "0.0.0.0";
/// Room for what is added to a part of a list: `, and 4294967295 more` and ` (16/16)`.
const TAIL: usize = 32;

/// Writes a server's object to the connection, in the form that it can read.
pub(super) fn write(object: &mut Vec<u8>, session: &Session, text: &str) {
    let to = addressee(session);
    match session.kind {
        PeerKind::Stream => encode::compact(object, SERVER, SERVER_IP, to, text),
        PeerKind::OneRead => encode::python(object, SERVER, SERVER_IP, to, text),
    }
}

fn addressee(session: &Session) -> &str {
    session.name().filter(|_| session.phase != Phase::Claiming).unwrap_or(GUEST)
}

/// How an answer to one reader is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    ascii: bool,
    /// How long the escaped text of one object may be.
    room: usize,
    /// How many objects there may be.
    most: usize,
    /// How many items of a list may be named.
    names: usize,
}

impl Layout {
    /// The same with at most so many items named, in one object.
    pub(super) fn with_names(self, most: usize) -> Self {
        Layout { most: 1, names: most, ..self }
    }

    pub(super) fn is_ascii(self) -> bool {
        self.ascii
    }

    /// How many objects there may be.
    pub(super) fn most(self) -> usize {
        self.most
    }

    /// A part that begins with `head`.
    pub(super) fn part(self, head: &str) -> Part {
        let used = encode::escaped_len(head, self.ascii);
        Part { ascii: self.ascii, left: (self.room - TAIL).saturating_sub(used), is_empty: true }
    }

    fn fits(self, text: &str) -> bool {
        encode::escaped_len(text, self.ascii) <= self.room
    }

    /// `head` and a list of `count` items, in as many parts as allowed; what does not fit is
    /// counted.
    pub(super) fn list<'n>(
        self,
        head: &str,
        items: impl Iterator<Item = impl Into<Cow<'n, str>>>,
        count: usize,
    ) -> Vec<String> {
        self.parts(head, ", ", items.map(Into::into), Some(count))
    }

    /// A text that is too long for one object, cut between words where there are any.
    fn text(self, text: &str) -> Vec<String> {
        // a byte is escaped as six at most, so that a piece fits wherever a part does
        let most = ((self.room - TAIL) / 6).min(64);
        let words = text.split_inclusive(' ').flat_map(|word| Chunks { rest: word, most });
        self.parts("", "", words.map(Cow::Borrowed), None)
    }

    fn parts<'n>(
        self,
        head: &str,
        separator: &str,
        items: impl Iterator<Item = Cow<'n, str>>,
        count: Option<usize>,
    ) -> Vec<String> {
        // a head that repeats a user's text can be too long for one object
        let is_long = encode::escaped_len(head, self.ascii) > self.room - TAIL;
        let mut parts = if is_long { self.text(head) } else { vec![head.to_owned()] };
        let mut text = parts.pop().unwrap_or_default();
        let mut part = self.part(&text);
        part.is_empty = text.is_empty();
        let mut is_first = true;
        let mut items = items.peekable();
        let mut listed = 0;
        while let Some(item) = items.peek()
            && listed < self.names
        {
            if !part.takes(item, separator) {
                if parts.len() + 1 == self.most {
                    break;
                }
                parts.push(std::mem::take(&mut text));
                (part, is_first) = (self.part(""), true);
                continue;
            }
            if !is_first {
                text.push_str(separator);
            }
            text.push_str(item);
            is_first = false;
            listed += 1;
            items.next();
        }
        if items.peek().is_some() {
            let separator = if is_first { "" } else { separator };
            text.push_str(&match count {
                Some(count) => format!("{separator}and {} more", count - listed),
                None => " …".to_owned(),
            });
        }
        parts.push(text);
        parts
    }
}

/// A part of an answer that is being filled.
pub(super) struct Part {
    ascii: bool,
    /// Bytes, as they will be escaped.
    left: usize,
    is_empty: bool,
}

impl Part {
    /// Takes another entry, with what separates it from the next one, if there is room. The first one
    /// always has.
    #[inline]
    pub(super) fn takes(&mut self, entry: &str, separator: &str) -> bool {
        let size = encode::escaped_len(entry, self.ascii) + separator.len();
        if size > self.left && !self.is_empty {
            return false;
        }
        self.left = self.left.saturating_sub(size);
        self.is_empty = false;
        true
    }
}

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

/// Cuts a text into pieces of at most `most` bytes.
struct Chunks<'a> {
    rest: &'a str,
    most: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (piece, rest) = self.rest.split_at(floor_char_boundary(self.rest, self.most));
        self.rest = rest;
        Some(piece)
    }
}

/// How the lines for programs begin. No other text of the server does, but for the answer to `/ping`:
/// a user's name at the beginning of a text can be made to read like one of them.
/// A line that is not among them is a bug, which [`listed`] finds.
const LINES: [&str; 9] = [
    "State ",
    "Reporting ",
    "Bounced ",
    "Resume",
    "history ",
    "end of history ",
    "cursor ",
    "synced ",
    "mail ",
];

fn is_like_line(text: &str) -> bool {
    LINES.iter().any(|line| text.starts_with(line))
}

/// A line for programs, which begins like one.
pub(super) fn listed(line: &str) -> &str {
    debug_assert!(is_like_line(line), "{line:?} begins like none of LINES");
    line
}

/// A text that is no line for programs, so that it does not begin like one.
pub(super) fn unlike_line(text: &str) -> Cow<'_, str> {
    match text.as_bytes().first() {
        // the first letters of LINES
        Some(b'S' | b'R' | b'B' | b'h' | b'e' | b'c' | b's' | b'm') if is_like_line(text) => {
            Cow::Owned(format!("- {text}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// A text of a peer's as the server repeats it: short, visible, in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// At most 64 bytes of a text of a peer's, with nothing invisible in it.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    clipped(text, 64)
}

/// At most so many bytes of a text of a peer's. U+FFFD stands for invisible characters, other than the
/// joiners of emoji and of scripts that need them.
pub(super) fn clipped(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.chars().any(is_invisible) {
        return Cow::Borrowed(text);
    }
    let cut = &text[..floor_char_boundary(text, most)];
    let mut visible = String::with_capacity(cut.len());
    let mut before = None;
    let mut chars = cut.chars().peekable();
    while let Some(c) = chars.next() {
        let is_shown = !is_invisible(c) || is_shaping(before, c, chars.peek().copied());
        visible.push(if is_shown { c } else { char::REPLACEMENT_CHARACTER });
        before = Some(c);
    }
    if cut.len() < text.len() {
        visible.push('…');
    }
    Cow::Owned(visible)
}

/// The largest character boundary that is not above `at`.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_filled_to_the_last_byte_and_what_is_left_is_counted() {
        let layout = Layout { ascii: false, room: TAIL + 12, most: 2, names: usize::MAX };
        let list = |names: &[&str]| layout.list("n: ", names.iter().copied(), names.len());
        // a name counts with what separates it from the next one
        assert_eq!(list(&["ab", "cde"]), ["n: ab, cde"]);
        assert_eq!(list(&["ab", "cdef"]), ["n: ab", "cdef"]);
        assert_eq!(list(&["a", "b", "cdefghi", "j", "kl"]), ["n: a, b", "cdefghi, j, and 1 more"]);
    }

    #[test]
    fn a_text_that_is_no_line_begins_like_none() {
        for line in LINES {
            let text = format!("{line}name=x");
            assert_eq!(unlike_line(&text), format!("- {text}"));
            assert_eq!(listed(&text), text);
        }
        assert_eq!(unlike_line("mailman joined."), "mailman joined.");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "begins like none of LINES")]
    fn a_line_that_is_not_listed_is_found() {
        listed("news count=1");
    }

    #[test]
    fn a_long_head_takes_parts_of_its_own() {
        let layout = Layout { ascii: false, room: TAIL + 48, most: 4, names: usize::MAX };
        let list = |layout: Layout, head: &str| layout.list(head, ["ab", "cd"].into_iter(), 2);
        let away = "Away for tea and some cake, in the garden.";
        let long = format!("{away} All day. Rooms (2): ");
        assert_eq!(list(layout, &long), [&*format!("{away} All "), "day. Rooms (2): ab, cd"]);
        // the list goes on behind a head that leaves no space for its first item
        let full = format!("{away} 45: ");
        assert_eq!(list(layout, &full), [&full, "ab, cd"]);
        assert_eq!(list(layout.with_names(9), &full), [format!("{full}and 2 more")]);
    }

    #[test]
    fn a_text_is_repeated_short_and_visible() {
        for (text, repeated) in [
            ("hello", "hello"),
            ("a\u{1b}b", "a\u{fffd}b"),
            ("é\u{200c}é", "é\u{200c}é"),
            ("a\u{200d}b", "a\u{fffd}b"),
            ("\u{1b}2345678", "\u{fffd}2345678"),
            ("123456789", "12345678…"),
            ("1234567ë", "1234567…"),
        ] {
            assert_eq!(clipped(text, 8), repeated, "{text:?}");
        }
    }
}
