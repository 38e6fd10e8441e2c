//! `Server`: the crate's server on its own threads. Its endpoints are in `endpoint`, its threads in
//! `run`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatproto::address::Address;
use chatproto::error::reason;
use chatproto::tls::{ServerTls, TlsError};
use chatproto::{Limits, Rate, ServerBuilder, ServerError, SlowReader};
use pyo3::exceptions::{PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::address::address;
use crate::endpoint::{self, Endpoint};
use crate::errors::{misuse, os_error, server_error};
use crate::run::{Live, Owner, Run, Running, lock};

/// A chat server on its own threads. Any thread may call its methods.
///
/// ``host`` is a name or an IP address. If a name has several addresses, the server listens on the
/// first usable one. ``port`` 0 takes any free port. ``threads`` is the number of event loops, by
/// default one a core and at most four. ``rate`` is the number of messages a second that one
/// connection may send. Above it, the server reads more slowly. ``None`` turns off this limit and
/// the limit of bytes (192 KiB a second). ``slow_reader`` is the policy for connections that do not
/// read: ``"disconnect"`` or ``"drop-oldest"``. ``admin_token`` is the token for ``/admin``. With
/// ``announce``, all users are told about users who join and leave. ``registration`` is the time
/// limit for a client's name, in seconds. ``tls_cert`` and ``tls_key`` are PEM files of a
/// certificate and its key. With them, the server also speaks TLS, on the same port. With
/// ``tls_only``, it speaks only TLS. The files are read at the start. As a context manager, the
/// server starts and stops.
///
/// The child of a fork has no server: in it, ``users()`` is empty, ``stop()`` does nothing, and
/// ``start()`` starts another server.
#[pyclass(frozen, module = "chatproto")]
pub(crate) struct Server {
    address: Address,
    options: Options,
    /// Locked only by threads that are attached to the interpreter, and never around Python code.
    endpoints: Mutex<Vec<(String, String, Py<PyAny>)>>,
    /// Locked likewise, so that no other thread holds it when the process forks.
    owner: Mutex<Owner>,
}

struct Options {
    limits: Limits,
    threads: Option<usize>,
    slow_reader: SlowReader,
    admin_token: Option<String>,
    announce: bool,
    tls: Option<TlsFiles>,
}

struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    only: bool,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(
        signature = (
            host = "127.0.0.1", port = Port(chatproto::PORT), *, threads = None, rate = Some(100),
            max_frame = None, max_connections = None, slow_reader = "disconnect",
            admin_token = None, announce = false, registration = 10.0, tls_cert = None,
            tls_key = None, tls_only = false
        ),
        text_signature = "(host='127.0.0.1', port=65432, *, threads=None, rate=100, \
            max_frame=None, max_connections=None, slow_reader='disconnect', \
            admin_token=None, announce=False, registration=10.0, tls_cert=None, tls_key=None, \
            tls_only=False)"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is an option with a name in Python")]
    fn new(
        host: &str,
        port: Port,
        threads: Option<usize>,
        rate: Option<u32>,
        max_frame: Option<usize>,
        max_connections: Option<usize>,
        slow_reader: &str,
        admin_token: Option<String>,
        announce: bool,
        registration: f64,
        tls_cert: Option<PathBuf>,
        tls_key: Option<PathBuf>,
        tls_only: bool,
    ) -> PyResult<Self> {
        let tls = match (tls_cert, tls_key) {
            (None, None) if !tls_only => None,
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, only: tls_only }),
            _ => {
                return Err(PyValueError::new_err(
                    "TLS needs both tls_cert and tls_key: PEM files of a certificate and its key",
                ));
            }
        };
        let mut limits = Limits::default();
        limits.rate =
            rate.map(|per_second| Rate { per_second, burst: per_second.saturating_mul(2) });
        // `rate=None` turns off both rate limits
        limits.rate_bytes = limits.rate.and(limits.rate_bytes);
        limits.frame = max_frame.unwrap_or(limits.frame);
        limits.connections = max_connections.unwrap_or(limits.connections);
        limits.registration = Duration::try_from_secs_f64(registration).map_err(|_| {
            PyValueError::new_err("registration is a number of seconds, such as 10.0")
        })?;
        let slow_reader = match slow_reader {
            "disconnect" => SlowReader::Disconnect,
            "drop-oldest" => SlowReader::DropOldest,
            _ => {
                return Err(PyValueError::new_err(
                    "slow_reader is \"disconnect\" or \"drop-oldest\"",
                ));
            }
        };
        let options = Options { limits, threads, slow_reader, admin_token, announce, tls };
        let address = address(host, port.0)?;
        let owner = Mutex::new(Owner::new());
        Ok(Server { address, options, endpoints: Mutex::default(), owner })
    }

    /// Registers a function as an endpoint: ``@server.endpoint("/dice", help="Rolls dice.")``.
    ///
    /// The function takes a Request and returns the text of the answer. It runs on a thread of the
    /// server. If it raises Refuse, the user receives the reason. Any other exception is logged with
    /// its traceback by the logger ``chatproto``, and the user is told that the command failed.
    ///
    /// Raises ValueError if the name is not ``/`` and 1 to 32 letters, digits, ``-`` or ``_``, or
    /// if another endpoint has it.
    #[pyo3(signature = (name, *, help = ""))]
    fn endpoint(this: Py<Self>, name: String, help: &str) -> Registration {
        Registration { server: this, name, help: help.to_owned() }
    }

    /// Starts to listen. Returns when clients can connect.
    ///
    /// Raises OSError if the address cannot be listened on, and ChatProtoError if the server is
    /// running already or its options are not valid.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let run = self.run();
        let endpoints: Vec<_> = lock(&self.endpoints)
            .iter()
            .map(|(name, help, function)| {
                let endpoint = Endpoint::new(function.clone_ref(py), &run);
                (name.clone(), help.clone(), endpoint)
            })
            .collect();
        py.detach(|| {
            let mut running = lock(&run.running);
            if running.is_some() {
                return Err(NotStarted::Running);
            }
            let started = start(self.options.builder(endpoints)?, &self.address)?;
            *lock(&run.live) = Some(started.live.clone());
            *running = Some(started);
            Ok(())
        })
        .map_err(|error| error.raise(py))
    }

    /// Sends a notice to all users, flushes for at most 5 s, and ends. Does nothing if the server
    /// is not running. It can start again.
    ///
    /// Any thread may call it, also several at once: each returns when the server has ended. Raises
    /// ChatProtoError in an endpoint of this server, which the server waits for.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let run = self.run();
        if endpoint::is_called_by(&run) {
            return Err(misuse(
                py,
                "an endpoint cannot stop its own server, which waits for its endpoints: stop it in \
                 another thread",
            ));
        }
        // endpoints that are at work need the interpreter to finish
        let ended = py.detach(|| {
            let mut running = lock(&run.running);
            let Running { live, thread } = running.take()?;
            live.handle.stop();
            let ended = thread.join();
            *lock(&run.live) = None;
            Some(ended)
        });
        match ended {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(server_error(py, &error)),
            Some(Err(_)) => Err(misuse(py, "the server's thread panicked")),
        }
    }

    /// The host and the port of the listening socket; before the start, those asked for.
    #[getter]
    fn address(&self) -> (String, u16) {
        match self.live() {
            Some(live) => (live.address.ip().to_string(), live.address.port()),
            None => (self.address.host().to_owned(), self.address.port()),
        }
    }

    /// The SHA-256 of the certificate, for the clients' ``tls_fingerprint``; None without TLS.
    #[getter]
    fn tls_fingerprint(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let Some(files) = &self.options.tls else { return Ok(None) };
        let tls = files.read().map_err(|error| error.raise(py))?;
        Ok(Some(tls.fingerprint().to_string()))
    }

    /// The names of the users who are connected, in no particular order.
    fn users(&self, py: Python<'_>) -> Vec<String> {
        let live = self.live();
        live.map_or(Vec::new(), |live| py.detach(move || live.handle.users()))
    }

    fn __enter__(this: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
        this.get().start(py)?;
        Ok(this)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.stop(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // one who holds it is about to let go of it, and the functions are in use
        let Ok(endpoints) = self.endpoints.try_lock() else { return Ok(()) };
        endpoints.iter().try_for_each(|(_, _, function)| visit.call(function))
    }

    fn __clear__(&self) {
        // dropped after the lock: it may run Python code
        let _endpoints = std::mem::take(&mut *lock(&self.endpoints));
    }
}

