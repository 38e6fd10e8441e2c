//! How many lines the server's log may have in a second: 10 of each kind, and 100 acts of each
//! moderator. Further ones are counted. Which line an event makes is in [`log`](crate::log).

use std::time::{Duration, Instant};

use chatproto::hub::{Departure, Event};
use tracing::Level;

use crate::shares::Rules;

/// How many lines of one kind may be written in a second.
const LINES_PER_SECOND: u32 = 10;

/// The budget of acts. The log has none for a day, as tools rotate it.
pub(crate) const ACTS: Rules = Rules {
    owner_per_second: 100,
    per_second: 1_000,
    owner_per_day: usize::MAX,
    per_day: usize::MAX,
    owners: 1_024,
};

/// The budget of messages that users removed.
pub(crate) const FORGETS: Rules = Rules { owner_per_second: 10, per_second: 100, ..ACTS };

/// The protocol of [`Event::Stranger`] that a load balancer speaks.
const PROXY: &str = "PROXY";

/// The kinds of lines that peers can cause. None of them can use up another one's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connected,
    Registered,
    Refused,
    Stranger,
    /// A PROXY header from a source outside `--proxy-from`.
    UntrustedProxy,
    ProxyHeaderMissing,
    HandshakeFailed,
    BadInput,
    Departed,
    /// Disconnected by the server.
    CutOff,
    AcceptPaused,
    HandlerPanicked,
    Renamed,
    LoggedIn,
    Denied,
    /// Denied, and the audit log did not take it.
    Unaudited,
    /// Messages that came while the history had no room for them.
    NotKept,
    /// The disk takes no history.
    Outage,
    /// The disk takes history again.
    OutageOver,
    /// The clock has jumped.
    Clock,
    /// Messages were removed for their age, or for the size of the file.
    Purged,
    /// A ban or mute that was not written to the data file.
    Unsaved,
    /// An account that cannot be read or written.
    Accounts,
    Other,
}

impl Kind {
    pub(crate) const ALL: [Kind; 24] = [
        Kind::Connected,
        Kind::Registered,
        Kind::Refused,
        Kind::Stranger,
        Kind::UntrustedProxy,
        Kind::ProxyHeaderMissing,
        Kind::HandshakeFailed,
        Kind::BadInput,
        Kind::Departed,
        Kind::CutOff,
        Kind::AcceptPaused,
        Kind::HandlerPanicked,
        Kind::Renamed,
        Kind::LoggedIn,
        Kind::Denied,
        Kind::Unaudited,
        Kind::NotKept,
        Kind::Outage,
        Kind::OutageOver,
        Kind::Clock,
        Kind::Purged,
        Kind::Unsaved,
        Kind::Accounts,
        Kind::Other,
    ];

    /// The kind of an event's line; none if its budget is another one.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Connected { .. } => Kind::Connected,
            Event::Registered { .. } => Kind::Registered,
            Event::Refused { .. } => Kind::Refused,
            Event::Stranger { protocol: PROXY, .. } => Kind::UntrustedProxy,
            Event::Stranger { .. } => Kind::Stranger,
            Event::ProxyHeaderMissing { .. } => Kind::ProxyHeaderMissing,
            Event::HandshakeFailed { .. } => Kind::HandshakeFailed,
            Event::BadInput { .. } | Event::FramingViolated { .. } => Kind::BadInput,
            Event::Departed { reason, .. } if is_cut_off(*reason) => Kind::CutOff,
            Event::Departed { .. } => Kind::Departed,
            Event::AcceptPaused { .. } => Kind::AcceptPaused,
            Event::HandlerPanicked { .. } => Kind::HandlerPanicked,
            Event::Renamed { .. } => Kind::Renamed,
            Event::LoggedIn { .. } => Kind::LoggedIn,
            Event::Denied { .. } => Kind::Denied,
            // see [`ACTS`] and [`FORGETS`]
            Event::Moderated { .. } => return None,
            _ => Kind::Other,
        })
    }

    pub(crate) fn level(self) -> Level {
        match self {
            Kind::HandlerPanicked
            | Kind::Unaudited
            | Kind::NotKept
            | Kind::Outage
            | Kind::Clock
            | Kind::Unsaved
            | Kind::Accounts => Level::ERROR,
            Kind::Refused
            | Kind::UntrustedProxy
            | Kind::ProxyHeaderMissing
            | Kind::HandshakeFailed
            | Kind::BadInput
            | Kind::CutOff
            | Kind::AcceptPaused
            | Kind::Denied => Level::WARN,
            Kind::Registered
            | Kind::Departed
            | Kind::Renamed
            | Kind::LoggedIn
            | Kind::OutageOver
            | Kind::Purged => Level::INFO,
            Kind::Connected | Kind::Stranger | Kind::Other => Level::DEBUG,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Connected => "connected",
            Kind::Registered => "registered",
            Kind::Refused => "refused",
            Kind::Stranger => "no chat client",
            Kind::UntrustedProxy => "PROXY header from a source that is not in --proxy-from",
            Kind::ProxyHeaderMissing => "no valid PROXY header",
            Kind::HandshakeFailed => "TLS failed",
            Kind::BadInput => "bad input",
            Kind::Departed => "departed",
            Kind::CutOff => "disconnected: slow reader or protocol errors",
            Kind::AcceptPaused => "no new connections for a moment",
            Kind::HandlerPanicked => "endpoint panicked",
            Kind::Renamed => "renamed",
            Kind::LoggedIn => "logged in",
            Kind::Denied => "denied",
            Kind::Unaudited => "denied, not in the audit log",
            Kind::NotKept => "messages not stored",
            Kind::Outage => "history is not stored",
            Kind::OutageOver => "history is stored again",
            Kind::Clock => "jumps of the clock",
            Kind::Purged => "messages removed from the history",
            Kind::Accounts => "accounts that cannot be read or written",
            Kind::Unsaved => "bans and mutes that end with the server",
            Kind::Other => "other events",
        }
    }

    /// Its value of the label in the metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Connected => "connected",
            Kind::Registered => "registered",
            Kind::Refused => "refused",
            Kind::Stranger => "stranger",
            Kind::UntrustedProxy => "untrusted_proxy",
            Kind::ProxyHeaderMissing => "proxy_header",
            Kind::HandshakeFailed => "tls",
            Kind::BadInput => "bad_input",
            Kind::Departed => "departed",
            Kind::CutOff => "disconnected",
            Kind::AcceptPaused => "accept_paused",
            Kind::HandlerPanicked => "endpoint_panicked",
            Kind::Renamed => "renamed",
            Kind::LoggedIn => "logged_in",
            Kind::Denied => "denied",
            Kind::Unaudited => "unaudited",
            Kind::NotKept => "not_stored",
            Kind::Outage => "history_failing",
            Kind::OutageOver => "history_resumed",
            Kind::Clock => "clock",
            Kind::Purged => "purged",
            Kind::Unsaved => "unsaved",
            Kind::Accounts => "accounts",
            Kind::Other => "other",
        }
    }

    pub(crate) fn changes_online(self) -> bool {
        matches!(self, Kind::Registered | Kind::Departed | Kind::CutOff)
    }
}

