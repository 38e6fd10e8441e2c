//! From the crate's errors to the exceptions of `chatproto.exceptions`.

use std::time::Duration;

use chatproto::websocket::{OpeningError, Violation};
use chatproto::{ClientError, DecodeErrorKind, ErrorClass, Field, NameError};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

const MODULE: &str = "chatproto.exceptions";

/// An exception for bytes, or an object, that are not a message.
pub(crate) fn decode_error(py: Python<'_>, error: chatproto::DecodeError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let is_framing = error.class() == ErrorClass::Framing;
    let arguments = (
        error.to_string(),
        error.offset(),
        error.field().map(Field::path),
        error.kind().as_str(),
        is_framing,
    );
    raise(py, &CLASS, "DecodeError", arguments)
}

/// An exception for bytes of a server that are not a message: it names the limit of the client.
pub(crate) fn received_error(py: Python<'_>, error: chatproto::DecodeError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let DecodeErrorKind::TooLong(_) = error.kind() else { return decode_error(py, error) };
    let (offset, kind) = (error.offset(), error.kind().as_str());
    let reason = ClientError::from(error).to_string();
    raise(py, &CLASS, "DecodeError", (reason, offset, None::<&str>, kind, true))
}

/// An exception for a server that did not answer a `/ping` in time.
pub(crate) fn silent(py: Python<'_>, after: Duration) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let reason = format!(
        "the connection was lost (the server did not answer /ping within {} s): make a new Client",
        after.as_secs_f64()
    );
    raise(py, &CLASS, "ConnectionClosed", (reason,))
}

/// An exception for a server that did not open the WebSocket. It has the status of HTTP, if there was one.
pub(crate) fn not_opened(py: Python<'_>, error: &OpeningError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let status = match error {
        OpeningError::Refused { status, .. } => Some(*status),
        _ => None,
    };
    raise(py, &CLASS, "WebSocketError", (error.to_string(), status))
}

/// An exception for a server that violated the rules of WebSocket.
pub(crate) fn violated(py: Python<'_>, violation: Violation) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let reason = ClientError::from(violation).to_string();
    raise(py, &CLASS, "WebSocketError", (format!("{reason}: tell the server's operator"),))
}

/// An exception for a dictionary that is not a message; `field` may be empty.
pub(crate) fn shape_error(py: Python<'_>, field: &str, kind: &str, reason: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let field = Some(field).filter(|field| !field.is_empty());
    raise(py, &CLASS, "DecodeError", (reason, 0, field, kind, false))
}

/// An exception for a name that no server would take.
pub(crate) fn name_error(py: Python<'_>, error: NameError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "NameRefused", (format!("{error}: choose another name"),))
}

/// An exception for what a client could not send.
pub(crate) fn client_error(py: Python<'_>, error: &ClientError) -> PyErr {
    static TOO_LONG: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static OTHER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match error {
        ClientError::FrameTooLong { length, limit, .. } => {
            raise(py, &TOO_LONG, "FrameTooLong", (error.to_string(), *length, *limit))
        }
        error => raise(py, &OTHER, "ChatProtoError", (error.to_string(),)),
    }
}

/// An exception with which an endpoint refuses arguments.
pub(crate) fn refuse(py: Python<'_>, error: chatproto::endpoint::ArgumentError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "Refuse", (format!("{error}."),))
}

/// An exception for a server that was not used as it can be.
pub(crate) fn misuse(py: Python<'_>, reason: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "ChatProtoError", (reason,))
}

/// An exception for a server that cannot start, or stopped.
pub(crate) fn server_error(py: Python<'_>, error: &chatproto::ServerError) -> PyErr {
    match error {
        chatproto::ServerError::Listen { source, .. } => {
            let advice = match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    " (is another server running? choose another port)"
                }
                std::io::ErrorKind::PermissionDenied => " (choose a port above 1023)",
                _ => "",
            };
            os_error(source, format!("{error}{advice}"))
        }
        error => misuse(py, &error.to_string()),
    }
}

/// An OSError with a sentence of its own. Python makes the subclass of the number.
pub(crate) fn os_error(source: &std::io::Error, text: String) -> PyErr {
    match source.raw_os_error() {
        Some(number) => PyOSError::new_err((number, text)),
        None => PyOSError::new_err(text),
    }
}

/// Whether an exception is the one with which an endpoint refuses; then its text.
pub(crate) fn refusal(py: Python<'_>, error: &PyErr) -> Option<String> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, MODULE, "Refuse").ok()?;
    error.is_instance(py, class).then(|| error.value(py).to_string())
}

/// Attaches the messages that came before an error to it.
pub(crate) fn with_messages(error: PyErr, messages: Bound<'_, PyAny>) -> PyErr {
    let py = messages.py();
    match error.value(py).setattr("messages", messages) {
        Ok(()) => error,
        Err(failed) => failed,
    }
}

fn raise<'py>(
    py: Python<'py>,
    cell: &PyOnceLock<Py<PyType>>,
    name: &str,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyErr {
    let made = || {
        let arguments = arguments.into_pyobject(py)?;
        cell.import(py, MODULE, name)?.call(arguments, None::<&Bound<'py, PyDict>>)
    };
    made().map_or_else(|failed| failed, PyErr::from_value)
}
