//! `load ramp`: adds clients until something breaks, and says what, where, and whose limit it was.

use std::time::{Duration, Instant};

use shared::failure::Failure;
use shared::numbers::{count, time};

use super::crew::Crew;
use super::gauge::{Gauge, Totals, server_use};
use super::latency::Latencies;
use super::live::{self, Live};
use super::options::RampOptions;
use super::report::{BreakingPoint, Check, Failures, Ramp, Run, Setting, Sign, Step, Whose};
use super::stage::{Stop, Target};
use super::traffic::Names;
use super::usage;
use super::worker::Setup;

/// Answers from which on a p99 means something.
const ENOUGH: u64 = 20;
/// How much slower than at the beginning answers are at the knee.
const SLOWER: f64 = 10.0;
/// Batches at the beginning, to which later ones are compared.
const FIRST: usize = 3;
/// With more of its time spent, the generator may be what is slow.
const BUSY: f64 = 0.9;

/// Runs the ramp; what was checked, the figures, and what was found.
pub(crate) fn run(
    options: &RampOptions,
    target: &Target,
    stop: &Stop,
    live: &mut Live,
    descriptors: u64,
) -> Result<(Vec<Check>, Run, Ramp), Failure> {
    let setup = Setup {
        address: target.address,
        url: target.url.as_ref().map(ToString::to_string),
        timeout: target.timeout,
        heartbeat: options.heartbeat.0,
        knee: options.knee.0,
        peer: options.peer,
        prefix: Names::new().of_family(),
        others: 0,
    };
    let crew = Crew::new(setup, descriptors)?;
    let used = target.pid.and_then(usage::of);
    let mut climb = Climb::new(options, target, stop, live, crew);
    let breaking_point = climb.climb()?;
    climb.sample_now();
    if !stop.is_asked() {
        climb.live.say("everybody leaves");
    }
    let left = climb.crew.leave(stop);
    let interrupted = stop.is_asked();
    if climb.most == 0 && !interrupted && climb.crew.ended().is_none() {
        let why = climb.crew.failures().first.unwrap_or_default();
        return Err(Failure::Run(format!(
            "no client could talk to {target}: {why} (is a server running there? choose another with \
             --server or --url)"
        )));
    }
    let ramp = Ramp {
        until: options.until,
        most: climb.most,
        processes: climb.crew.processes(),
        breaking_point,
        left,
        steps: std::mem::take(&mut climb.steps),
    };
    let seconds = climb.began.elapsed().as_secs_f64();
    let samples = std::mem::take(&mut climb.gauge.samples);
    let run = Run {
        scenario: "ramp".to_owned(),
        repetition: 1,
        settings: settings(options),
        seconds: super::gauge::rounded(seconds),
        clients: climb.connects.summary().count,
        failures: climb.crew.failures(),
        asked: climb.crew.asked(),
        answered: climb.crew.answered(),
        answer_latency: climb.heartbeats.summary(),
        latency_curve: climb.heartbeats.curve(),
        connect: climb.connects.summary(),
        busy: mean(samples.iter().map(|sample| sample.busy)),
        server_use: server_use(target.pid, used, 0, &samples),
        samples,
        ..Run::default()
    };
    Ok((checks(options, &ramp, interrupted), run, ramp))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    super::gauge::rounded(values.sum::<f64>() / count)
}

fn settings(options: &RampOptions) -> Vec<Setting> {
    let every = if options.fast { "fast".to_owned() } else { options.every.to_string() };
    let mut settings = vec![
        Setting { name: "batch", value: options.batch.to_string() },
        Setting { name: "every", value: every },
        Setting { name: "heartbeat", value: options.heartbeat.to_string() },
        Setting { name: "knee", value: options.knee.to_string() },
        Setting { name: "peer", value: options.peer.name().to_owned() },
    ];
    if let Some(until) = options.until {
        settings.push(Setting { name: "until", value: until.to_string() });
    }
    settings
}

fn checks(options: &RampOptions, ramp: &Ramp, interrupted: bool) -> Vec<Check> {
    let point = ramp.breaking_point.as_ref();
    let text = point.map(|point| point.text.clone());
    let mut most = format!("{} clients were there at once", count(ramp.most));
    if interrupted {
        most.push_str("; it was ended by hand");
    }
    let reached = match options.until {
        Some(until) => {
            let name = format!("{} clients are served", count(until));
            Check::new(&name, ramp.most >= until && point.is_none(), text.unwrap_or(most))
        }
        None => {
            let is_found = point.is_some_and(|point| point.whose == Whose::Server);
            let name = "the server's breaking point is found";
            Check::new(name, is_found, text.unwrap_or(most))
        }
    };
    let mut checks = vec![reached];
    // of an interrupted ramp nobody waits to be let go
    if !interrupted {
        let detail = format!("{} were not let go", count(ramp.left));
        checks.push(Check::new("everybody can leave", ramp.left == 0, detail));
    }
    checks
}

