//! Passwords and tokens that people type or keep in files: read without being shown, and wiped from
//! memory after use as far as this program holds them.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal as _, Read};
use std::path::Path;

use unicode_width::UnicodeWidthStr as _;
use zeroize::Zeroizing;

use crate::failure::{Failure, reason};
use crate::input::decoded;
use crate::modes::is_open_to_others;
use crate::stderr;
use crate::text::visible;

/// The longest line that is read for one, in bytes.
const LONGEST: u64 = 4096;

/// A text that is shown nowhere, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub fn of_file(path: &Path, what: &str) -> Result<Self, Failure> {
        let shown = path.to_string_lossy();
        let shown = visible(&shown);
        let file = File::open(path).map_err(|error| {
            let why = reason(&error);
            Failure::Usage(format!("cannot read the {what} in {shown}: {why}"))
        })?;
        if file.metadata().is_ok_and(|metadata| is_open_to_others(&metadata)) {
            stderr::say(format_args!(
                "server-example: the {what} in {shown} is open to others than its owner: chmod 600 it"
            ));
        }
        first_line(&mut io::BufReader::new(file))
            .map_err(|wrong| Failure::Usage(format!("the {what} in {shown} {wrong}")))
    }

    /// The value of a variable of the environment.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub fn of_variable(value: OsString, variable: &str) -> Result<Self, Failure> {
        let bytes = Zeroizing::new(value.into_encoded_bytes());
        first_line(&mut &bytes[..])
            .map_err(|wrong| Failure::Usage(format!("the value of {variable} {wrong}")))
    }

    /// The next line of standard input.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub fn of_input(what: &str) -> Result<Self, Failure> {
        first_line(&mut io::stdin().lock())
            .map_err(|wrong| Failure::Usage(format!("the {what} on standard input {wrong}")))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A line without its end; what is wrong with it otherwise.
fn first_line(input: &mut impl BufRead) -> Result<Secret, String> {
    // of its full length from the start, so that no shorter copy is left in memory
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    let mut input = input.take(LONGEST + 1);
    input
        .read_until(b'\n', &mut bytes)
        .map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    if bytes.len() as u64 > LONGEST {
        return Err("is longer than 4096 bytes: is this another file than was meant?".to_owned());
    }
    let text = decoded(&bytes).map_err(|wrong| format!("cannot be used: {wrong}"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("is missing: its first line is empty".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// As many asterisks as the text takes columns.
pub fn masked(text: &str) -> String {
    "*".repeat(text.width())
}

/// Whether standard input and output are a terminal in which what is typed can be hidden.
pub fn can_hide() -> bool {
    // those in which the line editor leaves everything to the terminal
    let is_simple = std::env::var("TERM")
        .is_ok_and(|term| ["dumb", "cons25", "emacs"].iter().any(|t| term.eq_ignore_ascii_case(t)));
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_simple
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_as_it_is() {
        for (bytes, text) in [
            (&b"correct horse"[..], "correct horse"),
            (b" spaces count \r\nnext", " spaces count "),
            ("grüße\n".as_bytes(), "grüße"),
            (b"\xef\xbb\xbfcorrect horse\r\n", "correct horse"),
        ] {
            assert_eq!(first_line(&mut &bytes[..]).unwrap().as_str(), text);
        }
        for (bytes, wrong) in [
            (&b""[..], "is missing: its first line is empty"),
            (b"\nsecond", "is missing: its first line is empty"),
            (b"\xef\xbb\xbf\nsecond", "is missing: its first line is empty"),
            (b"gr\xfc\xdfe1234", "cannot be used: line 1 is not UTF-8"),
            (
                b"\xff\xfe12345678",
                "cannot be used: line 1 is not UTF-8 (it looks like UTF-16: save it as UTF-8)",
            ),
            (&[b'x'; 5000], "is longer than 4096 bytes: is this another file than was meant?"),
        ] {
            assert_eq!(first_line(&mut &bytes[..]).unwrap_err(), wrong);
        }
    }

    #[test]
    fn a_mask_is_as_wide_as_what_it_hides() {
        assert_eq!(masked("correct horse"), "*".repeat(13));
        assert_eq!(masked("你好"), "****");
        assert_eq!(masked(""), "");
        assert_eq!(format!("{:?}", Secret::new("correct horse".to_owned())), "Secret(…)");
    }
}
