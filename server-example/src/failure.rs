//! How a command fails: with one sentence for the person at the terminal, and an exit code.

use std::fmt;
use std::process::ExitCode;

use rustyline::error::ReadlineError;

/// Why the program ends before its time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was asked for cannot be done on this machine, or is no request at all. Exit code 2.
    Usage(String),
    /// It was tried, and did not succeed. Exit code 1.
    Run(String),
    /// Ctrl-C ended it, and what was done until then is reported. Exit code 130, as shells have it.
    Interrupted,
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Run(_) => ExitCode::FAILURE,
            Failure::Interrupted => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(sentence) | Failure::Run(sentence) => f.write_str(sentence),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<ReadlineError> for Failure {
    fn from(error: ReadlineError) -> Self {
        let why = without_number(&error.to_string());
        Failure::Run(format!("cannot use the terminal: {why}"))
    }
}

/// What the operating system said, without its error number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = without_number(&error.to_string());
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// A sentence without the error number of the operating system at its end.
pub(crate) fn without_number(text: &str) -> String {
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_reason_has_no_error_number() {
        let error = std::io::Error::from_raw_os_error(111);
        assert_eq!(reason(&error), "connection refused");
    }
}
