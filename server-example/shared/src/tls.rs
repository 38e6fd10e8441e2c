//! The client's options for TLS.

use std::path::PathBuf;

use chatproto::tls::{ClientTls, Fingerprint, TlsError};
use clap::Args;

use crate::failure::Failure;
use crate::text::visible;

/// Whether the client uses TLS, and which certificates it trusts.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub struct ClientTlsOptions {
    /// Speak TLS, and trust the authorities that this system trusts
    #[arg(long)]
    pub tls: bool,

    /// Speak TLS, and trust the authorities, or the self-signed certificate, in a PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "tls_fingerprint")]
    pub tls_ca: Option<PathBuf>,

    /// Speak TLS, and trust the certificate with this SHA-256 fingerprint
    ///
    /// The server's operator has it from: server-example cert show FILE. Names and dates of the
    /// certificate do not matter then.
    #[arg(long, value_name = "HEX")]
    pub tls_fingerprint: Option<String>,

    /// Name that the certificate must be for [default: the host of the server]
    #[arg(long, value_name = "NAME")]
    pub tls_name: Option<String>,

    /// Own certificate, a PEM file, for a server that asks for one; speaks TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of that certificate, a PEM file without a password
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

impl ClientTlsOptions {
    /// Whom to trust; `None` if TLS is not asked for.
    pub fn load(&self, host: &str) -> Result<Option<ClientTls>, Failure> {
        self.read(host).map_err(|error| Failure::Usage(visible(&error.to_string()).into_owned()))
    }

    /// The settings of a connection that has TLS in any case. The default trusts the authorities of the system.
    ///
    /// # Errors
    /// A file cannot be used, or the system has no authorities.
    pub fn required(&self, host: &str) -> Result<ClientTls, Failure> {
        let failed = |error: TlsError| Failure::Usage(visible(&error.to_string()).into_owned());
        match self.load(host)? {
            Some(tls) => Ok(tls),
            None => ClientTls::system().and_then(|tls| tls.server_name(host)).map_err(failed),
        }
    }

    fn read(&self, host: &str) -> Result<Option<ClientTls>, TlsError> {
        let tls = match (&self.tls_ca, &self.tls_fingerprint) {
            (_, Some(text)) => ClientTls::fingerprint(text.parse::<Fingerprint>()?),
            (Some(path), None) => ClientTls::ca_file(path)?,
            (None, None) if self.tls || self.tls_name.is_some() || self.tls_cert.is_some() => {
                ClientTls::system()?
            }
            (None, None) => return Ok(None),
        };
        let tls = tls.server_name(self.tls_name.as_deref().unwrap_or(host))?;
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => tls.certificate_files(certificate, key).map(Some),
            _ => Ok(Some(tls)),
        }
    }
}
