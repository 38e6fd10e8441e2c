//! The blocking client: a [`Session`] and a socket, over TCP or WebSocket, with TLS or without.
//!
//! One thread can use a [`Client`] as it is; [`Client::split`] makes two halves of it for two, one
//! that sends and one that receives.

mod builder;
mod wire;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::decode::ErrorClass;
use crate::handshake::PeerKind;
use crate::keep_alive;
use crate::message::Message;
use crate::session::{ClientError, Session, SessionEvent};

pub use builder::{ClientBuilder, ServerAddress};
use wire::{Deadline, Wire, lost};

/// The least that a socket can be told to wait.
const POLL: Duration = Duration::from_millis(1);

/// How long [`Client::close`] waits for the server to close.
const CLOSE: Duration = Duration::from_secs(2);

/// A connection to a server, registered under a name.
///
/// # Memory
/// A server cannot make a client grow. A client reads its socket only when a method waits for a
/// message and none has come, so that a server that sends faster is held back by TCP. It holds
///
/// * what one read brought: 16 KiB, or 48 KiB with TLS, as messages or errors (of the shortest
///   objects, `{}`, about 1 MiB);
/// * one incomplete message of at most [`Limits::frame`](crate::Limits::frame) bytes, and the welcome;
/// * the message that each thread is sending: [`Client::send`] waits until the system has taken it.
///
/// ```no_run
/// # fn main() -> Result<(), chatproto::ClientError> {
/// use chatproto::Client;
///
/// let mut client = Client::connect("127.0.0.1:65432", "alice")?;
/// client.send("/shout", "hello, everybody")?;
/// for message in client.messages() {
///     let message = message?;
///     println!("{}: {}", message.from.name, message.msg);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    sender: ClientSender,
    receiver: ClientReceiver,
    welcome: Message,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Client {
    /// The name under which the server knows the client: see [`ClientSender::name`].
    pub fn name(&self) -> String {
        self.sender.name()
    }

    /// The server's welcome (A7).
    pub fn welcome(&self) -> &Message {
        &self.welcome
    }

    /// The server's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The own address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How the server reads: towards a one-read server messages are paced and at most 1024 bytes.
    pub fn server_kind(&self) -> PeerKind {
        self.sender.shared.session().server_kind().unwrap_or(PeerKind::OneRead)
    }

    /// Sends a message: see [`ClientSender::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, to: &str, msg: &str) -> Result<(), ClientError> {
        self.sender.send(to, msg)
    }

    /// Waits for the next message: see [`ClientReceiver::recv`].
    ///
    /// # Errors
    /// As there.
    pub fn recv(&mut self) -> Result<Message, ClientError> {
        self.receiver.recv()
    }

    /// Waits for the next message for so long: see [`ClientReceiver::recv_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Message, ClientError> {
        self.receiver.recv_timeout(timeout)
    }

    /// The messages that come, until the server closes.
    pub fn messages(&mut self) -> impl Iterator<Item = Result<Message, ClientError>> {
        &mut self.receiver
    }

    /// Makes two halves of it, for two threads.
    pub fn split(self) -> (ClientSender, ClientReceiver) {
        (self.sender, self.receiver)
    }

    /// Says that it will send nothing more, lets the server answer all that it was sent, throws
    /// away what still comes, and closes when the server does, or after 2 s. (A client that is
    /// dropped instead closes at once: what it sent last may be lost.)
    ///
    /// # Errors
    /// [`ClientError::Io`] if what was sent may not have arrived.
    pub fn close(mut self) -> Result<(), ClientError> {
        self.sender.finish()?;
        let deadline = Deadline::new("closing", CLOSE);
        while let Ok(left) = deadline.left() {
            match self.receiver.recv_timeout(left) {
                Ok(_) => {}
                Err(ClientError::Decode(error)) if error.class() == ErrorClass::Schema => {}
                Err(_) => break,
            }
        }
        self.sender.close();
        Ok(())
    }
}

/// What both halves share.
struct Connection {
    wire: Wire,
    session: Mutex<Session>,
    /// Held by the thread that writes, so that objects do not mix. Never taken under `session`.
    writing: Mutex<()>,
}

/// The session and the right to write are behind locks.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stream", &self.wire.stream).finish_non_exhaustive()
    }
}

