//! The server's options for TLS.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use shared::units::Address;

#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsOptions {
    /// Certificate of the server, a PEM file; those of its issuers may stand behind it
    ///
    /// With a certificate and its key the server speaks TLS too, on the same port: the first byte of
    /// a connection tells TLS from text. To make one for a class room: server-example cert new
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of the certificate, a PEM file without a password
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Who is served [default: optional with a certificate, else off]
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) tls: Option<TlsMode>,

    /// Address and port for TLS alone; --listen then speaks text, or nothing with --tls only. Can be
    /// given several times
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) tls_listen: Vec<Address>,

    /// Certificates of the authority that clients' certificates must be from, a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Whether a client must have a certificate [default: require with --tls-client-ca]
    #[arg(long, value_name = "WHEN", value_enum)]
    pub(crate) tls_client_cert: Option<ClientCert>,
}

/// Who is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsMode {
    /// Everybody in text
    Off,
    /// Everybody, over TLS or in text
    Optional,
    /// Nobody in text
    Only,
}

/// What is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientCert {
    /// A client may have none
    Request,
    /// A client without one is refused
    Require,
}
