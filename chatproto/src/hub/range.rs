//! Places of objects in the buffers of an [`Output`](super::Output).

/// Marks the offsets of objects that stand aside.
pub(super) const ASIDE: u32 = 1 << 31;

/// Where an object lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Range {
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn is_aside(self) -> bool {
        self.start & ASIDE != 0
    }

    /// Its bounds in the buffer of [`Output::take_log`].
    pub(crate) fn bounds(self, aside_at: u32) -> (u32, u32) {
        let base = if self.is_aside() { ASIDE - aside_at } else { 0 };
        (self.start - base, self.end - base)
    }
}

pub(super) fn append(buffer: &mut Vec<u8>, base: u32, write: impl FnOnce(&mut Vec<u8>)) -> Range {
    let start = buffer.len();
    write(buffer);
    buffer.push(b'\n');
    let at = |offset: usize| {
        let offset = u32::try_from(offset).ok().filter(|&offset| offset < ASIDE);
        base + offset.expect("a batch is shorter than 2 GiB")
    };
    Range { start: at(start), end: at(buffer.len()) }
}
