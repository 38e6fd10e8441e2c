//! When the machine had no time: a virtual machine's cores are taken away for milliseconds now and
//! then, which is no doing of the server's, but what honest clients notice most. On each core a
//! probe that goes before everything else wakes every half a millisecond; where it is late, the core
//! was not there, and what was on its way then is not counted, in quiet times and under attack.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cores;

const EVERY: Duration = Duration::from_micros(500);
/// Longer than any system call of the server's or an attacker's, which the probe cannot interrupt,
/// takes the core.
const LATE: Duration = Duration::from_millis(1);

/// The probes, and what they found.
#[derive(Debug)]
pub(crate) struct Gaps {
    found: Arc<Mutex<Vec<(Instant, Instant)>>>,
    is_over: Arc<AtomicBool>,
    probes: Vec<JoinHandle<()>>,
}

impl Gaps {
    /// Begins to look, if it is measured; nothing is found where a probe may not go before others.
    pub(crate) fn watch(is_measured: bool) -> Self {
        let (found, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let mut gaps = Gaps { found, is_over, probes: Vec::new() };
        for core in if is_measured { 0..2 } else { 0..0 } {
            let (found, is_over) = (Arc::clone(&gaps.found), Arc::clone(&gaps.is_over));
            gaps.probes.push(thread::spawn(move || {
                if !cores::keep_to(core) || !cores::be_before_all() {
                    return;
                }
                let mut awake = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    thread::sleep(EVERY);
                    let now = Instant::now();
                    let late = (now - awake).saturating_sub(EVERY);
                    if late > LATE {
                        // what has gathered meanwhile is to be dealt with afterwards
                        lock(&found).push((awake, now + late));
                    }
                    awake = now;
                }
            }));
        }
        gaps
    }

    /// Whether a core was away while something that began then took so long.
    pub(crate) fn disturbed(&self, begun: Instant, took: Duration) -> bool {
        let found = lock(&self.found);
        found.iter().any(|&(from, to)| begun < to && from < begun + took)
    }
}

impl Drop for Gaps {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for probe in self.probes.drain(..) {
            // it does nothing that could fail
            let _ = probe.join();
        }
    }
}

fn lock<T>(found: &Mutex<T>) -> MutexGuard<'_, T> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
