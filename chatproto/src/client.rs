//! The blocking client: a [`Session`] and a socket.
//!
//! One thread can use a [`Client`] as it is; [`Client::split`] makes two halves of it for two, one
//! that sends and one that receives.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream,
    ToSocketAddrs,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{ClientError, ErrorClass};
use crate::handshake::PeerKind;
use crate::limits::Limits;
use crate::message::Message;
use crate::name::UserName;
use crate::session::{Session, SessionEvent};
#[cfg(feature = "tls")]
use crate::tls::{Channel, ClientStream, ClientTls};

/// The least that a socket can be told to wait.
const POLL: Duration = Duration::from_millis(1);

/// How long [`Client::close`] waits for the server to close.
const CLOSE: Duration = Duration::from_secs(2);

/// Where a server is: an address, or a host and a port, in each of the forms that the standard
/// library has for them.
pub trait ServerAddress: ToSocketAddrs {
    /// The host as it was named: what a certificate of the server must be for, unless
    /// another name is said. `None` stands for the address that is connected to.
    fn host(&self) -> Option<&str> {
        None
    }
}

impl ServerAddress for str {
    fn host(&self) -> Option<&str> {
        self.rsplit_once(':').map(|(host, _)| host)
    }
}

impl ServerAddress for String {
    fn host(&self) -> Option<&str> {
        self.as_str().host()
    }
}

impl ServerAddress for (&str, u16) {
    fn host(&self) -> Option<&str> {
        Some(self.0)
    }
}

impl ServerAddress for (String, u16) {
    fn host(&self) -> Option<&str> {
        Some(&self.0)
    }
}

impl ServerAddress for SocketAddr {}
impl ServerAddress for SocketAddrV4 {}
impl ServerAddress for SocketAddrV6 {}
impl ServerAddress for (IpAddr, u16) {}
impl ServerAddress for (Ipv4Addr, u16) {}
impl ServerAddress for (Ipv6Addr, u16) {}
impl ServerAddress for &[SocketAddr] {}

impl<T: ServerAddress + ?Sized> ServerAddress for &T {
    fn host(&self) -> Option<&str> {
        (**self).host()
    }
}

/// Makes a [`Client`]; see [`Client::builder`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    name: String,
    timeout: Duration,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

impl ClientBuilder {
    /// How long connecting and registering may take together. Default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The bounds: see [`Session::with_limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Speaks TLS with the server. Default: no.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects and registers.
    ///
    /// # Errors
    /// * [`ClientError::InvalidName`]: no server would take the name; nothing was sent.
    /// * [`ClientError::Refused`]: the server did not, and says why.
    /// * [`ClientError::Timeout`], [`ClientError::Closed`], [`ClientError::Io`]: there is no such
    ///   server, or it did not answer.
    /// * `ClientError::Tls`: TLS was asked for and cannot be had, or the server is not the one that
    ///   is trusted; the name was not sent.
    pub fn connect(self, address: impl ServerAddress) -> Result<Client, ClientError> {
        let deadline = Deadline::new("connecting and registering", self.timeout);
        let name = UserName::from_bytes(self.name.as_bytes(), self.limits.name)?;
        let stream = connect(&address, deadline)?;
        let io = |doing: &str| {
            let doing = doing.to_owned();
            move |source| ClientError::Io { doing, source }
        };
        stream.set_nodelay(true).map_err(io("cannot configure the connection"))?;
        let peer = stream.peer_addr().map_err(io("the connection was lost"))?;
        let local = stream.local_addr().map_err(io("the connection was lost"))?;
        let ip = local.ip().to_canonical().to_string();
        let session = Mutex::new(Session::with_limits(name, ip, self.limits.clone()));
        #[cfg(feature = "tls")]
        let tls = match &self.tls {
            Some(tls) => {
                let channel = Channel::new(ClientStream::new(tls, address.host(), peer.ip())?);
                shake_hands(&channel, &stream, deadline)?;
                Some(channel)
            }
            None => None,
        };
        let wire = Wire {
            stream,
            #[cfg(feature = "tls")]
            tls,
            is_closed: AtomicBool::new(false),
        };
        let buffer = vec![0; wire.read_size()].into();
        let shared = Arc::new(Connection { wire, session, writing: Mutex::new(()) });
        let sender = ClientSender { shared: Arc::clone(&shared) };
        let mut receiver = ClientReceiver { shared, buffer, timeout: None };
        sender.flush()?;
        let welcome = receiver.registration(deadline)?;
        Ok(Client { sender, receiver, welcome, peer, local })
    }
}

