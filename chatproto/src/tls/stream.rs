//! TLS over a client's socket: one that never blocks, for programs with an event loop of their own,
//! and one that two threads use, one for each direction.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConnection;

use super::client::Judge;
use super::{ClientTls, TlsError, feed, take};

/// The longest record: plain text is encrypted in pieces of so many bytes.
const RECORD: usize = 16 * 1024;

/// A client's TLS over a socket that never blocks: for programs that have an event loop of their own
/// and a [`Session`](crate::Session). It is between the two: what the session wants to write goes
/// through [`ClientStream::write`], and what [`ClientStream::read`] gives is for the session.
///
/// Nothing that was decrypted ever stays in it, so the socket's readiness is all there is to wait
/// for: always to read it, and to write it while [`ClientStream::wants_write`] says so.
pub struct ClientStream {
    tls: ClientConnection,
    judge: Arc<Judge>,
    /// What was wrong behind the last bytes that were good.
    failure: Option<rustls::Error>,
    is_closed: bool,
}

impl ClientStream {
    /// How long the buffer of [`ClientStream::read`] is to be at least, in bytes: 32 KiB. Longer ones
    /// need fewer calls.
    pub const LEAST_BUFFER: usize = 2 * RECORD;

    /// TLS that is still to begin, with the server that is at that address and was named so.
    ///
    /// # Errors
    /// [`TlsError::InvalidName`] if the host can be no server's name.
    pub fn new(settings: &ClientTls, host: Option<&str>, peer: IpAddr) -> Result<Self, TlsError> {
        let (tls, judge) = settings.connection(host, peer)?;
        Ok(ClientStream { tls, judge, failure: None, is_closed: false })
    }

    /// Whether the handshake is not done: nothing can be written until it is, and reading goes on
    /// with it.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether there are bytes on their way that the socket has not taken:
    /// [`ClientStream::flush`] is to be called when it takes some.
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Reads plain text: none at the end, be it one by the rules of TLS or not.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if there is none for now; a [`TlsError`] inside an
    /// [`ErrorKind::InvalidData`]; else what the socket said.
    ///
    /// # Panics
    /// If the buffer is shorter than [`ClientStream::LEAST_BUFFER`].
    pub fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        assert!(buffer.len() >= Self::LEAST_BUFFER, "a buffer of {} bytes", buffer.len());
        if let Some(end) = self.end() {
            return end;
        }
        let (plain, cipher) = halves(buffer);
        let length = socket.read(cipher)?;
        if length == 0 {
            return self.hang_up();
        }
        let outcome = self.decrypt(&cipher[..length], plain);
        // what the socket refuses is unsent; an error is found by reading
        let _ = self.flush(socket);
        outcome
    }

    /// Encrypts and writes: how many bytes of plain text were taken. They are on their way then, and
    /// what the socket refused of them is unsent.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] during the handshake, or while the socket refuses what was taken
    /// before; else what the socket said.
    pub fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        if self.tls.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.tls.writer().write(&bytes[..bytes.len().min(RECORD)])?;
        match self.flush(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Writes what is unsent, at first the beginning of the handshake.
    ///
    /// # Errors
    /// What the socket said.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut OneSlice(socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says, after what is unsent, that nothing more comes. Reading goes on.
    ///
    /// # Errors
    /// As [`ClientStream::flush`].
    pub fn finish(&mut self, socket: &mut impl Write) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush(socket)
    }

    /// What reading comes to without the socket.
    fn end(&self) -> Option<io::Result<usize>> {
        match &self.failure {
            Some(error) => Some(Err(wrap(self.judge.error(error)))),
            None => self.is_closed.then_some(Ok(0)),
        }
    }

    /// The socket has come to its end.
    fn hang_up(&mut self) -> io::Result<usize> {
        self.is_closed = true;
        // (afterwards: an object that the end cuts off is an error anyway)
        if self.tls.is_handshaking() { Err(wrap(TlsError::HungUp)) } else { Ok(0) }
    }

    fn decrypt(&mut self, cipher: &[u8], plain: &mut [u8]) -> io::Result<usize> {
        let length = match feed(&mut self.tls, cipher, plain) {
            Ok(fed) => {
                self.is_closed = fed.is_closed;
                fed.length
            }
            Err((length, error)) => {
                self.failure = Some(error);
                length
            }
        };
        match length {
            0 => self.end().unwrap_or_else(|| Err(ErrorKind::WouldBlock.into())),
            length => Ok(length),
        }
    }

    /// Encrypts a piece of at most a record.
    fn encrypt(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.tls.writer().write_all(piece)?;
        self.unsent()
    }

    fn unsent(&mut self) -> io::Result<Vec<u8>> {
        let mut cipher = Vec::new();
        self.flush(&mut cipher)?;
        Ok(cipher)
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream")
            .field("is_handshaking", &self.is_handshaking())
            .finish_non_exhaustive()
    }
}

