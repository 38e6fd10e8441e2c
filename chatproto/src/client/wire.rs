//! The bytes of a client: how a connection is made, read, written and closed, with TLS or without, and
//! what its errors mean.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::session::ClientError;
#[cfg(feature = "tls")]
use crate::tls::Channel;

/// The bytes of a connection: a socket, with TLS or without.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Channel>,
    /// Closed here. What the server still sends makes the system reset the connection, which is no
    /// error then.
    pub(super) is_closed: AtomicBool,
}

impl Wire {
    /// How much to read at a time.
    pub(super) fn read_size(&self) -> usize {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return Channel::BUFFER;
        }
        16 * 1024
    }

    /// To be called by one thread at a time.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.read(&self.stream, buffer);
        }
        (&self.stream).read(buffer)
    }

    /// To be called by one thread at a time.
    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.write_all(&self.stream, bytes);
        }
        (&self.stream).write_all(bytes)
    }

    /// Nothing more will be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.finish(&self.stream)?;
        }
        self.stream.shutdown(Shutdown::Write)
    }

    /// Ends both directions at once.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // an error means that it is closed
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Tries the addresses one after the other.
pub(super) fn connect(
    address: &impl ToSocketAddrs,
    deadline: Deadline,
) -> Result<TcpStream, ClientError> {
    let io = |doing: &str, source| ClientError::Io { doing: doing.to_owned(), source };
    let addresses = address
        .to_socket_addrs()
        .map_err(|source| io("cannot find the server's address", source))?;
    let mut failure = io(
        "cannot find the server's address",
        io::Error::new(ErrorKind::NotFound, "the name has no address"),
    );
    for address in addresses {
        match TcpStream::connect_timeout(&address, deadline.left()?) {
            Ok(stream) => return Ok(stream),
            Err(source) => failure = io(&format!("cannot connect to {address}"), source),
        }
    }
    Err(failure)
}

/// Makes the TLS of a connection, in the time that there is.
#[cfg(feature = "tls")]
pub(super) fn shake_hands(
    tls: &Channel,
    stream: &TcpStream,
    deadline: Deadline,
) -> Result<(), ClientError> {
    loop {
        let left = Some(deadline.left()?);
        stream
            .set_read_timeout(left)
            .and_then(|()| stream.set_write_timeout(left))
            .map_err(|source| lost(source, "cannot configure the connection"))?;
        match tls.shake_hands(stream) {
            Ok(false) => {}
            Ok(true) => break,
            Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(error, "the TLS handshake failed")),
        }
    }
    let blocking = stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(None));
    blocking.map_err(|source| lost(source, "cannot configure the connection"))
}

/// Whether the time of [`TcpStream::set_read_timeout`] has passed. On Unix, `TimedOut` is the system's
/// word for a peer that is gone.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || (cfg!(windows) && error.kind() == ErrorKind::TimedOut)
}

/// What an error of the socket means.
pub(super) fn lost(source: io::Error, doing: &str) -> ClientError {
    #[cfg(feature = "tls")]
    let source = match source.downcast() {
        Ok(error) => return ClientError::Tls(error),
        Err(source) => source,
    };
    match source.kind() {
        ErrorKind::BrokenPipe | ErrorKind::NotConnected => ClientError::Closed,
        _ => ClientError::Io { doing: doing.to_owned(), source },
    }
}

/// A point in time, and what is to be done by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    what: &'static str,
    after: Duration,
    begun: Instant,
}

impl Deadline {
    pub(super) fn new(what: &'static str, after: Duration) -> Self {
        Deadline { what, after, begun: Instant::now() }
    }

    /// The time left, which is never zero, or the time-out.
    pub(super) fn left(&self) -> Result<Duration, ClientError> {
        let Deadline { what, after, begun } = *self;
        match after.checked_sub(begun.elapsed()) {
            // the system waits for whole microseconds at least
            Some(left) if left >= Duration::from_micros(1) => Ok(left),
            _ => Err(ClientError::Timeout { what, after }),
        }
    }
}
