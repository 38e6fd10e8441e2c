//! What can be wrong with TLS: with one's own files, with the peer's certificate, with the handshake.

use std::fmt::Debug;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};

use crate::reason::reason;

use super::fingerprint::{Fingerprint, InvalidFingerprint};

/// Why TLS cannot be had: each says which check failed and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {}", reason(.source))]
    Read {
        /// The file.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// There is no certificate in a PEM text.
    #[error(
        "there is no certificate in {from}: it must be PEM, with a line BEGIN CERTIFICATE (from DER: \
         openssl x509 -inform der -in FILE)"
    )]
    NoCertificate {
        /// The file, or what the text is.
        from: String,
    },
    /// There is no private key in a PEM text.
    #[error(
        "there is no private key in {from}: it must be PEM, with a line BEGIN PRIVATE KEY (from DER: \
         openssl pkey -inform der -in FILE)"
    )]
    NoKey {
        /// The file, or what the text is.
        from: String,
    },
    /// A private key is encrypted, and there is nobody to ask for the password.
    #[error(
        "the private key in {from} is encrypted: write one without a password, which only the \
         server's user can read, with: openssl pkey -in FILE -out PLAIN"
    )]
    EncryptedKey {
        /// The file, or what the text is.
        from: String,
    },
    /// The key is that of another certificate.
    #[error(
        "the private key in {key} does not belong to the certificate in {certificate}: name the two \
         files that were made together, and the server's own certificate before those of its issuers"
    )]
    KeyMismatch {
        /// Where the certificate is from.
        certificate: String,
        /// Where the key is from.
        key: String,
    },
    /// A certificate or a key is of a kind that cannot be used.
    #[error("what is in {from} cannot be used: {reason}")]
    Unusable {
        /// The file, or what the text is.
        from: String,
        /// Why, and what can.
        reason: String,
    },
    /// The system has no authorities that could be trusted.
    #[error(
        "this system has no certificate authorities to trust ({reason}): install them (on Debian the \
         package ca-certificates), or name a file of the authority, or the server's fingerprint"
    )]
    NoSystemRoots {
        /// What was found instead.
        reason: String,
    },
    /// Text that is not the SHA-256 of a certificate.
    #[error(transparent)]
    InvalidFingerprint(#[from] InvalidFingerprint),
    /// Text that can be no server's name.
    #[error("{0:?} is no server name: it must be a DNS name or an IP address")]
    InvalidName(String),
    /// The server's certificate has had its time.
    #[error(
        "the server's certificate expired on {at}: its operator has to renew it (or this machine's \
         clock is wrong)"
    )]
    Expired {
        /// When.
        at: String,
    },
    /// The server's certificate is for a time to come.
    #[error(
        "the server's certificate is not valid before {at}: this machine's clock may be wrong, or the \
         server's was when it was made"
    )]
    NotYetValid {
        /// When it will be.
        at: String,
    },
    /// The server's certificate is for other names.
    #[error("the server's certificate is not for {expected:?}{}", other_names(.names))]
    WrongName {
        /// The name that was expected.
        expected: String,
        /// The names it has.
        names: Vec<String>,
    },
    /// Nobody who is trusted has signed the server's certificate.
    #[error(
        "the server's certificate is not from an authority that is trusted here: name the file of the \
         authority, or the certificate's fingerprint if the operator tells you that it is {fingerprint}"
    )]
    UnknownIssuer {
        /// The fingerprint of the certificate that was shown.
        fingerprint: Fingerprint,
    },
    /// The server has another certificate than the one that is trusted.
    #[error(
        "the server's certificate has another fingerprint: expected {expected}, got {got}: ask the \
         operator whether it was renewed; if not, somebody is in between"
    )]
    WrongFingerprint {
        /// The one that is trusted.
        expected: Fingerprint,
        /// The one that was shown.
        got: Fingerprint,
    },
    /// The server's certificate is bad in another way.
    #[error("the server's certificate cannot be accepted: {0}")]
    BadCertificate(String),
    /// What came is no TLS.
    #[error(
        "the server does not speak TLS on this port: connect without TLS, or ask its operator for the \
         port"
    )]
    NotTls,
    /// There is no version or cipher that both speak.
    #[error("the server has no version or cipher of TLS in common with us: {0}")]
    NothingInCommon(String),
    /// The server wants a client certificate, and there is none.
    #[error("the server asks for a client certificate: name yours and its key")]
    CertificateRequired,
    /// The server does not accept the client certificate.
    #[error(
        "the server does not accept the client certificate ({0}): it must be from the authority that \
         the server names, and valid"
    )]
    CertificateRefused(String),
    /// The server ended the handshake.
    #[error(
        "the server refused TLS ({0}): it offers none on this port, or nothing in common with us"
    )]
    Refused(String),
    /// The server closed the connection in the middle of the handshake.
    #[error(
        "the server closed the connection during the TLS handshake: it may not speak TLS on this port"
    )]
    HungUp,
    /// The stream was tampered with, or a defect in one of the two.
    #[error("TLS failed: {0}")]
    Broken(String),
}

