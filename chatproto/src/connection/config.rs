//! The configuration that all connections of a server share: the limits, the policy for slow readers, and
//! the memory of the queues.

use std::sync::Arc;

use crate::chunk::Budget;
use crate::limits::Limits;
use crate::outbox::SlowReader;
use crate::server::ServerError;

/// The limits of a server's connections, and the memory that their queues share. Each connection is given
/// the same one.
#[derive(Clone, Debug, Default)]
pub struct ConnectionConfig {
    pub(crate) limits: Limits,
    pub(crate) slow_reader: SlowReader,
    pub(crate) queues: Arc<Budget>,
}

impl ConnectionConfig {
    /// A configuration, with no memory in use.
    ///
    /// # Errors
    /// [`ServerError::Limits`] if a limit is outside of its range.
    pub fn new(limits: Limits, slow_reader: SlowReader) -> Result<Self, ServerError> {
        let limits = limits.checked().map_err(ServerError::Limits)?;
        Ok(ConnectionConfig { limits, slow_reader, queues: Arc::default() })
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The policy for a connection whose queue is full.
    pub fn slow_reader(&self) -> SlowReader {
        self.slow_reader
    }

    /// Bytes of heap in the queues of all connections, and in deliveries that exist. If they are more than
    /// [`Limits::queue_total`], cut the longest queues with
    /// [`ServerConnection::cut`](super::ServerConnection::cut) until one of them has nothing to cut.
    pub fn queued(&self) -> usize {
        self.queues.used()
    }
}
