//! What one client has said and its socket has not taken yet. A one-read peer's objects are a write
//! each; a stream peer's share writes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use chatproto::handshake::PeerKind;

/// Less than this at the front is not worth the copy that gives it up.
const WORTH_A_COPY: usize = 64 * 1024;
/// A quiet client keeps no more room than this for the burst that it once had.
const MOST_KEPT: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Outgoing {
    kind: PeerKind,
    bytes: Vec<u8>,
    /// So many of `bytes` are written: `0 <= written <= len`.
    written: usize,
    /// For a one-read peer: where the objects in `bytes` end.
    ends: VecDeque<usize>,
}

impl Outgoing {
    pub(super) fn new(kind: PeerKind) -> Self {
        Outgoing { kind, bytes: Vec::new(), written: 0, ends: VecDeque::new() }
    }

    /// Appends one object with `write`.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        if self.kind == PeerKind::OneRead {
            self.ends.push_back(self.bytes.len());
        }
    }

    /// Writes what the socket takes; whether that was all.
    pub(super) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.written < self.bytes.len() {
            let end = self.ends.front().copied().unwrap_or(self.bytes.len());
            match socket.write(&self.bytes[self.written..end]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.forget_written();
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.written == end {
                self.ends.pop_front();
            }
        }
        self.bytes.clear();
        self.written = 0;
        if self.bytes.capacity() > MOST_KEPT {
            self.bytes.shrink_to(0);
        }
        Ok(true)
    }

    /// Gives up what the socket took, so that a client that is always behind does not keep all that
    /// it ever wrote.
    fn forget_written(&mut self) {
        if self.written > WORTH_A_COPY && self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.ends.iter_mut().for_each(|end| *end -= self.written);
            self.written = 0;
        }
    }

    /// Bytes that the socket did not take yet.
    pub(super) fn unwritten(&self) -> usize {
        self.bytes.len() - self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes so many bytes and then no more, and keeps each write.
    #[derive(Default)]
    struct Socket {
        room: usize,
        writes: Vec<Vec<u8>>,
    }

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let length = bytes.len().min(self.room);
            self.room -= length;
            self.writes.push(bytes[..length].to_vec());
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_is_always_behind_keeps_only_what_is_not_written() {
        for kind in [PeerKind::Stream, PeerKind::OneRead] {
            let (mut out, mut socket) = (Outgoing::new(kind), Socket::default());
            let mut said = Vec::new();
            out.push(|bytes| bytes.resize(200_000, b'.'));
            said.resize(200_000, b'.');
            for number in 0..2_000 {
                let object = format!("{{{number:>998}}}").into_bytes();
                out.push(|bytes| bytes.extend_from_slice(&object));
                said.extend_from_slice(&object);
                socket.room = 1_000;
                assert!(!out.write_to(&mut socket).unwrap());
                assert_eq!(out.unwritten(), 200_000);
                assert!(out.bytes.len() <= 2 * 200_000 + 1_000, "{}", out.bytes.len());
                assert!(out.ends.len() <= 201, "{}", out.ends.len());
            }
            socket.room = usize::MAX;
            assert!(out.write_to(&mut socket).unwrap());
            assert!(socket.writes.concat() == said, "every byte once, in order");
            // the room that the burst took is given back
            assert_eq!((out.unwritten(), out.bytes.capacity()), (0, 0));
        }
    }

    #[test]
    fn a_one_read_peers_objects_are_a_write_each() {
        for (kind, writes) in
            [(PeerKind::Stream, &["onetwo"][..]), (PeerKind::OneRead, &["one", "two"])]
        {
            let (mut out, mut socket) =
                (Outgoing::new(kind), Socket { room: 99, ..Socket::default() });
            out.push(|bytes| bytes.extend_from_slice(b"one"));
            out.push(|bytes| bytes.extend_from_slice(b"two"));
            assert!(out.write_to(&mut socket).unwrap());
            assert_eq!(
                socket.writes,
                writes.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()
            );
        }
        // one that is cut is gone on with, and not begun again
        let (mut out, mut socket) = (Outgoing::new(PeerKind::OneRead), Socket::default());
        out.push(|bytes| bytes.extend_from_slice(b"one"));
        out.push(|bytes| bytes.extend_from_slice(b"two"));
        for room in [2, 9] {
            socket.room = room;
            out.write_to(&mut socket).unwrap();
        }
        assert_eq!(socket.writes, [&b"on"[..], b"e", b"two"]);
    }
}
