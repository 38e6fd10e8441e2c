//! The short way through a frame that looks as nearly all do: complete, the keys in the order of
//! A3, spaced as the compact form or Python's `json.dumps` does.
//!
//! It only ever says yes. Anything else, errors included, is left to the [`scan`](super::scan)ner,
//! so that every verdict has one author.

use super::scan::{Span, Spans};
use crate::text::{escape_length, plain_run};

/// The frame at the start of `bytes` and its tokens, if it is a message of that look.
pub(crate) fn canonical(bytes: &[u8], max: usize) -> Option<(&str, Spans)> {
    let (length, spans) = match bytes.get(7..9)? {
        b":{" => compact(bytes),
        b": " => python(bytes),
        _ => None,
    }?;
    if length > max {
        return None;
    }
    // one pass for the whole frame, so that its tokens are slices of valid text
    let text = simdutf8::basic::from_utf8(&bytes[..length]).ok()?;
    Some((text, spans))
}

/// Defines the reader of one spelling, given what stands between the tokens.
macro_rules! spelling {
    ($name:ident, $start:literal, $ip:literal, $to:literal, $msg:literal) => {
        fn $name(bytes: &[u8]) -> Option<(usize, Spans)> {
            let (name, at) = token(bytes, skip(bytes, 0, $start)?, false)?;
            let (ip, at) = token(bytes, skip(bytes, at, $ip)?, true)?;
            let (to, at) = token(bytes, skip(bytes, at, $to)?, true)?;
            let (msg, at) = token(bytes, skip(bytes, at, $msg)?, true)?;
            Some((skip(bytes, at, b"}")?, Spans { name, ip, to, msg }))
        }
    };
}

spelling!(compact, b"{\"from\":{\"name\":\"", b",\"ip\":\"", b"},\"to\":\"", b",\"msg\":\"");
spelling!(python, b"{\"from\": {\"name\": \"", b", \"ip\": \"", b"}, \"to\": \"", b", \"msg\": \"");

/// Steps over `expected`. (An array, so that it is compared in a register or two.)
#[inline(always)]
fn skip<const N: usize>(bytes: &[u8], at: usize, expected: &[u8; N]) -> Option<usize> {
    (bytes.get(at..at + N)? == expected).then_some(at + N)
}

/// The string token whose first byte is at `start`, and the offset behind its closing quote.
#[inline(always)]
fn token(bytes: &[u8], start: usize, nul_allowed: bool) -> Option<(Span, usize)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        at += plain_run(&bytes[at..]);
        match *bytes.get(at)? {
            b'"' => {
                // a frame is shorter than 1 GiB, and what is longer is not taken by the caller
                let span = Span { start: start as u32, end: at as u32, escaped };
                return Some((span, at + 1));
            }
            b'\\' => {
                escaped = true;
                at += escape_length(&bytes[at..], nul_allowed)?;
            }
            _ => return None,
        }
    }
}
