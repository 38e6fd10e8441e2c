//! `load compare`: scenarios, one after the other, each repeated, in alternation.

use std::time::Duration;

use chatproto::handshake::PeerKind;
use shared::failure::Failure;
use shared::numbers::{count, time};

use super::live::Live;
use super::payload::Padding;
use super::report::{Check, Run};
use super::scenario::{Pace, Plan, Scenario, To};
use super::stage::{Stage, Stop, Target};

/// What may wait in the generator because the server does not read: more is not sent, and said.
const BACKLOG: usize = 256 << 20;
/// What one turn sends at most, so that reading is not kept waiting.
const BURST: u32 = 2048;
/// The system waits whole milliseconds: what is due earlier is waited for by looking at the clock.
const COARSE: Duration = Duration::from_millis(2);
/// How long after the end the generator sends what it is late with, in nanoseconds.
const CATCH_UP: u64 = 1_000_000_000;
/// In a closed loop, a silence after which what was lost is replaced.
const STALLED: Duration = Duration::from_secs(1);

/// Runs everything that is planned; what was checked, and each run.
pub(crate) fn run(
    plan: &Plan,
    target: &Target,
    stop: &Stop,
    live: &mut Live,
) -> Result<(Vec<Check>, Vec<Run>), Failure> {
    let all = plan.repeat as usize * plan.scenarios.len();
    let mut runs = Vec::new();
    let mut why = String::new();
    'runs: for repetition in 1..=plan.repeat {
        for scenario in &plan.scenarios {
            if stop.is_asked() {
                break 'runs;
            }
            let at = runs.len() as f64 / all as f64;
            let label = format!("{} {repetition}/{}", scenario.name, plan.repeat);
            let size = (scenario.clients, PeerKind::from(scenario.peer));
            let length = plan.warmup + plan.duration;
            let run = Stage::new(target, stop, live, label.clone(), size, length)
                .map(|stage| stage.with_progress(at, at + 1.0 / all as f64))
                .and_then(|stage| Talk::run(stage, scenario, plan));
            let run = match run {
                Ok(run) => run,
                Err(_) if stop.is_asked() => break 'runs,
                // what was measured so far is reported, and the failure with it
                Err(failure) if !runs.is_empty() => {
                    why = format!("; {label}: {failure}");
                    break 'runs;
                }
                Err(failure) => return Err(failure),
            };
            live.say(&format!("{} {repetition}/{}: {}", scenario.name, plan.repeat, line(&run)));
            runs.push(Run { repetition, ..run });
        }
    }
    if stop.is_asked() {
        why = "; it was ended by hand".to_owned();
    }
    let detail = format!("{} of {all}{why}", runs.len());
    let mut checks = checks(&runs);
    checks.insert(0, Check::new("every run is made", runs.len() == all && why.is_empty(), detail));
    Ok((checks, runs))
}

/// The result of a run in a line.
fn line(run: &Run) -> String {
    let (counts, latency) = (&run.counts, &run.latency);
    let mut line = format!(
        "{} delivered/s, p50 {}, p99 {}, p99.9 {}, max {}",
        count(run.delivered_per_second as u64),
        time(latency.p50_us),
        time(latency.p99_us),
        time(latency.p99_9_us),
        time(latency.max_us)
    );
    for (number, what) in [
        (counts.lost, "LOST"),
        (counts.duplicated, "DUPLICATED"),
        (counts.reordered, "REORDERED"),
        (counts.corrupted, "CORRUPTED"),
        (counts.extra, "EXTRA"),
    ] {
        if number > 0 {
            line.push_str(&format!(", {} {what}", count(number)));
        }
    }
    line
}

