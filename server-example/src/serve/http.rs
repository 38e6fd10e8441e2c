//! HTTP for a server that runs: its listener is made of the options and the certificate, and its names
//! can change while it runs.

use std::net::SocketAddr;
use std::sync::Arc;

use chatproto::connection::Framing;
use chatproto::network::Network;
use chatproto::server::Origin;
use chatproto::{Limits, ServerHandle};
use http_listener::{Adopt, Bounds, Control, HttpOptions, Listener, Running, Setup};
use metrics::Program;
use shared::failure::{Failure, reason};
use shared::units::resolve_to_listen;
use tracing::info;

use crate::reload::{Part, Ready};
use crate::tls::Material;

use super::limits::Descriptors;
use super::listen::cannot_listen_on;
use super::monitoring;
use super::options::ServeOptions;

/// Listens, if HTTP is asked for.
pub(super) fn bind(options: &HttpOptions) -> Result<Option<Listener>, Failure> {
    check(options)?;
    let addresses = resolve_to_listen(&options.http).map_err(Failure::Usage)?;
    if addresses.is_empty() {
        return Ok(None);
    }
    Listener::bind(&addresses)
        .map(Some)
        .map_err(|error| Failure::Usage(cannot_listen_on(&error.address, &error.source, "--http")))
}

/// Refuses options that have no effect.
pub(super) fn check(options: &HttpOptions) -> Result<(), Failure> {
    let alone = match () {
        () if !options.http.is_empty() => return Ok(()),
        () if !options.http_host.is_empty() => "--http-host",
        () if !options.http_origin.is_empty() => "--http-origin",
        () => return Ok(()),
    };
    Err(Failure::Usage(format!("{alone} needs --http, which serves HTTP")))
}

/// Gives WebSockets to the event loops of the chat.
fn adopt(handle: ServerHandle) -> Adopt {
    Arc::new(move |handover| {
        let mut origin = Origin::new(handover.address)
            .framing(Framing::WebSocket)
            .received(handover.received)
            .unsent(handover.unsent);
        if let Some(name) = &handover.name {
            origin = origin.name(name);
        }
        if let Some(session) = handover.tls {
            origin = origin.tls(session);
        }
        handle.adopt(handover.socket, origin).map_err(|error| error.to_string())
    })
}

/// Serves HTTP, and logs where.
pub(super) fn start(
    listener: Listener,
    (options, proxies): (&HttpOptions, &[Network]),
    (descriptors, limits): (Descriptors, &Limits),
    tls: Option<&Material>,
    (handle, program): (ServerHandle, &Arc<dyn Program>),
) -> Result<Running, Failure> {
    let addresses: Vec<SocketAddr> = listener.addresses().to_vec();
    let bounds = Bounds { connections: descriptors.http, per_address: limits.per_address };
    let mut setup = Setup::new(bounds);
    setup.tls = tls.map(Material::for_http);
    setup.hosts.clone_from(&options.http_host);
    setup.origins.clone_from(&options.http_origin);
    setup.proxies = proxies.to_vec();
    setup.routes = monitoring::routes(&handle, program);
    setup.adopt = Some(adopt(handle));
    let running = listener.start(setup).map_err(|error| {
        Failure::Run(format!("cannot start the HTTP listener: {}", reason(&error)))
    })?;
    for address in addresses {
        match tls {
            None => info!("HTTP on http://{address}"),
            Some(tls) if tls.is_only() => info!("HTTP on https://{address}"),
            Some(_) => info!("HTTP on https://{address} and http://{address}"),
        }
    }
    Ok(running)
}

/// The names of the server and the pages that may join.
pub(crate) struct Names(pub(crate) Control);

impl Part for Names {
    fn options(&self) -> &'static [&'static str] {
        &["http-host", "http-origin"]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        let HttpOptions { http_host, http_origin, .. } = options.http.clone();
        Ok(Ready::new(|| self.0.set_names(http_host, http_origin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_listener_are_a_mistake() {
        let mut options = HttpOptions::default();
        assert!(check(&options).is_ok());
        options.http_host = vec!["chat.example".parse().unwrap()];
        let failure = check(&options).unwrap_err();
        assert_eq!(failure.to_string(), "--http-host needs --http, which serves HTTP");
        options.http = vec!["127.0.0.1:0".parse().unwrap()];
        assert!(check(&options).is_ok());
    }
}
