//! What is wrong with a certificate, or with the files of one, and what is said about it.

use std::sync::{Arc, Mutex};

use chatproto::hub::Event;
use chatproto::tls::{ClientCertificates, ClientTls, Fingerprint, ServerTls, TlsError};
use chatproto::{Client, ClientError};

use crate::certs::{Authority, HOST, Own};
use crate::support::{TestServer, eventually, limits};

/// A server that remembers which handshakes failed.
struct Watched {
    server: TestServer,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    fn new(tls: ServerTls) -> Self {
        let failures = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&failures);
        let server = TestServer::with(limits(), |builder| {
            builder.tls(tls).observer(move |event: &Event| {
                if let Event::HandshakeFailed { reason, .. } = event {
                    seen.lock().unwrap().push(reason.clone());
                }
            })
        });
        Watched { server, failures }
    }

    #[track_caller]
    fn error(&self, tls: ClientTls) -> TlsError {
        match Client::builder("alice").tls(tls).connect(self.server.address) {
            Err(ClientError::Tls(error)) => error,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was let in"),
        }
    }

    #[track_caller]
    fn saw(&self, what: &str) {
        eventually("the failure is seen", || !self.failures.lock().unwrap().is_empty());
        let reason = self.failures.lock().unwrap().pop().unwrap();
        assert_eq!(reason, what);
        eventually("it is gone", || self.server.handle.connections() == 0);
    }
}

#[test]
fn an_expired_certificate() {
    let authority = Authority::new();
    let server = Watched::new(authority.expired().server());
    let error = server.error(authority.client());
    assert_eq!(
        error.to_string(),
        "the server's certificate expired on 2020-02-03 00:00 UTC: its operator has to renew it (or \
         this machine's clock is wrong)"
    );
    server.saw("the client does not trust the server's certificate (alert: certificate expired)");
}

#[test]
fn a_certificate_for_a_time_to_come() {
    let authority = Authority::new();
    let server = Watched::new(authority.not_yet_valid().server());
    let error = server.error(authority.client());
    assert!(matches!(&error, TlsError::NotYetValid { at } if at == "2999-02-03 00:00 UTC"));
}

#[test]
fn a_certificate_for_other_names() {
    let authority = Authority::new();
    let own = authority.sign(|params| {
        params.subject_alt_names.push(rcgen::SanType::IpAddress([192, 0, 2, 7].into()));
    });
    let server = Watched::new(own.server());
    let error = server.error(authority.nameless_client());
    assert_eq!(
        error.to_string(),
        "the server's certificate is not for \"127.0.0.1\" but for chat.test, 192.0.2.7: connect to \
         one of these, or say which of them to expect"
    );
    server.saw("the client does not trust the server's certificate (alert: bad certificate)");
}

#[test]
fn a_certificate_of_another_authority() {
    let authority = Authority::new();
    let server = Watched::new(authority.server());
    let error = server.error(Authority::new().client());
    let TlsError::UnknownIssuer { fingerprint } = error else { panic!("{error}") };
    server.saw("the client does not trust the server's certificate (alert: unknown ca)");
    // it can be trusted by what the error says, if that is the right one
    let tls = ClientTls::fingerprint(fingerprint);
    Client::builder("alice").tls(tls).connect(server.server.address).unwrap();
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_as_its_own_authority() {
    let own = Own::self_signed();
    let server = Watched::new(own.server());
    let tls = ClientTls::ca_pem(own.certificate.as_bytes()).unwrap().server_name(HOST).unwrap();
    Client::builder("alice").tls(tls).connect(server.server.address).unwrap();
}

#[test]
fn the_right_fingerprint_and_a_wrong_one() {
    // neither names nor dates matter
    let own = Authority::new().expired();
    let server = Watched::new(own.server());
    let right = own.server().fingerprint();
    let tls = ClientTls::fingerprint(right);
    drop(Client::builder("alice").tls(tls).connect(server.server.address).unwrap());
    let wrong: Fingerprint = "42".repeat(32).parse().unwrap();
    let error = server.error(ClientTls::fingerprint(wrong));
    assert_eq!(error, TlsError::WrongFingerprint { expected: wrong, got: right });
    server.saw("the client does not trust the server's certificate (alert: unknown ca)");
}

#[test]
fn a_client_has_to_show_a_certificate() {
    let authority = Authority::new();
    let tls = authority.server();
    let tls = tls.client_ca_pem(authority.pem().as_bytes(), ClientCertificates::Require).unwrap();
    let server = Watched::new(tls);
    let error = server.error(authority.client());
    assert!(matches!(error, TlsError::CertificateRequired), "{error}");
    server.saw("the client has no certificate");

    let stranger = Authority::new().for_client();
    let tls = authority.client();
    let tls = tls.certificate_pem(stranger.certificate.as_bytes(), stranger.key.as_bytes());
    let error = server.error(tls.unwrap());
    assert!(matches!(error, TlsError::CertificateRefused(_)), "{error}");
    server.saw("the client's certificate is refused: its issuer is not trusted here");

    let own = authority.for_client();
    let tls = authority.client();
    let tls = tls.certificate_pem(own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
    Client::builder("alice").tls(tls).connect(server.server.address).unwrap();
}

#[test]
fn a_client_may_show_a_certificate() {
    let authority = Authority::new();
    let tls = authority.server();
    let tls = tls.client_ca_pem(authority.pem().as_bytes(), ClientCertificates::Request).unwrap();
    let server = Watched::new(tls);
    Client::builder("none").tls(authority.client()).connect(server.server.address).unwrap();
    let stranger = Authority::new().for_client();
    let tls = authority.client();
    let tls = tls.certificate_pem(stranger.certificate.as_bytes(), stranger.key.as_bytes());
    assert!(matches!(server.error(tls.unwrap()), TlsError::CertificateRefused(_)));
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let (one, other) = (Own::self_signed(), Own::self_signed());
    let server = |certificate: &str, key: &str| {
        ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err().to_string()
    };
    for (said, error) in [
        ("the private key in the key does not belong", server(&one.certificate, &other.key)),
        ("there is no certificate in the certificate", server(&one.key, &one.key)),
        ("there is no private key in the key", server(&one.certificate, &one.certificate)),
        ("there is no certificate in the certificate", server("", &one.key)),
        (
            "the private key in the key is encrypted",
            server(&one.certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"),
        ),
        (
            "the private key in the key is encrypted",
            server(&one.certificate, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"),
        ),
        (
            "there is no certificate in the certificate",
            server("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", &one.key),
        ),
    ] {
        assert!(error.starts_with(said), "{error}");
    }
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = server(broken, &one.key);
    assert!(error.contains("cannot be used: it is not a well-formed certificate"), "{error}");
    let error = ServerTls::from_files("/nowhere/cert.pem", "/nowhere/key.pem").unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/cert.pem: "), "{error}");
    let tls = ClientTls::fingerprint(one.server().fingerprint());
    assert!(matches!(tls.server_name("not a name").unwrap_err(), TlsError::InvalidName(_)));
}
