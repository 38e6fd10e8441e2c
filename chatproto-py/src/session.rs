//! `Session`: the client's side of a connection without I/O, over which the blocking and the
//! asyncio client stand. Times are seconds of Python's `time.monotonic()`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chatproto::handshake::PeerKind;
use chatproto::{Limits, SessionEvent, UserName};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::address;
use crate::errors::{client_error, name_error, not_opened, received_error, silent, violated};
use crate::message::{Message, utf8};

/// The client's side of a connection: bytes and time in, bytes and events out.
///
/// With ``url``, the bytes are those of a WebSocket: first its opening handshake, then its frames. The
/// caller adds TLS if the URL asks for it.
///
/// Times are seconds of ``time.monotonic()``. ``max_frame`` is the longest frame in bytes, in
/// either direction, by default 64 KiB. With ``ping_interval``, in seconds, the session sends
/// ``/ping`` to a silent server, and ends if nothing comes for another interval.
///
/// A session holds at most one incomplete frame, and the events of ``receive``. Take the events
/// before the next ``receive``, which then bounds the memory. ``send`` queues without a bound: send
/// when ``has_outgoing`` is false.
#[pyclass(module = "chatproto._chatproto")]
pub(crate) struct Session {
    session: chatproto::Session,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (name, ip = "0.0.0.0", *, url = None, max_frame = None, ping_interval = None))]
    fn new(
        name: &Bound<'_, PyString>,
        ip: &str,
        url: Option<&str>,
        max_frame: Option<isize>,
        ping_interval: Option<f64>,
    ) -> PyResult<Self> {
        let text = utf8("name", name)?;
        let name = UserName::new(text).map_err(|error| name_error(name.py(), error))?;
        let mut limits = Limits::default();
        if let Some(bytes) = max_frame {
            limits.frame = bytes.try_into().unwrap_or(0);
            limits.check().map_err(|_| {
                PyValueError::new_err(format!(
                    "max_frame is a number of bytes from 128 to {}, not {bytes}",
                    1 << 30
                ))
            })?;
        }
        let mut session = chatproto::Session::with_limits(name, ip, limits);
        if let Some(url) = url {
            session = session.websocket(&address::url(url)?);
        }
        if let Some(seconds) = ping_interval {
            let interval = Duration::try_from_secs_f64(seconds).ok().filter(|at| !at.is_zero());
            session = session.ping_interval(interval.ok_or_else(|| {
                PyValueError::new_err(format!(
                    "ping_interval is a number of seconds above 0, not {seconds}"
                ))
            })?);
        }
        Ok(Session { session })
    }

    /// The name under which the server knows the client: at first the registered one.
    #[getter]
    fn name(&self) -> &str {
        self.session.name().as_str()
    }

    /// Whether the server took the name.
    #[getter]
    fn is_registered(&self) -> bool {
        self.session.is_registered()
    }

    /// How the server reads; None if it is not known yet.
    #[getter]
    fn server_kind(&self) -> Option<&'static str> {
        Some(match self.session.server_kind()? {
            PeerKind::Stream => "stream",
            PeerKind::OneRead => "one-read",
        })
    }

    /// Whether queued bytes were not written yet.
    #[getter]
    fn has_outgoing(&self) -> bool {
        self.session.has_outgoing()
    }

    /// Whether nothing more comes from the server: it closed the WebSocket, or violated a rule. The last
    /// bytes of ``transmit`` answer it.
    #[getter]
    fn has_ended(&self) -> bool {
        self.session.has_ended()
    }

    /// How the server closed the WebSocket, such as ``close code 1013, try again later``; None before,
    /// for a close frame without a code, and without a WebSocket.
    #[getter]
    fn close_frame(&self) -> Option<String> {
        self.session.close_frame().map(|frame| frame.to_string())
    }

    /// Takes bytes from the server. No bytes are a sign of life too, after a pause of the reader.
    fn receive(&mut self, data: &[u8], now: f64) {
        self.session.handle_input(data, instant(now));
    }

    /// Takes the end of the stream: the server sends nothing more.
    fn receive_end(&mut self) {
        self.session.handle_end();
    }

    /// Takes the time. Call it at the time that ``timeout`` returned.
    fn handle_timeout(&mut self, now: f64) {
        self.session.handle_timeout(instant(now));
    }

    /// Takes the time after an attempt to read that found nothing. Call it at the time that
    /// ``silence`` returned.
    fn handle_silence(&mut self, now: f64) {
        self.session.handle_silence(instant(now));
    }

    /// When to call ``handle_silence``, if nothing comes before.
    fn silence(&self) -> Option<f64> {
        self.session.poll_silence().map(seconds)
    }

    /// When to call ``handle_timeout`` and ``transmit`` again, if nothing comes before.
    fn timeout(&self) -> Option<f64> {
        self.session.poll_timeout().map(seconds)
    }

    /// Queues a message. Raises FrameTooLong if it is longer than the server accepts.
    fn send(
        &mut self,
        py: Python<'_>,
        to: &Bound<'_, PyString>,
        msg: &Bound<'_, PyString>,
    ) -> PyResult<()> {
        let (to, msg) = (utf8("to", to)?, utf8("msg", msg)?);
        self.session.send(to, msg).map_err(|error| client_error(py, &error))
    }

    /// The bytes to write now; empty if there are none.
    fn transmit<'py>(&self, py: Python<'py>, now: f64) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.session.poll_transmit(instant(now)))
    }

    /// Takes the number of bytes of ``transmit`` that were written.
    fn transmitted(&mut self, count: usize, now: f64) {
        self.session.handle_transmitted(count, instant(now));
    }

    /// Nothing more will be sent. True if ``transmit`` says that to the server, which then closes the
    /// connection. False if the caller is to shut down its side when all is written.
    fn finish(&mut self) -> bool {
        self.session.finish()
    }

    /// The next event: its kind, and the message or the error. None if there is no event.
    fn next_event(&mut self, py: Python<'_>) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
        let Some(event) = self.session.poll_event() else { return Ok(None) };
        let (kind, message) = match event {
            SessionEvent::Registered(message) => ("registered", message),
            SessionEvent::Refused(message) => ("refused", message),
            SessionEvent::Message(message) => ("message", message),
            other => {
                let error = match other {
                    SessionEvent::Bad(error) => received_error(py, error),
                    SessionEvent::NotOpened(error) => not_opened(py, &error),
                    SessionEvent::Violated(violation) => violated(py, violation),
                    SessionEvent::Silent(after) => silent(py, after),
                    _ => return Ok(None),
                };
                return Ok(Some(("bad", error.into_value(py).into_any())));
            }
        };
        Ok(Some((kind, Message::from_owned(py, &message)?.into_any())))
    }
}

/// The crate's clock has no number: both are counted from here.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

fn instant(seconds: f64) -> Instant {
    // what is no time of a clock's is the beginning of time
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    origin().checked_add(since).unwrap_or_else(origin)
}

fn seconds(at: Instant) -> f64 {
    at.saturating_duration_since(origin()).as_secs_f64()
}
