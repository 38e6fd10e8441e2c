//! What the benchmarks of the program have in common: a server on one core, the generator on the other.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_server-example");

/// Runs one scenario once.
pub fn run(address: &str, scenario: &str, duration: &str) -> Value {
    let file = scratch("scenario.toml");
    let text = format!("[[scenario]]\nname = \"bench\"\n{scenario}\n");
    std::fs::write(&file, text).expect("a directory of one's own");
    let file = file.to_string_lossy();
    let options = ["compare", &file, "--repeat", "1", "--duration", duration, "--server", address];
    load(&options)["runs"][0].clone()
}

/// Runs a load, on the second core if there is one; its report.
pub fn load(options: &[&str]) -> Value {
    let out = scratch("report");
    let mut command = on_core(1);
    command.arg("load").args(options).arg("--out").arg(&out);
    let ran = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "load {options:?} must pass:\n{said}");
    let text = std::fs::read_to_string(out.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

pub fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}"))
}

/// The program, on that core if the machine has two and can do so.
pub fn on_core(core: usize) -> Command {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let has_taskset = Command::new("taskset").arg("--version").stdout(Stdio::null()).status();
    if cores < 2 || has_taskset.is_err() {
        return Command::new(PROGRAM);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), PROGRAM]);
    command
}

/// Keeps this thread on that core, if the machine has two and can do so.
pub fn keep_to_core(core: usize) {
    #[cfg(target_os = "linux")]
    if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}

pub struct Server {
    child: Child,
    pub address: String,
    before: f64,
}

impl Server {
    /// A server without bounds on rates, and with these options.
    pub fn start(options: &[&str]) -> Self {
        let mut command = on_core(0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHATPROTO_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--rate", "off", "--threads", "1"]);
        command.args(["--log", "error"]).args(options);
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let out = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("the one line");
        let address = line.trim().trim_start_matches("listening on ").to_owned();
        let mut server = Server { child, address, before: 0.0 };
        server.before = server.memory();
        server
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn growth(&self) -> f64 {
        self.memory() - self.before
    }

    /// The most bytes that were ever resident; 0 where the system does not tell.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() * 1024.0
    }
}

/// As an operator ends it, so that what it keeps is closed as it should be.
impl Drop for Server {
    fn drop(&mut self) {
        let ended = Command::new("kill").arg(self.child.id().to_string()).status();
        if !ended.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
