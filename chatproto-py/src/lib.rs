//! The compiled part of the Python package `chatproto`: the module `_chatproto`.

use pyo3::prelude::*;

/// Native parts of chatproto.
#[pymodule]
mod _chatproto {
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", chatproto::VERSION)
    }
}
