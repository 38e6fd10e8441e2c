//! What counts as data: `bytes`, `bytearray`, `memoryview` and the like, and `str`.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Hands the bytes of `data` to `work`. Those that could change meanwhile are copied.
pub(crate) fn with_bytes<T>(
    data: &Bound<'_, PyAny>,
    work: impl FnOnce(&[u8]) -> PyResult<T>,
) -> PyResult<T> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return work(bytes.as_bytes());
    }
    if let Ok(text) = data.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => work(text.as_bytes()),
            // half of a surrogate pair: as bytes, what UTF-8 does not allow
            Err(_) => {
                let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
                work(bytes.cast::<PyBytes>()?.as_bytes())
            }
        };
    }
    let wrong_type = |_| {
        let name = data.get_type().name().map_or("?".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("data must be bytes-like or str, not {name}"))
    };
    let buffer = PyBuffer::<u8>::get(data).map_err(wrong_type)?;
    work(&buffer.to_vec(data.py())?)
}
