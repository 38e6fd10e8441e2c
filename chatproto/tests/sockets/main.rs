//! Servers and clients over real sockets, on port 0 of loopback: one module for each subject. The
//! tests run at the same time in one process. A test that measures or changes state of the whole
//! process (heap, environment, panic hook) does not belong here. It is a program of its own beside
//! this folder, or it starts a process as `faults` does.

mod accounts;
mod adopt;
mod changes;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod directory;
mod endings;
mod faults;
mod history;
mod metrics;
mod observer;
mod proxy;
mod rights;
mod rooms;
mod server;
mod slow_readers;
#[path = "../support/mod.rs"]
mod support;
mod utils;
mod websocket;
