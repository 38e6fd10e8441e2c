//! Counts by kind, and durations by class. Both have a fixed size, so a count costs one addition. The kinds
//! are defined beside what they describe. This file has no locks and no atomics.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::decode::ErrorClass;

/// The most kinds of one type.
pub(crate) const KINDS_MOST: usize = 16;

/// A fixed set of kinds that are counted apart. Only types of this crate are.
pub trait Kind: Copy + sealed::Sealed + 'static {
    /// All kinds, in a fixed order. Later versions append more.
    const ALL: &'static [Self];

    /// A short text for this kind, such as `per_address`: small letters and underscores.
    fn label(self) -> &'static str;

    /// The position in [`Kind::ALL`].
    #[doc(hidden)]
    fn index(self) -> usize;
}

pub(crate) mod sealed {
    /// Keeps other crates from adding kinds.
    pub trait Sealed {}
}

/// A number for each kind.
///
/// ```
/// use chatproto::metrics::{CountBy, Kind, Transport};
///
/// let counts = CountBy::<Transport>::default();
/// assert_eq!(counts.get(Transport::Text), 0);
/// let labels: Vec<_> = counts.iter().map(|(transport, _)| transport.label()).collect();
/// assert_eq!(labels, ["tcp", "tls", "ws", "wss"]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CountBy<K> {
    counts: [u64; KINDS_MOST],
    kind: PhantomData<K>,
}

impl<K: Kind> CountBy<K> {
    /// The number of this kind.
    pub fn get(&self, kind: K) -> u64 {
        self.counts[kind.index()]
    }

    /// Each kind with its number, in the order of [`Kind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + '_ {
        K::ALL.iter().zip(self.counts).map(|(&kind, count)| (kind, count))
    }

    /// The sum over all kinds.
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn add(&mut self, kind: K) {
        self.counts[kind.index()] += 1;
    }

    /// Takes off one that was added.
    pub(crate) fn subtract(&mut self, kind: K) {
        let count = &mut self.counts[kind.index()];
        debug_assert!(*count > 0, "{} was never added", kind.label());
        *count = count.saturating_sub(1);
    }

    pub(crate) fn set(&mut self, kind: K, count: u64) {
        self.counts[kind.index()] = count;
    }
}

impl<K> Default for CountBy<K> {
    fn default() -> Self {
        CountBy { counts: [0; KINDS_MOST], kind: PhantomData }
    }
}

impl<K: Kind> fmt::Debug for CountBy<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(kind, count)| (kind.label(), count))).finish()
    }
}

impl sealed::Sealed for ErrorClass {}

impl Kind for ErrorClass {
    const ALL: &'static [Self] = &[ErrorClass::Framing, ErrorClass::Schema];

    fn label(self) -> &'static str {
        match self {
            ErrorClass::Framing => "framing",
            ErrorClass::Schema => "schema",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// How many durations there were, in classes with fixed bounds, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// The numbers of durations up to each bound and above the previous one, then of longer ones.
    pub(crate) classes: [u64; Durations::CLASSES],
    pub(crate) nanos: u64,
}

impl Durations {
    /// The bounds of the classes.
    pub const BOUNDS: [Duration; 11] = [
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(100),
        Duration::from_secs(1),
    ];

    pub(crate) const CLASSES: usize = Self::BOUNDS.len() + 1;

    /// The position of the class of a duration.
    pub(crate) fn class_of(duration: Duration) -> usize {
        Self::BOUNDS.iter().filter(|&&bound| duration > bound).count()
    }

    /// Each class: its upper bound, which is `None` for the longest durations, and how many durations it has.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = Self::BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.classes)
    }

    /// How many durations there were.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// The sum of the durations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Departure, RefusalReason, Transport};

    fn check<K: Kind>() {
        assert!(K::ALL.len() <= KINDS_MOST, "raise KINDS_MOST");
        let mut counts = CountBy::<K>::default();
        for (index, &kind) in K::ALL.iter().enumerate() {
            assert_eq!(kind.index(), index, "{}", kind.label());
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(kind.label().bytes().all(is_plain), "{}", kind.label());
            counts.add(kind);
            assert_eq!(counts.get(kind), 1, "another kind has the place of {}", kind.label());
        }
        let labels: std::collections::BTreeSet<_> =
            K::ALL.iter().map(|kind| kind.label()).collect();
        assert_eq!(labels.len(), K::ALL.len());
    }

    #[test]
    fn each_kind_has_a_place_and_a_label_of_its_own() {
        check::<Transport>();
        check::<RefusalReason>();
        check::<Departure>();
        check::<ErrorClass>();
    }

    #[test]
    fn a_duration_is_in_the_first_class_whose_bound_it_does_not_exceed() {
        let class_of = |nanos| Durations::class_of(Duration::from_nanos(nanos));
        assert_eq!([0, 50_000, 50_001, 100_000].map(class_of), [0, 0, 1, 1]);
        assert_eq!([1_000_000_000, 1_000_000_001].map(class_of), [10, 11]);
        assert!(Durations::BOUNDS.is_sorted());
    }
}
