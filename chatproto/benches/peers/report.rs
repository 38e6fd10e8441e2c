//! The results as GitHub-flavoured Markdown, to be pasted into a README.

use std::fmt::Write;
use std::fs;

use crate::options::Options;
use crate::process::Cores;
use crate::sample::{Metric, Sample, figure};
use crate::servers::{Kind, Peers};
use crate::work::{Contender, Goal, Versus, Work};

/// The runs of one contender on one work.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) contender: Contender,
    pub(crate) samples: Vec<Sample>,
}

/// What came of one work.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    work: &'a Work,
    pub(crate) series: Vec<Series>,
    pub(crate) notes: Vec<String>,
}

impl<'a> Outcome<'a> {
    pub(crate) fn new(work: &'a Work, peers: &Peers) -> Self {
        let series = |contender| Series { contender, samples: Vec::new() };
        let series = work.contenders(&peers.kinds()).into_iter().map(series).collect();
        Outcome { work, series, notes: Vec::new() }
    }

    fn is_versus_peers(&self) -> bool {
        matches!(self.work.versus, Versus::Peers(_))
    }

    /// The median that is judged, and the one that is its measure.
    fn compared(&self, metric: Metric) -> Option<(f64, f64)> {
        let medians = |series: &Series| series.spread(metric).map(|(median, ..)| median);
        if !self.is_versus_peers() {
            let [measure, judged] = self.series.as_slice() else { return None };
            return Some((medians(judged)?, medians(measure)?));
        }
        let is_ours = |series: &&Series| series.contender.server == Kind::Chatproto;
        let (ours, theirs): (Vec<_>, Vec<_>) = self.series.iter().partition(is_ours);
        let theirs = theirs.into_iter().filter_map(medians);
        let best =
            if metric.is_better_high() { theirs.reduce(f64::max) } else { theirs.reduce(f64::min) };
        Some((ours.into_iter().find_map(medians)?, best?))
    }
}

impl Series {
    /// The median, the least and the greatest of a metric.
    fn spread(&self, metric: Metric) -> Option<(f64, f64, f64)> {
        let values = self.samples.iter().filter_map(|sample| sample.metrics.get(&metric));
        let mut values: Vec<f64> = values.copied().collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some((median, least, greatest))
    }

    fn cell(&self, metric: Metric) -> String {
        match self.spread(metric) {
            None => "–".to_owned(),
            Some((median, ..)) if self.samples.len() == 1 => figure(median),
            Some((median, least, greatest)) => {
                format!("{} ({}–{})", figure(median), figure(least), figure(greatest))
            }
        }
    }
}

/// Everything that goes to standard output.
pub(crate) fn tables(
    outcomes: &[Outcome<'_>],
    options: &Options,
    peers: &Peers,
    cores: &Cores,
) -> String {
    let mut text = String::new();
    let (ours, versus): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| !outcome.is_versus_peers());
    // writing to a string does not fail
    let _ = write_peers(&mut text, &versus, peers)
        .and_then(|()| write_details(&mut text, &versus, peers))
        .and_then(|()| write_itself(&mut text, &ours))
        .and_then(|()| write_notes(&mut text, outcomes, options, peers, cores));
    text
}

fn write_header(text: &mut String, columns: &[&str], numbers: usize) -> std::fmt::Result {
    let left = columns.len() - numbers;
    writeln!(text, "| {} |", columns.join(" | "))?;
    writeln!(text, "|{}{}", "---|".repeat(left), "---:|".repeat(numbers))
}

