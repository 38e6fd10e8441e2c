//! Texts of other people's, made harmless: what a peer wrote is shown character by character, and
//! no character of it can move the cursor, change a colour, turn the line around or end it.

use std::borrow::Cow;
use std::fmt;

use chatproto::name::is_shaping;
use chatproto::name::{is_ignorable, is_invisible};

/// The text as one line that a terminal shows as it is: `\n`, `\t` and `\u{1b}` stand for the
/// characters that would do something else than show.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !is_invisible(c) || is_shaping(before, c, chars.peek().copied()) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
        before = Some(c);
    }
    Cow::Owned(shown)
}

/// The beginning of a text, of at most `most` bytes. It ends between two characters.
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// As [`cut`], with an ellipsis if the text was longer.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    format!("{}…", cut(text, most)).into()
}

/// A text of a peer's in a log: in quotes, which it cannot leave.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                write!(f, "\\{c}")?;
            } else if is_invisible(c) || is_ignorable(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_stays() {
        for text in ["", "hi", "C:\\new \"x\"", "grüße 你好 👋🏽", "👩\u{200d}💻", "می\u{200c}خواهم"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_would_do_something_is_shown() {
        for (text, shown) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
            ("a\u{2028}b\u{feff}", "a\\u{2028}b\\u{feff}"),
            ("ali\u{200d}ce", "ali\\u{200d}ce"),
            ("é\u{200d}\u{200d}é", "é\\u{200d}\\u{200d}é"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        for (text, most, begins) in [("", 0, ""), ("hi", 2, "hi"), ("hi", 1, "h"), ("hé", 2, "h")]
        {
            assert_eq!(cut(text, most), begins);
        }
        assert_eq!((&*shortened("hé", 2), &*shortened("hé", 3)), ("h…", "hé"));
    }

    #[test]
    fn a_quoted_text_cannot_leave_its_quotes() {
        let text = "a\"b\\c\u{1b}[0m\nINFO forged";
        assert_eq!(Quoted(text).to_string(), r#""a\"b\\c\u{1b}[0m\nINFO forged""#);
    }
}
