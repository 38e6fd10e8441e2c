//! The bytes that a session has to write, in order: the registration, objects, and over WebSocket the session's own
//! frames between them.

use std::collections::VecDeque;

/// Bytes that are written as a whole, or in parts without others between them.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    /// The session's own: the registration and answers to frames. They do not wait for the welcome or the pace.
    is_own: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// Bytes of the front chunk that were written.
    written: usize,
    /// The length of all chunks together, `written` included.
    length: usize,
    /// The last chunk is the close frame.
    has_close: bool,
}

impl Outgoing {
    /// One that begins with the session's own bytes.
    pub(super) fn new(own: Vec<u8>) -> Self {
        let mut outgoing = Outgoing::default();
        outgoing.push_own(own, false);
        outgoing
    }

    pub(super) fn push(&mut self, object: Vec<u8>) {
        debug_assert!(!self.has_close, "a close frame is the last one");
        self.length += object.len();
        self.chunks.push_back(Chunk { bytes: object, is_own: false });
    }

    /// The close frame, behind everything.
    pub(super) fn push_close(&mut self, frame: Vec<u8>) {
        self.push(frame);
        self.has_close = true;
    }

    /// Queues own bytes before the objects. The front object may be on its way already if `may_be_begun`: then
    /// they go behind it.
    pub(super) fn push_own(&mut self, bytes: Vec<u8>, may_be_begun: bool) {
        self.length += bytes.len();
        let own = self.chunks.iter().take_while(|chunk| chunk.is_own).count();
        let begun = usize::from(may_be_begun && !self.chunks.is_empty());
        self.chunks.insert(own.max(begun), Chunk { bytes, is_own: true });
    }

    /// Whether own bytes are queued.
    pub(super) fn has_own(&self) -> bool {
        // they go before objects, but for one that may be begun
        self.chunks.iter().take(2).any(|chunk| chunk.is_own)
    }

    /// Drops the objects that are not begun. The close frame stays.
    pub(super) fn drop_objects(&mut self) {
        let close = if self.has_close { self.chunks.pop_back() } else { None };
        // the front one may be on its way
        self.chunks.truncate(1);
        self.chunks.extend(close);
        self.length = self.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    }

    /// The unwritten rest of the front chunk. `may_begin` says whether an object may be begun.
    pub(super) fn front(&self, may_begin: bool) -> &[u8] {
        match self.chunks.front() {
            Some(front) if self.written > 0 || front.is_own || may_begin => {
                &front.bytes[self.written..]
            }
            _ => &[],
        }
    }

    /// The transport took `count` bytes of the front chunk. True if that was all of it.
    pub(super) fn handle_written(&mut self, count: usize) -> bool {
        let Some(front) = self.chunks.front() else { return false };
        self.written += count;
        let is_done = self.written >= front.bytes.len();
        if is_done {
            self.length -= front.bytes.len();
            self.chunks.pop_front();
            self.written = 0;
            self.has_close &= !self.chunks.is_empty();
        }
        is_done
    }

    /// The unwritten rest of the front chunk, if it is the session's own.
    pub(super) fn own_front(&self) -> &[u8] {
        let front = self.chunks.front().filter(|front| front.is_own);
        front.map_or(&[], |front| &front.bytes[self.written..])
    }

    /// Bytes of heap that its chunks hold.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        self.chunks.iter().map(|chunk| size_of::<Chunk>() + chunk.bytes.capacity()).sum()
    }

    /// How many bytes were not written.
    pub(super) fn bytes(&self) -> usize {
        self.length - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}
