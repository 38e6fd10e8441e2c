//! The program `server-example`: the server (`serve`, the default command), the commands on its data, and the
//! command line of all programs. Each other program is a crate of its own below this one.
//!
//! ```text
//! cli ─┬─► serve ─┬─► config          options from flags, the environment and a file
//!      │          ├─► log ─► journal   the lines of the log, each kind within its budgets
//!      │          ├─► audit            acts of moderators, in a file
//!      │          ├─► reload, token    parts that change while the server runs; the token of admins
//!      │          ├─► tls              certificates of the server
//!      │          └─► persistence      data that outlives the server:
//!      │               ├─► accounts    names that belong to somebody
//!      │               ├─► keeper      history and mailboxes
//!      │               └─► sanctions   bans and mutes
//!      ├─► accounts, history, backup   commands on the data
//!      ├─► tls                         the command that makes certificates
//!      │
//!      │   crates:
//!      ├─► chat                        the client for people and scripts
//!      ├─► check                       the conformance runner
//!      ├─► load                        the load generator
//!      ├─► metrics                     metrics and health, as texts for an HTTP server
//!      └─► store                       the data file, below persistence and the commands
//!           shared                     options, failures, input and output of all of them
//!
//! shares, budgets: budgets by owner and time, for the log and the audit log
//! data: the options that name the data directory
//! figures: the figures of the server that its metrics and its log show
//! fill: a line in the log when a bound is nearly used up
//! hangup: whether the terminal of the program is gone
//! output: the output of the commands on the data
//! priority: threads that deliver messages go first
//! ```
//!
//! No rule of the protocol lives in these crates. They are all in the library `chatproto`.

#![cfg_attr(not(test), forbid(unsafe_code))]
#![cfg_attr(test, deny(unsafe_code))]

mod accounts;
mod audit;
mod backup;
mod budgets;
mod cli;
mod config;
mod data;
mod figures;
mod fill;
#[cfg(test)]
mod fixtures;
mod hangup;
#[cfg(test)]
#[path = "../shared/src/heap.rs"]
mod heap;
mod history;
mod journal;
mod keeper;
mod log;
mod output;
mod persistence;
mod priority;
mod reload;
mod sanctions;
mod serve;
mod shares;
#[cfg(all(test, target_os = "linux"))]
#[path = "../tests/common/small_disk.rs"]
mod small_disk;
#[cfg(test)]
#[path = "../shared/src/test_dir.rs"]
mod test_dir;
mod tls;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use shared::stderr;

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
