//! The peer's bytes become operations on the hub. Input that has to wait is stored, and its effects on the
//! decoder and the rate limit are undone.

use std::borrow::Cow;
use std::time::Instant;

use crate::decode::{Decoder, Frame};
use crate::error::{DecodeError, ErrorClass};
use crate::handshake::{PeerKind, Registration, Stranger};
use crate::hub::{ConnId, Departure, Hub, Now, Output};
use crate::limits::Limits;
use crate::name::NameError;

use super::allowance::Allowance;
use super::moment::Moment;
use super::stash::Stash;
use super::state::{Phase, ServerConnection};

/// An operation on the hub that a peer's bytes request.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// From here on the peer is known to use TLS.
    Secured,
    Name(Cow<'a, [u8]>, PeerKind),
    /// A name that came as text where only TLS is spoken.
    Insecure(Cow<'a, [u8]>),
    BadName(NameError),
    LateLineFeed,
    Frame(Frame<'a>),
    Bad(DecodeError),
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
}

impl Input<'_> {
    /// Puts it through the hub.
    pub(crate) fn apply(&self, hub: &mut Hub, conn: ConnId, now: Now, out: &mut Output) {
        match self {
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
        if !self.register(&mut bytes, now, limits, ops) {
            return;
        }
        let moment = Moment::of(now);
        loop {
            if self.is_user()
                && !self.is_prepaid
                && let Some(pause) = self.allowance.exhausted_for(moment, limits)
                && bytes.iter().any(|byte| !byte.is_ascii_whitespace())
            {
                self.keep(bytes);
                self.resume_at = Some(Moment::of(now + pause));
                return;
            }
            let Phase::Messages(decoder) = &mut self.phase else { return };
            let before = decoder.position();
            let input = match decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(frame)) => Input::Frame(frame),
                Err(error) => Input::Bad(error),
            };
            if !std::mem::take(&mut self.is_prepaid) {
                self.allowance.charge(decoder.position() - before, moment, limits);
            }
            let is_final = matches!(&input, Input::Bad(e) if e.class() == ErrorClass::Framing);
            let (conn, position) = (self.id, decoder.position());
            ops.push(Op { conn, input, rest: bytes, position, allowance: self.allowance });
            if is_final {
                self.phase = Phase::Discard;
                return;
            }
        }
        if let Phase::Messages(decoder) = &mut self.phase
            && self.at_end
            && !self.end_told
            && self.stash.as_ref().is_none_or(|stash| stash.is_empty())
        {
            let error = decoder.finish().err();
            self.end(error.map(Input::Bad), ops);
        }
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
            let step = machine.handle_input(bytes, limits.unregistered);
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
        let (conn, allowance) = (self.id, self.allowance);
        ops.push(Op { conn, input, rest, position: 0, allowance });
    }

    /// The peer uses TLS: the hub is to know before anything else is made of the peer's bytes.
    pub(crate) fn handle_secured(&mut self, ops: &mut Vec<Op<'_>>) {
        let (conn, allowance) = (self.id, self.allowance);
        ops.push(Op { conn, input: Input::Secured, rest: &[], position: 0, allowance });
    }

    fn end<'a>(&mut self, before: Option<Input<'a>>, ops: &mut Vec<Op<'a>>) {
        self.end_told = true;
        let (conn, allowance) = (self.id, self.allowance);
        for input in before.into_iter().chain([Input::End]) {
            ops.push(Op { conn, input, rest: &[], position: 0, allowance });
        }
    }

    /// The connection takes the next object of its long answer.
    pub(crate) fn take_part(&mut self, ops: &mut Vec<Op<'_>>) {
        let (conn, allowance) = (self.id, self.allowance);
        ops.push(Op { conn, input: Input::Part, rest: &[], position: 0, allowance });
    }

    /// Stores the bytes behind `op` for another turn, and undoes their effects on the decoder and the
    /// rate limit.
    pub(crate) fn keep_rest(&mut self, op: &Op<'_>, limits: &Limits) {
        self.end_told = false;
        self.allowance = op.allowance;
        self.keep(op.rest);
        self.rewind(op.position, limits);
    }

    /// Stores the message and the bytes behind it for another turn. The message is not charged again.
    pub(crate) fn keep_all(&mut self, op: &Op<'_>, frame: &Frame<'_>, limits: &Limits) {
        let text = frame.as_str().as_bytes();
        self.end_told = false;
        self.allowance = op.allowance;
        self.is_prepaid = true;
        match &mut self.stash {
            Some(stash) if self.from_stash => stash.put_before(text, op.rest.len()),
            stash => *stash = Some(Box::new(Stash::of([text, op.rest]))),
        }
        self.rewind(op.position - text.len() as u64, limits);
    }

    fn rewind(&mut self, position: u64, limits: &Limits) {
        if let Phase::Discard = self.phase {
            self.phase = Phase::Messages(Decoder::new(limits.frame));
        }
        if let Phase::Messages(decoder) = &mut self.phase {
            decoder.rewind(position);
        }
    }
}
