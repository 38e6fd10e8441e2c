//! Samples: at regular intervals, how things stand and what happened since the last time.

use std::time::Duration;

use super::latency::Latencies;
use super::net::Net;
use super::report::{Sample, ServerUse};
use super::usage::{self, Usage};

/// Totals of which a sample has the differences.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) failed: u64,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
}

/// Takes samples of one run.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// All in nanoseconds of the clock.
    began: u64,
    every: u64,
    last: u64,
    before: Totals,
    idle: Duration,
    /// Latencies since the last sample.
    pub(crate) latencies: Latencies,
    /// How late the generator sent since the last sample.
    pub(crate) lag: u64,
    server: Option<u32>,
    use_before: Option<Usage>,
    pub(crate) samples: Vec<Sample>,
}

impl Gauge {
    /// `now` is the time of the clock, `idle` for how long there was nothing to do until now.
    pub(crate) fn new(now: u64, idle: Duration, every: Duration, server: Option<u32>) -> Self {
        Gauge {
            began: now,
            every: every.as_nanos() as u64,
            last: now,
            before: Totals::default(),
            idle,
            latencies: Latencies::new(),
            lag: 0,
            server,
            use_before: server.and_then(usage::of),
            samples: Vec::new(),
        }
    }

    /// How often to sample a run of that length.
    pub(crate) fn interval(run: Duration) -> Duration {
        (run / 60).clamp(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// When the next sample is due.
    pub(crate) fn due(&self) -> u64 {
        self.last + self.every
    }

    /// Takes a sample if one is due.
    pub(crate) fn sample(&mut self, net: &Net, totals: Totals) -> Option<&Sample> {
        if net.now() < self.due() { None } else { self.sample_now(net, totals) }
    }

    /// Takes a sample of the time since the last one.
    fn sample_now(&mut self, net: &Net, totals: Totals) -> Option<&Sample> {
        let (now, idle) = (net.now(), net.idle());
        let seconds = (now - self.last) as f64 / 1e9;
        let busy = 1.0 - (idle - self.idle).as_secs_f64() / seconds;
        self.idle = idle;
        self.sample_with(now, busy, net.open() as u64, totals)
    }

    /// The same for what has no event loop of its own.
    pub(crate) fn sample_with(
        &mut self,
        now: u64,
        busy: f64,
        clients: u64,
        totals: Totals,
    ) -> Option<&Sample> {
        let seconds = now.saturating_sub(self.last) as f64 / 1e9;
        if seconds < 1e-3 {
            return None;
        }
        let rate = |now: u64, before: u64| rounded(now.saturating_sub(before) as f64 / seconds);
        let figure = |value: f64| (!self.latencies.is_empty()).then_some(value);
        let used = self.server.and_then(usage::of);
        let cpu = |now: Usage, before: Usage| {
            rounded(now.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds)
        };
        let sample = Sample {
            t: rounded((now - self.began) as f64 / 1e9),
            clients,
            failed: totals.failed,
            sent: totals.sent,
            delivered: totals.delivered,
            sent_per_second: rate(totals.sent, self.before.sent),
            delivered_per_second: rate(totals.delivered, self.before.delivered),
            p50_us: figure(self.latencies.quantile(0.5)),
            p99_us: figure(self.latencies.quantile(0.99)),
            max_us: figure(self.latencies.max()),
            lag_us: (self.lag > 0).then_some(self.lag as f64 / 1e3),
            busy: rounded(busy.clamp(0.0, 1.0)),
            server_cpu: used.zip(self.use_before).map(|(now, before)| cpu(now, before)),
            server_memory: used.map(|used| used.memory),
        };
        self.last = now;
        self.before = totals;
        self.latencies.clear();
        self.lag = 0;
        self.use_before = used;
        self.samples.push(sample);
        self.samples.last()
    }
}

/// What the server used since a moment.
pub(crate) fn server_use(
    pid: Option<u32>,
    before: Option<Usage>,
    delivered: u64,
    samples: &[Sample],
) -> Option<ServerUse> {
    let (now, before) = (usage::of(pid?)?, before?);
    let cpu = now.cpu.saturating_sub(before.cpu).as_secs_f64();
    let peak = samples.iter().filter_map(|sample| sample.server_memory).max().unwrap_or(0);
    Some(ServerUse {
        cpu_seconds: rounded(cpu),
        cpu_us_per_delivery: (delivered > 0).then(|| rounded(cpu * 1e6 / delivered as f64)),
        memory_before: before.memory,
        memory_peak: peak.max(now.memory),
    })
}

/// To a thousandth.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
