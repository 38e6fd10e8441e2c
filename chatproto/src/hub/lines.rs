//! Lines for programs, and how other texts of the server stay unlike them.

use std::borrow::Cow;

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

/// The last line of a reader that was too slow.
pub(super) const CLOSED_SLOW: &str = "State closed reason=slow";
/// The last line of a connection that is refused.
pub(super) const CLOSED_REFUSED: &str = "State closed reason=refused";

#[cfg(test)]
mod tests {
    use super::*;

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
}
