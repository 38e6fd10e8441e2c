//! Bytes and objects as a person reads them: on one line, shortened, harmless in a terminal.

use std::borrow::Cow;

use super::raw::{End, Item, Raw};
use crate::text::{self, visible};

/// As much of a text is shown in a line of the report.
const TEXT: usize = 100;
/// Bytes of what came that the report keeps of one trial.
const LONGEST: usize = 8 * 1024;
/// As many objects are told one by one.
const OBJECTS: usize = 4;

/// Bytes as text, with what does not show escaped, at most so many of them.
pub(super) fn bytes(bytes: &[u8], limit: usize) -> String {
    match bytes.get(..limit) {
        Some(shown) if bytes.len() > limit => format!("`{}`…", escaped(shown)),
        _ => format!("`{}`", escaped(bytes)),
    }
}

/// Bytes as text, with what does not show escaped.
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
fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// What the report keeps of what came. A peer cannot make it longer than [`LONGEST`].
pub(super) fn bounded(mut came: String) -> String {
    if let Some(cut) = came.len().checked_sub(LONGEST).filter(|&cut| cut > 0) {
        came.truncate(text::cut(&came, LONGEST).len());
        came.push_str(&format!("… ({cut} more bytes)"));
        came.shrink_to_fit();
    }
    came
}

/// An object in short: who, to whom, what.
pub(super) fn item(item: &Item) -> String {
    match &item.message {
        Ok(message) => {
            let (from, to) = (short(&message.from.name), short(&message.to));
            format!("{} → {}: {}", visible(&from), visible(&to), text(&message.msg))
        }
        Err(error) => format!("an object that is no message ({error})"),
    }
}

/// What came on a connection since there were so many objects, and how it stands.
pub(super) fn came(raw: &Raw, since: usize) -> String {
    let items = raw.since(since);
    let mut parts: Vec<String> = items.iter().take(OBJECTS).map(item).collect();
    if items.len() > OBJECTS {
        parts.push(format!("{} more objects", items.len() - OBJECTS));
    }
    if !raw.garbage().is_empty() {
        parts.push(format!("garbage: {}", bytes(raw.garbage(), TEXT)));
    }
    parts.push(match raw.end() {
        Some(End::Closed) => "then it was closed".to_owned(),
        Some(End::Broken(why)) => format!("then it was broken off ({why})"),
        None if parts.is_empty() => "nothing: it is open and silent".to_owned(),
        None => "then silence".to_owned(),
    });
    if parts.len() == 1 {
        parts.remove(0).replacen("then it", "nothing: it", 1)
    } else {
        parts.join("; ")
    }
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
