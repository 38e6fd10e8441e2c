//! The results as Markdown, to be pasted into a README.

use std::fmt::Write;
use std::fs;

use super::options::Options;
use super::run::Sample;
use super::stage::Attack;

/// What came of one attack.
pub(crate) struct Outcome {
    attack: &'static Attack,
    pub(crate) samples: Vec<Sample>,
    pub(crate) failures: Vec<String>,
    pub(crate) skipped: Option<String>,
}

/// More use of a core by other programs than this changes what is measured.
const DISTURBED: f64 = 0.1;
/// How much longer honest messages may take under attack.
const GOAL: f64 = 1.5;

impl Outcome {
    pub(crate) fn new(attack: &'static Attack) -> Self {
        Outcome { attack, samples: Vec::new(), failures: Vec::new(), skipped: None }
    }

    /// The median of the rounds.
    fn median(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            0 => Some(f64::midpoint(*values.get(middle.checked_sub(1)?)?, values[middle])),
            _ => Some(values[middle]),
        }
    }

    fn write_row(&self, text: &mut String, is_small: bool) -> std::fmt::Result {
        // the least of the rounds, if one of them ran out of time
        let done = self.samples.iter().map(|sample| sample.done).min();
        let done = done.unwrap_or(self.attack.size(is_small));
        write!(text, "| {} ", self.attack.title(done))?;
        if self.samples.is_empty() {
            let why = if self.skipped.is_some() { "skipped" } else { "failed" };
            return writeln!(text, "| {why} | | | | | |");
        }
        let median = |value: &dyn Fn(&Sample) -> f64| {
            whole(self.median(|sample| Some(value(sample))).unwrap_or(f64::NAN))
        };
        let quiet = self.median(|sample| sample.p99.map(|(quiet, _)| quiet));
        let attacked = self.median(|sample| sample.p99.map(|(_, attacked)| attacked));
        // of the ratios, and not of the times: what else the machine does changes between rounds
        let ratio = self.median(|sample| sample.p99.map(|(quiet, attacked)| attacked / quiet));
        let shown = |time: Option<f64>| time.map_or("–".to_owned(), whole);
        let ratio = ratio.map_or("–".to_owned(), |ratio| match ratio <= GOAL {
            true => format!("{ratio:.2} ×"),
            false => format!("**{ratio:.2} ×**"),
        });
        let is_disturbed = self.samples.iter().any(|sample| sample.disturbance > DISTURBED);
        let mark = if is_disturbed { "\\*" } else { "" };
        write!(text, "| {} µs | {} µs | {ratio}{mark} ", shown(quiet), shown(attacked))?;
        let heap = |value: fn(&Sample) -> u64| median(&|sample| value(sample) as f64 / 1024.0);
        write!(
            text,
            "| {} → {} → {} KiB ",
            heap(|sample| sample.heap_before),
            heap(|sample| sample.heap_peak),
            heap(|sample| sample.heap_after)
        )?;
        writeln!(
            text,
            "| {} → {} → {} | {} |",
            median(&|sample| sample.descriptors_before as f64),
            median(&|sample| sample.descriptors_peak as f64),
            median(&|sample| sample.descriptors_after as f64),
            median(&|sample| sample.log_lines as f64)
        )
    }
}

fn whole(number: f64) -> String {
    super::stage::grouped(number.round() as usize)
}

/// All that is known, as a table and what is to be said of it.
pub(crate) fn table(outcomes: &[Outcome], options: &Options) -> String {
    let mut text = String::new();
    // writing to a string does not fail
    let _ = write_table(&mut text, outcomes, options);
    text
}

fn write_table(text: &mut String, outcomes: &[Outcome], options: &Options) -> std::fmt::Result {
    writeln!(
        text,
        "| attack | honest p99, quiet | under attack | ratio | heap before → peak → after | \
         descriptors | log lines |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|")?;
    for outcome in outcomes {
        outcome.write_row(text, options.is_quick)?;
    }
    let plural = if options.rounds == 1 { "" } else { "s" };
    writeln!(
        text,
        "\n`cargo bench -p server-example --bench attacks{}`: medians of {} round{plural}, a server \
         process of its own for each. {}\n",
        if options.typed.is_empty() { String::new() } else { format!(" --{}", options.typed) },
        options.rounds,
        NOTE
    )?;
    writeln!(text, "- Machine: {}.", machine())?;
    let samples = outcomes.iter().flat_map(|outcome| &outcome.samples);
    let (disturbed, calm): (Vec<_>, Vec<_>) =
        samples.partition(|sample| sample.disturbance > DISTURBED);
    if !disturbed.is_empty() {
        let most = disturbed.iter().map(|sample| sample.disturbance).fold(0.0, f64::max);
        writeln!(
            text,
            "- \\* **In {} of {} runs other programs used more than a tenth of a core** (at most {:.0} \
             % of one), which changes latencies, the quiet ones and the others.",
            disturbed.len(),
            disturbed.len() + calm.len(),
            100.0 * most
        )?;
    }
    for outcome in outcomes {
        let name = outcome.attack.name;
        if let Some(sample) = outcome.samples.last() {
            let (took, settled) = (sample.took.as_secs_f64(), sample.settled.as_secs_f64());
            let told = &sample.told;
            writeln!(
                text,
                "- {name}: {told}; {took:.0} s, and {settled:.1} s until nothing was left."
            )?;
        }
        if let Some(why) = &outcome.skipped {
            writeln!(text, "- {name}: skipped, because {why}")?;
        }
        for failure in &outcome.failures {
            writeln!(text, "- {name}: **failed**: {failure}")?;
        }
    }
    Ok(())
}

const NOTE: &str = "Honest clients are 20 pairs, 400 messages a second in all, each of which must \
arrive; their p99 is from a write to when the reader's socket has it. Heap is what the server has allocated, \
counted by its allocator; descriptors are before, at most, and after.";

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<_> = cpus.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models
        .first()
        .map_or("unknown processor", |model| model.trim_start_matches(['\t', ' ', ':']));
    let release = read("/proc/sys/kernel/osrelease");
    let cores = models.len().max(1);
    let order = if super::cores::are_honest_first() {
        "an honest client runs as soon as it can (SCHED_FIFO)"
    } else {
        "attackers give way, as far as the scheduler has them do so: SCHED_FIFO for honest clients \
         needs the superuser and `chrt`"
    };
    let awake = if super::cores::are_awake() {
        "no core sleeps (SCHED_IDLE keeps it busy)"
    } else {
        "cores may sleep, which takes two of them and `chrt` to prevent"
    };
    format!(
        "{model}, {cores} cores, Linux {}; the server on the first core, attackers and honest \
         clients on the second, where {order}; {awake}",
        release.trim()
    )
}
