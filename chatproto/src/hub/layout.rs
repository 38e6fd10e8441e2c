//! The layout of an answer: how many objects it may take, and what fits into each (B11).

use std::borrow::Cow;

use crate::encode;

use super::excerpt::floor_char_boundary;

/// Room for what is added to a part of a list: `, and 4294967295 more` and ` (16/16)`.
pub(super) const TAIL: usize = 32;

/// How an answer to one reader is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) ascii: bool,
    /// How long the escaped text of one object may be.
    pub(super) room: usize,
    /// How many objects there may be.
    pub(super) most: usize,
    /// How many items of a list may be named.
    pub(super) names: usize,
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

    pub(super) fn fits(self, text: &str) -> bool {
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
    pub(super) fn text(self, text: &str) -> Vec<String> {
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
}
