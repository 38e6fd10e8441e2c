//! WebSocket framing (RFC 6455, B20): the headers of frames, the unframing of a peer's bytes, and the rules that
//! a peer can violate.
//!
//! One text message is one object. A message may come in fragments. White space at its end is allowed, and
//! so is a message of white space only. Extensions are never negotiated. The opening handshake is HTTP.
//! The server's side of it belongs to the application. The client's side is [`Opening`].
//!
//! Nothing here allocates memory by a length that a peer states.

#[cfg(feature = "client")]
mod close_frame;
#[cfg(feature = "client")]
mod framing;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod header;
#[cfg(feature = "client")]
mod opening;
#[cfg(all(test, feature = "server"))]
pub(crate) mod testing;
mod unframer;
#[cfg(feature = "client")]
mod url;
mod violation;

#[cfg(feature = "client")]
pub use close_frame::CloseFrame;
#[cfg(feature = "client")]
pub use framing::ClientFraming;
#[cfg(feature = "server")]
pub(crate) use header::{Header, PING, PONG, TEXT, close_frame};
#[cfg(feature = "client")]
pub use opening::{Opening, OpeningError, accept_key};
pub use unframer::End;
pub(crate) use unframer::MARK;
#[cfg(feature = "server")]
pub(crate) use unframer::Unframer;
#[cfg(feature = "client")]
pub use url::{Url, UrlError};
pub use violation::Violation;

/// Ends a message in the stream that [`ClientFraming::handle_input`] gives. It is no byte of UTF-8.
#[cfg(feature = "client")]
pub const MESSAGE_END: u8 = MARK;

/// The codes of close frames that the server sends (RFC 6455, section 7.4.1).
pub(crate) mod close_code {
    /// The conversation is over.
    pub(crate) const NORMAL: u16 = 1000;
    /// The server stops.
    pub(crate) const GOING_AWAY: u16 = 1001;
    /// The peer violated the rules of WebSocket.
    pub(crate) const PROTOCOL_ERROR: u16 = 1002;
    /// The peer sent binary data.
    pub(crate) const UNSUPPORTED_DATA: u16 = 1003;
    /// The text is not an object of the protocol.
    pub(crate) const INVALID_DATA: u16 = 1007;
    /// The server ends the connection: a kick, a ban, a refused name, a slow reader.
    pub(crate) const POLICY_VIOLATION: u16 = 1008;
}
