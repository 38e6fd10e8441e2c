//! The server's side of one connection, without a socket or a clock: bytes in, bytes out, deadlines.
//!
//! A [`ServerConnection`] stands between a transport and a [`Hub`](crate::hub::Hub). It turns the peer's bytes
//! into calls of the hub, and stores input that has to wait. It queues the objects that the hub sends to the
//! peer. It enforces the rate limit, the pace of one-read peers and the bounds of a slow reader's queue. It
//! ends the connection without losing the last messages. The event loops of [`Server`](crate::Server) use the
//! same type.
//!
//! A transport of your own does this for each connection:
//!
//! 1. [`Hub::handle_connect`](crate::hub::Hub::handle_connect) gives the id; [`ServerConnection::new`] makes the
//!    state.
//! 2. Bytes from the peer go to [`ServerConnection::handle_input`], its end to
//!    [`ServerConnection::handle_end`], a broken transport to [`ServerConnection::handle_lost`].
//! 3. [`Output::take_deliveries`](crate::hub::Output::take_deliveries) gives what the hub sends.
//!    [`ServerConnection::handle_delivery`] queues each delivery at the connection that it names.
//! 4. [`ServerConnection::poll_transmit`] gives the bytes to write, until it gives none.
//! 5. [`ServerConnection::handle_timeout`] is called at the time that [`ServerConnection::poll_timeout`]
//!    says. [`Hub::poll_timeout`](crate::hub::Hub::poll_timeout) has a time of its own.
//! 6. [`ServerConnection::state`] says when to shut the writing side down, and when to close.
//!
//! Two examples do so: `examples/threads.rs` serves with blocking threads of the standard library, and
//! `examples/pipe.rs` without any socket, over pipes in memory.

mod allowance;
mod config;
mod delivery;
mod embed;
mod ending;
mod framing;
mod input;
mod moment;
mod stash;
mod state;
mod websocket;

pub use config::ConnectionConfig;
pub use delivery::{Deliveries, Delivery};
pub use embed::{ConnectionState, Context};
pub(crate) use ending::NextStep;
pub use framing::Framing;
pub(crate) use input::{Input, Op};
pub use state::ServerConnection;
pub(crate) use state::Step;

#[cfg(test)]
mod framing_hostile_tests;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
