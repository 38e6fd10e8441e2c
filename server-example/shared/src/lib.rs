//! Code that the programs of `server-example` share: options, failures, standard input and error, files
//! that are written, numbers and texts for people. No program and no rule of the protocol lives here.
//!
//! ```text
//! options, tls, units    options that several programs have, and what is written on a command line
//! failure                how a program ends: a sentence and an exit code
//! input, secret          files and standard input in UTF-8; passwords, and files that are for one user
//! stderr ─► lines        standard error behind a bounded queue, so that no thread waits for it
//! target ─► staging      what may be written to, and a file that gets its name when it is whole
//! data_files             the names of the files of a server, to which no program writes
//! text, numbers          texts of others made harmless; counts, times and sizes
//! clock, usage           the system's clock and its jumps; the used part of a bound
//! ```

#![cfg_attr(not(test), forbid(unsafe_code))]
#![cfg_attr(test, deny(unsafe_code))]

pub mod clock;
pub mod data_files;
pub mod failure;
#[cfg(test)]
mod heap;
pub mod input;
pub mod lines;
pub mod modes;
pub mod numbers;
pub mod options;
pub mod secret;
pub mod staging;
pub mod stderr;
pub mod target;
#[cfg(test)]
mod test_dir;
pub mod text;
pub mod tls;
pub mod units;
pub mod usage;
