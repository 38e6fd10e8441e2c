//! One run of an attack: a quiet time, the attack, the time until nothing is left of it, and a
//! quiet time again. What must be so is checked here, for every attack alike.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::cores::{self, Urgency};
use super::honest::{self, Honest};
use super::options::Options;
use super::server::{Heap, Server, descriptors};
use super::stage::{Attack, Stage, Told};
use super::usage::Usage;

/// How long the quiet times are.
const QUIET: Duration = Duration::from_secs(5);
/// The longest that anything is left of an attack. What a flood wrote is in the system's buffers
/// and counts (B16), at the rate that one connection may have.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
/// How much more heap than before may be left, in per cent, and of a database what it caches.
const LEFT: u64 = 1;
const CACHED: u64 = 1 << 20;
/// The same of an HTTP listener: the capacity of its tables, and those of its runtime.
const LISTENER: u64 = 128 << 10;
/// Lines that the log may have: so many at any rate, and so many a second. (Ten of a kind, and
/// what was hidden; an attack of several kinds has several times that.)
const LINES: u64 = 50;
const LINES_PER_SECOND: u64 = 60;

/// What one run gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The p99 of honest clients in µs, in quiet times and under attack, if it was measured.
    pub(crate) p99: Option<(f64, f64)>,
    pub(crate) heap_before: u64,
    pub(crate) heap_peak: u64,
    pub(crate) heap_after: u64,
    pub(crate) descriptors_before: usize,
    pub(crate) descriptors_peak: usize,
    pub(crate) descriptors_after: usize,
    pub(crate) log_lines: u64,
    /// How long the attack took, and then its traces to go.
    pub(crate) took: Duration,
    pub(crate) settled: Duration,
    /// How much of a core other programs used.
    pub(crate) disturbance: f64,
    /// Messages of honest clients.
    pub(crate) honest: u64,
    /// How much of its size the attack has done.
    pub(crate) done: usize,
    /// What the attack found.
    pub(crate) told: String,
}

pub(crate) enum Result {
    Done(Box<Sample>),
    Skipped(String),
}

type Failed<T> = std::result::Result<T, String>;

/// Runs an attack on a server of its own.
pub(crate) fn run(attack: &Attack, options: &Options) -> Failed<Result> {
    let (is_small, is_measured) = (options.is_quick, options.is_measured);
    let mut arguments = attack.options.to_vec();
    if is_small {
        // a deadline is kept until its time has come
        arguments.extend(["--registration-deadline", "3s"]);
        arguments.extend(attack.small_options);
    }
    // a core of its own has no use for more; without, two loops meet each other
    arguments.extend(["--threads", if is_measured { "1" } else { "2" }]);
    let mut server = Server::start(&arguments, attack.keeps, is_measured)?;
    let honest = Honest::start(server.address, is_measured)?;
    let address = server.address;
    let quiet = |turn| quiet(attack, address, turn, (is_small, is_measured));
    let mut usage = Disturbance::new(server.id(), is_measured);
    let first = quiet(1)?;
    let before = baseline(&mut server)?;
    let descriptors_before = server.descriptors();
    let lines_before = server.log_lines();
    usage.note();

    if attack.descriptors > 0 {
        server.lower_descriptors(attack.descriptors)?;
    }
    server.mark()?;
    let stage = Stage { http: server.http(), ..attack.stage(server.address, is_small, 0) };
    let begun = Instant::now();
    let (told, descriptors_peak) =
        watched(server.id(), || on_attackers_core(is_measured, || (attack.run)(&stage)));
    let ended = Instant::now();
    let (done, told) = match told? {
        Told::Done(told) => (attack.size(is_small), told),
        Told::Cut(done, told) => (done, told),
        Told::Skipped(why) => return Ok(Result::Skipped(why)),
    };
    let peak = server.heap()?.peak;
    let most = most_left(attack, before.live);
    let after = settle(&mut server, most, descriptors_before)?;
    let settled = ended.elapsed();
    let descriptors_after = server.descriptors();
    usage.note();
    let second = quiet(2)?;

    // the log writes what it hid when the second is over
    let log_lines = server.log_lines() - lines_before;
    let mut quiet = honest.latencies(first.0, first.1);
    quiet.extend(honest.latencies(second.0, second.1));
    let attacked = honest.latencies(begun, ended);
    let sample = Sample {
        p99: is_measured.then(|| (p99(quiet), p99(attacked))),
        heap_before: before.live,
        heap_peak: peak,
        heap_after: after.live,
        descriptors_before,
        descriptors_peak,
        descriptors_after,
        log_lines,
        took: ended - begun,
        settled,
        disturbance: usage.share(),
        honest: 0,
        done,
        told,
    };
    judge(attack, is_small, &sample)?;
    if attack.descriptors > 0 && !server.has_paused() {
        return Err("the server was never without descriptors.".to_owned());
    }
    // who comes now is welcome, and served
    honest::join(server.address, "late", true)?;
    let honest = honest.stop()?;
    server.end()?;
    Ok(Result::Done(Box::new(Sample { honest, ..sample })))
}

/// The most heap that may be left of so much.
fn most_left(attack: &Attack, before: u64) -> u64 {
    let cached = if attack.keeps { CACHED } else { 0 };
    let listener = if attack.options.contains(&"--http") { LISTENER } else { 0 };
    before + before * LEFT / 100 + cached + listener
}

