//! Keeps the cores awake while latencies are measured. A virtual core that has nothing to do is
//! given back to the host, and where that has other guests it returns a millisecond late now and
//! then: a wait that honest clients notice most, and that is no doing of the server's. A quiet
//! server's core goes more often than a busy one's; but neither goes while something runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cores;

/// How long before whoever else has something to do is asked to go on. (An attacker is no more
/// urgent, and waits for that.)
const TURN: Duration = Duration::from_micros(10);

/// Runs on both cores, behind everything else, until it is dropped.
#[derive(Debug)]
pub(crate) struct Awake {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Awake {
    /// Begins. Where a thread may not be kept to a core and behind everything else, it ends.
    pub(crate) fn keep() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let keep = |core| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                if cores::keep_to(core) && cores::be_last() {
                    run(&is_over);
                }
            })
        };
        let threads = [0, 1].map(keep).into();
        Awake { is_over, threads }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // it does nothing that could fail
            let _ = thread.join();
        }
    }
}

/// Is busy. (A processor's instruction for that, as in [`std::hint::spin_loop`], would be a reason
/// for the host to give the core to somebody else.)
fn run(is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        while begun.elapsed() < TURN {}
        thread::yield_now();
    }
}
