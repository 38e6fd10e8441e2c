//! Errors of a client: the network, the server's decision, or the caller's own message.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::decode::{DecodeError, DecodeErrorKind};
use crate::message::Message;
use crate::name::NameError;
use crate::reason::reason;
use crate::websocket::{OpeningError, UrlError, Violation};

/// Why a client could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The name breaks a rule, so that no server would take it; nothing was sent.
    #[error("the name cannot be used: {0}")]
    InvalidName(#[from] NameError),
    /// The server refused the registration; the message is its reason (A8).
    #[error("the server refused the name: {}", .0.msg)]
    Refused(Box<Message>),
    /// The server did not do its part in time.
    #[error("{what} took longer than {} ms", .after.as_millis())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The connection is closed: by the server, or by [`Client::close`](crate::Client::close).
    #[error("the connection is closed")]
    Closed,
    /// The message is longer than the server can take; it was not sent.
    #[error(
        "a message of {length} bytes is longer than the limit of {limit} bytes{}: send less text{}",
        if *.is_max_frame { " (`max_frame`)" } else { ", which is all that the server can take" },
        if *.is_max_frame { ", or raise `max_frame` on both sides" } else { "" }
    )]
    FrameTooLong {
        /// Encoded length in bytes. The line feed counts only towards a one-read server.
        length: usize,
        /// The limit that applies to this server.
        limit: usize,
        /// Whether the limit is the client's own: [`ClientBuilder::max_frame`](crate::ClientBuilder::max_frame).
        is_max_frame: bool,
    },
    /// The server sent something that is not a message.
    #[error("{}", NotAMessage(.0))]
    Decode(#[from] DecodeError),
    /// The URL of a WebSocket server cannot be used; nothing was sent.
    #[error("the URL cannot be used: {0}")]
    InvalidUrl(#[from] UrlError),
    /// The server did not open the WebSocket.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// The server violated the rules of WebSocket.
    #[error("the server violated the rules of WebSocket: {0}")]
    Violation(#[from] Violation),
    /// TLS cannot be had, or the server is not the one that is trusted.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The operating system refused.
    #[error("{doing}: {}", reason(.source))]
    Io {
        /// What was being done.
        doing: String,
        /// The reason.
        source: io::Error,
    },
}

/// The sentence for bytes of a server that a client cannot take.
struct NotAMessage<'a>(&'a DecodeError);

impl fmt::Display for NotAMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            DecodeErrorKind::TooLong(limit) => write!(
                f,
                "the server sent a message of more than {limit} bytes, the limit of this client: \
                 raise `max_frame`"
            ),
            _ => write!(f, "the server sent something that is not a message: {}", self.0),
        }
    }
}