impl Connection {
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing came for some time: asks for a sign of life, if that is due.
    fn ask(&self) -> Result<(), ClientError> {
        self.session().handle_silence(Instant::now());
        match self.writing.try_lock() {
            Ok(writing) => self.flush(&writing),
            Err(TryLockError::Poisoned(writing)) => self.flush(&writing.into_inner()),
            // another thread writes, and takes the `/ping` with it
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    /// Writes the session's own frames: over WebSocket, the name and the answers to control frames. A thread that
    /// reads does not wait for one that writes. The writing thread calls this when it is done.
    fn answer(&self) {
        while !self.session().poll_own().is_empty() {
            let _writing = match self.writing.try_lock() {
                Ok(writing) => writing,
                Err(TryLockError::Poisoned(writing)) => writing.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let bytes = self.session().poll_own().to_vec();
            // the next read says what is wrong with the connection
            if self.wire.write_all(&bytes).is_err() {
                return;
            }
            self.session().handle_transmitted(bytes.len(), Instant::now());
        }
    }

    /// Writes what is queued, at the pace that the server asks for.
    fn flush(&self, _writing: &MutexGuard<'_, ()>) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        loop {
            let now = Instant::now();
            let wait = {
                let mut session = self.session();
                session.handle_timeout(now);
                bytes.clear();
                bytes.extend_from_slice(session.poll_transmit(now));
                if bytes.is_empty() && !session.has_outgoing() {
                    return Ok(());
                }
                session.poll_timeout()
            };
            if bytes.is_empty() {
                match wait {
                    Some(at) => thread::sleep(at.saturating_duration_since(now)),
                    // the rest goes out with the registration
                    None => return Ok(()),
                }
                continue;
            }
            self.wire.write_all(&bytes).map_err(|source| lost(source, "cannot send"))?;
            self.session().handle_transmitted(bytes.len(), Instant::now());
        }
    }
}

/// The half of a [`Client`] that sends. Clones send on the same connection.
#[derive(Clone, Debug)]
pub struct ClientSender {
    shared: Arc<Connection>,
}

impl ClientSender {
    /// The name under which the server knows the client, normalised. It follows the server, as the
    /// messages with which it tells a new name are received: after `/nick`, after `/login`, and for a
    /// guest from the beginning.
    pub fn name(&self) -> String {
        self.shared.session().name().to_string()
    }

    /// Sends a message. Returns when the system has taken it: it waits while the server does not
    /// read, and while the pace of a one-read server asks for it.
    ///
    /// # Errors
    /// [`ClientError::FrameTooLong`] if the server could not take it, [`ClientError::Closed`] if
    /// the connection is closed, [`ClientError::Io`] if it was lost.
    pub fn send(&self, to: &str, msg: &str) -> Result<(), ClientError> {
        self.shared.session().send(to, msg)?;
        self.flush()
    }

    fn flush(&self) -> Result<(), ClientError> {
        let flushed = self.shared.flush(&self.shared.writing());
        self.shared.answer();
        flushed
    }

    /// Says that nothing more will be sent. The server answers what it was sent, then closes; the
    /// receiving half goes on until then.
    ///
    /// # Errors
    /// [`ClientError::Closed`] or [`ClientError::Io`] if what was sent may not have arrived.
    pub fn finish(&self) -> Result<(), ClientError> {
        let writing = self.shared.writing();
        let is_said = self.shared.session().finish();
        self.shared.flush(&writing)?;
        if is_said {
            return Ok(());
        }
        self.shared.wire.finish().map_err(|source| lost(source, "cannot close"))
    }

    /// Closes the connection at once, in both directions. A receiver that waits returns
    /// [`ClientError::Closed`].
    pub fn close(&self) {
        self.shared.wire.close();
    }
}

/// The half of a [`Client`] that receives. As an iterator it gives messages until the server
/// closes.
pub struct ClientReceiver {
    shared: Arc<Connection>,
    buffer: Box<[u8]>,
    /// The time-out that the socket has.
    timeout: Option<Duration>,
}

impl fmt::Debug for ClientReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientReceiver").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl ClientReceiver {
    /// Waits for the next message.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the server has closed, [`ClientError::Decode`] if it sent
    /// something that is not a message (after one of class [`ErrorClass::Schema`] the next call
    /// goes on behind it), [`ClientError::Io`] if the connection was lost.
    pub fn recv(&mut self) -> Result<Message, ClientError> {
        self.next_message(None)
    }

    /// Waits for the next message, but not longer than `timeout`. With a `timeout` of zero it gives
    /// what has come already.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] when none came; the connection is as before. Else as
    /// [`ClientReceiver::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Message, ClientError> {
        self.next_message(Some(Deadline::new("waiting for a message", timeout)))
    }

    fn next_message(&mut self, deadline: Option<Deadline>) -> Result<Message, ClientError> {
        let mut has_read = false;
        loop {
            let event = self.shared.session().poll_event();
            match event {
                Some(
                    SessionEvent::Message(message)
                    | SessionEvent::Registered(message)
                    | SessionEvent::Refused(message),
                ) => return Ok(message),
                Some(SessionEvent::Bad(error)) => {
                    if error.class() == ErrorClass::Framing {
                        self.shared.wire.close();
                    }
                    return Err(error.into());
                }
                Some(SessionEvent::Silent(after)) => {
                    self.shared.wire.close();
                    return Err(silent(after));
                }
                Some(SessionEvent::Violated(violation)) => {
                    self.shared.wire.close();
                    return Err(violation.into());
                }
                Some(SessionEvent::NotOpened(error)) => return Err(error.into()),
                None => {
                    // what has come already is found even if there is no time to wait
                    let poll = Deadline::new("waiting for a message", POLL);
                    let is_over = deadline.is_some_and(|deadline| deadline.left().is_err());
                    self.read(if is_over && !has_read { Some(poll) } else { deadline })?;
                    has_read = true;
                }
            }
        }
    }

