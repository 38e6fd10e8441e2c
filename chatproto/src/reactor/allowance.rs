//! The rate limit of one connection: how many messages and bytes it may send (B19), by the generic cell
//! rate algorithm. It counts input only, and a message is charged after it was taken.

use std::time::{Duration, Instant};

use crate::limits::{Limits, Rate};

/// A peer must be at least so many messages ahead of its rate, before it is said to be ahead.
const LEAD_LEAST: u32 = 16;
/// The part of its burst from which on a peer is ahead of its rate.
const LEAD: u32 = 8;

/// When what the peer sent is paid for: at the time from which on it would have been within its rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance {
    messages: Option<Instant>,
    bytes: Option<Instant>,
}

impl Allowance {
    /// The peer sent a message of so many bytes.
    pub(super) fn charge(&mut self, bytes: u64, now: Instant, limits: &Limits) {
        if let Some(rate) = limits.rate {
            self.messages = Some(self.messages.map_or(now, |due| due.max(now)) + interval(rate));
        }
        if let Some(rate) = limits.rate_bytes {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let due = self.bytes.map_or(now, |due| due.max(now));
            self.bytes = Some(due + interval(rate) * bytes);
        }
    }

    /// Until when the peer is too fast, if it is.
    pub(super) fn exhausted_until(&self, now: Instant, limits: &Limits) -> Option<Instant> {
        let of_messages = exhausted_until(self.messages, limits.rate, now);
        let of_bytes = exhausted_until(self.bytes, limits.rate_bytes, now);
        of_messages.max(of_bytes)
    }

    /// Whether the peer has used up an eighth of a burst, and of messages a few at least. (Without a
    /// rate nobody is too fast.)
    pub(super) fn has_lead(&self, now: Instant, limits: &Limits) -> bool {
        let has_lead = |due: Option<Instant>, rate: Option<Rate>, least: u32| {
            let lead = due.map(|due| due.saturating_duration_since(now));
            let most = rate.map(|rate| interval(rate) * least.max(rate.burst / LEAD));
            lead.zip(most).is_some_and(|(lead, most)| lead > most)
        };
        has_lead(self.messages, limits.rate, LEAD_LEAST)
            || has_lead(self.bytes, limits.rate_bytes, 0)
    }
}

/// Until the peer may send a good part of a burst again, so that it is not woken for every message.
fn exhausted_until(due: Option<Instant>, rate: Option<Rate>, now: Instant) -> Option<Instant> {
    let rate = rate?;
    let earliest = due?.checked_sub(interval(rate) * rate.burst.saturating_sub(1))?;
    let several = (rate.per_second / 10).min(rate.burst / 2);
    (earliest > now).then(|| earliest + interval(rate) * several)
}

/// The time between two messages, or two bytes.
fn interval(rate: Rate) -> Duration {
    Duration::from_secs(1) / rate.per_second.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: Option<Rate>, rate_bytes: Option<Rate>) -> Limits {
        Limits { rate, rate_bytes, ..Limits::default() }
    }

    #[test]
    fn bytes_count_as_messages_do() {
        let limits = limits(None, Some(Rate { per_second: 1000, burst: 2000 }));
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let is_paused = |allowance: &Allowance, millis: u64| {
            let now = start + Duration::from_millis(millis);
            allowance.exhausted_until(now, &limits).is_some()
        };
        for _ in 0..4 {
            assert!(!is_paused(&allowance, 0));
            allowance.charge(500, start, &limits);
        }
        assert!(is_paused(&allowance, 0) && !is_paused(&allowance, 1));
        let resume = allowance.exhausted_until(start, &limits).unwrap();
        assert_eq!(resume - start, Duration::from_millis(101), "a tenth of a second's worth");
    }

    #[test]
    fn one_message_of_any_length_passes_and_is_charged_afterwards() {
        let limits = limits(None, Some(Rate { per_second: 1000, burst: 10 }));
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        assert_eq!(allowance.exhausted_until(start, &limits), None);
        allowance.charge(5_000, start, &limits);
        assert!(allowance.exhausted_until(start, &limits).is_some());
        let paid = start + Duration::from_millis(4_991);
        assert!(allowance.exhausted_until(paid - Duration::from_millis(1), &limits).is_some());
        assert_eq!(allowance.exhausted_until(paid, &limits), None);
    }

    #[test]
    fn the_stricter_of_both_rates_holds_and_without_any_nobody_is_too_fast() {
        let rate = |per_second| Some(Rate { per_second, burst: 1 });
        let start = Instant::now();
        for (limits, paused) in [
            (limits(rate(10), rate(1_000_000)), true),
            (limits(rate(1_000_000), rate(10)), true),
            (limits(None, None), false),
        ] {
            let mut allowance = Allowance::default();
            allowance.charge(100, start, &limits);
            allowance.charge(100, start, &limits);
            assert_eq!(allowance.exhausted_until(start, &limits).is_some(), paused, "{limits:?}");
        }
    }

    #[test]
    fn a_peer_is_ahead_when_an_eighth_of_a_burst_is_used_up() {
        let limits = limits(None, Some(Rate { per_second: 1000, burst: 8000 }));
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        allowance.charge(1000, start, &limits);
        assert!(!allowance.has_lead(start, &limits));
        allowance.charge(1, start, &limits);
        assert!(allowance.has_lead(start, &limits));
        assert!(!allowance.has_lead(start + Duration::from_millis(1), &limits));
    }
}
