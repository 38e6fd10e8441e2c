//! The time of a call, which is an argument: the hub reads no clock.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::civil::DateTime;

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub monotonic: Instant,
    /// For people: the server's local date and time.
    pub local: LocalTime,
}

impl Now {
    /// The clocks of this machine.
    pub fn system() -> Self {
        // a clock beyond the year 9999 stands still at its end
        let now = std::time::SystemTime::now();
        let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::MAX);
        let local = now.to_zoned(jiff::tz::TimeZone::system()).datetime();
        Now { monotonic: Instant::now(), local: LocalTime(local) }
    }
}

/// A local date and time. It is shown to the second: `2026-07-01 12:30:00`.
///
/// ```
/// use chatproto::hub::LocalTime;
///
/// let time = LocalTime::new((2026, 7, 1), (12, 30, 0)).unwrap();
/// assert_eq!(time.to_string(), "2026-07-01 12:30:00");
/// assert_eq!(LocalTime::new((2026, 2, 29), (12, 30, 0)), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(DateTime);

impl LocalTime {
    /// A time from its year, month and day, and its hour, minute and second. `None` if no calendar of the
    /// years -9999 to 9999 has it.
    pub fn new(
        (year, month, day): (i16, i8, i8),
        (hour, minute, second): (i8, i8, i8),
    ) -> Option<Self> {
        DateTime::new(year, month, day, hour, minute, second, 0).ok().map(LocalTime)
    }

    /// The hour, minute and second as `12:30:00`.
    pub(crate) fn time(self) -> String {
        let LocalTime(local) = self;
        format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second())
    }

    /// The date as `2026-07-01`.
    pub(crate) fn date(self) -> String {
        self.0.date().to_string()
    }

    /// The time after that duration. `None` beyond the year 9999.
    pub(crate) fn after(self, duration: Duration) -> Option<Self> {
        let duration = jiff::SignedDuration::try_from(duration).ok()?;
        self.0.checked_add(duration).ok().map(LocalTime)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.date(), self.time()))
    }
}
