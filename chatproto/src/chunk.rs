//! Encoded bytes on their way out: shared by the outboxes that have to keep them, counted once, and
//! their buffers used again.

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

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
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

/// Encoded objects that several outboxes may share. Its memory counts from the moment that an
/// outbox has to keep it, once however many do.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) budget: Arc<Budget>,
    charged: AtomicUsize,
}

impl Chunk {
    pub(crate) fn new(bytes: Vec<u8>, budget: &Arc<Budget>) -> Self {
        Chunk { bytes, budget: Arc::clone(budget), charged: AtomicUsize::new(0) }
    }

    /// Counts its memory from now on, and again whenever that has changed.
    pub(crate) fn charge(&self) {
        let now = self.bytes.capacity();
        let before = self.charged.swap(now, Ordering::Relaxed);
        // two outboxes may charge at the same time: each adds what it saw missing
        self.budget.used.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.charged.load(Ordering::Relaxed), Ordering::Relaxed);
        self.budget.take_back(std::mem::take(&mut self.bytes));
    }
}
