//! The peer's bytes become operations on the hub. Input that has to wait is stored, and its effects on the
//! decoder and the rate limit are undone.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use crate::decode::{Decoder, Frame};
use crate::error::{DecodeError, ErrorClass};
use crate::handshake::{PeerKind, Registration, Stranger};
use crate::hub::{ConnId, Departure, Hub, Now, Output};
use crate::limits::Limits;
use crate::name::NameError;
use crate::proxy;
use crate::websocket::{MARK, Violation, close_code};

use super::allowance::Allowance;
use super::moment::Moment;
use super::stash::Stash;
use super::state::{Phase, ServerConnection};
use super::websocket::WebSocket;

/// An operation on the hub that a peer's bytes request.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// The peer is a proxy, which has stated the address of its user, or none.
    Origin(Option<IpAddr>),
    /// From here on the peer is known to use TLS.
    Secured,
    Name(Cow<'a, [u8]>, PeerKind),
    /// A name that came as text where only TLS is spoken.
    Insecure(Cow<'a, [u8]>),
    BadName(NameError),
    LateLineFeed,
    Frame(Frame<'a>),
    Bad(DecodeError),
    /// The rules of the framing were violated.
    Violation(Violation),
    Stranger(Stranger),
    /// The peer will send nothing more.
    End,
    /// The connection has room for the next object of a long answer.
    Part,
}

/// An input with its connection, and the state to restore if later input is put back.
#[derive(Debug)]
pub(crate) struct Op<'a> {
    pub(crate) conn: ConnId,
    pub(crate) input: Input<'a>,
    /// The bytes that had not been looked at when this input was complete.
    rest: &'a [u8],
    /// The decoder's position and the peer's allowance then.
    position: u64,
    allowance: Allowance,
    /// Over WebSocket: whether its message had its object then.
    has_object: bool,
}

impl Input<'_> {
    /// Puts it through the hub.
    pub(crate) fn apply(&self, hub: &mut Hub, conn: ConnId, now: Now, out: &mut Output) {
        match self {
            Input::Origin(address) => hub.handle_origin(conn, *address, now, out),
            Input::Secured => hub.handle_secured(conn),
            Input::Insecure(name) => hub.handle_insecure_name(conn, name, now, out),
            Input::Name(name, kind) => hub.handle_name(conn, name, *kind, now, out),
            Input::BadName(error) => hub.handle_bad_name(conn, b"", *error, now, out),
            Input::LateLineFeed => hub.handle_late_line_feed(conn),
            Input::Frame(frame) => {
                let handled = hub.handle_message(conn, &frame.message(), now, out);
                debug_assert!(handled, "the input of a connection that waits is held back");
            }
            Input::Bad(error) => {
                let handled = hub.handle_decode_error(conn, error, now, out);
                debug_assert!(handled, "as above");
            }
            Input::Violation(violation) => hub.handle_violation(conn, *violation, now, out),
            Input::Stranger(stranger) => hub.handle_stranger(conn, *stranger, now, out),
            Input::End => {
                let handled = hub.handle_end(conn, Departure::Left, now, out);
                debug_assert!(handled, "as above");
            }
            Input::Part => debug_assert!(false, "it is no input of the peer's"),
        }
    }
}

impl ServerConnection {
    /// New bytes are about to be handled: the stored input is used up.
    pub(crate) fn begin_input(&mut self) {
        (self.from_stash, self.stash) = (false, None);
    }

    /// `count` bytes were read; 0 is the peer's end.
    pub(crate) fn handle_read(&mut self, count: usize) {
        self.at_end = count == 0;
    }

    /// Moves stored input to the front of the buffer. Returns how many bytes.
    pub(crate) fn take_backlog(&mut self, buffer: &mut [u8]) -> usize {
        self.from_stash = true;
        self.stash.as_mut().map_or(0, |stash| stash.take(buffer))
    }

    /// Stores the unhandled rest of the bytes.
    fn keep(&mut self, rest: &[u8]) {
        match &mut self.stash {
            Some(stash) if self.from_stash => stash.put_back(rest.len()),
            stash if rest.is_empty() => *stash = None,
            stash => *stash = Some(Box::new(Stash::new(rest))),
        }
    }

