//! The errors, by the party at fault.
//!
//! | error | fault |
//! |---|---|
//! | [`DecodeError`] | the peer's bytes, or the peer's object |
//! | [`NameError`](crate::NameError) | the person who chose the name |
//! | [`ClientError`] | the network, the server's decision, or the caller's own message |
//! | [`ServerError`] | the options of a server, or its machine |
//!
//! Each error is defined beside the code that fails. This file only re-exports them, for applications:
//! a file of the crate names the place of the definition.

pub use crate::decode::{DecodeError, DecodeErrorKind, ErrorClass, Field};
pub use crate::reason::reason;
#[cfg(feature = "server")]
pub use crate::server::ServerError;
#[cfg(feature = "client")]
pub use crate::session::ClientError;

#[cfg(all(test, feature = "client", feature = "server"))]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn no_sentence_has_the_number_of_a_system_error() {
        let source = || io::Error::from_raw_os_error(2);
        let no_file = reason(&source());
        assert!(!no_file.contains("os error"), "{no_file}");
        let doing = "cannot do it";
        let (client, server) = (
            ClientError::Io { doing: doing.to_owned(), source: source() },
            ServerError::Io { doing, source: source() },
        );
        let listen = ServerError::Listen { address: "x".to_owned(), source: source() };
        assert_eq!(client.to_string(), format!("cannot do it: {no_file}"));
        assert_eq!(server.to_string(), format!("cannot do it: {no_file}"));
        assert_eq!(listen.to_string(), format!("cannot listen on x: {no_file}"));
        #[cfg(feature = "tls")]
        {
            let read = crate::tls::TlsError::Read { path: "x".to_owned(), source: source() };
            assert_eq!(read.to_string(), format!("cannot read x: {no_file}"));
        }
    }
}
