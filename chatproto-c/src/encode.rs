//! From messages to bytes, into the caller's buffer.

use std::cell::RefCell;
use std::ffi::c_char;

use chatproto::encode::{compact, python};

use crate::ffi::{at, boundary, out};
use crate::result::chatproto_result;
use crate::text::{chatproto_fields, give};

/// What a thread keeps for the next encoding is at most this.
const KEPT: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes a message as it goes over the wire: one object in the compact form, and the line feed
/// that ends it. `*length` is how many bytes that is; it is written on `CHATPROTO_BUFFER_TOO_SMALL`
/// too, when nothing else is, and is 0 after other errors. With a `capacity` of 0, `buffer` may be
/// NULL: that asks for the length. No NUL is written.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_NOT_UTF8`, `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `fields` is NULL or points to four strings as `chatproto_str` describes them; `buffer` is NULL or
/// points to `capacity` bytes that may be written; `length` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_encode(
    fields: *const chatproto_fields,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    // SAFETY: the caller's promises
    unsafe {
        encode(fields, buffer, capacity, length, |out, name, ip, to, msg| {
            compact(out, name, ip, to, msg);
            out.push(b'\n');
        })
    }
}

/// Writes what Python's `json.dumps` prints for the message with its defaults, byte for byte: ASCII
/// only, spaces after `,` and `:`, no line feed. For peers that read one object at a time, whose
/// limit is 1024 bytes. The parameters are those of `chatproto_encode`.
///
/// Results: as for `chatproto_encode`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// As for `chatproto_encode`.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_encode_python(
    fields: *const chatproto_fields,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    // SAFETY: the caller's promises
    unsafe { encode(fields, buffer, capacity, length, python) }
}

/// # Safety
/// As for [`chatproto_encode`].
unsafe fn encode(
    fields: *const chatproto_fields,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    form: impl FnOnce(&mut Vec<u8>, &str, &str, &str, &str),
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (length, [name, ip, to, msg]) =
            unsafe { (out(length, 0, "length")?, at(fields, "fields")?.texts()?) };
        let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
        scratch.clear();
        form(&mut scratch, name, ip, to, msg);
        // SAFETY: the caller's promise, and the scratch is ours
        let given = unsafe { give(&scratch, buffer, capacity, length) };
        if scratch.capacity() <= KEPT {
            let _ = SCRATCH.try_with(|kept| kept.replace(scratch));
        }
        given
    })
}
