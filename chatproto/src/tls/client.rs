//! The client's side: whom it trusts, and a connection whose two directions two threads use.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

use super::pem::{Pem, certified};
use super::{Fingerprint, TlsError, feed, provider, take};

/// Plain text is encrypted in pieces of so many bytes: a record each.
const RECORD: usize = 16 * 1024;

/// Whom a client trusts to be its server, and who it is itself. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    trust: Trust,
    name: Option<ServerName<'static>>,
    own: Option<Arc<CertifiedKey>>,
}

#[derive(Clone)]
enum Trust {
    Roots(Arc<RootCertStore>),
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
            let reason =
                found.errors.first().map_or("there is none".to_owned(), ToString::to_string);
            return Err(TlsError::NoSystemRoots { reason });
        }
        Ok(ClientTls::new(Trust::Roots(Arc::new(roots))))
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
        Ok(ClientTls::new(Trust::Roots(Arc::new(authority.roots()?))))
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

    fn pinned(&self) -> Option<Fingerprint> {
        match self.trust {
            Trust::Pinned(fingerprint) => Some(fingerprint),
            Trust::Roots(_) => None,
        }
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
struct Judge {
    /// For the authorities; none if a fingerprint decides.
    chain: Option<Arc<WebPkiServerVerifier>>,
    pinned: Option<Fingerprint>,
    shown: Mutex<Option<Fingerprint>>,
}

impl Judge {
    fn new(trust: &Trust) -> Self {
        let (chain, pinned) = match trust {
            Trust::Pinned(fingerprint) => (None, Some(*fingerprint)),
            Trust::Roots(roots) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider());
                (Some(verifier.build().expect("there are authorities")), None)
            }
        };
        Judge { chain, pinned, shown: Mutex::new(None) }
    }

    fn shown(&self) -> Option<Fingerprint> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, error: &rustls::Error) -> TlsError {
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
            Some(chain) => chain.verify_server_cert(certificate, issuers, name, ocsp, now),
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

/// The TLS of a client's connection. One thread reads and one writes; neither ever waits for the
/// socket with the lock, so that two full directions do not block each other.
///
/// What the reader causes to be sent (the answer to a change of keys) goes out with the next
/// message, as the standard allows, so that the reader never waits for the writing side.
#[derive(Debug)]
pub(crate) struct Channel {
    state: Mutex<State>,
    judge: Arc<Judge>,
}

#[derive(Debug)]
struct State {
    tls: ClientConnection,
    /// What was wrong behind the last bytes that were good.
    failure: Option<rustls::Error>,
    is_closed: bool,
}

impl Channel {
    /// A handshake that is still to be made, with the server of that name.
    pub(crate) fn new(
        settings: &ClientTls,
        host: Option<&str>,
        peer: SocketAddr,
    ) -> Result<Self, TlsError> {
        let name = match (&settings.name, host) {
            (Some(name), _) => name.clone(),
            (None, Some(host)) => parse_name(host)?,
            (None, None) => ServerName::from(peer.ip().to_canonical()),
        };
        let judge = Arc::new(Judge::new(&settings.trust));
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3 and 1.2")
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&judge) as _);
        let config = match &settings.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(own))))
            }
        };
        let tls = ClientConnection::new(Arc::new(config), name)
            .map_err(|error| TlsError::Broken(error.to_string()))?;
        let state = Mutex::new(State { tls, failure: None, is_closed: false });
        Ok(Channel { state, judge })
    }

    /// Does a step of the handshake: writes, and reads once. True when it is done.
    pub(crate) fn shake_hands(&self, mut stream: &TcpStream) -> io::Result<bool> {
        let state = &mut *self.state();
        while state.tls.wants_write() {
            state.tls.write_tls(&mut stream)?;
        }
        if !state.tls.is_handshaking() {
            return Ok(true);
        }
        if state.tls.read_tls(&mut stream)? == 0 {
            return Err(wrap(TlsError::HungUp));
        }
        if let Err(error) = state.tls.process_new_packets() {
            // so that the server knows why
            let _ = state.tls.write_tls(&mut stream);
            return Err(wrap(self.judge.error(&error)));
        }
        Ok(!state.tls.is_handshaking() && !state.tls.wants_write())
    }

    /// Encrypts and writes all the bytes. At most one thread may be in here.
    pub(crate) fn write_all(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(RECORD) {
            let cipher = {
                let state = &mut *self.state();
                state.tls.writer().write_all(piece)?;
                drain(&mut state.tls)?
            };
            stream.write_all(&cipher)?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent. At most one thread may be in here or in `write_all`.
    pub(crate) fn finish(&self, mut stream: &TcpStream) -> io::Result<()> {
        let cipher = {
            let state = &mut *self.state();
            state.tls.send_close_notify();
            drain(&mut state.tls)?
        };
        stream.write_all(&cipher)
    }

    /// Reads plain text: none at the end. [`ErrorKind::WouldBlock`] also means that what came was
    /// for TLS itself. At most one thread may be in here; a buffer of less than a record costs time.
    pub(crate) fn read(&self, mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        {
            let state = &mut *self.state();
            let length = take(&mut state.tls, buffer);
            if length > 0 {
                return Ok(length);
            }
            if let Some(error) = &state.failure {
                return Err(wrap(self.judge.error(error)));
            }
            if state.is_closed {
                return Ok(0);
            }
        }
        let (plain, cipher) = buffer.split_at_mut(buffer.len().div_ceil(2));
        // an end without a close_notify is an end: an object that it cuts off is an error anyway
        let length = stream.read(cipher)?;
        if length == 0 {
            return Ok(0);
        }
        let state = &mut *self.state();
        match feed(&mut state.tls, &cipher[..length], plain) {
            Ok(fed) => {
                state.is_closed = fed.is_closed;
                match fed.length {
                    0 if !fed.is_closed => Err(ErrorKind::WouldBlock.into()),
                    length => Ok(length),
                }
            }
            Err((0, error)) => {
                let cause = self.judge.error(&error);
                state.failure = Some(error);
                Err(wrap(cause))
            }
            Err((length, error)) => {
                state.failure = Some(error);
                Ok(length)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drain(tls: &mut ClientConnection) -> io::Result<Vec<u8>> {
    let mut cipher = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut cipher)?;
    }
    Ok(cipher)
}

fn wrap(error: TlsError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
