//! The event loop of the load: one thread that connects, registers, writes and reads for thousands
//! of clients. What they say and what it means is the [`Driver`]'s.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chatproto::handshake::PeerKind;
use chatproto::websocket::Url;
use chatproto::{DecodeError, ErrorClass, MessageRef};
use mio::{Events, Poll, Token, Waker};
use shared::failure::{Failure, reason};

use super::connect::{self, End};
use super::peer::{ONE_READ, Peer, State};

/// The token of the waker, which ends a wait from another thread.
const WAKE: Token = Token(usize::MAX);

/// Bytes of frames that have not ended which all clients may hold together.
const MOST_PARTIAL: usize = 256 << 20;
/// Bytes that are read of one client before others have their turn.
const READ_AT_ONCE: usize = 1 << 20;
/// Bytes that are read in one turn, so that a server which never stops sending cannot keep the caller
/// from looking at its clock and at Ctrl-C. The clients that were not read are first in the next turn.
const READ_A_TURN: usize = 16 << 20;
/// Bytes of a text of the server that are remembered.
const LONGEST_TEXT: usize = 1024;

/// Reacts to the events of the clients.
pub(crate) trait Driver {
    /// A client was welcomed, so long after it began to connect.
    fn welcomed(&mut self, net: &mut Net, who: u32, took: Duration);
    /// A client has come to its end.
    fn ended(&mut self, net: &mut Net, who: u32, end: End);
    /// A message came, at this time of the clock.
    fn message(&mut self, net: &mut Net, who: u32, message: &MessageRef<'_>, now: u64);
    /// Something came that the client could not read as a message: objects that were lost to a
    /// one-read peer because they came joined or cut, or what is no message at all.
    fn unreadable(&mut self, net: &mut Net, who: u32, error: Option<DecodeError>);
}

/// All clients of one process.
#[derive(Debug)]
pub(crate) struct Net {
    poll: Poll,
    origin: Instant,
    address: SocketAddr,
    /// The WebSocket to open there.
    url: Option<Url>,
    /// How long a client waits for its welcome.
    timeout: Duration,
    /// Clients of other processes, so that not all come from one address.
    others: usize,
    peers: Vec<Peer>,
    /// Those with something to write.
    dirty: Vec<u32>,
    /// Those with something to read, the longest waiting one first.
    unread: VecDeque<u32>,
    /// Bytes read in this turn.
    read_in_turn: usize,
    /// Bytes after which no other client is read in a turn.
    read_a_turn: usize,
    /// The sum of all peers' bytes of frames that have not ended.
    partial: usize,
    /// Those that are not welcomed yet, by the time at which that has lasted too long.
    deadlines: VecDeque<(u64, u32)>,
    registering: usize,
    open: usize,
    buffer: Vec<u8>,
    /// Time in which there was nothing to do.
    idle: Duration,
}

impl Net {
    pub(crate) fn new(address: SocketAddr, timeout: Duration) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(|error| no_loop(&error))?;
        Ok(Net {
            poll,
            origin: Instant::now(),
            address,
            url: None,
            timeout,
            others: 0,
            peers: Vec::new(),
            dirty: Vec::new(),
            unread: VecDeque::new(),
            read_in_turn: 0,
            read_a_turn: READ_A_TURN,
            partial: 0,
            deadlines: VecDeque::new(),
            registering: 0,
            open: 0,
            buffer: vec![0; 64 * 1024],
            idle: Duration::ZERO,
        })
    }

    /// Has the clients open WebSockets, if there is a URL.
    pub(crate) fn over(self, url: Option<Url>) -> Self {
        Net { url, ..self }
    }

    /// Sets the number of clients in other processes.
    pub(crate) fn beside(self, others: usize) -> Self {
        Net { others, ..self }
    }

    /// Ends a wait of [`Net::turn`] from another thread.
    pub(crate) fn waker(&self) -> Result<Waker, Failure> {
        Waker::new(self.poll.registry(), WAKE).map_err(|error| no_loop(&error))
    }

    /// Nanoseconds since the loop was made.
    pub(crate) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Time in which there was nothing to do so far.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// How many clients were ever added.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Clients that wait for their welcome.
    pub(crate) fn registering(&self) -> usize {
        self.registering
    }