fn checks(runs: &[Run]) -> Vec<Check> {
    let check = |name: &str, of: fn(&Run) -> u64| {
        let all: u64 = runs.iter().map(of).sum();
        let expected: u64 = runs.iter().map(|run| run.counts.expected).sum();
        let mut detail = format!("{} of {}", count(all), count(expected));
        let bad = runs.iter().filter(|run| of(run) > 0);
        let bad: Vec<_> = bad.map(|run| format!("{} {}", run.scenario, run.repetition)).collect();
        if !bad.is_empty() {
            detail.push_str(&format!(" (in {})", bad.join(", ")));
        }
        Check::new(name, all == 0, detail)
    };
    let failed: u64 = runs.iter().map(|run| run.failures.total()).sum();
    let first = runs.iter().find_map(|run| run.failures.first.as_deref());
    let detail = first.map_or("none failed".to_owned(), |first| {
        format!("{} failed; the first: {first}", count(failed))
    });
    let sent: u64 = runs.iter().map(|run| run.counts.sent).sum();
    vec![
        Check::new("messages are sent", sent > 0, count(sent)),
        Check::new("every client is served to the end", failed == 0, detail),
        check("nothing is lost", |run| run.counts.lost),
        check("nothing is duplicated", |run| run.counts.duplicated),
        check("nothing is reordered", |run| run.counts.reordered),
        check("nothing is corrupted", |run| run.counts.corrupted),
        check("nothing is extra", |run| run.counts.extra),
    ]
}

/// One run of one scenario.
struct Talk<'a> {
    stage: Stage<'a>,
    flows: Vec<u32>,
    padding: Padding,
    /// Bytes that may wait for one client's socket.
    backlog: usize,
    /// Messages that were due and not sent, because too many bytes waited or time was up.
    unsent: u64,
}

impl<'a> Talk<'a> {
    fn run(mut stage: Stage<'a>, scenario: &Scenario, plan: &Plan) -> Result<Run, Failure> {
        stage.gather(scenario.clients, scenario.peer.into())?;
        let flows = open_flows(&mut stage, scenario)?;
        let padding = Padding::letters(scenario.payload());
        let backlog = (BACKLOG / scenario.clients).clamp(64 << 10, 4 << 20);
        let mut talk = Talk { stage, flows, padding, backlog, unsent: 0 };
        if !talk.flows.is_empty() {
            match scenario.pace() {
                Pace::Open(rate) => talk.open_loop(rate, plan)?,
                Pace::Closed(in_flight) => talk.closed_loop(in_flight, plan)?,
            }
        }
        let figures = talk.stage.read_out();
        talk.stage.traffic.stop_following();
        talk.stage.drain()?;
        let (scenario_name, unsent) = (scenario.name.clone(), talk.unsent);
        let run = talk.stage.finish(figures);
        Ok(Run { scenario: scenario_name, settings: scenario.settings(), unsent, ..run })
    }

    /// Has the measuring begin after the warm-up, which begins now: both ends of it.
    fn begin(&mut self, plan: &Plan) -> (u64, u64) {
        let begin = self.stage.net.now();
        let from = begin + plan.warmup.as_nanos() as u64;
        (begin, from + plan.duration.as_nanos() as u64)
    }

    /// Sends each message when it is due, whatever the server does.
    fn open_loop(&mut self, rate: f64, plan: &Plan) -> Result<(), Failure> {
        let (begin, end) = self.begin(plan);
        let due = |number: u64| begin + (number as f64 / rate * 1e9) as u64;
        let (mut number, mut is_measuring) = (0, false);
        loop {
            let now = self.stage.net.now();
            self.measure_when_due(&mut is_measuring, now, end, plan);
            let mut room = BURST;
            while due(number) <= now.min(end - 1) && room > 0 {
                let flow = self.flows[(number % self.flows.len() as u64) as usize];
                self.send(flow, due(number), now);
                number += 1;
                room -= 1;
            }
            // what was due is sent, late if need be, but not for ever
            let is_done = now >= end && (due(number) >= end || now - end > CATCH_UP);
            if is_done || self.is_over() {
                let all = (now.min(end) - begin) as f64 * rate / 1e9;
                self.unsent += (all as u64).saturating_sub(number);
                return Ok(());
            }
            let next = Duration::from_nanos(due(number).min(end).saturating_sub(now));
            let wait = if next > COARSE { next - COARSE / 2 } else { Duration::ZERO };
            self.stage.turn(wait, progress(begin, now, end))?;
        }
    }

