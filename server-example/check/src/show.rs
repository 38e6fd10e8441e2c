//! Received objects as a person reads them: one in short, and all of a connection.

use shared::text::visible;

use super::quote::{bytes, short, text};
use super::raw::{End, Item, Raw};

/// Most bytes of garbage that are shown.
const GARBAGE: usize = 100;
/// As many objects are told one by one.
const OBJECTS: usize = 4;

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
        parts.push(format!("garbage: {}", bytes(raw.garbage(), GARBAGE)));
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
