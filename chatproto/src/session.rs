//! The client's side of a connection, without a socket or a clock (A2, A3, B2).
//!
//! Bytes and time go in through `handle_*`, what is to be written and what happened comes out of
//! `poll_*`. The blocking [`Client`](crate::Client) drives one; so can an event loop:
//!
//! ```
//! use chatproto::{Message, Session, SessionEvent, UserName};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let mut session = Session::new(UserName::new("alice").unwrap(), "192.0.2.7");
//! assert_eq!(session.poll_transmit(now), b"alice\n");
//! session.handle_transmitted(6, now);
//!
//! let welcome = Message::new("SERVER", "0.0.0.0", "alice", "Welcome, alice!");
//! session.handle_input(format!("{}\n", welcome.to_json()).as_bytes(), now);
//! assert_eq!(session.poll_event(), Some(SessionEvent::Registered(welcome)));
//!
//! session.send("bob", "hi").unwrap();
//! let sent = b"{\"from\":{\"name\":\"alice\",\"ip\":\"192.0.2.7\"},\"to\":\"bob\",\"msg\":\"hi\"}\n";
//! assert_eq!(session.poll_transmit(now), sent);
//! ```
//!
//! The bytes are those of a TCP connection, of TLS over it, or of a WebSocket: see [`Session::websocket`].

mod error;
mod outgoing;
mod pings;
mod websocket;
#[cfg(test)]
mod websocket_tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::decode::{DecodeError, Decoder, ErrorClass};
use crate::encode;
use crate::handshake::PeerKind;
use crate::limits::Limits;
use crate::message::Message;
use crate::name::{EVERYONE, GUEST, UserName};
use crate::websocket::{CloseFrame, MESSAGE_END, OpeningError, Url, Violation};

pub use error::ClientError;
use outgoing::Outgoing;
use pings::{PING, Pings, Silence};
use websocket::{Over, WebSocket};

/// Something that happened to a [`Session`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The server took the name; this is its welcome (A7).
    Registered(Message),
    /// The server refused the name, for this reason (A8). It closes the connection.
    Refused(Message),
    /// A message came.
    Message(Message),
    /// Something came that is not a message. After a framing error nothing more will.
    Bad(DecodeError),
    /// The server did not open the WebSocket: see [`Session::websocket`]. Nothing more comes.
    NotOpened(OpeningError),
    /// The server violated the rules of WebSocket. Nothing more comes.
    Violated(Violation),
    /// The server did not answer a `/ping` within this time: see [`Session::ping_interval`]. Nothing
    /// more comes.
    Silent(Duration),
}

/// What is known of how the server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// Nothing has come yet.
    Silent,
    /// Its first object came, without what follows it: until then a line feed may.
    LineFeedUntil(Instant),
    Known(PeerKind),
}

/// See the [module's documentation](self).
///
/// # Memory
/// A session holds one incomplete message of at most [`Limits::frame`] bytes, the events of the
/// input that it was given, and the messages that it was told to send. It has no bound of its own for
/// the latter two, as the caller decides about both: take all events before the next
/// [`Session::handle_input`], so that TCP holds a fast server back, and send nothing more while
/// [`Session::has_outgoing`] and the server does not read.
#[derive(Debug)]
pub struct Session {
    name: UserName,
    ip: String,
    limits: Limits,
    decoder: Decoder,
    server: Server,
    registered: bool,
    /// Bytes to write: the name, then objects, each with its line feed or in its frame.
    outgoing: Outgoing,
    next_write: Option<Instant>,
    events: VecDeque<SessionEvent>,
    /// A framing error was met, or the end: nothing more comes.
    ended: bool,
    pings: Option<Pings>,
    /// Between the session and the socket, if the server is behind one.
    websocket: Option<Box<WebSocket>>,
}

impl Session {
    /// A session that is to register `name`; `ip` is what it writes into its messages (a server
    /// replaces it).
    pub fn new(name: UserName, ip: impl Into<String>) -> Self {
        Session::with_limits(name, ip, Limits::default())
    }

