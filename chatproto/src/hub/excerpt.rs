//! Texts of peers as the server repeats them: short, and without invisible characters.

use std::borrow::Cow;

use crate::name::{is_invisible, is_shaping};

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
pub(super) fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
