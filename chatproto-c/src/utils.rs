//! The contract module of existing programs (A12): the functions of its six names. `CHATPROTO_PORT` and
//! `CHATPROTO_ENCODING` are the other two.

use std::ffi::{c_char, c_void};

use chatproto::utils;
use serde::de::IgnoredAny;

use crate::ffi::{boundary, out};
use crate::result::chatproto_result;
use crate::text::{chatproto_str, give};

/// Writes the IPv4 address of this machine in its network, or `127.0.0.1` if it has none. Nothing is
/// sent. `*length` is how many bytes it has, at most 15, without a NUL; it is written on
/// `CHATPROTO_BUFFER_TOO_SMALL` too, and is 0 after other errors.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` bytes that may be written; `length` is NULL or may be
/// written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_get_local_ip(
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        unsafe {
            let length = out(length, 0, "length")?;
            give(utils::get_local_ip().as_bytes(), buffer, capacity, length)
        }
    })
}

/// Writes a message as text, in the form of Python's `json.dumps`, without a line feed:
/// `chatproto_encode_python` with four strings. `*length` is as there.
///
/// Results: as for `chatproto_encode`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// The strings are as `chatproto_str` describes; `buffer` is NULL or points to `capacity` bytes that may
/// be written; `length` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_create_json_msg(
    sender_name: chatproto_str,
    sender_ip: chatproto_str,
    target: chatproto_str,
    text: chatproto_str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (length, [name, ip, target, text]) = unsafe {
            let length = out(length, 0, "length")?;
            let texts = [
                sender_name.text("sender_name")?,
                sender_ip.text("sender_ip")?,
                target.text("target")?,
                text.text("text")?,
            ];
            (length, texts)
        };
        let message = utils::create_json_msg(name, ip, target, text);
        // SAFETY: the caller's promise
        unsafe { give(message.as_bytes(), buffer, capacity, length) }
    })
}

/// Finds the JSON value of a text, of any shape, as Python's `json.loads` does. C has no type for such
/// values: `*value` is the text of the value, without white space around it. It points into `data` and
/// lives as long as those bytes stay there unchanged. It is empty if the text is not JSON, which is no
/// error. `NaN` and `Infinity`, which Python takes, are not JSON, and no text with a byte order mark is.
/// `chatproto_decode` reads a message.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NOT_UTF8` if the bytes are not UTF-8; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `data` is NULL or points to `len` bytes that may be read; `value` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decode_json_msg(
    data: *const c_void,
    len: usize,
    value: *mut chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (value, text) = unsafe {
            let value = out(value, chatproto_str::EMPTY, "value")?;
            (value, chatproto_str { ptr: data.cast(), len }.text("data")?)
        };
        // it stores nothing, so that no depth is too much for it
        if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            *value = text.trim_matches([' ', '\t', '\r', '\n']).into();
        }
        Ok(())
    })
}

/// The shape of a message as text: what a server answers to `/standard`. Static and NUL-terminated: not
/// to be freed.
///
/// Threads: any. It cannot fail.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub extern "C" fn chatproto_get_standard_json() -> *const c_char {
    cr#"{"from": {"name": "string", "ip": "string"}, "to": "string", "msg": "string"}"#.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_core_reads_is_a_value() {
        let damaged = (0..40).flat_map(|at| {
            let text = br#"{"a": [1.5e-3, "\u00e9\n", null], "b": {"c": true}}"#;
            [&b""[..], b"\\", b"\"", b"]", b"1", b" ", b"\t", b"\xff", b"\xc3\xa9"].map(|piece| {
                let mut text = text.to_vec();
                text.splice(at..at + 1, piece.iter().copied());
                text
            })
        });
        let mut counts = [0; 3];
        for text in damaged {
            let mut value = chatproto_str::EMPTY;
            // SAFETY: both are there
            let result =
                unsafe { chatproto_decode_json_msg(text.as_ptr().cast(), text.len(), &mut value) };
            // SAFETY: the text is there
            let found = unsafe { value.text("value") }.unwrap();
            let shown = String::from_utf8_lossy(&text);
            counts[match utils::decode_json_msg(&text) {
                Err(_) => {
                    assert_eq!((result, found), (chatproto_result::NotUtf8, ""), "{shown}");
                    0
                }
                Ok(None) => {
                    assert_eq!((result, found), (chatproto_result::Ok, ""), "{shown}");
                    1
                }
                Ok(Some(_)) => {
                    assert_eq!((result, found), (chatproto_result::Ok, shown.trim()), "{shown}");
                    2
                }
            }] += 1;
        }
        assert!(counts.iter().all(|&count| count > 10), "every verdict occurs: {counts:?}");
    }

    #[test]
    fn the_shape_is_that_of_the_core() {
        // SAFETY: it ends in a NUL
        let text = unsafe { std::ffi::CStr::from_ptr(chatproto_get_standard_json()) };
        assert_eq!(text.to_str().unwrap(), utils::get_standard_json());
        assert_eq!(utils::PORT, crate::client::CHATPROTO_PORT);
    }
}
