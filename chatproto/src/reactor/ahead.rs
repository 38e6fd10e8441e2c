//! Bytes of an adopted connection that are ahead of its socket: read before it was adopted, or not yet written
//! then.

use std::io::{self, ErrorKind, Write};

use bytes::{Buf, Bytes};

use super::socket::Socket;

/// The bytes in both directions. Only adopted connections have any, for a moment.
#[derive(Debug)]
pub(super) struct Ahead {
    received: Bytes,
    unsent: Bytes,
}

impl Ahead {
    /// `None` if there are no bytes.
    pub(super) fn new(received: Bytes, unsent: Bytes) -> Option<Box<Self>> {
        let ahead = Ahead { received, unsent };
        (!ahead.is_empty()).then(|| Box::new(ahead))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty() && self.unsent.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Takes bytes that were read before. Returns how many.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.received.len().min(buffer.len());
        self.received.copy_to_slice(&mut buffer[..length]);
        length
    }

    /// Writes the unsent bytes.
    pub(super) fn flush(&mut self, socket: &mut Socket) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match socket.write(&self.unsent) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.unsent.advance(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
