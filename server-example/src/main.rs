//! The command line of chatproto; the library beside this file is all of it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    server_example::run(std::env::args_os())
}
