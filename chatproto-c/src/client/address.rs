//! From the text of an address to a socket: checked, looked up, connected.

use std::fmt::Display;
use std::io::{Error, ErrorKind};
use std::net::TcpStream;
use std::time::Instant;

use chatproto::ClientError;
use chatproto::address::{Address, AddressError};
use chatproto::websocket::{Url, UrlError};

use crate::result::{chatproto_result, client_error, fail};

/// Where a server is.
pub(super) enum ServerAddress {
    Tcp(Address),
    WebSocket(Url),
}

impl ServerAddress {
    /// The address that a text has: a host and a port, or a URL.
    pub(super) fn parse(text: &str) -> Result<Self, chatproto_result> {
        if Url::is_url(text) {
            let url = || {
                let url: Url = text.parse()?;
                url.check_without_name().map(|()| url)
            };
            let refuse = |error: UrlError| {
                fail(
                    chatproto_result::InvalidArgument,
                    format_args!("`address` {text:?} cannot be used: {error}"),
                )
            };
            return url().map(ServerAddress::WebSocket).map_err(refuse);
        }
        parse_host_and_port(text).map(ServerAddress::Tcp)
    }

    /// The URL of a WebSocket.
    pub(super) fn url(&self) -> Option<&Url> {
        match self {
            ServerAddress::Tcp(_) => None,
            ServerAddress::WebSocket(url) => Some(url),
        }
    }

    /// The host and the port.
    pub(super) fn address(&self) -> &Address {
        match self {
            ServerAddress::Tcp(address) => address,
            ServerAddress::WebSocket(url) => url.address(),
        }
    }
}

/// Tries the addresses of a host one after the other.
pub(super) fn connect(
    address: &Address,
    until: Option<Instant>,
    late: &impl Fn() -> chatproto_result,
) -> Result<TcpStream, chatproto_result> {
    let io = |doing: String, source| client_error(&ClientError::Io { doing, source });
    let unknown = |host| {
        io("cannot find the server's address".to_owned(), Error::new(ErrorKind::NotFound, host))
    };
    let mut failure = None;
    for address in address.resolve().map_err(unknown)? {
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

fn parse_host_and_port(text: &str) -> Result<Address, chatproto_result> {
    let refuse = |why: &dyn Display| {
        fail(
            chatproto_result::InvalidArgument,
            format_args!(
                "`address` is a host and a port from 1 to 65535, such as \"127.0.0.1:65432\", or a \
                 URL such as \"ws://127.0.0.1:8080/ws\", not {text:?}{why}"
            ),
        )
    };
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if !parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(refuse(&""));
    }
    text.parse().map_err(|error: AddressError| refuse(&format_args!(": {error}")))
}
