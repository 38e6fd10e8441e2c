//! From an address to a socket: checked, looked up, connected.

use std::fmt::Display;
use std::io::{Error, ErrorKind};
use std::net::TcpStream;
use std::time::Instant;

use chatproto::ClientError;
use chatproto::address::{Address, AddressError};

use crate::result::{chatproto_result, client_error, fail};

/// Tries the addresses one after the other.
pub(super) fn connect(
    address: &str,
    until: Option<Instant>,
    late: &impl Fn() -> chatproto_result,
) -> Result<TcpStream, chatproto_result> {
    let io = |doing: String, source| client_error(&ClientError::Io { doing, source });
    let unknown = |host| {
        io("cannot find the server's address".to_owned(), Error::new(ErrorKind::NotFound, host))
    };
    let mut failure = None;
    for address in checked(address)?.resolve().map_err(unknown)? {
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
    Err(failure.expect("a host has one address at least"))
}

/// Checks that the address has a host and a port.
fn checked(text: &str) -> Result<Address, chatproto_result> {
    let refuse = |why: &dyn Display| {
        fail(
            chatproto_result::InvalidArgument,
            format_args!(
                "`address` is a host and a port from 1 to 65535, such as \"127.0.0.1:65432\", not \
                 {text:?}{why}"
            ),
        )
    };
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if !parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(refuse(&""));
    }
    text.parse().map_err(|error: AddressError| refuse(&format_args!(": {error}")))
}
