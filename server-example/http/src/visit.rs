//! The extensions of a request: its peer, its connection, and the rules for it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::host::Authority;
use crate::policy::Policy;
use crate::table::Place;
use crate::transport::Leaving;

/// The peer of a request: an extension of each request that the routes see.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// The address of the client.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// The connection of a request, as far as a WebSocket needs it.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) peer: Peer,
    pub(crate) leaving: Leaving,
    /// Occupied until the last copy is dropped.
    pub(crate) _place: Arc<Place>,
}

/// The rules for one request: an extension, as [`Visit`] is.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) policy: Arc<Policy>,
    pub(crate) authority: Option<Authority>,
}