    /// Keeps a number of messages of each flow on their way.
    fn closed_loop(&mut self, in_flight: u32, plan: &Plan) -> Result<(), Failure> {
        self.stage.traffic.follow();
        let (begin, end) = self.begin(plan);
        let (mut again, mut is_measuring) = (Vec::new(), false);
        for _ in 0..in_flight {
            self.send_to_all();
        }
        loop {
            let now = self.stage.net.now();
            self.measure_when_due(&mut is_measuring, now, end, plan);
            if now >= end || self.is_over() {
                return Ok(());
            }
            self.stage.turn(Duration::from_millis(50), progress(begin, now, end))?;
            self.stage.traffic.take_follow(&mut again);
            let now = self.stage.net.now();
            for flow in again.drain(..) {
                self.send(flow, now, now);
            }
            if self.stage.traffic.silence(&self.stage.net) > STALLED {
                self.stage.traffic.restart_silence(&self.stage.net);
                self.send_to_all();
            }
        }
    }

    fn send_to_all(&mut self) {
        let now = self.stage.net.now();
        for at in 0..self.flows.len() {
            self.send(self.flows[at], now, now);
        }
    }

    fn measure_when_due(&mut self, is_measuring: &mut bool, now: u64, end: u64, plan: &Plan) {
        let from = end - plan.duration.as_nanos() as u64;
        if !*is_measuring && now >= from {
            *is_measuring = true;
            self.stage.measure(from, end);
        }
    }

    fn send(&mut self, flow: u32, due: u64, now: u64) {
        let (net, traffic) = (&mut self.stage.net, &mut self.stage.traffic);
        let sender = traffic.sender(flow);
        if !net.is_ready(sender) {
            return;
        }
        if net.unwritten(sender) > self.backlog {
            self.unsent += 1;
            return;
        }
        traffic.note_lag(due, now - due);
        traffic.send(net, flow, &self.padding, due);
        if traffic.is_shout(flow) {
            traffic.expect_answer(net, sender, super::traffic::Expected::Anything);
        }
    }

    fn is_over(&self) -> bool {
        self.stage.is_stopped() || self.stage.net.open() == 0
    }
}

fn progress(begin: u64, now: u64, end: u64) -> f64 {
    (now - begin) as f64 / (end - begin) as f64
}

/// One flow of each client that is there.
fn open_flows(stage: &mut Stage<'_>, scenario: &Scenario) -> Result<Vec<u32>, Failure> {
    let there = stage.present();
    if there.len() < 2 {
        return Ok(Vec::new());
    }
    let flows = match scenario.to {
        To::Private => {
            // in pairs; the last of an odd number writes to the first
            let other = |at: usize| *there.get(at ^ 1).unwrap_or(&there[0]);
            let pairs = there.iter().enumerate().map(|(at, &who)| (who, other(at)));
            pairs.map(|(who, other)| stage.traffic.open_private(who, other)).collect()
        }
        To::Room => {
            let Some(rooms) = stage.join(scenario.rooms)? else {
                return Err(Failure::Run(format!(
                    "scenario \"{}\" needs rooms, and the server did not let anybody join one",
                    scenario.name
                )));
            };
            let mut flows = Vec::new();
            for (number, members) in rooms.iter().enumerate().filter(|(_, room)| room.len() > 1) {
                let room = stage.traffic.names.room(number);
                let open = |&who: &u32| stage.traffic.open_room(who, &room, members);
                flows.extend(members.iter().map(open));
            }
            flows
        }
        To::Own => there.iter().map(|&who| stage.traffic.open_private(who, who)).collect(),
        To::Shout => there.iter().map(|&who| stage.traffic.open_shout(who, &there)).collect(),
    };
    Ok(flows)
}
