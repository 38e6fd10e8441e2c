//! What an application can put into a server to see what happens: an observer.

use crate::hub::Event;

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
