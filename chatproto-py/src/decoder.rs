//! `decode` for one frame, and `Decoder` for a stream of them.

use chatproto::{ErrorClass, Frame, Limits};
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::data::with_bytes;
use crate::errors::{decode_error, with_messages};
use crate::message::Message;

/// How many bytes may wait to be decoded when more are given: 1 MiB.
const MOST_PENDING: usize = 1 << 20;

/// The message of exactly one frame of at most 64 KiB. White space around it is ignored.
///
/// Raises DecodeError for anything else, and for two frames. ``Decoder`` is for streams.
#[pyfunction]
pub(crate) fn decode(data: &Bound<'_, PyAny>) -> PyResult<Py<Message>> {
    let py = data.py();
    with_bytes(data, |bytes| match Frame::decode(bytes) {
        Ok(frame) => Message::from_ref(py, &frame.message()),
        Err(error) => Err(decode_error(py, error)),
    })
}

/// Finds and checks the frames of one stream, however its bytes are split.
///
/// ``max_frame`` is the longest frame in bytes, by default 64 KiB. With ``strict``, keys that the
/// schema does not have are an error. Otherwise they are ignored.
#[pyclass(module = "chatproto")]
pub(crate) struct Decoder {
    decoder: chatproto::Decoder,
    /// What was fed and not looked at yet: behind an error, or for the iterator.
    pending: Vec<u8>,
    /// How much of that was looked at.
    taken: usize,
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (*, max_frame = None, strict = false))]
    fn new(max_frame: Option<usize>, strict: bool) -> Self {
        let decoder = chatproto::Decoder::new(max_frame.unwrap_or(Limits::default().frame));
        let decoder = if strict { decoder.strict() } else { decoder };
        Decoder { decoder, pending: Vec::new(), taken: 0 }
    }

    /// Takes bytes of the stream and returns the messages that are complete now.
    ///
    /// Raises DecodeError. Its ``messages`` are those that came before it in this call. If
    /// ``is_framing`` is true, every later call raises the error again. Otherwise the bytes behind
    /// the object stay pending, and the next call goes on there, also ``feed(b"")``.
    ///
    /// Raises BufferError, and takes nothing, if the pending bytes and ``data`` are more than
    /// 1 MiB. Call ``feed(b"")`` until it raises no DecodeError, then feed ``data`` again.
    fn feed<'py>(&mut self, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = data.py();
        with_bytes(data, |bytes| {
            if self.taken < self.pending.len() {
                self.check_room(bytes.len(), "feed(b\"\") until it raises no error")?;
                self.pending.extend_from_slice(bytes);
                let pending = std::mem::take(&mut self.pending);
                let taken = std::mem::take(&mut self.taken);
                return self.decode_all(py, &pending[taken..]);
            }
            self.decode_all(py, bytes)
        })
    }

    /// Takes bytes of the stream. Iterate over the decoder for the messages.
    ///
    /// Raises BufferError, and takes nothing, if the pending bytes and ``data`` are more than
    /// 1 MiB. Iterate over the decoder first.
    fn push(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(data, |bytes| {
            self.check_room(bytes.len(), "iterate over the decoder")?;
            self.pending.drain(..std::mem::take(&mut self.taken));
            self.pending.extend_from_slice(bytes);
            Ok(())
        })
    }

    /// Tells the decoder that the stream has ended. Raises DecodeError if it ended inside an
    /// object.
    fn finish(&mut self, py: Python<'_>) -> PyResult<()> {
        self.decoder.finish().map_err(|error| decode_error(py, error))
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        let mut input = &self.pending[self.taken..];
        let decoded = self.decoder.decode(&mut input);
        self.taken = self.pending.len() - input.len();
        match decoded {
            Ok(Some(frame)) => Message::from_ref(py, &frame.message()).map(Some),
            Ok(None) => {
                (self.pending, self.taken) = (Vec::new(), 0);
                Ok(None)
            }
            Err(error) => Err(decode_error(py, error)),
        }
    }
}

impl Decoder {
    /// Refuses more bytes while too many wait. One large piece is not refused: its caller holds it.
    fn check_room(&self, more: usize, advice: &str) -> PyResult<()> {
        let waiting = self.pending.len() - self.taken;
        if waiting > 0 && waiting + more > MOST_PENDING {
            return Err(PyBufferError::new_err(format!(
                "{waiting} bytes wait to be decoded, and {more} more would exceed the limit of \
                 {MOST_PENDING}: {advice}, then give these bytes again"
            )));
        }
        Ok(())
    }

    fn decode_all<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let mut input = bytes;
        let messages = PyList::empty(py);
        loop {
            match self.decoder.decode(&mut input) {
                Ok(Some(frame)) => messages.append(Message::from_ref(py, &frame.message())?)?,
                Ok(None) => return Ok(messages),
                Err(error) => {
                    if error.class() == ErrorClass::Schema {
                        self.pending = input.to_vec();
                    }
                    return Err(with_messages(decode_error(py, error), messages.into_any()));
                }
            }
        }
    }
}
