//! What numbers on the command line mean: sizes (`64KiB`), durations (`10ms`), a rate (`100`,
//! `off`) and the addresses to listen on. Each prints in the form in which it is read, so
//! that the help shows defaults as one would type them.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;
use std::time::Duration;

pub use chatproto::address::Address;

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

/// A duration of at most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of threads; `None` is one that suits the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub Option<usize>);

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Threads(None));
        }
        let threads = text.parse().ok().filter(|threads| (1..=256).contains(threads));
        threads
            .map(|threads| Threads(Some(threads)))
            .ok_or("write a number from 1 to 256, or auto".to_owned())
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(threads) => threads.fmt(f),
            None => f.write_str("auto"),
        }
    }
}

/// How long something is kept: at least a second, in units up to years of 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Duration);

/// A number of bytes that is not exceeded, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeOrOff(pub Option<u64>);

/// A moment: a date, with or without a time, here (`2026-07-04`, `2026-07-04T12:30`), or with a place
/// or an offset from UTC (`2026-07-04T12:30:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub jiff::Timestamp);

/// Messages a second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerSecond(pub Option<u32>);

/// The units of [`Size`]. `k` alone is binary, as in most tools; `kB` is what it says.
const SIZE_UNITS: [(&str, usize); 11] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
];

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a size such as 65536, 64k, 64KiB or 1MiB";
        let (number, unit) = split_unit(text);
        let number: usize = number.parse().map_err(|_| EXPECTED)?;
        let unit = unit.to_ascii_lowercase();
        let &(_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        match number.checked_mul(factor) {
            None => Err("this is more than a machine can address"),
            Some(0) => Err("a size is at least one byte"),
            Some(bytes) => Ok(Size(bytes)),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected a duration with its unit, such as 10s, 1.5s, 500ms or 2min";
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "" if number == "0" => 0.0,
            _ => return Err(EXPECTED),
        };
        let seconds = number.parse::<f64>().map_err(|_| EXPECTED)? * factor;
        match Duration::try_from_secs_f64(seconds) {
            Ok(span) if span <= LONGEST => Ok(Span(span)),
            _ => Err("a duration is at most 24h"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for Age {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an age with its unit, such as 90d, 12h, 2w or 1y";
        let (number, unit) = split_unit(text);
        let seconds: u64 = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 60 * 60,
            "d" => DAY,
            "w" => 7 * DAY,
            "y" => 365 * DAY,
            _ => return Err(EXPECTED),
        };
        let number: u64 = number.parse().map_err(|_| EXPECTED)?;
        match number.checked_mul(seconds) {
            Some(0) => Err("an age is at least one second"),
            Some(seconds) if seconds <= 1_000 * 365 * DAY => Ok(Age(Duration::from_secs(seconds))),
            _ => Err("an age is at most 1000y"),
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (unit, factor) in [("d", DAY), ("h", 60 * 60), ("min", 60)] {
            if seconds.is_multiple_of(factor) {
                return write!(f, "{}{unit}", seconds / factor);
            }
        }
        write!(f, "{seconds}s")
    }
}

impl FromStr for SizeOrOff {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(SizeOrOff(None));
        }
        match text.parse::<Size>() {
            Ok(Size(bytes)) => Ok(SizeOrOff(Some(bytes as u64))),
            Err(_) => Err("expected a size such as 500MiB or 10GiB, or off"),
        }
    }
}

impl fmt::Display for SizeOrOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => Size(usize::try_from(bytes).unwrap_or(usize::MAX)).fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(moment) = text.parse() {
            return Ok(Moment(moment));
        }
        text.parse::<jiff::civil::DateTime>()
            .ok()
            .and_then(|here| here.to_zoned(jiff::tz::TimeZone::system()).ok())
            .map(|here| Moment(here.timestamp()))
            .ok_or("expected a date such as 2026-07-04, 2026-07-04T12:30 or 2026-07-04T12:30:00Z")
    }
}

