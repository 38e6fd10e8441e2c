//! When memory is given back that more needed than are left: all but what a collection has that
//! grew to what is in use. A large one gives it back only if less than a quarter is in use, so that
//! whoever comes and goes does not pay for moving the rest each time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::{BuildHasher, Hash};

use hashbrown::HashMap;

/// So few are moved in microseconds.
const FEW: usize = 1024;

/// Whether so little of the room is in use that some of it should be given back.
pub(crate) fn is_sparse(in_use: usize, capacity: usize) -> bool {
    let share = if capacity <= FEW { 2 } else { 4 };
    in_use <= capacity / share
}

/// A collection that grows by itself, and can give room back.
pub(crate) trait GiveBack {
    /// Gives back the room that is not in use, if that is most of it.
    fn give_back(&mut self);
}

macro_rules! give_back {
    ($($collection:ty, [$($bounds:tt)*], $grown:expr;)*) => {
        $(impl<$($bounds)*> GiveBack for $collection {
            fn give_back(&mut self) {
                if is_sparse(self.len(), self.capacity()) {
                    self.shrink_to($grown(self.len()));
                }
            }
        })*
    };
}

// a table rounds up by itself
give_back! {
    Vec<T>, [T], usize::next_power_of_two;
    VecDeque<T>, [T], usize::next_power_of_two;
    BinaryHeap<T>, [T: Ord], usize::next_power_of_two;
    HashMap<K, V, S>, [K: Eq + Hash, V, S: BuildHasher], std::convert::identity;
}

/// The same for a table whose slots keep their numbers, with the numbers of those that are free: what
/// is behind the last one in use goes.
pub(crate) fn give_back_slots<T>(
    slots: &mut Vec<T>,
    free: &mut BinaryHeap<Reverse<u32>>,
    is_free: impl Fn(&T) -> bool,
) {
    if is_sparse(slots.len() - free.len(), slots.capacity()) {
        let before = slots.len();
        while slots.pop_if(|slot| is_free(slot)).is_some() {}
        if slots.len() < before {
            free.retain(|&Reverse(slot)| (slot as usize) < slots.len());
        }
        slots.give_back();
    }
    free.give_back();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_when_most_of_it_is_empty() {
        let mut many: Vec<u32> = (0..4096).collect();
        many.truncate(1025);
        many.give_back();
        assert!(many.capacity() >= 4096, "more than a quarter is in use");
        many.truncate(1024);
        many.give_back();
        assert_eq!(many.capacity(), 1024);
        many.truncate(513);
        many.give_back();
        assert_eq!(many.capacity(), 1024, "no less would do");
        many.truncate(512);
        many.give_back();
        assert_eq!(many.capacity(), 512);
        many.clear();
        many.give_back();
        assert!(many.capacity() <= 1, "{}", many.capacity());
    }

    #[test]
    fn a_table_keeps_what_one_has_that_grew_to_its_size() {
        // one by one: told how many come, a table makes room for more
        fn grown(keys: u32) -> HashMap<u32, (), foldhash::quality::FixedState> {
            let mut map = HashMap::with_hasher(foldhash::quality::FixedState::default());
            for key in 0..keys {
                map.insert(key, ());
            }
            map
        }
        let mut many = grown(5_000);
        many.retain(|&key, ()| key < 50);
        many.give_back();
        assert_eq!(many.capacity(), grown(50).capacity());
    }
}
