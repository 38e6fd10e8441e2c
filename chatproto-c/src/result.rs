//! The result codes, whose numbers are for ever, and the record of the last error, of which each
//! thread has its own. Neither allocates. C reads the record by the functions of `last_error`.

mod last_error;

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_uint};
use std::fmt;

use chatproto::{ClientError, DecodeError, DecodeErrorKind, ErrorClass, Field, ServerError};

pub use last_error::{chatproto_error_detail, chatproto_last_error, chatproto_last_error_detail};

/// Defines the codes, each with its number and the sentence of `chatproto_result_str`.
macro_rules! results {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl chatproto_result {
            /// Every code there is.
            pub const ALL: &[chatproto_result] = &[$(chatproto_result::$name),*];

            fn text(number: c_uint) -> &'static CStr {
                match number {
                    $($number => $text,)*
                    _ => c"unknown result",
                }
            }
        }
    };
}

/// What became of a call. The numbers are never changed and never used for anything else; later
/// versions may have more.
///
/// From 20 to 39 the bytes are not a frame of the protocol (a framing error: where the next frame
/// begins is unknown, and nothing after it is read); from 40 to 59 they are well-formed JSON and not
/// a message (a schema error: decoding goes on behind it).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum chatproto_result {
    /// It was done.
    Ok = 0,
    /// A pointer that must not be NULL is.
    NullPointer = 1,
    /// An argument is not what the function's documentation asks for.
    InvalidArgument = 2,
    /// A string that was given is not UTF-8.
    NotUtf8 = 3,
    /// The buffer is too small; the length it must have was written.
    BufferTooSmall = 4,
    /// A defect of the library was met and caught. The handle cannot be used any more, except that
    /// it can be freed.
    Panicked = 5,
    /// The handle was given up by an earlier `CHATPROTO_PANICKED`.
    Poisoned = 6,
    /// There is nothing yet: a decoder has to be fed, a client's event loop has to wait.
    NeedMore = 7,
    /// Not in this order: the function's documentation says what comes first.
    WrongState = 8,
    /// The library was built without what was asked for.
    Unsupported = 9,

    /// Framing: a byte that cannot stand here by RFC 8259, or one between frames.
    UnexpectedByte = 20,
    /// Framing: a byte below 0x20 inside a string; it must be escaped.
    ControlCharacter = 21,
    /// Framing: a string that is not UTF-8.
    InvalidUtf8 = 22,
    /// Framing: nested deeper than 32 levels.
    TooDeep = 23,
    /// Framing: no end of the object within the limit.
    TooLong = 24,
    /// Framing: the bytes ended inside an object.
    UnexpectedEnd = 25,

    /// Schema: a key of the schema is missing.
    MissingKey = 40,
    /// Schema: a key of the schema stands twice.
    DuplicateKey = 41,
    /// Schema: a value of the wrong type.
    WrongType = 42,
    /// Schema: half of a surrogate pair.
    LoneSurrogate = 43,
    /// Schema, in strict mode only: a key that the schema does not have.
    UnknownKey = 44,
    /// Schema: U+0000 in `from.name`.
    NulInName = 45,

    /// The name breaks a rule, so that no server would take it.
    InvalidName = 60,
    /// The server refused the name; the last error says why.
    Refused = 61,
    /// It took longer than it may.
    Timeout = 62,
    /// The connection is closed.
    Closed = 63,
    /// The message is longer than the server can take; it was not sent.
    FrameTooLong = 64,
    /// The operating system refused.
    Io = 65,
    /// So much waits to be written that no more is taken; write first.
    QueueFull = 66,
    /// TLS cannot be had, or the server is not the one that is trusted; the last error says which
    /// check failed.
    Tls = 67,
    /// The server did not open the WebSocket, or violated its rules; the last error says why.
    Websocket = 68,

    /// The address cannot be listened on.
    Listen = 80,
    /// The limits leave no room to speak the protocol.
    Limits = 81,
    /// The endpoint cannot be registered.
    Endpoint = 82,
    /// A thread of the server failed: a defect.
    ServerFailed = 83,
}

