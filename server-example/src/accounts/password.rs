//! Passwords: what may be one, and that none of them stays in memory or gets into a log.
//!
//! The rules are those of NIST SP 800-63B: at least 8 characters, each Unicode scalar value counted
//! as one, and nothing else is demanded of them. What is compared is prepared after the profile
//! OpaqueString of RFC 8265: other spaces become U+0020, and the text is in normalisation form C, so
//! that a password that is typed on another keyboard is the same. Unlike the profile it allows
//! characters that the tables of this version do not know: a password that is right today has to be
//! right after an update.

use std::fmt;

use chatproto::name::look_alike;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use zeroize::Zeroizing;

/// The fewest and the most characters that a password may have.
pub(crate) const SHORTEST: usize = 8;
pub(crate) const LONGEST: usize = 256;

/// What [`Password::generate`] is made of: digits and letters that cannot be taken for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Groups of five of them: 100 bits.
const GROUPS: usize = 4;

/// A password as it is hashed. It is wiped from memory when it is dropped, and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(Zeroizing<String>);

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordError {
    TooShort,
    TooLong,
    Control(char),
    /// It is the name of the account, or looks like it.
    Name,
}

impl Password {
    /// Prepares what was typed.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn new(text: &str) -> Result<Self, PasswordError> {
        // composing makes a text of n characters from one of at most 3 n, of four bytes each
        if text.len() > LONGEST * 3 * 4 {
            return Err(PasswordError::TooLong);
        }
        // room for all that it can become, so that growing leaves no copy behind
        let mut prepared = Zeroizing::new(String::with_capacity(text.len() * 3));
        for c in text.chars().nfc() {
            match c.general_category() {
                GeneralCategory::Control
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator => return Err(PasswordError::Control(c)),
                GeneralCategory::SpaceSeparator => prepared.push(' '),
                _ => prepared.push(c),
            }
        }
        match prepared.chars().count() {
            ..SHORTEST => Err(PasswordError::TooShort),
            SHORTEST..=LONGEST => Ok(Password(prepared)),
            _ => Err(PasswordError::TooLong),
        }
    }

    /// The same for what is to be the password of an account of this name.
    pub(crate) fn new_for(text: &str, name: &str) -> Result<Self, PasswordError> {
        let password = Password::new(text)?;
        if look_alike(password.as_str().trim(), name) {
            return Err(PasswordError::Name);
        }
        Ok(password)
    }

    /// A random one of 100 bits, such as `7kq2m-x0v9d-3hzt8-b5ncf`.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut random = Zeroizing::new([0; GROUPS * 5]);
        getrandom::fill(&mut *random)?;
        let mut text = Zeroizing::new(String::with_capacity(GROUPS * 6));
        for (number, byte) in random.iter().enumerate() {
            if number > 0 && number.is_multiple_of(5) {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(byte % 32)]));
        }
        Ok(Password(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::TooShort => {
                write!(f, "a password must have at least {SHORTEST} characters")
            }
            PasswordError::TooLong => {
                write!(f, "a password may have at most {LONGEST} characters")
            }
            PasswordError::Name => {
                f.write_str("the name itself is too easy to guess as its password")
            }
            PasswordError::Control(c) => {
                write!(
                    f,
                    "a password must not contain the control character U+{:04X}",
                    u32::from(*c)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(typed: &str) -> Result<String, PasswordError> {
        Password::new(typed).map(|password| password.as_str().to_owned())
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(text("1234567"), Err(PasswordError::TooShort));
        assert_eq!(text("éééééééé").unwrap().len(), 16);
        // eight characters as typed, four when composed
        assert_eq!(text(&"e\u{301}".repeat(4)), Err(PasswordError::TooShort));
        assert!(text(&"x".repeat(256)).is_ok());
        assert!(text(&"e\u{301}".repeat(256)).is_ok());
        assert!(text(&"🔑".repeat(256)).is_ok());
        for long in ["x", "e\u{301}", "🔑"] {
            assert_eq!(text(&long.repeat(257)), Err(PasswordError::TooLong), "{long}");
        }
        assert_eq!(text(&"x".repeat(1 << 20)), Err(PasswordError::TooLong));
    }

    #[test]
    fn what_looks_the_same_is_the_same() {
        assert_eq!(text("jose\u{301} 12345"), text("jos\u{e9}\u{a0}12345"));
        assert_eq!(text("ideographic\u{3000}space"), text("ideographic space"));
        assert_ne!(text("Password1"), text("password1"));
        assert_eq!(text("  spaces count  ").unwrap(), "  spaces count  ");
    }

    #[test]
    fn control_characters_are_refused() {
        for c in ['\0', '\n', '\r', '\t', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}'] {
            assert_eq!(text(&format!("before{c}after")), Err(PasswordError::Control(c)));
        }
        // part of an emoji
        assert!(text("👩\u{200d}💻 and more").is_ok());
        let error = text("a\u{1b}bcdefgh").unwrap_err();
        assert_eq!(error.to_string(), "a password must not contain the control character U+001B");
    }

    #[test]
    fn a_new_one_is_not_the_name() {
        for (text, why) in [
            ("Christina", Some(PasswordError::Name)),
            (" chrlstina ", Some(PasswordError::Name)),
            ("christina likes tea", None),
            ("say \"friend\"", None),
        ] {
            assert_eq!(Password::new_for(text, "christina").err(), why, "{text}");
        }
    }

    #[test]
    fn a_generated_one_is_good_and_never_the_same() {
        let one = Password::generate().unwrap();
        assert_eq!(text(one.as_str()).unwrap(), one.as_str());
        assert_eq!(one.as_str().split('-').map(str::len).collect::<Vec<_>>(), [5; 4]);
        assert_ne!(one, Password::generate().unwrap());
    }

    #[test]
    fn it_is_shown_nowhere() {
        let password = Password::new("correct horse").unwrap();
        assert_eq!(format!("{password:?}"), "Password(…)");
    }
}
