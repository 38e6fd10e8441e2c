//! One socket that never blocks, read and written for the session in `state`. A thread waits with
//! `poll` outside of the lock, so that one thread can send while another waits for a message.

use std::ffi::c_int;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatproto::{ClientError, Limits, Message, Session, SessionEvent, UserName};

use crate::result::{chatproto_result, client_error, fail};
#[cfg(feature = "tls")]
use crate::tls::ClientStream;
use crate::tls::ClientTls;

use super::address::{ServerAddress, connect};
use super::state::{Lost, State, Wanted};

/// How many bytes may wait to be written when another message is queued without waiting.
pub(super) const QUEUE: usize = 1024 * 1024;

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(2);

/// The most that is read at a time.
const READ: usize = 16 * 1024;

/// How often the socket is read before the caller looks at its deadline, when what comes is no
/// object: white space may come as fast as it is read.
const READS: usize = 16;

/// The settings of a client, without its name and the address of the server.
pub(super) struct Settings {
    /// For connecting and registering; `None` for ever.
    pub(super) timeout: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) keep_alive: Option<Duration>,
    pub(super) ping_interval: Option<Duration>,
}

pub(super) struct Connection {
    stream: TcpStream,
    welcome: Message,
    state: Mutex<State>,
    /// `shutdown` was called. If the server still sends something, the system resets the connection, which
    /// is no error then.
    is_closed: AtomicBool,
}

