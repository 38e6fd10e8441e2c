//! The last error of a thread as C reads it: its sentence and its details.

use std::mem::size_of;

use crate::ffi::{Growing, write_growing};
use crate::text::chatproto_str;

use super::{LAST, LastError, chatproto_result, fail};

/// Details of the last error: see `chatproto_last_error_detail`. Later versions may have more members.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_error_detail {
    /// `sizeof (chatproto_error_detail)`, to be set by the caller, so that the library writes no more
    /// than the caller's header has.
    pub size: usize,
    /// The result that the call gave.
    pub result: chatproto_result,
    /// For framing and schema errors: the offset of what was wrong, in bytes from the first one of
    /// the input. The input of a stream begins with the first byte that the decoder was ever fed.
    pub offset: u64,
    /// The same from the first byte of the object concerned.
    pub offset_in_frame: u64,
    /// The field concerned, such as `from.name`; empty if there is none. Static: it lives for ever.
    pub field: chatproto_str,
    /// The sentence, as `chatproto_last_error` gives it.
    pub sentence: chatproto_str,
}

// SAFETY: `repr(C)`, with the size first
unsafe impl Growing for chatproto_error_detail {
    const FIRST: usize = size_of::<chatproto_error_detail>();
}

/// The error of the last call of this thread that failed, as a sentence for a person: the
/// reason, the field, the offset. Calls that succeed, and `CHATPROTO_NEED_MORE` and
/// `CHATPROTO_BUFFER_TOO_SMALL`, leave it as it is; before the first failure it is empty.
///
/// The bytes belong to the library and are valid until the next call of the same thread that fails.
/// A NUL follows them that `len` does not count.
///
/// Threads: any; each has its own. It cannot fail.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub extern "C" fn chatproto_last_error() -> chatproto_str {
    LAST.try_with(|last| last.try_borrow().map(|last| last.sentence()).ok())
        .ok()
        .flatten()
        .unwrap_or(chatproto_str::EMPTY)
}

/// Writes the details of the last error of this thread, which live as long as
/// `chatproto_last_error` says. Set `detail->size` first. Before the first failure `result` is
/// `CHATPROTO_OK`. Nothing is written unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_INVALID_ARGUMENT` if `size` was not set;
/// `CHATPROTO_NULL_POINTER`.
///
/// Threads: any; each has its own.
///
/// # Safety
/// `detail` is NULL or points to a `chatproto_error_detail` of `size` bytes that may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_last_error_detail(
    detail: *mut chatproto_error_detail,
) -> chatproto_result {
    let last = LAST.try_with(|last| last.try_borrow().map(|last| last.detail()).ok());
    let found = last.ok().flatten().unwrap_or(LastError::NONE.detail());
    if detail.is_null() {
        return fail(chatproto_result::NullPointer, format_args!("`detail` is NULL"));
    }
    // SAFETY: the caller's promise
    match unsafe { write_growing(detail, found, "detail") } {
        Ok(()) => chatproto_result::Ok,
        Err(result) => result,
    }
}

impl LastError {
    fn sentence(&self) -> chatproto_str {
        chatproto_str { ptr: self.text.as_ptr().cast(), len: self.len }
    }

    fn detail(&self) -> chatproto_error_detail {
        chatproto_error_detail {
            size: size_of::<chatproto_error_detail>(),
            result: self.result,
            offset: self.offset,
            offset_in_frame: self.within,
            field: self.field.map_or(chatproto_str::EMPTY, |field| field.path().into()),
            // an empty sentence may be one of a copy that is gone
            sentence: if self.len == 0 { chatproto_str::EMPTY } else { self.sentence() },
        }
    }
}
