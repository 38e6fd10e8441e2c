//! The `serde` form of each type that has one form as text: that text. Reading validates, as parsing
//! does.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use crate::accounts::AccountPolicy;
use crate::address::Address;
use crate::decode::{ErrorClass, Field};
use crate::handshake::PeerKind;
#[cfg(feature = "server")]
use crate::hub::{BanTarget, Rank, Role};
use crate::limits::Limits;
use crate::name::{NameError, RoomName, UserName};
#[cfg(feature = "server")]
use crate::outbox::SlowReader;
#[cfg(feature = "tls")]
use crate::tls::{ClientCertificates, Fingerprint};

/// Reads a text with a function.
struct Text<F> {
    expected: &'static str,
    parse: F,
}

impl<T, E: fmt::Display, F: Fn(&str) -> Result<T, E>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<O: Error>(self, text: &str) -> Result<T, O> {
        (self.parse)(text).map_err(O::custom)
    }
}

/// Defines the form of types, each with its name in errors and the function that reads it.
macro_rules! as_text {
    ($($(#[$condition:meta])? $type:ident, $expected:literal, $parse:expr;)*) => {$(
        $(#[$condition])?
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $(#[$condition])?
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text { expected: $expected, parse: $parse })
            }
        }
    )*};
}

as_text! {
    UserName, "the name of a user", user_name;
    RoomName, "the name of a room", room_name;
    #[cfg(feature = "server")]
    Role, "a role", str::parse::<Role>;
    #[cfg(feature = "server")]
    Rank, "a rank", str::parse::<Rank>;
    #[cfg(feature = "server")]
    BanTarget, "a name, an address or a network", str::parse::<BanTarget>;
    Address, "a host and a port", str::parse::<Address>;
    #[cfg(feature = "server")]
    AccountPolicy, "a policy for accounts", str::parse::<AccountPolicy>;
    #[cfg(feature = "server")]
    SlowReader, "a policy for slow readers", str::parse::<SlowReader>;
    PeerKind, "a kind of peer", str::parse::<PeerKind>;
    Field, "a field of a message", str::parse::<Field>;
    ErrorClass, "a class of errors", str::parse::<ErrorClass>;
    #[cfg(feature = "tls")]
    ClientCertificates, "a policy for client certificates", str::parse::<ClientCertificates>;
    #[cfg(feature = "tls")]
    Fingerprint, "the SHA-256 of a certificate", str::parse::<Fingerprint>;
}

/// A name of any server: under the largest limit that a server can have.
fn user_name(text: &str) -> Result<UserName, NameError> {
    UserName::from_bytes(text.as_bytes(), Limits::LONGEST_NAME)
}

fn room_name(text: &str) -> Result<RoomName, NameError> {
    RoomName::with_limit(text, Limits::LONGEST_NAME)
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;

    use super::*;

    #[track_caller]
    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), *value);
    }

    #[track_caller]
    fn error<T: DeserializeOwned + fmt::Debug>(json: &str) -> String {
        serde_json::from_str::<T>(json).unwrap_err().to_string()
    }

    #[test]
    fn a_value_is_stored_as_its_text() {
        round_trip(&UserName::new("alice").unwrap(), r#""alice""#);
        round_trip(&RoomName::new("#green tea").unwrap(), r##""#green tea""##);
        round_trip(&Role::Moderator, r#""moderator""#);
        round_trip(&Rank::Operator, r#""operator""#);
        round_trip(&"192.0.2.0/24".parse::<BanTarget>().unwrap(), r#""192.0.2.0/24""#);
        round_trip(&"chat.example".parse::<Address>().unwrap(), r#""chat.example:65432""#);
        round_trip(&SlowReader::DropOldest, r#""drop-oldest""#);
        let map = BTreeMap::from([(UserName::new("bob").unwrap(), Role::Admin)]);
        round_trip(&map, r#"{"bob":"admin"}"#);
    }

    #[test]
    fn what_is_read_is_validated() {
        let name = serde_json::from_str::<UserName>(r#"" jose\u0301 ""#).unwrap();
        assert_eq!(name.as_str(), "jos\u{e9}", "as UserName::new does");
        assert!(error::<UserName>(r#""/list""#).starts_with("a name must not begin with '/'"));
        assert!(error::<RoomName>(r#""tea""#).starts_with("a room's name must begin with '#'"));
        assert!(error::<Role>(r#""king""#).starts_with("a role is user, moderator or admin"));
        assert!(error::<UserName>("7").contains("expected the name of a user"));
    }

    #[test]
    fn a_name_is_read_under_the_limit_of_any_server() {
        let longest = "x".repeat(Limits::LONGEST_NAME);
        let json = serde_json::to_string(&longest).unwrap();
        assert_eq!(serde_json::from_str::<UserName>(&json).unwrap().as_str(), longest);
        let json = serde_json::to_string(&(longest + "x")).unwrap();
        assert!(error::<UserName>(&json).starts_with("a name may have at most 1024 bytes"));
    }
}
