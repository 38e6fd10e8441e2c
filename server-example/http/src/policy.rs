//! The settings that can change while the listener runs: the certificate, the names of the server, and
//! the pages that may open a WebSocket.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatproto::tls::ServerTls;
use rustls::ServerConfig;

use crate::host::{Authority, HostName};
use crate::origin::PageOrigin;

/// TLS with the server's certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    names: Vec<HostName>,
    is_only: bool,
}

impl Tls {
    /// TLS with this certificate. `names` are those that the certificate is for; a name that no request
    /// can have is ignored. With `is_only`, requests without TLS are refused.
    pub fn new<'a>(
        tls: &ServerTls,
        names: impl IntoIterator<Item = &'a str>,
        is_only: bool,
    ) -> Self {
        let mut config = ServerConfig::clone(tls.config());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let names = names.into_iter().filter_map(|name| name.parse().ok()).collect();
        Tls { config: Arc::new(config), names, is_only }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("names", &self.names)
            .field("is_only", &self.is_only)
            .finish_non_exhaustive()
    }
}

/// The rules for new connections and requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) tls: Option<Tls>,
    pub(crate) hosts: Vec<HostName>,
    pub(crate) origins: Vec<PageOrigin>,
}

impl Policy {
    pub(crate) fn tls_config(&self) -> Option<Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.config))
    }

    /// Whether requests without TLS are refused.
    pub(crate) fn is_tls_only(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_only)
    }

    /// Whether this server has the name.
    pub(crate) fn knows(&self, authority: &Authority) -> bool {
        let of_certificate = self.tls.iter().flat_map(|tls| &tls.names);
        authority.is_known(self.hosts.iter().chain(of_certificate))
    }
}

/// The policy in force.
#[derive(Debug)]
pub(crate) struct CurrentPolicy(Mutex<Arc<Policy>>);

impl CurrentPolicy {
    pub(crate) fn new(policy: Policy) -> Self {
        CurrentPolicy(Mutex::new(Arc::new(policy)))
    }

    pub(crate) fn get(&self) -> Arc<Policy> {
        Arc::clone(&self.lock())
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Policy)) {
        change(Arc::make_mut(&mut self.lock()));
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Policy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
