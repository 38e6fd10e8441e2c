//! What threads share things through. `mailbox` and `chunk` name these and no others, so that
//! `tests/interleavings.rs` can compile the same two files over the types of loom, which tries every
//! interleaving.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