results! {
    Ok = 0, c"done";
    NullPointer = 1, c"a pointer that must not be NULL is";
    InvalidArgument = 2, c"invalid argument";
    NotUtf8 = 3, c"an argument is not UTF-8";
    BufferTooSmall = 4, c"the buffer is too small";
    Panicked = 5, c"a defect of the library was met";
    Poisoned = 6, c"the handle was given up after a defect";
    NeedMore = 7, c"there is nothing yet";
    WrongState = 8, c"not in this order";
    Unsupported = 9, c"the library was built without that";
    UnexpectedByte = 20, c"a byte that cannot stand there";
    ControlCharacter = 21, c"a control character that is not escaped";
    InvalidUtf8 = 22, c"not UTF-8";
    TooDeep = 23, c"nested too deep";
    TooLong = 24, c"no end of the object within the limit";
    UnexpectedEnd = 25, c"the end inside an object";
    MissingKey = 40, c"a key of the schema is missing";
    DuplicateKey = 41, c"a key of the schema stands twice";
    WrongType = 42, c"a value of the wrong type";
    LoneSurrogate = 43, c"half of a surrogate pair";
    UnknownKey = 44, c"a key that the schema does not have";
    NulInName = 45, c"U+0000 in a name";
    InvalidName = 60, c"the name cannot be used";
    Refused = 61, c"the server refused the name";
    Timeout = 62, c"it took too long";
    Closed = 63, c"the connection is closed";
    FrameTooLong = 64, c"the message is too long for the server";
    Io = 65, c"the operating system refused";
    QueueFull = 66, c"too much waits to be written";
    Tls = 67, c"TLS cannot be had, or the server is not trusted";
    Websocket = 68, c"the server did not open the WebSocket, or violated its rules";
    Listen = 80, c"the address cannot be listened on";
    Limits = 81, c"the limits cannot be used";
    Endpoint = 82, c"the endpoint cannot be registered";
    ServerFailed = 83, c"a thread of the server failed";
}

impl From<DecodeErrorKind> for chatproto_result {
    fn from(kind: DecodeErrorKind) -> Self {
        use DecodeErrorKind as K;
        match kind {
            K::UnexpectedByte(_) => chatproto_result::UnexpectedByte,
            K::ControlCharacter(_) => chatproto_result::ControlCharacter,
            K::InvalidUtf8 => chatproto_result::InvalidUtf8,
            K::TooDeep => chatproto_result::TooDeep,
            K::TooLong(_) => chatproto_result::TooLong,
            K::UnexpectedEnd => chatproto_result::UnexpectedEnd,
            K::MissingKey => chatproto_result::MissingKey,
            K::DuplicateKey => chatproto_result::DuplicateKey,
            K::WrongType => chatproto_result::WrongType,
            K::LoneSurrogate => chatproto_result::LoneSurrogate,
            K::UnknownKey => chatproto_result::UnknownKey,
            K::NulInName => chatproto_result::NulInName,
            // a kind that this binding does not know: its class is what matters
            _ if kind.class() == ErrorClass::Schema => chatproto_result::WrongType,
            _ => chatproto_result::UnexpectedByte,
        }
    }
}

/// What a result means, in general: a static sentence, NUL-terminated, not to be freed. Any number
/// may be given. What exactly was wrong is said by `chatproto_last_error`.
///
/// Threads: any. It cannot fail.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub extern "C" fn chatproto_result_str(result: c_uint) -> *const c_char {
    chatproto_result::text(result).as_ptr()
}

/// Room for the sentence, its NUL included: a server's refusal may be long.
const SENTENCE: usize = 1024;

/// The last error of a thread.
struct LastError {
    result: chatproto_result,
    offset: u64,
    within: u64,
    field: Option<Field>,
    /// `len < SENTENCE`, and `text[len]` is 0.
    len: usize,
    text: [u8; SENTENCE],
}

thread_local! {
    // constant and without a destructor, so that nothing is allocated and nothing can be gone
    static LAST: RefCell<LastError> = const { RefCell::new(LastError::NONE) };
}

impl LastError {
    const NONE: LastError = LastError {
        result: chatproto_result::Ok,
        offset: 0,
        within: 0,
        field: None,
        len: 0,
        text: [0; SENTENCE],
    };
}

