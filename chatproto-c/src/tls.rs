//! TLS, where the library was built with it: from strings to the settings of the core. In a library
//! without TLS, each of these functions fails.

use std::path::Path;

use crate::result::chatproto_result;

#[cfg(feature = "tls")]
use chatproto::tls::TlsError;
#[cfg(feature = "tls")]
pub(crate) use chatproto::tls::{ClientStream, ClientTls, ServerTls};

/// What a connection has of TLS in a library that has none: there is no value of it.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub(crate) enum ClientTls {}

/// The same for servers.
#[cfg(not(feature = "tls"))]
#[derive(Debug)]
pub(crate) enum ServerTls {}

/// The settings of a client that trusts the authorities of the system, those of the file `ca`, or one
/// fingerprint.
#[cfg(feature = "tls")]
pub(crate) fn client(
    ca: &str,
    fingerprint: &str,
    name: &str,
    certificate: &str,
    key: &str,
) -> Result<ClientTls, chatproto_result> {
    let trust = || match (ca, fingerprint) {
        ("", "") => ClientTls::system(),
        ("", fingerprint) => Ok(ClientTls::fingerprint(fingerprint.parse()?)),
        (ca, _) => ClientTls::ca_file(ca),
    };
    let mut tls = trust().map_err(|error| refuse(&error, "`tls_ca_file`"))?;
    if !name.is_empty() {
        tls = tls.server_name(name).map_err(|error| crate::result::tls_error(&error))?;
    }
    if certificate.is_empty() {
        return Ok(tls);
    }
    let own = tls.certificate_files(certificate, key);
    own.map_err(|error| refuse(&error, certificate_or_key(&error, Path::new(certificate))))
}

/// The settings of a server with this certificate.
#[cfg(feature = "tls")]
pub(crate) fn server(certificate: &Path, key: &Path) -> Result<ServerTls, chatproto_result> {
    ServerTls::from_files(certificate, key)
        .map_err(|error| refuse(&error, certificate_or_key(&error, certificate)))
}

/// The result for files that cannot be used, with the option that names them.
#[cfg(feature = "tls")]
fn refuse(error: &TlsError, option: &str) -> chatproto_result {
    if error.file().is_some() || matches!(error, TlsError::KeyMismatch { .. }) {
        crate::result::tls_error(&format_args!("{option}: {error}"))
    } else {
        crate::result::tls_error(error)
    }
}

/// The options that an error is about. One file may have both, certificate and key.
#[cfg(feature = "tls")]
fn certificate_or_key(error: &TlsError, certificate: &Path) -> &'static str {
    match error {
        TlsError::KeyMismatch { .. } => "`tls_certificate_file` and `tls_key_file`",
        TlsError::NoKey { .. } | TlsError::EncryptedKey { .. } => "`tls_key_file`",
        error if error.file() == Some(&*certificate.display().to_string()) => {
            "`tls_certificate_file`"
        }
        _ => "`tls_key_file`",
    }
}

#[cfg(not(feature = "tls"))]
pub(crate) fn client(
    _: &str,
    _: &str,
    _: &str,
    _: &str,
    _: &str,
) -> Result<ClientTls, chatproto_result> {
    Err(unsupported())
}

#[cfg(not(feature = "tls"))]
pub(crate) fn server(_: &Path, _: &Path) -> Result<ServerTls, chatproto_result> {
    Err(unsupported())
}

#[cfg(not(feature = "tls"))]
fn unsupported() -> chatproto_result {
    crate::result::fail(
        chatproto_result::Unsupported,
        format_args!("this library was built without TLS: build it with the feature `tls`"),
    )
}
