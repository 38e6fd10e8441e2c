//! **chatproto** is a chat protocol that programs in any language share. One immutable JSON
//! message, back to back over TCP:
//!
//! ```json
//! {"from":{"name":"alice","ip":"192.0.2.7"},"to":"bob","msg":"hello"}
//! ```
//!
//! A client sends its user name, then messages. `to` names a user, a room, such as `#tea`, or a
//! command to the server, such as `/list`, `/shout`, `/join` or `/help`. User names are unique. The whole contract is
//! `PROTOCOL.md` beside this crate's sources; its rules are cited here by their numbers, such as A3
//! or B9.
//!
//! # A client
//!
//! ```no_run
//! # fn main() -> Result<(), chatproto::ClientError> {
//! let mut client = chatproto::Client::connect("127.0.0.1:65432", "alice")?;
//! client.send("bob", "hello")?;
//! println!("{}", client.recv()?.msg);
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//!
//! ```no_run
//! # fn main() -> Result<(), chatproto::ServerError> {
//! chatproto::Server::builder().bind(([127, 0, 0, 1], chatproto::PORT))?.run()
//! # }
//! ```
//!
//! # What is inside
//!
//! ```text
//! bytes in ─► Decoder ─► MessageRef ─► Hub ─► Output ─► outbox ─► bytes out
//!             frames and   borrowed,    who is who,  encoded once,
//!             schema       validated    who gets what  shared, counted
//! ───────────── above: no I/O, deterministic, testable byte by byte ─────────────
//! ───────────── below: sockets, threads, clocks ─────────────────────────────────
//!             event loops (mio) ─► Server        Session ─► Client
//!                   │                  brought by the application, if at all:
//!                   ├─ Effect ────────► Directory, Handler, Accounts  ┐
//!                   ├─ records, Effect ► Inbox ─► History             ├─► Completion ─► Hub
//!                   ├─ Event ─────────► Observer                      ┘
//!                   └─ Change ────────► ChangeReceiver
//! ```
//!
//! The application owns names and stores what is said. The hub knows the rules and asks by an
//! [`Effect`](hub::Effect). An [`Accounts`](accounts::Accounts) or a [`History`](history::History) answers
//! later with a [`Completion`](hub::Completion). The connection's next message waits for it.
//!
//! Everything above the line is public and needs no socket. A program with an event loop or a transport of
//! its own embeds [`ServerConnection`] and [`Hub`](hub::Hub) for the server's side, and [`Session`] for the
//! client's. [`Decoder`] and [`Handshake`](handshake::Handshake) are their parts. The blocking [`Server`] and
//! [`Client`] put sockets under them. No async runtime is involved.
//!
//! The root of the crate has clients, servers, messages, the decoder, the session, names, limits and errors.
//! Everything else is in its module:
//!
//! | module | contents |
//! |---|---|
//! | [`limits`] | every bound and its default |
//! | [`error`] | errors, by whose fault |
//! | [`name`] | names of users and rooms: to construct is to validate |
//! | [`message`] | [`Message`] (owned) and [`MessageRef`] (borrowed) |
//! | [`decode`] | [`Decoder`]: frames and schema in one strict, incremental pass |
//! | [`encode`] | the compact form and that of Python's `json.dumps` |
//! | [`handshake`] | registration, stream and one-read peers, strangers |
//! | [`connection`] | [`ServerConnection`]: the server's side of one connection |
//! | [`endpoint`] | endpoints of the application's own |
//! | [`hub`] | [`Hub`](hub::Hub): users, rooms, routing, moderation, the endpoints |
//! | [`accounts`] | [`Accounts`](accounts::Accounts): names with an owner and a password, stored by the application |
//! | [`directory`] | [`Directory`](directory::Directory): names beyond one server, decided by the application |
//! | [`history`] | [`History`](history::History) and its inbox: messages, stored by the application |
//! | [`changes`] | the ordered stream of changes of users, rooms and sanctions |
//! | [`pairs`] | lines of the server for programs: quoting, and strict reading |
//! | [`session`] | [`Session`]: the client's side |
//! | [`server`], [`client`] | the blocking API |
//! | [`metrics`] | [`Metrics`](metrics::Metrics): counters of a running server |
//! | [`address`], [`network`] | hosts, ports and networks as people write them |
//! | [`proxy`] | the PROXY header of load balancers |
//! | [`websocket`] | the rules of WebSocket framing; the client's side of its handshake and its frames |
//! | `tls` | TLS for both, with the feature `tls` |
//! | [`utils`] | the six names of the contract module that existing programs import |
//!
//! # Features
//!
//! | feature | default | contents |
//! |---|---|---|
//! | `client` | yes | [`Session`] and [`Client`] |
//! | `server` | yes | [`Hub`](hub::Hub), [`ServerConnection`] and [`Server`], with the event loops |
//! | `serde` | yes | `serde` for messages, names and options; [`utils`] |
//! | `confusables` | yes | names that look alike by UTS 39: a table of 350 KB |
//! | `tls` | no | TLS for both sides, by `rustls`; implies `client` and `server` |
//!
//! Without any feature, the decoder, the encoder, names and messages remain, without an event loop.

