//! `Server`: the crate's server on threads of its own, with endpoints written in Python.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use chatproto::tls::{ServerTls, TlsError};
use chatproto::{Handler, Limits, Rate, ServerBuilder, ServerError, ServerHandle, SlowReader};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::argument;
use crate::errors::{misuse, refusal, refuse, server_error};

/// A command that a user sent to an endpoint written in Python.
#[pyclass(frozen, get_all, module = "chatproto")]
pub(crate) struct Request {
    /// The user who sent it.
    user: String,
    /// The endpoint's name, such as `/dice`.
    endpoint: String,
    /// The text, without a leading endpoint's name.
    msg: String,
}

#[pymethods]
impl Request {
    /// The text as arguments. White space separates them; an argument with white space is in double quotes,
    /// inside which "" stands for one. Raises Refuse if the quotes are wrong.
    #[getter]
    fn arguments(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        argument::read(&self.msg).map_err(|error| refuse(py, error))
    }

    fn __repr__(&self) -> String {
        let Request { user, endpoint, msg, .. } = self;
        format!("Request(user={user:?}, endpoint={endpoint:?}, msg={msg:?})")
    }
}

/// A chat server.
#[pyclass(module = "chatproto")]
pub(crate) struct Server {
    address: (String, u16),
    options: Options,
    endpoints: Vec<(String, String, Py<PyAny>)>,
    running: Option<Running>,
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

struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<Result<(), ServerError>>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(
        signature = (
            host = "127.0.0.1", port = chatproto::PORT, *, threads = None, rate = Some(100),
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
        port: u16,
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
        let address = (host.to_owned(), port);
        Ok(Server { address, options, endpoints: Vec::new(), running: None })
    }

    /// Registers an endpoint: `@server.endpoint("/dice", help="Rolls dice.")`.
    #[pyo3(signature = (name, *, help = ""))]
    fn endpoint(this: Py<Self>, name: String, help: &str) -> Registration {
        Registration { server: this, name, help: help.to_owned() }
    }

    /// Begins to listen and serve; returns when clients can connect.
    fn start(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.running.is_some() {
            return Err(misuse(py, "the server is running already: stop() it first"));
        }
        let mut builder = self.options.builder();
        for (name, help, function) in &self.endpoints {
            let endpoint = Endpoint { function: function.clone_ref(py) };
            builder = builder
                .endpoint(name, help.as_str(), endpoint)
                .map_err(|error| server_error(py, &error))?;
        }
        if let Some(files) = &self.options.tls {
            let tls = files.read(py)?;
            builder = builder.tls(tls).tls_only(files.only);
        }
        let address = self.address.clone();
        self.running =
            Some(py.detach(|| start(builder, &address)).map_err(|error| error.raise(py))?);
        Ok(())
    }

    /// Says goodbye to everybody, flushes for at most 5 s, and ends. Does nothing if it is not
    /// running.
    fn stop(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some(Running { handle, thread, .. }) = self.running.take() else { return Ok(()) };
        // endpoints that are at work need the interpreter to finish
        let ended = py.detach(move || {
            handle.stop();
            thread.join()
        });
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(server_error(py, &error)),
            Err(_) => Err(misuse(py, "the server's thread panicked")),
        }
    }

    /// The host and the port on which it listens.
    #[getter]
    fn address(&self) -> (String, u16) {
        match &self.running {
            Some(running) => (running.address.ip().to_string(), running.address.port()),
            None => self.address.clone(),
        }
    }

    /// The SHA-256 of the certificate, for clients to trust; None without TLS.
    #[getter]
    fn tls_fingerprint(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let files = self.options.tls.as_ref();
        files.map(|files| Ok(files.read(py)?.fingerprint().to_string())).transpose()
    }

    /// The names of the users who are connected, in no particular order.
    fn users(&self, py: Python<'_>) -> Vec<String> {
        let handle = self.running.as_ref().map(|running| running.handle.clone());
        handle.map_or(Vec::new(), |handle| py.detach(move || handle.users()))
    }

    fn __enter__(this: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
        this.borrow_mut(py).start(py)?;
        Ok(this)
    }

