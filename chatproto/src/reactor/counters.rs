//! Counters of an event loop. A loop counts in plain numbers, and publishes them once in each turn. Any thread
//! reads the sums.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Metrics;

/// The counters of each loop, by position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    Accepted,
    BytesReceived,
    MessagesReceived,
    InvalidMessages,
    RatePauses,
    Deliveries,
    BytesSent,
    Writes,
    Missed,
    SlowReaders,
    Turns,
    Batches,
    Work,
}

const COUNT: usize = Counter::Work as usize + 1;

/// The counts of one loop since it began.
#[derive(Debug, Default)]
pub(super) struct Tally([u64; COUNT]);

impl Tally {
    #[inline]
    pub(super) fn add(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] += count;
    }
}

/// The published counters of one loop. Only that loop writes them. (128 bytes apart, so that no loop slows
/// another one down.)
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters([AtomicU64; COUNT]);

impl Counters {
    pub(super) fn publish(&self, tally: &Tally) {
        for (published, &count) in self.0.iter().zip(&tally.0) {
            published.store(count, Ordering::Relaxed);
        }
    }
}

/// Fills in the sums over all loops.
pub(super) fn sum(loops: &[Counters], metrics: &mut Metrics) {
    let of = |counter: Counter| {
        loops.iter().map(|counters| counters.0[counter as usize].load(Ordering::Relaxed)).sum()
    };
    metrics.accepted = of(Counter::Accepted);
    metrics.bytes_received = of(Counter::BytesReceived);
    metrics.messages_received = of(Counter::MessagesReceived);
    metrics.invalid_messages = of(Counter::InvalidMessages);
    metrics.rate_pauses = of(Counter::RatePauses);
    metrics.deliveries = of(Counter::Deliveries);
    metrics.bytes_sent = of(Counter::BytesSent);
    metrics.writes = of(Counter::Writes);
    metrics.missed = of(Counter::Missed);
    metrics.slow_readers = of(Counter::SlowReaders);
    metrics.turns = of(Counter::Turns);
    metrics.batches = of(Counter::Batches);
    metrics.work = of(Counter::Work);
}
