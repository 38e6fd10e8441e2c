//! The frames of a connection that is judged over WebSocket (B20). Objects go out as text messages. Received
//! frames become plain text again, and control frames are recorded.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chatproto::websocket::{ClientFraming, End, MESSAGE_END, Opening, Url};
use shared::failure::reason;

/// The operation code of a pong (RFC 6455, section 5.2).
pub(super) const PONG: u8 = 0xA;

/// Most control frames of a server that are recorded.
const CONTROLS: usize = 1_000;
/// The least that a socket can be told to wait.
const LEAST: Duration = Duration::from_millis(1);

/// A control frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct WebSocket {
    framing: ClientFraming,
    /// The name was sent, or the URL has it. Objects follow.
    has_name: bool,
    controls: Vec<Control>,
    /// The beginning of a frame of the server, for the record of control frames.
    begun: Vec<u8>,
    /// Bytes of a data frame's payload that are still to come.
    missing: u64,
}

/// The text of received frames.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) text: Vec<u8>,
    /// Where in the text messages end.
    pub(super) ends: Vec<usize>,
}

impl WebSocket {
    /// Opens it, and returns the bytes of frames that came with the response.
    pub(super) fn open(
        mut stream: &TcpStream,
        url: &Url,
        timeout: Duration,
    ) -> Result<(Self, Vec<u8>), String> {
        let io =
            |error: &std::io::Error| format!("the WebSocket handshake failed: {}", reason(error));
        let mut opening = Opening::new(url);
        let until = Instant::now() + timeout;
        stream.write_all(opening.request()).map_err(|error| io(&error))?;
        let mut buffer = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the WebSocket handshake was not answered in time".to_owned());
            }
            let set = stream.set_read_timeout(Some(left.max(LEAST)));
            match set.and_then(|()| stream.read(&mut buffer)) {
                Ok(0) => return Err(opening.handle_end().to_string()),
                Ok(length) => {
                    let mut input = &buffer[..length];
                    if opening.handle_input(&mut input).map_err(|error| error.to_string())? {
                        return Ok((WebSocket::new(url.has_name()), input.to_vec()));
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(io(&error)),
            }
        }
    }

    fn new(has_name: bool) -> Self {
        WebSocket {
            framing: ClientFraming::new(),
            has_name,
            controls: Vec::new(),
            begun: Vec::new(),
            missing: 0,
        }
    }

    /// The bytes as text messages: each object is one, and so is what is between two objects, and the name.
    pub(super) fn framed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut frames = Vec::new();
        for message in messages(bytes, !std::mem::replace(&mut self.has_name, true)) {
            self.framing.text(&mut frames, |out| out.extend_from_slice(message));
        }
        frames
    }

    /// The close frame.
    pub(super) fn close(&mut self) -> Vec<u8> {
        let mut frame = Vec::new();
        self.framing.close(&mut frame);
        frame
    }

    /// Whether the close frame was sent.
    pub(super) fn is_closed(&self) -> bool {
        self.framing.is_closed()
    }

    /// Pongs and the close frame, if the server waits for them.
    pub(super) fn answers(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        self.framing.write_answers(&mut frames);
        frames
    }

    /// Whether the server waits for something.
    pub(super) fn has_answer(&self) -> bool {
        self.framing.has_answer()
    }

    /// Takes what came out of its frames.
    pub(super) fn unframe(&mut self, bytes: &[u8]) -> Came {
        self.record(bytes);
        // the first byte is spare
        let mut buffer = [&[0], bytes].concat();
        let length = self.framing.handle_input(&mut buffer);
        let mut came = Came::default();
        for part in buffer[..length].split_inclusive(|&byte| byte == MESSAGE_END) {
            match part.split_last() {
                Some((&MESSAGE_END, text)) => {
                    came.text.extend_from_slice(text);
                    came.ends.push(came.text.len());
                }
                _ => came.text.extend_from_slice(part),
            }
        }
        came
    }

    /// Why nothing more comes.
    pub(super) fn end(&self) -> Option<End> {
        self.framing.end()
    }

    /// The control frames that came.
    pub(super) fn controls(&self) -> &[Control] {
        &self.controls
    }

    /// Records the control frames in the bytes. The rules are the framing's.
    fn record(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.missing.min(bytes.len() as u64);
            self.missing -= skipped;
            bytes = &bytes[skipped as usize..];
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.begun.push(byte);
            bytes = rest;
            let [first, second, extended @ ..] = &self.begun[..] else { continue };
            let length = match second & 0x7F {
                126 if extended.len() < 2 => continue,
                127 if extended.len() < 8 => continue,
                126 | 127 => extended.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
                length if first & 0x8 == 0 => u64::from(length),
                length if extended.len() < usize::from(length) => continue,
                _ => {
                    let control = Control { opcode: first & 0xF, payload: extended.to_vec() };
                    if self.controls.len() < CONTROLS {
                        self.controls.push(control);
                    }
                    0
                }
            };
            self.missing = length;
            self.begun.clear();
        }
    }
}

