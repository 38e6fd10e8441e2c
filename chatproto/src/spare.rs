//! When memory is given back that more needed than are left: only if less than a quarter of it is
//! in use, and then to twice what is. So whoever comes and goes does not pay for it each time.

use std::collections::{BinaryHeap, VecDeque};
use std::hash::{BuildHasher, Hash};

use hashbrown::HashMap;

/// Whether so little of the room is in use that some of it should be given back.
pub(crate) fn is_sparse(in_use: usize, capacity: usize) -> bool {
    in_use < capacity / 4
}

/// A collection that grows by itself, and can give room back.
pub(crate) trait GiveBack {
    /// Gives back the room that is not in use, if that is most of it.
    fn give_back(&mut self);
}

macro_rules! give_back {
    ($($collection:ty, [$($bounds:tt)*];)*) => {
        $(impl<$($bounds)*> GiveBack for $collection {
            fn give_back(&mut self) {
                if is_sparse(self.len(), self.capacity()) {
                    self.shrink_to(2 * self.len());
                }
            }
        })*
    };
}

give_back! {
    Vec<T>, [T];
    VecDeque<T>, [T];
    BinaryHeap<T>, [T: Ord];
    HashMap<K, V, S>, [K: Eq + Hash, V, S: BuildHasher];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_when_most_of_it_is_empty() {
        let mut many: Vec<u32> = (0..1024).collect();
        many.truncate(256);
        many.give_back();
        assert!(many.capacity() >= 1024, "a quarter is in use");
        many.truncate(255);
        many.give_back();
        assert!((510..600).contains(&many.capacity()), "{}", many.capacity());
        many.clear();
        many.give_back();
        assert_eq!(many.capacity(), 0);
    }
}
