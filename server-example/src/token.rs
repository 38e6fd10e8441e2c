//! The admins' token: a secret that an operator writes into a file or gives in the environment.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use shared::failure::{Failure, reason};
use shared::input::decoded;
use shared::modes::is_open_to_others;
use shared::text::visible;
use tracing::warn;

/// Where the admins' token is if no file of it is named.
const TOKEN_VARIABLE: &str = "CHATPROTO_ADMIN_TOKEN";
/// Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;
/// A longer one would be a mistake: another file than was meant.
const LONGEST_TOKEN: usize = 1024;
/// What prints a good token.
const MAKE_TOKEN: &str = "head -c 24 /dev/urandom | base64";

/// The admins' token, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AdminToken(String);

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl AdminToken {
    /// The token of a file or else of the environment, if there is one.
    pub(crate) fn find(file: Option<&Path>) -> Result<Option<Self>, Failure> {
        match file {
            Some(path) => AdminToken::read(path).map(Some),
            None => {
                let value = std::env::var_os(TOKEN_VARIABLE);
                value.map(|value| AdminToken::of_variable(&value)).transpose()
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The token that these bytes are, or what is wrong with them.
    fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LONGEST_TOKEN {
            return Err("is longer than 1024 bytes".to_owned());
        }
        let text = decoded(bytes).map_err(|wrong| format!("cannot be used: {wrong}"))?;
        let token = text.trim();
        let wrong = if token.is_empty() {
            "is empty"
        } else if token.chars().count() < SHORTEST_TOKEN {
            "is shorter than 16 characters"
        } else if token.chars().any(chatproto::name::is_invisible) {
            "has more than one line, or characters that nobody can type"
        } else {
            return Ok(AdminToken(token.to_owned()));
        };
        Err(wrong.to_owned())
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let path_text = path.to_string_lossy();
        let shown = visible(&path_text);
        let (bytes, is_open_to_others) = read_secret(path).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => format!("make one with: {MAKE_TOKEN} > FILE"),
                _ => "name a file that the server's user can read".to_owned(),
            };
            let why = reason(&error);
            Failure::Usage(format!("cannot read the admin token in {shown}: {why} ({advice})"))
        })?;
        let token = AdminToken::new(&bytes).map_err(|wrong| {
            Failure::Usage(format!(
                "the admin token in {shown} {wrong}: make one with: {MAKE_TOKEN} > FILE"
            ))
        })?;
        if is_open_to_others {
            warn!("the admin token in {shown} is open to others than its owner: chmod 600 it");
        }
        Ok(token)
    }

    fn of_variable(value: &OsStr) -> Result<Self, Failure> {
        AdminToken::new(value.as_encoded_bytes()).map_err(|wrong| {
            Failure::Usage(format!(
                "the admin token in {TOKEN_VARIABLE} {wrong}: unset it, or set it to what this \
                 prints: {MAKE_TOKEN}"
            ))
        })
    }
}

/// The first bytes of a file, and whether others than its owner can read or write it.
fn read_secret(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(LONGEST_TOKEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes, is_open_to_others(&metadata)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_can_be_typed() {
        let token = |bytes: &[u8]| AdminToken::new(bytes);
        for good in ["  0123456789abcdef\r\n", "correct horse battery", "grüße-grüße-grüße"] {
            assert_eq!(token(good.as_bytes()).unwrap().0, good.trim());
        }
        assert_eq!(token("\u{feff}0123456789abcdef\r\n".as_bytes()).unwrap().0, "0123456789abcdef");
        for (bad, wrong) in [
            (&b" \n"[..], "is empty"),
            (b"0123456789abcde\n", "is shorter than 16 characters"),
            ("éééééééé".as_bytes(), "is shorter than 16 characters"),
            (b"0123456789\xffabcdef", "cannot be used: line 1 is not UTF-8"),
            (
                b"0123456789\nabcdefghi",
                "has more than one line, or characters that nobody can type",
            ),
            (
                "\u{feff}\u{feff}0123456789abcdef".as_bytes(),
                "has more than one line, or characters that nobody can type",
            ),
            (&[b'x'; 1025], "is longer than 1024 bytes"),
        ] {
            assert_eq!(token(bad).unwrap_err(), wrong, "{bad:?}");
        }
        assert_eq!(format!("{:?}", token(b"0123456789abcdef")), "Ok(AdminToken(…))");
    }
}
