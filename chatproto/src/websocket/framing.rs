//! [`ClientFraming`]: the frames of a client, in both directions.

use std::hash::{BuildHasher, RandomState};

use fastrand::Rng;

use super::close_frame::CloseFrame;
use super::header::{CLOSE, Header, MASKED, PONG, TEXT};
use super::unframer::{End, MARK, Unframer, unmask};
use super::{Violation, close_code};

/// Bytes of the header that most messages have: a length of two bytes, and a mask.
const EXPECTED: usize = 8;
const MASK: usize = 4;

/// The client's side of a WebSocket behind its [`Opening`](super::Opening), without a socket.
///
/// Text goes out in masked frames, and comes in as the plain stream of objects. Pings and the close frame of
/// the server have answers, which the caller is to write soon.
///
/// ```
/// use chatproto::websocket::ClientFraming;
///
/// let mut framing = ClientFraming::new();
/// let mut out = Vec::new();
/// framing.text(&mut out, |out| out.extend_from_slice(b"alice"));
/// assert_eq!(out.len(), 2 + 4 + 5);
///
/// // the first byte is spare: the frames begin behind it
/// let mut input = *b"\0\x81\x02{}";
/// let length = framing.handle_input_as_lines(&mut input);
/// assert_eq!(&input[..length], b"{}\n");
/// ```
#[derive(Debug)]
pub struct ClientFraming {
    input: Unframer,
    masks: Rng,
    /// The close frame was written.
    is_closed: bool,
}

impl ClientFraming {
    /// Frames with masks that the system's random numbers decide.
    pub fn new() -> Self {
        let masks = Rng::with_seed(RandomState::new().hash_one(0));
        ClientFraming { input: Unframer::of_server(), masks, is_closed: false }
    }

    /// Appends a text frame to `out`. `write` appends the text. There must be none behind the close frame.
    pub fn text(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(!self.is_closed, "a close frame is the last one");
        self.frame(out, TEXT, write);
    }

    /// Appends the close frame to `out`, if there was none: nothing more will be sent.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.close_with(out, close_code::NORMAL);
    }

    fn close_with(&mut self, out: &mut Vec<u8>, code: u16) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.frame(out, CLOSE, |out| out.extend_from_slice(&code.to_be_bytes()));
        }
    }

    /// Whether the close frame was appended.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether a frame of the server waits for its answer.
    pub fn has_answer(&self) -> bool {
        !self.is_closed && (self.input.has_ping() || self.input.end().is_some())
    }

    /// Appends the answers to `out`: a pong for the last ping, and the close frame if nothing more comes.
    pub fn write_answers(&mut self, out: &mut Vec<u8>) {
        if !self.has_answer() {
            return;
        }
        let mut pong = None;
        self.input.take_ping(|payload| pong = Some(payload.to_vec()));
        if let Some(payload) = pong {
            self.frame(out, PONG, |out| out.extend_from_slice(&payload));
        }
        match self.input.end() {
            None => {}
            Some(End::Closed(code)) => self.close_with(out, code.unwrap_or(close_code::NORMAL)),
            Some(End::Violated(violation)) => self.close_with(out, violation.close_code()),
        }
    }

    /// Replaces the server's frames by their text. The first byte of `bytes` is spare: the frames begin at the
    /// second one. Returns the length of the result, which begins at the first byte. In it,
    /// [`MESSAGE_END`](super::MESSAGE_END) ends each message.
    pub fn handle_input(&mut self, bytes: &mut [u8]) -> usize {
        let length = self.input.unframe(bytes);
        // the number of control frames is for servers, which charge for them
        self.input.take_controls();
        length
    }

    /// The same with a line feed at the end of each message, as decoders read it.
    pub fn handle_input_as_lines(&mut self, bytes: &mut [u8]) -> usize {
        let length = self.handle_input(bytes);
        let mut from = 0;
        while let Some(at) = memchr::memchr(MARK, &bytes[from..length]) {
            bytes[from + at] = b'\n';
            from += at + 1;
        }
        length
    }

    /// Why nothing more comes from the server, if that is so.
    pub fn end(&self) -> Option<End> {
        self.input.end()
    }

    /// The close frame of the server. `None` before it, and for one without a code.
    pub fn close_frame(&self) -> Option<CloseFrame> {
        match self.input.end()? {
            End::Closed(code) => Some(CloseFrame::new(code?, self.input.close_reason())),
            End::Violated(_) => None,
        }
    }

    /// The server violated a rule about what messages contain: nothing more is read, and the close frame says so.
    pub fn fail(&mut self, violation: Violation) {
        self.input.fail(violation);
    }

    /// Bytes of heap that it holds.
    #[cfg(fuzzing)]
    pub(crate) fn held(&self) -> usize {
        self.input.held()
    }

    /// Appends a masked frame to `out`, whose payload `write` appends.
    fn frame(&mut self, out: &mut Vec<u8>, opcode: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        out.resize(start + EXPECTED, 0);
        write(out);
        let header = Header::new(opcode, out.len() - start - EXPECTED);
        let header = header.as_bytes();
        let length = header.len() + MASK;
        if length <= EXPECTED {
            out.drain(start..start + EXPECTED - length);
        } else {
            out.splice(start..start, std::iter::repeat_n(0, length - EXPECTED));
        }
        let mut mask = self.masks.u32(..).to_ne_bytes();
        let (head, payload) = out[start..].split_at_mut(length);
        head[..header.len()].copy_from_slice(header);
        head[1] |= MASKED;
        head[header.len()..].copy_from_slice(&mask);
        unmask(payload, &mut mask);
    }
}

