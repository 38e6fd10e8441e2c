//! One connection of an event loop: its socket, the server's side of the protocol, and its place in the
//! loop's lists.

use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use crate::connection::ServerConnection;
use crate::hub::ConnId;
use crate::limits::Limits;

use super::ready::{Class, Share};
use super::stream::Stream;

/// The source of the bytes that a connection put into the arena.
pub(super) enum Filled {
    /// Bytes from the socket.
    Bytes {
        /// The number that was read: 0 at the end of file.
        read: usize,
        /// The number without their frames.
        length: usize,
        may_have_more: bool,
    },
    /// No bytes now, but the socket may have more.
    More,
    /// The number of bytes that were read before and had to wait.
    Backlog(usize),
    /// No bytes now.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: Stream,
    pub(super) protocol: ServerConnection,
    /// The unused part of the user's share of work.
    pub(super) share: Share,
    /// A timer is set for the next object to a one-read peer.
    pub(super) is_paced: bool,
    /// The peer was ahead of its rate at the last read.
    pub(super) is_ahead: bool,
    /// In the list of connections to write to, and in that to read from.
    pub(super) is_dirty: bool,
    pub(super) is_ready: bool,
    /// Only a broadcast is queued: connections with other messages are written first.
    pub(super) is_late: bool,
    /// The number of further short reads for which it is a heavy user.
    pub(super) heavy: u8,
    /// Its other operations of the batch were put back for another turn.
    pub(super) has_yielded: bool,
    /// Nothing was written since the loop last looked whether to ping it (see `pings`).
    pub(super) is_quiet: bool,
}

impl Conn {
    pub(super) fn new(stream: Stream, protocol: ServerConnection) -> Self {
        Conn {
            stream,
            protocol,
            share: Share::new(),
            is_paced: false,
            is_ahead: false,
            is_dirty: false,
            is_ready: false,
            is_late: false,
            heavy: 0,
            has_yielded: false,
            is_quiet: false,
        }
    }

    pub(super) fn id(&self) -> ConnId {
        self.protocol.id
    }

    /// Resets the rate limit. Returns whether it delayed the input.
    pub(super) fn forgive(&mut self) -> bool {
        self.is_ahead = false;
        self.protocol.forgive()
    }

    /// Stops looking at what the peer sends.
    pub(super) fn discard_input(&mut self) {
        self.is_ahead = false;
        self.protocol.discard_input();
    }

    /// It is over, and stores no input any more.
    pub(super) fn drop_input(&mut self) {
        self.is_ahead = false;
        self.protocol.drop_input();
    }

    /// The kind of its turn when it has something to read.
    pub(super) fn class(&self, round: u64) -> Class {
        let protocol = &self.protocol;
        match protocol.is_user() && (!protocol.saw_end() || protocol.is_answering()) {
            false => Class::Other,
            true if self.heavy > 0 || protocol.is_answering() || self.share.is_used_up(round) => {
                Class::Heavy
            }
            true => Class::Light,
        }
    }

    /// Puts the next bytes to handle, at most `most`, at the front of the arena.
    pub(super) fn fill(
        &mut self,
        arena: &mut [u8],
        most: usize,
        now: Instant,
        limits: &Limits,
    ) -> io::Result<Filled> {
        let most = most.min(arena.len());
        if self.protocol.has_backlog() {
            return Ok(Filled::Backlog(self.protocol.take_backlog(&mut arena[..most])));
        }
        if !self.protocol.wants_input() {
            return Ok(Filled::Nothing);
        }
        self.protocol.begin_input();
        // bytes behind a name may have to be stored until the name is decided
        let most = if self.protocol.is_guest() { most.min(limits.unregistered) } else { most };
        // see `ServerConnection::unframe`
        let spare = usize::from(self.protocol.is_framed());
        loop {
            return match self.stream.read(&mut arena[spare..most]) {
                Ok(read) => {
                    self.protocol.handle_read(read);
                    let may_have_more = read == most - spare || self.stream.may_have_more();
                    let length = match spare {
                        0 => read,
                        _ => self.protocol.unframe(&mut arena[..spare + read], now, limits),
                    };
                    Ok(Filled::Bytes { read, length, may_have_more })
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Ok(if self.stream.may_have_more() { Filled::More } else { Filled::Nothing })
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Discards bytes behind a close frame. (Behind the end of a plain stream there are none.)
    pub(super) fn discard_behind_the_end(&mut self) {
        if self.protocol.is_framed() {
            self.discard_what_came();
        }
    }

    /// Discards the bytes that the socket has received. Closing a socket with unread bytes resets the
    /// connection, and a reset may destroy the final message (B16).
    pub(super) fn discard_what_came(&mut self) {
        let mut bytes = [0; 16 * 1024];
        // somebody may be sending all the time
        for _ in 0..64 {
            match self.stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