#![forbid(unsafe_code)]
// some parts of shared files serve only the client or only the server
#![cfg_attr(not(all(feature = "client", feature = "server")), allow(dead_code, unreachable_pub))]

#[cfg(feature = "server")]
pub mod accounts;
pub mod address;
mod argument;
#[cfg(feature = "server")]
pub mod changes;
#[cfg(feature = "server")]
mod chunk;
#[cfg(all(test, feature = "server"))]
mod chunk_tests;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod connection;
#[cfg(feature = "server")]
mod counts;
pub mod decode;
#[cfg(feature = "server")]
pub mod directory;
pub mod encode;
#[cfg(feature = "server")]
pub mod endpoint;
pub mod error;
#[cfg(feature = "server")]
mod extension;
pub mod handshake;
#[cfg(feature = "server")]
pub mod history;
#[cfg(feature = "server")]
mod host;
#[cfg(feature = "server")]
pub mod hub;
#[cfg(all(any(test, fuzzing), feature = "server"))]
mod hub_model_tests;
#[cfg(any(feature = "client", feature = "server"))]
mod keep_alive;
pub mod limits;
pub mod message;
#[cfg(feature = "server")]
pub mod metrics;
pub mod name;
#[cfg(feature = "server")]
pub mod network;
#[cfg(feature = "server")]
mod outbox;
pub mod pairs;
pub mod proxy;
#[cfg(feature = "server")]
mod reactor;
mod reason;
#[cfg(feature = "server")]
mod reply;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "client")]
pub mod session;
#[cfg(all(test, feature = "client"))]
mod session_tests;
#[cfg(feature = "server")]
mod spare;
#[cfg(feature = "server")]
mod sync;
#[cfg(test)]
mod test_depth;
mod text;
#[cfg(feature = "serde")]
mod text_serde;
#[cfg(test)]
mod time_limit;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "serde")]
pub mod utils;
#[cfg(any(feature = "client", feature = "server"))]
pub mod websocket;
mod words;
#[cfg(feature = "server")]
mod workers;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, ClientReceiver, ClientSender, ServerAddress};
#[cfg(feature = "server")]
pub use connection::ServerConnection;
pub use decode::{DecodeError, DecodeErrorKind, Decoder, ErrorClass, Field, Frame};
pub use limits::{Limits, PORT, Rate};
pub use message::{JsonStr, Message, MessageRef, Sender};
pub use name::{NameError, RoomName, UserName};
#[cfg(feature = "server")]
pub use outbox::SlowReader;
#[cfg(feature = "server")]
pub use server::{Server, ServerBuilder, ServerError, ServerHandle};
#[cfg(feature = "client")]
pub use session::{ClientError, Session, SessionEvent};
pub use words::UnknownWord;

/// What the fuzz targets need and nobody else can use.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    /// The hub against its model, in a life that the bytes decide.
    pub fn hub_operations(input: &[u8]) {
        crate::hub_model_tests::bytes::hub_operations(input);
    }

    #[cfg(feature = "client")]
    pub use crate::session::websocket_memory;
    pub use crate::websocket::fuzzing::{Unframed, unframe};
}

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
