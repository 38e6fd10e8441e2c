//! What the fuzz targets assert. A hook takes the bytes that the fuzzer gives, and panics if
//! something that must always hold does not. The targets are one line each, so that the tests of
//! this crate can call the same hooks without a fuzzer.
//!
//! | target | what it compares |
//! |---|---|
//! | [`decode_differential`] | the decoder with the `oracle`, a second reading made of `serde_json` |
//! | [`decode_splits`] | the decoder with itself, the bytes split otherwise |
//! | [`round_trip`] | what is encoded with what it is decoded to, and with `serde_json` |
//! | [`handshake`] | registration with the table of rule B2 |
//! | [`hub_operations`] | the hub with the model of its own tests |
//! | [`hub_commands`] | the hub with what must be so whatever it is told |
//! | [`hub_accounts`] | the same where names have owners |
//! | [`session`] | the client's side with the `oracle`, and with the pace of rule B2 |
//! | [`websocket_frames`] | the frames of WebSocket with `tungstenite` |
//! | [`websocket_client`] | the client's side of a WebSocket with itself, the bytes split otherwise |
//! | [`c_abi`] | the C interface with the Rust one, with guards around every buffer |

mod c;
mod commands;
mod decode;
mod handshake;
mod oracle;
pub mod seeds;
mod session;
mod stream;
#[cfg(fuzzing)]
mod websocket;
#[cfg(fuzzing)]
mod websocket_client;

pub use c::c_abi;
#[cfg(fuzzing)]
pub use chatproto::fuzzing::hub_operations;
pub use commands::{hub_accounts, hub_commands};
pub use decode::{decode_differential, decode_splits, round_trip};
pub use handshake::handshake;
pub use session::session;
#[cfg(fuzzing)]
pub use websocket::websocket_frames;
#[cfg(fuzzing)]
pub use websocket_client::websocket_client;

#[cfg(not(fuzzing))]
compile_error!(
    "the hub's hook is behind `cfg(fuzzing)`: use `cargo fuzz`, or RUSTFLAGS='--cfg fuzzing'"
);

/// What a target does with an input.
pub type Hook = fn(&[u8]);

/// The targets by their names.
pub const TARGETS: [(&str, Hook); 11] = [
    ("decode_differential", decode_differential),
    ("decode_splits", decode_splits),
    ("round_trip", round_trip),
    ("handshake", handshake),
    ("hub_operations", hub_operations),
    ("hub_commands", hub_commands),
    ("hub_accounts", hub_accounts),
    ("session", session),
    ("websocket_frames", websocket_frames),
    ("websocket_client", websocket_client),
    ("c_abi", c_abi),
];
