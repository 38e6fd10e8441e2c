//! TLS for [`Server`](crate::Server) and [`Client`](crate::Client), by rustls with ring (feature
//! `tls`). What travels inside is the protocol, unchanged.
//!
//! A server is given a certificate and its key; on the same port, the first byte of a connection
//! tells TLS from text:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use chatproto::Server;
//! use chatproto::tls::ServerTls;
//!
//! let tls = ServerTls::from_files("cert.pem", "key.pem")?;
//! println!("{}", tls.fingerprint());
//! Server::builder().tls(tls).bind(([0, 0, 0, 0], chatproto::PORT))?.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! A client says whom it trusts: the authorities of the system, those of a file, or one certificate
//! by its fingerprint.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use chatproto::Client;
//! use chatproto::tls::ClientTls;
//!
//! let mut client = Client::builder("alice").tls(ClientTls::system()?).connect("chat.example:65432")?;
//! println!("{}", client.recv()?.msg);
//! # Ok(())
//! # }
//! ```
//!
//! TLS 1.3 and 1.2 are spoken, without early data and without renegotiation. The library installs no
//! default of the process: a program may use rustls otherwise as it likes.

mod client;
mod error;
mod fingerprint;
mod pem;
mod provider;
mod server;
mod stream;
mod wire;

pub use client::ClientTls;
pub use error::TlsError;
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use server::{ClientCertificates, ServerTls};
pub use stream::ClientStream;

pub(crate) use error::handshake_failure;
pub(crate) use stream::Channel;
pub(crate) use wire::{feed, take};
