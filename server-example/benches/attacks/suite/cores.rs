//! Which core does what, and what may wait: the server has the first core to itself. All else is on
//! the second, honest clients, attackers and whoever watches them, where attackers give way. They
//! stand for other machines, whose work must not look like the server's: what an honest client
//! waits for the core would be, and so would what the server waits for its own. (A slice of the
//! scheduler's is 3 ms, and whoever is urgent waits for its end.)

use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

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
/// system decides, the figures are noisier, and this is false.
pub(crate) fn keep_to(core: usize) -> bool {
    /// As it was before any thread was kept to a core.
    static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
    let Ok(now) = sched_getaffinity(None) else { return false };
    let allowed = ALLOWED.get_or_init(|| now);
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    if allowed.count() < 2 {
        return false;
    }
    let Some(core) = cores.nth(core) else { return false };
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).is_ok()
}

/// Leaves the first core to the server: holds for this thread, and those that it starts.
pub(crate) fn leave_the_first() {
    keep_to(1);
}

/// Gives this thread the policy SCHED_FIFO: it runs as soon as it can. Whether that is allowed.
fn be_first() -> bool {
    be("--fifo", "10")
}

/// Gives this thread the policy SCHED_IDLE: it runs when no other has something to do. Whether that
/// is allowed.
pub(crate) fn be_last() -> bool {
    be("--idle", "0")
}

/// Gives this thread a policy of the scheduler's. Whether that is allowed.
fn be(policy: &str, priority: &str) -> bool {
    let thread = gettid().as_raw_nonzero().to_string();
    let chrt = Command::new("chrt").args([policy, "--pid", priority, &thread]).output();
    chrt.is_ok_and(|output| output.status.success())
}

/// Whether honest clients need not wait for attackers.
pub(crate) fn are_honest_first() -> bool {
    thread::spawn(be_first).join().unwrap_or(false)
}

/// Whether a core can be kept awake, and for whoever has something to do.
pub(crate) fn are_awake() -> bool {
    thread::spawn(|| keep_to(0) && be_last()).join().unwrap_or(false)
}

/// How urgent the work of a thread is, and of what it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Urgency {
    /// The server: before other programs, if that is allowed, so that these disturb the figures
    /// less.
    Measured,
    /// Honest clients, which stand for machines of their own: whoever has something to do is never
    /// kept from the core by an attacker, if that is allowed.
    Honest,
    /// Behind what is measured.
    Attacker,
}

impl Urgency {
    /// Makes this thread so urgent. Without it the figures are noisier.
    pub(crate) fn take(self) {
        if let Urgency::Honest = self
            && be_first()
        {
            return;
        }
        // on Linux this is for the thread alone; only the superuser may ask for less than 0
        let niceness = if let Urgency::Attacker = self { 19 } else { -15 };
        let _ = setpriority_process(None, niceness);
        if let Urgency::Attacker = self {
            be_last();
        }
    }
}
