//! The sockets that a server listens on.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use super::error::ServerError;

/// Connections that the system may hold ready to be accepted.
const BACKLOG: i32 = 4096;

/// A listener, and its address with its port.
pub(super) type Listening = (TcpListener, SocketAddr);

pub(super) fn no_address() -> ServerError {
    ServerError::Listen {
        address: "no address".to_owned(),
        source: std::io::ErrorKind::AddrNotAvailable.into(),
    }
}

/// Listens on each of the addresses once. Port 0 may be meant several times.
pub(super) fn listen_on_all(addresses: &[SocketAddr]) -> Result<Vec<Listening>, ServerError> {
    let mut listening = Vec::with_capacity(addresses.len());
    for (number, &address) in addresses.iter().enumerate() {
        if address.port() != 0 && addresses[..number].contains(&address) {
            continue;
        }
        // [::] would take the port of the other family too
        let is_of_all = |other: &SocketAddr| other.ip().is_unspecified();
        let has_rival = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        let is_single = address.is_ipv6()
            && is_of_all(&address)
            && addresses.iter().any(|other| is_of_all(other) && has_rival(other));
        listening.push(listen_on(address, is_single)?);
    }
    Ok(listening)
}

/// Listens on the address; returns that with its port. An IPv6 address may be for IPv6 only.
pub(super) fn listen_on(address: SocketAddr, is_only_v6: bool) -> Result<Listening, ServerError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // so that a restarted server need not wait for old connections; elsewhere it means another
        // thing
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        if is_only_v6 {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    listen().map_err(|source| ServerError::Listen { address: address.to_string(), source })
}
