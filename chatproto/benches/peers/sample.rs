//! What one run gives: its metrics, and the latencies that they are made from.

use std::collections::BTreeMap;
use std::fmt;

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// The server's processor time, user and system, in µs per delivered message.
    Cpu,
    /// Delivered messages a second.
    Rate,
    /// Latencies in µs, from the time that a message was sent, or due, to its delivery.
    P50,
    P99,
    P999,
    /// The server's resident memory in bytes per idle connection.
    Memory,
    /// The server's processor time in µs for a connection that is accepted and registered.
    Accept,
}

impl Metric {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::Cpu => "server CPU, µs per delivery",
            Metric::Rate => "deliveries per second",
            Metric::P50 => "latency, median, µs",
            Metric::P99 => "latency, p99, µs",
            Metric::P999 => "latency, p99.9, µs",
            Metric::Memory => "server RSS, bytes per connection",
            Metric::Accept => "server CPU, µs per accept and registration",
        }
    }

    pub(crate) fn is_better_high(self) -> bool {
        self == Metric::Rate
    }
}

/// The result of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) metrics: BTreeMap<Metric, f64>,
    /// Messages that were sent and did not arrive.
    pub(crate) lost: u64,
    /// How much of one core other programs used meanwhile, on the cores of the run.
    pub(crate) disturbance: f64,
}

/// More disturbance than this may change the result. (The kernel's ticks are a coarse measure.)
const DISTURBED: f64 = 0.1;

impl Sample {
    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbance > DISTURBED
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (metric, value)) in self.metrics.iter().enumerate() {
            let comma = if number > 0 { "; " } else { "" };
            write!(f, "{comma}{} {}", figure(*value), metric.name())?;
        }
        if self.lost > 0 {
            write!(f, "; {} LOST", self.lost)?;
        }
        if self.is_disturbed() {
            let percent = 100.0 * self.disturbance;
            write!(f, "; DISTURBED, other programs used {percent:.0} % of a core")?;
        }
        Ok(())
    }
}

/// A number with three significant digits, or as an integer in groups of three.
pub(crate) fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        let decimals = if value.abs() < 1.0 {
            3
        } else if value.abs() < 10.0 {
            2
        } else {
            1
        };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3);
    let groups = groups.map(|group| String::from_utf8_lossy(group).into_owned());
    let first = (first > 0).then(|| digits[..first].to_owned());
    first.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// Latencies, in buckets that are at most 1/64 too wide.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

/// Buckets for every power of two.
const FINE: u64 = 64;

impl Latencies {
    pub(crate) fn new() -> Self {
        Latencies { buckets: vec![0; (FINE * 64) as usize], count: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        // up to FINE each value has a bucket of its own, beyond it each power of two has FINE
        let power = (nanoseconds / FINE).checked_ilog2().map_or(0, u64::from);
        let bucket = power * FINE + (nanoseconds >> power);
        self.buckets[bucket as usize] += 1;
        self.count += 1;
    }

    /// The latency in µs that so much of all did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = (part * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })? as u64;
        // values in bucket: power * FINE + (FINE to 2 FINE - 1), or the first FINE
        let power = (bucket / FINE).saturating_sub(1);
        let highest = ((bucket - power * FINE + 1) << power) - 1;
        Some(highest as f64 / 1000.0)
    }
}
