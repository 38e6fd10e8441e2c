//! `load`: what it counts, what its ramps find, how it ends, and that every report is as it should be.

#[path = "../common/mod.rs"]
mod common;
mod counts;
mod ends;
#[cfg(target_os = "linux")]
#[path = "../common/flood.rs"]
mod flood;
#[cfg(target_os = "linux")]
mod floods;
mod ramps;

use std::net::SocketAddr;

use common::schema::validate;
use common::temp_dir::TempDir;
use common::{Program, TestServer};
use serde_json::Value;

/// A load that has ended.
struct Ended {
    code: Option<i32>,
    output: Vec<String>,
    errors: Vec<String>,
    report: Value,
    directory: TempDir,
}

impl Ended {
    /// The number at that path of the report, such as `/runs/0/counts/lost`.
    fn number(&self, path: &str) -> u64 {
        let value = self.report.pointer(path);
        value.and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {value:?}"))
    }

    fn counts(&self, names: &[&str]) -> Vec<u64> {
        names.iter().map(|name| self.number(&format!("/runs/0/counts/{name}"))).collect()
    }
}

fn server() -> TestServer {
    TestServer::start(&["--rate", "off"])
}

/// Runs a load to its end, with a report that must be as its schema says.
fn load(command: &str, address: SocketAddr, options: &[&str]) -> Ended {
    let directory = TempDir::new();
    let (out, address) = (directory.path("out"), address.to_string());
    let common = ["load", command, "--server", &address, "--out", &out];
    let program = Program::start(&[&common[..], options].concat());
    ended(program, directory)
}

fn ended(mut program: Program, directory: TempDir) -> Ended {
    let (code, output, errors) = program.end();
    let path = directory.path("out/report.json");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let report = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !report.is_null() {
        validate(&report, "load/report.schema.json");
        let page = std::fs::read_to_string(directory.path("out/report.html")).unwrap();
        check_page(&page);
        check_plots(&page, &directory.path("out/plots"));
    }
    Ended { code, output, errors, report, directory }
}

/// The page needs nothing else, and runs nothing.
fn check_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for foreign in ["<script", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<figure>").count(), page.matches("role=\"img\"").count());
}

/// Each plot of the page is a file too, and as self-contained.
fn check_plots(page: &str, directory: &str) {
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().collect();
    assert_eq!(page.matches("<figure>").count(), files.len(), "{files:?}");
    for file in files {
        let plot = std::fs::read_to_string(file.path()).unwrap();
        assert!(plot.starts_with("<svg xmlns=") && plot.ends_with("</svg>\n"), "{file:?}");
        for open in ["<script", "@import", "url(", "var(", "NaN", "inf"] {
            assert!(!plot.contains(open), "{file:?}: {open}");
        }
    }
}