fn judge(attack: &Attack, is_small: bool, sample: &Sample) -> Failed<()> {
    if sample.descriptors_after != sample.descriptors_before {
        return Err(format!(
            "{} descriptors are open, {} were before.",
            sample.descriptors_after, sample.descriptors_before
        ));
    }
    let most = sample.heap_before + attack.most_heap(is_small);
    if sample.heap_peak > most {
        return Err(format!("the heap grew to {} bytes, beyond {most}.", sample.heap_peak));
    }
    let most = most_left(attack, sample.heap_before);
    if sample.heap_after > most {
        return Err(format!(
            "{} bytes of heap are left, of {} before and {} at most; {}.",
            sample.heap_after, sample.heap_before, sample.heap_peak, sample.told
        ));
    }
    let seconds = (sample.took + sample.settled).as_secs() + 1;
    let most = LINES + LINES_PER_SECOND * seconds;
    if sample.log_lines > most {
        return Err(format!("the log has {} lines more, beyond {most}.", sample.log_lines));
    }
    Ok(())
}

/// A time without an attack: from when to when.
fn quiet(
    attack: &Attack,
    address: SocketAddr,
    turn: usize,
    (is_small, is_measured): (bool, bool),
) -> Failed<(Instant, Instant)> {
    let from = Instant::now();
    if is_measured {
        let mut stage = attack.stage(address, is_small, turn);
        stage.until = from + QUIET;
        if let Some(backdrop) = attack.backdrop {
            on_attackers_core(is_measured, || backdrop(&stage))?;
        }
        thread::sleep(stage.until.saturating_duration_since(Instant::now()));
    }
    Ok((from, Instant::now()))
}

/// What the server has when nothing happens but what honest clients do: the least of a while, as
/// each of their messages is on the heap for a moment.
fn baseline(server: &mut Server) -> Failed<Heap> {
    let mut least = server.heap()?;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(100));
        let now = server.heap()?;
        least = if now.live < least.live { now } else { least };
    }
    Ok(least)
}

/// Waits until the heap and the descriptors are what they were, but not for ever.
fn settle(server: &mut Server, most: u64, descriptors: usize) -> Failed<Heap> {
    let begun = Instant::now();
    loop {
        let now = server.heap()?;
        let is_back = now.live <= most && server.descriptors() == descriptors;
        if is_back || begun.elapsed() > SETTLES_WITHIN {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Runs something with the attackers' rights: on the second core, and behind the honest.
fn on_attackers_core<T: Send>(is_measured: bool, run: impl FnOnce() -> T + Send) -> T {
    cores::on(is_measured.then_some((1, Urgency::Attacker)), run)
}

/// Runs something, and looks how many descriptors a process has meanwhile: returns the most.
fn watched<T>(pid: u32, run: impl FnOnce() -> T) -> (T, usize) {
    let (is_over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                most.fetch_max(descriptors(pid), Ordering::SeqCst);
                thread::park_timeout(Duration::from_millis(250));
            }
        });
        let result = run();
        most.fetch_max(descriptors(pid), Ordering::SeqCst);
        is_over.store(true, Ordering::SeqCst);
        (result, most.load(Ordering::SeqCst))
    })
}

/// The latency in µs that 99 in 100 did not exceed.
fn p99(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort_unstable();
    let rank = (latencies.len() * 99).div_ceil(100).max(1);
    latencies.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

/// How much of a core other programs used while something was measured.
struct Disturbance {
    pid: u32,
    is_measured: bool,
    begun: Option<Usage>,
    most: f64,
}

impl Disturbance {
    fn new(pid: u32, is_measured: bool) -> Self {
        let mut disturbance = Disturbance { pid, is_measured, begun: None, most: 0.0 };
        disturbance.begun = disturbance.now();
        disturbance
    }

    fn now(&self) -> Option<Usage> {
        let cores: Vec<usize> =
            (0..thread::available_parallelism().map_or(1, usize::from)).collect();
        // the kernel may not tell: then nothing is said of it
        self.is_measured.then(|| Usage::now(self.pid, &cores, false).ok()).flatten()
    }

    /// A part of the run is over.
    fn note(&mut self) {
        let now = self.now();
        if let (Some(begun), Some(now)) = (self.begun, now) {
            self.most = self.most.max(now.since(&begun).disturbance());
        }
        self.begun = now;
    }

    fn share(mut self) -> f64 {
        self.note();
        self.most
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((quiet, attacked)) = self.p99 {
            write!(f, "honest p99 {quiet:.0} µs quiet, {attacked:.0} µs under attack; ")?;
        }
        let Sample { heap_before, heap_peak, heap_after, .. } = self;
        let Sample { descriptors_before, descriptors_peak, descriptors_after, .. } = self;
        write!(
            f,
            "heap {heap_before}, {heap_peak}, {heap_after} B; descriptors {descriptors_before}, \
             {descriptors_peak}, {descriptors_after}; {} log lines; {} honest messages; {}; {:.1} s \
             and {:.1} s until nothing was left",
            self.log_lines,
            self.honest,
            self.told,
            self.took.as_secs_f64(),
            self.settled.as_secs_f64()
        )?;
        if self.disturbance > 0.1 {
            write!(
                f,
                "; DISTURBED, other programs used {:.0} % of a core",
                100.0 * self.disturbance
            )?;
        }
        Ok(())
    }
}