    /// Waits for the server's verdict on the name, and for the byte that tells how it reads.
    fn registration(&mut self, deadline: Deadline) -> Result<Message, ClientError> {
        let welcome = loop {
            let event = self.shared.session().poll_event();
            match event {
                Some(SessionEvent::Registered(welcome)) => break welcome,
                Some(SessionEvent::Refused(reason) | SessionEvent::Message(reason)) => {
                    return Err(ClientError::Refused(Box::new(reason)));
                }
                Some(SessionEvent::Bad(error)) => return Err(error.into()),
                Some(SessionEvent::Silent(after)) => return Err(silent(after)),
                Some(SessionEvent::Violated(violation)) => return Err(violation.into()),
                Some(SessionEvent::NotOpened(error)) => return Err(error.into()),
                None => self.read(Some(deadline))?,
            }
        };
        while let Some(at) = self.undecided_until() {
            let left = at.saturating_duration_since(Instant::now());
            match self.read(Some(Deadline::new("the server's first line feed", left))) {
                Ok(()) | Err(ClientError::Timeout { .. } | ClientError::Closed) => {
                    self.shared.session().handle_timeout(Instant::now());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(welcome)
    }

    /// Until when it is open how the server reads.
    fn undecided_until(&self) -> Option<Instant> {
        let session = self.shared.session();
        session.poll_timeout().filter(|_| session.server_kind().is_none())
    }

    /// Reads once.
    fn read(&mut self, deadline: Option<Deadline>) -> Result<(), ClientError> {
        if self.shared.session().has_ended() {
            return Err(ClientError::Closed);
        }
        let left = deadline.map(|deadline| deadline.left()).transpose()?;
        let silence = self.shared.session().poll_silence();
        let until_silence =
            silence.map(|at| at.saturating_duration_since(Instant::now()).max(POLL));
        let timeout = [left, until_silence].into_iter().flatten().min();
        if timeout != self.timeout {
            let set = self.shared.wire.stream.set_read_timeout(timeout);
            set.map_err(|source| lost(source, "cannot receive"))?;
            self.timeout = timeout;
        }
        match self.shared.wire.read(&mut self.buffer) {
            Ok(0) => {
                let mut session = self.shared.session();
                session.handle_end();
                if session.has_events() { Ok(()) } else { Err(ClientError::Closed) }
            }
            Ok(length) => {
                self.shared.session().handle_input(&self.buffer[..length], Instant::now());
                self.shared.answer();
                Ok(())
            }
            // the socket's time-out, or nothing for the session: the caller asks its deadline
            Err(error) if wire::is_timeout(&error) => self.shared.ask(),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) if self.shared.wire.is_closed.load(Ordering::SeqCst) => Err(ClientError::Closed),
            Err(error) => Err(lost(error, "cannot receive")),
        }
    }
}

impl Iterator for ClientReceiver {
    type Item = Result<Message, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Err(ClientError::Closed) => None,
            result => Some(result),
        }
    }
}

/// Sets what [`ClientBuilder::keep_alive`] sets, for programs that have a [`Session`] and a socket of
/// their own.
///
/// # Errors
/// What the system said.
pub fn set_keep_alive(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    keep_alive::set(&SockRef::from(stream), silence)
}

fn silent(after: Duration) -> ClientError {
    let source = format!("the server did not answer /ping within {} ms", after.as_millis());
    let source = io::Error::new(ErrorKind::TimedOut, source);
    ClientError::Io { doing: "the connection was lost".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;
    use crate::time_limit::within_limit;

    #[test]
    fn a_dead_link_is_noticed_by_default() {
        let server = Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let running = thread::spawn(move || server.run());
        let options = |builder: ClientBuilder| {
            let client = builder.connect(address).unwrap();
            let socket = SockRef::from(&client.sender.shared.wire.stream);
            #[cfg(target_os = "linux")]
            let user_timeout = socket.tcp_user_timeout().unwrap();
            #[cfg(not(target_os = "linux"))]
            let user_timeout = socket.keepalive().unwrap().then_some(keep_alive::SILENT_PEER);
            (socket.keepalive().unwrap(), user_timeout)
        };
        let seconds = Duration::from_secs;
        assert_eq!(options(Client::builder("alice")), (true, Some(seconds(90))));
        let builder = Client::builder("bob").keep_alive(Some(seconds(12)));
        assert_eq!(options(builder), (true, Some(seconds(12))));
        assert_eq!(options(Client::builder("carol").keep_alive(None)), (false, None));
        handle.stop();
        running.join().unwrap().unwrap();
    }

    #[test]
    fn a_client_is_shown_while_its_session_is_locked() {
        let server = Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let running = thread::spawn(move || server.run());
        let client = Client::connect(address, "alice").unwrap();
        let connection = Arc::clone(&client.sender.shared);
        let (session, writing) = (connection.session(), connection.writing());
        let (shown, client) = within_limit(move || (format!("{client:?}"), client));
        drop((session, writing));
        assert!(shown.contains("127.0.0.1") && shown.contains("Welcome, alice"), "{shown}");
        drop(client);
        handle.stop();
        running.join().unwrap().unwrap();
    }
}
