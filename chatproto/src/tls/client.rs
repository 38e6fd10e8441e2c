//! The client's side: whom it trusts, and how a server's certificate is judged.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use rustls_native_certs::ErrorKind;

use crate::reason::reason;

use super::pem::{Pem, Roots, certified};
use super::provider::provider;
use super::{Fingerprint, TlsError};

/// Whom a client trusts to be its server, and who it is itself. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    trust: Trust,
    name: Option<ServerName<'static>>,
    own: Option<Arc<CertifiedKey>>,
}

#[derive(Clone)]
enum Trust {
    Roots(Roots),
    Pinned(Fingerprint),
}

impl ClientTls {
    /// Trusts the authorities that this system trusts.
    ///
    /// # Errors
    /// [`TlsError::NoSystemRoots`].
    pub fn system() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // some that cannot be read are no harm while there are others
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = found.errors.first().map_or("there is none".to_owned(), why_unread);
            return Err(TlsError::NoSystemRoots { reason });
        }
        Ok(ClientTls::new(Trust::Roots(Roots::of_system(roots))))
    }

    /// Trusts the authorities, or the self-signed certificate, in a PEM file, and no others.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::NoCertificate`], [`TlsError::Unusable`].
    pub fn ca_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        ClientTls::of_pem(&Pem::read(path.as_ref())?)
    }

    /// The same from PEM text.
    ///
    /// # Errors
    /// As [`ClientTls::ca_file`].
    pub fn ca_pem(pem: &[u8]) -> Result<Self, TlsError> {
        ClientTls::of_pem(&Pem::given("the authority", pem))
    }

    fn of_pem(authority: &Pem) -> Result<Self, TlsError> {
        Ok(ClientTls::new(Trust::Roots(authority.roots()?)))
    }

    /// Trusts the certificate with this fingerprint and no other. Its names and its dates are not
    /// looked at: whoever has its key is the server.
    pub fn fingerprint(fingerprint: Fingerprint) -> Self {
        ClientTls::new(Trust::Pinned(fingerprint))
    }

    fn new(trust: Trust) -> Self {
        ClientTls { trust, name: None, own: None }
    }

    /// The name that the certificate must be for, a DNS name or an IP address. Default: the host
    /// that is connected to.
    ///
    /// # Errors
    /// [`TlsError::InvalidName`].
    pub fn server_name(mut self, name: &str) -> Result<Self, TlsError> {
        self.name = Some(parse_name(name)?);
        Ok(self)
    }

    /// The client's own certificate and key, both PEM files, for a server that asks for one.
    ///
    /// # Errors
    /// As [`ServerTls::from_files`](super::ServerTls::from_files).
    pub fn certificate_files(
        self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        self.with_own(&Pem::read(certificate.as_ref())?, &Pem::read(key.as_ref())?)
    }

    /// The same from PEM text.
    ///
    /// # Errors
    /// As [`ClientTls::certificate_files`].
    pub fn certificate_pem(self, certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certificate = Pem::given("the client's certificate", certificate);
        self.with_own(&certificate, &Pem::given("the client's key", key))
    }

    fn with_own(mut self, certificate: &Pem, key: &Pem) -> Result<Self, TlsError> {
        self.own = Some(Arc::new(certified(certificate, key)?));
        Ok(self)
    }

    /// A connection to a host, which is at that address, and what judges its certificate.
    pub(super) fn connection(
        &self,
        host: Option<&str>,
        peer: IpAddr,
    ) -> Result<(ClientConnection, Arc<Judge>), TlsError> {
        let name = match (&self.name, host) {
            (Some(name), _) => name.clone(),
            (None, Some(host)) => parse_name(host)?,
            (None, None) => ServerName::from(peer.to_canonical()),
        };
        let judge = Arc::new(Judge::new(&self.trust));
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3 and 1.2")
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&judge) as _);
        let config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let own = SingleCertAndKey::from(Arc::clone(own));
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        let tls = ClientConnection::new(Arc::new(config), name)
            .map_err(|error| TlsError::Broken(super::error::described(&error)))?;
        Ok((tls, judge))
    }

    fn pinned(&self) -> Option<Fingerprint> {
        match self.trust {
            Trust::Pinned(fingerprint) => Some(fingerprint),
            Trust::Roots(_) => None,
        }
    }
}

/// Why the system's authorities cannot be read.
fn why_unread(error: &rustls_native_certs::Error) -> String {
    match &error.kind {
        ErrorKind::Io { inner, path } => {
            format!("{}: {}: {}", error.context, path.display(), reason(inner))
        }
        _ => error.to_string(),
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("pinned", &self.pinned())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    // an address with a zone is that address
    let bare = bare.split('%').next().unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::InvalidName(name.to_owned()))
}

/// Judges a server's certificate, and remembers which one it was.
#[derive(Debug)]
pub(super) struct Judge {
    /// For the authorities; none if a fingerprint decides.
    chain: Option<(Arc<WebPkiServerVerifier>, Roots)>,
    pinned: Option<Fingerprint>,
    shown: Mutex<Option<Fingerprint>>,
}

impl Judge {
    fn new(trust: &Trust) -> Self {
        let (chain, pinned) = match trust {
            Trust::Pinned(fingerprint) => (None, Some(*fingerprint)),
            Trust::Roots(roots) => {
                let all = Arc::clone(&roots.roots);
                let verifier = WebPkiServerVerifier::builder_with_provider(all, provider());
                let verifier = verifier.build().expect("there are authorities");
                (Some((verifier, roots.clone())), None)
            }
        };
        Judge { chain, pinned, shown: Mutex::new(None) }
    }

    fn shown(&self) -> Option<Fingerprint> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn error(&self, error: &rustls::Error) -> TlsError {
        TlsError::of_client(error, self.shown(), self.pinned)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of_der(certificate);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match &self.chain {
            Some((chain, roots)) => {
                let outcome = chain.verify_server_cert(certificate, issuers, name, ocsp, now);
                match outcome {
                    Err(wrong) if roots.has_named(certificate, &wrong) => {
                        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                        Ok(ServerCertVerified::assertion())
                    }
                    outcome => outcome,
                }
            }
            None if self.pinned == Some(shown) => Ok(ServerCertVerified::assertion()),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