fn write_peers(text: &mut String, outcomes: &[&Outcome<'_>], peers: &Peers) -> std::fmt::Result {
    if outcomes.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = peers.kinds().into_iter().map(Kind::name).collect();
    let columns = [&["work", "measured"][..], &names, &["ratio to the best peer", "goal"]].concat();
    write_header(text, &columns, columns.len() - 2)?;
    for outcome in outcomes {
        for &(metric, goal) in &outcome.work.rows {
            write!(text, "| {} | {}", outcome.work.title, metric.name())?;
            for series in &outcome.series {
                write!(text, " | {}", series.cell(metric))?;
            }
            writeln!(text, " | {}", verdict(outcome.compared(metric), goal))?;
        }
    }
    writeln!(text)
}

/// Throughput and latency of the same runs, medians.
fn write_details(text: &mut String, outcomes: &[&Outcome<'_>], peers: &Peers) -> std::fmt::Result {
    let has_rate = |series: &Series| series.spread(Metric::Rate).is_some();
    let has_rates = |outcome: &&&Outcome<'_>| outcome.series.iter().any(has_rate);
    let outcomes: Vec<_> = outcomes.iter().filter(has_rates).collect();
    if outcomes.is_empty() {
        return Ok(());
    }
    writeln!(text, "Deliveries per second; latency in µs, median / p99 / p99.9:\n")?;
    let names: Vec<_> = peers.kinds().into_iter().map(Kind::name).collect();
    write_header(text, &[&["work"][..], &names].concat(), names.len())?;
    for outcome in outcomes {
        write!(text, "| {}", outcome.work.title)?;
        for series in &outcome.series {
            let median = |metric| {
                let spread = series.spread(metric);
                spread.map_or_else(|| "–".to_owned(), |(median, ..)| figure(median))
            };
            let latencies = [Metric::P50, Metric::P99, Metric::P999].map(median).join(" / ");
            write!(text, " | {}; {latencies}", median(Metric::Rate))?;
        }
        writeln!(text, " |")?;
    }
    writeln!(text)
}

fn write_itself(text: &mut String, outcomes: &[&Outcome<'_>]) -> std::fmt::Result {
    if outcomes.is_empty() {
        return Ok(());
    }
    writeln!(text, "chatproto alone, two ways each:\n")?;
    let columns = ["work", "measured", "measure", "compared", "ratio", "goal"];
    write_header(text, &columns, 4)?;
    for outcome in outcomes {
        for &(metric, goal) in &outcome.work.rows {
            write!(text, "| {} | {}", outcome.work.title, metric.name())?;
            for series in &outcome.series {
                write!(text, " | {}: {}", series.contender.label, series.cell(metric))?;
            }
            writeln!(text, " | {}", verdict(outcome.compared(metric), goal))?;
        }
    }
    writeln!(text)
}

/// The last two cells of a row.
fn verdict(compared: Option<(f64, f64)>, goal: Goal) -> String {
    let ratio = compared.map(|(judged, measure)| judged / measure);
    let shown = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"));
    let (goal, is_met) = match goal {
        Goal::None => return format!("{shown} | – |"),
        Goal::AtMostTimes(most) => (format!("≤ {most:.2} ×"), ratio.map(|ratio| ratio <= most)),
        Goal::AtLeastTimes(least) => (format!("≥ {least:.2} ×"), ratio.map(|ratio| ratio >= least)),
        Goal::AtMost(most) => (format!("≤ {most:.0}"), compared.map(|(judged, _)| judged <= most)),
    };
    let verdict = is_met.map_or("", |is_met| if is_met { ", met" } else { ", **not met**" });
    format!("{shown} | {goal}{verdict} |")
}

fn write_notes(
    text: &mut String,
    outcomes: &[Outcome<'_>],
    options: &Options,
    peers: &Peers,
    cores: &Cores,
) -> std::fmt::Result {
    let (rounds, timing) = (options.rounds, options.timing);
    writeln!(
        text,
        "`cargo bench -p chatproto --bench peers{}`: median (least–greatest) of {rounds} round{}, \
         each server in turn in every round, a fresh process each; {} s measured after {} s of \
         warm-up.\n",
        if options.typed.is_empty() { String::new() } else { format!(" --{}", options.typed) },
        if rounds == 1 { "" } else { "s" },
        timing.measured.as_secs_f64(),
        timing.warm_up.as_secs_f64(),
    )?;
    writeln!(text, "- Machine: {}; {}.", machine(), cores.description())?;
    writeln!(text, "- Versions: {}.", peers.versions().join(", "))?;
    for note in NOTES {
        writeln!(text, "- {note}")?;
    }
    let samples = outcomes.iter().flat_map(|outcome| &outcome.series).flat_map(|one| &one.samples);
    let (disturbed, calm): (Vec<_>, Vec<_>) = samples.partition(|sample| sample.is_disturbed());
    if !disturbed.is_empty() {
        let (count, all) = (disturbed.len(), disturbed.len() + calm.len());
        writeln!(
            text,
            "- **In {count} of {all} runs other programs used more than a tenth of a core**, which \
             changes what is measured.",
        )?;
    }
    for sentence in &peers.missing {
        writeln!(text, "- {sentence}")?;
    }
    for outcome in outcomes {
        for series in &outcome.series {
            let lost: u64 = series.samples.iter().map(|sample| sample.lost).sum();
            if lost > 0 {
                let (work, label) = (outcome.work.name, &series.contender.label);
                writeln!(text, "- {work}, {label}: **{lost} messages were lost**.")?;
            }
        }
        for note in &outcome.notes {
            writeln!(text, "- {}: {note}", outcome.work.name)?;
        }
    }
    Ok(())
}

const NOTES: [&str; 4] = [
    "Server CPU is user and system time of the server's process alone. Each server uses one \
     thread for connections where it lets one choose. Payloads are 64 bytes where nothing else is \
     said; every delivery is counted, and at the end of each run so is what did not arrive.",
    "chatproto's limit of messages per second and connection is off; it checks, stamps and frames \
     JSON, and tells the sender of a shout how many heard it, which is not counted as a delivery.",
    "MQTT is 3.1.1 at QoS 0. In redis a connection that has subscribed may not publish: a pair is \
     a publisher and a subscriber, and speaks one way.",
    "The latency of an open loop counts from the time that a message was due.",
];

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let models: Vec<_> = models.map(|model| model.trim_start_matches(['\t', ' ', ':'])).collect();
    let model = models.first().unwrap_or(&"unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from).max(models.len());
    format!("{model}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
