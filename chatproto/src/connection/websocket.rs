//! The state of a connection's WebSocket framing: its input between two reads, and the control frames that wait.

use crate::websocket::{End, Header, PING, PONG, Unframer, Violation, close_code, close_frame};

/// The state of WebSocket framing, in both directions.
#[derive(Debug)]
pub(super) struct WebSocket {
    pub(super) input: Unframer,
    /// The present message has its object, or the name.
    pub(super) has_object: bool,
    /// The hub knows that the peer violated the rules.
    pub(super) violation_told: bool,
    /// Bytes of the front object's header that were written. Its payload was not begun then.
    pub(super) header_written: u8,
    /// Boxed, because most connections have none.
    pub(super) control: Option<Box<Control>>,
    /// The close frame was queued.
    pub(super) is_closed: bool,
    /// The code of the close frame, if an error decided it.
    pub(super) close_code: Option<u16>,
}

/// Control frames that are to be written.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The rest of a frame that was begun, or a ping.
    pub(super) begun: Vec<u8>,
    /// An answer to the last ping.
    pub(super) pong: Vec<u8>,
    pub(super) close: Vec<u8>,
}

impl Control {
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.pong.is_empty() && self.close.is_empty()
    }

    /// The transport took bytes, those of the pong first. Returns the number of bytes that were not the pong's.
    pub(super) fn handle_written(&mut self, count: usize) -> usize {
        let begun = count.min(self.begun.len());
        self.begun.drain(..begun);
        let pong = (count - begun).min(self.pong.len());
        if pong > 0 {
            self.begun = self.pong.split_off(pong);
            self.pong.clear();
        }
        count - begun - pong
    }

    /// The transport took bytes of the close frame.
    pub(super) fn handle_close_written(&mut self, count: usize) {
        if count > 0 {
            self.begun = self.close.split_off(count.min(self.close.len()));
            self.close.clear();
        }
    }
}

impl WebSocket {
    pub(super) fn new() -> Self {
        WebSocket {
            input: Unframer::of_client(),
            has_object: false,
            violation_told: false,
            header_written: 0,
            control: None,
            is_closed: false,
            close_code: None,
        }
    }

    /// A violation that the hub does not know yet.
    pub(super) fn untold_violation(&self) -> Option<Violation> {
        match self.input.end() {
            Some(End::Violated(violation)) if !self.violation_told => Some(violation),
            _ => None,
        }
    }

    pub(super) fn has_control(&self) -> bool {
        self.control.is_some()
    }

    pub(super) fn answer_ping(&mut self) {
        let control = &mut self.control;
        self.input.take_ping(|payload| {
            let pong = &mut control.get_or_insert_default().pong;
            // only the last ping is answered
            pong.clear();
            pong.extend_from_slice(Header::new(PONG, payload.len()).as_bytes());
            pong.extend_from_slice(payload);
        });
    }

    /// Queues a ping without a payload.
    pub(super) fn ping(&mut self) {
        let begun = &mut self.control.get_or_insert_default().begun;
        begun.extend_from_slice(Header::new(PING, 0).as_bytes());
    }

    /// Queues the close frame, behind all objects.
    pub(super) fn close(&mut self, is_stopping: bool) {
        self.is_closed = true;
        let code = match (self.input.end(), self.close_code) {
            // the peer may have sent its close frame right behind an error
            (_, Some(code)) => code,
            (Some(End::Closed(code)), _) => code.unwrap_or(close_code::NORMAL),
            (_, None) if is_stopping => close_code::GOING_AWAY,
            (_, None) => close_code::POLICY_VIOLATION,
        };
        self.control.get_or_insert_default().close.extend_from_slice(&close_frame(code));
    }
}
