//! The hosts of servers and clients, by the one rule of the crate.

use chatproto::address::Address;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The address of a host and a port. Raises ValueError if the host cannot be one.
pub(crate) fn address(host: &str, port: u16) -> PyResult<Address> {
    Address::new(host, port)
        .map_err(|error| PyValueError::new_err(format!("host {host:?} cannot be used: {error}")))
}

/// Checks a host, which is a name or an IP address without brackets.
///
/// Raises ValueError if it cannot be one, or is an incomplete IP address.
#[pyfunction]
pub(crate) fn check_host(host: &str) -> PyResult<()> {
    address(host, chatproto::PORT).map(drop)
}