    fn __exit__(
        &mut self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.stop(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.endpoints.iter().try_for_each(|(_, _, function)| visit.call(function))
    }

    fn __clear__(&mut self) {
        self.endpoints.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.handle.stop();
        }
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
        let mut server = self.server.bind(py).borrow_mut();
        if server.running.is_some() {
            return Err(misuse(py, "register endpoints before the server is started"));
        }
        // whether the name can be one is said here, where it was written
        let builder = server.endpoints.iter().try_fold(
            chatproto::Server::builder(),
            |builder, (name, ..)| {
                builder.endpoint(name, "", |_: &chatproto::Request| Ok(String::new()))
            },
        );
        builder
            .and_then(|builder| {
                builder.endpoint(&self.name, "", |_: &chatproto::Request| Ok(String::new()))
            })
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        server.endpoints.push((self.name.clone(), self.help.clone(), function.clone_ref(py)));
        Ok(function)
    }
}

impl Options {
    fn builder(&self) -> ServerBuilder {
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
        builder
    }
}

impl TlsFiles {
    fn read(&self, py: Python<'_>) -> PyResult<ServerTls> {
        match ServerTls::from_files(&self.certificate, &self.key) {
            Ok(tls) => Ok(tls),
            Err(error @ TlsError::Read { .. }) => Err(PyOSError::new_err(error.to_string())),
            Err(error) => Err(misuse(py, &error.to_string())),
        }
    }
}

/// Why a server did not start.
enum NotStarted {
    Address(String),
    Server(ServerError),
    Thread(std::io::Error),
}

impl NotStarted {
    fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            NotStarted::Address(why) => PyOSError::new_err(why),
            NotStarted::Server(error) => server_error(py, &error),
            NotStarted::Thread(error) => {
                PyOSError::new_err(format!("cannot start a thread: {error}"))
            }
        }
    }
}

fn start(builder: ServerBuilder, (host, port): &(String, u16)) -> Result<Running, NotStarted> {
    let resolved = (host.as_str(), *port).to_socket_addrs().ok().and_then(|mut all| all.next());
    let address = resolved.ok_or_else(|| {
        NotStarted::Address(format!("cannot listen on {host}: there is no such host"))
    })?;
    let server = builder.bind(address).map_err(NotStarted::Server)?;
    let (address, handle) = (server.local_addr(), server.handle());
    let thread = std::thread::Builder::new()
        .name("chatproto-server".to_owned())
        .spawn(move || server.run())
        .map_err(NotStarted::Thread)?;
    Ok(Running { address, handle, thread })
}

/// An endpoint written in Python.
struct Endpoint {
    function: Py<PyAny>,
}

impl Handler for Endpoint {
    fn handle(&self, request: &chatproto::Request) -> Result<String, String> {
        let failed = || "The command failed. Try again later.".to_owned();
        // there is no interpreter any more if the program ends without stopping its server
        let answer = Python::try_attach(|py| {
            self.call(py, request).map_err(|error| {
                refusal(py, &error).unwrap_or_else(|| {
                    log(py, &request.endpoint, &error);
                    failed()
                })
            })
        });
        answer.unwrap_or_else(|| Err(failed()))
    }
}

impl Endpoint {
    fn call(&self, py: Python<'_>, request: &chatproto::Request) -> PyResult<String> {
        let request = Request {
            user: request.user.to_string(),
            endpoint: request.endpoint.to_string(),
            msg: request.msg.clone(),
        };
        let answer = self.function.bind(py).call1((request,))?;
        match answer.cast::<PyString>() {
            Ok(text) => text.to_str().map(str::to_owned),
            Err(_) => {
                let kind = answer.get_type().name()?;
                Err(PyTypeError::new_err(format!("an endpoint answers with a str, not {kind}")))
            }
        }
    }
}

/// Writes down that an endpoint failed, with the traceback.
fn log(py: Python<'_>, endpoint: &str, error: &PyErr) {
    let write = || {
        let logger = py.import("logging")?.call_method1("getLogger", ("chatproto",))?;
        let options = PyDict::new(py);
        options.set_item("exc_info", error.value(py))?;
        logger.call_method("error", ("the endpoint %s failed", endpoint), Some(&options))
    };
    if let Err(unwritten) = write() {
        unwritten.write_unraisable(py, None);
    }
}
