//! Numbers of a flow that a receiver was passed over with: the ones that may still come late.

use std::collections::BTreeMap;
use std::ops::Range;

/// One receiver of one flow: its number, and the place in the audience.
pub(super) type Spot = (u32, u32);

/// Numbers that were passed over: ranges below the highest that came, by where they begin, with the
/// number behind the last. There is nothing in it while everything comes in order.
#[derive(Debug, Default)]
pub(super) struct Gaps(BTreeMap<(Spot, u32), u32>);

impl Gaps {
    /// Notes that these were passed over.
    pub(super) fn open(&mut self, spot: Spot, numbers: Range<u32>) {
        self.0.insert((spot, numbers.start), numbers.end);
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a number out of the range that it is in; false if it is in none. Where a range may not be
    /// split, what is behind the number is forgotten.
    pub(super) fn fill(&mut self, spot: Spot, number: u32, may_split: bool) -> bool {
        let Some((&(_, first), &end)) = self.0.range((spot, 0)..=(spot, number)).next_back() else {
            return false;
        };
        if number >= end {
            return false;
        }
        self.0.remove(&(spot, first));
        if first < number {
            self.0.insert((spot, first), number);
        }
        if number + 1 < end && (may_split || first == number) {
            self.0.insert((spot, number + 1), end);
        }
        true
    }

    /// How many numbers are in the ranges.
    pub(super) fn count(&self, spot: Spot) -> u64 {
        let ranges = self.0.range((spot, 0)..=(spot, u32::MAX));
        ranges.map(|(&(_, first), &end)| u64::from(end - first)).sum()
    }

    pub(super) fn holds(&self, spot: Spot, number: u32) -> bool {
        let before = self.0.range((spot, 0)..=(spot, number)).next_back();
        before.is_some_and(|(_, &end)| number < end)
    }
}
