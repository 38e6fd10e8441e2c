//! The PROXY header of one connection: it is read before TLS or text, and not a byte more is consumed.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};

use crate::proxy;

use super::socket::Socket;

/// The header of a connection from a proxy, while it is awaited and until its outcome is taken.
#[derive(Debug, Default)]
pub(super) struct Preface {
    /// The part that has arrived, at most [`proxy::LONGEST`] bytes.
    bytes: Vec<u8>,
    outcome: Option<Outcome>,
}

/// The address of the user, or `None` if the connection is the proxy's own; or why the header is invalid.
pub(super) type Outcome = Result<Option<IpAddr>, String>;

impl Preface {
    pub(super) fn is_awaited(&self) -> bool {
        self.outcome.is_none()
    }

    pub(super) fn into_outcome(self) -> Option<Outcome> {
        self.outcome
    }

    /// Reads the header from the socket.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if more of it is awaited. Any other error is the end of the connection.
    pub(super) fn read(&mut self, socket: &mut Socket) -> io::Result<()> {
        if !self.is_awaited() {
            return Ok(());
        }
        let mut chunk = [0; 256];
        loop {
            let count = socket.peek(&mut chunk)?;
            if count == 0 {
                // balancers check a port by opening and closing a connection
                let is_check = self.bytes.is_empty();
                let reason = "the connection ended inside the PROXY header";
                return if is_check {
                    Err(ErrorKind::UnexpectedEof.into())
                } else {
                    self.fail(reason)
                };
            }
            let before = self.bytes.len();
            self.bytes.extend_from_slice(&chunk[..count]);
            match proxy::parse(&self.bytes) {
                // all bytes belong to the header, and a read until it would block makes the next event come
                Ok(None) => consume(socket, &mut chunk[..count])?,
                Ok(Some(header)) => {
                    consume(socket, &mut chunk[..header.length - before])?;
                    self.bytes = Vec::new();
                    self.outcome = Some(Ok(header.source.as_ref().map(SocketAddr::ip)));
                    return Ok(());
                }
                Err(error) => return self.fail(&error.to_string()),
            }
        }
    }

    fn fail(&mut self, reason: &str) -> io::Result<()> {
        self.outcome = Some(Err(reason.to_owned()));
        Err(ErrorKind::InvalidData.into())
    }
}

/// Reads bytes that were peeked at.
fn consume(socket: &mut Socket, mut peeked: &mut [u8]) -> io::Result<()> {
    while !peeked.is_empty() {
        match socket.read(peeked) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => peeked = &mut peeked[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
