//! What a load gives: `report.json` is this, as it is, and `report.schema.json` beside this file
//! says so for other programs. Times are in seconds or, where the name says it, microseconds.

use serde::{Deserialize, Serialize};

use super::latency::Summary;
use super::ledger::Counts;

/// The form of `report.json`; another number means that programs which read it must be changed.
pub(crate) const FORMAT: &str = "chatproto-load/1";

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) format: &'static str,
    pub(crate) kind: Kind,
    pub(crate) program: String,
    pub(crate) command: Vec<String>,
    /// When it began, in UTC (RFC 3339).
    pub(crate) started: String,
    pub(crate) server: String,
    pub(crate) transport: Transport,
    pub(crate) machine: Machine,
    /// It was ended before its time; what is here is what was done until then.
    pub(crate) interrupted: bool,
    /// Every check passed.
    pub(crate) passed: bool,
    pub(crate) checks: Vec<Check>,
    /// What makes the figures doubtful.
    pub(crate) warnings: Vec<String>,
    pub(crate) runs: Vec<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ramp: Option<Ramp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Stress,
    Ramp,
    Compare,
}

/// The protocol that carries the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "TCP",
            Transport::WebSocket => "WebSocket",
        }
    }
}

/// Where the load ran.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) os: String,
    pub(crate) cpus: usize,
    pub(crate) cpu: Option<String>,
}

/// One thing that had to hold.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) passed: bool,
    /// What was seen.
    pub(crate) detail: String,
}

impl Check {
    pub(crate) fn new(name: &str, passed: bool, detail: impl Into<String>) -> Self {
        Check { name: name.to_owned(), passed, detail: detail.into() }
    }
}

/// One run of one scenario.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    /// From 1.
    pub(crate) repetition: u32,
    /// What was asked for, in the words of a scenario file.
    pub(crate) settings: Vec<Setting>,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Clients that were welcomed.
    pub(crate) clients: u64,
    pub(crate) failures: Failures,
    pub(crate) counts: Counts,
    /// Commands to the server, and its answers.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// Reads that a client could not make a message of.
    pub(crate) unreadable: u64,
    /// Messages that were due and never sent, because the server did not read those before or the
    /// generator had no time.
    pub(crate) unsent: u64,
    /// Deliveries a second while it was measured.
    pub(crate) delivered_per_second: f64,
    pub(crate) latency: Summary,
    /// Quantile and latency in µs.
    pub(crate) latency_curve: Vec<(f64, f64)>,
    /// From a command to its answer.
    pub(crate) answer_latency: Summary,
    /// From connecting to the welcome.
    pub(crate) connect: Summary,
    /// From when a message was due to when the generator sent it.
    pub(crate) lag: Summary,
    /// The part of the time in which the generator had something to do.
    pub(crate) busy: f64,
    /// Processor time of the generator while it was measured, where the system tells it.
    pub(crate) generator_cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_use: Option<ServerUse>,
    pub(crate) senders: Vec<SenderCounts>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// Clients that came to an end nobody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failures {
    /// The server said that it does not take them.
    pub(crate) refused: u64,
    /// No welcome came in time.
    pub(crate) timed_out: u64,
    /// Nobody accepted the connection.
    pub(crate) unreachable: u64,
    /// Closed before the welcome.
    pub(crate) dropped: u64,
    /// Closed or broken after the welcome.
    pub(crate) lost: u64,
    /// The generator's machine could not make the connection.
    pub(crate) own_limit: u64,
    /// The first of them, in words.
    pub(crate) first: Option<String>,
}

impl Failures {
    pub(crate) fn total(&self) -> u64 {
        self.refused + self.timed_out + self.unreachable + self.dropped + self.lost + self.own_limit
    }

    pub(crate) fn add(&mut self, other: &Failures) {
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.unreachable += other.unreachable;
        self.dropped += other.dropped;
        self.lost += other.lost;
        self.own_limit += other.own_limit;
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }
}

/// What the server used while it was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ServerUse {
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) memory_before: u64,
    pub(crate) memory_peak: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct SenderCounts {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// How things stood at one moment, and what happened since the moment before.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the run began.
    pub(crate) t: f64,
    pub(crate) clients: u64,
    /// Clients that failed so far.
    pub(crate) failed: u64,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) sent_per_second: f64,
    pub(crate) delivered_per_second: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    /// The longest that the generator sent late.
    pub(crate) lag_us: Option<f64>,
    pub(crate) busy: f64,
    /// Cores that the server used.
    pub(crate) server_cpu: Option<f64>,
    pub(crate) server_memory: Option<u64>,
}

/// What a ramp found.
#[derive(Debug, Serialize)]
pub(crate) struct Ramp {
    /// The number of clients to stop at, if one was given.
    pub(crate) until: Option<u64>,
    /// The most clients that were there at once.
    pub(crate) most: u64,
    /// Processes that the generator ran.
    pub(crate) processes: u64,
    pub(crate) breaking_point: Option<BreakingPoint>,
    /// Clients that the server did not let go at the end.
    pub(crate) left: u64,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct BreakingPoint {
    /// Clients that were served when it broke.
    pub(crate) clients: u64,
    pub(crate) sign: Sign,
    pub(crate) whose: Whose,
    /// The same in words.
    pub(crate) text: String,
}

/// How a breaking point shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sign {
    Refused,
    TimedOut,
    Unreachable,
    Dropped,
    Lost,
    Latency,
    OwnLimit,
    /// A process of the generator ended before its time.
    OwnEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Whose {
    Server,
    Generator,
}

/// One batch of a ramp.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) t: f64,
    pub(crate) added: u64,
    pub(crate) clients: u64,
    pub(crate) failed: u64,
    pub(crate) connect_p50_us: f64,
    pub(crate) connect_p99_us: f64,
    pub(crate) heartbeat_p50_us: Option<f64>,
    pub(crate) heartbeat_p99_us: Option<f64>,
}

impl Sign {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sign::Refused => "refused",
            Sign::TimedOut => "no answer in time",
            Sign::Unreachable => "unreachable",
            Sign::Dropped => "not welcomed",
            Sign::Lost => "connections lost",
            Sign::Latency => "answers become slow",
            Sign::OwnLimit => "the generator's limit",
            Sign::OwnEnd => "the generator's own end",
        }
    }
}

impl Machine {
    pub(crate) fn this() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        let cpu = model.map(|text| text.trim_start_matches([' ', '\t', ':']).to_owned());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let os = format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH);
        Machine { os: os.split_whitespace().collect::<Vec<_>>().join(" "), cpus, cpu }
    }
}