/// A connection to a server, registered under a name.
///
/// # Memory
/// A server cannot make a client grow. A client reads its socket only when a method waits for a
/// message and none has come, so that a server that sends faster is held back by TCP. It holds
///
/// * what one read brought: 16 KiB, or 48 KiB with TLS, as messages or errors (of the shortest
///   objects, `{}`, about 1 MiB);
/// * one incomplete message of at most [`Limits::frame`] bytes, and the welcome;
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
    /// Connects and registers with the defaults: see [`ClientBuilder::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(
        address: impl ServerAddress,
        name: impl Into<String>,
    ) -> Result<Self, ClientError> {
        Client::builder(name).connect(address)
    }

    /// A client that is to register `name`.
    pub fn builder(name: impl Into<String>) -> ClientBuilder {
        let (timeout, limits) = (Duration::from_secs(10), Limits::default());
        ClientBuilder {
            name: name.into(),
            timeout,
            limits,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The registered name, normalised.
    pub fn name(&self) -> String {
        self.sender.shared.session().name().to_string()
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

/// The bytes of a connection: a socket, with TLS or without.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    tls: Option<Channel>,
    /// Closed here. What the server still sends makes the system reset the connection, which is no
    /// error then.
    is_closed: AtomicBool,
}

impl Wire {
    /// How much to read at a time.
    fn read_size(&self) -> usize {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return Channel::BUFFER;
        }
        16 * 1024
    }

    /// To be called by one thread at a time.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.read(&self.stream, buffer);
        }
        (&self.stream).read(buffer)
    }

    /// To be called by one thread at a time.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.write_all(&self.stream, bytes);
        }
        (&self.stream).write_all(bytes)
    }

    /// Nothing more will be written.
    fn finish(&self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.finish(&self.stream)?;
        }
        self.stream.shutdown(Shutdown::Write)
    }

    /// Ends both directions at once.
    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // an error means that it is closed
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// What both halves share.
#[derive(Debug)]
struct Connection {
    wire: Wire,
    session: Mutex<Session>,
    /// Held by the thread that writes, so that objects do not mix. Never taken under `session`.
    writing: Mutex<()>,
}

impl Connection {
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half of a [`Client`] that sends. Clones send on the same connection.
#[derive(Clone, Debug)]
pub struct ClientSender {
    shared: Arc<Connection>,
}

impl ClientSender {
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

    /// Writes what is queued, at the pace that the server asks for.
    fn flush(&self) -> Result<(), ClientError> {
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        loop {
            let now = Instant::now();
            let wait = {
                let mut session = self.shared.session();
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
            self.shared.wire.write_all(&bytes).map_err(|source| lost(source, "cannot send"))?;
            self.shared.session().handle_transmitted(bytes.len(), Instant::now());
        }
    }

    /// Says that nothing more will be sent. The server answers what it was sent, then closes; the
    /// receiving half goes on until then.
    ///
    /// # Errors
    /// [`ClientError::Closed`] or [`ClientError::Io`] if what was sent may not have arrived.
    pub fn finish(&self) -> Result<(), ClientError> {
        self.flush()?;
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
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
#[derive(Debug)]
pub struct ClientReceiver {
    shared: Arc<Connection>,
    buffer: Box<[u8]>,
    /// The time-out that the socket has.
    timeout: Option<Duration>,
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
        let timeout = deadline.map(|deadline| deadline.left()).transpose()?;
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
                Ok(())
            }
            // a time-out, or nothing for the session: the caller asks its deadline
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
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

/// Tries the addresses one after the other.
fn connect(address: &impl ToSocketAddrs, deadline: Deadline) -> Result<TcpStream, ClientError> {
    let io = |doing: &str, source| ClientError::Io { doing: doing.to_owned(), source };
    let addresses = address
        .to_socket_addrs()
        .map_err(|source| io("cannot find the server's address", source))?;
    let mut failure = io(
        "cannot find the server's address",
        io::Error::new(ErrorKind::NotFound, "the name has no address"),
    );
    for address in addresses {
        match TcpStream::connect_timeout(&address, deadline.left()?) {
            Ok(stream) => return Ok(stream),
            Err(source) => failure = io(&format!("cannot connect to {address}"), source),
        }
    }
    Err(failure)
}

/// Makes the TLS of a connection, in the time that there is.
#[cfg(feature = "tls")]
fn shake_hands(tls: &Channel, stream: &TcpStream, deadline: Deadline) -> Result<(), ClientError> {
    loop {
        let left = Some(deadline.left()?);
        stream
            .set_read_timeout(left)
            .and_then(|()| stream.set_write_timeout(left))
            .map_err(|source| lost(source, "cannot configure the connection"))?;
        match tls.shake_hands(stream) {
            Ok(false) => {}
            Ok(true) => break,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(lost(error, "the TLS handshake failed")),
        }
    }
    let blocking = stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(None));
    blocking.map_err(|source| lost(source, "cannot configure the connection"))
}

/// What an error of the socket means.
fn lost(source: io::Error, doing: &str) -> ClientError {
    #[cfg(feature = "tls")]
    let source = match source.downcast() {
        Ok(error) => return ClientError::Tls(error),
        Err(source) => source,
    };
    match source.kind() {
        ErrorKind::BrokenPipe | ErrorKind::NotConnected => ClientError::Closed,
        _ => ClientError::Io { doing: doing.to_owned(), source },
    }
}

/// A point in time, and what is to be done by then.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    what: &'static str,
    after: Duration,
    begun: Instant,
}

impl Deadline {
    fn new(what: &'static str, after: Duration) -> Self {
        Deadline { what, after, begun: Instant::now() }
    }

    /// The time left, which is never zero, or the time-out.
    fn left(&self) -> Result<Duration, ClientError> {
        let Deadline { what, after, begun } = *self;
        match after.checked_sub(begun.elapsed()) {
            // the system waits for whole microseconds at least
            Some(left) if left >= Duration::from_micros(1) => Ok(left),
            _ => Err(ClientError::Timeout { what, after }),
        }
    }
}