/// Writes a slice at a time: several at once would raise SIGPIPE in a program that does not ignore it,
/// as one in C, if the server is gone.
struct OneSlice<'a, W>(&'a mut W);

impl<W: Write> Write for OneSlice<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The front of the buffer for plain text and its back for ciphertext: what this much brings, with a
/// record that was cut before, always has room.
fn halves(buffer: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    let cipher = (buffer.len() - RECORD) / 2;
    buffer.split_at_mut(buffer.len() - cipher)
}

/// The TLS of a blocking client's connection. One thread reads and one writes; neither ever waits
/// for the socket with the lock, so that two full directions do not block each other.
///
/// What the reader causes to be sent (the answer to a change of keys) goes out with the next
/// message, as the standard allows, so that the reader never waits for the writing side.
#[derive(Debug)]
pub(crate) struct Channel(Mutex<ClientStream>);

impl Channel {
    pub(crate) const BUFFER: usize = 3 * RECORD;

    pub(crate) fn new(stream: ClientStream) -> Self {
        Channel(Mutex::new(stream))
    }

    /// Does a step of the handshake: writes, and reads once. True when it is done.
    pub(crate) fn shake_hands(&self, mut socket: &TcpStream) -> io::Result<bool> {
        let stream = &mut *self.lock();
        stream.flush(&mut socket)?;
        if !stream.is_handshaking() {
            return Ok(true);
        }
        let mut cipher = [0; 4096];
        match socket.read(&mut cipher)? {
            0 => stream.hang_up().map(|_| false),
            // there is no plain text before the handshake is done
            length => match stream.decrypt(&cipher[..length], &mut []) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(error) => {
                    // so that the server knows why
                    let _ = stream.flush(&mut socket);
                    Err(error)
                }
                Ok(_) => Ok(false),
            },
        }
    }

    /// Encrypts and writes all the bytes. At most one thread may be in here.
    pub(crate) fn write_all(&self, mut socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(RECORD) {
            let cipher = self.lock().encrypt(piece)?;
            socket.write_all(&cipher)?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent. At most one thread may be in here or in `write_all`.
    pub(crate) fn finish(&self, mut socket: &TcpStream) -> io::Result<()> {
        let cipher = {
            let stream = &mut *self.lock();
            stream.tls.send_close_notify();
            stream.unsent()?
        };
        socket.write_all(&cipher)
    }

    /// Reads plain text: none at the end. [`ErrorKind::WouldBlock`] also means that what came was
    /// for TLS itself. At most one thread may be in here, with a buffer of [`Channel::BUFFER`].
    pub(crate) fn read(&self, mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        {
            let stream = &mut *self.lock();
            // what came with the end of the handshake
            let length = take(&mut stream.tls, buffer);
            if length > 0 {
                return Ok(length);
            }
            if let Some(end) = stream.end() {
                return end;
            }
        }
        let (plain, cipher) = halves(buffer);
        let length = socket.read(cipher)?;
        let stream = &mut *self.lock();
        match length {
            0 => stream.hang_up(),
            length => stream.decrypt(&cipher[..length], plain),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClientStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrap(error: TlsError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
