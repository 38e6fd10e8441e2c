//! Whether passwords and tokens may be sent over a connection. It does not matter here whether the
//! user has typed them or a file has them.

use std::fmt;
use std::net::IpAddr;

/// How far a connection keeps secrets from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Secrecy {
    /// The connection is encrypted, or does not leave this machine.
    Private,
    /// It is plain text, and the user permits passwords on it.
    Permitted,
    /// It is plain text: passwords are not sent.
    Refused,
}

impl Secrecy {
    /// That of a connection to this address.
    pub(super) fn of(has_tls: bool, peer: IpAddr, is_permitted: bool) -> Self {
        if has_tls || peer.to_canonical().is_loopback() {
            Secrecy::Private
        } else if is_permitted {
            Secrecy::Permitted
        } else {
            Secrecy::Refused
        }
    }
}

/// Why a password was not sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unencrypted;

impl fmt::Display for Unencrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connection is not encrypted, and others could read the password or token on its \
             way: start chat with --tls, --tls-ca or --tls-fingerprint (--insecure-password permits \
             it without TLS)",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_this_machine_encrypted_or_with_permission() {
        for (has_tls, peer, is_permitted, expected) in [
            (false, "127.0.0.1", false, Secrecy::Private),
            (false, "127.8.9.10", false, Secrecy::Private),
            (false, "::1", false, Secrecy::Private),
            (false, "::ffff:127.0.0.1", false, Secrecy::Private),
            (false, "127.0.0.1", true, Secrecy::Private),
            (true, "192.0.2.7", false, Secrecy::Private),
            (true, "2001:db8::7", true, Secrecy::Private),
            (false, "192.0.2.7", true, Secrecy::Permitted),
            (false, "192.0.2.7", false, Secrecy::Refused),
            (false, "10.0.0.1", false, Secrecy::Refused),
            (false, "0.0.0.0", false, Secrecy::Refused),
            (false, "2001:db8::7", false, Secrecy::Refused),
            (false, "fe80::1", false, Secrecy::Refused),
            (false, "::ffff:192.0.2.7", false, Secrecy::Refused),
        ] {
            let secrecy = Secrecy::of(has_tls, peer.parse().unwrap(), is_permitted);
            assert_eq!(secrecy, expected, "{has_tls} {peer} {is_permitted}");
        }
    }
}
