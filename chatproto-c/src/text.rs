//! Strings as C has them here: a pointer and a length, UTF-8, with no NUL to end them.

use std::ffi::c_char;
use std::slice;

use crate::result::{chatproto_result, fail};

/// A string: `len` bytes of UTF-8 at `ptr`, which need no NUL behind them and may have one inside.
/// One that is given to a function is only read during the call. One that comes from a function
/// lives as long as that function's documentation says; its `ptr` is never NULL.
///
/// An empty one may have a NULL `ptr`. See `chatproto_str_of` for one of a C string.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_str {
    /// The first byte.
    pub ptr: *const c_char,
    /// How many bytes there are.
    pub len: usize,
}

/// The four strings of a message. The protocol has no others, so this struct never changes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_fields {
    /// `from.name`: who wrote it.
    pub name: chatproto_str,
    /// `from.ip`: their address.
    pub ip: chatproto_str,
    /// `to`: a user, a room, a command.
    pub to: chatproto_str,
    /// `msg`: the text.
    pub msg: chatproto_str,
}

impl chatproto_str {
    /// The empty string.
    pub const EMPTY: chatproto_str = chatproto_str { ptr: c"".as_ptr(), len: 0 };

    /// The text of a string that C gave.
    ///
    /// # Safety
    /// `ptr` is NULL or points to `len` bytes that do not change while `'a` lasts.
    pub(crate) unsafe fn text<'a>(self, what: &str) -> Result<&'a str, chatproto_result> {
        // SAFETY: the caller's promise
        let bytes = unsafe { bytes(self.ptr.cast(), self.len, what)? };
        str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            fail(chatproto_result::NotUtf8, format_args!("`{what}` is not UTF-8 at byte {at}"))
        })
    }
}

impl From<&str> for chatproto_str {
    fn from(text: &str) -> Self {
        chatproto_str { ptr: text.as_ptr().cast(), len: text.len() }
    }
}

impl chatproto_fields {
    /// Four empty strings.
    ///
    /// cbindgen:ignore
    pub const EMPTY: chatproto_fields = chatproto_fields {
        name: chatproto_str::EMPTY,
        ip: chatproto_str::EMPTY,
        to: chatproto_str::EMPTY,
        msg: chatproto_str::EMPTY,
    };

    /// The texts, in the order of the wire form.
    ///
    /// # Safety
    /// As for [`chatproto_str::text`], for each.
    pub(crate) unsafe fn texts<'a>(&self) -> Result<[&'a str; 4], chatproto_result> {
        // SAFETY: the caller's promise
        unsafe {
            Ok([
                self.name.text("name")?,
                self.ip.text("ip")?,
                self.to.text("to")?,
                self.msg.text("msg")?,
            ])
        }
    }
}

/// The bytes that C gave.
///
/// # Safety
/// `ptr` is NULL or points to `len` bytes that do not change while `'a` lasts.
pub(crate) unsafe fn bytes<'a>(
    ptr: *const u8,
    len: usize,
    what: &str,
) -> Result<&'a [u8], chatproto_result> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() {
        return Err(fail(chatproto_result::NullPointer, format_args!("`{what}` is NULL")));
    }
    if len > isize::MAX as usize {
        return Err(fail(
            chatproto_result::InvalidArgument,
            format_args!("`{what}` cannot have {len} bytes"),
        ));
    }
    // SAFETY: not NULL, not longer than an object can be, and readable by the caller's promise
    Ok(unsafe { slice::from_raw_parts(ptr, len) })
}

/// The two-call idiom: writes the length, and the bytes if the caller's buffer has the room. The
/// length is 0 after an error other than a small buffer.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` bytes that may be written, none of them in `bytes`.
pub(crate) unsafe fn give(
    bytes: &[u8],
    buffer: *mut c_char,
    capacity: usize,
    length: &mut usize,
) -> Result<(), chatproto_result> {
    *length = bytes.len();
    if bytes.len() > capacity {
        return Err(chatproto_result::BufferTooSmall);
    }
    if buffer.is_null() {
        if bytes.is_empty() {
            return Ok(());
        }
        *length = 0;
        return Err(fail(chatproto_result::NullPointer, format_args!("`buffer` is NULL")));
    }
    // SAFETY: the buffer has at least so many bytes, and they are not ours
    unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Ok(())
}
