//! Bytes that were read and have to wait: for an effect, or because their sender is too fast.

use zeroize::{Zeroize, Zeroizing};

/// What one turn takes from a stash: as much as a throttled peer may use in a while, and so little
/// that handling it again after an effect costs next to nothing.
const CHUNK: usize = 4 * 1024;

/// `0 <= at <= taken <= bytes.len()`; what is before `at` was used up, what was last taken ends at
/// `taken`.
#[derive(Debug)]
pub(super) struct Stash {
    bytes: Box<[u8]>,
    at: usize,
    taken: usize,
}

impl Stash {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Stash { bytes: bytes.into(), at: 0, taken: 0 }
    }

    /// Joins two pieces. The copy that this takes is wiped.
    pub(super) fn of(pieces: [&[u8]; 2]) -> Self {
        Stash::new(&Zeroizing::new(pieces.concat()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Bytes of heap that it holds.
    pub(super) fn held(&self) -> usize {
        size_of::<Stash>() + self.bytes.len()
    }

    /// Moves the next bytes to the front of `arena`; returns how many.
    pub(super) fn take(&mut self, arena: &mut [u8]) -> usize {
        let rest = &self.bytes[self.at..];
        let length = rest.len().min(CHUNK).min(arena.len());
        arena[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        self.taken = self.at;
        length
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        *self = Stash::of([&self.bytes[self.at..], bytes]);
    }

    /// Puts back the last `count` bytes of what was last taken, whatever was put back of it before.
    pub(super) fn put_back(&mut self, count: usize) {
        self.at = self.taken - count;
    }
}

impl Stash {
    /// Puts back the last `count` bytes of what was last taken, and `text` in front of them.
    pub(super) fn put_before(&mut self, text: &[u8], count: usize) {
        self.put_back(count);
        *self = Stash::of([text, &self.bytes[self.at..]]);
    }
}

/// A password may have been in it.
impl Drop for Stash {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_can_be_put_back_than_before() {
        let mut stash = Stash::new(b"one two three");
        let mut arena = [0; 8];
        assert_eq!(stash.take(&mut arena), 8);
        // the peer is too fast, and then waits for the outcome of something before that
        stash.put_back(1);
        stash.put_back(4);
        assert_eq!(stash.take(&mut arena), 8);
        assert_eq!(&arena, b"two thre");
        assert_eq!(stash.take(&mut arena), 1);
        assert!(stash.is_empty());
    }
}
