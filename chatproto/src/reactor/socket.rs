//! The socket of one connection. In tests there is another one, whose network is a simulation.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::keep_alive;

#[cfg(test)]
use super::simulation;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(test)]
    Simulated(simulation::Socket),
}

impl Socket {
    /// The one of a simulation.
    #[cfg(test)]
    pub(super) fn simulated(&self) -> Option<&simulation::Socket> {
        match self {
            Socket::Tcp(_) => None,
            Socket::Simulated(socket) => Some(socket),
        }
    }

    /// From now on the registry reports its changes, each of them once.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => {
                registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
            }
            #[cfg(test)]
            Socket::Simulated(socket) => {
                socket.register(token.0);
                Ok(())
            }
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => registry.deregister(stream),
            // it ends with the socket
            #[cfg(test)]
            Socket::Simulated(_) => Ok(()),
        }
    }

    /// Reads bytes that the next read returns again.
    pub(super) fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.peek(buffer),
            #[cfg(test)]
            Socket::Simulated(socket) => socket.peek(buffer),
        }
    }

    pub(super) fn shut_down_writing(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(test)]
            Socket::Simulated(socket) => socket.shut_down_writing(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            #[cfg(test)]
            Socket::Simulated(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            #[cfg(test)]
            Socket::Simulated(socket) => socket.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            // what the standard library does for one slice and not for several: a peer that is gone
            // must not be the end of a program that does not ignore SIGPIPE, as one in C
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Socket::Tcp(stream) => {
                const MSG_NOSIGNAL: i32 = 0x4000;
                SockRef::from(&*stream).send_vectored_with_flags(slices, MSG_NOSIGNAL)
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Socket::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(test)]
            Socket::Simulated(socket) => socket.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sets the options of a connection, or of the socket that it is accepted from.
pub(super) fn configure(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    keep_alive::set(socket, keep_alive::SILENT_PEER)
}
