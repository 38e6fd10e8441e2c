//! The state of a connection's server side, and what it says of itself.

use std::time::Instant;

use crate::decode::Decoder;
use crate::handshake::Handshake;
use crate::hub::ConnId;
use crate::limits::Limits;
use crate::outbox::Outbox;

use super::allowance::Allowance;
use super::config::ConnectionConfig;
use super::moment::Moment;
use super::stash::Stash;
use super::websocket::WebSocket;

/// The server's side of one connection. See the [module's documentation](super).
#[derive(Debug)]
pub struct ServerConnection {
    pub(crate) id: ConnId,
    pub(crate) outbox: Outbox,
    pub(super) phase: Phase,
    /// None if the framing is plain.
    pub(super) framing: Option<Box<WebSocket>>,
    /// Where only TLS is spoken, the peer sent text.
    pub(super) needs_tls: bool,
    pub(super) stash: Option<Box<Stash>>,
    /// Heap of its stored input, as last counted.
    pub(super) input_held: u32,
    pub(super) allowance: Allowance,
    /// The next message was charged already.
    pub(super) is_prepaid: bool,
    /// The bytes being handled came from the stash.
    pub(super) from_stash: bool,
    /// When the name must be complete.
    pub(super) register_by: Option<Moment>,
    /// When a peer that sent too fast may be read again.
    pub(super) resume_at: Option<Moment>,
    /// When the effect that the hub waits for has had its time, if the peer has ended.
    pub(super) patient_until: Option<Moment>,
    /// Present while the connection is being closed. Boxed, because few are at a time.
    pub(super) closing: Option<Box<Closing>>,
    /// The hub waits for an effect, or produces a long answer: input waits until that is complete.
    pub(super) is_waiting: bool,
    /// A long answer is being produced.
    pub(super) is_answering: bool,
    /// An effect is under way that the hub waits for, and the next object of a long answer too.
    pub(super) awaits_effect: bool,
    /// The peer's end of file is known to come, was read, was handed on.
    pub(super) saw_end: bool,
    pub(super) at_end: bool,
    pub(super) end_told: bool,
}

/// The state of the input.
#[derive(Debug)]
pub(super) enum Phase {
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
pub(crate) enum Step {
    /// Queued messages are written. New ones are not queued.
    Draining,
    /// A slow reader is told how many messages it missed. Nothing follows.
    LastWords,
    /// The writing side is shut down. The peer's bytes are discarded until it closes.
    Lingering,
    /// It is over: the transport is to be closed.
    Closed,
}

impl ServerConnection {
    /// A connection that the hub knows by this id (see
    /// [`Hub::handle_connect`](crate::hub::Hub::handle_connect)), and from which nothing has come yet.
    pub fn new(id: ConnId, now: Instant, config: &ConnectionConfig) -> Self {
        ServerConnection {
            id,
            outbox: Outbox::new(),
            phase: Phase::Handshake { machine: Handshake::new(), silent_at: None },
            framing: None,
            needs_tls: false,
            stash: None,
            input_held: 0,
            allowance: Allowance::default(),
            is_prepaid: false,
            from_stash: false,
            register_by: Some(Moment::of(now + config.limits.registration)),
            resume_at: None,
            patient_until: None,
            closing: None,
            is_waiting: false,
            is_answering: false,
            awaits_effect: false,
            saw_end: false,
            at_end: false,
            end_told: false,
        }
    }

    /// Its id at the hub.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Whether bytes of the peer can be handled now. While they cannot, do not read from the transport: then
    /// TCP slows the peer down.
    pub fn wants_input(&self) -> bool {
        !self.at_end
            && !self.is_waiting
            && self.resume_at.is_none()
            && !self.has_stash()
            && !self.has_untold_violation()
    }

    /// Bytes that are queued for the peer.
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// Bytes of heap of its stored input: an unfinished message, and bytes that wait. A server bounds their
    /// sum over all connections by [`Limits::input_total`].
    pub fn stored_input(&self) -> usize {
        let of_phase = match &self.phase {
            Phase::Handshake { machine, .. } => machine.held(),
            Phase::Messages(decoder) => decoder.held(),
            Phase::Discard => 0,
        };
        let of_framing = self.framing.as_ref().map_or(0, |framing| framing.input.held());
        of_phase + of_framing + self.stash.as_ref().map_or(0, |stash| stash.held())
    }

    /// Bytes of heap of its stored input, as last counted.
    pub(crate) fn input_held(&self) -> usize {
        self.input_held as usize
    }

    /// Counts its stored input again. Returns the previous and the new number of bytes.
    pub(crate) fn recount_input(&mut self) -> (usize, usize) {
        // a frame has at most 1 GiB
        let now = self.stored_input().min(u32::MAX as usize) as u32;
        (std::mem::replace(&mut self.input_held, now) as usize, now as usize)
    }

