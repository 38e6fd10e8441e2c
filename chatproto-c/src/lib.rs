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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_librarys() {
        assert_eq!(VERSION.to_str(), Ok(chatproto::VERSION));
    }
}
