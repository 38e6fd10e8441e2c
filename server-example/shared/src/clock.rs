//! The time of the system's clock, without its surprises. It can be set to any year, so what it says is
//! kept within the years that can be shown. It can be set while the server runs, so what is removed for
//! its age is judged by a clock that cannot be set too.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The clock may be set by so much without being doubted. Programs that keep it right refuse larger
/// steps as well (1,000 s of NTP).
const PLAUSIBLE: Duration = Duration::from_secs(1_000);
/// A pause of this process between two clocks that are read together makes them differ.
const APART: Duration = Duration::from_millis(50);

/// The time now. A clock beyond the year 9999 stands still at its end.
pub fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// The time now, where this machine is.
pub fn here() -> Zoned {
    now().to_zoned(TimeZone::system())
}

/// Unix time in milliseconds, now.
pub fn now_ms() -> i64 {
    now().as_millisecond()
}

/// The nearest time that can be shown.
pub fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or_else(|_| nearest(time > SystemTime::UNIX_EPOCH))
}

/// The same of Unix milliseconds.
pub fn timestamp_of_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_else(|_| nearest(ms > 0))
}

fn nearest(is_late: bool) -> Timestamp {
    if is_late { Timestamp::MAX } else { Timestamp::MIN }
}

/// Compares the system's clock with the time since the machine was started, which nobody can set.
#[derive(Debug)]
pub struct Clock {
    /// The two clocks when they were last believed.
    believed: Reading,
    /// What was found last.
    jump: Option<Jump>,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Unix milliseconds of the clock that can be set.
    pub wall_ms: i64,
    /// Since the machine was started, with the time that it slept.
    pub boot: Duration,
}

/// The clock was set by more than is plausible. In milliseconds, positive if it was set forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump(pub i64);

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// The clock has jumped.
    Jumped(Jump),
    /// It is as it was before the jump.
    Returned,
}

impl Clock {
    /// Believes the clock as it is now.
    pub fn start() -> Self {
        Clock::believing(Reading::now())
    }

    /// A clock that trusts this reading.
    pub fn believing(believed: Reading) -> Self {
        Clock { believed, jump: None }
    }

    /// The time by which things are old, in Unix milliseconds: never later than the time since the start
    /// says. Tells what has changed since the last call.
    pub fn check(&mut self) -> (i64, Option<ClockChange>) {
        self.check_with(Reading::now())
    }

    /// As [`check`](Self::check), with this reading.
    pub fn check_with(&mut self, now: Reading) -> (i64, Option<ClockChange>) {
        let passed = now.boot.saturating_sub(self.believed.boot);
        let passed = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let expected_ms = self.believed.wall_ms.saturating_add(passed);
        let drift = now.wall_ms.saturating_sub(expected_ms);
        if u128::from(drift.unsigned_abs()) <= PLAUSIBLE.as_millis() {
            self.believed = now;
            let returned = self.jump.take().map(|_| ClockChange::Returned);
            return (now.wall_ms, returned);
        }
        let is_new = self
            .jump
            .is_none_or(|Jump(before)| u128::from(before.abs_diff(drift)) > PLAUSIBLE.as_millis());
        self.jump = Some(Jump(drift));
        (now.wall_ms.min(expected_ms), is_new.then_some(ClockChange::Jumped(Jump(drift))))
    }

    /// The jump that lasts, if there is one.
    pub fn jump(&self) -> Option<Jump> {
        self.jump
    }
}

impl Reading {
    /// Reads both clocks.
    pub fn now() -> Self {
        let mut boot = since_boot();
        loop {
            let wall_ms = now_ms();
            let after = since_boot();
            if after.saturating_sub(boot) < APART {
                return Reading { wall_ms, boot };
            }
            boot = after;
        }
    }
}

