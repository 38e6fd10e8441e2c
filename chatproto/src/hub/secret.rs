//! The admins' token.

use std::fmt;

use subtle::ConstantTimeEq;

/// The admins' token. It is compared in constant time and shown nowhere.
pub(super) struct Secret(Box<[u8]>);

impl Secret {
    pub(super) fn new(token: &str) -> Self {
        Secret(token.trim().as_bytes().into())
    }

    /// Whether it is this one. Takes a time that depends on the lengths only.
    pub(super) fn is(&self, token: &str) -> bool {
        !self.0.is_empty() && self.0.ct_eq(token.trim().as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_and_never_shown() {
        let secret = Secret::new("correct horse\n");
        assert!(secret.is("correct horse") && !secret.is("correct hors") && !secret.is(""));
        assert!(!Secret::new("").is(""));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
