//! The payload of every message: a mark, the time, and padding.
//!
//! A delivery is counted where its mark is, so that it is the same thing whatever envelope it came
//! in. The mark is a byte that no envelope of any of the protocols contains, and what follows it
//! is checked.

/// The byte that begins every payload, and that is nowhere else.
const MARK: u8 = b'~';
/// Hexadecimal digits of nanoseconds: three days.
const DIGITS: usize = 12;
/// The shortest payload.
const HEAD: usize = 1 + DIGITS;

/// The stamp of a message that is counted, but whose latency nobody wants to know.
pub(crate) const UNTIMED: u64 = (1 << (4 * DIGITS)) - 1;

/// A message, envelope included, that only lacks the time.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    stamp_at: usize,
}

impl Message {
    /// Text of so many bytes between two parts of an envelope.
    pub(crate) fn new(before: &[u8], length: usize, after: &[u8]) -> Self {
        let mut bytes = before.to_vec();
        bytes.push(MARK);
        bytes.extend_from_slice(&[b'0'; DIGITS]);
        bytes.extend((HEAD..length).map(|at| b'a' + (at % 26) as u8));
        bytes.extend_from_slice(after);
        Message { bytes, stamp_at: before.len() + 1 }
    }

    /// The same behind the header of a frame.
    pub(crate) fn in_frame(self, header: impl FnOnce(usize) -> Vec<u8>) -> Self {
        let header = header(self.bytes.len());
        let stamp_at = self.stamp_at + header.len();
        Message { bytes: [header, self.bytes].concat(), stamp_at }
    }

    /// Appends the message, sent (or due) at that nanosecond.
    pub(crate) fn append(&self, stamp: u64, out: &mut Vec<u8>) {
        let start = out.len() + self.stamp_at;
        out.extend_from_slice(&self.bytes);
        for (place, digit) in out[start..start + DIGITS].iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(stamp >> (4 * place) & 15) as usize];
        }
    }
}

/// Finds the payloads in what a connection reads, also those that two reads share.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    head: [u8; HEAD],
    /// How much of a payload's head the last read ended in.
    length: usize,
    /// The bytes are in frames: a mark may be part of a frame's length.
    is_framed: bool,
}

impl Scanner {
    /// For bytes that are in frames, or not.
    pub(crate) fn new(is_framed: bool) -> Self {
        Scanner { is_framed, ..Scanner::default() }
    }

    /// Calls `found` with the stamp of every payload whose head is complete.
    pub(crate) fn scan(
        &mut self,
        mut bytes: &[u8],
        mut found: impl FnMut(u64),
    ) -> Result<(), String> {
        if self.length > 0 {
            let more = bytes.len().min(HEAD - self.length);
            self.head[self.length..self.length + more].copy_from_slice(&bytes[..more]);
            self.length += more;
            bytes = &bytes[more..];
            if self.length < HEAD {
                return Ok(());
            }
            self.length = 0;
            self.count(&self.head, &mut found)?;
        }
        while let Some(at) = memchr::memchr(MARK, bytes) {
            bytes = &bytes[at..];
            let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
                self.head[..bytes.len()].copy_from_slice(bytes);
                self.length = bytes.len();
                break;
            };
            bytes = match self.count(head, &mut found)? {
                true => rest,
                false => &bytes[1..],
            };
        }
        Ok(())
    }

    /// Counts a payload. False if the bytes are the length of a frame and what follows.
    fn count(&self, head: &[u8], found: &mut impl FnMut(u64)) -> Result<bool, String> {
        match stamp(head) {
            Ok(stamp) => found(stamp),
            Err(_) if self.is_framed => return Ok(false),
            Err(sentence) => return Err(sentence),
        }
        Ok(true)
    }
}

fn stamp(head: &[u8]) -> Result<u64, String> {
    head[1..].iter().try_fold(0, |number, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err("the server delivered a payload that nobody sent.".to_owned()),
        };
        Ok(number << 4 | u64::from(digit))
    })
}
