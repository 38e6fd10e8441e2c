//! The program itself, which `main.rs` runs: a server of chatproto (`serve`, which is also what
//! happens without a command), a client for people and scripts (`chat`), and two tools for those who
//! build and study such systems, a load generator (`load`) and a conformance runner (`check`).
//!
//! ```text
//! run ──► cli ─► serve ─► log ─► stderr       the server: wiring, descriptors, signals
//!          │ │    │││      └──► budgets       … and how much of a kind the log may hold
//!          │ │    ││└──► audit                acts of moderators, in a file
//!          │ │    │└───► reload, token        what changes while it runs; the admins' token
//!          │ │    └────► kept                 what outlives it, opened together:
//!          │ │            ├─► accounts ─┐       names that belong to somebody
//!          │ │            ├─► keeper ───┼─► store   history; all in one SQLite file
//!          │ │            └─► sanctions ┘       bans and mutes
//!          │ └─► config                       options from the environment and a file
//!          │
//!          └───► chat ─► terminal or pipe     the client: one of two faces …
//!          │               └► connection      … over one connection that is made again when lost
//!          ├───► load                         how much a server carries, and what it loses
//!          ├───► check ─► raw                 whether others speak the protocol
//!          ├───► accounts, history ─► store   accounts and what was said, worked on by hand …
//!          ├───► backup ─► store              … and all of it in one file, and back
//!          └───► tls                          certificates, made and shown
//!
//! lines: the bounded queue in front of standard error and of the audit log
//! shares: budgets by owner and time, for both of these
//! tls: also those of the server, and of those whom the client trusts
//! data: where the data directory is, and the options of what is kept
//! secret: passwords and tokens that are typed
//! target, staging: what a command may write to, and how that is whole when it gets its name
//! usage, fill: how much of each bound is used, and a line when it is nearly all
//! input: text files and standard input, which are UTF-8 with or without a byte order mark
//! hangup: whether the terminal is gone in which the program was started
//! clock: the system's clock, and a jump of it that must not remove anything
//! units, text: what both sides parse and print
//! ```
//!
//! No rule of the protocol lives in this crate; they are all in the library.

#![cfg_attr(not(test), forbid(unsafe_code))]
#![cfg_attr(test, deny(unsafe_code))]

mod accounts;
mod audit;
mod backup;
mod budgets;
mod chat;
mod check;
mod cli;
mod clock;
mod config;
mod data;
mod data_files;
mod failure;
mod fill;
mod hangup;
#[cfg(test)]
mod heap;
mod history;
mod input;
mod journal;
mod keeper;
mod lines;
mod load;
mod log;
mod modes;
mod numbers;
mod options;
mod output;
mod persistence;
mod priority;
mod reload;
mod sanctions;
mod secret;
mod serve;
mod shares;
mod staging;
mod stderr;
mod store;
mod target;
#[cfg(test)]
mod test_dir;
mod text;
mod tls;
mod token;
mod units;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program to its end. `arguments` begin with the program's own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            stderr::say(format_args!("server-example: {failure}"));
            failure.exit_code()
        }
    };
    stderr::finish();
    code
}
