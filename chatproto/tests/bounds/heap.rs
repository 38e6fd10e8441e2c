//! An allocator that counts for each thread what is live of what it has allocated: a hub runs on
//! one thread, so tests can run at the same time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // a thread that ends allocates too
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
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

/// How many bytes more are live than when it was made.
pub(crate) struct Heap(isize);

impl Heap {
    pub(crate) fn now() -> Self {
        Heap(LIVE.get())
    }

    pub(crate) fn grown(&self) -> usize {
        usize::try_from(LIVE.get() - self.0).unwrap_or(0)
    }
}

/// How often the allocator was called meanwhile.
pub(crate) fn calls(run: impl FnOnce()) -> usize {
    let before = CALLS.get();
    run();
    CALLS.get() - before
}
