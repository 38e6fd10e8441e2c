//! A page of metric families, written by `prometheus-client`. A family is a function call here, so that
//! [`families`](super::families) reads as a list.

use std::fmt;
use std::time::Duration;

use chatproto::metrics::Durations;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// A metric family: its name without the prefix, the unit and the suffix of its type, and what it tells.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<&'static Unit>,
}

impl Family {
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Family { name, help, unit: None }
    }

    pub(crate) const fn bytes(name: &'static str, help: &'static str) -> Self {
        Family { unit: Some(&Unit::Bytes), ..Family::new(name, help) }
    }

    pub(crate) const fn seconds(name: &'static str, help: &'static str) -> Self {
        Family { unit: Some(&Unit::Seconds), ..Family::new(name, help) }
    }
}

/// A label: its name, and one of a fixed set of values.
pub(crate) type Label = (&'static str, &'static str);

/// Writes families one after the other.
pub(crate) struct Page<'a>(pub(crate) DescriptorEncoder<'a>);

impl Page<'_> {
    pub(crate) fn counter(&mut self, family: Family, count: u64) -> fmt::Result {
        let mut encoder = self.begin(&family, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    pub(crate) fn counter_of_time(&mut self, family: Family, time: Duration) -> fmt::Result {
        self.counter_of_seconds(family, time.as_secs_f64())
    }

    pub(crate) fn counter_of_seconds(&mut self, family: Family, seconds: f64) -> fmt::Result {
        let mut encoder = self.begin(&family, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&seconds, None)
    }

    pub(crate) fn counters<const N: usize>(
        &mut self,
        family: Family,
        counts: impl IntoIterator<Item = ([Label; N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(&family, MetricType::Counter)?;
        counts.into_iter().try_for_each(|(labels, count)| {
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)
        })
    }

    pub(crate) fn gauge(&mut self, family: Family, value: u64) -> fmt::Result {
        self.begin(&family, MetricType::Gauge)?.encode_gauge(&signed(value))
    }

    pub(crate) fn gauge_of_seconds(&mut self, family: Family, seconds: f64) -> fmt::Result {
        self.begin(&family, MetricType::Gauge)?.encode_gauge(&seconds)
    }

    pub(crate) fn gauges<const N: usize>(
        &mut self,
        family: Family,
        values: impl IntoIterator<Item = ([Label; N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(&family, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| {
            encoder.encode_family(&labels)?.encode_gauge(&signed(value))
        })
    }

    pub(crate) fn info<const N: usize>(
        &mut self,
        family: Family,
        labels: [Label; N],
    ) -> fmt::Result {
        self.begin(&family, MetricType::Info)?.encode_info(&labels)
    }

    /// A counter of time for each event loop.
    pub(crate) fn times_by_loop(&mut self, family: Family, loops: &[Duration]) -> fmt::Result {
        let mut encoder = self.begin(&family, MetricType::Counter)?;
        loops.iter().enumerate().try_for_each(|(number, time)| {
            let labels = [("loop", number)];
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&time.as_secs_f64(), None)
        })
    }

    /// A histogram for each event loop.
    pub(crate) fn histograms_by_loop(
        &mut self,
        family: Family,
        loops: &[Durations],
    ) -> fmt::Result {
        let mut encoder = self.begin(&family, MetricType::Histogram)?;
        loops.iter().enumerate().try_for_each(|(number, durations)| {
            // the encoder writes infinity as +Inf
            let bound = |bound: Option<Duration>| bound.map_or(f64::INFINITY, |b| b.as_secs_f64());
            let classes: Vec<_> =
                durations.iter().map(|(most, count)| (bound(most), count)).collect();
            let (sum, count) = (durations.sum().as_secs_f64(), durations.count());
            let labels = [("loop", number)];
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_histogram::<NoLabelSet>(sum, count, &classes, None)
        })
    }

    fn begin<'s>(
        &'s mut self,
        family: &'s Family,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(family.name, family.help, family.unit, kind)
    }
}

/// A gauge has a sign. Absent bounds, such as `usize::MAX`, become the largest value.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
