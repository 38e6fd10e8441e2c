//! The one grammar of arguments: what stands in the `msg` of a command.

use chatproto::endpoint::{ArgumentError, Arguments};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Reads a text as arguments.
///
/// White space separates them. An argument with white space is in double quotes, inside which
/// ``""`` stands for one. Raises ValueError if a quote is not closed or text follows a closing
/// quote.
#[pyfunction]
pub(crate) fn arguments(text: &str) -> PyResult<Vec<String>> {
    read(text).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Writes a name as one argument of a command.
///
/// It is in double quotes if it is empty or has white space or a double quote, which is doubled.
#[pyfunction]
pub(crate) fn as_argument(name: &str) -> String {
    chatproto::endpoint::as_argument(name).into_owned()
}

pub(crate) fn read(text: &str) -> Result<Vec<String>, ArgumentError> {
    Arguments::new(text).map(|argument| Ok(argument?.to_string())).collect()
}
