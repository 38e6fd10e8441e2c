//! When the machine had no time: a virtual machine's cores are taken away for milliseconds now and
//! then, which is no doing of the server's, but what honest clients notice most. What was on its way
//! then is not counted, in quiet times and under attack. Two things tell:
//!
//! * On each core a probe that goes before everything else wakes every half a millisecond; where it
//!   is late, the core was not there.
//! * Where a neighbour and this machine take turns of half a millisecond, the probe is hardly late, and
//!   a message that needs both cores is. But the system counts what it was not given (`steal` in
//!   `/proc/stat`, in ticks of 10 ms), and there it has another tick every few moments.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cores;

const EVERY: Duration = Duration::from_micros(500);
/// Longer than any system call of the server's or an attacker's, which the probe cannot interrupt,
/// takes the core.
const LATE: Duration = Duration::from_millis(1);
/// How often the stolen time is looked at: as often as it can change.
const LOOKS: Duration = Duration::from_millis(10);
/// So long before and after a tick of it, others had turns: where they have many, a tick has gathered
/// in less.
const AROUND: Duration = Duration::from_millis(50);

/// The probes, and what they found.
#[derive(Debug)]
pub(crate) struct Gaps {
    found: Arc<Mutex<Found>>,
    is_over: Arc<AtomicBool>,
    probes: Vec<JoinHandle<()>>,
}

/// From when to when.
type Span = (Instant, Instant);

#[derive(Debug, Default)]
struct Found {
    /// When a core was away.
    gaps: Vec<Span>,
    /// When others had turns.
    turns: Vec<Span>,
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
                let mut steal = (core == 1).then(Steal::new);
                let mut awake = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    thread::sleep(EVERY);
                    let now = Instant::now();
                    let late = (now - awake).saturating_sub(EVERY);
                    if late > LATE {
                        // what has gathered meanwhile is to be dealt with afterwards
                        lock(&found).gaps.push((awake, now + late));
                    }
                    if let Some(steal) = &mut steal
                        && steal.has_grown(now)
                    {
                        lock(&found).turns.push((now - LOOKS - AROUND, now + AROUND));
                    }
                    awake = now;
                }
            }));
        }
        gaps
    }

    /// Whether a core was away while something that began then took so long, or others had turns when
    /// it began. (How long it took is not asked there: what takes long is not to be left out for that.)
    pub(crate) fn disturbed(&self, begun: Instant, took: Duration) -> bool {
        let found = lock(&self.found);
        let was_away = |&(from, to): &Span| begun < to && from < begun + took;
        let had_turns = |&(from, to): &Span| from <= begun && begun < to;
        found.gaps.iter().any(was_away) || found.turns.iter().any(had_turns)
    }
}

/// The time that the machine was not given.
struct Steal {
    ticks: Option<u64>,
    looked: Instant,
}

impl Steal {
    fn new() -> Self {
        Steal { ticks: Self::ticks(), looked: Instant::now() }
    }

    /// Of all cores until now; none where the system does not tell.
    fn ticks() -> Option<u64> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        // cpu, user, nice, system, idle, iowait, irq, softirq, steal
        text.lines().next()?.split_whitespace().nth(8)?.parse().ok()
    }

    /// Whether it has become longer since the last time, if it is time to look.
    fn has_grown(&mut self, now: Instant) -> bool {
        if now < self.looked + LOOKS {
            return false;
        }
        self.looked = now;
        let ticks = Self::ticks();
        ticks.is_some()
            && std::mem::replace(&mut self.ticks, ticks).is_some_and(|old| Some(old) < ticks)
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

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
