//! The WebSocket of one client of the load: its opening handshake, then its frames. Bytes to write go to the
//! client's [`Outgoing`].

use std::ops::Range;

use chatproto::websocket::{ClientFraming, End, Opening, Url};

use super::outgoing::Outgoing;

#[derive(Debug)]
pub(super) enum WebSocket {
    /// The handshake, and the name that is the first message behind it.
    Opening(Opening, String),
    Open(ClientFraming),
}

impl WebSocket {
    /// Begins the handshake.
    pub(super) fn begin(url: &Url, name: &str, out: &mut Outgoing) -> Self {
        let opening = Opening::new(url);
        out.push(|bytes| bytes.extend_from_slice(opening.request()));
        WebSocket::Opening(opening, name.to_owned())
    }

    /// Has one object go out, which `write` appends. There are none before the handshake is done.
    pub(super) fn say(&mut self, out: &mut Outgoing, write: impl FnOnce(&mut Vec<u8>)) {
        if let WebSocket::Open(framing) = self
            && !framing.is_closed()
        {
            out.push(|bytes| framing.text(bytes, write));
        }
    }

    /// Takes the text out of its frames, in place, and returns its position. The first byte of `bytes` is spare:
    /// the received bytes begin at the second one. Answers to control frames are appended to `out`.
    ///
    /// # Errors
    /// Why the server did not open the WebSocket.
    pub(super) fn unframe(
        &mut self,
        bytes: &mut [u8],
        out: &mut Outgoing,
    ) -> Result<Range<usize>, String> {
        let mut start = 0;
        if let WebSocket::Opening(opening, name) = self {
            let mut input = &bytes[1..];
            if !opening.handle_input(&mut input).map_err(|error| error.to_string())? {
                return Ok(0..0);
            }
            start = bytes.len() - 1 - input.len();
            let mut framing = ClientFraming::new();
            out.push(|bytes| framing.text(bytes, |bytes| bytes.extend_from_slice(name.as_bytes())));
            *self = WebSocket::Open(framing);
        }
        let WebSocket::Open(framing) = self else { return Ok(0..0) };
        let length = framing.handle_input_as_lines(&mut bytes[start..]);
        if framing.has_answer() {
            out.push(|bytes| framing.write_answers(bytes));
        }
        Ok(start..start + length)
    }

    /// Says that nothing more will be sent, if there is a way to say so.
    pub(super) fn close(&mut self, out: &mut Outgoing) -> bool {
        let WebSocket::Open(framing) = self else { return false };
        out.push(|bytes| framing.close(bytes));
        true
    }

    /// Why nothing more comes, if the frames say so.
    pub(super) fn end(&self) -> Option<String> {
        let WebSocket::Open(framing) = self else { return None };
        Some(match framing.end()? {
            End::Closed(None) => "the server closed the WebSocket".to_owned(),
            End::Closed(Some(code)) => format!("the server closed the WebSocket with code {code}"),
            End::Violated(violation) => {
                format!("the server violated the rules of WebSocket: {violation}")
            }
            _ => "the server ended the WebSocket".to_owned(),
        })
    }

    /// The server closed the connection: why the handshake did not succeed, if it was not done.
    pub(super) fn handle_end(&mut self) -> Option<String> {
        match self {
            WebSocket::Opening(opening, _) => Some(opening.handle_end().to_string()),
            WebSocket::Open(_) => None,
        }
    }
}
