//! The byte stream of one connection: a socket, a PROXY header where one must come first, and TLS if
//! the peer speaks that. The first byte behind the header tells.

use std::io::{self, IoSlice, Read, Write};

use bytes::Bytes;
use mio::event::Event;
use mio::{Registry, Token};

use super::ahead::Ahead;
use super::preface::{Outcome, Preface};
#[cfg(feature = "tls")]
use super::secure::{Door, Secure};
#[cfg(test)]
use super::simulation;
use super::socket::Socket;

/// A socket, and what is between it and the protocol.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    /// The PROXY header that comes first. Boxed, because it is soon over.
    preface: Option<Box<Preface>>,
    /// None but for connections that were adopted a moment ago.
    ahead: Option<Box<Ahead>>,
    /// The last bytes that were read came from there. The poll may have told of those of the socket meanwhile.
    is_unread: bool,
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
            Entrance::Tls(door) => Stream {
                socket,
                preface: None,
                ahead: None,
                is_unread: false,
                layer: Layer::Undecided(door),
            },
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
            preface: None,
            ahead: None,
            is_unread: false,
            #[cfg(feature = "tls")]
            layer: Layer::Plain,
        }
    }

    /// Of a socket on which a TLS session is established.
    #[cfg(feature = "tls")]
    pub(super) fn secure(socket: Socket, session: rustls::ServerConnection) -> Self {
        Stream {
            socket,
            preface: None,
            ahead: None,
            is_unread: false,
            layer: Layer::Tls(Box::new(Secure::resume(session))),
        }
    }

    /// The same with bytes that were read before, and bytes that are yet to be written.
    pub(super) fn with_bytes(mut self, received: Bytes, unsent: Bytes) -> Self {
        #[cfg(feature = "tls")]
        if let Layer::Tls(tls) = &mut self.layer {
            tls.hold(!unsent.is_empty());
        }
        self.ahead = Ahead::new(received, unsent);
        self
    }

    /// Reads bytes that were read from the socket before.
    fn read_ahead(&mut self, buffer: &mut [u8]) -> usize {
        self.is_unread = false;
        let Some(ahead) = &mut self.ahead else { return 0 };
        let length = ahead.read(buffer);
        self.is_unread = length > 0;
        self.ahead.take_if(|ahead| ahead.is_empty());
        length
    }

    /// Writes bytes that were to be written before.
    fn flush_ahead(&mut self) -> io::Result<()> {
        let Some(ahead) = &mut self.ahead else { return Ok(()) };
        ahead.flush(&mut self.socket)?;
        #[cfg(feature = "tls")]
        if let Layer::Tls(tls) = &mut self.layer {
            tls.hold(false);
        }
        self.ahead.take_if(|ahead| ahead.is_empty());
        Ok(())
    }

    fn has_unsent_ahead(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.has_unsent())
    }

    /// A PROXY header must come first.
    pub(super) fn await_origin(&mut self) {
        self.preface = Some(Box::default());
    }

    /// Whether the PROXY header has not come yet.
    pub(super) fn awaits_origin(&self) -> bool {
        self.preface.as_ref().is_some_and(|preface| preface.is_awaited())
    }

    /// Takes what the PROXY header states, once, when it has come.
    pub(super) fn take_origin(&mut self) -> Option<Outcome> {
        self.preface.take_if(|preface| !preface.is_awaited())?.into_outcome()
    }

    /// Whether nothing can be written yet: the PROXY header, the first byte or the handshake is awaited.
    pub(super) fn is_shut(&self) -> bool {
        self.awaits_origin() || self.is_undecided() || self.is_handshaking()
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
        self.flush_ahead()?;
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
    /// Whether the first byte is awaited.
    fn is_undecided(&self) -> bool {
        matches!(self.layer, Layer::Undecided(_))
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
        self.has_unsent_ahead() || matches!(&self.layer, Layer::Tls(tls) if tls.has_unsent())
    }

    /// Whether more can be read than the last read brought.
    pub(super) fn may_have_more(&self) -> bool {
        self.is_unread || matches!(&self.layer, Layer::Tls(tls) if tls.may_have_more())
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
    fn is_undecided(&self) -> bool {
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
        self.has_unsent_ahead()
    }

    pub(super) fn may_have_more(&self) -> bool {
        self.is_unread
    }

    pub(super) fn take_failure(&mut self) -> Option<String> {
        None
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(preface) = &mut self.preface {
            preface.read(&mut self.socket)?;
        }
        let length = self.read_ahead(buffer);
        if length > 0 {
            return Ok(length);
        }
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
        if self.awaits_origin() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush_ahead()?;
        #[cfg(feature = "tls")]
        match &mut self.layer {
            Layer::Plain | Layer::Barred => {}
            Layer::Tls(tls) => return tls.write(&mut self.socket, &[IoSlice::new(bytes)]),
            Layer::Undecided(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.awaits_origin() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush_ahead()?;
        #[cfg(feature = "tls")]
        match &mut self.layer {
            Layer::Plain | Layer::Barred => {}
            Layer::Tls(tls) => return tls.write(&mut self.socket, slices),
            Layer::Undecided(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        self.socket.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_ahead()?;
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