    /// Clients that are welcomed and still there.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn is_ready(&self, who: u32) -> bool {
        self.peers.get(who as usize).is_some_and(|peer| peer.state == State::Ready)
    }

    /// Bytes that a client's socket did not take yet.
    pub(crate) fn unwritten(&self, who: u32) -> usize {
        self.peers[who as usize].unwritten()
    }

    /// Adds a client, which is known by the returned number, and begins to connect.
    ///
    /// # Errors
    /// What this machine lacks.
    pub(crate) fn add(&mut self, name: &str, kind: PeerKind) -> Result<u32, End> {
        let (who, now) = (self.peers.len() as u32, self.now());
        let made = connect::begin(self.address, self.others + self.peers.len())
            .and_then(|stream| Peer::new(stream, kind, name, self.url.as_ref(), now))
            .and_then(|mut peer| {
                peer.register(self.poll.registry(), Token(who as usize)).map(|()| peer)
            });
        self.peers.push(made.map_err(|error| End::of(&error))?);
        self.registering += 1;
        self.deadlines.push_back((now + self.timeout.as_nanos() as u64, who));
        Ok(who)
    }

    /// Has a client say one object, which `write` appends.
    pub(crate) fn say(&mut self, who: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.peers[who as usize].say(write);
        self.make_dirty(who);
    }

    fn make_dirty(&mut self, who: u32) {
        if !std::mem::replace(&mut self.peers[who as usize].is_dirty, true) {
            self.dirty.push(who);
        }
    }

    /// Has a client leave: it ends its side, and is gone when the server has ended its own.
    pub(crate) fn close(&mut self, who: u32) {
        let peer = &mut self.peers[who as usize];
        match peer.state {
            State::Closing | State::Gone => return,
            State::Ready => self.open -= 1,
            State::Registering => self.registering -= 1,
        }
        if peer.close().is_err() {
            self.drop_socket(who);
        }
    }

    fn drop_socket(&mut self, who: u32) {
        let peer = &mut self.peers[who as usize];
        self.partial -= peer.partial;
        peer.drop_socket();
    }

    /// Has everybody leave, and waits until they have, or it is interrupted; what comes until then is
    /// the driver's. How many the server did not let go.
    pub(crate) fn close_all(
        &mut self,
        driver: &mut impl Driver,
        mut is_interrupted: impl FnMut() -> bool,
    ) -> usize {
        let is_open = |peer: &Peer| peer.state != State::Gone;
        (0..self.peers.len() as u32).for_each(|who| self.close(who));
        let mut events = Events::with_capacity(4096);
        let end = Instant::now() + self.timeout;
        let mut left = self.peers.iter().filter(|peer| is_open(peer)).count();
        while left > 0 && Instant::now() < end && !is_interrupted() {
            let turned = self.turn(driver, &mut events, Duration::from_millis(50));
            if turned.is_err() {
                break;
            }
            left = self.peers.iter().filter(|peer| is_open(peer)).count();
        }
        (0..self.peers.len() as u32).for_each(|who| self.drop_socket(who));
        left
    }

    /// One turn: writes what is to be written, waits at most so long, and handles what came. Clients
    /// are read in the order in which they had something to read, each at most [`READ_AT_ONCE`].
    pub(crate) fn turn(
        &mut self,
        driver: &mut impl Driver,
        events: &mut Events,
        wait: Duration,
    ) -> Result<(), Failure> {
        self.read_in_turn = 0;
        self.write(driver);
        let wait = if self.unread.is_empty() { wait } else { Duration::ZERO };
        let begun = Instant::now();
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(no_loop(&error)),
            _ => {}
        }
        if !wait.is_zero() || events.is_empty() {
            self.idle += begun.elapsed();
        }
        for event in &*events {
            let Token(who) = event.token();
            if event.token() == WAKE {
                continue;
            }
            let who = who as u32;
            if !self.peers[who as usize].is_connected {
                match self.peers[who as usize].check_connected() {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        self.end(driver, who, End::of(&error));
                        continue;
                    }
                }
                self.make_dirty(who);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.make_unread(who, event.is_read_closed() || event.is_error());
            }
            if event.is_writable() && self.peers[who as usize].unwritten() > 0 {
                self.make_dirty(who);
            }
        }
        self.read_unread(driver);
        self.expire(driver);
        Ok(())
    }

    fn write(&mut self, driver: &mut impl Driver) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for who in dirty.drain(..) {
            let peer = &mut self.peers[who as usize];
            peer.is_dirty = false;
            if let Err(error) = peer.write() {
                // what the server said before it closed is still to be read
                self.peers[who as usize].is_ended = true;
                self.read(driver, who);
                self.end_broken(driver, who, &error);
            }
        }
        // a failed write makes no client speak; the new list has those that spoke meanwhile
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Notes that a client has something to read; `is_ended` says that the end is there too.
    fn make_unread(&mut self, who: u32, is_ended: bool) {
        let peer = &mut self.peers[who as usize];
        peer.is_ended |= is_ended;
        if !std::mem::replace(&mut peer.is_unread, true) {
            self.unread.push_back(who);
        }
    }

    /// Reads each client that has something to read, or as many as a turn has room for.
    fn read_unread(&mut self, driver: &mut impl Driver) {
        for _ in 0..self.unread.len() {
            if self.read_in_turn >= self.read_a_turn {
                break;
            }
            let Some(who) = self.unread.pop_front() else { break };
            self.peers[who as usize].is_unread = false;
            self.read(driver, who);
        }
    }

    /// Reads from a socket until it is empty, or leaves the rest to another turn.
    fn read(&mut self, driver: &mut impl Driver, who: u32) {
        let is_ended = self.peers[who as usize].is_ended;
        let mut buffer = std::mem::take(&mut self.buffer);
        let most = READ_AT_ONCE.min(self.read_a_turn.saturating_sub(self.read_in_turn).max(1));
        let mut came = 0;
        loop {
            if came >= most {
                // the poll reports the same readiness once
                self.make_unread(who, is_ended);
                break;
            }
            let peer = &mut self.peers[who as usize];
            let spare = usize::from(peer.is_framed());
            let room = buffer.len() - spare;
            let most = if peer.kind == PeerKind::OneRead { ONE_READ } else { room };
            match peer.read(&mut buffer[spare..spare + most]) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    if let Some(why) = peer.handle_end() {
                        self.end(driver, who, End::Dropped(why));
                        break;
                    }
                    self.end_broken(driver, who, &ErrorKind::UnexpectedEof.into());
                    break;
                }
                Ok(Some(length)) => {
                    came += length;
                    self.unframe(driver, who, &mut buffer[..spare + length]);
                    // on Linux a short read has emptied the socket, and the end, if it comes later,
                    // is an event of its own; one that came with the last bytes is not
                    if length < most && !is_ended && cfg!(target_os = "linux") {
                        break;
                    }
                }
                Err(error) => {
                    self.end_broken(driver, who, &error);
                    break;
                }
            }
        }
        self.read_in_turn += came;
        self.buffer = buffer;
    }

    /// Handles the bytes of one read, which may be frames.
    fn unframe(&mut self, driver: &mut impl Driver, who: u32, bytes: &mut [u8]) {
        let peer = &mut self.peers[who as usize];
        if !peer.is_framed() {
            return self.take(driver, who, bytes);
        }
        let (text, end) = match peer.unframe(bytes) {
            Ok((text, end)) => (text, end),
            Err(why) => return self.end(driver, who, End::Dropped(shortened(&why))),
        };
        if !text.is_empty() {
            self.take(driver, who, &bytes[text]);
        }
        let peer = &mut self.peers[who as usize];
        if let Some(why) = end {
            // the answer to a close frame; the connection ends with it or without it
            let _ = peer.write();
            let is_in = peer.state != State::Registering;
            let end = if is_in { End::Lost(why) } else { End::Dropped(why) };
            self.end(driver, who, end);
        } else if peer.unwritten() > 0 {
            self.make_dirty(who);
        }
    }

    /// Handles objects, or parts of them.
    fn take(&mut self, driver: &mut impl Driver, who: u32, mut input: &[u8]) {
        let now = self.now();
        // bytes of the frame that is being read
        let (mut held, mut behind) = (self.peers[who as usize].partial, input.len());
        loop {
            let peer = &mut self.peers[who as usize];
            let is_in = matches!(peer.state, State::Ready | State::Closing);
            if peer.kind == PeerKind::OneRead && is_in {
                // one read is one object to it, or nothing; what ends the welcome is neither
                if input.trim_ascii().is_empty() {
                    return;
                }
                match chatproto::Frame::decode(input) {
                    Ok(frame) => driver.message(self, who, &frame.message(), now),
                    Err(error) => driver.unreadable(self, who, Some(error)),
                }
                return;
            }
            match peer.decoder.decode(&mut input) {
                Ok(None) => {
                    let partial = if peer.decoder.is_inside_frame() { held + behind } else { 0 };
                    return self.hold(driver, who, partial);
                }
                Ok(Some(frame)) => match self.peers[who as usize].state {
                    // what is still on its way to one that leaves has come to it
                    State::Ready | State::Closing => {
                        driver.message(self, who, &frame.message(), now);
                    }
                    State::Registering => self.judge(driver, who, &frame.message(), now),
                    State::Gone => {}
                },
                Err(error) => {
                    if is_in {
                        driver.unreadable(self, who, Some(error));
                    }
                    if error.class() == ErrorClass::Framing {
                        let text = format!("the server sent what is no message: {error}");
                        let state = self.peers[who as usize].state;
                        let is_ready = state == State::Ready;
                        let end = if is_ready { End::Lost(text) } else { End::Dropped(text) };
                        return self.end(driver, who, end);
                    }
                }
            }
            (held, behind) = (0, input.len());
        }
    }

    /// Notes that a client holds so much of a frame that has not ended. If all of them then hold too
    /// much, its connection ends.
    fn hold(&mut self, driver: &mut impl Driver, who: u32, partial: usize) {
        let peer = &mut self.peers[who as usize];
        self.partial = self.partial - peer.partial + partial;
        peer.partial = partial;
        if self.partial > MOST_PARTIAL && partial > 0 {
            let text = format!(
                "the server has sent {} bytes of an object that does not end, and all clients hold \
                 more than {} MiB of such objects",
                partial,
                MOST_PARTIAL >> 20
            );
            let is_ready = peer.state == State::Ready;
            let end = if is_ready { End::Lost(text) } else { End::Dropped(text) };
            self.end(driver, who, end);
        }
    }

    /// The first message says whether the name was taken.
    fn judge(&mut self, driver: &mut impl Driver, who: u32, message: &MessageRef<'_>, now: u64) {
        let text = message.msg.to_str();
        if text.starts_with('⛔') {
            return self.end(driver, who, End::Refused(shortened(&text)));
        }
        let peer = &mut self.peers[who as usize];
        peer.state = State::Ready;
        let took = Duration::from_nanos(now - peer.began);
        self.registering -= 1;
        self.open += 1;
        driver.welcomed(self, who, took);
    }

    /// The connection is at its end, wanted or not.
    fn end_broken(&mut self, driver: &mut impl Driver, who: u32, error: &io::Error) {
        let peer = &self.peers[who as usize];
        let why = match error.kind() {
            ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            _ => reason(error),
        };
        let end = match peer.state {
            State::Registering if !peer.is_connected => End::of(error),
            State::Registering => End::Dropped(why),
            _ => End::Lost(why),
        };
        self.end(driver, who, end);
    }

    fn end(&mut self, driver: &mut impl Driver, who: u32, end: End) {
        let state = self.peers[who as usize].state;
        self.drop_socket(who);
        match state {
            State::Registering => self.registering -= 1,
            State::Ready => self.open -= 1,
            State::Closing | State::Gone => return,
        }
        driver.ended(self, who, end);
    }

    /// Ends those whose welcome has not come in time.
    fn expire(&mut self, driver: &mut impl Driver) {
        let now = self.now();
        while let Some(&(deadline, who)) = self.deadlines.front() {
            let waits = self.peers[who as usize].state == State::Registering;
            if waits && deadline > now {
                break;
            }
            self.deadlines.pop_front();
            if waits {
                self.end(driver, who, End::TimedOut);
            }
        }
    }
}

/// As much of a text of the server's as is remembered.
pub(super) fn shortened(text: &str) -> String {
    shared::text::shortened(text, LONGEST_TEXT).into_owned()
}

fn no_loop(error: &io::Error) -> Failure {
    Failure::Run(format!("cannot wait for connections: {}", reason(error)))
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
