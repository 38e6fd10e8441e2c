//! `Message`: four strings that never change, and its encoding.

use std::cell::RefCell;

use chatproto::MessageRef;
use chatproto::name::SERVER;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple, PyType};

use crate::errors::shape_error;
use crate::tokens;

/// A message: a sender, a recipient and a text. It is immutable.
///
/// ``sender`` is ``from.name`` of the wire, and ``ip`` is ``from.ip``. A server replaces both by
/// the sender's registered name and the address that it sees.
#[pyclass(frozen, module = "chatproto")]
pub(crate) struct Message {
    /// The sender's name.
    #[pyo3(get)]
    sender: Py<PyString>,
    /// A user, a room such as ``#tea``, a command such as ``/list``, or ``Everyone``.
    #[pyo3(get)]
    to: Py<PyString>,
    /// The text.
    #[pyo3(get)]
    msg: Py<PyString>,
    /// The sender's address. Default: ``0.0.0.0``.
    #[pyo3(get)]
    ip: Py<PyString>,
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (sender, to, msg, ip = None))]
    fn new(
        sender: Bound<'_, PyString>,
        to: Bound<'_, PyString>,
        msg: Bound<'_, PyString>,
        ip: Option<Bound<'_, PyString>>,
    ) -> Self {
        let ip = ip.unwrap_or_else(|| PyString::intern(sender.py(), "0.0.0.0"));
        Message { sender: sender.unbind(), to: to.unbind(), msg: msg.unbind(), ip: ip.unbind() }
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str, &'static str) {
        ("sender", "to", "msg", "ip")
    }

    /// Whether the server itself wrote the message.
    #[getter]
    fn is_from_server(&self, py: Python<'_>) -> bool {
        self.sender.bind(py) == SERVER
    }

    /// The message as a dictionary of the wire's shape,
    /// ``{"from": {"name", "ip"}, "to", "msg"}``.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let from = PyDict::new(py);
        from.set_item("name", &self.sender)?;
        from.set_item("ip", &self.ip)?;
        let dict = PyDict::new(py);
        dict.set_item("from", from)?;
        dict.set_item("to", &self.to)?;
        dict.set_item("msg", &self.msg)?;
        Ok(dict)
    }

    /// The message of a dictionary of the wire's shape. Other keys are ignored.
    ///
    /// Raises DecodeError, with the field, for any other shape.
    #[classmethod]
    fn from_dict(_: &Bound<'_, PyType>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let whole = dict(data, "", "a message")?;
        let from = dict(&item(&whole, "from", "from")?, "from", "`from`")?;
        Ok(Message {
            sender: text(&from, "name", "from.name")?,
            ip: text(&from, "ip", "from.ip")?,
            to: text(&whole, "to", "to")?,
            msg: text(&whole, "msg", "msg")?,
        })
    }

    fn __eq__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Message>() else {
            return Ok(py.NotImplemented().into_bound(py));
        };
        let one = PyTuple::new(py, self.parts())?;
        one.rich_compare(PyTuple::new(py, other.get().parts())?, CompareOp::Eq)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyTuple::new(py, self.parts())?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let [sender, to, msg, ip] = self.parts();
        let shown = |text: &Py<PyString>| text.bind(py).repr().map(|text| text.to_string());
        Ok(format!(
            "Message(sender={}, to={}, msg={}, ip={})",
            shown(sender)?,
            shown(to)?,
            shown(msg)?,
            shown(ip)?
        ))
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.parts())
    }
}

impl Message {
    pub(crate) fn parts(&self) -> [&Py<PyString>; 4] {
        [&self.sender, &self.to, &self.msg, &self.ip]
    }

    pub(crate) fn from_ref(py: Python<'_>, message: &MessageRef<'_>) -> PyResult<Py<Self>> {
        let [sender, ip, to] = tokens::shared(py, [message.name, message.ip, message.to]);
        Py::new(py, Message { sender, to, msg: tokens::own(py, message.msg), ip })
    }

    pub(crate) fn from_owned(py: Python<'_>, message: &chatproto::Message) -> PyResult<Py<Self>> {
        let text = |text: &str| PyString::new(py, text).unbind();
        let message = Message {
            sender: text(&message.from.name),
            to: text(&message.to),
            msg: text(&message.msg),
            ip: text(&message.from.ip),
        };
        Py::new(py, message)
    }
}

fn dict<'py>(value: &Bound<'py, PyAny>, field: &str, what: &str) -> PyResult<Bound<'py, PyDict>> {
    value.cast::<PyDict>().cloned().map_err(|_| {
        shape_error(value.py(), field, "wrong-type", &format!("{what} must be a dictionary"))
    })
}

fn item<'py>(dict: &Bound<'py, PyDict>, key: &str, field: &str) -> PyResult<Bound<'py, PyAny>> {
    dict.get_item(key)?.ok_or_else(|| {
        shape_error(dict.py(), field, "missing-key", &format!("the key `{field}` is missing"))
    })
}

fn text(dict: &Bound<'_, PyDict>, key: &str, field: &str) -> PyResult<Py<PyString>> {
    let value = item(dict, key, field)?;
    value.cast_into::<PyString>().map(Bound::unbind).map_err(|_| {
        shape_error(dict.py(), field, "wrong-type", &format!("`{field}` must be a string"))
    })
}

/// The message as bytes of the wire: one line of compact JSON in UTF-8, with LF at the end.
///
/// Raises ValueError if a string has half of a surrogate pair.
#[pyfunction]
pub(crate) fn encode<'py>(message: &Bound<'py, Message>) -> PyResult<Bound<'py, PyBytes>> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let (py, Message { sender, to, msg, ip }) = (message.py(), message.get());
    let sender = utf8("sender", sender.bind(py))?;
    let ip = utf8("ip", ip.bind(py))?;
    let to = utf8("to", to.bind(py))?;
    let msg = utf8("msg", msg.bind(py))?;
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        chatproto::encode::compact(buffer, sender, ip, to, msg);
        buffer.push(b'\n');
        let bytes = PyBytes::new(py, buffer);
        if buffer.capacity() > LARGEST_KEPT {
            *buffer = Vec::new();
        }
        Ok(bytes)
    })
}

/// The text as UTF-8, which it can be unless it holds half of a surrogate pair.
pub(crate) fn utf8<'t>(field: &str, text: &'t Bound<'_, PyString>) -> PyResult<&'t str> {
    text.to_str().map_err(|_| {
        PyValueError::new_err(format!(
            "{field} holds half of a surrogate pair, which no message can carry: replace it, for \
             example with text.encode(\"utf-8\", \"replace\").decode()"
        ))
    })
}

/// A buffer that has grown larger is given back.
const LARGEST_KEPT: usize = 1 << 20;
