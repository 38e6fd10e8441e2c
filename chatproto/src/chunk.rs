//! Encoded bytes on their way out: shared by the outboxes that have to keep them, counted once, and
//! their buffers used again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The outbound memory of all connections of a server: what counts against
/// [`Limits::queue_total`](crate::Limits::queue_total), and buffers that wait to be used again.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: AtomicUsize,
    spare: Mutex<Vec<Vec<u8>>>,
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
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn take_back(&self, mut buffer: Vec<u8>) {
        if (4096..=Self::SPARE_BYTES).contains(&buffer.capacity()) {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < Self::SPARE_MOST {
                buffer.clear();
                spare.push(buffer);
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
        self.budget.used.fetch_sub(*self.charged.get_mut(), Ordering::Relaxed);
        self.budget.take_back(std::mem::take(&mut self.bytes));
    }
}