impl Default for ClientFraming {
    fn default() -> Self {
        ClientFraming::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text in frames of a client, with marks.
    fn unframed(frames: &[u8]) -> (Vec<u8>, Unframer) {
        let mut unframer = Unframer::of_client();
        let mut bytes = [&[0], frames].concat();
        let length = unframer.unframe(&mut bytes);
        bytes.truncate(length);
        (bytes, unframer)
    }

    fn handle(framing: &mut ClientFraming, frames: &[u8]) -> Vec<u8> {
        let mut bytes = [&[0], frames].concat();
        let length = framing.handle_input_as_lines(&mut bytes);
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn text_of_every_length_goes_out_masked() {
        let mut framing = ClientFraming::new();
        let mut masks = Vec::new();
        for length in [0, 1, 5, 125, 126, 127, 0xFFFF, 0x1_0000, 0x1_0001] {
            let text = "0123456789abcdef".repeat(length / 16 + 1).into_bytes();
            let text = &text[..length];
            // behind other bytes, which stay
            let mut out = b"before".to_vec();
            framing.text(&mut out, |out| out.extend_from_slice(text));
            assert!(out.starts_with(b"before"));
            let frame = &out[b"before".len()..];
            let header = Header::new(TEXT, length).as_bytes().len() + MASK;
            assert_eq!(frame.len(), header + length);
            masks.push(frame[header - MASK..header].to_vec());
            let (text_again, unframer) = unframed(frame);
            assert!(text_again == [text, &[MARK]].concat(), "{length} bytes");
            assert_eq!(unframer.end(), None);
        }
        masks.sort();
        masks.dedup();
        assert!(masks.len() > 7, "each frame has its own mask: {masks:?}");
    }

    #[test]
    fn a_frame_needs_no_memory_but_its_own() {
        let mut framing = ClientFraming::new();
        let mut out = Vec::with_capacity(EXPECTED + 100);
        let capacity = out.capacity();
        for _ in 0..10 {
            out.clear();
            framing.text(&mut out, |out| out.extend_from_slice(&[b'x'; 100]));
        }
        assert_eq!(out.capacity(), capacity);
    }

    #[test]
    fn the_last_ping_is_answered_and_the_close_frame_is_the_end() {
        let mut framing = ClientFraming::new();
        assert_eq!(handle(&mut framing, b"\x89\x01a\x81\x02{}\x89\x01b"), b"{}\n");
        assert!(framing.has_answer());
        let mut out = Vec::new();
        framing.write_answers(&mut out);
        assert_eq!((out[0], out[1]), (0x8A, 0x81));
        assert_eq!(out[6] ^ out[2], b'b');
        assert!(!framing.has_answer());

        assert_eq!(handle(&mut framing, b"\x81\x01x\x88\x02\x03\xe9\x81\x01y"), b"x\n");
        assert_eq!(framing.end(), Some(End::Closed(Some(1001))));
        out.clear();
        framing.write_answers(&mut out);
        assert_eq!(unframed(&out).1.end(), Some(End::Closed(Some(1001))));
        out.clear();
        framing.close(&mut out);
        framing.write_answers(&mut out);
        assert!(out.is_empty() && framing.is_closed(), "one close frame is enough");
    }

    #[test]
    fn the_reason_of_a_close_frame_is_known() {
        let close_frame = |frames: &[u8]| {
            let mut framing = ClientFraming::new();
            handle(&mut framing, frames);
            framing.close_frame().map(|frame| (frame.code(), frame.reason().to_owned()))
        };
        assert_eq!(close_frame(b"\x88\x06\x03\xf0spam"), Some((1008, "spam".to_owned())));
        assert_eq!(close_frame(b"\x88\x02\x03\xf0"), Some((1008, String::new())));
        assert_eq!(close_frame(b"\x88\x00"), None);
        assert_eq!(close_frame(b"\x89\x06\x03\xf0spam"), None, "a ping");
        assert_eq!(close_frame(b"\x88\x06\x03\xf0sp"), None, "it is not complete");
        assert_eq!(close_frame(b"\x88\x03\x03\xf0\xff"), None, "a violation");
    }

    #[test]
    fn after_the_own_close_frame_nothing_is_answered() {
        let (mut framing, mut out) = (ClientFraming::new(), Vec::new());
        framing.close(&mut out);
        assert_eq!(unframed(&out).1.end(), Some(End::Closed(Some(1000))));
        assert_eq!(handle(&mut framing, b"\x89\x00\x81\x02{}"), b"{}\n", "it is still read");
        assert!(!framing.has_answer());
    }

    #[test]
    fn a_violation_is_told_to_the_server() {
        for (frames, violation, code) in [
            (&b"\x81\x80\0\0\0\0"[..], Violation::Masked, 1002),
            (b"\x82\x00", Violation::Binary, 1003),
        ] {
            let (mut framing, mut out) = (ClientFraming::new(), Vec::new());
            handle(&mut framing, frames);
            assert_eq!(framing.end(), Some(End::Violated(violation)));
            framing.write_answers(&mut out);
            assert_eq!(unframed(&out).1.end(), Some(End::Closed(Some(code))));
        }
    }
}