    /// The same under other bounds, of which [`Limits::frame`], [`Limits::one_read`],
    /// [`Limits::client_pace`] and [`Limits::handshake_grace`] apply.
    pub fn with_limits(name: UserName, ip: impl Into<String>, limits: Limits) -> Self {
        let registration = format!("{name}\n").into_bytes();
        Session {
            name,
            ip: ip.into(),
            decoder: Decoder::new(limits.frame),
            limits,
            server: Server::Silent,
            registered: false,
            outgoing: Outgoing::new(registration),
            next_write: None,
            events: VecDeque::new(),
            ended: false,
            pings: None,
            websocket: None,
        }
    }

    /// The same over WebSocket (B20), to be called before anything else. The bytes that go out and come in are
    /// those of the opening handshake and of frames. The caller adds TLS if the URL asks for it.
    ///
    /// The name is the first message. The URL must not have one: see [`Url::check_without_name`].
    #[must_use]
    pub fn websocket(mut self, url: &Url) -> Self {
        let (websocket, request) = WebSocket::new(url);
        self.websocket = Some(Box::new(websocket));
        self.outgoing = Outgoing::new(request);
        self.server = Server::Known(PeerKind::Stream);
        self
    }

    /// Sends a `/ping` when nothing came for `interval`. If nothing comes for `interval` after that,
    /// the server is dead: [`SessionEvent::Silent`]. The answers to these `/ping`s are no events.
    /// Default: no `/ping`s.
    ///
    /// A server that does not offer `/ping` refuses it, which is an answer too. An interval of less
    /// than 1 ms is 1 ms.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.pings = Some(Pings::new(interval));
        self
    }

    /// The name under which the server knows the client: the registered one at first, then the one
    /// to which the server addresses its answers (A6). `/nick`, `/login` and a server that renames its
    /// guests change it. The change is visible when [`Session::poll_event`] returns such an answer.
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// Whether the server took the name.
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// How the server reads, as far as is known: `None` until its first object came and, within
    /// [`Limits::handshake_grace`], what follows it.
    pub fn server_kind(&self) -> Option<PeerKind> {
        match self.server {
            Server::Known(kind) => Some(kind),
            Server::Silent | Server::LineFeedUntil(_) => None,
        }
    }

    /// Bytes came from the server. What they mean waits for [`Session::poll_event`]: up to some 50
    /// bytes of memory for each byte, if the objects are of the shortest kind.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        self.handle_timeout(now);
        if let Some(pings) = &mut self.pings {
            pings.handle_life(now);
        }
        match self.websocket.take() {
            None => self.decode(bytes, now),
            Some(mut websocket) => {
                self.handle_frames(&mut websocket, bytes, now);
                self.websocket = Some(websocket);
            }
        }
    }

    /// Takes bytes of a WebSocket.
    fn handle_frames(&mut self, websocket: &mut WebSocket, mut bytes: &[u8], now: Instant) {
        if self.ended {
            return;
        }
        match websocket.open(&mut bytes) {
            Ok(false) => {}
            // nothing is sent behind the close frame
            Ok(true) if websocket.is_closed() => {}
            Ok(true) => self.push_own(websocket.text(self.name.as_str().as_bytes())),
            Err(error) => return self.end(Over::NotOpened(error)),
        }
        let text = websocket.handle_frames(bytes);
        for message in text.split_inclusive(|&byte| byte == MESSAGE_END) {
            match message.split_last() {
                Some((&MESSAGE_END, rest)) => {
                    self.decode(rest, now);
                    if !self.ended && self.decoder.is_inside_frame() {
                        websocket.fail(Violation::UnfinishedObject);
                        break;
                    }
                }
                _ => self.decode(message, now),
            }
        }
        websocket.reuse(text);
        if let Some(over) = websocket.over().filter(|_| !self.ended) {
            self.end(over);
        }
        self.answer(websocket);
    }

    /// Queues the answers that the server of a WebSocket waits for. There is one pong at a time, so that a
    /// server which does not read them cannot fill the memory.
    fn answer(&mut self, websocket: &mut WebSocket) {
        if !self.outgoing.has_own() {
            let frames = websocket.answers();
            if !frames.is_empty() {
                self.push_own(frames);
            }
        }
    }

    /// Queues frames that do not wait for the welcome.
    fn push_own(&mut self, frames: Vec<u8>) {
        self.outgoing.push_own(frames, self.registered);
    }

    /// Nothing more comes over the WebSocket. No message is sent any more but the one that is begun.
    fn end(&mut self, over: Over) {
        self.outgoing.drop_objects();
        match over {
            Over::Closed => self.finish_input(),
            Over::NotOpened(error) => self.events.push_back(SessionEvent::NotOpened(error)),
            Over::Violated(violation) => self.events.push_back(SessionEvent::Violated(violation)),
        }
        self.ended = true;
    }

    fn decode(&mut self, mut bytes: &[u8], now: Instant) {
        while !self.ended {
            if let (Server::LineFeedUntil(_), Some(&next)) = (self.server, bytes.first()) {
                let is_stream = matches!(next, b'\n' | b'\r');
                let kind = if is_stream { PeerKind::Stream } else { PeerKind::OneRead };
                self.server = Server::Known(kind);
            }
            match self.decoder.decode(&mut bytes) {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    let message = frame.message().to_owned();
                    if self.server == Server::Silent {
                        self.server = Server::LineFeedUntil(now + self.limits.handshake_grace);
                    }
                    if !self.is_answer_to_own_ping(&message) {
                        let event = self.judge(message);
                        self.events.push_back(event);
                    }
                }
                Err(error) => {
                    self.ended = error.class() == ErrorClass::Framing;
                    self.events.push_back(SessionEvent::Bad(error));
                }
            }
        }
    }

    /// The first message of the server says whether it took the name.
    fn judge(&mut self, message: Message) -> SessionEvent {
        if self.registered {
            SessionEvent::Message(message)
        } else if message.msg.starts_with('⛔') {
            SessionEvent::Refused(message)
        } else {
            self.registered = true;
            SessionEvent::Registered(message)
        }
    }

    fn is_answer_to_own_ping(&mut self, message: &Message) -> bool {
        self.registered
            && is_answer(message)
            && self.pings.as_mut().is_some_and(|pings| pings.is_answer(&message.msg))
    }

    /// The server will send nothing more.
    pub fn handle_end(&mut self) {
        let over = self.websocket.as_mut().and_then(|websocket| websocket.handle_end());
        match over.filter(|_| !self.ended) {
            Some(over) => self.end(over),
            None => self.finish_input(),
        }
    }

    fn finish_input(&mut self) {
        if !self.ended
            && let Err(error) = self.decoder.finish()
        {
            self.events.push_back(SessionEvent::Bad(error));
        }
        self.ended = true;
    }

    /// Whether nothing more comes from the server: it has said so, or it cannot be understood any more. A
    /// server that has closed its WebSocket waits for an answer, which is to be written.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The close frame with which the server ended a WebSocket. `None` before it, for one without a code, and
    /// without a WebSocket.
    pub fn close_frame(&self) -> Option<CloseFrame> {
        self.websocket.as_ref()?.close_frame()
    }

    /// Nothing more will be sent. True if the session says that itself, by a frame behind all messages: the
    /// server then closes the connection. False if the caller is to shut down its side when all is written.
    pub fn finish(&mut self) -> bool {
        let Some(websocket) = &mut self.websocket else { return false };
        let frame = websocket.close();
        if !frame.is_empty() {
            self.outgoing.push_close(frame);
        }
        true
    }

    /// Time has passed; to be called when [`Session::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Server::LineFeedUntil(until) = self.server
            && until <= now
        {
            self.server = Server::Known(PeerKind::OneRead);
        }
    }

    /// Nothing came until `now`; to be called when [`Session::poll_silence`] says so, after an attempt
    /// to read. It queues a `/ping`, or gives the server up.
    ///
    /// A caller that stops reading for some time calls [`Session::handle_input`] without bytes when it
    /// reads on, so that its own pause is not taken for the server's silence.
    pub fn handle_silence(&mut self, now: Instant) {
        let is_due = self.poll_silence().is_some_and(|at| at <= now);
        let Some(pings) = self.pings.as_mut().filter(|_| is_due) else { return };
        match pings.handle_silence(now) {
            // a few bytes, which every server takes
            Silence::Ask(nonce) => drop(self.send(PING, &nonce)),
            Silence::Dead(after) => {
                self.events.push_back(SessionEvent::Silent(after));
                self.ended = true;
            }
        }
    }

    /// When to call [`Session::handle_silence`], if nothing comes before. `None` without
    /// [`Session::ping_interval`], before the server took the name, and after the end.
    pub fn poll_silence(&self) -> Option<Instant> {
        self.pings.as_ref().filter(|_| self.registered && !self.ended)?.poll_timeout()
    }

    /// Queues a message. Nothing is written before the server took the name.
    ///
    /// # Errors
    /// [`ClientError::FrameTooLong`] if the message is longer than [`Limits::frame`]. Towards a server that may
    /// not find the frames of a stream, the limit is [`Limits::one_read`]. [`ClientError::Closed`] after the
    /// close frame of a WebSocket.
    pub fn send(&mut self, to: &str, msg: &str) -> Result<(), ClientError> {
        let mut object = Vec::new();
        let is_max_frame = self.server_kind() == Some(PeerKind::Stream);
        let (limit, length) = if is_max_frame {
            encode::compact(&mut object, self.name.as_str(), &self.ip, to, msg);
            // a reader of a stream counts the object alone
            (self.limits.frame, object.len())
        } else {
            encode::python(&mut object, self.name.as_str(), &self.ip, to, msg);
            (self.limits.one_read, object.len() + 1)
        };
        if length > limit {
            return Err(ClientError::FrameTooLong { length, limit, is_max_frame });
        }
        match &mut self.websocket {
            None => object.push(b'\n'),
            Some(websocket) if websocket.is_closed() => return Err(ClientError::Closed),
            Some(websocket) => object = websocket.text(&object),
        }
        self.outgoing.push(object);
        Ok(())
    }

    /// What may be written now: the name, or the next object, or nothing.
    pub fn poll_transmit(&self, now: Instant) -> &[u8] {
        let is_due = self.next_write.is_some_and(|at| at <= now);
        self.outgoing.front(self.registered && (is_due || self.is_stream()))
    }

    /// The session's own bytes that go before the next object.
    pub(crate) fn poll_own(&self) -> &[u8] {
        self.outgoing.own_front()
    }

    fn is_stream(&self) -> bool {
        self.server_kind() == Some(PeerKind::Stream)
    }

    /// So many bytes of what [`Session::poll_transmit`] gave were written.
    pub fn handle_transmitted(&mut self, count: usize, now: Instant) {
        if self.outgoing.handle_written(count) {
            self.next_write = Some(now + self.limits.client_pace);
            if let Some(mut websocket) = self.websocket.take() {
                self.answer(&mut websocket);
                self.websocket = Some(websocket);
            }
        }
    }

    /// Whether something is queued that was not written.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// How many bytes are queued that were not written, for callers that bound the queue.
    pub fn outgoing_bytes(&self) -> usize {
        self.outgoing.bytes()
    }

    /// When to call [`Session::handle_timeout`] and [`Session::poll_transmit`] again, if nothing
    /// comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let decision = match self.server {
            Server::LineFeedUntil(until) => Some(until),
            Server::Silent | Server::Known(_) => None,
        };
        let paced = self.registered && self.has_outgoing() && !self.is_stream();
        [decision, self.next_write.filter(|_| paced)].into_iter().flatten().min()
    }

    /// Whether [`Session::poll_event`] has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        let event = self.events.pop_front()?;
        if let SessionEvent::Registered(message) | SessionEvent::Message(message) = &event
            && is_answer(message)
            && message.to != self.name.as_str()
            && let Ok(name) = UserName::from_bytes(message.to.as_bytes(), self.limits.name)
        {
            self.name = name;
        }
        Some(event)
    }
}

/// Bytes of heap that a session holds for its WebSocket and for the bytes to write.
#[cfg(fuzzing)]
pub fn websocket_memory(session: &Session) -> usize {
    session.outgoing.held() + session.websocket.as_ref().map_or(0, |websocket| websocket.held())
}

/// Whether the server wrote the message to this user alone, and not to a room, to all users, or to
/// somebody without a name (A6, B15).
fn is_answer(message: &Message) -> bool {
    let is_to_others = matches!(&*message.to, "" | EVERYONE | GUEST) || message.to.starts_with('#');
    message.is_from_server() && !is_to_others
}
