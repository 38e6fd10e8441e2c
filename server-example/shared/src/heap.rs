//! An allocator for tests. It counts the live bytes that each thread has allocated, so that tests can
//! run at the same time. Each table with a bound in bytes has a test that fills it and compares its
//! heap with the bytes it accounts for.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // a thread that ends allocates too
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: the system's allocator does all of it, on the caller's promises
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Measures the growth of this thread's live bytes since it was made.
pub(crate) struct Heap(isize);

impl Heap {
    pub(crate) fn now() -> Self {
        Heap(LIVE.get())
    }

    pub(crate) fn grown(&self) -> usize {
        usize::try_from(LIVE.get() - self.0).unwrap_or(0)
    }

    /// Fails if the growth exceeds the accounted bytes by more than a tenth, or is below an eighth of
    /// them.
    #[track_caller]
    pub(crate) fn assert_within(&self, bytes: usize, what: &str) {
        let grown = self.grown();
        assert!(grown <= bytes + bytes / 10, "{what}: {grown} bytes of heap, {bytes} accounted");
        assert!(grown >= bytes / 8, "{what}: only {grown} bytes of heap, {bytes} accounted");
    }
}

#[test]
fn what_a_thread_allocates_and_frees_is_counted() {
    let heap = Heap::now();
    let bytes = vec![0_u8; 1 << 20];
    let grown = heap.grown();
    assert!((1 << 20..1 << 21).contains(&grown), "{grown}");
    drop(bytes);
    assert!(heap.grown() < 1 << 16, "{}", heap.grown());
}
