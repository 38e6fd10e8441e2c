//! Errors of a server: its limits, its address, its endpoints, or the machine.

use std::io;

use crate::limits::Limits;
use crate::reason::reason;

/// Why a server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", reason(.source))]
    Listen {
        /// The address asked for.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The limits leave no room to speak the protocol.
    #[error("the limits cannot be used: {0}")]
    Limits(&'static str),
    /// An endpoint was registered that cannot be one.
    #[error("cannot register the endpoint {name:?}: {reason}")]
    Endpoint {
        /// The name asked for.
        name: String,
        /// The reason.
        reason: &'static str,
    },
    /// The operating system refused something that the event loop needs.
    #[error("{doing}: {}", reason(.source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The server stops, or has stopped.
    #[error("the server is stopping")]
    Stopping,
    /// A thread of the server panicked: a defect. The other threads were stopped.
    #[error("a thread of the server panicked: {0}")]
    Panicked(String),
}

impl Limits {
    /// Checks that a client can work within these limits.
    ///
    /// # Errors
    /// [`ServerError::Limits`] names the limit that is too small or too large.
    pub fn check(&self) -> Result<(), ServerError> {
        self.clone().checked().map(drop).map_err(ServerError::Limits)
    }
}