impl PartialEq for TlsError {
    /// Whether they read the same.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl TlsError {
    /// The file that cannot be used, as the sentence names it. `None` if the error is not about a file
    /// or is about two.
    pub fn file(&self) -> Option<&str> {
        match self {
            TlsError::Read { path: file, .. }
            | TlsError::NoCertificate { from: file }
            | TlsError::NoKey { from: file }
            | TlsError::EncryptedKey { from: file }
            | TlsError::Unusable { from: file, .. } => Some(file),
            _ => None,
        }
    }

    /// What an error means to a client.
    pub(super) fn of_client(
        error: &Error,
        shown: Option<Fingerprint>,
        pinned: Option<Fingerprint>,
    ) -> Self {
        match error {
            Error::InvalidCertificate(wrong) if is_untrusted(wrong) => match (shown, pinned) {
                (Some(got), Some(expected)) => TlsError::WrongFingerprint { expected, got },
                (Some(fingerprint), None) => TlsError::UnknownIssuer { fingerprint },
                (None, _) => TlsError::BadCertificate(certificate_error(error)),
            },
            Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
                TlsError::Expired { at: date(*not_after) }
            }
            Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before, ..
            }) => TlsError::NotYetValid { at: date(*not_before) },
            Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected,
                presented,
            }) => TlsError::WrongName {
                expected: expected.to_str().into_owned(),
                names: presented.iter().map(|name| bare(name)).collect(),
            },
            Error::InvalidCertificate(_) => TlsError::BadCertificate(certificate_error(error)),
            Error::InvalidMessage(_) => TlsError::NotTls,
            Error::PeerIncompatible(what) => TlsError::NothingInCommon(incompatible(what)),
            Error::AlertReceived(AlertDescription::ProtocolVersion) => {
                TlsError::NothingInCommon(OLD.to_owned())
            }
            Error::AlertReceived(AlertDescription::CertificateRequired) => {
                TlsError::CertificateRequired
            }
            Error::AlertReceived(alert) if is_about_certificate(*alert) => {
                TlsError::CertificateRefused(alert_name(*alert))
            }
            Error::AlertReceived(alert) => TlsError::Refused(alert_name(*alert)),
            other => TlsError::Broken(described(other)),
        }
    }
}

/// What a failed handshake means to the server's operator.
pub(crate) fn handshake_failure(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) if is_about_certificate(*alert) => {
            format!("the client does not trust the server's certificate ({})", alert_name(*alert))
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            format!("the client has nothing in common with us: {OLD}")
        }
        Error::AlertReceived(alert) => format!("the client ended it ({})", alert_name(*alert)),
        Error::NoCertificatesPresented => "the client has no certificate".to_owned(),
        Error::InvalidCertificate(_) => {
            format!("the client's certificate is refused: {}", certificate_error(error))
        }
        Error::PeerIncompatible(what) => {
            format!("the client has nothing in common with us: {}", incompatible(what))
        }
        Error::InvalidMessage(_) => "what the client sent is no TLS".to_owned(),
        other => described(other),
    }
}

/// Another error of TLS, in words.
pub(super) fn described(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(_) => certificate_error(error),
        Error::PeerIncompatible(what) => incompatible(what),
        Error::AlertReceived(alert) => alert_name(*alert),
        Error::InvalidMessage(what) => format!("a message is malformed: {}", words(what)),
        Error::PeerMisbehaved(what) => {
            format!("the other side broke the rules of TLS: {}", words(what))
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "a message came that was not expected then".to_owned()
        }
        Error::DecryptError => {
            "what came cannot be decrypted: it was changed on its way".to_owned()
        }
        Error::General(text) => text.clone(),
        other => words(other),
    }
}

