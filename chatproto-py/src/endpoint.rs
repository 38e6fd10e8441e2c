//! Endpoints written in Python: a call of the function for each request, on a thread of the server.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use chatproto::endpoint::Handler;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::argument;
use crate::errors::{refusal, refuse};
use crate::run::Run;

/// A command that a user sent to an endpoint.
#[pyclass(frozen, get_all, module = "chatproto")]
pub(crate) struct Request {
    /// The user who sent it.
    user: String,
    /// The endpoint's name, such as ``/dice``.
    endpoint: String,
    /// The text, without a leading endpoint's name.
    msg: String,
}

#[pymethods]
impl Request {
    /// The text as arguments.
    ///
    /// White space separates them. An argument with white space is in double quotes, inside which
    /// ``""`` stands for one. Raises Refuse if the quotes are wrong.
    #[getter]
    fn arguments(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        argument::read(&self.msg).map_err(|error| refuse(py, error))
    }

    fn __repr__(&self) -> String {
        let Request { user, endpoint, msg, .. } = self;
        format!("Request(user={user:?}, endpoint={endpoint:?}, msg={msg:?})")
    }
}

thread_local! {
    /// The server that runs its endpoints on this thread.
    static CALLED_BY: RefCell<Weak<Run>> = const { RefCell::new(Weak::new()) };
}

/// Whether this thread runs endpoints of that server.
pub(crate) fn is_called_by(run: &Arc<Run>) -> bool {
    CALLED_BY.with_borrow(|caller| caller.ptr_eq(&Arc::downgrade(run)))
}

/// An endpoint written in Python.
pub(crate) struct Endpoint {
    function: Py<PyAny>,
    run: Weak<Run>,
}

impl Handler for Endpoint {
    fn handle(&self, request: &chatproto::endpoint::Request) -> Result<String, String> {
        CALLED_BY.set(Weak::clone(&self.run));
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
    pub(crate) fn new(function: Py<PyAny>, run: &Arc<Run>) -> Self {
        Endpoint { function, run: Arc::downgrade(run) }
    }

    fn call(&self, py: Python<'_>, request: &chatproto::endpoint::Request) -> PyResult<String> {
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
        // before Python 3.12, the value alone has no traceback
        options.set_item("exc_info", error.clone_ref(py).into_value(py))?;
        logger.call_method("error", ("the endpoint %s failed", endpoint), Some(&options))
    };
    if let Err(unwritten) = write() {
        unwritten.write_unraisable(py, None);
    }
}
