//! Certificates for tests.

use chatproto::tls::{ClientTls, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// What servers of tests are called.
pub(crate) const HOST: &str = "chat.test";

/// Somebody who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Own {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let key = KeyPair::generate().unwrap();
        // no two have the same name
        let name = format!("Authority {:x?}", &key.public_key_raw()[1..5]);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a client needs that trusts this authority, and expects [`HOST`].
    pub(crate) fn client(&self) -> ClientTls {
        self.nameless_client().server_name(HOST).unwrap()
    }

    pub(crate) fn nameless_client(&self) -> ClientTls {
        ClientTls::ca_pem(self.pem().as_bytes()).unwrap()
    }

    pub(crate) fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Own {
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Own { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn server(&self) -> ServerTls {
        self.sign(|_| {}).server()
    }

    pub(crate) fn expired(&self) -> Own {
        self.sign(|params| params.not_after = date_time_ymd(2020, 2, 3))
    }

    pub(crate) fn not_yet_valid(&self) -> Own {
        self.sign(|params| params.not_before = date_time_ymd(2999, 2, 3))
    }

    pub(crate) fn for_client(&self) -> Own {
        self.sign(|params| {
            params.subject_alt_names.clear();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }
}

impl Own {
    pub(crate) fn server(&self) -> ServerTls {
        ServerTls::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// One that signed itself.
    pub(crate) fn self_signed() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
        Own { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
