//! What one event loop is handed by the others, and by the workers.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::Waker;

use crate::chunk::Chunk;
use crate::hub::{Completion, ConnId, LaneAction, Token};
use crate::limits::Limits;
use crate::outbox::SlowReader;

use super::arrival::Arrival;
use super::mailbox::{Mailbox, Wake};

/// The mailbox of an event loop.
pub(super) type Lane = Mailbox<Mail, Waker>;

pub(super) enum Mail {
    /// Actions of a batch that another loop put through the hub: its objects, where those begin
    /// that stand aside, and what to do.
    Batch(Arc<Chunk>, u32, Vec<LaneAction>),
    /// A connection to take over.
    Accepted(Arrival),
    /// An effect finished.
    Completed(Token, Completion),
    /// One of the connections that only wait for their peer's end is to give way to a new one.
    GiveWay,
    /// One did, so that there is room to accept another.
    GaveWay,
    /// More is queued or kept in all than allowed, or pages wait for readers that take nothing, and this
    /// loop seems to be the one to make room.
    Relieve,
    /// Other bounds, a copy for each loop, and what happens to slow readers.
    Limits(Box<Limits>),
    Policy(SlowReader),
    /// Another loop has a connection that asks for the name of one of this loop's.
    Check(Check),
    /// The holder of the name that this connection asks for was checked.
    Checked(ConnId),
    /// The hub is to be told then what time it is.
    HubDue(Instant),
}

/// Another loop asks whether this loop's connection has ended.
pub(super) struct Check {
    pub(super) holder: ConnId,
    pub(super) asking: ConnId,
    /// When it is answered at the latest, from the first poll after it came; `None` before that.
    pub(super) until: Option<Instant>,
}

impl Check {
    pub(super) fn new(holder: ConnId, asking: ConnId) -> Self {
        Check { holder, asking, until: None }
    }
}

impl Wake for Waker {
    fn wake(&self) -> io::Result<()> {
        Waker::wake(self)
    }
}
