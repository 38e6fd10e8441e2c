//! The framing of a connection: how objects stand in the byte stream. Plain objects follow one another. Over
//! WebSocket, each object is a text frame, and control frames stand between them.

use std::time::Instant;

use crate::handshake::{Handshake, PeerKind};
use crate::limits::Limits;
use crate::outbox::{Outbox, Writable};
use crate::websocket::{End, Header, MARK, TEXT};

use super::moment::Moment;
use super::stash::Stash;
use super::state::{Phase, ServerConnection};
use super::websocket::WebSocket;

/// How objects stand in the byte stream of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// The objects follow one another (B1). A name comes first.
    #[default]
    Plain,
    /// WebSocket, behind its handshake (B20): a text message is one object, and the first message is the name.
    WebSocket,
}

impl ServerConnection {
    /// The same connection with another framing. (It must be set before the first input.)
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = match framing {
            Framing::Plain => None,
            Framing::WebSocket => {
                self.outbox.set_kind(PeerKind::Stream);
                let machine = Handshake::of_message();
                self.phase = Phase::Handshake { machine, silent_at: None };
                Some(Box::new(WebSocket::new()))
            }
        };
        self
    }

    /// The peer has said its name before the framing began, such as in a URL. To be called before any input.
    pub fn handle_requested_name(&mut self, name: &str) {
        let end = if self.is_framed() { MARK } else { b'\n' };
        self.stash = Some(Box::new(Stash::of([name.as_bytes(), &[end]])));
    }

    /// The framing of the connection.
    pub fn framing(&self) -> Framing {
        if self.framing.is_some() { Framing::WebSocket } else { Framing::Plain }
    }

    /// Whether objects to the peer are in frames of their own: see [`ServerConnection::write_frames`].
    pub(crate) fn is_framed(&self) -> bool {
        self.framing.is_some()
    }

    /// Takes input out of its frames. The first byte of `bytes` is spare, and the input begins at the second
    /// one. Returns the length of the result, which begins at the first byte.
    pub(crate) fn unframe(&mut self, bytes: &mut [u8], now: Instant, limits: &Limits) -> usize {
        let Some(websocket) = &mut self.framing else { return 0 };
        let length = websocket.input.unframe(bytes);
        if websocket.input.has_ping() && !websocket.is_closed {
            websocket.answer_ping();
        }
        let controls = websocket.input.take_controls();
        if let Some(End::Closed(_)) = websocket.input.end() {
            (self.saw_end, self.at_end) = (true, true);
        }
        // discarded input has no rate limit
        if controls > 0 && !matches!(self.phase, Phase::Discard) {
            let moment = Moment::of(now);
            // a control frame costs as much as a short message
            (0..controls).for_each(|_| self.allowance.charge(1, moment, limits));
            if let Some(pause) = self.allowance.exhausted_for(moment, limits) {
                self.resume_at = Some(Moment::of(now + pause));
            }
        }
        length
    }

    /// The connection is over: nothing of its input is stored any more.
    pub(crate) fn drop_input(&mut self) {
        self.discard_input();
        self.framing = None;
    }

    /// Whether a pong or a close frame is to be written.
    pub(crate) fn has_control(&self) -> bool {
        self.framing.as_ref().is_some_and(|framing| framing.has_control()) && !self.outbox.is_dead()
    }

    /// Queues a ping, unless other bytes wait. Returns whether it did.
    pub(crate) fn ping(&mut self) -> bool {
        let can_write = self.outbox.is_empty() && !self.outbox.is_dead() && !self.is_closing();
        let framing = self.framing.as_mut().filter(|framing| can_write && !framing.has_control());
        framing.map(|framing| framing.ping()).is_some()
    }

    /// Whether the peer has yet to be told, in its framing, that nothing more comes.
    pub(super) fn owes_close_frame(&self) -> bool {
        let Some(framing) = &self.framing else { return false };
        // a peer whose stream ends without a close frame has given its WebSocket up (RFC 6455, section 7.1.5)
        let is_given_up = self.at_end && framing.input.end().is_none();
        !framing.is_closed && !is_given_up && !self.outbox.is_dead()
    }

    /// Says, behind all objects, that nothing more comes.
    pub(crate) fn queue_close_frame(&mut self, is_stopping: bool) {
        if let Some(framing) = &mut self.framing {
            framing.close(is_stopping);
        }
    }

    /// The code of the close frame that is to come.
    pub(super) fn set_close_code(&mut self, code: u16) {
        if let Some(framing) = &mut self.framing {
            framing.close_code.get_or_insert(code);
        }
    }

    /// The bytes that may be written now. For a connection with frames, this only tells whether there are any:
    /// see [`ServerConnection::write_frames`].
    pub(crate) fn writable(&self, now: Instant) -> Writable<'_> {
        if self.has_control() { Writable::Many } else { self.outbox.writable(now) }
    }

    /// Appends the frames that may be written now to the buffer, until its length is `most`.
    pub(crate) fn write_frames(&self, buffer: &mut Vec<u8>, most: usize) {
        let Some(websocket) = self.framing.as_ref().filter(|_| !self.outbox.is_dead()) else {
            return;
        };
        let is_begun = self.outbox.is_begun();
        let control = websocket.control.as_deref();
        let mut push = |bytes: &[u8]| {
            let room = most.saturating_sub(buffer.len());
            buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
            room >= bytes.len()
        };
        if let Some(control) = control.filter(|_| !is_begun)
            && !(push(&control.begun) && push(&control.pong))
        {
            return;
        }
        for frame in frames(&self.outbox, websocket.header_written) {
            // behind an object that was begun, a control frame is next
            if !(push(frame.header_rest()) && push(frame.payload))
                || (is_begun && control.is_some())
            {
                return;
            }
        }
        if let Some(control) = control {
            push(&control.close);
        }
    }

    /// The transport took `count` bytes that [`ServerConnection::writable`] or
    /// [`ServerConnection::write_frames`] gave.
    pub(crate) fn handle_written(&mut self, count: usize, now: Instant, limits: &Limits) {
        let Some(websocket) = &mut self.framing else {
            return self.outbox.handle_written(count, now, limits);
        };
        let (mut left, mut payload, mut header_written) = (count, 0, 0);
        if let Some(control) = websocket.control.as_deref_mut().filter(|_| !self.outbox.is_begun())
        {
            left = control.handle_written(left);
        }
        for frame in frames(&self.outbox, websocket.header_written) {
            let header = frame.header_rest().len();
            if left == 0 {
                break;
            }
            if left <= header {
                (header_written, left) = (frame.header_written + left, 0);
                break;
            }
            left -= header;
            let taken = left.min(frame.payload.len());
            (left, payload) = (left - taken, payload + taken);
        }
        if count > 0 && (payload > 0 || header_written > 0) {
            websocket.header_written = header_written as u8;
        }
        self.outbox.handle_written(payload, now, limits);
        if header_written > 0 {
            self.outbox.begin_front();
        }
        if let Some(control) = &mut websocket.control {
            control.handle_close_written(left);
        }
        websocket.control.take_if(|control| control.is_empty());
    }
}

/// An object as a frame.
struct Frame<'a> {
    header: Header,
    /// Bytes of the header that were written.
    header_written: usize,
    /// The object with its line feed, or the unwritten rest.
    payload: &'a [u8],
}

impl Frame<'_> {
    fn header_rest(&self) -> &[u8] {
        &self.header.as_bytes()[self.header_written..]
    }
}

/// The frames that may be written now. `header_written` is for a first frame whose payload was not begun.
fn frames(outbox: &Outbox, header_written: u8) -> impl Iterator<Item = Frame<'_>> {
    let begun = outbox.is_begun();
    outbox.writable_objects().enumerate().map(move |(index, payload)| {
        let header = Header::new(TEXT, payload.len());
        let header_written = match header_written {
            _ if index > 0 || !begun => 0,
            // the object was begun, and only its rest is here
            0 => header.as_bytes().len(),
            written => usize::from(written),
        };
        Frame { header, header_written, payload }
    })
}
