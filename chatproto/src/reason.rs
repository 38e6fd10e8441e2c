//! Errors of the operating system as sentences.

use std::io;

/// What the operating system said, without its error number.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// let error = std::io::Error::from_raw_os_error(111);
/// assert_eq!(error.to_string(), "Connection refused (os error 111)");
/// assert_eq!(chatproto::error::reason(&error), "connection refused");
/// # }
/// ```
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
