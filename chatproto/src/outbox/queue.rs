//! The queue of an outbox: ranges of shared chunks, and the heap of the queue itself.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::chunk::{Budget, Chunk};

/// A range of a chunk that starts and ends at objects. In the front segment, the start of the first
/// object may have been written.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) chunk: Arc<Chunk>,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) objects: u32,
}

impl Segment {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.chunk.bytes[self.start as usize..self.end as usize]
    }

    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it keeps much more memory than its own.
    pub(super) fn is_small_part(&self) -> bool {
        self.len() < self.chunk.bytes.capacity() / 4
    }

    /// Its objects, each with its line feed.
    pub(super) fn objects(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (object, behind) = rest.split_at(end);
            rest = behind;
            (!object.is_empty()).then_some(object)
        })
    }

    /// Length of the unwritten part of the first object.
    pub(super) fn first_object(&self) -> usize {
        memchr::memchr(b'\n', self.bytes()).map_or(self.len(), |at| at + 1)
    }
}

impl AsRef<[u8]> for Segment {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// A queue that allocates nothing for its first element.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) first: Option<Segment>,
    /// Boxed, because most connections have none, and each connection has this field.
    pub(super) rest: Option<Box<Rest>>,
}

/// The further elements of a queue. Their memory counts against the budget.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) segments: VecDeque<Segment>,
    budget: Arc<Budget>,
    charged: usize,
}

impl Rest {
    pub(super) fn new(budget: &Arc<Budget>) -> Box<Self> {
        Box::new(Rest { segments: VecDeque::new(), budget: Arc::clone(budget), charged: 0 })
    }

    pub(super) fn recount(&mut self) {
        let now = size_of::<Rest>() + self.segments.capacity() * size_of::<Segment>();
        if now != self.charged {
            self.budget.recount(std::mem::replace(&mut self.charged, now), now);
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.budget.recount(self.charged, 0);
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn push_back(&mut self, segment: Segment) {
        if self.first.is_none() {
            self.first = Some(segment);
        } else {
            let rest = self.rest.get_or_insert_with(|| Rest::new(&segment.chunk.budget));
            rest.segments.push_back(segment);
            rest.recount();
        }
    }

    pub(super) fn push_front(&mut self, segment: Segment) {
        if let Some(second) = self.first.replace(segment) {
            let rest = self.rest.get_or_insert_with(|| Rest::new(&second.chunk.budget));
            rest.segments.push_front(second);
            rest.recount();
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Segment> {
        let front = self.first.take();
        if let Some(rest) = &mut self.rest {
            self.first = rest.segments.pop_front();
            self.forget_empty_rest();
        }
        front
    }

    pub(super) fn pop_back(&mut self) -> Option<Segment> {
        let back = self.rest.as_mut().and_then(|rest| rest.segments.pop_back());
        self.forget_empty_rest();
        back.or_else(|| self.first.take())
    }

    pub(super) fn forget_empty_rest(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| rest.segments.is_empty()) {
            self.rest = None;
        }
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut Segment> {
        let rest = self.rest.as_mut().and_then(|rest| rest.segments.back_mut());
        rest.or(self.first.as_mut())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| &rest.segments))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.first.iter_mut().chain(self.rest.iter_mut().flat_map(|rest| &mut rest.segments))
    }

    /// Adds a range of a chunk; one that continues the last range becomes part of it, if it may.
    pub(super) fn append(&mut self, chunk: &Arc<Chunk>, (start, end): (u32, u32), may_join: bool) {
        match self.back_mut() {
            Some(back) if may_join && back.end == start && Arc::ptr_eq(&back.chunk, chunk) => {
                back.end = end;
                back.objects += 1;
            }
            _ => self.push_back(Segment { chunk: Arc::clone(chunk), start, end, objects: 1 }),
        }
    }

    /// The last segment will stay for a while: it shares its chunk only if that is worth it, and small
    /// ones are gathered, if they may.
    pub(super) fn keep_back(&mut self, may_join: bool) {
        let Some(mut back) = self.pop_back() else { return };
        if back.is_small_part()
            && may_join
            && let Some(before) = self.back_mut()
            && let Some(chunk) = Arc::get_mut(&mut before.chunk)
            && before.end as usize == chunk.bytes.len()
            // what was written or dropped of it is freed in time
            && before.start <= before.end / 2
        {
            chunk.extend(back.bytes());
            before.end += back.len() as u32;
            before.objects += back.objects;
            return;
        }
        keep(&mut back);
        self.push_back(back);
    }
}

/// Has a segment share its chunk only if that is worth it.
pub(super) fn keep(segment: &mut Segment) {
    if segment.is_small_part() {
        let bytes = segment.bytes().to_vec();
        (segment.start, segment.end) = (0, bytes.len() as u32);
        segment.chunk = Arc::new(Chunk::new(bytes, &segment.chunk.budget));
    }
}
