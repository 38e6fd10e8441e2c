//! What an application can put into a server beside endpoints: an observer, and a directory of
//! names.

use std::net::IpAddr;

use crate::hub::Event;
use crate::name::UserName;

/// Sees everything that happens in a server: for logs and metrics.
///
/// It is called on the event loops, and where a [`ServerHandle`](crate::ServerHandle) is used to shut
/// somebody out; outside every lock. It must not block for long. Events of one
/// connection come in order; those of two may not, if two loops have them.
pub trait Observer: Send + Sync + 'static {
    /// Something happened. Texts from peers in it are not escaped.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

/// Decides who may have a name, beyond this server: an authenticator, or the directory of a
/// cluster. It runs on threads of its own and may block; the connection waits meanwhile.
pub trait Directory: Send + Sync + 'static {
    /// Claims a name that is free in this server.
    ///
    /// # Errors
    /// The sentence that tells the user why not.
    fn claim(&self, name: &UserName, address: IpAddr) -> Result<(), String>;

    /// The user is gone: the name may be given to others. By default nothing happens.
    fn release(&self, _name: &UserName) {}
}
