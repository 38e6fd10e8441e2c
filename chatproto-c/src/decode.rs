//! One frame, without copying: views of the raw tokens, unescaped on request into the caller's
//! buffer. Nothing here allocates, whatever the input; `tests/allocations.rs` counts.

use std::ffi::{c_char, c_void};

use chatproto::{Frame, JsonStr, MessageRef};

use crate::ffi::{at, boundary, out};
use crate::result::{chatproto_result, decode_error, fail};
use crate::text::{bytes, chatproto_str, give};

/// A JSON string token, as it stands between its quotes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_json_str {
    /// The token, escapes and all. Every escape is well-formed, every surrogate has its pair.
    pub raw: chatproto_str,
    /// Whether there are escapes. If not, `raw` is the text; if so, `chatproto_json_str_unescape`
    /// gives it.
    pub escaped: bool,
}

/// A message whose strings stay where they are, in the bytes of a frame.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_message_ref {
    /// `from.name`, as the sender wrote it.
    pub name: chatproto_json_str,
    /// `from.ip`, as the sender wrote it.
    pub ip: chatproto_json_str,
    /// `to`: a user, a room, a command.
    pub to: chatproto_json_str,
    /// `msg`: the text.
    pub msg: chatproto_json_str,
}

impl chatproto_message_ref {
    /// Four empty tokens.
    pub const EMPTY: chatproto_message_ref = {
        let token = chatproto_json_str { raw: chatproto_str::EMPTY, escaped: false };
        chatproto_message_ref { name: token, ip: token, to: token, msg: token }
    };
}

impl From<JsonStr<'_>> for chatproto_json_str {
    #[inline]
    fn from(token: JsonStr<'_>) -> Self {
        chatproto_json_str { raw: token.raw().into(), escaped: token.is_escaped() }
    }
}

impl From<MessageRef<'_>> for chatproto_message_ref {
    #[inline]
    fn from(message: MessageRef<'_>) -> Self {
        chatproto_message_ref {
            name: message.name.into(),
            ip: message.ip.into(),
            to: message.to.into(),
            msg: message.msg.into(),
        }
    }
}

/// Decodes exactly one object, with white space around it at most, under the default limits.
/// Nothing is copied: the tokens of `*message` point into `input` and live as long as those bytes
/// stay there unchanged. They are four empty ones unless the result is `CHATPROTO_OK`. For bytes
/// that come in pieces, or several objects, there is `chatproto_decoder`.
///
/// Results: `CHATPROTO_OK`; those from 20 to 59; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `input` is NULL or points to `len` bytes that may be read; `message` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decode(
    input: *const c_void,
    len: usize,
    message: *mut chatproto_message_ref,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (message, input) = unsafe {
            (
                out(message, chatproto_message_ref::EMPTY, "message")?,
                bytes(input.cast(), len, "input")?,
            )
        };
        match Frame::decode(input) {
            // a frame that is whole is borrowed from the input: the tokens outlive it
            Ok(frame) => {
                *message = frame.message().into();
                Ok(())
            }
            Err(error) => Err(decode_error(&error)),
        }
    })
}

/// Writes the text of a token into `buffer`, unescaped, without a NUL. `*length` is how many bytes
/// it has; it is written on `CHATPROTO_BUFFER_TOO_SMALL` too, when what is in the buffer means
/// nothing, and is 0 after other errors. With a `capacity` of 0, `buffer` may be NULL: that asks for
/// the length. A buffer of `raw.len` bytes is always enough.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_INVALID_ARGUMENT` if it is not
/// a token that this library gave, `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `token` is NULL or points to a token whose bytes are still there; `buffer` is NULL or points to
/// `capacity` bytes that may be written, none of them the token's; `length` is NULL or may be
/// written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_json_str_unescape(
    token: *const chatproto_json_str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises. (`escaped` is only ever read as a byte of C's.)
        let (length, token) = unsafe { (out(length, 0, "length")?, at(token, "token")?) };
        // SAFETY: the caller's promises
        let raw = unsafe { token.raw.text("token")? };
        if !token.escaped {
            // SAFETY: the caller's promises
            return unsafe { give(raw.as_bytes(), buffer, capacity, length) };
        }
        let mut needed = 0;
        let mut rest = raw;
        let mut utf8 = [0; 4];
        while !rest.is_empty() {
            let (piece, taken) = match rest.find('\\') {
                Some(0) => {
                    let (c, taken) = escape(rest.as_bytes()).ok_or_else(|| {
                        let at = raw.len() - rest.len();
                        *length = 0;
                        fail(
                            chatproto_result::InvalidArgument,
                            format_args!("`token` has no valid escape at byte {at}"),
                        )
                    })?;
                    (&*c.encode_utf8(&mut utf8), taken)
                }
                Some(plain) => (&rest[..plain], plain),
                None => (rest, rest.len()),
            };
            let mut room = 0;
            if needed + piece.len() <= capacity {
                // SAFETY: within the buffer, which the caller promises
                let place = if buffer.is_null() { buffer } else { unsafe { buffer.add(needed) } };
                // SAFETY: so many bytes are left there
                unsafe { give(piece.as_bytes(), place, capacity - needed, &mut room)? };
            }
            needed += piece.len();
            rest = &rest[taken..];
        }
        *length = needed;
        if needed > capacity { Err(chatproto_result::BufferTooSmall) } else { Ok(()) }
    })
}

