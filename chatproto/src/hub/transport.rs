//! How the bytes of a connection travel.

use crate::counts::{Kind, sealed};

/// How the bytes of a connection travel: see [`Hub::handle_transport`](super::Hub::handle_transport).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Text over TCP. So is a connection that has sent nothing yet.
    #[default]
    Text,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
}

impl Transport {
    /// Whether the bytes are encrypted on their way.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::SecureWebSocket)
    }

    /// The same transport over TLS.
    #[must_use]
    pub fn secured(self) -> Self {
        match self {
            Transport::Text | Transport::Tls => Transport::Tls,
            Transport::WebSocket | Transport::SecureWebSocket => Transport::SecureWebSocket,
        }
    }
}

impl sealed::Sealed for Transport {}

impl Kind for Transport {
    const ALL: &'static [Self] =
        &[Transport::Text, Transport::Tls, Transport::WebSocket, Transport::SecureWebSocket];

    fn label(self) -> &'static str {
        match self {
            Transport::Text => "tcp",
            Transport::Tls => "tls",
            Transport::WebSocket => "ws",
            Transport::SecureWebSocket => "wss",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
