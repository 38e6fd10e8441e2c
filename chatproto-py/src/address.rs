//! The hosts of servers and clients, by the one rule of the crate.

use chatproto::address::Address;
use chatproto::websocket::{Url, UrlError};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The address of a host and a port. Raises ValueError if the host cannot be one.
pub(crate) fn address(host: &str, port: u16) -> PyResult<Address> {
    Address::new(host, port)
        .map_err(|error| PyValueError::new_err(format!("host {host:?} cannot be used: {error}")))
}

/// The URL of a WebSocket, for a client. Raises ValueError if it cannot be one.
pub(crate) fn url(text: &str) -> PyResult<Url> {
    let url = || {
        let url: Url = text.parse()?;
        url.check_without_name().map(|()| url)
    };
    url().map_err(|error: UrlError| {
        PyValueError::new_err(format!("url {text:?} cannot be used: {error}"))
    })
}

/// The host, the port and whether there is TLS, of the URL of a WebSocket.
///
/// Raises ValueError if the URL is invalid, or has a parameter ``name``.
#[pyfunction]
pub(crate) fn parse_url(url: &str) -> PyResult<(String, u16, bool)> {
    let url = self::url(url)?;
    Ok((url.address().host().to_owned(), url.address().port(), url.is_secure()))
}

/// Checks a host, which is a name or an IP address without brackets.
///
/// Raises ValueError if it cannot be one, or is an incomplete IP address.
#[pyfunction]
pub(crate) fn check_host(host: &str) -> PyResult<()> {
    address(host, chatproto::PORT).map(drop)
}
