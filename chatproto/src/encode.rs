//! From messages to bytes: the compact form (B7), the form of Python's `json.dumps` (A5), and the
//! splice with which a server forwards (B6).
//!
//! Every function appends to the caller's buffer and writes one object without a line feed.

use crate::text::plain_run;

/// Appends the compact form: no spaces, UTF-8 as it is.
pub fn compact(out: &mut Vec<u8>, name: &str, ip: &str, to: &str, msg: &str) {
    out.reserve(name.len() + ip.len() + to.len() + msg.len() + 48);
    stamp(out, name, ip);
    escape(out, to);
    out.extend_from_slice(b"\",\"msg\":\"");
    escape(out, msg);
    out.extend_from_slice(b"\"}");
}

/// Appends what Python's `json.dumps` prints with its defaults: spaces after `,` and `:`, ASCII
/// only, characters beyond the basic plane as surrogate pairs.
pub fn python(out: &mut Vec<u8>, name: &str, ip: &str, to: &str, msg: &str) {
    out.extend_from_slice(b"{\"from\": {\"name\": \"");
    escape_ascii(out, name);
    out.extend_from_slice(b"\", \"ip\": \"");
    escape_ascii(out, ip);
    out.extend_from_slice(b"\"}, \"to\": \"");
    escape_ascii(out, to);
    out.extend_from_slice(b"\", \"msg\": \"");
    escape_ascii(out, msg);
    out.extend_from_slice(b"\"}");
}

/// Appends the beginning of the compact form, up to the opening quote of `to`. A server makes it
/// once per user and puts it before all that it forwards from them.
pub fn stamp(out: &mut Vec<u8>, name: &str, ip: &str) {
    out.extend_from_slice(b"{\"from\":{\"name\":\"");
    escape(out, name);
    out.extend_from_slice(b"\",\"ip\":\"");
    escape(out, ip);
    out.extend_from_slice(b"\"},\"to\":\"");
}

/// Appends a message to forward: the server's [`stamp`], then the raw tokens of `to` and `msg` as
/// they came. The tokens must come from a decoded message, or be what a JSON string may hold.
pub fn splice(out: &mut Vec<u8>, stamp: &[u8], to: &str, msg: &str) {
    out.reserve(stamp.len() + to.len() + msg.len() + 12);
    out.extend_from_slice(stamp);
    out.extend_from_slice(to.as_bytes());
    out.extend_from_slice(b"\",\"msg\":\"");
    out.extend_from_slice(msg.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// `text` as the inside of a JSON string of the compact form.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    escape(&mut out, text);
    String::from_utf8(out).expect("text in, text out")
}

/// Appends `text` as the inside of a JSON string of the compact form.
#[inline]
fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_run(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&special) = rest.get(plain) else { return };
        escape_byte(out, special);
        rest = &rest[plain + 1..];
    }
}

/// Appends `text` as the inside of a JSON string of Python's form.
fn escape_ascii(out: &mut Vec<u8>, text: &str) {
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            '"' | '\\' | '\0'..='\x1f' => escape_byte(out, c as u8),
            ' '..='\x7e' => out.push(c as u8),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    escape_unit(out, *unit);
                }
            }
        }
    }
}

fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return escape_unit(out, byte.into()),
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn escape_unit(out: &mut Vec<u8>, unit: u16) {
    let digit = |shift: u16| b"0123456789abcdef"[usize::from(unit >> shift & 15)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// Whether there is a character that Python's form escapes and the compact one does not.
fn needs_python_escape(text: &str) -> bool {
    text.bytes().any(|byte| byte >= 0x7f)
}

/// How many bytes `text` takes inside a JSON string, in the compact form or in Python's.
pub(crate) fn escaped_len(text: &str, ascii: bool) -> usize {
    if plain_run(text.as_bytes()) == text.len() && !(ascii && needs_python_escape(text)) {
        return text.len();
    }
    let escape_byte_len = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | 0x0c | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.chars()
        .map(|c| match u8::try_from(c) {
            Ok(byte @ 0..0x7f) => escape_byte_len(byte),
            _ if ascii => 6 * c.len_utf16(),
            _ => c.len_utf8(),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_encoding() {
        for text in
            ["", "plain", "\0\u{1f}\n\"\\\u{7f}", "žluť", "漢字", "😀 \u{10ffff}", "\u{80}\u{7ff}"]
        {
            let (mut compact, mut ascii) = (Vec::new(), Vec::new());
            escape(&mut compact, text);
            escape_ascii(&mut ascii, text);
            assert_eq!(escaped_len(text, false), compact.len(), "{text:?}");
            assert_eq!(escaped_len(text, true), ascii.len(), "{text:?}");
        }
    }
}
