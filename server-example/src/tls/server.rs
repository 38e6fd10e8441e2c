//! The server's certificate: read from its files, said in the log, read again.

use std::path::Path;

use chatproto::tls::{ClientCertificates, ServerTls};
use chatproto::{ServerBuilder, ServerHandle};
use jiff::SignedDuration;
use shared::failure::Failure;
use shared::modes::is_open_to_others;
use shared::text::visible;
use shared::units;
use tracing::{info, warn};

use crate::reload::{Part, Ready};
use crate::serve::ServeOptions;

use super::cert::Facts;
use super::options::{ClientCert, TlsMode, TlsOptions};

/// From so long before its end on, a certificate is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How a certificate is had.
const MAKE: &str = "make a certificate with: server-example cert new";

/// What the server speaks TLS with.
#[derive(Debug)]
pub(crate) struct Material {
    tls: ServerTls,
    mode: TlsMode,
}

impl Material {
    /// Reads what the options name; `None` if the server is to speak no TLS.
    pub(crate) fn load(options: &TlsOptions) -> Result<Option<Self>, Failure> {
        let usage = |text: String| Failure::Usage(text);
        if options.tls == Some(TlsMode::Off) {
            return Ok(None);
        }
        let (certificate, key) = match (&options.tls_cert, &options.tls_key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => {
                return Err(usage("--tls-cert needs the certificate's key: --tls-key FILE".into()));
            }
            (None, Some(_)) => {
                return Err(usage("--tls-key needs the key's certificate: --tls-cert FILE".into()));
            }
            (None, None) => {
                let asks = [
                    (options.tls == Some(TlsMode::Only), "--tls only"),
                    (options.tls == Some(TlsMode::Optional), "--tls optional"),
                    (!options.tls_listen.is_empty(), "--tls-listen"),
                    (options.tls_client_ca.is_some(), "--tls-client-ca"),
                    (options.tls_client_cert.is_some(), "--tls-client-cert"),
                ];
                return match asks.into_iter().find(|(is_asked, _)| *is_asked) {
                    Some((_, what)) => {
                        Err(usage(format!("{what} needs --tls-cert and --tls-key ({MAKE})")))
                    }
                    None => Ok(None),
                };
            }
        };
        let fail =
            |error: chatproto::tls::TlsError| usage(visible(&error.to_string()).into_owned());
        let mut tls = ServerTls::from_files(certificate, key).map_err(fail)?;
        let ask = match options.tls_client_cert {
            Some(ClientCert::Request) => ClientCertificates::Request,
            _ => ClientCertificates::Require,
        };
        match &options.tls_client_ca {
            Some(path) => tls = tls.client_ca_file(path, ask).map_err(fail)?,
            None if options.tls_client_cert.is_some() => {
                return Err(usage("--tls-client-cert needs --tls-client-ca FILE".into()));
            }
            None => {}
        }
        warn_if_open(key);
        Ok(Some(Material { tls, mode: options.tls.unwrap_or(TlsMode::Optional) }))
    }

    /// Has the server speak it.
    pub(crate) fn apply(
        &self,
        options: &TlsOptions,
        builder: ServerBuilder,
    ) -> Result<ServerBuilder, Failure> {
        let builder = builder.tls(self.tls.clone()).tls_only(self.mode == TlsMode::Only);
        let addresses = units::resolve_to_listen(&options.tls_listen).map_err(Failure::Usage)?;
        Ok(addresses.into_iter().fold(builder, ServerBuilder::tls_listen))
    }

    /// Whether nobody is served in text.
    pub(crate) fn is_only(&self) -> bool {
        self.mode == TlsMode::Only
    }

    /// The same for HTTP, which is asked for by the names of the certificate too.
    pub(crate) fn for_http(&self) -> http_listener::Tls {
        let facts = Facts::of_der(self.tls.certificate());
        let names = facts.iter().flat_map(Facts::hosts);
        http_listener::Tls::new(&self.tls, names.map(String::as_str), self.is_only())
    }

    /// Says what is offered, and for how long it will do.
    pub(crate) fn log(&self) {
        let whom = if self.is_only() { "only" } else { "and text" };
        match Facts::of_der(self.tls.certificate()) {
            Ok(facts) => {
                info!("TLS {whom}, as {} until {}", facts.names(), facts.until());
                let now = shared::clock::now();
                if facts.not_after() <= now {
                    warn!("the certificate expired on {}: renew it", facts.until());
                } else if facts.not_before() > now {
                    warn!("the certificate is not valid before {}", facts.since());
                } else if facts.not_after().duration_since(now) < SOON {
                    warn!("the certificate expires soon, on {}: renew it", facts.until());
                }
            }
            Err(_) => info!("TLS {whom}"),
        }
        info!("fingerprint {}", self.tls.fingerprint());
    }
}

/// The certificate, its key and the clients' authority, which are shown to those who connect from
/// now on: what is in the files may be another one, though their names are the same.
pub(crate) struct Certificates {
    pub(crate) handle: ServerHandle,
    pub(crate) http: Option<http_listener::Control>,
    pub(crate) is_on: bool,
}

impl Part for Certificates {
    fn options(&self) -> &'static [&'static str] {
        &["tls-cert", "tls-key", "tls-client-ca", "tls-client-cert"]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        match Material::load(&options.tls)? {
            Some(_) if !self.is_on => Err(Failure::Usage(
                "the server was started without TLS: restart it to have TLS".to_owned(),
            )),
            Some(material) => Ok(Ready::new(move || {
                self.handle.replace_tls(&material.tls);
                if let Some(http) = &self.http {
                    http.set_tls(material.for_http());
                }
                material.log();
            })),
            None => Ok(Ready::new(|| {})),
        }
    }
}

/// A key that others can read is not the server's alone.
fn warn_if_open(key: &Path) {
    if std::fs::metadata(key).is_ok_and(|metadata| is_open_to_others(&metadata)) {
        let shown = key.to_string_lossy();
        warn!("the key in {} is open to others than its owner: chmod 600 it", visible(&shown));
    }
}
