//! `chat`, the client: in scripts, in a terminal, after a lost connection, and with hostile servers. The
//! clients that the README prints are here too. The tests start the real program.

mod chat;
mod chat_floods;
#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
#[path = "../common/flood.rs"]
mod flood;
mod readme;
mod reconnect;
mod secrecy;
mod terminal;
