//! `Queue`: messages in order, and the bytes that they take. The clients bound what a server can have
//! them hold by these bytes.
//!
//! Each method is one call into C: `KeyboardInterrupt` cannot come between a message and its count.

use std::collections::VecDeque;

use pyo3::exceptions::PyIndexError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::message::Message;

/// What a message takes beside its strings: the object and its place in the queue.
const OVERHEAD: usize = 96;

/// Messages in order, with their size in memory. The clients queue received messages in it.
#[pyclass(module = "chatproto._chatproto")]
pub(crate) struct Queue {
    /// Each with its bytes.
    messages: VecDeque<(Py<Message>, usize)>,
    /// The sum of those.
    bytes: usize,
}

#[pymethods]
impl Queue {
    #[new]
    fn new() -> Self {
        Queue { messages: VecDeque::new(), bytes: 0 }
    }

    /// The bytes that the messages take.
    #[getter]
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends all messages of an iterator.
    fn extend(this: &Bound<'_, Self>, messages: &Bound<'_, PyAny>) -> PyResult<()> {
        for message in messages.try_iter()? {
            let message = message?.cast_into::<Message>()?;
            let bytes = bytes_of(&message)?;
            let mut queue = this.borrow_mut();
            queue.messages.push_back((message.unbind(), bytes));
            queue.bytes += bytes;
        }
        Ok(())
    }

    /// Takes the first message. Raises IndexError if there is none.
    fn popleft(&mut self) -> PyResult<Py<Message>> {
        let Some((message, bytes)) = self.messages.pop_front() else {
            return Err(PyIndexError::new_err("the queue is empty"));
        };
        self.bytes -= bytes;
        if self.messages.is_empty() {
            // the room of a burst is given back
            self.messages = VecDeque::new();
        }
        Ok(message)
    }

    /// Takes all messages.
    fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::new(py, self.messages.iter().map(|(message, _)| message))?;
        (self.messages, self.bytes) = (VecDeque::new(), 0);
        Ok(list)
    }

    fn __len__(&self) -> usize {
        self.messages.len()
    }
}

/// The bytes of a message: Python's own count of each string, which depends on its characters.
fn bytes_of(message: &Bound<'_, Message>) -> PyResult<usize> {
    let py = message.py();
    let mut bytes = OVERHEAD;
    for part in message.get().parts() {
        let size = part.bind(py).call_method0(intern!(py, "__sizeof__"))?;
        bytes += size.extract::<usize>()?;
    }
    Ok(bytes)
}
