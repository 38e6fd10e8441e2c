//! What every message of the load carries inside `msg`, so that losses are counted and not guessed:
//! which flow it belongs to, its number there, when it was sent (or due), and a checksum.
//!
//! ```text
//! ~ 0000002a 00000007 0000000005f5e100 8b1c2f0e and the rest is padding   (without the spaces)
//!   flow     number   nanoseconds      CRC-32 of the padding and the digits before
//! ```
//!
//! The digits are hexadecimal, so that they pass through any JSON encoder unchanged and a person
//! can read them in a capture.

use chatproto::JsonStr;
use chatproto::encode;
use crc32fast::Hasher;

/// The first byte of every payload.
const MARK: u8 = b'~';
/// Digits that the checksum covers.
const STAMP: usize = 32;
/// The shortest payload: the mark, the stamp and the checksum.
pub(crate) const SHORTEST: usize = 1 + STAMP + 8;

/// What stands in front of the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The flow: all messages of one sender to one destination.
    pub(crate) flow: u32,
    /// The number in its flow, from 0.
    pub(crate) number: u32,
    /// When it was sent, or due, in nanoseconds of the generator's clock.
    pub(crate) time: u64,
}

/// The rest of a payload, shared by all messages that have the same.
#[derive(Clone, Debug)]
pub(crate) struct Padding {
    /// As it stands in a JSON string.
    escaped: Vec<u8>,
    hasher: Hasher,
}

impl Padding {
    pub(crate) fn new(text: &str, is_ascii: bool) -> Self {
        let mut object = Vec::new();
        let write = if is_ascii { encode::python } else { encode::compact };
        write(&mut object, "", "", "", text);
        let mut empty = Vec::new();
        write(&mut empty, "", "", "", "");
        // the last two bytes end the string and the object
        let escaped = object[empty.len() - 2..object.len() - 2].to_vec();
        let mut hasher = Hasher::new();
        hasher.update(text.as_bytes());
        Padding { escaped, hasher }
    }

    /// Letters that make a payload of so many bytes, or the shortest one.
    pub(crate) fn letters(payload: usize) -> Self {
        let letters = (SHORTEST..payload).map(|at| char::from(b'a' + (at % 26) as u8));
        Padding::new(&letters.collect::<String>(), true)
    }

    /// Appends a payload as it stands in a JSON string.
    pub(crate) fn write(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let mut head = [MARK; SHORTEST];
        let (_, digits) = head.split_at_mut(1);
        digits[..8].copy_from_slice(&hex(stamp.flow));
        digits[8..16].copy_from_slice(&hex(stamp.number));
        digits[16..24].copy_from_slice(&hex((stamp.time >> 32) as u32));
        digits[24..STAMP].copy_from_slice(&hex(stamp.time as u32));
        let mut hasher = self.hasher.clone();
        hasher.update(&digits[..STAMP]);
        digits[STAMP..].copy_from_slice(&hex(hasher.finalize()));
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.escaped);
    }
}

/// The stamp of a text that is a payload and came as it was sent.
pub(crate) fn read(text: &JsonStr<'_>) -> Option<Stamp> {
    if text.is_escaped() { read_text(&text.to_str()) } else { read_text(text.raw()) }
}

/// Whether a text is a payload, or was one before it was damaged. A person's text is not.
pub(crate) fn is_likely(text: &JsonStr<'_>) -> bool {
    const MOST_DAMAGED: usize = 8;
    let text = text.to_str();
    let Some(head) = text.as_bytes().first_chunk::<SHORTEST>() else { return false };
    let is_digit = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = head[1..].iter().filter(is_digit).count();
    head[0] == MARK && digits + MOST_DAMAGED >= SHORTEST - 1
}

/// The flow that the digits of a damaged payload name.
pub(crate) fn damaged_flow(text: &JsonStr<'_>) -> Option<u32> {
    text.to_str().as_bytes().get(1..9)?.first_chunk().and_then(unhex)
}

fn read_text(text: &str) -> Option<Stamp> {
    let (head, padding) = text.as_bytes().split_first_chunk::<SHORTEST>()?;
    let mut hasher = Hasher::new();
    hasher.update(padding);
    hasher.update(&head[1..=STAMP]);
    let number = |at: usize| head[1 + 8 * at..].first_chunk().and_then(unhex);
    if head[0] != MARK || number(4)? != hasher.finalize() {
        return None;
    }
    let time = u64::from(number(2)?) << 32 | u64::from(number(3)?);
    Some(Stamp { flow: number(0)?, number: number(1)?, time })
}

fn hex(number: u32) -> [u8; 8] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (28 - 4 * at) & 15) as usize])
}

fn unhex(digits: &[u8; 8]) -> Option<u32> {
    let mut number = 0;
    for digit in digits {
        number = number << 4
            | match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            } as u32;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use chatproto::Frame;

    use super::*;

    fn frame(padding: &Padding, stamp: Stamp) -> Vec<u8> {
        let mut object = br#"{"from":{"name":"a","ip":""},"to":"b","msg":""#.to_vec();
        padding.write(stamp, &mut object);
        object.extend_from_slice(b"\"}");
        object
    }

    #[test]
    fn what_is_written_is_read_whatever_the_padding() {
        for text in ["", "abc", "grüße 你好 👋 \"quoted\"\n"] {
            for is_ascii in [false, true] {
                let stamp = Stamp { flow: 7, number: u32::MAX, time: 0x0123_4567_89ab_cdef };
                let object = frame(&Padding::new(text, is_ascii), stamp);
                let frame = Frame::decode(&object).unwrap();
                assert!(is_likely(&frame.message().msg));
                assert_eq!(read(&frame.message().msg), Some(stamp), "{text} {is_ascii}");
            }
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let stamp = Stamp { flow: 1, number: 2, time: 3 };
        let object = frame(&Padding::letters(64), stamp);
        let begin = object.len() - 2 - 64;
        for at in begin..object.len() - 2 {
            let mut changed = object.clone();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let frame = Frame::decode(&changed).unwrap();
            let text = &frame.message().msg;
            assert_eq!(read(text), None, "{at}");
            // whose it was is still seen, but for what says so
            assert_eq!(is_likely(text), at > begin, "{at}");
            let digits = begin + 1..begin + 9;
            assert_eq!(damaged_flow(text) == Some(1), !digits.contains(&at), "{at}");
        }
    }

    #[test]
    fn what_people_write_is_no_payload() {
        for text in ["", "~", "~ hello, all of you who are here today and read this line", "hello"]
        {
            let object = chatproto::Message::new("a", "", "b", text).to_json();
            let frame = Frame::decode(object.as_bytes()).unwrap();
            assert!(!is_likely(&frame.message().msg), "{text}");
        }
    }

    #[test]
    fn a_payload_is_as_long_as_it_was_asked_to_be() {
        for length in [SHORTEST, 64, 16 * 1024] {
            let mut out = Vec::new();
            Padding::letters(length).write(Stamp { flow: 0, number: 0, time: 0 }, &mut out);
            assert_eq!(out.len(), length);
        }
    }
}