impl Server {
    fn run(&self) -> Arc<Run> {
        lock(&self.owner).run()
    }

    fn live(&self) -> Option<Live> {
        lock(&self.run().live).clone()
    }
}

/// A TCP port as Python has it: a number that may be any.
#[derive(Clone, Copy)]
struct Port(u16);

impl<'a, 'py> FromPyObject<'a, 'py> for Port {
    type Error = PyErr;

    fn extract(number: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        number.extract().map(Port).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(number.py()) {
                PyValueError::new_err(format!("port is a number from 0 to 65535, not {}", *number))
            } else {
                error
            }
        })
    }
}

/// What `@server.endpoint(…)` is before it has its function.
#[pyclass(frozen, module = "chatproto._chatproto")]
struct Registration {
    server: Py<Server>,
    name: String,
    help: String,
}

#[pymethods]
impl Registration {
    fn __call__(&self, py: Python<'_>, function: Py<PyAny>) -> PyResult<Py<PyAny>> {
        if !function.bind(py).is_callable() {
            return Err(PyTypeError::new_err("an endpoint is a function of the request"));
        }
        let server = self.server.get();
        if server.live().is_some() {
            return Err(misuse(py, "register endpoints before the server is started"));
        }
        let added = {
            let mut endpoints = lock(&server.endpoints);
            // whether the name can be one is said here, where it was written
            let names = endpoints.iter().map(|(name, ..)| name.as_str());
            let checked = names.chain([self.name.as_str()]).try_fold(
                chatproto::Server::builder(),
                |builder, name| {
                    builder.endpoint(name, "", |_: &chatproto::endpoint::Request| Ok(String::new()))
                },
            );
            checked.map(|_| {
                endpoints.push((self.name.clone(), self.help.clone(), function.clone_ref(py)));
            })
        };
        added.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(function)
    }
}

