//! Which core does what, and what may wait: the server has the first core, honest clients and
//! attackers share the second, where attackers give way. They stand for other machines, whose work
//! must not look like the server's.

use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs something on a thread that has a core and an urgency, if they are given, as has what it
/// starts.
pub(crate) fn on<T: Send>(place: Option<(usize, Urgency)>, run: impl FnOnce() -> T + Send) -> T {
    let run = || {
        if let Some((core, urgency)) = place {
            keep_to(core);
            urgency.take();
        }
        run()
    };
    let joined = thread::scope(|scope| scope.spawn(run).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Keeps this thread on the first or second core that it may use, if there are two. Else the
/// system decides, and the figures are noisier.
fn keep_to(core: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    if allowed.count() < 2 {
        return;
    }
    let Some(core) = cores.nth(core) else { return };
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// How urgent the work of a thread is, and of what it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Urgency {
    /// The server and honest clients: before other programs, if that is allowed, so that these
    /// disturb the figures less.
    Measured,
    /// Behind what is measured.
    Attacker,
}

impl Urgency {
    /// Makes this thread so urgent. Without it the figures are noisier.
    pub(crate) fn take(self) {
        // on Linux this is for the thread alone; only the superuser may ask for less than 0
        let is_allowed = setpriority_process(None, -15).is_ok();
        if let Urgency::Attacker = self {
            let _ = setpriority_process(None, if is_allowed { 0 } else { 10 });
        }
    }
}
