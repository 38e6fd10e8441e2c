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

use std::collections::VecDeque;
use std::time::Instant;

use crate::decode::Decoder;
use crate::encode;
use crate::error::{ClientError, DecodeError, ErrorClass};
use crate::handshake::PeerKind;
use crate::limits::Limits;
use crate::message::Message;
use crate::name::UserName;

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
    /// What is to be written: the name, then objects, each with its line feed.
    outgoing: VecDeque<Vec<u8>>,
    /// How much of the front one was written.
    written: usize,
    next_write: Option<Instant>,
    events: VecDeque<SessionEvent>,
    /// A framing error was met, or the end: nothing more comes.
    ended: bool,
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
            outgoing: VecDeque::from([registration]),
            written: 0,
            next_write: None,
            events: VecDeque::new(),
            ended: false,
        }
    }

    /// The name it registers.
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
    pub fn handle_input(&mut self, mut bytes: &[u8], now: Instant) {
        self.handle_timeout(now);
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
                    let event = self.judge(message);
                    self.events.push_back(event);
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

    /// The server will send nothing more.
    pub fn handle_end(&mut self) {
        if !self.ended
            && let Err(error) = self.decoder.finish()
        {
            self.events.push_back(SessionEvent::Bad(error));
        }
        self.ended = true;
    }

    /// Time has passed; to be called when [`Session::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Server::LineFeedUntil(until) = self.server
            && until <= now
        {
            self.server = Server::Known(PeerKind::OneRead);
        }
    }

    /// Queues a message. Nothing is written before the server took the name.
    ///
    /// # Errors
    /// [`ClientError::FrameTooLong`] if the server could not take it: more than
    /// [`Limits::frame`] bytes, or [`Limits::one_read`] towards a server that is not known to find
    /// the frames of a stream.
    pub fn send(&mut self, to: &str, msg: &str) -> Result<(), ClientError> {
        let mut object = Vec::new();
        let limit = if self.server_kind() == Some(PeerKind::Stream) {
            encode::compact(&mut object, self.name.as_str(), &self.ip, to, msg);
            // the line feed does not count
            self.limits.frame + 1
        } else {
            encode::python(&mut object, self.name.as_str(), &self.ip, to, msg);
            self.limits.one_read
        };
        object.push(b'\n');
        if object.len() > limit {
            return Err(ClientError::FrameTooLong { length: object.len(), limit });
        }
        self.outgoing.push_back(object);
        Ok(())
    }

    /// What may be written now: the name, or the next object, or nothing.
    pub fn poll_transmit(&self, now: Instant) -> &[u8] {
        match self.outgoing.front() {
            Some(front) if self.written > 0 || self.may_begin(now) => &front[self.written..],
            _ => &[],
        }
    }

    fn may_begin(&self, now: Instant) -> bool {
        // the name goes out before anything was ever written
        let is_name = self.next_write.is_none();
        let is_due = self.next_write.is_some_and(|at| at <= now);
        is_name || (self.registered && (is_due || self.is_stream()))
    }

    fn is_stream(&self) -> bool {
        self.server_kind() == Some(PeerKind::Stream)
    }

    /// So many bytes of what [`Session::poll_transmit`] gave were written.
    pub fn handle_transmitted(&mut self, count: usize, now: Instant) {
        self.written += count;
        if self.outgoing.front().is_some_and(|front| self.written >= front.len()) {
            self.outgoing.pop_front();
            self.written = 0;
            self.next_write = Some(now + self.limits.client_pace);
        }
    }

    /// Whether something is queued that was not written.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
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
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PACE: Duration = Duration::from_millis(20);

    const WELCOME: &str =
        r#"{"from":{"name":"SERVER","ip":"0.0.0.0"},"to":"alice","msg":"Welcome, alice!"}"#;

    fn session(now: Instant) -> Session {
        let mut session = Session::new(UserName::new("alice").unwrap(), "192.0.2.7");
        assert_eq!(session.poll_transmit(now), b"alice\n");
        session.handle_transmitted(6, now);
        session
    }

    #[test]
    fn a_line_feed_within_the_grace_makes_a_stream_server() {
        let now = Instant::now();
        let late = now + Duration::from_millis(9);
        let mut session = session(now);
        session.handle_input(WELCOME.as_bytes(), now);
        assert_eq!(session.server_kind(), None);
        session.handle_input(b"\n", late);
        assert_eq!(session.server_kind(), Some(PeerKind::Stream));
        session.send("bob", "1").unwrap();
        session.send("bob", "2").unwrap();
        for _ in 0..2 {
            let length = session.poll_transmit(late).len();
            assert!(length > 0, "no pacing");
            session.handle_transmitted(length, late);
        }
    }

    #[test]
    fn without_one_objects_are_paced_ascii_and_short() {
        let now = Instant::now();
        let mut session = session(now);
        session.handle_input(WELCOME.as_bytes(), now);
        let decided = session.poll_timeout().unwrap();
        assert_eq!(decided, now + Duration::from_millis(10));
        session.handle_timeout(decided);
        assert_eq!(session.server_kind(), Some(PeerKind::OneRead));
        session.send("bob", "è").unwrap();
        session.send("bob", "2").unwrap();
        assert!(matches!(
            session.send("bob", &"x".repeat(1024)),
            Err(ClientError::FrameTooLong { limit: 1024, .. })
        ));
        // the name was written at `now`
        assert_eq!(session.poll_transmit(decided), b"");
        let first = now + PACE;
        assert_eq!(session.poll_timeout(), Some(first));
        let object = session.poll_transmit(first);
        assert!(object.is_ascii() && object.ends_with(b"\"msg\": \"\\u00e8\"}\n"), "{object:?}");
        let length = object.len();
        session.handle_transmitted(length, first);
        assert_eq!(session.poll_transmit(first + PACE / 2), b"");
        assert_ne!(session.poll_transmit(first + PACE), b"");
    }

    #[test]
    fn nothing_but_the_name_is_written_before_the_welcome() {
        let now = Instant::now();
        let mut session = session(now);
        session.send("bob", "early").unwrap();
        assert_eq!(session.poll_transmit(now + PACE * 10), b"");
        session.handle_input(WELCOME.as_bytes(), now + PACE * 10);
        assert_ne!(session.poll_transmit(now + PACE * 10), b"");
    }

    #[test]
    fn an_object_that_the_end_cut_off_is_told_once() {
        let now = Instant::now();
        let mut session = session(now);
        session.handle_input(&WELCOME.as_bytes()[..20], now);
        session.handle_end();
        assert!(matches!(session.poll_event(), Some(SessionEvent::Bad(_))));
        session.handle_end();
        assert_eq!(session.poll_event(), None);
    }

    #[test]
    fn a_refusal_is_not_a_registration() {
        let now = Instant::now();
        let mut session = session(now);
        let refusal = Message::new("SERVER", "0.0.0.0", "Guest", "⛔ Error: in use");
        session.handle_input(refusal.to_json().as_bytes(), now);
        assert_eq!(session.poll_event(), Some(SessionEvent::Refused(refusal)));
        assert!(!session.is_registered());
    }
}
