//! User names: to construct one is to validate it (B5). Names that look alike are in `lookalike`,
//! invisible characters in `character`, and
//! the standard traits of names in `text`.
//!
//! A [`UserName`] is trimmed, in Unicode normalisation form C, within the length limit, and holds
//! nothing that could be mistaken for a command, a room, a frame or the server. Looking a name up
//! goes through the same normalisation ([`normalise`]), so that a name typed on another keyboard
//! still finds its owner.

mod character;
mod lookalike;
mod text;

use std::borrow::Cow;

use caseless::Caseless as _;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::limits::Limits;

use character::is_letter_or_digit;
pub use character::{is_ignorable, is_invisible, is_shaping};
use lookalike::key_of;
pub use lookalike::{LookalikeKeys, look_alike, lookalike_keys};

/// The name under which the server speaks (A6).
pub const SERVER: &str = "SERVER";
/// The addressee of shouts and of notices to all (A10, A11).
pub const EVERYONE: &str = "Everyone";
/// What the server calls a connection that has no name yet (A6).
pub const GUEST: &str = "Guest";

/// The actor of acts of the operator in logs and lists, and no user.
const OPERATOR: &str = "the operator";

const RESERVED: [&str; 3] = [SERVER, EVERYONE, GUEST];

/// Why a user name was refused. The texts are meant for the person who chose the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Bytes that are not UTF-8.
    #[error("a name must be UTF-8 text")]
    InvalidUtf8,
    /// Nothing but white space.
    #[error("a name must have at least one character")]
    Empty,
    /// More bytes than [`Limits::name`] after trimming and normalisation.
    #[error("a name may have at most {limit} bytes of UTF-8")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A control or format character, or a line separator (general categories Cc, Cf, Zl, Zp), or
    /// another one that is shown as nothing ([`is_ignorable`]).
    #[error("a name must not contain the invisible character U+{code:04X}", code = u32::from(*.0))]
    ControlCharacter(char),
    /// One of `{`, `}` and `,`.
    #[error("a name must not contain '{0}'")]
    ForbiddenCharacter(char),
    /// Begins with `/`, `#` or `@`.
    #[error("a name must not begin with '{0}'")]
    ForbiddenStart(char),
    /// A room's name that does not begin with `#`.
    #[error("a room's name must begin with '#'")]
    NoRoom,
    /// A room's name with white space behind the `#`.
    #[error("a room's name must not have white space behind '#'")]
    SpaceBehindHash,
    /// Looks like `SERVER`, `Everyone` or `Guest`.
    #[error("the name \"{0}\" is reserved")]
    Reserved(&'static str),
}

impl NameError {
    /// The name of the kind as the conformance vectors spell it, such as `forbidden-start`.
    pub fn kind(&self) -> &'static str {
        match self {
            NameError::InvalidUtf8 => "invalid-utf8",
            NameError::Empty => "empty",
            NameError::TooLong { .. } => "too-long",
            NameError::ControlCharacter(_) => "control-character",
            NameError::ForbiddenCharacter(_) => "forbidden-character",
            NameError::ForbiddenStart(_) => "forbidden-start",
            NameError::NoRoom => "no-room",
            NameError::SpaceBehindHash => "space-behind-hash",
            NameError::Reserved(_) => "reserved",
        }
    }
}

/// Why a server does not give a valid name to a client that asks for it. This is the server's policy
/// beyond the rules of names (B5): see [`UserName::check_request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamePolicyError {
    /// The server makes names of this form, such as `alice~7`.
    #[error("only the server gives names that end in '~', or in '~' and a number or a word")]
    Assigned,
    /// Looks like `SERVER`, `Everyone`, `Guest` or `the operator`.
    #[error("the name looks like \"{0}\", which is reserved")]
    LooksReserved(&'static str),
    /// Looks like a name that the server could make. This is refused for accounts only.
    #[error("the name looks like one that the server gives, such as \"alice~7\"")]
    LooksAssigned,
}

/// A valid user name.
///
/// ```
/// use chatproto::{NameError, UserName};
///
/// assert_eq!(UserName::new("  alice \n").unwrap().as_str(), "alice");
/// assert_eq!(UserName::new("/list"), Err(NameError::ForbiddenStart('/')));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

