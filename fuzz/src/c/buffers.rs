//! The functions that write into a buffer of the caller's, each with every capacity and guards on
//! both sides.

use std::ffi::c_char;
use std::ptr::{null, null_mut};

use chatproto_c::decode::{chatproto_json_str, chatproto_json_str_unescape};
use chatproto_c::encode::{chatproto_encode, chatproto_encode_python};
use chatproto_c::result::chatproto_result as R;
use chatproto_c::text::chatproto_str;

use super::{Strings, gives};

const GUARD: usize = 16;
const FILL: u8 = 0xa5;

/// A function with its first arguments: buffer, capacity, length.
type Fills<'a> = &'a dyn Fn(*mut c_char, usize, *mut usize) -> R;

/// Calls it with every capacity of a short text and some of a long one, and with NULL.
fn check(expected: Result<&[u8], R>, leaves_a_small_one: bool, fills: Fills<'_>) {
    let needed = expected.map_or(0, <[u8]>::len);
    let all = 0..=needed + 2;
    let some = [0, 1, needed / 2, needed.saturating_sub(1), needed, needed + 1];
    let capacities = if needed <= 64 { all.collect() } else { Vec::from(some) };
    for capacity in capacities {
        check_one(expected, leaves_a_small_one, capacity, fills);
    }
    gives(fills(null_mut(), 0, null_mut()), R::NullPointer);
    let mut length = usize::MAX;
    let result = fills(null_mut(), 0, &mut length);
    match expected {
        Ok([]) => gives(result, R::Ok),
        Ok(_) => gives(result, R::BufferTooSmall),
        Err(expected) => gives(result, expected),
    };
    assert_eq!(length, needed, "at NULL");
    if needed > 0 {
        gives(fills(null_mut(), needed, &mut length), R::NullPointer);
        assert_eq!(length, 0, "after an error");
    }
}

fn check_one(
    expected: Result<&[u8], R>,
    leaves_a_small_one: bool,
    capacity: usize,
    fills: Fills<'_>,
) {
    let mut block = vec![FILL; GUARD + capacity + GUARD];
    let mut length = usize::MAX;
    let buffer = block[GUARD..][..capacity].as_mut_ptr().cast();
    let result = fills(buffer, capacity, &mut length);
    // where it may have written
    let written = match expected {
        Ok(bytes) if bytes.len() <= capacity => {
            gives(result, R::Ok);
            assert_eq!(block[GUARD..][..bytes.len()], *bytes);
            bytes.len()
        }
        Ok(_) => {
            gives(result, R::BufferTooSmall);
            if leaves_a_small_one { 0 } else { capacity }
        }
        Err(expected) => {
            gives(result, expected);
            if leaves_a_small_one { 0 } else { capacity }
        }
    };
    assert_eq!(length, expected.map_or(0, <[u8]>::len), "the length, of {capacity}");
    let untouched = block[..GUARD].iter().chain(&block[GUARD + written..]);
    assert!(untouched.into_iter().all(|&byte| byte == FILL), "{capacity} bytes: {block:x?}");
}

/// Encodes four strings in a form.
pub(super) fn encode(strings: &Strings, form: u8) {
    let is_python = form & 1 == 1;
    let expected =
        strings.expected.as_ref().map_err(|&result| result).map(|message| {
            if is_python { message.to_python_json() } else { message.to_json() + "\n" }
        });
    let function = if is_python { chatproto_encode_python } else { chatproto_encode };
    let expected = expected.as_ref().map(String::as_bytes).map_err(|&result| result);
    check(expected, true, &|buffer, capacity, length| {
        // SAFETY: the strings are there, and so much of the buffer
        unsafe { function(&strings.fields, buffer, capacity, length) }
    });
    let mut length = 1;
    // SAFETY: NULL is allowed
    gives(unsafe { function(null(), null_mut(), 0, &mut length) }, R::NullPointer);
    assert_eq!(length, 0);
}

/// Unescapes any bytes as if they were a token.
pub(super) fn unescape(escaped: bool, bytes: &[u8]) {
    let raw = chatproto_str { ptr: bytes.as_ptr().cast(), len: bytes.len() };
    let token = chatproto_json_str { raw, escaped };
    let expected = match std::str::from_utf8(bytes) {
        Err(_) => Err(R::NotUtf8),
        Ok(text) if !escaped => Ok(text.to_owned()),
        Ok(text) => unescaped(text).ok_or(R::InvalidArgument),
    };
    unescapes_to(&token, expected.as_deref().map_err(|&result| result));
}

/// What `serde_json` makes of a token, in which plain characters may stand that JSON escapes.
fn unescaped(token: &str) -> Option<String> {
    let (mut json, mut characters) = ("\"".to_owned(), token.chars());
    while let Some(c) = characters.next() {
        match c {
            '\\' => json.extend([Some('\\'), characters.next()].into_iter().flatten()),
            '"' => json.push_str("\\\""),
            '\0'..' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    serde_json::from_str(&(json + "\"")).ok()
}

/// Unescapes a token in every way.
pub(super) fn unescapes_to(token: &chatproto_json_str, expected: Result<&str, R>) {
    check(expected.map(str::as_bytes), false, &|buffer, capacity, length| {
        // SAFETY: the token is there, and so much of the buffer
        unsafe { chatproto_json_str_unescape(token, buffer, capacity, length) }
    });
    if let Ok(text) = expected {
        assert!(text.len() <= token.raw.len, "a buffer of `raw.len` bytes is always enough");
        assert!(token.escaped || text.len() == token.raw.len);
    }
    let mut length = 1;
    // SAFETY: NULL is allowed
    let result = unsafe { chatproto_json_str_unescape(null(), null_mut(), 0, &mut length) };
    gives(result, R::NullPointer);
    assert_eq!(length, 0);
}
