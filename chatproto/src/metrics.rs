//! Counters of a running server: see [`ServerHandle::metrics`](crate::ServerHandle::metrics).

use std::time::Duration;

use crate::decode::ErrorClass;
use crate::hub::{Counts, Usage};

pub use crate::counts::{CountBy, Durations, Kind};
pub use crate::hub::{RefusalReason, Transport};

/// A snapshot of a server's counters. Counters count from the server's start and only grow. Gauges are values
/// of the moment. The counters of different event loops are read one after the other, so sums may be some
/// milliseconds apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Gauge: open connections, users or not.
    pub connections: usize,
    /// Gauge: registered users.
    pub users: usize,
    /// Gauge: rooms with members.
    pub rooms: usize,
    /// Counter: accepted connections.
    pub accepted: u64,
    /// Counter: bytes that peers sent (inside TLS, if they use TLS).
    pub bytes_received: u64,
    /// Counter: messages that users sent, commands included, without those that are invalid.
    pub messages_received: u64,
    /// Counter: objects of peers that are not messages, and violations of the rules of WebSocket.
    pub invalid_messages: u64,
    /// The same by the class of the error (B14).
    pub errors: CountBy<ErrorClass>,
    /// Counter: how often accepting stopped for a moment, because the operating system refused a connection.
    pub accept_pauses: u64,
    /// Counter: how often the rate limit stopped reading from a connection.
    pub rate_pauses: u64,
    /// Counter: objects that were queued for a connection, each receiver of a broadcast counted.
    pub deliveries: u64,
    /// Counter: bytes that peers' sockets took (before TLS encrypts them).
    pub bytes_sent: u64,
    /// Counter: writes to sockets. One write may hold many objects.
    pub writes: u64,
    /// Counter: messages that were dropped for slow readers.
    pub missed: u64,
    /// Counter: connections that were closed because their readers were too slow.
    pub slow_readers: u64,
    /// Counter: turns of the event loops.
    pub turns: u64,
    /// Counter: the time that turns took, for each event loop. A turn that no wait follows includes the poll
    /// after it. The time between two readings, compared with the sum, tells how busy a loop is.
    pub turn_times: Vec<Durations>,
    /// Counter: batches that went through the hub.
    pub batches: u64,
    /// Counter: units of work that users caused (see [`Output::work`](crate::hub::Output::work)).
    pub work: u64,
    /// Counter: the time for which each event loop held the hub's lock. No two hold it at the same time: if the
    /// sum grows by nearly a second per second, the lock limits the server.
    pub lock_held: Vec<Duration>,
    /// Counts of users, refusals, departures and handshakes.
    pub counts: Counts,
    /// Gauges: the memory of the tables that peers can grow, with their bounds.
    pub usage: Usage,
}
