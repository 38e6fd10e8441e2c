//! Endpoints of the application's own: a callback of C is one, with what it is told and how it
//! answers.

use std::ffi::{c_char, c_void};
use std::slice;
use std::sync::{Arc, PoisonError, RwLock};

use chatproto::ServerBuilder;
use chatproto::endpoint::{Arguments, as_argument};
use chatproto::endpoint::{Handler, Request};

use crate::ffi::{at_mut, boundary, out};
use crate::result::{chatproto_result, fail, server_error};
use crate::text::{chatproto_str, give};

/// Answers a command that a user sent to an endpoint. `request` and `answer` live until it returns;
/// `user_data` is that of the endpoint. Without `chatproto_answer_text` or
/// `chatproto_answer_refuse` the user is told that there was no answer.
///
/// It is called on threads of the server's own, several at once, may block, and must not let an
/// exception of C++ out.
pub type chatproto_endpoint_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        request: *const chatproto_request,
        answer: *mut chatproto_answer,
    ),
>;

/// An endpoint: a command that users send with `to` = its name.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_endpoint {
    /// `/` and 1 to 32 letters, digits, `-` or `_`.
    pub name: chatproto_str,
    /// The sentence that `/help` shows for it.
    pub help: chatproto_str,
    /// What answers it.
    pub handler: chatproto_endpoint_fn,
    /// What `handler` is given. It must stay valid until `chatproto_server_free` has returned, and
    /// is used by several threads at once.
    pub user_data: *mut c_void,
}

/// A command that a user sent. Its strings live until the callback returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_request {
    /// The user who sent it.
    pub user: chatproto_str,
    /// The endpoint's name.
    pub endpoint: chatproto_str,
    /// The text, without the endpoint's name at its start.
    pub msg: chatproto_str,
}

/// The answer to a request, to be filled by the callback.
pub struct chatproto_answer(Option<Result<String, String>>);

/// Answers with a text, which is copied; an earlier answer is replaced.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: one at a time, during the callback that was given `answer`. No function of this library
/// ever unwinds into its caller.
///
/// # Safety
/// `answer` is NULL or that of a callback that has not returned; `text` is as `chatproto_str`
/// describes.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_answer_text(
    answer: *mut chatproto_answer,
    text: chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (answer, text) = unsafe { (at_mut(answer, "answer")?, text.text("text")?) };
        answer.0 = Some(Ok(text.to_owned()));
        Ok(())
    })
}

/// Refuses: the user is shown the reason, which is copied, as an error. An earlier answer is replaced.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: one at a time, during the callback that was given `answer`. No function of this library
/// ever unwinds into its caller.
///
/// # Safety
/// As for `chatproto_answer_text`.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_answer_refuse(
    answer: *mut chatproto_answer,
    reason: chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (answer, reason) = unsafe { (at_mut(answer, "answer")?, reason.text("reason")?) };
        answer.0 = Some(Err(reason.to_owned()));
        Ok(())
    })
}

/// Takes the next argument from the front of `*rest` and writes it to `buffer`, without a terminating NUL
/// and without its quotes. White space separates arguments. An argument with white space is in double
/// quotes, inside which `""` stands for one. Begin with the request's `msg`, and call this until there is
/// none.
///
/// `*length` is the argument's length in bytes, also if `capacity` is too small for it: then nothing is
/// written and `*rest` is unchanged. After all other errors it is 0. An argument is never longer than
/// `rest->len` bytes. `*rest` stays a part of what it was.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NEED_MORE` if there is none; `CHATPROTO_BUFFER_TOO_SMALL`;
/// `CHATPROTO_INVALID_ARGUMENT` if a quote is not closed or text follows a closing quote, with a sentence
/// for the user in `chatproto_last_error`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `rest` is NULL or points to a string as `chatproto_str` describes, and may be written. `buffer` is NULL
/// or points to `capacity` bytes that may be written, none of them in `*rest`. `length` is NULL or may be
/// written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_argument(
    rest: *mut chatproto_str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (length, rest) = unsafe { (out(length, 0, "length")?, at_mut(rest, "rest")?) };
        // SAFETY: the caller's promise
        let mut arguments = Arguments::new(unsafe { rest.text("rest")? });
        let found = match arguments.next() {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                return Err(fail(chatproto_result::InvalidArgument, format_args!("{error}")));
            }
            None => return Err(chatproto_result::NeedMore),
        };
        // SAFETY: the caller's promises
        unsafe { give(found.as_bytes(), buffer, capacity, length)? };
        *rest = arguments.rest().into();
        Ok(())
    })
}

