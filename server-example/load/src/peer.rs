//! One client of the load: its socket, what it has to write, and what it has read of a frame.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;

use chatproto::Decoder;
use chatproto::handshake::PeerKind;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::outgoing::Outgoing;

/// What an existing program reads at a time, and takes for one object (A4).
pub(crate) const ONE_READ: usize = 1024;
/// A larger frame would be the server's mistake. What all clients hold of theirs is bounded by the
/// event loop.
const LARGEST_FRAME: usize = 64 << 20;

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for the connection, then for its welcome.
    Registering,
    Ready,
    /// It has ended its side and waits for the server's.
    Closing,
    Gone,
}

#[derive(Debug)]
pub(crate) struct Peer {
    stream: Option<TcpStream>,
    pub(crate) kind: PeerKind,
    pub(crate) state: State,
    pub(crate) is_connected: bool,
    /// When it began to connect, in nanoseconds of the clock.
    pub(crate) began: u64,
    out: Outgoing,
    pub(crate) decoder: Decoder,
    /// Bytes of a frame that has not ended, which are in the decoder.
    pub(crate) partial: usize,
    /// It is in the list of those that have something to write.
    pub(crate) is_dirty: bool,
    /// It is in the list of those that have something left to read.
    pub(crate) is_unread: bool,
    /// The server's end is there, behind what is left to read.
    pub(crate) is_ended: bool,
}

impl Peer {
    /// A client whose socket has begun to connect, and which has its name to write.
    pub(crate) fn new(
        stream: TcpStream,
        kind: PeerKind,
        name: &str,
        began: u64,
    ) -> io::Result<Self> {
        let mut out = Outgoing::new(kind);
        out.push(|bytes| bytes.extend_from_slice(name.as_bytes()));
        // one-read programs leave Nagle's algorithm on
        if kind == PeerKind::Stream {
            stream.set_nodelay(true)?;
            out.push(|bytes| bytes.push(b'\n'));
        }
        Ok(Peer {
            stream: Some(stream),
            kind,
            state: State::Registering,
            is_connected: false,
            began,
            out,
            decoder: Decoder::new(LARGEST_FRAME),
            partial: 0,
            is_dirty: false,
            is_unread: false,
            is_ended: false,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.stream.as_mut().map_or(Ok(()), |stream| registry.register(stream, token, interest))
    }

    /// Whether the connection is made, once its socket is writable.
    pub(crate) fn check_connected(&mut self) -> io::Result<bool> {
        let Some(stream) = &self.stream else { return Ok(false) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => self.is_connected = true,
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        Ok(self.is_connected)
    }

    /// Appends one object with `write`.
    pub(crate) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(write);
    }

    /// Writes what the socket takes. The rest is written when it is writable again.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_connected) else {
            return Ok(());
        };
        if self.out.write_to(stream)? && self.state == State::Closing {
            stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Bytes that the socket did not take yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.out.unwritten()
    }

    /// Reads once, as much as its kind reads at a time: how much, or `None` if there is nothing.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        loop {
            return match stream.read(buffer) {
                Ok(length) => Ok(Some(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Ends its side once everything is written.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.state = State::Closing;
        self.write()
    }

    /// Closes the socket.
    pub(crate) fn drop_socket(&mut self) {
        self.stream = None;
        self.state = State::Gone;
        self.out = Outgoing::new(self.kind);
        self.decoder = Decoder::new(LARGEST_FRAME);
        self.partial = 0;
    }
}
