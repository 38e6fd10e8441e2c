//! The C interface of chatproto: thin functions over the Rust crate.

use std::ffi::{CStr, c_char};

/// [`chatproto::VERSION`] with the NUL that C expects.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL inside"),
    };

/// The version of the library, such as `0.1.0`: a static string, NUL-terminated, not to be freed.
/// May be called from any thread; never fails.
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