/// Writes a name as one argument of a command: in double quotes if it is empty or has white space or a
/// double quote, which is doubled. There is no terminating NUL.
///
/// `*length` is the number of bytes, also if `capacity` is too small for them: then nothing is written.
/// After all other errors it is 0. At most `2 * name.len + 2` bytes are needed.
///
/// Results: `CHATPROTO_OK`, `CHATPROTO_BUFFER_TOO_SMALL`, `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `name` is as `chatproto_str` describes. `buffer` is NULL or points to `capacity` bytes that may be
/// written, none of them in `name`. `length` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_as_argument(
    name: chatproto_str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (length, name) = unsafe { (out(length, 0, "length")?, name.text("name")?) };
        // SAFETY: the caller's promises
        unsafe { give(as_argument(name).as_bytes(), buffer, capacity, length) }
    })
}

/// Open while callbacks may be called; closing waits for those that are at work.
#[derive(Default)]
pub(super) struct Gate {
    closed: RwLock<bool>,
}

impl Gate {
    pub(super) fn close(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Adds the endpoints that C described.
///
/// # Safety
/// `endpoints` is NULL or points to `count` endpoints whose strings are as `chatproto_str` describes,
/// and whose user data may be used by any thread until the gate is closed.
pub(super) unsafe fn add(
    mut builder: ServerBuilder,
    endpoints: *const chatproto_endpoint,
    count: usize,
    gate: &Arc<Gate>,
) -> Result<ServerBuilder, chatproto_result> {
    if count == 0 {
        return Ok(builder);
    }
    if endpoints.is_null() {
        return Err(fail(chatproto_result::NullPointer, format_args!("`endpoints` is NULL")));
    }
    if count > isize::MAX as usize / size_of::<chatproto_endpoint>() {
        return Err(fail(
            chatproto_result::InvalidArgument,
            format_args!("there cannot be {count} endpoints"),
        ));
    }
    // SAFETY: not NULL, and so many by the caller's promise
    for endpoint in unsafe { slice::from_raw_parts(endpoints, count) } {
        // SAFETY: the caller's promise
        let (name, help) = unsafe { (endpoint.name.text("name")?, endpoint.help.text("help")?) };
        let Some(function) = endpoint.handler else {
            return Err(fail(
                chatproto_result::NullPointer,
                format_args!("the handler of {name:?} is NULL"),
            ));
        };
        let callback = Callback { function, user_data: endpoint.user_data, gate: Arc::clone(gate) };
        builder = builder.endpoint(name, help, callback).map_err(|error| server_error(&error))?;
    }
    Ok(builder)
}

struct Callback {
    function:
        unsafe extern "C-unwind" fn(*mut c_void, *const chatproto_request, *mut chatproto_answer),
    user_data: *mut c_void,
    gate: Arc<Gate>,
}

// SAFETY: the caller of `chatproto_server_start` has promised that the user data may be used by any
// thread, several at once; nothing here looks at it
unsafe impl Send for Callback {}
// SAFETY: as above
unsafe impl Sync for Callback {}

impl Handler for Callback {
    fn handle(&self, request: &Request) -> Result<String, String> {
        let closed = self.gate.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err("The server is stopping.".to_owned());
        }
        let request = chatproto_request {
            user: request.user.as_str().into(),
            endpoint: (&*request.endpoint).into(),
            msg: request.msg.as_str().into(),
        };
        let mut answer = chatproto_answer(None);
        // SAFETY: the gate is open, so that the user data is still there; the other two outlive it
        unsafe { (self.function)(self.user_data, &request, &mut answer) };
        answer.0.unwrap_or_else(|| Err("The command gave no answer.".to_owned()))
    }
}
