//! Lines of the server for programs: words, then `key=value` pairs (B18, B21). Here is how values are
//! quoted, and the strict reading of such a line. What each line means is in `PROTOCOL.md`.

use std::borrow::Cow;

use crate::argument::in_quotes;

/// A text as the value of a pair: in quotes if it is empty, or has white space, a quote or `=`.
///
/// ```
/// use chatproto::pairs::as_value;
///
/// assert_eq!(as_value("ann"), "ann");
/// assert_eq!(as_value("a=b"), "\"a=b\"");
/// assert_eq!(as_value(""), "\"\"");
/// ```
pub fn as_value(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| c.is_whitespace() || matches!(c, '"' | '=');
    match text.is_empty() || text.contains(is_special) {
        true => Cow::Owned(in_quotes(text)),
        false => Cow::Borrowed(text),
    }
}

/// The pairs of a line. A text with any other content has none.
///
/// ```
/// use chatproto::pairs::Pairs;
///
/// let pairs = Pairs::parse("room=\"#green tea\" name=bob reason=left").unwrap();
/// assert_eq!(pairs.get("room"), Some("#green tea"));
/// assert_eq!(pairs.get("address"), None);
/// assert!(Pairs::parse("name=bob is away").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    /// Reads pairs that are each separated by one space. `None` if the text is anything else, or has a
    /// key twice.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if !pairs.is_empty() {
                rest = rest.strip_prefix(' ')?;
            }
            let (key, behind) = rest.split_once('=')?;
            let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let is_new = pairs.iter().all(|(other, _)| *other != key);
            if key.is_empty() || !key.chars().all(is_key) || !is_new {
                return None;
            }
            let (value, behind) = value(behind)?;
            pairs.push((key, value));
            rest = behind;
        }
        Some(Pairs(pairs))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| *other == key).map(|(_, value)| &**value)
    }

    /// The number that is the value of a key.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

/// Reads a value at the beginning of a text. Returns what is behind it, too.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        let is_bare = !value.is_empty() && !value.contains(['"', '=']);
        return is_bare.then_some((Cow::Borrowed(value), behind));
    };
    let mut end = quoted.find('"')?;
    let mut has_quotes = false;
    while quoted[end + 1..].starts_with('"') {
        has_quotes = true;
        end += 2 + quoted[end + 2..].find('"')?;
    }
    let (value, behind) = (&quoted[..end], &quoted[end + 1..]);
    let value = if has_quotes { value.replace("\"\"", "\"").into() } else { Cow::Borrowed(value) };
    Some((value, behind))
}

/// A line that says what changed (B21).
///
/// ```
/// use chatproto::pairs::StateLine;
///
/// let line = StateLine::parse("State joined room=#tea name=bob").unwrap();
/// assert_eq!((line.kind, line.pairs.get("name")), ("joined", Some("bob")));
/// assert!(StateLine::parse("State of affairs: fine").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateLine<'a> {
    /// The word behind `State`.
    pub kind: &'a str,
    /// The pairs behind that.
    pub pairs: Pairs<'a>,
}

impl<'a> StateLine<'a> {
    /// Reads the text of a message. It counts only if the server sent the message.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("State ")?;
        let (kind, pairs) = text.split_once(' ').unwrap_or((text, ""));
        let is_word = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase());
        Some(StateLine { kind, pairs: Pairs::parse(pairs).filter(|_| is_word)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_only_pairs_has_none() {
        for text in [
            "a",
            "a=",
            "=b",
            "a=b ",
            " a=b",
            "a=b  c=d",
            "a=b=c",
            "a=b\"",
            "a=\"b",
            "a=\"b\"c",
            "a=\"b\"\"",
            "A=b",
            "a=b a=c",
            "a=\u{a0}",
            "a=b\tc=d",
            "a=b c",
            "a b=c",
        ] {
            assert_eq!(Pairs::parse(text), None, "{text:?}");
        }
        assert_eq!(Pairs::parse(""), Some(Pairs(Vec::new())));
        for text in ["State", "State ", "State  a=b", "state joined", "State Joined name=a"] {
            assert_eq!(StateLine::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_value_is_read_as_it_was_written(values in prop::collection::vec(".*", 0..4)) {
            let keys = ["a", "b-1", "c", "d"];
            let written: Vec<String> = keys
                .iter()
                .zip(&values)
                .map(|(key, value)| format!("{key}={}", as_value(value)))
                .collect();
            let line = written.join(" ");
            let pairs = Pairs::parse(&line).expect("pairs");
            for (key, value) in keys.iter().zip(&values) {
                prop_assert_eq!(pairs.get(key), Some(&**value));
            }
            prop_assert_eq!(pairs.0.len(), values.len().min(keys.len()));
        }
    }
}
