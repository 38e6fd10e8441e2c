//! A connection that leaves the listener for the chat server, with all that belongs to it.

use std::fmt;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConnection;

/// A WebSocket whose upgrade is answered. A part of the answer may be in `unsent` or in the TLS session:
/// the new owner sends that first. It treats `received` as the first bytes of the peer.
#[non_exhaustive]
pub struct Handover {
    /// The socket, which never blocks.
    pub socket: TcpStream,
    /// The peer's address.
    pub address: IpAddr,
    /// The state of TLS, with plain text and records that were read or not yet sent.
    pub tls: Option<ServerConnection>,
    /// Plain text that came behind the request.
    pub received: Bytes,
    /// Bytes that the socket has not taken yet; without TLS only.
    pub unsent: Bytes,
    /// The name that the request asks for.
    pub name: Option<String>,
}

impl Handover {
    pub(crate) fn new(
        socket: TcpStream,
        address: IpAddr,
        tls: Option<ServerConnection>,
        (received, unsent): (Bytes, Bytes),
        name: Option<String>,
    ) -> Self {
        Handover { socket, address, tls, received, unsent, name }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("address", &self.address)
            .field("is_tls", &self.tls.is_some())
            .field("received", &self.received.len())
            .field("unsent", &self.unsent.len())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Takes over a WebSocket. It must not block. The error is the reason for a refusal.
pub type Adopt = Arc<dyn Fn(Handover) -> Result<(), String> + Send + Sync>;
