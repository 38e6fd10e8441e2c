//! Encoded bytes on their way out: shared by the outboxes that queue them, counted once, and their
//! buffers used again.

use std::sync::PoisonError;

use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering};

/// The outbound memory of all connections of a server: what counts against
/// [`Limits::queue_total`](crate::Limits::queue_total), and buffers that wait to be used again.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: AtomicUsize,
    spare: Mutex<Spare>,
}

/// Buffers that wait to be used again.
#[derive(Debug, Default)]
struct Spare {
    /// The one that was used last is at the end.
    buffers: Vec<Vec<u8>>,
    /// How many of them were not needed since [`Budget::shrink`]: `unused <= buffers.len()`.
    unused: usize,
}

impl Budget {
    /// Buffers beyond these are given back to the system.
    const SPARE_MOST: usize = 16;
    const SPARE_BYTES: usize = 1024 * 1024;

    /// Bytes of heap that outboxes own, or that are on their way to one.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts `now` bytes where `before` were counted until now.
    pub(crate) fn recount(&self, before: usize, now: usize) {
        self.used.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// An empty buffer, if possible one that was used before: fresh memory costs a page fault for
    /// every 4 KiB.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let mut spare = self.spare();
        let buffer = spare.buffers.pop().unwrap_or_default();
        spare.unused = spare.unused.min(spare.buffers.len());
        buffer
    }

    /// Gives back the buffers that were not needed since the last call. Whether there are others.
    pub(crate) fn shrink(&self) -> bool {
        let mut spare = self.spare();
        let unused = spare.unused;
        spare.buffers.drain(..unused);
        spare.unused = spare.buffers.len();
        spare.unused > 0
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_back(&self, mut buffer: Vec<u8>) {
        if (4096..=Self::SPARE_BYTES).contains(&buffer.capacity()) {
            let mut spare = self.spare();
            if spare.buffers.len() < Self::SPARE_MOST {
                buffer.clear();
                spare.buffers.push(buffer);
            }
        }
    }
}

/// Encoded objects that several outboxes may share. Its memory counts as long as it exists, once
/// however many outboxes share it.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) budget: Arc<Budget>,
    charged: usize,
}

impl Chunk {
    /// Bytes of a connection's final message that are outside the budget.
    pub(crate) const LAST: usize = 512;

    pub(crate) fn new(bytes: Vec<u8>, budget: &Arc<Budget>) -> Self {
        let mut chunk = Chunk { bytes, budget: Arc::clone(budget), charged: 0 };
        chunk.recount();
        chunk
    }

    /// The final message of a connection. Up to [`Chunk::LAST`] bytes of it are outside the budget: it
    /// must be possible to say that the budget is used up.
    pub(crate) fn last(mut bytes: Vec<u8>, budget: &Arc<Budget>) -> Self {
        bytes.shrink_to_fit();
        let charged = bytes.capacity().saturating_sub(Self::LAST);
        budget.recount(0, charged);
        Chunk { bytes, budget: Arc::clone(budget), charged }
    }

    /// Appends bytes, and counts what that takes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.recount();
    }

    fn recount(&mut self) {
        let now = self.bytes.capacity();
        self.budget.recount(std::mem::replace(&mut self.charged, now), now);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.budget.recount(self.charged, 0);
        self.budget.take_back(std::mem::take(&mut self.bytes));
    }
}
