//! A moment: a point in time in half the size of an [`Instant`], because each connection has several.

use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A moment, in nanoseconds since one that is before any that counts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(NonZeroU64);

/// The time of the first call, less a day.
static EPOCH: OnceLock<Instant> = OnceLock::new();

impl Moment {
    pub(super) fn of(time: Instant) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let epoch = *EPOCH.get_or_init(|| time.checked_sub(DAY).unwrap_or(time));
        // five hundred years fit
        let nanos = time.saturating_duration_since(epoch).as_nanos() as u64;
        Moment(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN))
    }

    pub(super) fn nanos(self) -> u64 {
        self.0.get()
    }

    pub(super) fn instant(self) -> Instant {
        // there is an epoch since `Moment::of`
        let epoch = EPOCH.get().copied().unwrap_or_else(Instant::now);
        epoch + Duration::from_nanos(self.nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_time_that_it_was_made_of() {
        let now = Instant::now();
        for millis in [0, 1, 1_000, 100_000_000] {
            let time = now + Duration::from_millis(millis);
            assert_eq!(Moment::of(time).instant(), time);
        }
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }
}
