//! The HTTP listener of a chat server. It serves HTTP/1.1, HTTP/2 and, with the server's certificate,
//! HTTPS on the same port. A connection that becomes a WebSocket leaves it: the caller's function takes
//! over the socket. No rule of the chat protocol lives here.
//!
//! ```text
//! options            --http, --http-host, --http-origin
//! listener           the sockets, the thread, start and stop
//!   └ accept         new connections; a pause when the system has no descriptors left
//!       └ table      the bounds of connections, in total and by address
//! connection         one connection from accept to its end: TLS or plain, hyper, deadlines
//!   ├ activity       the state of a connection, and its time limit
//!   ├ transport      the bytes of a connection; what the socket refuses at the hand-over
//!   └ proxied        the addresses of users behind load balancers
//! visit              the extensions of a request: its peer, its connection, the rules
//! site               every request: checks before the routes, headers after them
//!   ├ policy         certificate, hosts and origins, which can change while the listener runs
//!   ├ host, origin   the names that a request may use, and the pages that it may come from
//!   ├ body           bounds of a request's body
//!   └ websocket      the request that becomes a WebSocket, and its hand-over
//! ```
//!
//! One thread runs all of it. A handler must not block: [`run_blocking`] has threads for that.

#![forbid(unsafe_code)]

mod accept;
mod activity;
mod body;
mod connection;
mod handover;
#[cfg(test)]
mod handover_tests;
mod host;
mod listener;
mod options;
mod origin;
mod policy;
mod proxied;
mod query;
mod reply;
mod site;
mod table;
mod transport;
mod visit;
mod websocket;

pub use activity::Times;
pub use handover::{Adopt, Handover};
pub use host::HostName;
pub use listener::{BindError, Control, Listener, Running, Setup, run_blocking};
pub use options::HttpOptions;
pub use origin::PageOrigin;
pub use policy::Tls;
pub use table::Bounds;
pub use visit::Peer;

/// The routes that a caller adds.
pub use axum;
