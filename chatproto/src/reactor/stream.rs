//! The byte stream of one connection: a socket, and TLS over it if the peer speaks that. The first
//! byte tells.

use std::io::{self, IoSlice, Read, Write};

use mio::event::Event;
use mio::{Registry, Token};

#[cfg(feature = "tls")]
use super::secure::{Door, Secure};
#[cfg(test)]
use super::simulation;
use super::socket::Socket;

/// A socket, and what is between it and the protocol.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    #[cfg(feature = "tls")]
    layer: Layer,
}

/// How a connection comes in: what it may and must speak.
#[derive(Clone, Debug)]
pub(crate) enum Entrance {
    /// Text, and TLS is told that it is not spoken.
    Plain,
    /// TLS, and text if the door says so.
    #[cfg(feature = "tls")]
    Tls(Door),
}

impl Entrance {
    pub(super) fn stream(self, socket: Socket) -> Stream {
        match self {
            Entrance::Plain => Stream::plain(socket),
            #[cfg(feature = "tls")]
            Entrance::Tls(door) => Stream { socket, layer: Layer::Undecided(door) },
        }
    }
}

#[cfg(feature = "tls")]
#[derive(Debug)]
enum Layer {
    Plain,
    /// Nothing has come yet, and nothing is written before it is known which it is.
    Undecided(Door),
    /// Text came where there should be TLS: only a refusal may be written.
    Barred,
    Tls(Box<Secure>),
}

impl Stream {
    /// Of a socket that speaks no TLS.
    pub(super) fn plain(socket: Socket) -> Self {
        Stream {
            socket,
            #[cfg(feature = "tls")]
            layer: Layer::Plain,
        }
    }

    /// The socket, if it is one of a simulation.
    #[cfg(test)]
    pub(super) fn simulated(&self) -> Option<&simulation::Socket> {
        self.socket.simulated()
    }

    /// From now on the registry tells what happens to it, once whenever it happens.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }

    /// Ends the writing half: the peer reads to the end of what was written. With TLS that takes
    /// some bytes more: [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock) if the socket refuses
    /// them for now.
    pub(super) fn shut_down_writing(&mut self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Layer::Tls(tls) = &mut self.layer {
            tls.finish(&mut self.socket)?;
        }
        self.socket.shut_down_writing()
    }
}

/// What TLS asks of a connection; without it there is nothing.
#[cfg(feature = "tls")]
impl Stream {
    /// Whether nothing can be written yet: the first byte, or the handshake, is awaited.
    pub(super) fn is_shut(&self) -> bool {
        matches!(self.layer, Layer::Undecided(_)) || self.is_handshaking()
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(&self.layer, Layer::Tls(tls) if tls.is_handshaking())
    }

    /// Whether the handshake is done.
    pub(super) fn is_secure(&self) -> bool {
        matches!(&self.layer, Layer::Tls(tls) if !tls.is_handshaking())
    }

    /// Whether text came where there should be TLS.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self.layer, Layer::Barred)
    }

    /// The peer has said nothing for so long that it is waiting to be told something: it is told in
    /// text. Whether that was undecided.
    pub(super) fn settle(&mut self) -> bool {
        let Layer::Undecided(door) = &self.layer else { return false };
        self.layer = if door.is_for_tls_only { Layer::Barred } else { Layer::Plain };
        true
    }

    /// Whether there are bytes on their way that the socket has not taken.
    pub(super) fn has_unsent(&self) -> bool {
        matches!(&self.layer, Layer::Tls(tls) if tls.has_unsent())
    }

    /// Whether more can be read than the last read brought.
    pub(super) fn may_have_more(&self) -> bool {
        matches!(&self.layer, Layer::Tls(tls) if tls.may_have_more())
    }

    /// Why TLS failed, if that is what the last error was; from now on the bytes of the socket are
    /// read as they are.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        let Layer::Tls(tls) = &mut self.layer else { return None };
        let failure = tls.take_failure()?;
        self.layer = Layer::Plain;
        Some(failure)
    }

    /// Reads the first bytes, which say what the peer speaks.
    fn read_first(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(buffer)?;
        let Layer::Undecided(door) = &self.layer else { return Ok(length) };
        if buffer[..length].first() != Some(&Secure::FIRST_BYTE) {
            self.settle();
            return Ok(length);
        }
        let tls = Secure::new(door)?;
        self.layer = Layer::Tls(Box::new(tls));
        let Layer::Tls(tls) = &mut self.layer else { return Ok(0) };
        tls.begin(&mut self.socket, &buffer[..length], length < buffer.len());
        tls.read(&mut self.socket, buffer)
    }
}

#[cfg(not(feature = "tls"))]
impl Stream {
    pub(super) fn is_shut(&self) -> bool {
        false
    }

    pub(super) fn is_handshaking(&self) -> bool {
        false
    }

    pub(super) fn is_secure(&self) -> bool {
        false
    }

    pub(super) fn is_barred(&self) -> bool {
        false
    }

    pub(super) fn settle(&mut self) -> bool {
        false
    }

    pub(super) fn has_unsent(&self) -> bool {
        false
    }

    pub(super) fn may_have_more(&self) -> bool {
        false
    }

    pub(super) fn take_failure(&mut self) -> Option<String> {
        None
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        match &mut self.layer {
            Layer::Plain | Layer::Barred => {}
            Layer::Tls(tls) => return tls.read(&mut self.socket, buffer),
            Layer::Undecided(_) => return self.read_first(buffer),
        }
        self.socket.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        match &mut self.layer {
            Layer::Plain | Layer::Barred => {}
            Layer::Tls(tls) => return tls.write(&mut self.socket, &[IoSlice::new(bytes)]),
            Layer::Undecided(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        match &mut self.layer {
            Layer::Plain | Layer::Barred => {}
            Layer::Tls(tls) => return tls.write(&mut self.socket, slices),
            Layer::Undecided(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        self.socket.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Layer::Tls(tls) = &mut self.layer {
            return tls.flush(&mut self.socket);
        }
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