impl UserName {
    /// Validates `text` under the default length limit of 64 bytes.
    ///
    /// # Errors
    /// The first rule of B5 that the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::from_bytes(text.as_bytes(), Limits::default().name)
    }

    /// Validates the bytes that a client sent, under a limit of `max_bytes`.
    ///
    /// # Errors
    /// The first rule of B5 that the bytes break.
    pub fn from_bytes(bytes: &[u8], max_bytes: usize) -> Result<Self, NameError> {
        let text = std::str::from_utf8(bytes).map_err(|_| NameError::InvalidUtf8)?.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        // Normalising can shorten a text to a third of its bytes, not more: longer input is not looked at.
        if text.len() > max_bytes.saturating_mul(3) {
            return Err(NameError::TooLong { limit: max_bytes });
        }
        let name = normalise(text);
        if name.len() > max_bytes {
            return Err(NameError::TooLong { limit: max_bytes });
        }
        if let Some(bad) = name.chars().find(|&c| is_invisible(c) || is_ignorable(c)) {
            return Err(NameError::ControlCharacter(bad));
        }
        if let Some(bad) = name.chars().find(|c| matches!(c, '{' | '}' | ',')) {
            return Err(NameError::ForbiddenCharacter(bad));
        }
        if let Some(bad) = name.chars().next().filter(|c| matches!(c, '/' | '#' | '@')) {
            return Err(NameError::ForbiddenStart(bad));
        }
        if let Some(reserved) = reserved(&name) {
            return Err(NameError::Reserved(reserved));
        }
        Ok(UserName(name.into()))
    }

    /// Checks that a server may give this name to a client that asks for it: at connect, by `/nick`
    /// or as the name of an account (B17).
    ///
    /// ```
    /// use chatproto::UserName;
    /// use chatproto::name::NamePolicyError;
    ///
    /// let check = |text| UserName::new(text).unwrap().check_request();
    /// assert_eq!(check("alice"), Ok(()));
    /// assert_eq!(check("alice~7"), Err(NamePolicyError::Assigned));
    /// assert_eq!(check("S.E.R.V.E.R"), Err(NamePolicyError::LooksReserved("SERVER")));
    /// ```
    ///
    /// # Errors
    /// [`NamePolicyError::Assigned`] if it ends in `~`, in `~` and digits, or in `~` and the name of a
    /// node: 1 to 15 of `a` to `z`, `0` to `9` and `-`, with a letter.
    ///
    /// [`NamePolicyError::LooksReserved`] if its letters and digits alone look like a reserved name.
    pub fn check_request(&self) -> Result<(), NamePolicyError> {
        if has_assigned_form(self.as_str()) {
            return Err(NamePolicyError::Assigned);
        }
        looks_reserved(self.as_str())
            .map_or(Ok(()), |reserved| Err(NamePolicyError::LooksReserved(reserved)))
    }

    /// Checks that an account may have this name.
    ///
    /// ```
    /// use chatproto::UserName;
    /// use chatproto::name::NamePolicyError;
    ///
    /// let name = UserName::new("alice~I").unwrap();
    /// assert_eq!(name.check_request(), Ok(()));
    /// assert_eq!(name.check_account(), Err(NamePolicyError::LooksAssigned), "like alice~1");
    /// ```
    ///
    /// # Errors
    /// Those of [`UserName::check_request`], and [`NamePolicyError::LooksAssigned`]: nobody but its
    /// owner has a name that looks like that of an account, and a guest could.
    pub fn check_account(&self) -> Result<(), NamePolicyError> {
        self.check_request()?;
        // `m` looks like `rn`: a name of a node is not longer for it
        let looks_assigned = |key: &str| has_assigned_form(&key.replace("rn", "m"));
        match lookalike_keys(self.as_str()).iter().any(looks_assigned) {
            true => Err(NamePolicyError::LooksAssigned),
            false => Ok(()),
        }
    }

    /// A name that was made from one before.
    pub(crate) fn from_normalised(name: &str) -> Self {
        debug_assert_eq!(UserName::from_bytes(name.as_bytes(), usize::MAX).unwrap().as_str(), name);
        UserName(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A valid room name: `#`, and what could be a user name behind it.
///
/// ```
/// use chatproto::{NameError, RoomName};
///
/// assert_eq!(RoomName::new(" #green tea").unwrap().as_str(), "#green tea");
/// assert_eq!(RoomName::new("tea"), Err(NameError::NoRoom));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Box<str>);

impl RoomName {
    /// Validates `text` under the default length limit of 64 bytes behind the `#`.
    ///
    /// # Errors
    /// [`NameError::NoRoom`] if it does not begin with `#`, [`NameError::SpaceBehindHash`] if white
    /// space follows that, else the first rule of B5 that the rest breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::with_limit(text, Limits::default().name)
    }

    /// The same under a limit of `max_bytes` behind the `#`.
    pub(crate) fn with_limit(text: &str, max_bytes: usize) -> Result<Self, NameError> {
        let rest = text.trim().strip_prefix('#').ok_or(NameError::NoRoom)?;
        if rest.starts_with(char::is_whitespace) {
            return Err(NameError::SpaceBehindHash);
        }
        let name = UserName::from_bytes(rest.as_bytes(), max_bytes)?;
        Ok(RoomName(format!("#{name}").into()))
    }

    /// A name that was made from one before.
    pub(crate) fn from_normalised(name: &str) -> Self {
        debug_assert_eq!(RoomName::with_limit(name, usize::MAX).unwrap().as_str(), name);
        RoomName(name.into())
    }

    /// The name as text, with its `#`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Normalisation form C, in which names are stored and looked up. Borrows what already is.
pub fn normalise(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// The reserved name that `name` could be mistaken for, compared after NFKC and case folding.
fn reserved(name: &str) -> Option<&'static str> {
    let folded: Cow<'_, str> = if name.is_ascii() {
        Cow::Borrowed(name)
    } else {
        let folded: String = name.nfkc().default_case_fold().collect();
        Cow::Owned(folded.nfkc().collect())
    };
    RESERVED.into_iter().find(|reserved| folded.eq_ignore_ascii_case(reserved))
}

/// Whether a name has a form that the server assigns (B17).
fn has_assigned_form(name: &str) -> bool {
    /// Most bytes of a node's name.
    const NODE: usize = 15;
    let Some((_, tail)) = name.rsplit_once('~') else { return false };
    let is_number = tail.bytes().all(|byte| byte.is_ascii_digit());
    let is_node = tail.len() <= NODE
        && tail.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && tail.bytes().any(|byte| byte.is_ascii_lowercase());
    is_number || is_node
}

/// The reserved name that a reader could take `name` for, if only its letters and digits count.
fn looks_reserved(name: &str) -> Option<&'static str> {
    let plain = |key: &str| key.nfd().filter(|&c| is_letter_or_digit(c)).collect::<String>();
    let keys: Vec<String> = lookalike_keys(name).iter().map(plain).collect();
    let is_like = |reserved: &&str| keys.contains(&plain(&key_of(reserved)));
    RESERVED.into_iter().chain([OPERATOR]).find(is_like)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_composed() {
        assert_eq!(UserName::new(" jose\u{301}\r\n").unwrap().as_str(), "jos\u{e9}");
    }

    #[test]
    fn nothing_that_is_not_seen_makes_a_second_name() {
        for c in ['\u{34f}', '\u{115f}', '\u{1160}', '\u{17b4}', '\u{180b}', '\u{180f}', '\u{2065}']
            .into_iter()
            .chain(['\u{3164}', '\u{fe00}', '\u{fe0f}', '\u{ffa0}', '\u{fff0}', '\u{e0100}'])
        {
            for name in [format!("alice{c}"), format!("{c}alice"), format!("al{c}ice"), c.into()] {
                assert_eq!(UserName::new(&name), Err(NameError::ControlCharacter(c)), "{name:?}");
            }
        }
        assert!(UserName::new("\u{2764}").is_ok() && UserName::new("한").is_ok());
    }

    #[test]
    fn a_reserved_name_is_recognised_in_disguise() {
        for disguise in ["server", "SERVER", "ＳＥＲＶＥＲ", "everyonE", "ｇuest", "\u{17f}erver"]
        {
            assert!(matches!(UserName::new(disguise), Err(NameError::Reserved(_))), "{disguise}");
        }
        assert!(UserName::new("servers").is_ok());
    }

    #[test]
    fn names_of_the_forms_that_the_server_assigns_are_not_for_clients() {
        let check = |text: &str| UserName::new(text).unwrap().check_request();
        let long = "x".repeat(15);
        for tail in
            ["", "7", "007", "4294967296", "12345678901234567890", "a", "node-1", "-a", &long]
        {
            for begin in ["alice", "a~b", "", "~", "alice "] {
                let name = format!("{begin}~{tail}");
                assert_eq!(check(&name), Err(NamePolicyError::Assigned), "{name}");
            }
        }
        for name in [
            "alice",
            "~alice smith",
            "al~ice B",
            "alice~-",
            "alice~7-8",
            "alice~Node",
            "alice~n_1",
            "alice~7.",
            "alice~\u{ff17}",
            "alice\u{223c}7",
            &format!("alice~x{long}"),
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    #[cfg(feature = "confusables")]
    fn no_account_has_a_name_that_looks_like_an_assigned_one() {
        let check = |text: &str| UserName::new(text).unwrap().check_account();
        for name in [
            "alice~I",
            "alice~\u{ff17}",
            "alice\u{223c}7",
            "\u{2053}O",
            "alice~NODE",
            "alice~Mmmmmmmmmmmmmmm",
        ] {
            assert_eq!(check(name), Err(NamePolicyError::LooksAssigned), "{name}");
        }
        assert_eq!(check("alice~7"), Err(NamePolicyError::Assigned));
        for name in ["alice", "alice~7.", "al~ice B", "alice~Mmmmmmmmmmmmmmmm"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_reserved_word_among_punctuation_is_not_for_clients() {
        let check = |text: &str| UserName::new(text).unwrap().check_request();
        for (reserved, names) in [
            (
                SERVER,
                &[
                    "SERVER:",
                    "S.E.R.V.E.R",
                    "serve-r",
                    "\"server\"",
                    "s e r v e r",
                    "\u{2705} Server",
                    "SERVER\u{2800}",
                    "S\u{332}E\u{332}RVER",
                    "\u{ff33}ERVER!",
                ][..],
            ),
            (
                SERVER,
                &[
                    "SE\u{154}VER",
                    "SERV\u{c9}R",
                    "\u{15a}erver",
                    "\u{1e60}ERVER",
                    "se\u{157}ver",
                    "S\u{c8}RV\u{c8}R",
                    "SE\u{20dd}RVER",
                    "SE\u{345}RVER",
                ],
            ),
            (EVERYONE, &["Every one", "every-one", "(Everyone)", "\u{c9}veryon\u{eb}"]),
            (GUEST, &["guest_", "<Guest>", "G\u{fc}est", "gue\u{161}\u{165}"]),
        ] {
            for name in names {
                assert_eq!(check(name), Err(NamePolicyError::LooksReserved(reserved)), "{name}");
            }
        }
        for name in [
            "Server1",
            "servers",
            "my server",
            "guest-7",
            "guests",
            "everyone else",
            "...",
            "\u{2764}",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    #[cfg(feature = "confusables")]
    fn a_reserved_word_in_other_letters_is_not_for_clients() {
        let check = |text: &str| UserName::new(text).unwrap().check_request();
        for name in [
            // Cyrillic
            "\u{405}\u{415}RV\u{415}R",
            "s\u{435}rv\u{435}r:",
            // the Greek capitals Epsilon, Omicron, Nu and Tau
            "S\u{395}RV\u{395}R",
            "\u{395}VERY\u{39f}\u{39d}\u{395}",
            "GUES\u{3a4}",
            "Every0ne",
        ] {
            let checked = check(name);
            assert!(
                matches!(checked, Err(NamePolicyError::LooksReserved(_))),
                "{name}: {checked:?}"
            );
        }
    }

    #[test]
    fn the_limit_counts_what_is_kept() {
        // 22 × e + combining acute: 66 bytes that compose to 44
        assert!(UserName::new(&"e\u{301}".repeat(22)).is_ok());
        assert!(matches!(UserName::new(&"x".repeat(65)), Err(NameError::TooLong { limit: 64 })));
        // the Kelvin sign: three bytes that compose to one
        assert_eq!(UserName::new(&"\u{212a}".repeat(64)).unwrap().as_str(), "K".repeat(64));
        assert!(matches!(UserName::new(&"\u{212a}".repeat(65)), Err(NameError::TooLong { .. })));
    }

    #[test]
    fn a_name_is_shown_as_its_text() {
        let (user, room) = (UserName::new("zoë").unwrap(), RoomName::new("#tea").unwrap());
        assert_eq!((user.as_ref(), room.as_str()), ("zoë", "#tea"));
        assert_eq!(format!("{user} {user:?}"), "zoë \"zoë\"");
        assert_eq!(format!("{room} {room:?}"), "#tea \"#tea\"");
    }
}
