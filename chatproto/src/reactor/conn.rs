//! One connection of an event loop: its socket, its unprocessed input and its outbox. Bytes become
//! operations on the hub here. The event loop carries the operations out.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use crate::decode::{Decoder, Frame};
use crate::error::{DecodeError, ErrorClass};
use crate::handshake::{Handshake, PeerKind, Registration, Stranger};
use crate::hub::ConnId;
use crate::limits::Limits;
use crate::name::NameError;
use crate::outbox::Outbox;

use super::allowance::{Allowance, Moment};
use super::ready::{Class, Share};
use super::stash::Stash;
use super::stream::Stream;
use super::timer::Due;

/// An operation on the hub that a peer's bytes request.
#[derive(Debug)]
pub(super) enum Input<'a> {
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
pub(super) struct Op<'a> {
    pub(super) conn: ConnId,
    pub(super) input: Input<'a>,
    /// The bytes that had not been looked at when this input was complete.
    rest: &'a [u8],
    /// The decoder's position and the peer's allowance then.
    position: u64,
    allowance: Allowance,
}

/// The state of the input.
#[derive(Debug)]
enum Phase {
    Handshake {
        machine: Handshake,
        /// When the name is complete if nothing more comes.
        silent_at: Option<Instant>,
    },
    Messages(Decoder),
    /// Input is discarded: the connection is being closed.
    Discard,
}

/// The current step of a connection's end, and the deadline of the next step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) step: Step,
    pub(super) until: Instant,
}

/// The steps of a connection's end, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Queued messages are written. New ones are not queued.
    Draining,
    /// A slow reader is told how many messages it missed. Nothing follows.
    LastWords,
    /// The writing side is shut down. The peer's bytes are discarded until it closes.
    Lingering,
}

/// The source of the bytes that a connection put into the arena.
pub(super) enum Filled {
    /// The number of bytes from the socket (0 at the end of file), and whether there may be more.
    Bytes(usize, bool),
    /// No bytes now, but the socket may have more.
    More,
    /// The number of bytes from the stash.
    Backlog(usize),
    /// No bytes now.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: Stream,
    pub(super) id: ConnId,
    pub(super) outbox: Outbox,
    phase: Phase,
    stash: Option<Box<Stash>>,
    /// Heap of its stored input, as last counted.
    input_held: u32,
    allowance: Allowance,
    /// The next message was charged already.
    is_prepaid: bool,
    /// The unused part of the user's share of work.
    pub(super) share: Share,
    /// Present while the connection is being closed. Boxed, because few are at a time.
    pub(super) closing: Option<Box<Closing>>,
    /// A timer is set for the next object to a one-read peer.
    pub(super) is_paced: bool,
    /// A timer is set for the end of a pause by the rate limit.
    pub(super) is_paused: bool,
    /// The peer was ahead of its rate at the last read.
    pub(super) is_ahead: bool,
    /// The bytes being handled came from the stash.
    from_stash: bool,
    /// In the list of connections to write to, and in that to read from.
    pub(super) is_dirty: bool,
    pub(super) is_ready: bool,
    /// Only a broadcast is queued: connections with other messages are written first.
    pub(super) is_late: bool,
    /// The number of further short reads for which it is a heavy user.
    pub(super) heavy: u8,
    /// Its other operations of the batch were put back for another turn.
    pub(super) has_yielded: bool,
    /// A long answer is being produced, and its input waits until it is complete.
    pub(super) is_answering: bool,
    /// An effect is under way that the hub waits for, and the next object of a long answer too.
    pub(super) awaits_effect: bool,
    /// The number of the effect, or of the part of a long answer, that the hub waits for before it goes
    /// on with this connection; 0 if there is none.
    waits_for: u32,
    /// The peer's end of file is known to come, was read, was handed on.
    pub(super) saw_end: bool,
    pub(super) at_end: bool,
    end_told: bool,
}

impl Conn {
    pub(super) fn new(stream: Stream, id: ConnId) -> Self {
        Conn {
            stream,
            id,
            outbox: Outbox::new(),
            phase: Phase::Handshake { machine: Handshake::new(), silent_at: None },
            stash: None,
            input_held: 0,
            allowance: Allowance::default(),
            is_prepaid: false,
            share: Share::new(),
            closing: None,
            is_paced: false,
            is_paused: false,
            is_ahead: false,
            from_stash: false,
            is_dirty: false,
            is_ready: false,
            is_late: false,
            heavy: 0,
            has_yielded: false,
            is_answering: false,
            awaits_effect: false,
            waits_for: 0,
            saw_end: false,
            at_end: false,
            end_told: false,
        }
    }