struct Climb<'a> {
    options: &'a RampOptions,
    stop: &'a Stop,
    live: &'a mut Live,
    crew: Crew,
    /// How long an answer may take at all.
    timeout: Duration,
    began: Instant,
    gauge: Gauge,
    /// Of the whole ramp.
    connects: Latencies,
    heartbeats: Latencies,
    /// Of the batch that is being added.
    step_connects: Latencies,
    step_heartbeats: Latencies,
    steps: Vec<Step>,
    most: u64,
}

impl<'a> Climb<'a> {
    fn new(
        options: &'a RampOptions,
        target: &Target,
        stop: &'a Stop,
        live: &'a mut Live,
        crew: Crew,
    ) -> Self {
        let every = Duration::from_millis(if options.fast { 200 } else { 1000 });
        Climb {
            options,
            stop,
            live,
            crew,
            timeout: target.timeout,
            began: Instant::now(),
            gauge: Gauge::new(0, Duration::ZERO, every, target.pid),
            connects: Latencies::new(),
            heartbeats: Latencies::new(),
            step_connects: Latencies::new(),
            step_heartbeats: Latencies::new(),
            steps: Vec::new(),
            most: 0,
        }
    }

    fn climb(&mut self) -> Result<Option<BreakingPoint>, Failure> {
        let mut wanted = 0;
        loop {
            let until = self.options.until.unwrap_or(u64::MAX);
            let batch = self.options.batch.min(until - wanted);
            let pause =
                if self.options.fast { &self.options.heartbeat } else { &self.options.every };
            let next = Instant::now() + pause.0;
            let short = self.crew.add(batch)?;
            wanted += batch - short;
            while !self.crew.is_settled() && !self.is_over() {
                self.listen();
            }
            let is_last = wanted >= until;
            // the last ones are given the time to be answered too
            while (!self.options.fast || (is_last && self.is_unheard()))
                && Instant::now() < next
                && self.crew.failures().total() == 0
                && !self.is_over()
            {
                self.listen();
            }
            // of answers that are slow it is seen how slow, before others make them slower
            let patience = Instant::now() + 2 * self.timeout;
            while self.crew.is_overdue()
                && !self.is_slow()
                && Instant::now() < patience
                && self.crew.failures().total() == 0
                && !self.is_over()
            {
                self.listen();
            }
            self.note_step(batch);
            let point = if short > 0 { Some(self.own_limit()) } else { self.judge() };
            if point.is_some() || is_last || self.stop.is_asked() {
                return Ok(point);
            }
        }
    }

    /// Whether there is nothing more to wait for.
    fn is_over(&self) -> bool {
        self.stop.is_asked() || self.crew.ended().is_some()
    }

    /// Whether enough answers came in this batch to say that they are slow.
    fn is_slow(&self) -> bool {
        let beats = self.step_heartbeats.summary();
        beats.count >= ENOUGH && beats.p99_us >= self.options.knee.0.as_secs_f64() * 1e6
    }

    /// Whether no heartbeat was answered yet.
    fn is_unheard(&self) -> bool {
        self.heartbeats.is_empty()
    }