/// Admits [`LINES_PER_SECOND`] lines of each kind and counts the others.
#[derive(Debug)]
pub(crate) struct Budgets {
    second: Instant,
    kinds: [Budget; Kind::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    lines: u32,
    hidden: u64,
}

impl Budgets {
    pub(crate) fn new(now: Instant) -> Self {
        Budgets { second: now, kinds: Default::default() }
    }

    /// Whether a line may be written, and the counts of hidden lines if a second has ended.
    pub(crate) fn admit(&mut self, kind: Kind, now: Instant) -> (bool, Vec<(Kind, u64)>) {
        let hidden = self.tick(now);
        let budget = &mut self.kinds[kind as usize];
        let is_admitted = budget.lines < LINES_PER_SECOND;
        if is_admitted {
            budget.lines += 1;
        } else {
            budget.hidden += 1;
        }
        (is_admitted, hidden)
    }

    /// Begins a new second if it is time to; returns how many lines the old one hid.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<(Kind, u64)> {
        if now.saturating_duration_since(self.second) < Duration::from_secs(1) {
            return Vec::new();
        }
        self.second = now;
        self.close()
    }

    pub(crate) fn close(&mut self) -> Vec<(Kind, u64)> {
        let old = std::mem::take(&mut self.kinds);
        let hidden = Kind::ALL.into_iter().zip(old).map(|(kind, budget)| (kind, budget.hidden));
        hidden.filter(|&(_, count)| count > 0).collect()
    }
}

fn is_cut_off(reason: Departure) -> bool {
    matches!(reason, Departure::TooSlow { .. } | Departure::Broken | Departure::Erring)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let start = Instant::now();
        let mut budgets = Budgets::new(start);
        let admitted = (0..1_000).filter(|_| budgets.admit(Kind::Refused, start).0).count();
        assert_eq!(admitted, 10);
        let later = start + Duration::from_secs(1);
        assert_eq!(budgets.admit(Kind::Refused, later), (true, vec![(Kind::Refused, 990)]));
        assert_eq!(budgets.admit(Kind::Refused, later), (true, vec![]));
        assert_eq!(budgets.close(), []);
    }

    #[test]
    fn no_kind_uses_up_the_budget_of_another() {
        let start = Instant::now();
        let mut budgets = Budgets::new(start);
        for kind in Kind::ALL {
            let admitted = (0..25).filter(|_| budgets.admit(kind, start).0).count();
            assert_eq!(admitted, 10, "{kind:?}");
        }
        assert_eq!(budgets.tick(start), []);
        let hidden = budgets.tick(start + Duration::from_secs(1));
        assert_eq!(hidden, Kind::ALL.map(|kind| (kind, 15)));
        // a thread that looked at its clock before another one began the second
        assert_eq!(budgets.admit(Kind::Refused, start), (true, vec![]));
    }

    #[test]
    fn kinds_are_in_order() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(place, kind as usize);
        }
    }
}
