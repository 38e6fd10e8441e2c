//! Short strings that come again and again, such as names and addresses: each is one Python object
//! as long as it is used often, instead of a new one for every message.

use std::cell::RefCell;

use chatproto::JsonStr;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// How many strings are kept: a place is taken by the last one whose key leads there.
const PLACES: usize = 1024;

/// A token of at most 16 bytes as numbers, which say all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    length: usize,
}

/// A string that is kept, by its place.
type Place = Option<(Key, Py<PyString>)>;

thread_local! {
    static PLACES_OF_THREAD: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

/// The texts of tokens that may have come before.
pub(crate) fn shared<const N: usize>(
    py: Python<'_>,
    tokens: [JsonStr<'_>; N],
) -> [Py<PyString>; N] {
    // nothing of Python's runs in it that could come here again: what is replaced is a string
    PLACES_OF_THREAD.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        tokens.map(|token| match Key::new(token) {
            Some(key) => key.shared(py, token.raw(), places),
            None => own(py, token),
        })
    })
}

/// The text of a token that will hardly come again.
pub(crate) fn own(py: Python<'_>, token: JsonStr<'_>) -> Py<PyString> {
    PyString::new(py, &token.to_str()).unbind()
}

impl Key {
    /// `None` for a token that is longer, or escaped.
    fn new(token: JsonStr<'_>) -> Option<Self> {
        let bytes = token.raw().as_bytes();
        // the first and the last bytes, which may be the same ones
        let (first, last) = match bytes.len() {
            _ if token.is_escaped() => return None,
            8..=16 => (
                u64::from_le_bytes(*bytes.first_chunk()?),
                u64::from_le_bytes(*bytes.last_chunk()?),
            ),
            4..8 => (
                u32::from_le_bytes(*bytes.first_chunk()?).into(),
                u32::from_le_bytes(*bytes.last_chunk()?).into(),
            ),
            2..4 => (
                u16::from_le_bytes(*bytes.first_chunk()?).into(),
                u16::from_le_bytes(*bytes.last_chunk()?).into(),
            ),
            0..2 => (bytes.first().copied().unwrap_or_default().into(), 0),
            _ => return None,
        };
        Some(Key { first, last, length: bytes.len() })
    }

    fn shared(self, py: Python<'_>, text: &str, places: &mut [Place]) -> Py<PyString> {
        // an odd number near the golden ratio of 2^64 spreads what differs little (Knuth, TAOCP 6.4)
        let mixed = (self.first ^ self.last.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = &mut places[(mixed >> 32) as usize % PLACES];
        if let Some((key, object)) = place
            && *key == self
        {
            return object.clone_ref(py);
        }
        let object = PyString::new(py, text).unbind();
        *place = Some((self, object.clone_ref(py)));
        object
    }
}
