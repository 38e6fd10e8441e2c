//! Certificates and keys out of PEM files, with errors that say what to do about the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, RootCertStore, sign::CertifiedKey};

use super::{Fingerprint, TlsError};

/// PEM text, and what it is called in errors.
#[derive(Debug)]
pub(super) struct Pem {
    pub(super) from: String,
    pub(super) text: Vec<u8>,
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let from = path.display().to_string();
        match read(path) {
            Ok(text) => Ok(Pem::given(&from, &text)),
            Err(source) => Err(TlsError::Read { path: from, source }),
        }
    }

    /// Some editors begin a text with a byte order mark, which is no part of it.
    pub(super) fn given(what: &str, text: &[u8]) -> Self {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        Pem { from: what.to_owned(), text: text.to_vec() }
    }

    /// The certificates, of which there must be one at least.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(TlsError::NoCertificate { from: self.from.clone() }),
        }
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let has = |mark: &[u8]| memchr::memmem::find(&self.text, mark).is_some();
        if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
            return Err(TlsError::EncryptedKey { from: self.from.clone() });
        }
        PrivateKeyDer::from_pem_slice(&self.text)
            .map_err(|_| TlsError::NoKey { from: self.from.clone() })
    }

    /// The authorities to trust.
    pub(super) fn roots(&self) -> Result<Roots, TlsError> {
        let (mut roots, mut files) = (RootCertStore::empty(), Vec::new());
        for certificate in self.certificates()? {
            files.push(Fingerprint::of_der(&certificate));
            roots.add(certificate).map_err(|error| TlsError::Unusable {
                from: self.from.clone(),
                reason: super::error::certificate_error(&error),
            })?;
        }
        Ok(Roots { roots: Arc::new(roots), files })
    }
}

/// All of a file that may be a device without an end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    /// The authorities of a system take some 300 KiB.
    const LONGEST: u64 = 16 << 20;
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    Ok(text)
}

/// Authorities to trust.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates that were named one by one. One that signed itself is trusted as that of a peer
    /// too: `openssl req -x509` marks it as an authority's, which a chain must not end in.
    files: Vec<Fingerprint>,
}

impl Roots {
    /// Without certificates that were named one by one.
    pub(super) fn of_system(roots: RootCertStore) -> Self {
        Roots { roots: Arc::new(roots), files: Vec::new() }
    }

    /// Whether a certificate was named, and nothing but its kind is wrong with it: it is in its time,
    /// which is judged before.
    pub(super) fn has_named(
        &self,
        certificate: &CertificateDer<'_>,
        wrong: &rustls::Error,
    ) -> bool {
        matches!(wrong, rustls::Error::InvalidCertificate(CertificateError::Other(_)))
            && self.files.contains(&Fingerprint::of_der(certificate))
    }
}

/// A certificate with those of its issuers, and its key.
pub(super) fn certified(certificate: &Pem, key: &Pem) -> Result<CertifiedKey, TlsError> {
    let chain = certificate.certificates()?;
    let der = key.key()?;
    let signing = super::provider::provider().key_provider.load_private_key(der);
    let signing = signing.map_err(|_| TlsError::Unusable {
        from: key.from.clone(),
        reason: "its kind is not supported: use an ECDSA key (P-256 or P-384), Ed25519, or RSA of \
                 2048 bits or more"
            .to_owned(),
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::KeyMismatch {
                certificate: certificate.from.clone(),
                key: key.from.clone(),
            })
        }
        Err(error) => Err(TlsError::Unusable {
            from: certificate.from.clone(),
            reason: super::error::certificate_error(&error),
        }),
    }
}
