//! TLS over the socket of one connection: rustls does no I/O, so this is what moves the bytes. What
//! the socket refuses is kept and goes out when it can be written to; nothing more is encrypted
//! until then.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::{Error, ServerConfig, ServerConnection};

use crate::tls::{ServerTls, feed, handshake_failure, take};

use super::socket::Socket;

/// What a client may send before the handshake is done: a hello has a few hundred bytes, one with a
/// chain of certificates some thousands.
const HANDSHAKE_MOST: usize = 16 * 1024;
/// So much plain text at most is encrypted before the socket has taken it.
const AHEAD_MOST: usize = 32 * 1024;
/// How often one read goes back to the socket for bytes that are not for TLS itself.
pub(super) const ROUNDS: usize = 4;

/// Where connections come in that may or must speak TLS. The certificate is that of the moment, for
/// every door of a server.
#[derive(Clone)]
pub(crate) struct Door {
    pub(super) is_for_tls_only: bool,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Door {
    pub(crate) fn new(tls: &ServerTls, is_for_tls_only: bool) -> Self {
        Door { is_for_tls_only, config: Arc::new(RwLock::new(Arc::clone(tls.config()))) }
    }

    /// Another one of the same server, with the same certificate also when that is replaced.
    pub(crate) fn beside(&self, is_for_tls_only: bool) -> Self {
        Door { is_for_tls_only, ..self.clone() }
    }

    /// Those who come from now on are shown another certificate.
    pub(crate) fn replace(&self, tls: &ServerTls) {
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        *config = Arc::clone(tls.config());
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("is_for_tls_only", &self.is_for_tls_only).finish()
    }
}

/// The TLS of one connection.
#[derive(Debug)]
pub(super) struct Secure {
    tls: ServerConnection,
    /// What came before the handshake was done, in bytes.
    received: usize,
    /// The socket had no more when it was last read.
    is_drained: bool,
    /// What is to be said of the stream when the bytes before it are used up.
    end: Option<End>,
    /// Other bytes go first, so that nothing is written yet.
    is_held: bool,
}

#[derive(Debug)]
enum End {
    /// The peer has closed, by the rules of TLS or not: a cut object is an error in any case.
    Closed,
    Failed(String),
}

impl Secure {
    /// With this byte a handshake begins, and no name does.
    pub(super) const FIRST_BYTE: u8 = 0x16;

    pub(super) fn new(door: &Door) -> io::Result<Self> {
        let mut tls = ServerConnection::new(door.config()).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(AHEAD_MOST));
        Ok(Secure { tls, received: 0, is_drained: false, end: None, is_held: false })
    }

    /// Of a session that is established. It may have plain text that was not read, and bytes that were not
    /// written.
    pub(super) fn resume(mut tls: ServerConnection) -> Self {
        tls.set_buffer_limit(Some(AHEAD_MOST));
        // records may have been read and not looked at, and the last one may have been the end
        let end = match tls.process_new_packets() {
            Ok(state) => state.peer_has_closed().then_some(End::Closed),
            Err(error) => Some(End::Failed(format!("broken off: {}", broken(&error)))),
        };
        Secure { tls, received: 0, is_drained: false, end, is_held: false }
    }

    /// Says whether other bytes must go first.
    pub(super) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    pub(super) fn may_have_more(&self) -> bool {
        // an end that is known is found by the next read
        !self.is_drained || self.end.is_some()
    }

    /// Why it failed, after an error.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        match self.end.take() {
            Some(End::Failed(why)) => Some(why),
            end => {
                self.end = end;
                None
            }
        }
    }

    /// Takes the first bytes, which were read to see what they are.
    pub(super) fn begin(&mut self, socket: &mut Socket, cipher: &[u8], is_all: bool) {
        self.is_drained = is_all;
        // there is no plain text before the handshake is done
        self.decrypt(socket, cipher, &mut []);
    }

    /// Reads plain text: none at the end.
    pub(super) fn read(&mut self, socket: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
        let length = take(&mut self.tls, buffer);
        if length > 0 {
            // the event that led here may be about the socket
            self.is_drained = false;
            return Ok(length);
        }
        for _ in 0..ROUNDS {
            match &self.end {
                None => {}
                Some(End::Closed) => return Ok(0),
                Some(End::Failed(why)) => {
                    return Err(io::Error::new(ErrorKind::InvalidData, why.clone()));
                }
            }
            let (plain, cipher) = buffer.split_at_mut(buffer.len() / 2);
            let most = cipher.len().min(plain.len());
            match socket.read(&mut cipher[..most]) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(length) => {
                    let is_all = length < most;
                    let length = self.decrypt(socket, &cipher[..length], plain);
                    // a record that was cut before may have brought more than there is room for
                    self.is_drained = is_all && length < plain.len();
                    if length > 0 {
                        return Ok(length);
                    }
                    // that was for TLS itself: only a socket that refuses, or the next round, tells
                    // what is behind it
                    self.is_drained = false;
                }
                Err(error) => {
                    self.is_drained = error.kind() == ErrorKind::WouldBlock;
                    return Err(error);
                }
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    /// Decrypts what came, and answers what is for TLS itself. Returns how much plain text there is.
    fn decrypt(&mut self, socket: &mut Socket, cipher: &[u8], plain: &mut [u8]) -> usize {
        let was_handshaking = self.tls.is_handshaking();
        let (length, failed) = match feed(&mut self.tls, cipher, plain) {
            Ok(fed) => {
                if fed.is_closed {
                    self.end = Some(End::Closed);
                }
                (fed.length, None)
            }
            Err((length, error)) => (length, Some(error)),
        };
        if was_handshaking {
            self.received += cipher.len();
        }
        if let Some(error) = failed {
            self.end = Some(End::Failed(if was_handshaking {
                handshake_failure(&error)
            } else {
                format!("broken off: {}", broken(&error))
            }));
        } else if self.tls.is_handshaking() && self.received > HANDSHAKE_MOST {
            let why =
                format!("the client sent more than {HANDSHAKE_MOST} bytes before it was done");
            self.end = Some(End::Failed(why));
        }
        // what the socket refuses goes out when it can be written to; an error is found by reading
        let _ = self.flush(socket);
        length
    }

    /// Encrypts and writes: how much plain text was taken. It is on its way then, and what the
    /// socket refused of it is unsent.
    pub(super) fn write(
        &mut self,
        socket: &mut Socket,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.flush(socket)?;
        if self.tls.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.tls.writer().write_vectored(slices)?;
        match self.flush(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Writes what is unsent.
    pub(super) fn flush(&mut self, socket: &mut Socket) -> io::Result<()> {
        if self.is_held {
            return Err(ErrorKind::WouldBlock.into());
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says, after what is unsent, that nothing more comes.
    pub(super) fn finish(&mut self, socket: &mut Socket) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush(socket)
    }
}

fn broken(error: &Error) -> String {
    match error {
        Error::AlertReceived(_) => handshake_failure(error),
        other => other.to_string(),
    }
}
