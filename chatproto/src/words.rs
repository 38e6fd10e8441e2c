//! The words of small enumerations: each value as the text that logs, options and stored data have, and
//! back. Types with a syntax of their own read and write it beside their definition.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "server")]
use crate::accounts::AccountPolicy;
use crate::decode::{DecodeErrorKind, ErrorClass, Field};
use crate::handshake::{PeerKind, Stranger};
#[cfg(feature = "server")]
use crate::hub::Role;
#[cfg(feature = "server")]
use crate::outbox::SlowReader;
#[cfg(feature = "tls")]
use crate::tls::ClientCertificates;

/// A text is none of the words of an enumeration. It is shown as a sentence that names them.
///
/// ```
/// use chatproto::SlowReader;
///
/// assert_eq!("drop-oldest".parse(), Ok(SlowReader::DropOldest));
/// let error = "drop".parse::<SlowReader>().unwrap_err();
/// assert_eq!(error.to_string(), "a policy for slow readers is disconnect or drop-oldest");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownWord(&'static str);

/// Reads the words of a type. The type shows a value as its word.
macro_rules! read {
    ($type:ident, $sentence:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        impl FromStr for $type {
            type Err = UnknownWord;

            #[doc = concat!("The value that is shown as this text: ", $sentence, ".")]
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($type::$variant),)+
                    _ => Err(UnknownWord($sentence)),
                }
            }
        }

        #[cfg(all(test, feature = "server"))]
        impl tests::Words for $type {
            const WORDS: &'static [($type, &'static str)] = &[$(($type::$variant, $word)),+];
        }
    };
}

/// The same for a type that has no other form as text.
macro_rules! read_and_show {
    ($type:ident, $sentence:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $($type::$variant => $word,)+
                })
            }
        }

        read!($type, $sentence, $($variant = $word),+);
    };
}

#[cfg(feature = "server")]
read!(
    Role,
    "a role is user, moderator or admin",
    User = "user",
    Moderator = "moderator",
    Admin = "admin",
);
read!(PeerKind, "a kind of peer is stream or one-read", Stream = "stream", OneRead = "one-read",);
read!(
    Field,
    "a field is from, from.name, from.ip, to or msg",
    From = "from",
    Name = "from.name",
    Ip = "from.ip",
    To = "to",
    Msg = "msg",
);
#[cfg(feature = "server")]
read_and_show!(
    SlowReader,
    "a policy for slow readers is disconnect or drop-oldest",
    Disconnect = "disconnect",
    DropOldest = "drop-oldest",
);
#[cfg(feature = "server")]
read_and_show!(
    AccountPolicy,
    "a policy for accounts is optional or required",
    Optional = "optional",
    Required = "required",
);
read_and_show!(
    ErrorClass,
    "a class of errors is framing or schema",
    Framing = "framing",
    Schema = "schema",
);
#[cfg(feature = "tls")]
read_and_show!(
    ClientCertificates,
    "a policy for client certificates is request or require",
    Request = "request",
    Require = "require",
);

/// The name of the kind: see [`DecodeErrorKind::as_str`].
impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of the protocol: see [`Stranger::protocol`].
impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.protocol())
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    /// All values of a type with their words.
    pub(super) trait Words: Sized + 'static {
        const WORDS: &'static [(Self, &'static str)];
    }

    fn check<T>()
    where
        T: Words + FromStr<Err = UnknownWord> + fmt::Display + fmt::Debug + PartialEq,
    {
        for (value, word) in T::WORDS {
            assert_eq!(value.to_string(), *word);
            assert_eq!(word.parse::<T>().as_ref(), Ok(value));
            assert!(word.to_uppercase().parse::<T>().is_err(), "{word}");
        }
        let sentence = "".parse::<T>().unwrap_err().to_string();
        for (_, word) in T::WORDS {
            assert!(sentence.contains(word), "{sentence}");
        }
    }

    #[test]
    fn a_value_is_read_from_the_word_that_shows_it() {
        check::<Role>();
        check::<PeerKind>();
        check::<Field>();
        check::<SlowReader>();
        check::<AccountPolicy>();
        check::<ErrorClass>();
        #[cfg(feature = "tls")]
        check::<ClientCertificates>();
    }
}