/// The character of the escape at the start of a token, and the escape's length.
fn escape(token: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = token.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    };
    Some(match token.get(1)? {
        b'u' => match unit(0)? {
            high @ 0xD800..0xDC00 => {
                let low = unit(6)?.checked_sub(0xDC00).filter(|&low| low < 0x400)?;
                (char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + low)?, 12)
            }
            unit => (char::from_u32(unit)?, 6),
        },
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        &plain @ (b'"' | b'\\' | b'/') => (char::from(plain), 2),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescape(raw: &str, capacity: usize) -> (chatproto_result, usize, Vec<u8>) {
        let token = chatproto_json_str { raw: raw.into(), escaped: true };
        let (mut buffer, mut length) = (vec![0_u8; capacity], 99);
        // SAFETY: all of them are there
        let result = unsafe {
            chatproto_json_str_unescape(&token, buffer.as_mut_ptr().cast(), capacity, &mut length)
        };
        buffer.truncate(length);
        (result, length, buffer)
    }

    #[test]
    fn a_token_is_unescaped_as_the_core_does() {
        let raw = r#"a\"\\\/\b\f\n\r\t\u00e9é\ud83d\ude00\u0000z"#;
        let frame = format!(r#"{{"from":{{"name":"","ip":""}},"to":"","msg":"{raw}"}}"#);
        let frame = Frame::decode(frame.as_bytes()).unwrap();
        let text = frame.message().msg.to_str().into_owned();
        let (result, length, bytes) = unescape(raw, raw.len());
        assert_eq!((result, length), (chatproto_result::Ok, text.len()));
        assert_eq!(bytes, text.as_bytes());
        let exact = unescape(raw, text.len());
        assert_eq!((exact.0, &exact.2[..]), (chatproto_result::Ok, text.as_bytes()));
        for capacity in 0..text.len() {
            let (result, length, _) = unescape(raw, capacity);
            assert_eq!((result, length), (chatproto_result::BufferTooSmall, text.len()));
        }
    }

    #[test]
    fn there_is_no_length_after_an_error() {
        for escaped in [false, true] {
            let token = chatproto_json_str { raw: "text".into(), escaped };
            let mut length = 99;
            // SAFETY: the token is there, and NULL is allowed
            let result = unsafe {
                chatproto_json_str_unescape(&token, std::ptr::null_mut(), 4, &mut length)
            };
            assert_eq!((result, length), (chatproto_result::NullPointer, 0), "{escaped}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for raw in
            [r"\", r"\x", r"\u12", r"\u12g4", r"\ud800", r"\ud800\u0041", r"\udc00", r"\u+123"]
        {
            let (result, length, _) = unescape(raw, 32);
            assert_eq!((result, length), (chatproto_result::InvalidArgument, 0), "{raw}");
        }
    }

    #[test]
    fn a_frame_is_borrowed() {
        let frame = br#" {"from":{"name":"al\u0069ce","ip":"::1"},"to":"bob","msg":"hi"} "#;
        let mut message = chatproto_message_ref::EMPTY;
        // SAFETY: both are there
        let result = unsafe { chatproto_decode(frame.as_ptr().cast(), frame.len(), &mut message) };
        assert_eq!(result, chatproto_result::Ok);
        assert!(message.name.escaped && !message.to.escaped);
        let range = frame.as_ptr_range();
        assert!(range.contains(&message.msg.raw.ptr.cast()));
        assert_eq!(message.msg.raw.len, 2);
    }
}
