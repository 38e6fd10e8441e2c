//! The server process, and what is seen of it from outside: its heap, its descriptors, its log.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cores::{self, Urgency};

/// The longest that the server takes to end after it was asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    control: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    _data: Option<DataDirectory>,
}

/// A directory that is removed when this is dropped.
#[derive(Debug)]
struct DataDirectory(PathBuf);

impl DataDirectory {
    fn make() -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("chatproto-attacks-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let failed = |error| format!("a data directory cannot be made: {error}.");
        fs::create_dir(&path).map_err(failed)?;
        Ok(DataDirectory(path))
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // nothing else is in the way of what is measured
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the server wrote to its log.
#[derive(Debug, Default)]
struct Log {
    lines: AtomicU64,
    has_paused: AtomicBool,
    last: Mutex<String>,
    /// The address that speaks HTTP.
    http: Mutex<Option<SocketAddr>>,
}

/// Bytes that are allocated, and how many there were at most since the last mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) live: u64,
    pub(crate) peak: u64,
}

impl Server {
    /// Starts a server with these options, with a data directory or without, on the first core if it is
    /// measured.
    pub(crate) fn start(options: &[&str], keeps: bool, is_measured: bool) -> Result<Self, String> {
        let failed = |error| format!("the server does not start: {error}.");
        let this = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(this);
        command.args([super::super::SERVE, "serve"]);
        let data = keeps.then(DataDirectory::make).transpose()?;
        let path = data.as_ref().map_or("none".as_ref(), |data| data.0.as_os_str());
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(path).args(options);
        command.env_remove("RUST_BACKTRACE");
        // the options of whoever runs this
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHATPROTO_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let place = is_measured.then_some((0, Urgency::Measured));
        let mut child = cores::on(place, || command.spawn()).map_err(failed)?;
        let (Some(control), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the server has no streams.".to_owned());
        };
        let log = Arc::new(Log::default());
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.read(errors)
        });
        let mut answers = BufReader::new(output);
        let mut line = String::new();
        answers.read_line(&mut line).map_err(failed)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|at| at.parse().ok());
        let Some(address) = address else {
            let _ = child.wait();
            return Err(format!("the server does not listen: {}.", log.last()));
        };
        Ok(Server { child, control, answers, address, log, _data: data })
    }

    /// The address that speaks HTTP, if there is one. The log states it before the server listens.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        *self.log.http.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What is allocated now.
    pub(crate) fn heap(&mut self) -> Result<Heap, String> {
        self.ask("heap")
    }

    /// The same; the peak counts from now.
    pub(crate) fn mark(&mut self) -> Result<Heap, String> {
        self.ask("mark")
    }

    /// From here on it may have only so many descriptors.
    pub(crate) fn lower_descriptors(&mut self, limit: u64) -> Result<(), String> {
        self.ask(&format!("descriptors {limit}")).map(drop)
    }

    fn ask(&mut self, question: &str) -> Result<Heap, String> {
        let gone = |_| format!("the server has ended: {}.", self.log.last());
        writeln!(self.control, "{question}").map_err(gone)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(gone)?;
        let mut numbers = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(live), Some(peak)) => Ok(Heap { live, peak }),
            _ => Err(format!("the server has ended: {}.", self.log.last())),
        }
    }

    pub(crate) fn descriptors(&self) -> usize {
        descriptors(self.id())
    }

    /// Lines in the log so far.
    pub(crate) fn log_lines(&self) -> u64 {
        self.log.lines.load(Ordering::Relaxed)
    }

    /// Whether the log says that the system refused connections.
    pub(crate) fn has_paused(&self) -> bool {
        self.log.has_paused.load(Ordering::Relaxed)
    }

    /// Asks it to end, as a service manager does: it must, and with 0.
    pub(crate) fn end(mut self) -> Result<(), String> {
        let failed = |error| format!("the server cannot be ended: {error}.");
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| failed(error.into()))?;
        let begun = Instant::now();
        loop {
            match self.child.try_wait().map_err(failed)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("the server ended with {status}: {}.", self.log.last()));
                }
                None if begun.elapsed() > ENDS_WITHIN => {
                    return Err(format!("the server did not end within {ENDS_WITHIN:?}."));
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error means that it has ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

impl Log {
    fn read(&self, stream: ChildStderr) {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            self.lines.fetch_add(1, Ordering::Relaxed);
            if line.contains("no new connections for a moment") {
                self.has_paused.store(true, Ordering::Relaxed);
            }
            if let Some((_, rest)) = line.split_once("http://")
                && let Ok(address) = rest.split(['/', ' ']).next().unwrap_or_default().parse()
            {
                *self.http.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
            }
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    }

    fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
