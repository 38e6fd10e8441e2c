//! The rate limit of one connection: how many messages and bytes it may send (B4), by the generic cell
//! rate algorithm. It counts input only, and a message is charged after it was taken.

use std::time::Duration;

use crate::limits::{Limits, Rate};

use super::moment::Moment;

/// A peer must be at least so many messages ahead of its rate, before it is said to be ahead.
const LEAD_LEAST: u32 = 16;
/// The part of its burst from which on a peer is ahead of its rate.
const LEAD: u32 = 8;

/// The time from which on the peer is within its rate again, for messages and for bytes. In nanoseconds, which are half the size of an [`Instant`] in each connection; a time that has passed
/// if nothing is to be paid.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance {
    messages: u64,
    bytes: u64,
}

impl Allowance {
    /// The peer sent a message of so many bytes.
    pub(super) fn charge(&mut self, bytes: u64, now: Moment, limits: &Limits) {
        if let Some(rate) = limits.rate {
            self.messages = self.messages.max(now.nanos()) + interval(rate);
        }
        if let Some(rate) = limits.rate_bytes {
            self.bytes = self.bytes.max(now.nanos()) + interval(rate).saturating_mul(bytes);
        }
    }

    /// For how long the peer is too fast, if it is.
    pub(super) fn exhausted_for(&self, now: Moment, limits: &Limits) -> Option<Duration> {
        let of_messages = exhausted_for(self.messages, limits.rate, now);
        let of_bytes = exhausted_for(self.bytes, limits.rate_bytes, now);
        of_messages.max(of_bytes).map(Duration::from_nanos)
    }

    /// Whether the peer has used up an eighth of a burst, and of messages a few at least. (Without a
    /// rate nobody is too fast.)
    pub(super) fn has_lead(&self, now: Moment, limits: &Limits) -> bool {
        let has_lead = |paid: u64, rate: Option<Rate>, least: u32| {
            let most = |rate: Rate| interval(rate) * u64::from(least.max(rate.burst / LEAD));
            rate.is_some_and(|rate| paid.saturating_sub(now.nanos()) > most(rate))
        };
        has_lead(self.messages, limits.rate, LEAD_LEAST)
            || has_lead(self.bytes, limits.rate_bytes, 0)
    }
}

/// Until the peer may send a good part of a burst again, so that it is not woken for every message.
fn exhausted_for(paid: u64, rate: Option<Rate>, now: Moment) -> Option<u64> {
    let rate = rate?;
    let ahead = paid.saturating_sub(now.nanos());
    let burst = interval(rate) * u64::from(rate.burst.saturating_sub(1));
    let several = u64::from((rate.per_second / 10).min(rate.burst / 2));
    (ahead > burst).then(|| ahead - burst + interval(rate) * several)
}

/// Nanoseconds between two messages, or two bytes.
fn interval(rate: Rate) -> u64 {
    1_000_000_000 / u64::from(rate.per_second.max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn limits(rate: Option<Rate>, rate_bytes: Option<Rate>) -> Limits {
        Limits { rate, rate_bytes, ..Limits::default() }
    }

    #[test]
    fn bytes_count_as_messages_do() {
        let limits = limits(None, Some(Rate { per_second: 1000, burst: 2000 }));
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let is_paused = |allowance: &Allowance, millis: u64| {
            let now = Moment::of(start + Duration::from_millis(millis));
            allowance.exhausted_for(now, &limits).is_some()
        };
        for _ in 0..4 {
            assert!(!is_paused(&allowance, 0));
            allowance.charge(500, Moment::of(start), &limits);
        }
        assert!(is_paused(&allowance, 0) && !is_paused(&allowance, 1));
        let pause = allowance.exhausted_for(Moment::of(start), &limits).unwrap();
        assert_eq!(pause, Duration::from_millis(101), "a tenth of a second's worth");
    }

    #[test]
    fn one_message_of_any_length_passes_and_is_charged_afterwards() {
        let limits = limits(None, Some(Rate { per_second: 1000, burst: 10 }));
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        assert_eq!(allowance.exhausted_for(Moment::of(start), &limits), None);
        allowance.charge(5_000, Moment::of(start), &limits);
        assert!(allowance.exhausted_for(Moment::of(start), &limits).is_some());
        let paid = start + Duration::from_millis(4_991);
        assert!(
            allowance.exhausted_for(Moment::of(paid - Duration::from_millis(1)), &limits).is_some()
        );
        assert_eq!(allowance.exhausted_for(Moment::of(paid), &limits), None);
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
            allowance.charge(100, Moment::of(start), &limits);
            allowance.charge(100, Moment::of(start), &limits);
            assert_eq!(
                allowance.exhausted_for(Moment::of(start), &limits).is_some(),
                paused,
                "{limits:?}"
            );
        }
    }

    #[test]
    fn a_peer_is_ahead_when_an_eighth_of_a_burst_is_used_up() {
        let limits = limits(None, Some(Rate { per_second: 1000, burst: 8000 }));
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        allowance.charge(1000, Moment::of(start), &limits);
        assert!(!allowance.has_lead(Moment::of(start), &limits));
        allowance.charge(1, Moment::of(start), &limits);
        assert!(allowance.has_lead(Moment::of(start), &limits));
        assert!(!allowance.has_lead(Moment::of(start + Duration::from_millis(1)), &limits));
    }
}
