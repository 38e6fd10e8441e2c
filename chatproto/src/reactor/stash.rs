//! Bytes that were read and have to wait: for an effect, or because their sender is too fast.

/// What one turn takes from a stash: as much as a throttled peer may use in a while, and so little
/// that handling it again after an effect costs next to nothing.
const CHUNK: usize = 4 * 1024;

/// `0 <= at <= bytes.len()`; what is before `at` was taken.
#[derive(Debug)]
pub(super) struct Stash {
    bytes: Box<[u8]>,
    at: usize,
}

impl Stash {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Stash { bytes: bytes.into(), at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Moves the next bytes to the front of `arena`; returns how many.
    pub(super) fn take(&mut self, arena: &mut [u8]) -> usize {
        let rest = &self.bytes[self.at..];
        let length = rest.len().min(CHUNK).min(arena.len());
        arena[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        length
    }

    /// Puts back the last `count` bytes that were taken.
    pub(super) fn put_back(&mut self, count: usize) {
        self.at -= count;
    }
}
