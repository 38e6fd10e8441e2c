//! The contract module of existing programs, which they import as `utils` (A12): the same six names.
//!
//! It is for programs that take one read for one message. Programs that read a stream use
//! [`Decoder`](crate::Decoder) or [`Client`](crate::Client).
//!
//! ```
//! use chatproto::utils;
//!
//! let line = utils::create_json_msg("alice", &utils::get_local_ip(), "bob", "hi");
//! let value = utils::decode_json_msg(line.as_bytes()).unwrap().unwrap();
//! assert_eq!(value["msg"], "hi");
//! ```

use std::net::{Ipv4Addr, UdpSocket};
use std::str::Utf8Error;

use crate::encode;

pub use crate::limits::PORT;
pub use serde_json::Value;

/// The encoding of all text.
pub const ENCODING: &str = "utf-8";

/// The IPv4 address of this machine in its network; `127.0.0.1` if it has none. Nothing is sent.
pub fn get_local_ip() -> String {
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // an address for documentation (RFC 5737): the source address is that of the default route
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), PORT))?;
        socket.local_addr()
    };
    probe().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip()).to_string()
}

/// A message as text: what Python's `json.dumps` prints, byte for byte, without a line feed (A5).
pub fn create_json_msg(sender_name: &str, sender_ip: &str, target: &str, text: &str) -> String {
    let mut message = Vec::new();
    encode::python(&mut message, sender_name, sender_ip, target, text);
    String::from_utf8(message).expect("ASCII")
}

/// The JSON value of the text, of any shape, as Python's `json.loads` reads it; `None` if the text is
/// not JSON. Of a key that stands twice, the last value counts. No limits of the protocol apply. The
/// bytes are UTF-8 without a byte order mark: text with one is not JSON.
///
/// [`Value`] cannot hold all that Python's values can. Integers above 64 bits become floating-point
/// numbers. The result is `None` for `NaN` and `Infinity` (which are no JSON), for numbers above the
/// range of `f64`, for half of a surrogate pair, and for more than 127 levels of nesting.
///
/// # Errors
/// If the bytes are not UTF-8.
pub fn decode_json_msg(data: &[u8]) -> Result<Option<Value>, Utf8Error> {
    Ok(serde_json::from_str(std::str::from_utf8(data)?).ok())
}

/// The shape of a message as text: what a server answers to `/standard` (A10).
pub fn get_standard_json() -> String {
    create_json_msg("string", "string", "string", "string")
}
