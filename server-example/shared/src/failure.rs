//! How a command fails: with one sentence for the person at the terminal, and an exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub use chatproto::error::reason;

use crate::text::visible;

/// Why the program ends before its time.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was asked for cannot be done on this machine, or is no request at all. Exit code 2.
    Usage(String),
    /// It was tried, and did not succeed. Exit code 1.
    Run(String),
    /// Ctrl-C ended it, and what was done until then is reported. Exit code 130, as shells have it.
    Interrupted,
}

impl Failure {
    /// The exit code of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Run(_) => ExitCode::FAILURE,
            Failure::Interrupted => ExitCode::from(130),
        }
    }
}

/// The sentence for an error of the file system: the act that failed, the file, the reason and the
/// remedy. `act` is such as "make the directory".
pub fn of_file(act: &str, path: &Path, error: &io::Error) -> String {
    let shown = path.to_string_lossy();
    let shown = visible(&shown);
    let advice = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            return format!(
                "{shown} is there already: name another file, or replace it with --force"
            );
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (let the user that runs this write there, or name another directory with --data)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (make room there)",
        _ => "",
    };
    format!("cannot {act} {shown}: {}{advice}", reason(error))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(sentence) | Failure::Run(sentence) => f.write_str(sentence),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}
