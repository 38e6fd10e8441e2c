//! Accepting: new connections go to the loop that has the fewest; when the system has no
//! descriptors left, accepting pauses and nobody else notices.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token as PollToken};
use socket2::SockRef;

use crate::host::Host;
use crate::hub::Event;
use crate::name::{GUEST, SERVER};

use super::Shared;
use super::arrival::Arrival;
use super::mail::Mail;
use super::socket::{Socket, configure};
use super::stream::Entrance;

/// The token of all listeners.
pub(super) const LISTENER: PollToken = PollToken(usize::MAX);
/// The first pause after the system refused, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// The listening sockets of a server.
pub(super) struct Acceptor {
    /// With how connections come in there. All have the same token.
    listeners: Vec<(TcpListener, Entrance)>,
    /// Which of them is asked next: each in turn.
    turn: usize,
    has_more: bool,
    paused_until: Option<Instant>,
    pause: Duration,
    /// The system refused, and another connection was asked to give way.
    awaits_room: bool,
    /// A descriptor to give up when there are no others, to tell one who knocks that it is full.
    reserve: Option<File>,
    /// That one, until the pause is over: time to read the farewell before the socket is closed.
    knocker: Option<TcpStream>,
}

impl Acceptor {
    pub(super) fn new(
        listeners: Vec<(std::net::TcpListener, Entrance)>,
        registry: &Registry,
    ) -> io::Result<Self> {
        let listen = |(listener, entrance): (std::net::TcpListener, Entrance)| {
            listener.set_nonblocking(true)?;
            if INHERITED {
                configure(&SockRef::from(&listener))?;
            }
            let mut listener = TcpListener::from_std(listener);
            registry.register(&mut listener, LISTENER, Interest::READABLE)?;
            Ok((listener, entrance))
        };
        Ok(Acceptor {
            listeners: listeners.into_iter().map(listen).collect::<io::Result<_>>()?,
            turn: 0,
            has_more: false,
            paused_until: None,
            pause: FIRST_PAUSE,
            awaits_room: false,
            reserve: reserve(),
            knocker: None,
        })
    }

    /// The socket has connections to accept.
    pub(super) fn handle_ready(&mut self) {
        self.has_more = true;
    }

    /// Whether to call [`Acceptor::accept`] again without waiting.
    pub(super) fn has_more(&self) -> bool {
        self.has_more && self.paused_until.is_none()
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Accepts so many at most, into `own` or another loop's mailbox. Returns why the system refuses,
    /// if it does: then [`Acceptor::await_room`] or [`Acceptor::pause`] must follow.
    pub(super) fn accept(
        &mut self,
        most: usize,
        shared: &Shared,
        lane: usize,
        own: &mut Vec<Arrival>,
        now: Instant,
    ) -> Option<io::Error> {
        if self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        self.paused_until = None;
        if self.knocker.take().is_some() {
            self.reserve = reserve();
        }
        for _ in 0..most {
            if !self.has_more {
                return None;
            }
            match self.accept_one() {
                Ok((socket, address, entrance)) => {
                    (self.pause, self.awaits_room) = (FIRST_PAUSE, false);
                    if !INHERITED && configure(&SockRef::from(&socket)).is_err() {
                        continue;
                    }
                    let mut stream = entrance.stream(Socket::Tcp(socket));
                    if shared.is_proxy(address) {
                        stream.await_origin();
                    }
                    let arrival = Arrival::new(stream, address);
                    let to = shared.least_loaded();
                    shared.lanes[to].load.fetch_add(1, Ordering::Relaxed);
                    if to == lane {
                        own.push(arrival);
                    } else {
                        // a loop that cannot be woken is gone; the peer sees the close
                        let _ = shared.lanes[to].send(Mail::Accepted(arrival));
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => self.has_more = false,
                    // the peer was gone before it was accepted
                    ErrorKind::Interrupted
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionReset => {}
                    _ => return Some(error),
                },
            }
        }
        None
    }

    /// Accepts from the first of the listeners, in their turn, that has somebody.
    fn accept_one(&mut self) -> io::Result<(TcpStream, IpAddr, Entrance)> {
        let mut outcome = Err(ErrorKind::WouldBlock.into());
        for _ in 0..self.listeners.len() {
            self.turn = (self.turn + 1) % self.listeners.len();
            let (listener, entrance) = &self.listeners[self.turn];
            match listener.accept() {
                Ok((socket, address)) => return Ok((socket, address.ip(), entrance.clone())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Whether it would help if a connection gave way: not if one just did.
    pub(super) fn wants_room(&self) -> bool {
        !self.awaits_room
    }

    /// The system refused, and a connection was asked to give way: accepting goes on when it has.
    pub(super) fn await_room(&mut self, now: Instant) {
        self.awaits_room = true;
        self.paused_until = Some(now + FIRST_PAUSE);
    }

    /// A connection gave way.
    pub(super) fn handle_room(&mut self) {
        if self.awaits_room {
            self.paused_until = None;
        }
    }

    /// The system refused, most likely because there are no descriptors left, and no connection
    /// can give way: one who knocks is told, and then nobody is accepted for a while.
    pub(super) fn pause(&mut self, shared: &Shared, error: &io::Error, now: Instant) {
        self.awaits_room = false;
        if self.reserve.take().is_some() {
            if let Ok((mut stream, address, _)) = self.accept_one() {
                // best effort: a fresh socket takes these few bytes at once; nothing is written to a proxy
                // before its header
                if !shared.is_proxy(address) {
                    let _ = stream.write_all(full().as_bytes());
                }
                let _ = stream.shutdown(Shutdown::Write);
                self.knocker = Some(stream);
            } else {
                self.reserve = reserve();
            }
        }
        self.paused_until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        shared.observe(&Event::AcceptPaused { reason: error.to_string() });
    }
}

/// Whether accepted sockets have the options of the listening one.
const INHERITED: bool = cfg!(target_os = "linux");

/// Any descriptor will do.
fn reserve() -> Option<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()
}

fn full() -> String {
    let text = "⛔ Error: the server is full. Try again later.";
    format!("{}\n", crate::Message::new(SERVER, "0.0.0.0", GUEST, text).to_python_json())
}
