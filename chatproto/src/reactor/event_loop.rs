//! One event loop: its fields. The turn of a loop is in [`reactor`](super).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use mio::Poll;

use crate::connection::ConnectionConfig;
use crate::hub::{Completion, ConnId, Departure, Output, Token};

use super::accept::Acceptor;
use super::arrival::Arrival;
use super::conn::Conn;
use super::counters::Tally;
use super::holders::Asking;
use super::mail::Check;
use super::ready::Ready;
use super::shared::Shared;
use super::timer::Timers;

/// The loop that accepts.
pub(super) const ACCEPTING: usize = 0;
/// How many of those who are no users, or no longer, one turn accepts at most, reads at most, and
/// ends at most, so that a crowd of them does not keep users waiting: these take some 0.05 ms. Where
/// many users are busy, others may take a part of that time, so that the busy do not lock them out.
pub(super) const OTHERS_MOST: usize = 2;
pub(super) const USERS_PER_OTHER: usize = 16;

/// One event loop.
pub(crate) struct Reactor {
    pub(super) lane: usize,
    pub(super) poll: Poll,
    pub(super) shared: Arc<Shared>,
    /// Its own copy, so that no loop waits for another to read the limits.
    pub(super) config: ConnectionConfig,
    /// Only one loop accepts, and only until the server stops.
    pub(super) acceptor: Option<Acceptor>,
    /// By slot.
    pub(super) conns: Vec<Option<Conn>>,
    pub(super) open: usize,
    pub(super) timers: Timers,
    /// Accepted, and not yet known to the hub.
    pub(super) fresh: Vec<Arrival>,
    /// Whose TLS failed, and why.
    pub(super) failed: Vec<(ConnId, String)>,
    /// Connections from a proxy whose PROXY header is invalid, and why.
    pub(super) unlocated: Vec<(ConnId, String)>,
    /// Ended, and still known to the hub.
    pub(super) gone: Vec<(ConnId, Departure)>,
    pub(super) completed: VecDeque<(Token, Completion)>,
    /// Their long answers were dropped.
    pub(super) cancelled: Vec<ConnId>,
    /// They wait, and their peers take nothing any more.
    pub(super) deaf: Vec<ConnId>,
    /// They have more to do after the batch: what they sent is not to be in a batch twice.
    pub(super) again: Vec<u32>,
    pub(super) deadlines: Vec<ConnId>,
    /// Their names are in use, and the loops of the holders are asked about these.
    pub(super) asking: Vec<Asking>,
    /// Of those: the question is answered.
    pub(super) checked: Vec<ConnId>,
    /// What other loops ask about this loop's connections.
    pub(super) checks: Vec<Check>,
    /// The last poll returned all the events that there were.
    pub(super) has_polled_all: bool,
    /// To be sent nothing more: they only wait for their peer's end.
    pub(super) drained: Vec<ConnId>,
    /// Their peers have ended, and an effect that they wait for has had its time.
    pub(super) overdue: Vec<ConnId>,
    /// Those to read from.
    pub(super) ready: Ready,
    /// Slots to write to now.
    pub(super) dirty: Vec<u32>,
    /// Slots to write to that earlier batches had no time for, the first one first.
    pub(super) overdue_writes: VecDeque<u32>,
    /// Slots that only wait for a broadcast to many, or for the rest of something long.
    pub(super) late: VecDeque<u32>,
    /// Those that have got so much meanwhile that they are not to wait any longer.
    pub(super) pressing: Vec<u32>,
    /// Those that only wait for their peer's end, the oldest first; some may be gone since.
    pub(super) lingering: VecDeque<ConnId>,
    /// A buffer for objects with the headers of their frames, empty between two connections.
    pub(super) frames: Vec<u8>,
    /// What the hub wants done; empty of actions whenever the hub is not locked.
    pub(super) out: Output,
    /// The counters of this loop.
    pub(super) tally: Tally,
    /// When the hub is to be told what time it is, as far as this loop knows: another one may have
    /// done so by then.
    pub(super) hub_due: Option<Instant>,
    /// When what a crowd needed is given back; none if nothing happened since.
    pub(super) shrink_at: Option<Instant>,
    /// The number of connections over WebSocket.
    pub(super) framed: usize,
    /// When the next part of the connections is looked at for pings, and the part before it (see `pings`).
    pub(super) ping_at: Option<Instant>,
    pub(super) ping_part: usize,
    /// When a stopping loop ends, flushed or not.
    pub(super) stop_at: Option<Instant>,
    /// When the present turn began; none while the loop sleeps.
    pub(super) turn_began: Option<Instant>,
}

impl Reactor {
    pub(super) fn conn(&mut self, slot: u32, generation: u32) -> Option<&mut Conn> {
        find(&mut self.conns, slot, generation)
    }
}

/// The connection in that slot, if it is still the one that was meant.
pub(super) fn find(conns: &mut [Option<Conn>], slot: u32, generation: u32) -> Option<&mut Conn> {
    let conn = conns.get_mut(slot as usize)?.as_mut()?;
    (conn.protocol.id.generation == generation).then_some(conn)
}
