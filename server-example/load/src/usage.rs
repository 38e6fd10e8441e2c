//! What a process uses of the machine, as Linux tells it under `/proc`. Elsewhere nothing is known,
//! and the report says so.

use std::fs;
use std::time::Duration;

/// Processor time and memory of a process up to some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
}

/// What the process uses, if this system tells it.
pub(crate) fn of(pid: u32) -> Option<Usage> {
    Some(Usage { cpu: cpu(pid)?, memory: memory(pid)? })
}

/// Why nothing is known of a process, and what to do.
pub(crate) fn why_unknown(pid: u32) -> String {
    if cfg!(target_os = "linux") {
        format!(
            "there is no process {pid}, or not one of yours: --pid takes the server's process id"
        )
    } else {
        "--pid needs Linux: CPU time and memory come from /proc".to_owned()
    }
}

fn cpu(pid: u32) -> Option<Duration> {
    // schedstat counts nanoseconds; stat has ticks of 10 ms
    let of_task = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let nanoseconds: u64 = tasks.filter_map(of_task).sum();
    if nanoseconds > 0 {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name, in parentheses, may hold anything
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis(10 * (fields.next()?? + fields.next()??)))
}

fn memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let before = of(std::process::id()).unwrap();
        assert!(before.memory > 100_000, "{before:?}");
        while of(std::process::id()).unwrap().cpu <= before.cpu {}
        assert!(of(u32::MAX).is_none());
    }
}
