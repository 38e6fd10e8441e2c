//! `Session`: the client's side of a connection without I/O, over which the blocking and the
//! asyncio client stand. Times are seconds of Python's `time.monotonic()`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chatproto::{Limits, PeerKind, SessionEvent, UserName};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::errors::{client_error, decode_error, name_error};
use crate::message::{Message, utf8};

/// The client's side of a connection: bytes and time in, bytes and events out.
#[pyclass(module = "chatproto._chatproto")]
pub(crate) struct Session {
    session: chatproto::Session,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (name, ip = "0.0.0.0", *, max_frame = None))]
    fn new(name: &Bound<'_, PyString>, ip: &str, max_frame: Option<usize>) -> PyResult<Self> {
        let text = utf8("name", name)?;
        let name = UserName::new(text).map_err(|error| name_error(name.py(), error))?;
        let mut limits = Limits::default();
        limits.frame = max_frame.unwrap_or(limits.frame);
        Ok(Session { session: chatproto::Session::with_limits(name, ip, limits) })
    }

    /// The name that it registers.
    #[getter]
    fn name(&self) -> &str {
        self.session.name().as_str()
    }

    /// Whether the server took the name.
    #[getter]
    fn is_registered(&self) -> bool {
        self.session.is_registered()
    }

    /// How the server reads, as far as is known: "stream" or "one-read".
    #[getter]
    fn server_kind(&self) -> Option<&'static str> {
        Some(match self.session.server_kind()? {
            PeerKind::Stream => "stream",
            PeerKind::OneRead => "one-read",
        })
    }

    /// Whether something is queued that was not written.
    #[getter]
    fn has_outgoing(&self) -> bool {
        self.session.has_outgoing()
    }

    /// Bytes came from the server.
    fn receive(&mut self, data: &[u8], now: f64) {
        self.session.handle_input(data, instant(now));
    }

    /// The server will send nothing more.
    fn receive_end(&mut self) {
        self.session.handle_end();
    }

    /// Time has passed: to be called at the time that `timeout` gave.
    fn handle_timeout(&mut self, now: f64) {
        self.session.handle_timeout(instant(now));
    }

    /// When `handle_timeout` and `transmit` are to be called again, if nothing comes before.
    fn timeout(&self) -> Option<f64> {
        self.session.poll_timeout().map(seconds)
    }

    /// Queues a message.
    fn send(
        &mut self,
        py: Python<'_>,
        to: &Bound<'_, PyString>,
        msg: &Bound<'_, PyString>,
    ) -> PyResult<()> {
        let (to, msg) = (utf8("to", to)?, utf8("msg", msg)?);
        self.session.send(to, msg).map_err(|error| client_error(py, &error))
    }

    /// What may be written now; empty if nothing may.
    fn transmit<'py>(&self, py: Python<'py>, now: f64) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.session.poll_transmit(instant(now)))
    }

    /// So many bytes of what `transmit` gave were written.
    fn transmitted(&mut self, count: usize, now: f64) {
        self.session.handle_transmitted(count, instant(now));
    }

    /// The next thing that happened: its kind, and the message or the error.
    fn next_event(&mut self, py: Python<'_>) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
        let Some(event) = self.session.poll_event() else { return Ok(None) };
        let (kind, message) = match event {
            SessionEvent::Registered(message) => ("registered", message),
            SessionEvent::Refused(message) => ("refused", message),
            SessionEvent::Message(message) => ("message", message),
            SessionEvent::Bad(error) => {
                let error = decode_error(py, error).into_value(py).into_any();
                return Ok(Some(("bad", error)));
            }
            _ => return Ok(None),
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
    origin() + Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn seconds(at: Instant) -> f64 {
    at.saturating_duration_since(origin()).as_secs_f64()
}
