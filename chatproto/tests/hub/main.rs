//! The hub through its public interface, without sockets, clocks and threads: one module for each
//! subject. The tests of a change in the hub belong here. `cargo hub` runs them alone.

mod accounts;
mod answers;
mod arguments;
mod changes;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod delivery;
mod history;
mod moderation;
mod names;
mod ownership;
mod registration;
mod rights;
mod rooms;
mod state;
