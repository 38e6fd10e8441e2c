//! Counters of an event loop. A loop counts in plain numbers, and publishes them once in each turn. Any thread
//! reads the sums.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counts::Durations;
use crate::decode::ErrorClass;
use crate::metrics::Metrics;

/// The counters of each loop, by position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    Accepted,
    BytesReceived,
    MessagesReceived,
    FramingErrors,
    SchemaErrors,
    AcceptPauses,
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

impl Counter {
    pub(super) fn of_error(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Framing => Counter::FramingErrors,
            ErrorClass::Schema => Counter::SchemaErrors,
        }
    }
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
pub(super) struct Counters {
    counts: [AtomicU64; COUNT],
    turn_classes: [AtomicU64; Durations::CLASSES],
    turn_nanos: AtomicU64,
    /// Nanoseconds for which the loop has held the hub's lock.
    lock_nanos: AtomicU64,
}

impl Counters {
    pub(super) fn publish(&self, tally: &Tally) {
        for (published, &count) in self.counts.iter().zip(&tally.0) {
            published.store(count, Ordering::Relaxed);
        }
    }

    /// Only the loop itself may call this: nobody else writes meanwhile.
    pub(super) fn count_turn(&self, duration: Duration) {
        add(&self.turn_classes[Durations::class_of(duration)], 1);
        add(&self.turn_nanos, duration.as_nanos() as u64);
    }

    /// The loop has held the hub's lock for this time. The same holds for this.
    pub(super) fn count_held(&self, duration: Duration) {
        add(&self.lock_nanos, duration.as_nanos() as u64);
    }

    pub(super) fn lock_held(&self) -> Duration {
        Duration::from_nanos(self.lock_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn turns(&self) -> u64 {
        self.of(Counter::Turns)
    }

    fn of(&self, counter: Counter) -> u64 {
        self.counts[counter as usize].load(Ordering::Relaxed)
    }

    fn turn_times(&self) -> Durations {
        Durations {
            classes: self.turn_classes.each_ref().map(|count| count.load(Ordering::Relaxed)),
            nanos: self.turn_nanos.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a counter that only the caller writes.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// Fills in the sums over all loops, and the times of each.
pub(super) fn sum(loops: &[Counters], metrics: &mut Metrics) {
    let of = |counter: Counter| loops.iter().map(|counters| counters.of(counter)).sum();
    metrics.accepted = of(Counter::Accepted);
    metrics.bytes_received = of(Counter::BytesReceived);
    metrics.messages_received = of(Counter::MessagesReceived);
    metrics.errors.set(ErrorClass::Framing, of(Counter::FramingErrors));
    metrics.errors.set(ErrorClass::Schema, of(Counter::SchemaErrors));
    metrics.invalid_messages = metrics.errors.sum();
    metrics.accept_pauses = of(Counter::AcceptPauses);
    metrics.rate_pauses = of(Counter::RatePauses);
    metrics.deliveries = of(Counter::Deliveries);
    metrics.bytes_sent = of(Counter::BytesSent);
    metrics.writes = of(Counter::Writes);
    metrics.missed = of(Counter::Missed);
    metrics.slow_readers = of(Counter::SlowReaders);
    metrics.turns = of(Counter::Turns);
    metrics.batches = of(Counter::Batches);
    metrics.work = of(Counter::Work);
    metrics.turn_times = loops.iter().map(Counters::turn_times).collect();
    metrics.lock_held = loops.iter().map(Counters::lock_held).collect();
}
