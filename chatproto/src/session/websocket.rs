//! The WebSocket under a session (B20): first its opening handshake, then its frames, between the bytes of the
//! socket and the objects of the session.

use crate::websocket::{ClientFraming, CloseFrame, End, Opening, OpeningError, Url, Violation};

#[derive(Debug)]
pub(super) struct WebSocket {
    /// Until the server has opened it.
    opening: Option<Opening>,
    framing: ClientFraming,
    /// For the bytes that come, so that its memory is used again.
    buffer: Vec<u8>,
}

/// Why nothing more comes from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has closed the WebSocket.
    Closed,
    NotOpened(OpeningError),
    Violated(Violation),
}

impl WebSocket {
    /// The handshake with this server, and its request.
    pub(super) fn new(url: &Url) -> (Self, Vec<u8>) {
        let opening = Opening::new(url);
        let request = opening.request().to_vec();
        let websocket =
            WebSocket { opening: Some(opening), framing: ClientFraming::new(), buffer: Vec::new() };
        (websocket, request)
    }

    /// Takes bytes of the handshake from the front of the input. True when it is done with them: the client's
    /// first message is due.
    pub(super) fn open(&mut self, input: &mut &[u8]) -> Result<bool, OpeningError> {
        let Some(opening) = &mut self.opening else { return Ok(false) };
        let is_open = opening.handle_input(input)?;
        if is_open {
            self.opening = None;
        }
        Ok(is_open)
    }

    /// Takes bytes of frames. Returns the text that they carry, with a
    /// [`MESSAGE_END`](crate::websocket::MESSAGE_END) behind each message.
    pub(super) fn handle_frames(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // the first byte is spare
        buffer.push(0);
        buffer.extend_from_slice(bytes);
        let length = self.framing.handle_input(&mut buffer);
        buffer.truncate(length);
        buffer
    }

    /// Takes the text back, so that its memory is used again.
    pub(super) fn reuse(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// The server closed the connection.
    pub(super) fn handle_end(&mut self) -> Option<Over> {
        Some(Over::NotOpened(self.opening.as_mut()?.handle_end()))
    }

    /// Why nothing more comes, if the frames say so.
    pub(super) fn over(&self) -> Option<Over> {
        match self.framing.end()? {
            End::Closed(_) => Some(Over::Closed),
            End::Violated(violation) => Some(Over::Violated(violation)),
        }
    }

    pub(super) fn close_frame(&self) -> Option<CloseFrame> {
        self.framing.close_frame()
    }

    /// The server violated a rule about what messages contain: nothing more is read.
    pub(super) fn fail(&mut self, violation: Violation) {
        self.framing.fail(violation);
    }

    /// Bytes of heap that it holds.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        let opening = self.opening.as_ref().map_or(0, Opening::held);
        opening + self.framing.held() + self.buffer.capacity()
    }

    /// A message with this text.
    pub(super) fn text(&mut self, text: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(text.len() + 14);
        self.framing.text(&mut frame, |out| out.extend_from_slice(text));
        frame
    }

    /// The close frame, if there was none.
    pub(super) fn close(&mut self) -> Vec<u8> {
        let mut frame = Vec::new();
        self.framing.close(&mut frame);
        frame
    }

    /// Whether nothing more can be sent.
    pub(super) fn is_closed(&self) -> bool {
        self.framing.is_closed()
    }

    /// The answers to control frames: a pong, and the answer to a close frame. Empty if none is due.
    pub(super) fn answers(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        self.framing.write_answers(&mut frames);
        frames
    }
}
