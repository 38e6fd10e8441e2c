//! The compiled part of the Python package `chatproto`: the module `_chatproto`, a thin layer over
//! the crate. What is public of it, the package says; its types stand in `_chatproto.pyi`.

mod address;
mod argument;
mod data;
mod decoder;
mod endpoint;
mod errors;
mod message;
mod queue;
mod run;
mod server;
mod session;
mod tokens;

use pyo3::prelude::*;

/// The compiled part of chatproto.
#[pymodule]
mod _chatproto {
    use super::*;

    #[pymodule_export]
    use crate::address::{check_host, parse_url};
    #[pymodule_export]
    use crate::argument::{arguments, as_argument};
    #[pymodule_export]
    use crate::decoder::{Decoder, decode};
    #[pymodule_export]
    use crate::endpoint::Request;
    #[pymodule_export]
    use crate::message::{Message, encode};
    #[pymodule_export]
    use crate::queue::Queue;
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::session::Session;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", chatproto::VERSION)?;
        module.add("PORT", chatproto::PORT)
    }
}
