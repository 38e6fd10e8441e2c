//! From an address to a socket: checked, looked up, connected.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

use chatproto::ClientError;

use crate::result::{chatproto_result, client_error, fail};

/// Tries the addresses one after the other.
pub(super) fn connect(
    address: &str,
    until: Option<Instant>,
    late: &impl Fn() -> chatproto_result,
) -> Result<TcpStream, chatproto_result> {
    check_address(address)?;
    let io = |doing: String, source| client_error(&ClientError::Io { doing, source });
    let unknown = || "cannot find the server's address".to_owned();
    let addresses = address.to_socket_addrs().map_err(|source| io(unknown(), source))?;
    let mut failure = None;
    for address in addresses {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let connected = match left {
            Some(left) if left.is_zero() => return Err(late()),
            Some(left) => TcpStream::connect_timeout(&address, left),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(source) if source.kind() == ErrorKind::TimedOut && left.is_some() => {
                return Err(late());
            }
            Err(source) => failure = Some(io(format!("cannot connect to {address}"), source)),
        }
    }
    let none = || std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    Err(failure.unwrap_or_else(|| io(unknown(), none())))
}

/// Checks that the address has a host and a port.
fn check_address(address: &str) -> Result<(), chatproto_result> {
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Ok(());
    }
    Err(fail(
        chatproto_result::InvalidArgument,
        format_args!(
            "`address` is a host and a port from 1 to 65535, such as \"127.0.0.1:65432\", not {address:?}"
        ),
    ))
}