impl fmt::Write for LastError {
    /// What does not fit is cut off between two characters.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SENTENCE - 1 - self.len;
        let mut taken = text.len().min(room);
        while !text.is_char_boundary(taken) {
            taken -= 1;
        }
        // a NUL would hide the rest from C
        for (to, from) in self.text[self.len..].iter_mut().zip(&text.as_bytes()[..taken]) {
            *to = if *from == 0 { b' ' } else { *from };
        }
        self.len += taken;
        if taken < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Notes what was wrong and gives the result back.
pub(crate) fn fail(result: chatproto_result, sentence: fmt::Arguments<'_>) -> chatproto_result {
    note(result, 0, 0, None, sentence)
}

fn note(
    result: chatproto_result,
    offset: u64,
    within: u64,
    field: Option<Field>,
    sentence: fmt::Arguments<'_>,
) -> chatproto_result {
    let _ = LAST.try_with(|last| {
        // `Display` of what is shown could only fail here if it called us
        if let Ok(mut last) = last.try_borrow_mut() {
            (last.result, last.offset, last.within, last.field) = (result, offset, within, field);
            last.len = 0;
            let _ = fmt::write(&mut *last, sentence);
            let len = last.len;
            last.text[len] = 0;
        }
    });
    result
}

/// The result of bytes that are not a message.
#[cold]
pub(crate) fn decode_error(error: &DecodeError) -> chatproto_result {
    let (offset, within) = (error.offset(), error.offset_in_frame());
    note(error.kind().into(), offset, within, error.field(), format_args!("{error}"))
}

/// The result for TLS that cannot be had.
#[cfg(feature = "tls")]
pub(crate) fn tls_error(error: &dyn fmt::Display) -> chatproto_result {
    fail(chatproto_result::Tls, format_args!("{error}"))
}

/// The result of what a client could not do.
pub(crate) fn client_error(error: &ClientError) -> chatproto_result {
    let result = match error {
        ClientError::InvalidName(_) => chatproto_result::InvalidName,
        ClientError::Refused(_) => chatproto_result::Refused,
        ClientError::Timeout { .. } => chatproto_result::Timeout,
        ClientError::Closed => chatproto_result::Closed,
        #[cfg(feature = "tls")]
        ClientError::Tls(error) => return tls_error(error),
        ClientError::FrameTooLong { .. } => chatproto_result::FrameTooLong,
        ClientError::Opening(_) | ClientError::Violation(_) => chatproto_result::Websocket,
        ClientError::Decode(decode) => {
            let (offset, within) = (decode.offset(), decode.offset_in_frame());
            let result = decode.kind().into();
            return note(result, offset, within, decode.field(), format_args!("{error}"));
        }
        _ => chatproto_result::Io,
    };
    fail(result, format_args!("{error}"))
}

/// The result of what a server could not do.
pub(crate) fn server_error(error: &ServerError) -> chatproto_result {
    let result = match error {
        ServerError::Listen { .. } => chatproto_result::Listen,
        ServerError::Limits(_) => chatproto_result::Limits,
        ServerError::Endpoint { .. } => chatproto_result::Endpoint,
        ServerError::Panicked(_) => chatproto_result::ServerFailed,
        _ => chatproto_result::Io,
    };
    fail(result, format_args!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_a_sentence() {
        for (at, &result) in chatproto_result::ALL.iter().enumerate() {
            let text = chatproto_result::text(result as c_uint);
            assert_ne!(text, c"unknown result");
            let others = &chatproto_result::ALL[at + 1..];
            assert!(others.iter().all(|&other| chatproto_result::text(other as c_uint) != text));
        }
        assert_eq!(chatproto_result::text(19), c"unknown result");
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let long = "é".repeat(SENTENCE);
        fail(chatproto_result::Refused, format_args!("a{long}\0"));
        LAST.with_borrow(|last| {
            assert_eq!(last.len, SENTENCE - 1);
            assert!(str::from_utf8(&last.text[..last.len]).is_ok());
            assert_eq!(last.text[last.len], 0);
        });
    }
}
