//! TLS, where the library was built with it: from the options of C to those of the core. Without it,
//! whoever asks for it is told so.

use std::path::Path;

use crate::client::chatproto_client_options;
use crate::result::{chatproto_result, fail};
use crate::server::chatproto_server_options;
use crate::text::chatproto_str;

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

/// Whom a client is to trust; `None` if it is to speak no TLS.
///
/// # Safety
/// The strings of the options are as `chatproto_str` describes.
pub(crate) unsafe fn of_client(
    options: &chatproto_client_options,
) -> Result<Option<ClientTls>, chatproto_result> {
    // SAFETY: the caller's promise
    let [ca, fingerprint, name, certificate, key] = unsafe {
        [
            options.tls_ca_file.text("tls_ca_file")?,
            options.tls_fingerprint.text("tls_fingerprint")?,
            options.tls_server_name.text("tls_server_name")?,
            options.tls_certificate_file.text("tls_certificate_file")?,
            options.tls_key_file.text("tls_key_file")?,
        ]
    };
    let is_asked = options.tls || [ca, fingerprint].iter().any(|text| !text.is_empty());
    if !is_asked {
        let others = [name, certificate, key];
        return if others.iter().all(|text| text.is_empty()) {
            Ok(None)
        } else {
            let sentence = format_args!("options of TLS without `tls`, a CA file or a fingerprint");
            Err(fail(chatproto_result::InvalidArgument, sentence))
        };
    }
    if !ca.is_empty() && !fingerprint.is_empty() {
        let sentence = format_args!("`tls_ca_file` and `tls_fingerprint` exclude each other");
        return Err(fail(chatproto_result::InvalidArgument, sentence));
    }
    if certificate.is_empty() != key.is_empty() {
        let sentence = format_args!("`tls_certificate_file` and `tls_key_file` go together");
        return Err(fail(chatproto_result::InvalidArgument, sentence));
    }
    client(ca, fingerprint, name, certificate, key).map(Some)
}

/// What a server is to speak TLS with; `None` if it is to speak none.
///
/// # Safety
/// The strings of the options are as `chatproto_str` describes.
pub(crate) unsafe fn of_server(
    options: &chatproto_server_options,
) -> Result<Option<ServerTls>, chatproto_result> {
    // SAFETY: the caller's promise
    let text = |string: chatproto_str, name| unsafe { string.text(name) };
    let certificate = text(options.tls_certificate_file, "tls_certificate_file")?;
    let key = text(options.tls_key_file, "tls_key_file")?;
    match (certificate, key) {
        ("", "") if !options.tls_only => Ok(None),
        ("", _) | (_, "") => {
            let sentence = format_args!("TLS needs both `tls_certificate_file` and `tls_key_file`");
            Err(fail(chatproto_result::InvalidArgument, sentence))
        }
        (certificate, key) => server(Path::new(certificate), Path::new(key)).map(Some),
    }
}

#[cfg(feature = "tls")]
fn client(
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

#[cfg(feature = "tls")]
fn server(certificate: &Path, key: &Path) -> Result<ServerTls, chatproto_result> {
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
fn client(_: &str, _: &str, _: &str, _: &str, _: &str) -> Result<ClientTls, chatproto_result> {
    Err(unsupported())
}

#[cfg(not(feature = "tls"))]
fn server(_: &Path, _: &Path) -> Result<ServerTls, chatproto_result> {
    Err(unsupported())
}

#[cfg(not(feature = "tls"))]
fn unsupported() -> chatproto_result {
    fail(
        chatproto_result::Unsupported,
        format_args!("this library was built without TLS: build it with the feature `tls`"),
    )
}