/// A masked frame with this first byte.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = fastrand::u32(..).to_ne_bytes();
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The parts of a plain stream that are messages over WebSocket. A connection begins with the name (A2).
fn messages(bytes: &[u8], is_name_first: bool) -> Vec<&[u8]> {
    let (mut messages, mut rest) = (Vec::new(), bytes);
    if is_name_first {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'{'));
        let length = match end {
            Some(at) if rest[at] == b'\n' => at + 1,
            Some(at) => at,
            None => rest.len(),
        };
        let (name, behind) = rest.split_at(length);
        if !name.is_empty() {
            messages.push(name);
        }
        rest = behind;
    }
    while !rest.is_empty() {
        let length = match rest.trim_ascii_start().first() {
            Some(b'{') => object(rest),
            _ => rest.iter().position(|&byte| byte == b'{').unwrap_or(rest.len()),
        };
        let (message, behind) = rest.split_at(length);
        messages.push(message);
        rest = behind;
    }
    messages
}

/// The length of the object at the front, with the white space around it; all of it if it does not end.
fn object(bytes: &[u8]) -> usize {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' if !is_text => depth += 1,
            b'}' if !is_text => {
                depth -= 1;
                if depth == 0 {
                    let behind = &bytes[at + 1..];
                    return bytes.len() - behind.trim_ascii_start().len();
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &str, is_name_first: bool) -> Vec<&str> {
        let messages = messages(bytes.as_bytes(), is_name_first);
        messages.into_iter().map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn each_object_is_a_message() {
        for (bytes, expected) in [
            ("", &[][..]),
            ("{}", &["{}"]),
            ("{}{\"a\":{}}", &["{}", "{\"a\":{}}"]),
            (" {} \n{}\r\n", &[" {} \n", "{}\r\n"]),
            ("{\"}{\\\"\":1}{}", &["{\"}{\\\"\":1}", "{}"]),
            ("hello\n{}", &["hello\n", "{}"]),
            ("{}hello", &["{}", "hello"]),
            ("{\"a\":", &["{\"a\":"]),
            ("{}}{}", &["{}", "}", "{}"]),
            ("\n", &["\n"]),
        ] {
            assert_eq!(parts(bytes, false), expected, "{bytes}");
        }
        for (bytes, expected) in [
            ("alice", &["alice"][..]),
            (" alice\r\n{}\n", &[" alice\r\n", "{}\n"]),
            ("alice{}", &["alice", "{}"]),
            ("{}", &["{}"]),
            ("\n", &["\n"]),
        ] {
            assert_eq!(parts(bytes, true), expected, "{bytes}");
        }
    }

    #[test]
    fn what_came_is_text_and_control_frames() {
        let all = b"\x01\x02{}\x89\x02hi\x80\x01\n\x81\x7e\x00\x03{\"}\x8a\x00\x88\x02\x03\xe8";
        for size in [1, 2, 5, all.len()] {
            let mut websocket = WebSocket::new(false);
            let (mut text, mut ends) = (Vec::new(), Vec::new());
            for piece in all.chunks(size) {
                let came = websocket.unframe(piece);
                ends.extend(came.ends.iter().map(|end| end + text.len()));
                text.extend(came.text);
            }
            assert_eq!((&text[..], &ends[..]), (&b"{}\n{\"}"[..], &[3, 6][..]), "in {size}s");
            let control = |opcode, payload: &[u8]| Control { opcode, payload: payload.to_vec() };
            let controls = [control(0x9, b"hi"), control(PONG, b""), control(0x8, b"\x03\xe8")];
            assert_eq!(websocket.controls(), controls);
            assert_eq!(websocket.end(), Some(End::Closed(Some(1000))));
            assert!(websocket.has_answer() && !websocket.answers().is_empty());
            assert!(websocket.is_closed() && !websocket.has_answer());
        }
    }
}
