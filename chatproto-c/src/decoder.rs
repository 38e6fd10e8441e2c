//! A stream of frames: bytes are fed as they come, messages are taken until there is none.

use std::ffi::c_void;

use chatproto::{Decoder, ErrorClass, JsonStr, Limits};

use crate::decode::{chatproto_json_str, chatproto_message_ref};
use crate::ffi::{Handle, at_mut, boundary, give_away, out, quietly, take_back};
use crate::result::{chatproto_result, decode_error, fail};
use crate::text::{bytes, chatproto_str};

/// Finds and judges the frames of one stream. One thread at a time; freed once, with
/// `chatproto_decoder_free`.
pub struct chatproto_decoder(Handle<Stream>);

struct Stream {
    decoder: Decoder,
    /// What was fed, of which the first `taken` bytes were decoded. `taken <= fed.len()`
    fed: Vec<u8>,
    taken: usize,
    /// The frame that C has views of.
    frame: Vec<u8>,
    /// A framing error was met: nothing more is read.
    failed: bool,
}

impl Stream {
    fn feed(&mut self, bytes: &[u8]) {
        // what is decoded makes room first
        self.fed.drain(..self.taken);
        self.taken = 0;
        if !self.failed {
            self.fed.extend_from_slice(bytes);
        }
    }

    fn next(&mut self) -> Result<chatproto_message_ref, chatproto_result> {
        let mut rest = &self.fed[self.taken..];
        let decoded = self.decoder.decode(&mut rest);
        let left = rest.len();
        let found = match &decoded {
            Ok(Some(frame)) => {
                let text = frame.as_str();
                self.frame.clear();
                self.frame.extend_from_slice(text.as_bytes());
                let message = frame.message();
                let view = |token: JsonStr<'_>| {
                    // a token is a slice of its frame
                    let start = token.raw().as_ptr() as usize - text.as_ptr() as usize;
                    let copy = &self.frame[start..start + token.raw().len()];
                    let raw = chatproto_str { ptr: copy.as_ptr().cast(), len: copy.len() };
                    chatproto_json_str { raw, escaped: token.is_escaped() }
                };
                Ok(chatproto_message_ref {
                    name: view(message.name),
                    ip: view(message.ip),
                    to: view(message.to),
                    msg: view(message.msg),
                })
            }
            Ok(None) => Err(chatproto_result::NeedMore),
            Err(error) => {
                self.failed = error.class() == ErrorClass::Framing;
                Err(decode_error(error))
            }
        };
        self.taken = self.fed.len() - left;
        found
    }
}

/// Makes a decoder. `max_frame` is the longest object in bytes, at most 1 GiB; 0 is the default,
/// 64 KiB. With `strict`, keys that the schema does not have are an error instead of ignored.
/// `*decoder` is the caller's, to be freed with `chatproto_decoder_free`; NULL unless the result is
/// `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_INVALID_ARGUMENT` if `max_frame` is
/// more than 1 GiB, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `decoder` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decoder_new(
    max_frame: usize,
    strict: bool,
    decoder: *mut *mut chatproto_decoder,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let handle = unsafe { out(decoder, std::ptr::null_mut(), "decoder")? };
        if max_frame > 1 << 30 {
            return Err(fail(
                chatproto_result::InvalidArgument,
                format_args!("`max_frame` must be at most 1 GiB, not {max_frame}"),
            ));
        }
        let decoder =
            Decoder::new(if max_frame == 0 { Limits::default().frame } else { max_frame });
        let decoder = if strict { decoder.strict() } else { decoder };
        let (fed, frame) = (Vec::new(), Vec::new());
        let stream = Stream { decoder, fed, taken: 0, frame, failed: false };
        *handle = give_away(chatproto_decoder(Handle::new(stream)));
        Ok(())
    })
}

/// Gives the next bytes of the stream to the decoder, which copies them. Any number may come at a
/// time, 0 too. Call `chatproto_decoder_next` afterwards until it gives `CHATPROTO_NEED_MORE`: bytes
/// that were not asked for pile up. The views of the last message are gone.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_INVALID_ARGUMENT`,
/// `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: one at a time. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `decoder` is NULL or a decoder that was not freed; `input` is NULL or points to `len` bytes that
/// may be read.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decoder_feed(
    decoder: *mut chatproto_decoder,
    input: *const c_void,
    len: usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (decoder, input) =
            unsafe { (at_mut(decoder, "decoder")?, bytes(input.cast(), len, "input")?) };
        decoder.0.alone(|stream| {
            stream.feed(input);
            Ok(())
        })
    })
}

/// Takes the next message from what was fed. The tokens of `*message` belong to the decoder and live
/// until the next call with it. They are four empty ones unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NEED_MORE` when all that was fed is used up; those from 40
/// to 59 (schema), after which the next call goes on behind the object; those from 20 to 39
/// (framing), which are final: every later call gives the same; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: one at a time. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `decoder` is NULL or a decoder that was not freed; `message` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decoder_next(
    decoder: *mut chatproto_decoder,
    message: *mut chatproto_message_ref,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (message, decoder) = unsafe {
            (out(message, chatproto_message_ref::EMPTY, "message")?, at_mut(decoder, "decoder")?)
        };
        *message = decoder.0.alone(Stream::next)?;
        Ok(())
    })
}

/// Says that the stream has ended, once `chatproto_decoder_next` gave `CHATPROTO_NEED_MORE`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_UNEXPECTED_END` if it ended inside an object;
/// `CHATPROTO_WRONG_STATE` if there are bytes that were not asked for; the framing error that was
/// met before; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: one at a time. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `decoder` is NULL or a decoder that was not freed.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decoder_finish(
    decoder: *mut chatproto_decoder,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let decoder = unsafe { at_mut(decoder, "decoder")? };
        decoder.0.alone(|stream| {
            // one that has failed reads nothing more
            if !stream.failed && stream.taken < stream.fed.len() {
                return Err(fail(
                    chatproto_result::WrongState,
                    format_args!("the stream has bytes that were not decoded"),
                ));
            }
            stream.decoder.finish().map_err(|error| {
                stream.failed = true;
                decode_error(&error)
            })
        })
    })
}

/// Frees a decoder, and the views of its last message. NULL is nothing.
///
/// Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `decoder` is NULL or a decoder that was not freed.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_decoder_free(decoder: *mut chatproto_decoder) {
    // SAFETY: the caller's promise
    quietly(|| drop(unsafe { take_back(decoder) }));
}

/// Panics while it uses the decoder, to show what becomes of that.
///
/// # Safety
/// `decoder` is NULL or a decoder that was not freed.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[cfg(feature = "test-panic")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_test_panic(decoder: *mut chatproto_decoder) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        unsafe { at_mut(decoder, "decoder")? }.0.alone(|_| panic!("on purpose"))
    })
}