/// What is wrong with a certificate.
pub(super) fn certificate_error(error: &Error) -> String {
    let Error::InvalidCertificate(wrong) = error else { return described(error) };
    match wrong {
        CertificateError::Other(other) if is_version_1(other) => VERSION_1.to_owned(),
        CertificateError::Other(other) if is_authority(other) => {
            "it is the certificate of an authority and not of a server or client".to_owned()
        }
        CertificateError::Other(other) => words(&other.0),
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::NotValidYet => "it is not valid yet".to_owned(),
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for other names".to_owned()
        }
        CertificateError::BadEncoding => "it is not a well-formed certificate".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired on {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted here".to_owned(),
        CertificateError::BadSignature => "its signature is wrong".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it was made for another purpose".to_owned()
        }
        other => words(other),
    }
}

/// Why a certificate without extensions is refused.
const VERSION_1: &str = "it is of version 1, which has no names of servers: make one of version 3, such as \
                         with openssl req -x509, or trust its fingerprint";

/// What somebody speaks who refuses TLS 1.2 and 1.3.
const OLD: &str = "it speaks only versions older than TLS 1.2";

/// Whether nobody who is trusted has signed a certificate.
fn is_untrusted(wrong: &CertificateError) -> bool {
    match wrong {
        // the name of the error is all that is known of it
        CertificateError::Other(other) => is_authority(other),
        // a bad signature is what another authority of the same name comes to
        wrong => matches!(wrong, CertificateError::UnknownIssuer | CertificateError::BadSignature),
    }
}

/// A server showed the certificate of an authority. It is trusted if the very file is named.
fn is_authority(other: &OtherError) -> bool {
    other.to_string() == "CaUsedAsEndEntity"
}

fn is_version_1(other: &OtherError) -> bool {
    other.to_string() == "UnsupportedCertVersion"
}

fn incompatible(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        // the hello of an older version lacks this extension
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::SupportedVersionsExtensionRequired => OLD.to_owned(),
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature scheme".to_owned()
        }
        other => words(other),
    }
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::NoCertificate
    )
}

/// The alert as the standard names it, in words.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(number) => format!("alert: number {number}"),
        known => format!("alert: {}", words(&known)),
    }
}

/// The name of a variant in words, without what it holds. The names of these errors are sentences of
/// their own; a variant of a later version of rustls has words too.
fn words(named: &dyn Debug) -> String {
    let name = format!("{named:?}");
    let name = name.split(['(', ' ', '{', '"']).find(|part| !part.is_empty()).unwrap_or("unknown");
    let name = name.strip_suffix("Context").unwrap_or(name);
    let mut words = String::new();
    let mut before = 'A';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
        before = letter;
    }
    words.replace("tls12", "TLS 1.2").replace("tls13", "TLS 1.3")
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "a time beyond all bounds".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// A name of a certificate without what kind of name it is: `DnsName("a.example")`.
fn bare(presented: &str) -> String {
    let inside = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let name = inside.unwrap_or(presented).trim_matches('"');
    let address = name.parse::<std::net::IpAddr>();
    address.map_or_else(|_| name.to_owned(), |address| address.to_string())
}

