//! The time of a call, which is an argument: the hub reads no clock.

use std::time::Instant;

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub monotonic: Instant,
    /// For people: the server's local date and time.
    pub local: jiff::civil::DateTime,
}

impl Now {
    /// The clocks of this machine.
    pub fn system() -> Self {
        // a clock beyond the year 9999 stands still at its end
        let now = std::time::SystemTime::now();
        let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::MAX);
        let local = now.to_zoned(jiff::tz::TimeZone::system()).datetime();
        Now { monotonic: Instant::now(), local }
    }
}
