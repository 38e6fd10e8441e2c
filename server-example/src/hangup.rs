//! The two meanings of SIGHUP: the terminal of the program is gone, or somebody wants the configuration to
//! be loaded again. [`serve`](crate::serve) acts on it.

use std::fs::File;
use std::io::{self, IsTerminal as _};

use rustix::io::Errno;

/// The terminal of the session that this process is in.
const TERMINAL: &str = "/dev/tty";

/// The program's terminal when it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Which of the standard streams were one.
    streams: [bool; 3],
    /// The session had one, whatever the streams were.
    is_controlling: bool,
    /// The program was started to survive the terminal, as with `nohup`.
    is_survived: bool,
}

impl Terminal {
    /// To be called before signals are handled.
    pub(crate) fn at_start() -> Self {
        Terminal {
            streams: streams(),
            is_controlling: File::open(TERMINAL).is_ok(),
            is_survived: ignores_hangup(),
        }
    }

    /// Whether there was a terminal, and it is there no longer.
    pub(crate) fn is_gone(self) -> bool {
        let is_lost = self.streams.into_iter().zip(streams()).any(|(was, is)| was && !is);
        !self.is_survived && (is_lost || self.is_controlling && has_lost_terminal())
    }
}

fn streams() -> [bool; 3] {
    [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
}

/// Whether the session has no terminal now. An error of another kind, such as a lack of descriptors, says
/// nothing about it.
fn has_lost_terminal() -> bool {
    let error = File::open(TERMINAL).err();
    let errno = error.as_ref().and_then(Errno::from_io_error);
    errno.is_some_and(|errno| matches!(errno, Errno::NXIO | Errno::IO))
}

/// Whether this process was started with SIGHUP ignored. Only Linux says so.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // the bit of signal 1
    mask.is_some_and(|mask| mask & 1 != 0)
}
