//! `serve`, the server process: its options, its addresses, its log, its reload and its end. The tests
//! start the real program. (Its data is tested in `data`.)

mod audit;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod encodings;
mod exits;
mod failures;
mod haproxy;
mod listen;
mod moderation;
mod proxy;
mod reload;
mod serve;
mod tls;
mod unread;