impl FromStr for PerSecond {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(PerSecond(None));
        }
        match text.parse() {
            Ok(0) | Err(_) => {
                Err("expected a number of messages a second from 1 to 4294967295, or off")
            }
            Ok(number) => Ok(PerSecond(Some(number))),
        }
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("off"),
        }
    }
}

/// The addresses to listen on. A name stands for all its addresses that this machine has; with port 0,
/// for the first of them, as each would get a port of its own.
///
/// # Errors
/// The sentence that says which name has no address.
pub fn resolve_to_listen(all: &[Address]) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for listen in all {
        let mut found =
            listen.resolve().map_err(|why| format!("cannot listen on {listen}: {why}"))?;
        if found.len() > 1 {
            // what cannot be bound at all is not this machine's; a port in use is another matter
            let is_ours = |address: &SocketAddr| TcpListener::bind((address.ip(), 0)).is_ok();
            let ours: Vec<_> = found.iter().copied().filter(is_ours).collect();
            found = if ours.is_empty() { found } else { ours };
        }
        if listen.port() == 0 {
            found.truncate(1);
        }
        addresses.extend(found);
    }
    Ok(addresses)
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("65536", 65_536),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("64kB", 64_000),
            ("1MiB", 1_048_576),
            ("2G", 2_147_483_648),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "1.5k",
            "64x",
            "0",
            "0k",
            "64 KiB x",
            "99999999999999999999",
            "99999999999G",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("10s", 10_000),
            ("10ms", 10),
            ("1.5s", 1_500),
            ("2min", 120_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("0", 0),
            ("0s", 0),
            ("500 ms", 500),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1.2.3s", "10 parsecs", "25h", "1e9s", "NaNs"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn ages() {
        for (text, seconds, shown) in [
            ("90d", 90 * DAY, "90d"),
            ("2w", 14 * DAY, "14d"),
            ("1y", 365 * DAY, "365d"),
            ("36h", DAY + DAY / 2, "36h"),
            ("90min", 5_400, "90min"),
            ("61s", 61, "61s"),
        ] {
            let age: Age = text.parse().unwrap();
            assert_eq!(age, Age(Duration::from_secs(seconds)), "{text}");
            assert_eq!(age.to_string(), shown);
            assert_eq!(shown.parse(), Ok(age));
        }
        for text in ["", "90", "d", "0d", "1.5d", "-1d", "5m", "1001y", "99999999999999999999y"] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_without_a_limit() {
        for (text, size) in [("off", SizeOrOff(None)), ("10GiB", SizeOrOff(Some(10 << 30)))] {
            assert_eq!(text.parse(), Ok(size));
            assert_eq!(size.to_string(), text);
        }
        assert!("none".parse::<SizeOrOff>().is_err());
    }

    #[test]
    fn moments() {
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.0.as_second());
        assert_eq!(at("2026-07-04T12:30:00Z"), Ok(1_783_168_200));
        assert_eq!(at("2026-07-04T14:30:00+02:00"), Ok(1_783_168_200));
        let here = jiff::civil::date(2026, 7, 4).at(12, 30, 0, 0);
        let here = here.to_zoned(jiff::tz::TimeZone::system()).unwrap().timestamp().as_second();
        assert_eq!(at("2026-07-04T12:30"), Ok(here));
        assert_eq!(at("2026-07-04 12:30"), Ok(here));
        assert!(at("2026-07-04").is_ok());
        for text in ["", "yesterday", "2026-13-01", "12:30"] {
            assert!(at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!("100".parse(), Ok(PerSecond(Some(100))));
        assert_eq!("off".parse(), Ok(PerSecond(None)));
        assert_eq!("4294967295".parse(), Ok(PerSecond(Some(u32::MAX))));
        for text in ["0", "-1", "1.5", "4294967296", "on", ""] {
            assert!(text.parse::<PerSecond>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for bytes in [1, 1000, 1024, 64 * 1024, 1 << 20, 1 << 30] {
            let size = Size(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        for millis in [0, 1, 10, 1_500, 10_000, 90_000] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
