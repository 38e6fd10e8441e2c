//! What a process uses of the machine, as the kernel tells it under `/proc`.

use std::fs;
use std::process;
use std::time::{Duration, Instant};

/// Processor time up to some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    at: Instant,
    server: Duration,
    /// This process.
    generator: Duration,
    /// How long others kept this process, which has one busy thread, from running.
    waited: Duration,
    /// Everything on the cores that the two are on, but for interrupts, which some kernels count
    /// as part of what they interrupt.
    all: Duration,
}

/// Processor time between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) elapsed: Duration,
    pub(crate) server: Duration,
    /// What other programs have used, at least; and the hypervisor.
    others: Duration,
}

impl Usage {
    /// `is_apart`: the server cannot take the generator's core.
    pub(crate) fn now(server: u32, cores: &[usize], is_apart: bool) -> Result<Self, String> {
        let (at, (server, _)) = (Instant::now(), schedule(server)?);
        let (generator, waited) = schedule(process::id())?;
        let waited = if is_apart { waited } else { Duration::ZERO };
        Ok(Usage { at, server, generator, waited, all: busy(cores) })
    }

    pub(crate) fn since(self, before: &Self) -> Spent {
        let server = self.server.saturating_sub(before.server);
        let generator = self.generator.saturating_sub(before.generator);
        let others = self.all.saturating_sub(before.all).saturating_sub(server + generator);
        let others = others.max(self.waited.saturating_sub(before.waited));
        Spent { elapsed: self.at - before.at, server, others }
    }
}

impl Spent {
    /// How much of one core was not the server's or the generator's to use.
    pub(crate) fn disturbance(&self) -> f64 {
        self.others.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// Processor time so far, user and system, of all threads of a process; and how long they waited
/// for a processor.
fn schedule(pid: u32) -> Result<(Duration, Duration), String> {
    let unknown = |error| format!("the processor time of a process cannot be read: {error}.");
    let (mut ran, mut waited) = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(unknown)? {
        let path = task.map_err(unknown)?.path().join("schedstat");
        // a thread may end meanwhile
        let Ok(text) = fs::read_to_string(path) else { continue };
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
        ran += numbers.next().unwrap_or(0);
        waited += numbers.next().unwrap_or(0);
    }
    if ran == 0 {
        return Err("the kernel does not tell processor times (schedstat).".to_owned());
    }
    Ok((Duration::from_nanos(ran), Duration::from_nanos(waited)))
}

/// Time that these cores have been busy, or not given to this machine, in ticks of 10 ms.
fn busy(cores: &[usize]) -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let of_core = |core: &usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")))?;
        // user, nice, system, idle, iowait, irq, softirq, steal
        let fields = line.split_whitespace().take(8).enumerate();
        let busy = fields.filter(|(at, _)| matches!(at, 0..=2 | 7));
        Some(busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum::<u64>())
    };
    Duration::from_millis(10 * cores.iter().filter_map(of_core).sum::<u64>())
}

/// Resident memory of a process in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64, String> {
    // smaps_rollup is exact; older kernels only have status
    let of = |file: &str, field: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    of("smaps_rollup", "Rss:")
        .or_else(|| of("status", "VmRSS:"))
        .ok_or_else(|| "the server's memory cannot be read.".to_owned())
}
