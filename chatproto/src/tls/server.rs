//! The server's side: a certificate, its key, and what is asked of clients.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use super::pem::{Pem, Roots, certified};
use super::provider::provider;
use super::{Fingerprint, TlsError};

/// What a server asks of its clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// A client may have none; one that it has must be of the authority.
    Request,
    /// A client without one is refused.
    Require,
}

/// A server's certificate and key, checked: what a server with TLS needs. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    own: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl ServerTls {
    /// Reads the certificate, followed by those of its issuers if there are any, and its key, both
    /// in PEM.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::NoCertificate`], [`TlsError::NoKey`],
    /// [`TlsError::EncryptedKey`], [`TlsError::KeyMismatch`], [`TlsError::Unusable`]: each says
    /// what to do.
    pub fn from_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        ServerTls::new(&Pem::read(certificate.as_ref())?, &Pem::read(key.as_ref())?)
    }

    /// The same from PEM text.
    ///
    /// # Errors
    /// As [`ServerTls::from_files`].
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        ServerTls::new(&Pem::given("the certificate", certificate), &Pem::given("the key", key))
    }

    fn new(certificate: &Pem, key: &Pem) -> Result<Self, TlsError> {
        let own = Arc::new(certified(certificate, key)?);
        let fingerprint = Fingerprint::of_der(&own.cert[0]);
        Ok(ServerTls { config: Arc::new(configure(&own, None)?), own, fingerprint })
    }

    /// Has clients show a certificate of one of the authorities in the PEM file. Which user a
    /// certificate is for does not matter to the server.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::NoCertificate`], [`TlsError::Unusable`].
    pub fn client_ca_file(
        self,
        path: impl AsRef<Path>,
        ask: ClientCertificates,
    ) -> Result<Self, TlsError> {
        self.with_clients(&Pem::read(path.as_ref())?, ask)
    }

    /// The same from PEM text.
    ///
    /// # Errors
    /// As [`ServerTls::client_ca_file`].
    pub fn client_ca_pem(self, pem: &[u8], ask: ClientCertificates) -> Result<Self, TlsError> {
        self.with_clients(&Pem::given("the clients' authority", pem), ask)
    }

    fn with_clients(self, authority: &Pem, ask: ClientCertificates) -> Result<Self, TlsError> {
        let config = Arc::new(configure(&self.own, Some((authority, ask)))?);
        Ok(ServerTls { config, ..self })
    }

    /// The fingerprint of the certificate, for clients that trust it by that.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.own.cert[0]
    }

    /// The configuration for rustls. A program that speaks TLS on another port, such as that of HTTP, clones
    /// it, and sets the protocols of ALPN there.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

fn configure(
    own: &Arc<CertifiedKey>,
    clients: Option<(&Pem, ClientCertificates)>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.3 and 1.2");
    let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(own)));
    let Some((authority, ask)) = clients else {
        return Ok(builder.with_no_client_auth().with_cert_resolver(resolver));
    };
    let roots = authority.roots()?;
    let all = Arc::clone(&roots.roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(all, provider());
    let verifier = match ask {
        ClientCertificates::Request => verifier.allow_unauthenticated(),
        ClientCertificates::Require => verifier,
    };
    let verifier = verifier.build().map_err(|error| TlsError::Unusable {
        from: authority.from.clone(),
        reason: error.to_string(),
    })?;
    let verifier = Arc::new(ClientJudge { chain: verifier, roots });
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    // every connection shows a certificate that is good then, and not one that was good once
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Judges a client's certificate.
#[derive(Debug)]
struct ClientJudge {
    chain: Arc<dyn ClientCertVerifier>,
    roots: Roots,
}

impl ClientCertVerifier for ClientJudge {
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.chain.verify_client_cert(certificate, issuers, now) {
            Err(wrong) if self.roots.has_named(certificate, &wrong) => {
                Ok(ClientCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