    fn listen(&mut self) {
        self.crew.listen(Duration::from_millis(50));
        for all in [&mut self.connects, &mut self.step_connects] {
            all.add(&self.crew.connects);
        }
        for all in [&mut self.heartbeats, &mut self.step_heartbeats, &mut self.gauge.latencies] {
            all.add(&self.crew.heartbeats);
        }
        self.crew.connects.clear();
        self.crew.heartbeats.clear();
        self.most = self.most.max(self.crew.open());
        if self.now() >= self.gauge.due() {
            self.sample_now();
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn sample_now(&mut self) {
        let totals = Totals {
            failed: self.crew.failures().total(),
            sent: self.crew.asked(),
            delivered: self.crew.answered(),
        };
        let (now, open) = (self.now(), self.crew.open());
        let busy = self.crew.busy();
        let Some(sample) = self.gauge.sample_with(now, busy, open, totals) else { return };
        let done = self.options.until.map_or(0.0, |until| open as f64 / until as f64);
        self.live.show(done, &live::line("ramp", sample));
    }

    fn note_step(&mut self, added: u64) {
        let (connects, beats) = (self.step_connects.summary(), self.step_heartbeats.summary());
        let figure = |us: f64| (beats.count > 0).then_some(us);
        self.steps.push(Step {
            t: super::gauge::rounded(self.began.elapsed().as_secs_f64()),
            added,
            clients: self.crew.open(),
            failed: self.crew.failures().total(),
            connect_p50_us: connects.p50_us,
            connect_p99_us: connects.p99_us,
            heartbeat_p50_us: figure(beats.p50_us),
            heartbeat_p99_us: figure(beats.p99_us),
        });
        self.step_connects.clear();
        // a batch without enough answers adds to those of the next
        if beats.count >= ENOUGH {
            self.step_heartbeats.clear();
        }
    }

    /// Whether something broke.
    fn judge(&self) -> Option<BreakingPoint> {
        if let Some((lost, why)) = self.crew.ended() {
            let text = format!(
                "{} clients were served; then a process of this program that had {} of them ended \
                 before its time ({why}), which is not the server's doing",
                count(self.most),
                count(lost)
            );
            let (sign, whose) = (Sign::OwnEnd, Whose::Generator);
            return Some(BreakingPoint { clients: self.most, sign, whose, text });
        }
        let failures = self.crew.failures();
        if failures.total() > 0 {
            return Some(broken(self.crew.open(), self.most, &failures));
        }
        let p99s: Vec<f64> = self.steps.iter().filter_map(|step| step.heartbeat_p99_us).collect();
        let (at_first, now) = knee(&p99s, self.options.knee.0)?;
        let clients = self.crew.open();
        let is_own = self.crew.busy() > BUSY;
        let whose = if is_own { Whose::Generator } else { Whose::Server };
        let text = format!(
            "with {} clients the p99 of answers to heartbeats is {}, and was {} at first{}",
            count(clients),
            time(now),
            time(at_first),
            if is_own { "; but the generator itself has no time left" } else { "" }
        );
        Some(BreakingPoint { clients, sign: Sign::Latency, whose, text })
    }

    fn own_limit(&self) -> BreakingPoint {
        let clients = self.crew.open();
        let text = format!(
            "{} clients are served, and there is no process for others: {}",
            count(clients),
            self.crew.refusal
        );
        BreakingPoint { clients, sign: Sign::OwnLimit, whose: Whose::Generator, text }
    }
}

/// The p99 at first and now, if the latter is beyond the knee.
fn knee(p99s: &[f64], knee: Duration) -> Option<(f64, f64)> {
    let at_first = p99s.iter().take(FIRST).copied().reduce(f64::max)?;
    let now = *p99s.last()?;
    let is_broken =
        p99s.len() > FIRST && now >= knee.as_secs_f64() * 1e6 && now >= SLOWER * at_first;
    is_broken.then_some((at_first, now))
}

/// What broke first, by what most of the failures are, with so many clients now and so many at most.
fn broken(clients: u64, at_most: u64, failures: &Failures) -> BreakingPoint {
    let signs = [
        (failures.own_limit, Sign::OwnLimit, "could not be made on this machine"),
        (failures.refused, Sign::Refused, "were refused by the server"),
        (failures.timed_out, Sign::TimedOut, "got no answer in time"),
        (failures.unreachable, Sign::Unreachable, "found nobody who accepts connections"),
        (failures.dropped, Sign::Dropped, "were closed before they were welcomed"),
        (failures.lost, Sign::Lost, "lost their connection"),
    ];
    let most = signs.into_iter().max_by_key(|&(number, ..)| number);
    let (number, sign, what) = most.expect("there are six");
    let whose = if sign == Sign::OwnLimit { Whose::Generator } else { Whose::Server };
    // who is lost was served
    let (clients, served) = match sign {
        Sign::Lost => (at_most, format!("were served; then {} of them", count(number))),
        _ => (clients, format!("are served; {} more", count(number))),
    };
    let why = failures.first.as_deref().unwrap_or("nobody said why");
    let text = format!("{} clients {served} {what}: {why}", count(clients));
    BreakingPoint { clients, sign, whose, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_slow_and_much_slower_than_at_first() {
        let judged = |p99s: &[f64]| knee(p99s, Duration::from_millis(1));
        assert_eq!(judged(&[50.0, 60.0, 40.0, 2_000.0]), Some((60.0, 2_000.0)));
        // slow, but always was; not slow; not enough to compare with
        assert_eq!(judged(&[500.0, 600.0, 400.0, 2_000.0]), None);
        assert_eq!(judged(&[5.0, 6.0, 4.0, 900.0]), None);
        assert_eq!(judged(&[50.0, 60.0, 2_000.0]), None);
        assert_eq!(judged(&[]), None);
    }

    #[test]
    fn what_most_failures_are_is_what_broke() {
        let mut failures = Failures { refused: 49, lost: 1, ..Failures::default() };
        failures.first = Some("⛔ Error: full".to_owned());
        let point = broken(300, 300, &failures);
        assert_eq!((point.clients, point.sign, point.whose), (300, Sign::Refused, Whose::Server));
        assert_eq!(
            point.text,
            "300 clients are served; 49 more were refused by the server: ⛔ Error: full"
        );
        let own = Failures { own_limit: 3, refused: 1, ..Failures::default() };
        assert_eq!(broken(9, 9, &own).whose, Whose::Generator);
        let lost = Failures { lost: 200, first: Some("reset".to_owned()), ..Failures::default() };
        let point = broken(0, 250, &lost);
        assert_eq!((point.clients, point.sign), (250, Sign::Lost));
        let text = "250 clients were served; then 200 of them lost their connection: reset";
        assert_eq!(point.text, text);
    }
}
