//! Unframing in place: headers and control frames are removed, payloads are unmasked, and a [`MARK`] ends each
//! message.

use super::header::{
    BINARY, CLOSE, CONTINUATION, FINAL, HEADER_MOST, MASKED, OPCODE, PING, PONG, RESERVED, TEXT,
    length_of,
};
use super::violation::Violation;

/// Ends a message in the stream that [`Unframer::unframe`] gives. It is no byte of UTF-8, so no text has it.
pub(crate) const MARK: u8 = 0xFF;
/// Replaces a [`MARK`] in a payload. It is no byte of UTF-8 either, so the decoder refuses it.
const OTHER_INVALID_BYTE: u8 = 0xFE;

/// Bytes of payload that a control frame has at most.
pub(crate) const CONTROL_MOST: usize = 125;

/// Why nothing more comes from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// A close frame, with its code if it had one.
    Closed(Option<u16>),
    /// The peer violated the rules. Nothing more is read.
    Violated(Violation),
}

/// The frame whose header was read last.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
}

/// The payload of a control frame.
#[derive(Clone, Copy, Debug)]
struct Control {
    bytes: [u8; CONTROL_MOST],
    length: u8,
}

/// The state between two reads. It keeps a part of a header, or of a control frame, and nothing else.
#[derive(Debug)]
pub(crate) struct Unframer {
    header: [u8; HEADER_MOST],
    header_length: u8,
    expects_mask: bool,
    /// A fragmented message is not finished.
    is_in_message: bool,
    frame: Option<Frame>,
    /// Begins with the mask of the next byte.
    mask: [u8; 4],
    /// Bytes of the frame's payload that are still to come.
    left: u64,
    /// The control frame that is read. Behind the end, the server's close frame.
    control: Option<Box<Control>>,
    /// The payload of the last ping.
    ping: Option<Box<Control>>,
    /// Control frames since this was last asked.
    controls: u32,
    end: Option<End>,
}

impl Unframer {
    /// For the frames of clients, which are masked.
    pub(crate) fn of_client() -> Self {
        Unframer {
            header: [0; HEADER_MOST],
            header_length: 0,
            expects_mask: true,
            is_in_message: false,
            frame: None,
            mask: [0; 4],
            left: 0,
            control: None,
            ping: None,
            controls: 0,
            end: None,
        }
    }

    /// For the frames of servers, which are not masked.
    #[cfg(any(test, fuzzing, feature = "client"))]
    pub(crate) fn of_server() -> Self {
        Unframer { expects_mask: false, ..Unframer::of_client() }
    }

