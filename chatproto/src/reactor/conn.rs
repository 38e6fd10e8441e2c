//! One connection of an event loop: its socket, what it still has to say, what it is still to be
//! sent. How bytes become operations on the hub is here; carrying them out is the loop's.

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

/// Something that a peer's bytes ask of the hub.
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

/// An input, whose it is, and how to take back all that came after it.
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

/// What is done with the peer's bytes.
#[derive(Debug)]
enum Phase {
    Handshake {
        machine: Handshake,
        /// When the name is complete if nothing more comes.
        silent_at: Option<Instant>,
    },
    Messages(Decoder),
    /// Nothing: the connection is being closed.
    Discard,
}

/// How far the end of a connection has come, and when the next step is taken at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) step: Step,
    pub(super) until: Instant,
}

/// The steps of a connection's end, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// What is queued is written, then no more.
    Draining,
    /// A reader that was too slow is told what it missed; nothing comes after it.
    LastWords,
    /// The writing side is shut down; the peer's bytes are thrown away until it closes.
    Lingering,
}

/// Where the bytes came from that a connection put into the arena.
pub(super) enum Filled {
    /// So many from the socket, none at its end; and whether there may be more.
    Bytes(usize, bool),
    /// None for now, but the socket may have more.
    More,
    /// So many that were read before.
    Backlog(usize),
    /// There are none for now.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: Stream,
    pub(super) id: ConnId,
    pub(super) outbox: Outbox,
    phase: Phase,
    stash: Option<Box<Stash>>,
    /// What it keeps of its input, as it was last counted.
    input_held: u32,
    allowance: Allowance,
    /// The next message was counted already.
    is_prepaid: bool,
    /// What the user has left of its share of work.
    pub(super) share: Share,
    /// Present from the beginning of the end; few connections are there at a time.
    pub(super) closing: Option<Box<Closing>>,
    /// A timer will tell when a one-read peer may get its next object.
    pub(super) is_paced: bool,
    /// A timer will tell when the peer, which sent too fast, may be read again.
    pub(super) is_paused: bool,
    /// It was ahead of its rate when it was last read.
    pub(super) is_ahead: bool,
    /// What is being handled came from the stash.
    from_stash: bool,
    /// It is in the list of connections to write to, or to read from.
    pub(super) is_dirty: bool,
    pub(super) is_ready: bool,
    /// It is to be written to only after those that wait for something else than a broadcast.
    pub(super) is_late: bool,
    /// It is a heavy user for so many more short reads.
    pub(super) heavy: u8,
    /// Its other operations of the batch are kept for another turn.
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

    /// What the peer sent until now does not count any longer. Whether it was paused, and may go on.
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

    /// Whether the hub waits for an effect, or until a long answer is complete, before it goes on with
    /// this connection.
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

    /// What is due if that effect takes too long for a peer that has ended.
    pub(super) fn patience(&self) -> Option<Due> {
        (self.saw_end && self.is_waiting()).then_some(Due::Patience(self.waits_for))
    }

    /// The effect is finished, or the answer complete.
    pub(super) fn go_on(&mut self) {
        self.wait_for(0, false, false);
    }

    /// It waits for something else now: another effect, or another part of its answer, or an effect
    /// that the next part needs.
    pub(super) fn wait_for(&mut self, number: u32, is_answering: bool, awaits_effect: bool) {
        self.waits_for = number;
        self.is_answering = is_answering;
        self.awaits_effect = awaits_effect;
    }

    fn has_stash(&self) -> bool {
        self.stash.as_ref().is_some_and(|stash| !stash.is_empty())
    }

    /// Keeps the last part of the bytes that are being handled.
    fn keep(&mut self, rest: &[u8]) {
        match &mut self.stash {
            Some(stash) if self.from_stash => stash.put_back(rest.len()),
            stash if rest.is_empty() => *stash = None,
            stash => *stash = Some(Box::new(Stash::new(rest))),
        }
    }

    /// Bytes of heap that it keeps of its input, as it was last counted.
    pub(super) fn input_held(&self) -> usize {
        self.input_held as usize
    }

    /// Counts what it keeps of its input. Returns what was counted before, and what is counted now.
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

    /// Puts the next bytes to handle, so many at most, at the front of the arena.
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
        // what stands behind a name may have to be kept until it is decided about the name
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

    /// Takes what has come from the socket and throws it away: a socket that is closed with
    /// unread bytes resets its connection, which may destroy the last words (B16).
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
        // what is thrown away may come as fast as it likes
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

    /// The bytes behind `op` are kept: what was made of them is void.
    pub(super) fn keep_rest(&mut self, op: &Op<'_>, limits: &Limits) {
        self.end_told = false;
        self.allowance = op.allowance;
        self.keep(op.rest);
        self.rewind(op.position, limits);
    }

    /// The message is kept with the bytes behind it, and not counted a second time.
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
