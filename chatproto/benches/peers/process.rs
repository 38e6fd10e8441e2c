//! Processes: programs and where they are, a running server, and what this process and the servers may
//! have: cores and descriptors.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use crate::usage::{self, Usage};

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// The cores that it and the generator are on, and whether each has one for itself.
    pub(crate) cores: Vec<usize>,
    pub(crate) is_apart: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // an error means that it has ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// What the server, the generator and everything else have used so far.
    pub(crate) fn usage(&self) -> Result<Usage, String> {
        Usage::now(self.child.id(), &self.cores, self.is_apart)
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64, String> {
        usage::memory(self.child.id())
    }
}

/// Which core does what. Without `taskset`, or with one core, the system decides.
#[derive(Debug)]
pub(crate) struct Cores {
    allowed: Vec<usize>,
    can_place: bool,
}

impl Cores {
    pub(crate) fn new() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = list.map(parse_list).unwrap_or_default();
        let can_place = allowed.len() > 1 && find("taskset").is_some();
        Cores { allowed, can_place }
    }

    /// Puts this process on the second core, or on all of them.
    pub(crate) fn place_generator(&self, is_pinned: bool) {
        if self.can_place {
            let list = if is_pinned { self.allowed[1].to_string() } else { self.all() };
            let pid = std::process::id().to_string();
            let mut taskset = Command::new("taskset");
            // if that fails the comparison is noisier, and still fair
            let _ = taskset.args(["-p", "-c", &list, &pid]).stdout(Stdio::null()).status();
        }
    }

    /// A command on the first core, or on all of them.
    pub(crate) fn command(&self, program: &str, is_pinned: bool) -> Command {
        if !self.can_place {
            return Command::new(program);
        }
        let list = if is_pinned { self.allowed[0].to_string() } else { self.all() };
        let mut command = Command::new("taskset");
        command.args(["-c", &list, program]);
        command
    }

    /// The cores that a run takes place on, and whether the two processes have one each.
    pub(crate) fn of_run(&self, is_pinned: bool) -> (Vec<usize>, bool) {
        let is_apart = is_pinned && self.can_place;
        let cores = if is_apart { &self.allowed[..2] } else { &self.allowed[..] };
        (cores.to_vec(), is_apart)
    }

    /// A sentence if there are too few cores for a server of that many threads.
    pub(crate) fn shortage(&self, threads: usize) -> Option<String> {
        let have = self.allowed.len();
        (threads > 1 && have <= threads).then(|| {
            format!("{threads} server threads and the generator compete for {have} cores here.")
        })
    }

    fn all(&self) -> String {
        self.allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn description(&self) -> String {
        match self.allowed.as_slice() {
            [first, second, ..] if self.can_place => {
                format!("server on core {first}, generator on core {second} (taskset)")
            }
            _ => "neither server nor generator is bound to a core".to_owned(),
        }
    }
}

/// `0-3,8` and the like.
fn parse_list(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

/// How many descriptors a process may have; the servers inherit it.
pub(crate) mod descriptors {
    use std::fs;

    /// Descriptors that a server or the generator needs beside its connections.
    pub(crate) const RESERVE: usize = 64;
    /// More is not asked for: some programs prepare for all that they may have.
    pub(super) const ENOUGH: usize = 65_536;

    pub(crate) fn soft() -> usize {
        limits().0
    }

    pub(super) fn limits() -> (usize, usize) {
        let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        let mut numbers = line.unwrap_or_default().split_whitespace();
        let mut next = || match numbers.next() {
            Some("unlimited") => usize::MAX,
            number => number.and_then(|number| number.parse().ok()).unwrap_or(0),
        };
        (next(), next())
    }
}

/// The path of this program, which also is the chatproto server.
pub(crate) fn this_executable() -> Result<String, String> {
    let path = env::current_exe().map_err(|error| format!("this program has no path: {error}."))?;
    Ok(path.to_string_lossy().into_owned())
}

/// Finds a program in `PATH`, or in the directories of servers that some users' `PATH` lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    let paths = env::split_paths(&path).chain(more).map(|directory| directory.join(program));
    paths.into_iter().find(|path| path.is_file())
}

/// Raises the soft limit of descriptors to the hard one. Only a shell can do that without unsafe
/// code: it takes the place of this process, and starts it anew.
pub(crate) fn raise_descriptors(is_raised: bool) -> Result<(), String> {
    let (soft, hard) = descriptors::limits();
    let wanted = hard.min(descriptors::ENOUGH);
    if is_raised || soft >= wanted {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;

        let this = this_executable()?;
        let script = format!("ulimit -Sn {wanted}; exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh", &this]).args(env::args().skip(1));
        let error = shell.arg(crate::options::RAISED).exec();
        Err(format!("cannot start anew with {wanted} descriptors: {error}."))
    }
    #[cfg(not(unix))]
    Ok(())
}
