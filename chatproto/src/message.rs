//! The one message of the protocol (A3): [`Message`] owns its four strings, [`MessageRef`] borrows
//! them from the bytes of a frame, as validated JSON string tokens ([`JsonStr`]).
//!
//! This file only says what a message is. The decoder finds the tokens, and has
//! [`Message::decode`]; the encoder writes a message.

use std::borrow::Cow;
use std::fmt;

use crate::encode;
use crate::text::hex4;

/// A message that owns its strings.
///
/// Its wire form is one JSON object, written on one line:
///
/// ```
/// use chatproto::Message;
///
/// let message = Message::new("alice", "192.0.2.7", "bob", "hello");
/// assert_eq!(
///     message.to_json(),
///     r#"{"from":{"name":"alice","ip":"192.0.2.7"},"to":"bob","msg":"hello"}"#
/// );
/// assert_eq!(Message::decode(message.to_json().as_bytes()).unwrap(), message);
/// ```
///
/// `serde` support is there for storing messages and for tests. What arrives from a peer goes
/// through [`Message::decode`] or a [`Decoder`](crate::Decoder), which check what `serde` does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// Who wrote it. A server replaces this by what it knows of the sender (B6).
    pub from: Sender,
    /// A user's name, or a command such as `/list`.
    pub to: String,
    /// The text.
    pub msg: String,
}

/// The writer of a message, as the server knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sender {
    /// The user's name; `SERVER` for the server itself.
    pub name: String,
    /// The address as text; `0.0.0.0` for the server itself.
    pub ip: String,
}

impl Message {
    /// A message from its four strings, in the order of the wire form.
    pub fn new(
        name: impl Into<String>,
        ip: impl Into<String>,
        to: impl Into<String>,
        msg: impl Into<String>,
    ) -> Self {
        Message {
            from: Sender { name: name.into(), ip: ip.into() },
            to: to.into(),
            msg: msg.into(),
        }
    }

    /// The compact form (B7), without the line feed that ends it on the wire.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        encode::compact(&mut out, &self.from.name, &self.from.ip, &self.to, &self.msg);
        String::from_utf8(out).expect("text in, text out")
    }

    /// The form that Python's `json.dumps` gives (A5): pure ASCII, without a line feed.
    pub fn to_python_json(&self) -> String {
        let mut out = Vec::new();
        encode::python(&mut out, &self.from.name, &self.from.ip, &self.to, &self.msg);
        String::from_utf8(out).expect("text in, text out")
    }

    /// Whether the server itself wrote it (A6).
    pub fn is_from_server(&self) -> bool {
        self.from.name == crate::name::SERVER
    }
}

/// A message whose strings stay where they are, in the bytes of a frame.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// `from.name`, as the sender wrote it.
    pub name: JsonStr<'a>,
    /// `from.ip`, as the sender wrote it.
    pub ip: JsonStr<'a>,
    /// `to`: a user's name, or a command.
    pub to: JsonStr<'a>,
    /// `msg`: the text.
    pub msg: JsonStr<'a>,
}

impl MessageRef<'_> {
    /// Copies and unescapes the four strings.
    pub fn to_owned(&self) -> Message {
        Message::new(self.name.to_str(), self.ip.to_str(), self.to.to_str(), self.msg.to_str())
    }
}

/// A JSON string token between its quotes, still escaped: every escape well-formed, every
/// surrogate paired. Only the decoder makes one.
#[derive(Clone, Copy)]
pub struct JsonStr<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> JsonStr<'a> {
    /// Wraps a token that the scanner has validated.
    pub(crate) fn validated(raw: &'a str, escaped: bool) -> Self {
        debug_assert_eq!(escaped, raw.contains('\\'));
        JsonStr { raw, escaped }
    }

    /// What stands between the quotes, escapes and all: may be copied into another object.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether there are escapes, so that [`JsonStr::to_str`] has to allocate.
    pub fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// The text, unescaped. Borrows if there is nothing to unescape.
    #[inline]
    pub fn to_str(&self) -> Cow<'a, str> {
        if self.escaped {
            let mut text = String::with_capacity(self.raw.len());
            self.unescape_into(&mut text);
            Cow::Owned(text)
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// Appends the unescaped text to `out`.
    pub fn unescape_into(&self, out: &mut String) {
        let mut rest = self.raw;
        while !rest.is_empty() {
            if rest.as_bytes()[0] == b'\\' {
                // escapes come in runs: Python writes every character beyond ASCII as one
                let (c, length) = unescape_one(rest.as_bytes()).expect("validated by the scanner");
                out.push(c);
                rest = &rest[length..];
            } else {
                let plain = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
                out.push_str(&rest[..plain]);
                rest = &rest[plain..];
            }
        }
    }

    /// Whether the unescaped text is `other`, without allocating.
    pub fn is(&self, other: &str) -> bool {
        token_is(self.raw.as_bytes(), self.escaped, other.as_bytes())
    }
}

impl fmt::Debug for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

/// The text, unescaped.
impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str())
    }
}

/// Whether the token `raw` spells `other`. A token with a lone surrogate spells nothing.
pub(crate) fn token_is(raw: &[u8], escaped: bool, other: &[u8]) -> bool {
    if !escaped {
        return raw == other;
    }
    let (mut raw, mut other) = (raw, other);
    let mut utf8 = [0; 4];
    while let Some((&first, rest)) = raw.split_first() {
        let (bytes, len) = if first == b'\\' {
            let Some((c, len)) = unescape_one(raw) else { return false };
            (c.encode_utf8(&mut utf8).as_bytes(), len)
        } else {
            (&raw[..1], raw.len() - rest.len())
        };
        let Some(left) = other.strip_prefix(bytes) else { return false };
        (raw, other) = (&raw[len..], left);
    }
    other.is_empty()
}

/// The character of the escape at the start of a well-formed token, and the escape's length.
/// `None` for a lone surrogate.
fn unescape_one(token: &[u8]) -> Option<(char, usize)> {
    Some(match token[1] {
        b'u' => {
            let unit = hex4(&token[2..6]);
            if (0xD800..0xDC00).contains(&unit) && token.get(6..8) == Some(b"\\u") {
                let pair = char::decode_utf16([unit, hex4(&token[8..12])]).next()?.ok()?;
                (pair, 12)
            } else {
                (char::from_u32(unit.into())?, 6)
            }
        }
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        plain => (char::from(plain), 2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Frame;

    #[test]
    fn a_token_is_its_raw_text_and_what_that_spells() {
        let frame = br#"{"from":{"name":"zo\u00eb","ip":""},"to":"bob","msg":"a\\b"}"#;
        let frame = Frame::decode(frame).unwrap();
        let MessageRef { name, to, msg, .. } = frame.message();
        assert_eq!((name.raw(), name.is_escaped()), (r"zo\u00eb", true));
        assert_eq!((to.raw(), to.is_escaped()), ("bob", false));
        assert!(name.is("zoë") && to.is("bob") && msg.is(r"a\b"));
        assert!(!name.is(r"zo\u00eb") && !to.is("bo") && !msg.is("a") && !msg.is(r"a\bc"));
        assert_eq!(format!("{name:?} {to:?}"), r#""zoë" "bob""#);
    }

    #[test]
    fn the_server_is_known_by_its_name() {
        assert!(Message::new("SERVER", "0.0.0.0", "alice", "").is_from_server());
        assert!(!Message::new("server", "0.0.0.0", "alice", "").is_from_server());
    }
}
