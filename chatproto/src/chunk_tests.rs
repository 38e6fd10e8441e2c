//! Tests of the buffers that are used again. (Apart from their file, which is compiled over other types
//! in `tests/interleavings.rs` too.)

use std::sync::Arc;

use crate::chunk::{Budget, Chunk};

/// How many buffers wait to be used again.
fn spare(budget: &Budget) -> usize {
    std::iter::repeat_with(|| budget.buffer()).take_while(|buffer| buffer.capacity() > 0).count()
}

fn give_back(buffers: impl IntoIterator<Item = Vec<u8>>, budget: &Arc<Budget>) {
    for mut buffer in buffers {
        buffer.push(b'x');
        drop(Chunk::new(buffer, budget));
    }
}

#[test]
fn buffers_that_nobody_takes_are_given_back() {
    let budget = Arc::default();
    give_back((0..4).map(|_| Vec::with_capacity(4096)), &budget);
    assert!(budget.shrink(), "they were there for less than a time");
    let two = [budget.buffer(), budget.buffer()];
    give_back(two, &budget);
    assert!(budget.shrink());
    assert_eq!(spare(&budget), 2, "two were enough");
    assert!(!budget.shrink());
}
