//! How a client connects: from which address, and whose fault it is if it cannot.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::TcpStream;
use shared::failure::reason;
#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};

/// Clients that connect to the loopback network from one address.
const CLIENTS_OF_ADDRESS: usize = 8_000;

/// Why a client has come to an end that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// This machine or process could not make the connection: no descriptors, no ports.
    OwnLimit(String),
    /// Nobody accepted the connection.
    Unreachable(String),
    /// The server refused the name, in these words.
    Refused(String),
    /// There was no welcome in time.
    TimedOut,
    /// The server closed the connection before the welcome.
    Dropped(String),
    /// The server closed the connection after the welcome, or it broke.
    Lost(String),
}

impl End {
    /// Why there is no connection: this machine's fault, or the other's.
    pub(super) fn of(error: &io::Error) -> Self {
        const TOO_MANY_FILES: [i32; 2] = [23, 24];
        let why = reason(error);
        if cfg!(unix) && error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) {
            let what_to_do = "raise the limit of file descriptors with ulimit -n";
            return End::OwnLimit(format!("{why}: {what_to_do}"));
        }
        match error.kind() {
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => {
                End::OwnLimit("this machine has no free port left towards that server".to_owned())
            }
            _ => End::Unreachable(why),
        }
    }
}

/// Begins to connect the client with that number.
pub(super) fn begin(server: SocketAddr, number: usize) -> io::Result<TcpStream> {
    match source(server, number) {
        None => TcpStream::connect(server),
        Some(source) => connect_from(source, server),
    }
}

/// The address that a client connects from, if not one that the system chooses. One address has
/// some 28,000 ports, and looking for a free one becomes slow when half of them are taken; but all
/// addresses of the loopback network are Linux's own.
fn source(server: SocketAddr, number: usize) -> Option<SocketAddr> {
    let SocketAddr::V4(server) = server else { return None };
    let network = 1 + (number / CLIENTS_OF_ADDRESS).min(250) as u8;
    let is_possible = cfg!(target_os = "linux") && server.ip().is_loopback();
    (is_possible && network > 1).then(|| ([127, 0, 0, network], 0).into())
}

/// Begins to connect from that address. Its port is chosen when it connects, as without an address:
/// chosen before, it could be none that an earlier connection still has.
#[cfg(target_os = "linux")]
fn connect_from(source: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    use nix::errno::Errno;
    use nix::sys::socket::{setsockopt, sockopt};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    socket.bind(&source.into())?;
    match socket.connect(&address.into()) {
        // the event loop says when it is made
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Elsewhere the loopback network is one address.
#[cfg(not(target_os = "linux"))]
fn connect_from(_: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn many_clients_come_from_several_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        for (number, address) in [
            (CLIENTS_OF_ADDRESS - 1, [127, 0, 0, 1]),
            (CLIENTS_OF_ADDRESS, [127, 0, 0, 2]),
            (3 * CLIENTS_OF_ADDRESS, [127, 0, 0, 4]),
        ] {
            let _client = begin(server, number).unwrap();
            let (_, from) = listener.accept().unwrap();
            assert_eq!(from.ip(), IpAddr::from(address));
        }
        let elsewhere = "192.0.2.1:1".parse().unwrap();
        assert_eq!(source(elsewhere, 100_000), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_is_told_whose_fault_it_is() {
        let end = |code| End::of(&io::Error::from_raw_os_error(code));
        for (code, is_own) in
            [(24, true), (23, true), (99, true), (98, true), (111, false), (113, false)]
        {
            assert_eq!(matches!(end(code), End::OwnLimit(_)), is_own, "{:?}", end(code));
        }
        assert_eq!(end(111), End::Unreachable("connection refused".to_owned()));
    }
}