impl Connection {
    /// Connects, registers, and finds out how the server reads.
    pub(super) fn open(
        address: &ServerAddress,
        name: UserName,
        settings: Settings,
        tls: Option<ClientTls>,
    ) -> Result<Self, chatproto_result> {
        let Settings { timeout, limits, keep_alive, ping_interval } = settings;
        let late = || {
            let (what, after) = ("connecting and registering", timeout.unwrap_or_default());
            client_error(&ClientError::Timeout { what, after })
        };
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let stream = connect(address.address(), until, &late)?;
        let io = |doing: &'static str| {
            move |source| client_error(&ClientError::Io { doing: doing.to_owned(), source })
        };
        stream.set_nodelay(true).map_err(io("cannot configure the connection"))?;
        stream.set_nonblocking(true).map_err(io("cannot configure the connection"))?;
        if let Some(silence) = keep_alive {
            let set = chatproto::client::set_keep_alive(&stream, silence);
            set.map_err(io("cannot configure the connection"))?;
        }
        let local = stream.local_addr().map_err(io("the connection was lost"))?;
        let ip = local.ip().to_canonical().to_string();
        #[cfg(feature = "tls")]
        let tls = match tls {
            None => None,
            Some(settings) => {
                let peer = stream.peer_addr().map_err(io("the connection was lost"))?;
                let host = Some(address.address().host());
                let stream = ClientStream::new(&settings, host, peer.ip());
                Some(stream.map_err(|error| client_error(&error.into()))?)
            }
        };
        #[cfg(feature = "tls")]
        let size = if tls.is_some() { 3 * READ } else { READ };
        #[cfg(not(feature = "tls"))]
        let size = match tls {
            None => READ,
            Some(never) => match never {},
        };
        let session = Session::with_limits(name, ip, limits);
        let session = match address.url() {
            Some(url) => session.websocket(url),
            None => session,
        };
        let session = match ping_interval {
            Some(interval) => session.ping_interval(interval),
            None => session,
        };
        let mut connection = Connection {
            stream,
            welcome: Message::new("", "", "", ""),
            state: Mutex::new(State {
                session,
                #[cfg(feature = "tls")]
                tls,
                buffer: vec![0; size].into(),
                is_refused: false,
                read_end: None,
                write_end: None,
            }),
            is_closed: AtomicBool::new(false),
        };
        connection.welcome = connection.register(until, &late)?;
        Ok(connection)
    }

    fn register(
        &self,
        until: Option<Instant>,
        late: &impl Fn() -> chatproto_result,
    ) -> Result<Message, chatproto_result> {
        let mut welcome = None;
        loop {
            let mut state = self.state();
            self.write(&mut state);
            self.read(&mut state);
            if welcome.is_none() {
                match state.session.poll_event() {
                    Some(SessionEvent::Registered(message)) => welcome = Some(message),
                    Some(SessionEvent::Refused(message)) => {
                        return Err(client_error(&ClientError::Refused(message.into())));
                    }
                    Some(SessionEvent::Bad(error)) => return Err(client_error(&error.into())),
                    Some(event) => {
                        state.end(event);
                        continue;
                    }
                    None => {
                        if let Some(lost) = state.read_end.as_ref() {
                            return Err(lost.result());
                        }
                    }
                }
            }
            match (state.session.server_kind(), welcome.take()) {
                (Some(_), Some(welcome)) => return Ok(welcome),
                // its line feed will not come any more
                (None, Some(welcome)) if state.read_end.is_some() => return Ok(welcome),
                (_, undecided) => welcome = undecided,
            }
            let wanted = state.wanted(Instant::now());
            drop(state);
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(late());
            }
            // (a message behind the welcome is no reason not to wait for the decision)
            self.wait(&wanted, until);
        }
    }

    pub(super) fn fd(&self) -> c_int {
        self.stream.as_raw_fd()
    }

    pub(super) fn name(&self) -> String {
        self.state().session.name().to_string()
    }

    pub(super) fn welcome(&self) -> &Message {
        &self.welcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message unless `limit` bytes wait already, and writes what can be.
    pub(super) fn queue(&self, to: &str, msg: &str, limit: usize) -> Result<(), chatproto_result> {
        let mut state = self.state();
        if let Some(lost) = &state.write_end {
            return Err(lost.result());
        }
        if state.session.outgoing_bytes() >= limit {
            self.write(&mut state);
            let bytes = state.session.outgoing_bytes();
            if bytes >= limit {
                return Err(fail(
                    chatproto_result::QueueFull,
                    format_args!("{bytes} bytes wait to be written"),
                ));
            }
        }
        state.session.send(to, msg).map_err(|error| client_error(&error))?;
        self.write(&mut state);
        state.write_end.as_ref().map_or(Ok(()), |lost| Err(lost.result()))
    }

    /// Waits until all that is queued was written.
    pub(super) fn flush(&self, until: Option<Instant>) -> Result<(), chatproto_result> {
        loop {
            let mut state = self.state();
            self.write(&mut state);
            if !state.has_outgoing() {
                return Ok(());
            }
            if let Some(lost) = &state.write_end {
                return Err(lost.result());
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return Err(fail(
                    chatproto_result::Timeout,
                    format_args!("the server does not read"),
                ));
            }
            let wanted = state.wanted_to_write(now);
            drop(state);
            self.wait(&wanted, until);
        }
    }

    /// Waits for a message.
    pub(super) fn receive(&self, until: Option<Instant>) -> Result<Message, chatproto_result> {
        let begun = Instant::now();
        loop {
            let mut state = self.state();
            if !state.session.has_events() {
                self.write(&mut state);
                self.read(&mut state);
            }
            if let Some(message) = state.next()? {
                return Ok(message);
            }
            let now = Instant::now();
            if let Some(until) = until
                && until <= now
            {
                let (what, after) =
                    ("waiting for a message", until.saturating_duration_since(begun));
                return Err(client_error(&ClientError::Timeout { what, after }));
            }
            let wanted = state.wanted(now);
            drop(state);
            self.wait(&wanted, until);
        }
    }

    /// A message that has come.
    pub(super) fn next(&self) -> Result<Option<Message>, chatproto_result> {
        self.state().next()
    }

    /// Writes and reads what can be.
    pub(super) fn process(&self) -> Result<(), chatproto_result> {
        let mut state = self.state();
        self.write(&mut state);
        self.read(&mut state);
        match &state.read_end {
            Some(lost) if !state.session.has_events() => Err(lost.result()),
            _ => Ok(()),
        }
    }

    pub(super) fn wanted(&self, now: Instant) -> Wanted {
        self.state().wanted(now)
    }

    pub(super) fn shutdown(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // an error means that it is over
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub(super) fn close(&self) -> Result<(), chatproto_result> {
        let until = Instant::now() + CLOSE;
        let is_said = self.state().session.finish();
        self.flush(Some(until))?;
        if !is_said {
            self.say_goodbye();
            if let Err(error) = self.stream.shutdown(Shutdown::Write) {
                return Err(Lost::new("cannot close", &error).result());
            }
        }
        // messages may come for as long as they are taken
        while Instant::now() < until {
            match self.receive(Some(until)) {
                Ok(_) => {}
                Err(result) if (40..60).contains(&(result as c_int)) => {}
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// With TLS there is a way to say that nothing more comes; without, the socket says it.
    fn say_goodbye(&self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.state().tls {
            // all was flushed: a socket that refuses these few bytes is as good as gone
            let _ = tls.finish(&mut &self.stream);
        }
    }

    /// Writes what the session has, as far as the system takes it.
    fn write(&self, state: &mut State) {
        while state.write_end.is_none() {
            let now = Instant::now();
            state.session.handle_timeout(now);
            let bytes = state.session.poll_transmit(now);
            #[cfg(feature = "tls")]
            let written = match &mut state.tls {
                None if bytes.is_empty() => return,
                None => (&self.stream).write(bytes),
                Some(tls) if bytes.is_empty() => match tls.flush(&mut &self.stream) {
                    Ok(()) => return,
                    Err(error) => Err(error),
                },
                Some(tls) => tls.write(&mut &self.stream, bytes),
            };
            #[cfg(not(feature = "tls"))]
            let written = match bytes {
                [] => return,
                bytes => (&self.stream).write(bytes),
            };
            match written {
                Ok(count) => {
                    state.session.handle_transmitted(count, now);
                    state.is_refused = false;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    state.is_refused = true;
                    return;
                }
                Err(error) => state.write_end = Some(self.lost("cannot send", &error)),
            }
        }
    }

    /// Reads until something has come, nothing more is there, or it was tried often enough. So the
    /// session holds the events of one read at most, and nothing is read while there are any.
    fn read(&self, state: &mut State) {
        for _ in 0..READS {
            if state.read_end.is_some() || state.session.has_events() {
                return;
            }
            #[cfg(feature = "tls")]
            let read = match &mut state.tls {
                None => (&self.stream).read(&mut state.buffer),
                Some(tls) => tls.read(&mut &self.stream, &mut state.buffer),
            };
            #[cfg(not(feature = "tls"))]
            let read = (&self.stream).read(&mut state.buffer);
            match read {
                Ok(0) => {
                    state.session.handle_end();
                    state.read_end = Some(Lost::Closed(None));
                }
                Ok(count) => {
                    state.session.handle_input(&state.buffer[..count], Instant::now());
                    // the server of a WebSocket waits for the answers to its control frames
                    self.write(state);
                    if state.session.has_ended() {
                        state.read_end = Some(Lost::Closed(state.session.close_frame()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    state.session.handle_silence(Instant::now());
                    return;
                }
                Err(error) => state.read_end = Some(self.lost("cannot receive", &error)),
            }
        }
    }

    /// The reason of the end that an error of the socket stands for.
    fn lost(&self, doing: &str, error: &Error) -> Lost {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Lost::Closed(None),
            false => Lost::new(doing, error),
        }
    }

    /// Waits for what is wanted, or a signal; the caller looks again whatever happened.
    fn wait(&self, wanted: &Wanted, until: Option<Instant>) {
        let until = [wanted.until, until].into_iter().flatten().min();
        let events = if wanted.readable { libc::POLLIN } else { 0 }
            | if wanted.writable { libc::POLLOUT } else { 0 };
        let mut poll = libc::pollfd { fd: self.fd(), events, revents: 0 };
        // SAFETY: one `pollfd`, which is there
        unsafe { libc::poll(&mut poll, 1, poll_timeout(until, Instant::now())) };
    }
}

/// What `poll` takes: whole milliseconds, rounded up; -1 for ever.
pub(super) fn poll_timeout(until: Option<Instant>, now: Instant) -> c_int {
    until.map_or(-1, |until| {
        let left = until.saturating_duration_since(now);
        c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    })
}