impl Options {
    fn builder(
        &self,
        endpoints: Vec<(String, String, Endpoint)>,
    ) -> Result<ServerBuilder, NotStarted> {
        let mut builder = chatproto::Server::builder()
            .limits(self.limits.clone())
            .slow_reader(self.slow_reader)
            .announce(self.announce);
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        if let Some(token) = &self.admin_token {
            builder = builder.admin_token(token);
        }
        for (name, help, endpoint) in endpoints {
            builder = builder.endpoint(&name, help, endpoint).map_err(NotStarted::Server)?;
        }
        if let Some(files) = &self.tls {
            let tls = files.read()?;
            builder = builder.tls(tls).tls_only(files.only);
        }
        Ok(builder)
    }
}

impl TlsFiles {
    fn read(&self) -> Result<ServerTls, NotStarted> {
        ServerTls::from_files(&self.certificate, &self.key)
            .map_err(|error| NotStarted::Tls(self.option(&error), error))
    }

    /// The options that an error is about. One file may have both, certificate and key.
    fn option(&self, error: &TlsError) -> &'static str {
        match error {
            TlsError::KeyMismatch { .. } => "tls_cert and tls_key",
            TlsError::NoKey { .. } | TlsError::EncryptedKey { .. } => "tls_key",
            error if error.file() == Some(&*self.certificate.display().to_string()) => "tls_cert",
            _ => "tls_key",
        }
    }
}

/// Why a server did not start.
enum NotStarted {
    Running,
    /// The options that name the files, and the error.
    Tls(&'static str, TlsError),
    Address(String),
    Server(ServerError),
    Thread(std::io::Error),
}

impl NotStarted {
    fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            NotStarted::Running => misuse(py, "the server is running already: stop() it first"),
            NotStarted::Tls(option, ref error @ TlsError::Read { ref source, .. }) => {
                os_error(source, format!("{option}: {error}"))
            }
            NotStarted::Tls(option, error) => misuse(py, &format!("{option}: {error}")),
            NotStarted::Address(why) => PyOSError::new_err(why),
            NotStarted::Server(error) => server_error(py, &error),
            NotStarted::Thread(error) => {
                PyOSError::new_err(format!("cannot start a thread: {}", reason(&error)))
            }
        }
    }
}

fn start(builder: ServerBuilder, address: &Address) -> Result<Running, NotStarted> {
    let addresses = address
        .resolve()
        .map_err(|unknown| NotStarted::Address(format!("cannot listen on {address}: {unknown}")))?;
    let server = builder.bind_first(&addresses).map_err(NotStarted::Server)?;
    let (address, handle) = (server.local_addr(), server.handle());
    let thread = std::thread::Builder::new()
        .name("chatproto-server".to_owned())
        .spawn(move || server.run())
        .map_err(NotStarted::Thread)?;
    Ok(Running { live: Live { address, handle }, thread })
}
