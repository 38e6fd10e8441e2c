//! The C interface of chatproto: thin functions over the Rust crate, declared in
//! `include/chatproto.h`, which is generated from here. That header is the documentation for
//! those who call it; what stands here is for those who change it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@result`] | the result codes, the sentence of the last error |
//! | `ffi` | what every function has around its one call: panic boundary, pointer checks |
//! | [`text`] | strings in and out: pointer and length |
//! | [`message`] | a message that owns its strings |
//! | [`decode`] | one frame, borrowed; unescaping into the caller's buffer |
//! | [`decoder`] | a stream of frames |
//! | [`encode`] | into the caller's buffer |
//! | [`client`] | a connection, blocking or in an event loop |
//! | [`server`] | a server, with endpoints that are callbacks |
//! | [`utils`] | the contract module of existing programs |
//!
//! Every function has the same order: out-parameters are written first, then pointers are checked,
//! then one thing of the core is called. All of it is inside the boundary, so that no panic
//! unwinds into C.

#![deny(unsafe_op_in_unsafe_fn)]
// the names are those of C
#![allow(non_camel_case_types)]

#[cfg(unix)]
pub mod client;
pub mod decode;
pub mod decoder;
pub mod encode;
mod ffi;
pub mod message;
pub mod result;
pub mod server;
pub mod text;
mod tls;
pub mod utils;

use std::ffi::{CStr, c_char};

/// [`chatproto::VERSION`] with the NUL that C expects.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL inside"),
    };

/// The version of the library that is running, such as `0.1.0`; `CHATPROTO_VERSION` is that of the
/// header. NUL-terminated and static: not to be freed.
///
/// Threads: any. It cannot fail.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub extern "C" fn chatproto_version() -> *const c_char {
    VERSION.as_ptr()
}

/// What needs no socket, called as C does: Miri runs it.
#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::decode::chatproto_message_ref;
    use crate::decoder::{
        chatproto_decoder_feed, chatproto_decoder_finish, chatproto_decoder_free,
        chatproto_decoder_new, chatproto_decoder_next,
    };
    use crate::encode::chatproto_encode;
    use crate::message::{chatproto_message_free, chatproto_message_new, chatproto_message_read};
    use crate::result::{chatproto_last_error, chatproto_result as R};
    use crate::text::{chatproto_fields, chatproto_str};

    const FIELDS: [&str; 4] = ["alice", "::1", "bob", "hé\"llo"];

    fn fields() -> chatproto_fields {
        let [name, ip, to, msg] = FIELDS.map(chatproto_str::from);
        chatproto_fields { name, ip, to, msg }
    }

    /// A string that a function gave.
    fn text<'a>(given: chatproto_str) -> &'a str {
        // SAFETY: the tests ask while it is there
        let bytes = unsafe { std::slice::from_raw_parts(given.ptr.cast(), given.len) };
        str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_version_is_the_librarys() {
        assert_eq!(VERSION.to_str(), Ok(chatproto::VERSION));
    }

    #[test]
    fn a_message_is_made_read_and_freed() {
        let (mut message, mut read) = (ptr::null_mut(), chatproto_fields::EMPTY);
        // SAFETY: all of them are there, and it is freed once
        unsafe {
            assert_eq!(chatproto_message_new(&fields(), &mut message), R::Ok);
            assert_eq!(chatproto_message_read(message, &mut read), R::Ok);
            assert_eq!([read.name, read.ip, read.to, read.msg].map(text), FIELDS);
            chatproto_message_free(message);
            assert_eq!(chatproto_message_read(ptr::null(), &mut read), R::NullPointer);
            assert_eq!(chatproto_message_new(ptr::null(), &mut message), R::NullPointer);
        }
        assert!(message.is_null() && read.msg.len == 0);
        assert_eq!(text(chatproto_last_error()), "`fields` is NULL");
    }

    #[test]
    fn what_is_encoded_is_decoded_in_pieces() {
        let (mut buffer, mut length, mut decoder) = ([0; 128], 0, ptr::null_mut());
        let mut message = chatproto_message_ref::EMPTY;
        // SAFETY: all of them are there, and the decoder is freed once
        unsafe {
            assert_eq!(
                chatproto_encode(&fields(), ptr::null_mut(), 0, &mut length),
                R::BufferTooSmall
            );
            let needed = length;
            assert_eq!(
                chatproto_encode(&fields(), buffer.as_mut_ptr(), needed, &mut length),
                R::Ok
            );
            assert_eq!(length, needed);
            assert_eq!(chatproto_decoder_new(0, true, &mut decoder), R::Ok);
            for piece in buffer[..length].chunks(9) {
                assert_eq!(chatproto_decoder_next(decoder, &mut message), R::NeedMore);
                let fed = chatproto_decoder_feed(decoder, piece.as_ptr().cast(), piece.len());
                assert_eq!(fed, R::Ok);
            }
            assert_eq!(chatproto_decoder_next(decoder, &mut message), R::Ok);
            assert_eq!(text(message.to.raw), "bob");
            assert_eq!((text(message.msg.raw), message.msg.escaped), ("hé\\\"llo", true));
            assert_eq!(chatproto_decoder_next(decoder, &mut message), R::NeedMore);
            assert_eq!(chatproto_decoder_finish(decoder), R::Ok);
            chatproto_decoder_free(decoder);
        }
    }
}
