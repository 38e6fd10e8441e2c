//! Names of things under way: connections, and the effects that they wait for.

/// A connection. Slots are used again, ids are not: mail for a connection that is gone reaches
/// nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    pub(crate) lane: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The lane that the connection was made in: one per event loop, chosen by the caller.
    pub fn lane(self) -> usize {
        self.lane.into()
    }

    /// A small number that no other connection of the lane has at the same time: an index for
    /// what the caller keeps of it.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Ties a completion to the effect that it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub(crate) conn: ConnId,
    pub(crate) serial: u32,
}

impl Token {
    /// The connection whose input waits for this effect.
    pub fn conn(self) -> ConnId {
        self.conn
    }
}