    pub(super) fn has_stash(&self) -> bool {
        self.stash.as_ref().is_some_and(|stash| !stash.is_empty())
    }

    /// Whether there is input that was read before and can be handled now.
    pub(crate) fn has_backlog(&self) -> bool {
        let is_discarded = matches!(self.phase, Phase::Discard);
        let has_end =
            (self.at_end && !self.end_told && !is_discarded) || self.has_untold_violation();
        (self.has_stash() || has_end) && !self.is_waiting && self.resume_at.is_none()
    }

    /// Whether the peer violated the rules of its framing, and the hub does not know it yet.
    fn has_untold_violation(&self) -> bool {
        let is_discarded = matches!(self.phase, Phase::Discard);
        !is_discarded
            && self.framing.as_ref().is_some_and(|framing| framing.untold_violation().is_some())
    }

    /// Until when the rate limit delays its input.
    pub(crate) fn resume_at(&self) -> Option<Instant> {
        self.resume_at.map(Moment::instant)
    }

    /// Ends that pause if it is over.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.resume_at = self.resume_at.filter(|&at| at > Moment::of(now));
    }

    /// Resets the rate limit. Returns whether it delayed the input.
    pub(crate) fn forgive(&mut self) -> bool {
        self.allowance = Allowance::default();
        self.resume_at.take().is_some()
    }

    /// Whether the peer is well ahead of the rate limit.
    pub(crate) fn has_lead(&self, now: Instant, limits: &Limits) -> bool {
        self.allowance.has_lead(Moment::of(now), limits)
    }

    /// Whether the connection waits for an effect or for the end of a long answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering
    }

    /// Whether the connection has taken all of a long answer that was produced.
    pub(crate) fn wants_part(&self) -> bool {
        self.is_answering && self.outbox.wants_part()
    }

    /// Whether the hub is to be asked for the next object of a long answer now.
    pub(crate) fn can_take_part(&self) -> bool {
        self.wants_part() && !self.awaits_effect
    }

    /// Whether an effect is under way that the hub waits for.
    #[cfg(test)]
    pub(crate) fn awaits_effect(&self) -> bool {
        self.awaits_effect
    }

    /// The effect is finished, or the answer complete.
    pub(crate) fn go_on(&mut self) {
        (self.is_waiting, self.is_answering, self.awaits_effect) = (false, false, false);
        self.patient_until = None;
    }

    /// The hub waits for an effect, produces a long answer, or both.
    pub(crate) fn wait(&mut self, is_answering: bool, awaits_effect: bool) {
        (self.is_waiting, self.is_answering, self.awaits_effect) =
            (true, is_answering, awaits_effect);
        self.patient_until = None;
    }

    /// If the peer has ended and the hub waits for an effect, it is not waited for without end. Returns how
    /// long.
    pub(crate) fn lose_patience(&mut self, now: Instant, limits: &Limits) -> Option<Instant> {
        let until = (self.saw_end && self.is_waiting).then(|| now + limits.drain);
        self.patient_until = until.map(Moment::of);
        until
    }

    /// Whether the effect has had its time.
    pub(crate) fn is_out_of_patience(&self, now: Instant) -> bool {
        self.patient_until.is_some_and(|until| until <= Moment::of(now))
    }

    /// Whether the peer's end of file is known to come.
    pub(crate) fn saw_end(&self) -> bool {
        self.saw_end
    }

    /// The peer's end of file is known to come. Returns whether it was known before.
    pub(crate) fn expect_end(&mut self) -> bool {
        std::mem::replace(&mut self.saw_end, true)
    }

    /// Whether the peer's end of file was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Whether the peer has said its name and may send messages.
    pub(crate) fn is_user(&self) -> bool {
        matches!(self.phase, Phase::Messages(_))
    }

    /// Whether the peer has not said its name yet.
    pub(crate) fn is_guest(&self) -> bool {
        matches!(self.phase, Phase::Handshake { .. })
    }

    /// When the name is complete if nothing more comes.
    pub(crate) fn silent_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Handshake { silent_at, .. } => silent_at,
            Phase::Messages(_) | Phase::Discard => None,
        }
    }

    /// Where only TLS is spoken, the peer sends text: its name is refused.
    pub(crate) fn require_tls(&mut self) {
        self.needs_tls = true;
    }

    pub(crate) fn closing_step(&self) -> Option<Step> {
        self.closing.as_deref().map(|closing| closing.step)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    pub(crate) fn is_lingering(&self) -> bool {
        self.closing_step() == Some(Step::Lingering)
    }
}