impl std::fmt::Display for Jump {
    /// How far and where to, such as `400d forward`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.unsigned_abs() / 1_000;
        let direction = if self.0 > 0 { "forward" } else { "back" };
        match seconds {
            0..7_200 => write!(f, "{} min {direction}", seconds / 60),
            7_200..172_800 => write!(f, "{} h {direction}", seconds / 3_600),
            _ => write!(f, "{} days {direction}", seconds / 86_400),
        }
    }
}

#[cfg(unix)]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const BOOT: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const BOOT: ClockId = ClockId::Monotonic;
    let time = clock_gettime(BOOT);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn since_boot() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const START: Reading =
        Reading { wall_ms: 1_800_000_000_000, boot: Duration::from_secs(5_000_000) };

    fn after(seconds: u64, jump_ms: i64) -> Reading {
        let wall_ms = START.wall_ms + 1_000 * seconds as i64 + jump_ms;
        Reading { wall_ms, boot: START.boot + Duration::from_secs(seconds) }
    }

    #[test]
    fn a_jump_is_told_once_and_makes_nothing_older() {
        let mut clock = Clock::believing(START);
        assert_eq!(clock.check_with(after(10, 0)), (after(10, 0).wall_ms, None));
        // for three seconds
        let jumped = Some(ClockChange::Jumped(Jump(400 * DAY_MS)));
        assert_eq!(clock.check_with(after(11, 400 * DAY_MS)), (after(11, 0).wall_ms, jumped));
        assert_eq!(clock.check_with(after(12, 400 * DAY_MS)), (after(12, 0).wall_ms, None));
        assert_eq!(clock.check_with(after(13, 400 * DAY_MS)), (after(13, 0).wall_ms, None));
        assert_eq!(clock.jump(), Some(Jump(400 * DAY_MS)));
        let returned = Some(ClockChange::Returned);
        assert_eq!(clock.check_with(after(14, 0)), (after(14, 0).wall_ms, returned));
        assert_eq!(clock.jump(), None);
        assert_eq!(Jump(400 * DAY_MS).to_string(), "400 days forward");
    }

    #[test]
    fn a_clock_that_was_set_back_is_the_younger_one() {
        let mut clock = Clock::believing(START);
        let back = after(10, -DAY_MS);
        let jumped = Some(ClockChange::Jumped(Jump(-DAY_MS)));
        assert_eq!(clock.check_with(back), (back.wall_ms, jumped));
        // and is not believed to have jumped forward when it is right again
        assert_eq!(
            clock.check_with(after(20, 0)),
            (after(20, 0).wall_ms, Some(ClockChange::Returned))
        );
        assert_eq!(Jump(-DAY_MS).to_string(), "24 h back");
    }

    #[test]
    fn small_steps_and_sleep_are_plausible() {
        let mut clock = Clock::believing(START);
        for number in 1..=100 {
            let now = after(60 * number, 900_000 * number as i64);
            assert_eq!(clock.check_with(now), (now.wall_ms, None));
        }
        // the machine has slept for 400 days
        let now = after(400 * 86_400, 90_000_000);
        assert_eq!(clock.check_with(now), (now.wall_ms, None));
    }

    #[test]
    fn the_clocks_of_this_machine_agree() {
        let mut clock = Clock::start();
        let (now, change) = clock.check();
        assert_eq!(change, None);
        assert!((now_ms() - now).abs() < 60_000);
    }

    #[test]
    fn times_beyond_all_calendars_are_at_their_ends() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(timestamp(far), Timestamp::MAX);
        assert_eq!(timestamp(far).to_zoned(TimeZone::system()).date().year(), 9999);
        for (ms, year) in
            [(i64::MAX, 9999), (253_402_300_800_000, 9999), (i64::MIN, -9999), (0, 1970)]
        {
            assert_eq!(timestamp_of_ms(ms).to_zoned(TimeZone::UTC).date().year(), year);
        }
        if let Some(early) = SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(1 << 40)) {
            assert_eq!(timestamp(early), Timestamp::MIN);
        }
    }
}
