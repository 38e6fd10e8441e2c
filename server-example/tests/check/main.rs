//! The conformance runner, `server-example check`: it passes what follows the contract, and of what
//! does not it names exactly the rules that are broken.

mod bytes;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod embedded;
mod faulty;
#[cfg(target_os = "linux")]
#[path = "../common/flood.rs"]
mod flood;
#[cfg(target_os = "linux")]
mod floods;
mod servers;

use std::process::Command;

use common::schema::validate;
use serde_json::Value;

/// What a run of `check` came to.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) errors: String,
}

impl Outcome {
    /// The rules that are broken, in their order.
    pub(crate) fn broken(&self) -> Vec<&str> {
        self.report["failed"]
            .as_array()
            .expect(&self.errors)
            .iter()
            .filter_map(Value::as_str)
            .collect()
    }

    /// What was found with that verdict.
    pub(crate) fn with(&self, verdict: &str) -> Vec<String> {
        let findings = self.report["findings"].as_array().expect(&self.errors).iter();
        findings
            .filter(|finding| finding["verdict"] == verdict)
            .map(|finding| format!("{}: {}", finding["id"], finding["came"]))
            .collect()
    }
}

/// The report that was printed, which is as its schema says.
#[track_caller]
pub(crate) fn report(printed: &[u8]) -> Value {
    let report = serde_json::from_slice(printed).expect("a report in JSON");
    validate(&report, "check/report.schema.json");
    report
}

/// Runs `check` with the options, and `--json`.
pub(crate) fn check(options: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_server-example"))
        .args([&["check", "--json"], options].concat())
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // there is none of what cannot be judged
    let report = if output.stdout.is_empty() { Value::Null } else { report(&output.stdout) };
    Outcome { code: output.status.code(), report, errors }
}
