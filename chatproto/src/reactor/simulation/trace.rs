//! What happened, in order: as a hash, by which two runs are compared, and for one seed as lines to
//! read.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, FoldHasher};

pub(super) struct Trace {
    /// Microseconds since the beginning.
    pub(super) now: u64,
    hasher: FoldHasher<'static>,
    prints: bool,
}

impl Trace {
    pub(super) fn new(prints: bool) -> Self {
        Trace { now: 0, hasher: FixedState::with_seed(0).build_hasher(), prints }
    }

    /// Something happened to a connection, or an event loop.
    pub(super) fn note(&mut self, what: &str, id: usize, bytes: &[u8]) {
        self.hasher.write_u64(self.now);
        self.hasher.write(what.as_bytes());
        self.hasher.write_usize(id);
        self.hasher.write_usize(bytes.len());
        self.hasher.write(bytes);
        if self.prints {
            let text = String::from_utf8_lossy(bytes);
            println!("{:>10.3} ms  {what} {id} {:?}", self.now as f64 / 1000.0, text);
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
