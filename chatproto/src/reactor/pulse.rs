//! Whether the event loops complete turns: for health checks, from any thread.

use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use super::counters::Counters;

/// How long to wait between two looks at the counters, at first and at most.
const FIRST_LOOK: Duration = Duration::from_micros(100);
const LAST_LOOK: Duration = Duration::from_millis(20);

impl Shared {
    /// The loops that complete no turn within this time, though they are woken.
    pub(crate) fn stalled_loops(&self, within: Duration) -> Vec<usize> {
        let begun = Instant::now();
        let turns: Vec<u64> = self.counters.iter().map(Counters::turns).collect();
        let mut stalled: Vec<usize> = (0..turns.len()).collect();
        let mut pause = FIRST_LOOK;
        loop {
            if self.is_stopping() {
                return Vec::new();
            }
            for &lane in &stalled {
                // again each time, as it may have been about to sleep; a loop that cannot be woken is gone
                let _ = self.lanes[lane].wake();
            }
            stalled.retain(|&lane| self.counters[lane].turns() == turns[lane]);
            let left = within.saturating_sub(begun.elapsed());
            if stalled.is_empty() || left.is_zero() {
                return stalled;
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(LAST_LOOK);
        }
    }
}
