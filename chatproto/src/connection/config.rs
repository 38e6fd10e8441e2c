//! The configuration that all connections of a server share: the limits, the policy for slow readers, and
//! the memory of the queues.

use std::sync::Arc;

use crate::chunk::Budget;
use crate::limits::Limits;
use crate::outbox::SlowReader;

/// The limits of a server's connections, and the memory that their queues share. Each connection is given
/// the same one.
#[derive(Clone, Debug, Default)]
pub struct ConnectionConfig {
    /// The limits.
    pub limits: Limits,
    /// The policy for a connection whose queue is full.
    pub slow_reader: SlowReader,
    pub(crate) queues: Arc<Budget>,
}

impl ConnectionConfig {
    /// A configuration, with no memory in use.
    pub fn new(limits: Limits, slow_reader: SlowReader) -> Self {
        ConnectionConfig { limits, slow_reader, queues: Arc::default() }
    }

    /// Bytes of heap in the queues of all connections. If they are more than
    /// [`Limits::queue_total`], cut the longest queue with
    /// [`ServerConnection::cut`](super::ServerConnection::cut).
    pub fn queued(&self) -> usize {
        self.queues.used()
    }
}
