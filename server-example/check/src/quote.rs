//! Bytes and texts as a person reads them: on one line, shortened, harmless in a terminal.

use std::borrow::Cow;

use shared::text::{self, visible};

/// Most characters of a text that a line of the report shows.
const TEXT: usize = 100;
/// Most bytes that the report retains of what one trial received.
const LONGEST: usize = 8 * 1024;

/// The first `limit` bytes as text. Invisible characters are escaped.
pub(super) fn bytes(bytes: &[u8], limit: usize) -> String {
    match bytes.get(..limit) {
        Some(shown) if bytes.len() > limit => format!("`{}`…", escaped(shown)),
        _ => format!("`{}`", escaped(bytes)),
    }
}

/// Bytes as text. Invisible characters are escaped.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A text in quotes, shortened.
pub(super) fn text(text: &str) -> String {
    format!("\"{}\"", visible(&short(text)))
}

/// A text of at most [`TEXT`] characters, with a sign where it was cut.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// Received text as the report retains it: at most [`LONGEST`] bytes, and a note if it was longer.
pub(super) fn bounded(mut came: String) -> String {
    if let Some(cut) = came.len().checked_sub(LONGEST).filter(|&cut| cut > 0) {
        came.truncate(text::cut(&came, LONGEST).len());
        came.push_str(&format!("… ({cut} more bytes)"));
        came.shrink_to_fit();
    }
    came
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_report_keeps_is_bounded() {
        assert_eq!(bounded("hello".to_owned()), "hello");
        let kept = bounded("é".repeat(LONGEST));
        assert!(kept.len() < LONGEST + 40 && kept.ends_with("… (8192 more bytes)"), "{kept}");
        assert_eq!(text(&"é".repeat(TEXT)), format!("\"{}\"", "é".repeat(TEXT)));
        assert_eq!(text(&"é".repeat(TEXT + 1)), format!("\"{}…\"", "é".repeat(TEXT)));
    }
}
