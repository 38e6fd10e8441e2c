//! One client of the load: its socket, what waits to be written, and what it has read of a frame.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use chatproto::{Decoder, PeerKind};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};

/// What an existing program reads at a time, and takes for one object (A4).
pub(crate) const ONE_READ: usize = 1024;
/// A larger frame would be the server's mistake.
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
    /// What is to be written, of which `written` bytes are.
    out: Vec<u8>,
    written: usize,
    /// For a one-read peer, whose objects are a write each: where they end in `out`.
    ends: VecDeque<usize>,
    pub(crate) decoder: Decoder,
    /// It is in the list of those that have something to write.
    pub(crate) is_dirty: bool,
}

impl Peer {
    /// Begins to connect, from an address of this machine's that may be given, and has its name to
    /// write.
    pub(crate) fn connect(
        address: SocketAddr,
        source: Option<SocketAddr>,
        kind: PeerKind,
        name: &str,
        began: u64,
    ) -> io::Result<Self> {
        let stream = match source {
            None => TcpStream::connect(address)?,
            Some(source) => connect_from(source, address)?,
        };
        let mut out = name.as_bytes().to_vec();
        let mut ends = VecDeque::new();
        match kind {
            PeerKind::Stream => {
                stream.set_nodelay(true)?;
                out.push(b'\n');
            }
            // such programs leave Nagle's algorithm on
            PeerKind::OneRead => ends.push_back(out.len()),
        }
        Ok(Peer {
            stream: Some(stream),
            kind,
            state: State::Registering,
            is_connected: false,
            began,
            out,
            written: 0,
            ends,
            decoder: Decoder::new(LARGEST_FRAME),
            is_dirty: false,
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
        write(&mut self.out);
        if self.kind == PeerKind::OneRead {
            self.ends.push_back(self.out.len());
        }
    }

    /// Writes what the socket takes. The rest is written when it is writable again.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_connected) else {
            return Ok(());
        };
        while self.written < self.out.len() {
            let end = self.ends.front().copied().unwrap_or(self.out.len());
            match stream.write(&self.out[self.written..end]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.forget_written();
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.written == end {
                self.ends.pop_front();
            }
        }
        self.out.clear();
        self.written = 0;
        // a quiet client keeps no room for the burst that it once had
        if self.out.capacity() > 256 * 1024 {
            self.out.shrink_to(0);
        }
        if self.state == State::Closing {
            stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Gives up what the socket took, so that a client that is always behind does not keep all that
    /// it ever wrote.
    fn forget_written(&mut self) {
        const WORTH_A_COPY: usize = 64 * 1024;
        if self.written > WORTH_A_COPY && self.written > self.out.len() / 2 {
            self.out.drain(..self.written);
            self.ends.iter_mut().for_each(|end| *end -= self.written);
            self.written = 0;
        }
    }

    /// Bytes that the socket did not take yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.out.len() - self.written
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
        self.out = Vec::new();
        self.written = 0;
        self.ends = VecDeque::new();
        self.decoder = Decoder::new(LARGEST_FRAME);
    }
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
