//! The byte stream of one connection: a TCP socket. In tests there is another one, whose network is
//! a simulation.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

#[cfg(test)]
use super::simulation::Socket;

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(test)]
    Simulated(Socket),
}

impl Stream {
    /// From now on the registry tells what happens to it, once whenever it happens.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
            }
            #[cfg(test)]
            Stream::Simulated(socket) => {
                socket.register(token.0);
                Ok(())
            }
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => registry.deregister(stream),
            // it ends with the socket
            #[cfg(test)]
            Stream::Simulated(_) => Ok(()),
        }
    }

    /// Ends the writing half: the peer reads to the end of what was written.
    pub(super) fn shut_down_writing(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(test)]
            Stream::Simulated(socket) => socket.shut_down_writing(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            #[cfg(test)]
            Stream::Simulated(socket) => socket.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            #[cfg(test)]
            Stream::Simulated(socket) => socket.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(test)]
            Stream::Simulated(socket) => socket.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What has become possible on a stream, or has happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer will send nothing more.
    pub(super) read_closed: bool,
    pub(super) error: bool,
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        Readiness {
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            error: event.is_error(),
        }
    }
}
