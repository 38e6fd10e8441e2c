//! A message that owns its strings: made, read, freed.

use std::ffi::c_void;

use chatproto::Message;

use crate::ffi::{at, boundary, give_away, out, quietly, take_back};
use crate::result::{chatproto_result, decode_error};
use crate::text::{bytes, chatproto_fields};

/// A message that owns its strings. It never changes, so that any number of threads may read it;
/// it is freed once, with `chatproto_message_free`.
pub struct chatproto_message(Message);

impl chatproto_message {
    /// Gives a message to C.
    pub(crate) fn give(message: Message) -> *mut chatproto_message {
        give_away(chatproto_message(message))
    }
}

impl From<&Message> for chatproto_fields {
    fn from(message: &Message) -> Self {
        chatproto_fields {
            name: message.from.name.as_str().into(),
            ip: message.from.ip.as_str().into(),
            to: message.to.as_str().into(),
            msg: message.msg.as_str().into(),
        }
    }
}

/// Makes a message of four strings, which are copied. `*message` is the caller's, to be freed with
/// `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `fields` is NULL or points to four strings as `chatproto_str` describes them; `message` is NULL
/// or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_message_new(
    fields: *const chatproto_fields,
    message: *mut *mut chatproto_message,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (message, [name, ip, to, msg]) = unsafe {
            (out(message, std::ptr::null_mut(), "message")?, at(fields, "fields")?.texts()?)
        };
        *message = chatproto_message::give(Message::new(name, ip, to, msg));
        Ok(())
    })
}

/// Decodes exactly one object, with white space around it at most, into a message that owns its
/// strings, unescaped: `chatproto_decode` with copies. `*message` is the caller's, to be freed with
/// `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
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
pub unsafe extern "C" fn chatproto_message_decode(
    input: *const c_void,
    len: usize,
    message: *mut *mut chatproto_message,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (message, input) = unsafe {
            (out(message, std::ptr::null_mut(), "message")?, bytes(input.cast(), len, "input")?)
        };
        let decoded = Message::decode(input).map_err(|error| decode_error(&error))?;
        *message = chatproto_message::give(decoded);
        Ok(())
    })
}

/// Gives the four strings of a message, unescaped. They belong to the message and live as long as
/// it does. `*fields` is four empty strings unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `message` is NULL or a message that was not freed; `fields` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_message_read(
    message: *const chatproto_message,
    fields: *mut chatproto_fields,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (fields, message) =
            unsafe { (out(fields, chatproto_fields::EMPTY, "fields")?, at(message, "message")?) };
        *fields = (&message.0).into();
        Ok(())
    })
}

/// Frees a message. NULL is nothing.
///
/// Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `message` is NULL or a message that was not freed. Its strings are gone.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_message_free(message: *mut chatproto_message) {
    // SAFETY: the caller's promise
    quietly(|| drop(unsafe { take_back(message) }));
}
