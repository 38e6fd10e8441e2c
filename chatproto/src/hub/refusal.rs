//! Why a connection does not become a user, as a kind that can be counted.

use crate::counts::{Kind, sealed};

use super::Completion;

/// Why a connection did not become a user. The peer is told in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The server had [`Limits::connections`](crate::Limits::connections).
    Full,
    /// Its address had [`Limits::per_address`](crate::Limits::per_address).
    PerAddress,
    /// Its address or its name was banned.
    Banned,
    /// The name breaks a rule, or is reserved for the server (B5).
    InvalidName,
    /// Somebody has the name.
    NameTaken,
    /// It sent text where only TLS is spoken.
    TlsRequired,
    /// No name came within [`Limits::registration`](crate::Limits::registration).
    NoName,
    /// A visitor did not log in within [`Limits::login`](crate::Limits::login).
    NoLogin,
    /// Only users with an account are served.
    NoAccount,
    /// [`Limits::effects_total`](crate::Limits::effects_total) was reached, or no temporary name was free.
    Busy,
    /// The directory refused the name, or named another server.
    Directory,
    /// The directory or the accounts did not answer in time, or failed.
    Unchecked,
    /// It violated the rules of WebSocket before its name was complete.
    Framing,
    /// It came from a proxy, and did not begin with a valid PROXY header.
    ProxyHeader,
}

impl RefusalReason {
    /// Why a claim of a name was not granted.
    pub(super) fn of(refusal: &Completion) -> Self {
        match refusal {
            Completion::Refused(_) | Completion::Moved(_) => RefusalReason::Directory,
            Completion::Reserved => RefusalReason::NameTaken,
            _ => RefusalReason::Unchecked,
        }
    }
}

impl sealed::Sealed for RefusalReason {}

impl Kind for RefusalReason {
    const ALL: &'static [Self] = &[
        RefusalReason::Full,
        RefusalReason::PerAddress,
        RefusalReason::Banned,
        RefusalReason::InvalidName,
        RefusalReason::NameTaken,
        RefusalReason::TlsRequired,
        RefusalReason::NoName,
        RefusalReason::NoLogin,
        RefusalReason::NoAccount,
        RefusalReason::Busy,
        RefusalReason::Directory,
        RefusalReason::Unchecked,
        RefusalReason::Framing,
        RefusalReason::ProxyHeader,
    ];

    fn label(self) -> &'static str {
        match self {
            RefusalReason::Full => "full",
            RefusalReason::PerAddress => "per_address",
            RefusalReason::Banned => "banned",
            RefusalReason::InvalidName => "invalid_name",
            RefusalReason::NameTaken => "name_taken",
            RefusalReason::TlsRequired => "tls_required",
            RefusalReason::NoName => "no_name",
            RefusalReason::NoLogin => "no_login",
            RefusalReason::NoAccount => "no_account",
            RefusalReason::Busy => "busy",
            RefusalReason::Directory => "directory",
            RefusalReason::Unchecked => "unchecked",
            RefusalReason::Framing => "framing",
            RefusalReason::ProxyHeader => "proxy_header",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
