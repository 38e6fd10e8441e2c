//! One client of the load: its socket, what it has to write, and what it has read of a frame.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::ops::Range;

use chatproto::Decoder;
use chatproto::handshake::PeerKind;
use chatproto::websocket::Url;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::outgoing::Outgoing;
use super::websocket::WebSocket;

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
    /// Boxed, because most loads have none.
    websocket: Option<Box<WebSocket>>,
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
    /// A client whose socket has begun to connect, and which has its name to write, or before it the handshake
    /// of a WebSocket.
    pub(crate) fn new(
        stream: TcpStream,
        kind: PeerKind,
        name: &str,
        url: Option<&Url>,
        began: u64,
    ) -> io::Result<Self> {
        let mut out = Outgoing::new(kind);
        // one-read programs leave Nagle's algorithm on
        if kind == PeerKind::Stream {
            stream.set_nodelay(true)?;
        }
        let websocket = url.map(|url| Box::new(WebSocket::begin(url, name, &mut out)));
        if websocket.is_none() {
            let end = if kind == PeerKind::Stream { "\n" } else { "" };
            out.push(|bytes| bytes.extend_from_slice(format!("{name}{end}").as_bytes()));
        }
        Ok(Peer {
            stream: Some(stream),
            kind,
            state: State::Registering,
            is_connected: false,
            began,
            out,
            websocket,
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
        match &mut self.websocket {
            Some(websocket) => websocket.say(&mut self.out, write),
            None => self.out.push(write),
        }
    }

    /// Writes what the socket takes. The rest is written when it is writable again.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_connected) else {
            return Ok(());
        };
        // the server of a WebSocket closes it when it has answered the close frame
        if self.out.write_to(stream)? && self.state == State::Closing && self.websocket.is_none() {
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

    /// Whether it reads frames: then the first byte of the buffer is spare.
    pub(crate) fn is_framed(&self) -> bool {
        self.websocket.is_some()
    }

    /// Where the text is in what was read, of which the first byte is spare, and why nothing more comes, if that
    /// is so. The server may wait for an answer then, which is to be written.
    ///
    /// # Errors
    /// Why the server did not open the WebSocket.
    pub(crate) fn unframe(
        &mut self,
        bytes: &mut [u8],
    ) -> Result<(Range<usize>, Option<String>), String> {
        let Some(websocket) = &mut self.websocket else { return Ok((0..bytes.len(), None)) };
        let text = websocket.unframe(bytes, &mut self.out)?;
        Ok((text, websocket.end()))
    }

    /// The server closed the connection: why the handshake of the WebSocket did not succeed, if it was not done.
    pub(crate) fn handle_end(&mut self) -> Option<String> {
        self.websocket.as_mut()?.handle_end()
    }

    /// Ends its side once everything is written.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.state = State::Closing;
        // without a close frame, the end of the connection says it
        self.websocket.take_if(|websocket| !websocket.close(&mut self.out));
        self.write()
    }

    /// Closes the socket.
    pub(crate) fn drop_socket(&mut self) {
        self.stream = None;
        self.state = State::Gone;
        self.out = Outgoing::new(self.kind);
        self.websocket = None;
        self.decoder = Decoder::new(LARGEST_FRAME);
        self.partial = 0;
    }
}
