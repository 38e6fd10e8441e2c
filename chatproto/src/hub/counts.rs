//! The counts of a hub since it was made. The operations count where they report an event, so the counts and
//! the events agree.

use crate::counts::{CountBy, Kind, sealed};

use super::{Departure, RefusalReason, Transport};

/// The counts of a hub: see [`Hub::counts`](super::Hub::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Gauge: open connections, users or not, by transport.
    pub connections: CountBy<Transport>,
    /// Gauge: registered users, by transport.
    pub users: CountBy<Transport>,
    /// Counter: connections that became users.
    pub registered: u64,
    /// Counter: connections that did not become users, by reason.
    pub refused: CountBy<RefusalReason>,
    /// Counter: users who left, by reason.
    pub departed: CountBy<Departure>,
    /// Counter: connections that spoke another protocol (B13).
    pub strangers: u64,
    /// Counter: commands that were denied, for the user's role or a wrong token or password.
    pub denied: u64,
    /// Counter: TLS handshakes that were completed.
    pub tls_handshakes: u64,
    /// Counter: TLS handshakes that failed.
    pub tls_failures: u64,
}

impl sealed::Sealed for Departure {}

/// The number of missed messages makes no difference.
impl Kind for Departure {
    const ALL: &'static [Self] = &[
        Departure::Left,
        Departure::Lost,
        Departure::Broken,
        Departure::Erring,
        Departure::TooSlow { missed: 0 },
        Departure::Unfinished,
        Departure::Kicked,
        Departure::Banned,
        Departure::Replaced,
        Departure::AccountChanged,
        Departure::Unregistered,
        Departure::Shutdown,
    ];

    fn label(self) -> &'static str {
        match self {
            Departure::Left => "left",
            Departure::Lost => "lost",
            Departure::Broken => "broken",
            Departure::Erring => "erring",
            Departure::TooSlow { .. } => "too_slow",
            Departure::Unfinished => "unfinished",
            Departure::Kicked => "kicked",
            Departure::Banned => "banned",
            Departure::Replaced => "replaced",
            Departure::AccountChanged => "account_changed",
            Departure::Unregistered => "unregistered",
            Departure::Shutdown => "shutdown",
        }
    }

    fn index(self) -> usize {
        match self {
            Departure::Left => 0,
            Departure::Lost => 1,
            Departure::Broken => 2,
            Departure::Erring => 3,
            Departure::TooSlow { .. } => 4,
            Departure::Unfinished => 5,
            Departure::Kicked => 6,
            Departure::Banned => 7,
            Departure::Replaced => 8,
            Departure::AccountChanged => 9,
            Departure::Unregistered => 10,
            Departure::Shutdown => 11,
        }
    }
}