    /// Turns the peer's bytes into operations. If the peer is too fast, the rest is stored for later.
    pub(crate) fn handle_bytes<'a>(
        &mut self,
        mut bytes: &'a [u8],
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) {
        let is_registered = match self.framing {
            None => self.register(&mut bytes, now, limits, ops),
            Some(_) => self.register_framed(&mut bytes, now, limits, ops),
        };
        if !is_registered {
            return self.tell_violation(ops);
        }
        let moment = Moment::of(now);
        loop {
            if self.is_user()
                && !self.is_prepaid
                && let Some(pause) = self.allowance.exhausted_for(moment, limits)
                && bytes.iter().any(|&byte| !byte.is_ascii_whitespace() && byte != MARK)
            {
                self.keep(bytes);
                self.resume_at = Some(Moment::of(now + pause));
                return;
            }
            let Phase::Messages(decoder) = &mut self.phase else { return };
            let before = decoder.position();
            let decoded = match &mut self.framing {
                None => decoder.decode(&mut bytes).map_err(Input::Bad),
                Some(framing) => decode_framed(decoder, framing, &mut bytes),
            };
            let input = match decoded {
                Ok(None) => break,
                Ok(Some(frame)) => Input::Frame(frame),
                Err(error) => error,
            };
            if !std::mem::take(&mut self.is_prepaid) {
                self.allowance.charge(decoder.position() - before, moment, limits);
            }
            let is_final = match &input {
                Input::Bad(error) => error.class() == ErrorClass::Framing,
                Input::Violation(_) => true,
                _ => false,
            };
            let position = decoder.position();
            self.push(input, bytes, position, ops);
            if is_final {
                // (over WebSocket) the text is no object of the protocol
                self.set_close_code(close_code::INVALID_DATA);
                self.phase = Phase::Discard;
                return;
            }
        }
        if self.has_stash() {
            return;
        }
        self.tell_violation(ops);
        if let Phase::Messages(decoder) = &mut self.phase
            && self.at_end
            && !self.end_told
        {
            let error = decoder.finish().err();
            self.end(error.map(Input::Bad), ops);
        }
    }

    /// Everything before a violation of the framing was handled: the hub is told.
    fn tell_violation(&mut self, ops: &mut Vec<Op<'_>>) {
        if self.has_stash() || matches!(self.phase, Phase::Discard) {
            return;
        }
        let Some(framing) = &mut self.framing else { return };
        if let Some(violation) = framing.untold_violation() {
            framing.violation_told = true;
            self.set_close_code(violation.close_code());
            self.phase = Phase::Discard;
            self.push(Input::Violation(violation), &[], 0, ops);
        }
    }

    fn push<'a>(&self, input: Input<'a>, rest: &'a [u8], position: u64, ops: &mut Vec<Op<'a>>) {
        let (conn, allowance) = (self.id, self.allowance);
        let has_object = self.framing.as_ref().is_some_and(|framing| framing.has_object);
        ops.push(Op { conn, input, rest, position, allowance, has_object });
    }

    /// The peer has been silent for long enough, if `now` is not too early.
    pub(crate) fn handle_silence<'a>(
        &mut self,
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) {
        if let Phase::Handshake { machine, silent_at } = &mut self.phase
            && silent_at.take_if(|at| *at <= now).is_some()
        {
            let step = machine.handle_silence();
            self.take_step(step, &[], now, limits, ops);
        }
    }

    /// Takes the registration from the front of the bytes. False if none are left for messages.
    fn register<'a>(
        &mut self,
        bytes: &mut &'a [u8],
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) -> bool {
        while let Phase::Handshake { machine, .. } = &mut self.phase {
            let step = match bytes.starts_with(proxy::SIGNATURE) && machine.is_fresh() {
                // it begins with an empty line, and is refused as an empty name if it comes in pieces
                true => Registration::Stranger(Stranger::Proxy),
                false => machine.handle_input(bytes, limits.unregistered),
            };
            let waits = step == Registration::Waiting;
            self.take_step(step, bytes, now, limits, ops);
            if waits && self.at_end && !self.end_told {
                if let Phase::Handshake { machine, .. } = &mut self.phase {
                    let step = machine.handle_end();
                    self.take_step(step, &[], now, limits, ops);
                }
                self.end(None, ops);
            }
            if waits {
                return false;
            }
        }
        true
    }

    /// The same over WebSocket: the first message is the name.
    fn register_framed<'a>(
        &mut self,
        bytes: &mut &'a [u8],
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) -> bool {
        while let Phase::Handshake { machine, .. } = &mut self.phase {
            let end = memchr::memchr(MARK, bytes);
            let (mut name, behind) = bytes.split_at(end.unwrap_or(bytes.len()));
            let mut step = machine.handle_input(&mut name, limits.unregistered);
            if step == Registration::Waiting && end.is_some() {
                step = machine.handle_message_end();
            }
            *bytes = behind;
            if step == Registration::Waiting {
                if self.at_end && !self.end_told {
                    self.end(None, ops);
                }
                return false;
            }
            if let Some(framing) = &mut self.framing {
                framing.has_object = true;
            }
            self.take_step(step, bytes, now, limits, ops);
        }
        true
    }

    fn take_step<'a>(
        &mut self,
        step: Registration<'a>,
        rest: &'a [u8],
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) {
        let input = match step {
            Registration::Waiting => {
                if let Phase::Handshake { machine, silent_at } = &mut self.phase {
                    *silent_at = machine.has_begun().then(|| now + limits.handshake_grace);
                }
                return;
            }
            Registration::Done => {
                self.phase = Phase::Messages(Decoder::new(limits.frame));
                return;
            }
            Registration::Gone => return,
            Registration::Name(name, kind) if self.needs_tls => {
                self.phase = Phase::Discard;
                self.outbox.set_kind(kind);
                Input::Insecure(name)
            }
            Registration::Name(name, kind) => {
                self.outbox.set_kind(kind);
                Input::Name(name, kind)
            }
            Registration::LateLineFeed => {
                self.outbox.set_kind(PeerKind::Stream);
                Input::LateLineFeed
            }
            Registration::Stranger(stranger) => {
                self.phase = Phase::Discard;
                self.outbox.set_kind(PeerKind::Stream);
                Input::Stranger(stranger)
            }
            Registration::Refused(_) => {
                self.phase = Phase::Discard;
                Input::BadName(NameError::TooLong { limit: limits.name })
            }
        };
        self.push(input, rest, 0, ops);
    }

    /// The peer uses TLS: the hub is to know before anything else is made of the peer's bytes.
    pub(crate) fn handle_secured(&mut self, ops: &mut Vec<Op<'_>>) {
        self.push(Input::Secured, &[], 0, ops);
    }

    /// The peer is a proxy, which has stated the address of its user: the hub is to know it first.
    pub(crate) fn handle_origin(&mut self, address: Option<IpAddr>, ops: &mut Vec<Op<'_>>) {
        self.push(Input::Origin(address), &[], 0, ops);
    }

    fn end<'a>(&mut self, before: Option<Input<'a>>, ops: &mut Vec<Op<'a>>) {
        self.end_told = true;
        for input in before.into_iter().chain([Input::End]) {
            self.push(input, &[], 0, ops);
        }
    }

    /// The connection takes the next object of its long answer.
    pub(crate) fn take_part(&mut self, ops: &mut Vec<Op<'_>>) {
        self.push(Input::Part, &[], 0, ops);
    }

    /// Stores the bytes behind `op` for another turn, and undoes their effects on the decoder and the
    /// rate limit.
    pub(crate) fn keep_rest(&mut self, op: &Op<'_>, limits: &Limits) {
        self.allowance = op.allowance;
        self.keep(op.rest);
        self.rewind(op.position, op.has_object, limits);
    }

    /// Stores the message and the bytes behind it for another turn. The message is not charged again.
    pub(crate) fn keep_all(&mut self, op: &Op<'_>, frame: &Frame<'_>, limits: &Limits) {
        let text = frame.as_str().as_bytes();
        self.allowance = op.allowance;
        self.is_prepaid = true;
        match &mut self.stash {
            Some(stash) if self.from_stash => stash.put_before(text, op.rest.len()),
            stash => *stash = Some(Box::new(Stash::of([text, op.rest]))),
        }
        self.rewind(op.position - text.len() as u64, false, limits);
    }

    fn rewind(&mut self, position: u64, has_object: bool, limits: &Limits) {
        self.end_told = false;
        if let Some(framing) = &mut self.framing {
            (framing.has_object, framing.violation_told) = (has_object, false);
            // an error behind that has not happened yet
            framing.close_code = None;
        }
        if let Phase::Discard = self.phase {
            self.phase = Phase::Messages(Decoder::new(limits.frame));
        }
        if let Phase::Messages(decoder) = &mut self.phase {
            decoder.rewind(position);
        }
    }
}

/// Decodes what is in front of the next mark, and what the mark says. One message has one object at most.
fn decode_framed<'a>(
    decoder: &mut Decoder,
    framing: &mut WebSocket,
    bytes: &mut &'a [u8],
) -> Result<Option<Frame<'a>>, Input<'a>> {
    loop {
        let end = memchr::memchr(MARK, bytes);
        let (mut message, behind) = bytes.split_at(end.unwrap_or(bytes.len()));
        if framing.has_object {
            let blank = message.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            message = &message[blank..];
            if !message.is_empty() {
                return Err(Input::Violation(Violation::SecondObject));
            }
        }
        let decoded = decoder.decode(&mut message);
        *bytes = &bytes[bytes.len() - behind.len() - message.len()..];
        match decoded {
            Ok(None) if end.is_none() => return Ok(None),
            Ok(None) if decoder.is_inside_frame() => {
                return Err(Input::Violation(Violation::UnfinishedObject));
            }
            Ok(None) => {
                *bytes = &bytes[1..];
                framing.has_object = false;
            }
            Ok(Some(frame)) => {
                framing.has_object = true;
                return Ok(Some(frame));
            }
            Err(error) => {
                framing.has_object = true;
                return Err(Input::Bad(error));
            }
        }
    }
}