    /// Resets the rate limit. Returns whether it was paused.
    pub(super) fn forgive(&mut self) -> bool {
        self.allowance = Allowance::default();
        self.is_ahead = false;
        std::mem::take(&mut self.is_paused)
    }

    /// Whether its socket should be read.
    pub(super) fn wants_bytes(&self) -> bool {
        !self.at_end && !self.is_waiting() && !self.is_paused && !self.has_stash()
    }

    /// Whether there is input that was read before and can be handled now.
    pub(super) fn has_backlog(&self) -> bool {
        let has_more = self.has_stash() || (self.at_end && !self.end_told);
        has_more && !self.is_waiting() && !self.is_paused
    }

    /// Whether the connection waits for an effect or for the end of a long answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits_for != 0
    }

    /// Whether the connection has taken all of a long answer that was produced.
    pub(super) fn wants_part(&self) -> bool {
        self.is_answering && self.outbox.wants_part()
    }

    /// Whether the hub is to be asked for the next object of a long answer now.
    pub(super) fn can_take_part(&self) -> bool {
        self.wants_part() && !self.awaits_effect
    }

    /// The deadline of the effect, for a peer that has ended.
    pub(super) fn patience(&self) -> Option<Due> {
        (self.saw_end && self.is_waiting()).then_some(Due::Patience(self.waits_for))
    }

    /// The effect is finished, or the answer complete.
    pub(super) fn go_on(&mut self) {
        self.wait_for(0, false, false);
    }

    /// Sets the number that it waits for: of an effect, of a part of its answer, or of an effect that
    /// the next part needs.
    pub(super) fn wait_for(&mut self, number: u32, is_answering: bool, awaits_effect: bool) {
        self.waits_for = number;
        self.is_answering = is_answering;
        self.awaits_effect = awaits_effect;
    }

    fn has_stash(&self) -> bool {
        self.stash.as_ref().is_some_and(|stash| !stash.is_empty())
    }

    /// Stores the unhandled rest of the bytes.
    fn keep(&mut self, rest: &[u8]) {
        match &mut self.stash {
            Some(stash) if self.from_stash => stash.put_back(rest.len()),
            stash if rest.is_empty() => *stash = None,
            stash => *stash = Some(Box::new(Stash::new(rest))),
        }
    }

    /// Bytes of heap of its stored input, as last counted.
    pub(super) fn input_held(&self) -> usize {
        self.input_held as usize
    }

    /// Counts its stored input again. Returns the previous and the new number of bytes.
    pub(super) fn recount_input(&mut self) -> (usize, usize) {
        let of_phase = match &self.phase {
            Phase::Handshake { machine, .. } => machine.held(),
            Phase::Messages(decoder) => decoder.held(),
            Phase::Discard => 0,
        };
        let now = of_phase + self.stash.as_ref().map_or(0, |stash| stash.held());
        // a frame has at most 1 GiB
        let now = now.min(u32::MAX as usize) as u32;
        (std::mem::replace(&mut self.input_held, now) as usize, now as usize)
    }

    /// Puts the next bytes to handle, at most `most`, at the front of the arena.
    pub(super) fn fill(
        &mut self,
        arena: &mut [u8],
        most: usize,
        limits: &Limits,
    ) -> io::Result<Filled> {
        let most = most.min(arena.len());
        if self.has_backlog() {
            self.from_stash = true;
            let length = self.stash.as_mut().map_or(0, |stash| stash.take(&mut arena[..most]));
            return Ok(Filled::Backlog(length));
        }
        if !self.wants_bytes() {
            return Ok(Filled::Nothing);
        }
        (self.from_stash, self.stash) = (false, None);
        // bytes behind a name may have to be stored until the name is decided
        let most = if self.is_guest() { most.min(limits.unregistered) } else { most };
        loop {
            return match self.stream.read(&mut arena[..most]) {
                Ok(read) => {
                    self.at_end = read == 0;
                    Ok(Filled::Bytes(read, read == most || self.stream.may_have_more()))
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Ok(if self.stream.may_have_more() { Filled::More } else { Filled::Nothing })
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Discards the bytes that the socket has received. Closing a socket with unread bytes resets the
    /// connection, and a reset may destroy the final message (B16).
    pub(super) fn discard_what_came(&mut self) {
        let mut bytes = [0; 16 * 1024];
        // somebody may be sending all the time
        for _ in 0..64 {
            match self.stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.closing_step() == Some(Step::Lingering)
    }

    /// When the name is complete if nothing more comes.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Handshake { silent_at, .. } => silent_at,
            Phase::Messages(_) | Phase::Discard => None,
        }
    }

    pub(super) fn closing_step(&self) -> Option<Step> {
        self.closing.as_deref().map(|closing| closing.step)
    }

    /// Stops looking at what the peer sends.
    pub(super) fn discard_input(&mut self) {
        self.phase = Phase::Discard;
        self.stash = None;
        self.go_on();
        self.end_told = true;
        // discarded bytes have no rate limit
        self.forgive();
    }

    /// Whether the peer has said its name and may send messages.
    pub(super) fn is_user(&self) -> bool {
        matches!(self.phase, Phase::Messages(_))
    }

    /// What kind of a turn it gets when it has something to read.
    pub(super) fn class(&self, round: u64) -> Class {
        match self.is_user() && (!self.saw_end || self.is_answering) {
            false => Class::Other,
            true if self.heavy > 0 || self.is_answering || self.share.is_used_up(round) => {
                Class::Heavy
            }
            true => Class::Light,
        }
    }

    /// Whether the peer has not said its name yet.
    pub(super) fn is_guest(&self) -> bool {
        matches!(self.phase, Phase::Handshake { .. })
    }

    /// Whether the peer is well ahead of the rate limit.
    pub(super) fn has_lead(&self, now: Instant, limits: &Limits) -> bool {
        self.allowance.has_lead(Moment::of(now), limits)
    }

    /// Turns the peer's bytes into operations. Returns when to go on, if the peer is too fast.
    pub(super) fn handle_bytes<'a>(
        &mut self,
        mut bytes: &'a [u8],
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) -> Option<Instant> {
        if !self.register(&mut bytes, now, limits, ops) {
            return None;
        }
        let moment = Moment::of(now);
        loop {
            if self.is_user()
                && !self.is_prepaid
                && let Some(pause) = self.allowance.exhausted_for(moment, limits)
                && bytes.iter().any(|byte| !byte.is_ascii_whitespace())
            {
                self.keep(bytes);
                self.is_paused = true;
                return Some(now + pause);
            }
            let Phase::Messages(decoder) = &mut self.phase else { return None };
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
                return None;
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
        None
    }

    /// The peer has been silent for long enough, if `now` is not too early.
    pub(super) fn handle_silence<'a>(
        &mut self,
        now: Instant,
        limits: &Limits,
        ops: &mut Vec<Op<'a>>,
    ) {
        if let Phase::Handshake { machine, silent_at: Some(at) } = &mut self.phase
            && *at <= now
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
            Registration::Name(name, kind) if self.stream.is_barred() => {
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
    pub(super) fn handle_secured(&mut self, ops: &mut Vec<Op<'_>>) {
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
    pub(super) fn take_part(&mut self, ops: &mut Vec<Op<'_>>) {
        let (conn, allowance) = (self.id, self.allowance);
        ops.push(Op { conn, input: Input::Part, rest: &[], position: 0, allowance });
    }

    /// Stores the bytes behind `op` for another turn, and undoes their effects on the decoder and the
    /// rate limit.
    pub(super) fn keep_rest(&mut self, op: &Op<'_>, limits: &Limits) {
        self.end_told = false;
        self.allowance = op.allowance;
        self.keep(op.rest);
        self.rewind(op.position, limits);
    }

    /// Stores the message and the bytes behind it for another turn. The message is not charged again.
    pub(super) fn keep_all(&mut self, op: &Op<'_>, frame: &Frame<'_>, limits: &Limits) {
        let text = frame.as_str().as_bytes();
        self.end_told = false;
        self.allowance = op.allowance;
        self.is_prepaid = true;
        match &mut self.stash {
            Some(stash) if self.from_stash => stash.put_before(text, op.rest.len()),
            stash => *stash = Some(Box::new(Stash::new(&[text, op.rest].concat()))),
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