    /// Replaces frames by what they carry. The first byte of `bytes` is spare: the frames begin at the
    /// second one. Returns the length of the result, which begins at the first byte. Bytes behind the end
    /// are dropped.
    pub(crate) fn unframe(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut out) = (1, 0);
        while at < bytes.len() && self.end.is_none() {
            let Some(frame) = self.frame else {
                self.header[usize::from(self.header_length)] = bytes[at];
                (self.header_length, at) = (self.header_length + 1, at + 1);
                let begun = self.read_header();
                out += self.go_on(begun, &mut bytes[out..]);
                continue;
            };
            let count = self.left.min((bytes.len() - at) as u64) as usize;
            let is_control = frame.opcode & 0x8 != 0;
            if is_control {
                unmask(&mut bytes[at..at + count], &mut self.mask);
                self.keep_control(&bytes[at..at + count]);
            } else {
                bytes.copy_within(at..at + count, out);
                let payload = &mut bytes[out..out + count];
                unmask(payload, &mut self.mask);
                replace_marks(payload);
                out += count;
            }
            (at, self.left) = (at + count, self.left - count as u64);
            out += self.go_on(Ok(()), &mut bytes[out..]);
        }
        out
    }

    /// Ends the frame if nothing of it is missing. Returns how many bytes it wrote to `out`.
    fn go_on(&mut self, step: Result<(), Violation>, out: &mut [u8]) -> usize {
        match step.and_then(|()| self.finish_frame()) {
            Ok(false) => 0,
            Ok(true) => {
                out[0] = MARK;
                1
            }
            Err(violation) => {
                self.end = Some(End::Violated(violation));
                0
            }
        }
    }

    /// Begins the frame if its header is complete.
    fn read_header(&mut self) -> Result<(), Violation> {
        let length = usize::from(self.header_length);
        let [first, second] = [self.header[0], self.header[1]];
        if length == 1 {
            return self.check_first(first);
        }
        if length == 2 {
            self.check_second(first, second)?;
        }
        if length < length_of(second) {
            return Ok(());
        }
        let extended = |range: std::ops::Range<usize>| {
            self.header[range].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        };
        self.left = match second & !MASKED {
            126 => extended(2..4),
            127 => extended(2..10),
            length => u64::from(length),
        };
        if self.left >> 63 != 0 {
            return Err(Violation::LengthTooLarge);
        }
        if self.expects_mask {
            self.mask.copy_from_slice(&self.header[length - 4..length]);
        }
        self.frame = Some(Frame { opcode: first & OPCODE, is_final: first & FINAL != 0 });
        self.header_length = 0;
        Ok(())
    }

    fn check_first(&self, first: u8) -> Result<(), Violation> {
        let is_final = first & FINAL != 0;
        if first & RESERVED != 0 {
            return Err(Violation::ReservedBit);
        }
        match first & OPCODE {
            TEXT | BINARY if self.is_in_message => Err(Violation::ExpectedContinuation),
            BINARY => Err(Violation::Binary),
            CONTINUATION if !self.is_in_message => Err(Violation::UnexpectedContinuation),
            TEXT | CONTINUATION => Ok(()),
            CLOSE | PING | PONG if !is_final => Err(Violation::FragmentedControlFrame),
            CLOSE | PING | PONG => Ok(()),
            opcode => Err(Violation::ReservedOpcode(opcode)),
        }
    }

    fn check_second(&self, first: u8, second: u8) -> Result<(), Violation> {
        match (second & MASKED != 0, self.expects_mask) {
            (false, true) => return Err(Violation::Unmasked),
            (true, false) => return Err(Violation::Masked),
            _ => {}
        }
        let is_control = first & 0x8 != 0;
        if is_control && usize::from(second & !MASKED) > CONTROL_MOST {
            return Err(Violation::LongControlFrame);
        }
        Ok(())
    }

    fn keep_control(&mut self, payload: &[u8]) {
        let empty = || Box::new(Control { bytes: [0; CONTROL_MOST], length: 0 });
        let control = self.control.get_or_insert_with(empty);
        let before = usize::from(control.length);
        control.bytes[before..before + payload.len()].copy_from_slice(payload);
        control.length += payload.len() as u8;
    }

    /// Ends the frame if its payload is complete. Whether it ended a message.
    fn finish_frame(&mut self) -> Result<bool, Violation> {
        let Some(frame) = self.frame.take_if(|_| self.left == 0) else { return Ok(false) };
        if frame.opcode & 0x8 == 0 {
            self.is_in_message = !frame.is_final;
            return Ok(frame.is_final);
        }
        self.controls += 1;
        let control = self.control.take();
        match frame.opcode {
            PING => {
                let empty = || Box::new(Control { bytes: [0; CONTROL_MOST], length: 0 });
                self.ping = Some(control.unwrap_or_else(empty));
            }
            CLOSE => {
                let code =
                    control.as_ref().map_or(Ok(None), |control| close_code(control.payload()));
                self.end = Some(End::Closed(code?));
                // only clients tell their users about it
                self.control = control.filter(|_| !self.expects_mask);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Why nothing more comes, if that is so.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// The reason in the server's close frame. Empty if there was none.
    #[cfg(any(test, feature = "client"))]
    pub(super) fn close_reason(&self) -> &[u8] {
        let close = self.control.as_ref().filter(|_| matches!(self.end, Some(End::Closed(_))));
        close.and_then(|close| close.payload().get(2..)).unwrap_or_default()
    }

    /// A rule about what messages contain was violated: nothing more is read. The message came before all that
    /// ended the frames of its read.
    #[cfg(feature = "client")]
    pub(super) fn fail(&mut self, violation: Violation) {
        self.end = Some(End::Violated(violation));
    }

    /// Whether a ping came that [`Unframer::take_ping`] has not yet given.
    pub(crate) fn has_ping(&self) -> bool {
        self.ping.is_some()
    }

    /// Gives the payload of the last ping to `answer`. (RFC 6455 asks for an answer to the last one only.)
    pub(crate) fn take_ping(&mut self, answer: impl FnOnce(&[u8])) {
        if let Some(ping) = self.ping.take() {
            answer(ping.payload());
        }
    }

    /// How many control frames came since this was last asked.
    pub(crate) fn take_controls(&mut self) -> u32 {
        std::mem::take(&mut self.controls)
    }

    /// Bytes of heap that it holds.
    pub(crate) fn held(&self) -> usize {
        let boxes = [&self.control, &self.ping];
        boxes.into_iter().flatten().map(|control| size_of_val(&**control)).sum()
    }
}

impl Control {
    fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

fn replace_marks(payload: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr(MARK, &payload[from..]) {
        payload[from + at] = OTHER_INVALID_BYTE;
        from += at + 1;
    }
}

/// Applies the mask, and turns it so that it begins with the mask of the byte that follows.
pub(super) fn unmask(payload: &mut [u8], mask: &mut [u8; 4]) {
    let word = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let bytes: [u8; 8] = (&*chunk).try_into().expect("a chunk has eight bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    let rest = chunks.into_remainder();
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(payload.len() % 4);
}

/// The code of a close frame with this payload.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::InvalidCloseCode),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            // the others are reserved, or only for use inside of a program
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Violation::InvalidCloseCode);
            }
            match std::str::from_utf8(reason) {
                Ok(_) => Ok(Some(code)),
                Err(_) => Err(Violation::InvalidCloseReason),
            }
        }
    }
}
