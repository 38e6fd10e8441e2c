//! Latencies: an HDR histogram in nanoseconds, three significant digits, up to an hour.

use hdrhistogram::Histogram;
use serde::Serialize;

const HIGHEST: u64 = 3_600_000_000_000;

/// Latencies of one kind in one span of time.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// The figures of many latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Latencies(Histogram::new_with_bounds(1, HIGHEST, 3).expect("bounds that HDR allows"))
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    pub(crate) fn record_many(&mut self, nanoseconds: u64, count: u64) {
        self.0.saturating_record_n(nanoseconds, count);
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// The latency in µs that this part of all did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        // the end of a bucket may lie beyond the largest value
        self.0.value_at_quantile(part).min(self.0.max()) as f64 / 1e3
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            count: self.0.len(),
            mean_us: if self.is_empty() { 0.0 } else { rounded(self.0.mean() / 1e3) },
            p50_us: self.quantile(0.5),
            p90_us: self.quantile(0.9),
            p99_us: self.quantile(0.99),
            p99_9_us: self.quantile(0.999),
            max_us: self.max(),
        }
    }

    /// Quantiles and latencies in µs, for a plot whose axis is the number of nines: as far as there
    /// are latencies to tell.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        const STEPS: u32 = 8;
        let mut curve = Vec::new();
        if self.is_empty() {
            return curve;
        }
        // halves of what remains: 0, 0.5, 0.75 and so on would be too coarse, so eighths of them
        for step in 0.. {
            let remaining = 0.5_f64.powf(f64::from(step) / f64::from(STEPS) * 2.0);
            if remaining * (self.0.len() as f64) < 1.0 {
                break;
            }
            curve.push((rounded_part(1.0 - remaining), self.quantile(1.0 - remaining)));
        }
        curve
    }

    /// Every bucket with something in it: latency in ns and how often.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }
}

/// Three decimals of microseconds are nanoseconds.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn rounded_part(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_values() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|us| latencies.record(us * 1000));
        let summary = latencies.summary();
        let about = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(about(summary.p50_us, 500.0) && about(summary.p90_us, 900.0), "{summary:?}");
        assert!(about(summary.p99_us, 990.0) && about(summary.p99_9_us, 999.0), "{summary:?}");
        assert!(about(summary.max_us, 1000.0) && about(summary.mean_us, 500.5), "{summary:?}");
        let curve = latencies.curve();
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        assert_eq!(curve[0].0, 0.0);
        assert!(curve.last().unwrap().0 > 0.99);
        assert_eq!(Latencies::new().summary(), Summary::default());
    }

    #[test]
    fn buckets_make_the_same_again() {
        let mut latencies = Latencies::new();
        (1..=50).for_each(|us| latencies.record(us * us * 1000));
        let mut again = Latencies::new();
        latencies.buckets().for_each(|(value, count)| again.record_many(value, count));
        assert_eq!(again.summary().p99_us, latencies.summary().p99_us);
        assert_eq!(again.summary().count, 50);
    }
}