/// What a certificate is for instead, and what to do.
fn other_names(names: &[String]) -> String {
    if names.is_empty() {
        ", as it has no subjectAltName, and the name of its subject does not count: make one with openssl \
         req -x509 -addext subjectAltName=DNS:NAME (or IP:ADDRESS), or trust its fingerprint"
            .to_owned()
    } else {
        let names = names.join(", ");
        format!(" but for {names}: connect to one of these, or say which of them to expect")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_said_in_words() {
        assert_eq!(alert_name(AlertDescription::UnknownCA), "alert: unknown ca");
        assert_eq!(alert_name(AlertDescription::HandshakeFailure), "alert: handshake failure");
    }

    /// What each error is to a client, and to a server's operator.
    fn sentences(error: &Error) -> [String; 4] {
        let shown = "aa".repeat(32).parse().ok();
        let client = [None, shown].map(|shown| TlsError::of_client(error, shown, None).to_string());
        let [one, other] = client;
        [one, other, handshake_failure(error), certificate_error(error)]
    }

    #[test]
    fn no_error_shows_how_it_is_called_in_rust() {
        use rustls::{InvalidMessage as M, PeerIncompatible as I, PeerMisbehaved as B};
        use std::sync::Arc;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
        let incompatible = [
            I::EcPointsExtensionRequired,
            I::ExtendedMasterSecretExtensionRequired,
            I::KeyShareExtensionRequired,
            I::NamedGroupsExtensionRequired,
            I::NoCertificateRequestSignatureSchemesInCommon,
            I::NoCipherSuitesInCommon,
            I::NoEcPointFormatsInCommon,
            I::NoKxGroupsInCommon,
            I::NoSignatureSchemesInCommon,
            I::NullCompressionRequired,
            I::ServerDoesNotSupportTls12Or13,
            I::ServerSentHelloRetryRequestWithUnknownExtension,
            I::ServerTlsVersionIsDisabledByOurConfig,
            I::SignatureAlgorithmsExtensionRequired,
            I::SupportedVersionsExtensionRequired,
            I::Tls12NotOffered,
            I::Tls12NotOfferedOrEnabled,
            I::Tls13RequiredForQuic,
            I::UncompressedEcPointsRequired,
            I::ServerRejectedEncryptedClientHello(None),
        ];
        let misbehaved = [
            B::AttemptedDowngradeToTls12WhenTls13IsSupported,
            B::SelectedUnofferedKxGroup,
            B::SelectedTls12UsingTls13VersionExtension,
            B::IllegalMiddleboxChangeCipherSpec,
            B::TooManyRenegotiationRequests,
            B::SignedKxWithWrongAlgorithm,
        ];
        let malformed = [
            M::InvalidContentType,
            M::MissingData("ServerHello"),
            M::TrailingData("Certificate"),
            M::UnexpectedMessage("Finished"),
            M::UnknownProtocolVersion,
            M::IllegalEmptyList("NamedGroups"),
            M::DuplicateExtension(10),
        ];
        let other = |text: &str| OtherError(Arc::new(io::Error::other(text.to_owned())));
        let certificate = [
            CertificateError::BadEncoding,
            CertificateError::Expired,
            CertificateError::ExpiredContext { time, not_after: time },
            CertificateError::NotValidYet,
            CertificateError::NotValidYetContext { time, not_before: time },
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::BadSignature,
            CertificateError::NotValidForName,
            CertificateError::NotValidForNameContext {
                expected: rustls::pki_types::ServerName::try_from("chat.test").unwrap(),
                presented: vec![],
            },
            CertificateError::InvalidPurpose,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::Other(other("CaUsedAsEndEntity")),
            CertificateError::Other(other("UnsupportedCertVersion")),
            CertificateError::Other(other("PathLenConstraintViolated")),
        ];
        let others = [
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::InconsistentKeys(rustls::InconsistentKeys::Unknown),
            Error::Other(other("SomethingElse")),
        ];
        let all = (incompatible.into_iter().map(Error::PeerIncompatible))
            .chain(misbehaved.into_iter().map(Error::PeerMisbehaved))
            .chain(malformed.into_iter().map(Error::InvalidMessage))
            .chain(certificate.into_iter().map(Error::InvalidCertificate))
            .chain((0..=255_u8).map(|number| Error::AlertReceived(number.into())))
            .chain(others);
        for error in all {
            for sentence in sentences(&error) {
                let plain = sentence.replace("subjectAltName", "");
                let has_camel = plain
                    .chars()
                    .zip(plain.chars().skip(1))
                    .any(|(one, other)| one.is_lowercase() && other.is_uppercase());
                let has_marks =
                    ["{", "}", "::", "Some(", "_"].iter().any(|mark| sentence.contains(mark));
                assert!(!has_camel && !has_marks, "{error:?}: {sentence}");
            }
        }
    }

    #[test]
    fn versions_that_are_too_old_are_named() {
        for error in [
            Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
            Error::PeerIncompatible(PeerIncompatible::SignatureAlgorithmsExtensionRequired),
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            Error::AlertReceived(AlertDescription::ProtocolVersion),
        ] {
            let client = TlsError::of_client(&error, None, None).to_string();
            for sentence in [client, handshake_failure(&error)] {
                assert!(sentence.contains("only versions older than TLS 1.2"), "{sentence}");
            }
        }
    }

    #[test]
    fn a_date_is_in_universal_time() {
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
        assert_eq!(date(at), "2023-11-14 22:13 UTC");
        let never = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX));
        assert_eq!(date(never), "a time beyond all bounds");
    }
}
