//! Where results go: a summary to standard output, and the files of `--out`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::failure::{Failure, reason};
use shared::numbers::{bytes, count, time};
use shared::staging::{Access, Existing, Staging};
use shared::target;
use shared::text::visible;

use super::figures;
use super::html;
use super::options::CommonOptions;
use super::report::{Check, FORMAT, Kind, Machine, Report, Run, Transport};
use super::stage::Target;

/// Where in the directory each plot is a file of its own.
const PLOTS: &str = "plots";
/// The other files in the directory.
const FILES: [&str; 3] = ["report.json", "samples.csv", "report.html"];
/// More than this of the time without a pause, and the generator may be what is slow.
const BUSY: f64 = 0.9;
/// Sending so late, at p99, is no small part of a latency any more.
const LATE_US: f64 = 1_000.0;

/// The directory of `--out`, if there is one, and whether a report in it is replaced.
#[derive(Debug)]
pub(crate) struct Output {
    place: Option<(PathBuf, Existing)>,
    /// Directories that were made for it, the innermost first. Those that stay empty go with it.
    made: Vec<PathBuf>,
}

impl Drop for Output {
    fn drop(&mut self) {
        // one with something in it is not removed, and is what was asked for
        let _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}

impl Output {
    /// Makes the directory before the load runs, so that nothing is run in vain.
    pub(crate) fn new(options: &CommonOptions) -> Result<Self, Failure> {
        let Some(directory) = &options.out else {
            return Ok(Output { place: None, made: Vec::new() });
        };
        let existing = Existing::replaced_if(options.force);
        target::check_directory(directory)?;
        let fail = |error: &io::Error| {
            let shown = directory.to_string_lossy();
            let why = reason(error);
            Failure::Usage(format!("cannot write into {} of --out: {why}", visible(&shown)))
        };
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = directory.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        let output = Output { place: Some((directory.to_owned(), existing)), made };
        fs::create_dir_all(directory).map_err(|error| fail(&error))?;
        for name in FILES {
            target::check(&directory.join(name), existing).map_err(|failure| match failure {
                Failure::Run(sentence) => Failure::Usage(sentence),
                other => other,
            })?;
        }
        let plots = directory.join(PLOTS);
        let has_plots = fs::read_dir(&plots).is_ok_and(|mut entries| entries.next().is_some());
        if has_plots && existing == Existing::Refuse {
            let failure = target::failed(&plots, &io::ErrorKind::AlreadyExists.into());
            return Err(Failure::Usage(failure.to_string()));
        }
        Staging::beside(&directory.join(FILES[0])).map_err(|error| fail(&error))?;
        Ok(output)
    }

    /// Prints the summary, writes the files, and says whether all is well.
    pub(crate) fn write(&self, report: &Report) -> Result<(), Failure> {
        print(&summary(report))?;
        if let Some((directory, existing)) = &self.place {
            let write = |path: PathBuf, content: &str| {
                target::write(&path, content.as_bytes(), Access::Shared, *existing)
            };
            let json = serde_json::to_string_pretty(report).expect("a report has a JSON form");
            let contents = [json + "\n", csv(&report.runs), html::page(report)];
            for (name, content) in FILES.iter().zip(contents) {
                write(directory.join(name), &content)?;
            }
            let plots = directory.join(PLOTS);
            fs::create_dir_all(&plots).map_err(|error| target::failed(&plots, &error))?;
            for plot in figures::of(report).iter().filter(|plot| !plot.is_empty()) {
                write(plots.join(plot.file_name()), &plot.file())?;
            }
            print(&format!("\nThe report is {}\n", directory.join("report.html").display()))?;
        }
        match report {
            Report { interrupted: true, .. } => Err(Failure::Interrupted),
            Report { passed: true, .. } => Ok(()),
            _ => Err(Failure::Run(failed(&report.checks))),
        }
    }
}

/// Prints to standard output. A reader that has gone is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let why = reason(&error);
            Err(Failure::Run(format!("cannot write to standard output: {why}")))
        }
        _ => Ok(()),
    }
}

fn failed(checks: &[Check]) -> String {
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    let [first, rest @ ..] = &failed[..] else { return "the load did not pass".to_owned() };
    let more = match rest.len() {
        0 => String::new(),
        1 => ", and another check failed".to_owned(),
        number => format!(", and {number} other checks failed"),
    };
    format!("it does not hold that {}: {}{more}", first.name, first.detail)
}

impl Report {
    pub(crate) fn begin(kind: Kind, target: &Target) -> Self {
        Report {
            format: FORMAT,
            kind,
            program: format!("server-example {}", env!("CARGO_PKG_VERSION")),
            command: std::env::args().skip(1).collect(),
            started: shared::clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            server: target.to_string(),
            transport: if target.url.is_some() { Transport::WebSocket } else { Transport::Tcp },
            machine: Machine::this(),
            interrupted: false,
            passed: false,
            checks: Vec::new(),
            warnings: Vec::new(),
            runs: Vec::new(),
            ramp: None,
        }
    }

    /// Gives the verdict, and says what makes the figures doubtful.
    pub(crate) fn conclude(&mut self, checks: Vec<Check>, interrupted: bool) {
        self.passed = checks.iter().all(|check| check.passed);
        self.checks = checks;
        self.interrupted = interrupted;
        let scenarios = figures::scenarios(&self.runs);
        self.warnings = scenarios.iter().flat_map(|(name, runs)| doubts(name, runs)).collect();
        if interrupted {
            let warning = "It was ended by hand: this is what was done until then. What was on its \
                           way counts as lost or unanswered.";
            self.warnings.push(warning.to_owned());
        }
    }
}

/// Where the generator itself was the bottleneck, or could not do what was asked for: a sentence
/// for each such thing of a scenario, by its worst run.
fn doubts(name: &str, runs: &[&Run]) -> Vec<String> {
    let mut doubts = Vec::new();
    let of = |bad: &[&&Run]| format!("{name}, {} of {} runs", bad.len(), runs.len());
    let worst = |bad: &[&&Run], value: fn(&Run) -> f64| {
        bad.iter().map(|run| value(run)).fold(0.0, f64::max)
    };
    let is_late =
        |run: &Run| run.lag.p99_us > LATE_US && run.lag.p99_us > run.latency.p99_us / 10.0;
    let busy: Vec<_> = runs.iter().filter(|run| run.busy > BUSY).collect();
    if !busy.is_empty() {
        doubts.push(format!(
            "{}: the generator itself was the bottleneck. It was busy {:.0} % of the time{}. The \
             server may be faster than it looks.",
            of(&busy),
            100.0 * worst(&busy, |run| run.busy),
            match worst(&busy, |run| run.lag.p99_us) {
                late if late > LATE_US =>
                    format!(", and sent 1 % of the messages more than {} late", time(late)),
                _ => String::new(),
            }
        ));
    }
    let late: Vec<_> = runs.iter().filter(|run| is_late(run) && run.busy <= BUSY).collect();
    if !late.is_empty() {
        doubts.push(format!(
            "{}: other programs kept the generator from the processor. It sent 1 % of the messages \
             more than {} late, though it had time. Latencies look longer than they are.",
            of(&late),
            time(worst(&late, |run| run.lag.p99_us))
        ));
    }
    let unsent: u64 = runs.iter().map(|run| run.unsent).sum();
    if unsent > 0 {
        doubts.push(format!(
            "{name}: {} messages were due and never sent, because the server did not read those \
             before or the generator had no time.",
            count(unsent)
        ));
    }
    if let Some(run) = runs.iter().find(|run| run.failures.own_limit > 0) {
        let why = run.failures.first.as_deref().unwrap_or_default();
        doubts.push(format!("{name}: this machine could not make all connections: {why}"));
    }
    doubts
}

/// The report for the terminal.
fn summary(report: &Report) -> String {
    let mut text = String::new();
    for run in &report.runs {
        text.push_str(&paragraph(report.kind, run));
    }
    text.push('\n');
    for Check { name, passed, detail } in &report.checks {
        let mark = if *passed { "pass" } else { "FAIL" };
        writeln!(text, "{mark}  {name} ({})", visible(detail)).expect("text");
    }
    for warning in &report.warnings {
        writeln!(text, "note  {}", visible(warning)).expect("text");
    }
    text
}

fn paragraph(kind: Kind, run: &Run) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "  {name:<12}{value}").expect("text");
    let counts = &run.counts;
    if counts.sent > 0 {
        row(
            "messages",
            format!(
                "{} sent, {} deliveries expected, {} delivered",
                count(counts.sent),
                count(counts.expected),
                count(counts.delivered),
            ),
        );
        row(
            "faults",
            format!(
                "{} lost, {} duplicated, {} reordered, {} corrupted, {} extra",
                count(counts.lost),
                count(counts.duplicated),
                count(counts.reordered),
                count(counts.corrupted),
                count(counts.extra),
            ),
        );
        row("throughput", format!("{} deliveries/s", count(run.delivered_per_second as u64)));
    }
    for (name, latency) in
        [("latency", &run.latency), ("answers", &run.answer_latency), ("connecting", &run.connect)]
    {
        if latency.count > 0 {
            row(
                name,
                format!(
                    "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
                    time(latency.p50_us),
                    time(latency.p90_us),
                    time(latency.p99_us),
                    time(latency.p99_9_us),
                    time(latency.max_us),
                ),
            );
        }
    }
    let late = match run.lag.count {
        0 => String::new(),
        _ => format!(", sent late by {} at p99", time(run.lag.p99_us)),
    };
    let cpu = run.generator_cpu_seconds.map(|cpu| format!(", {cpu:.2} s of CPU"));
    let cpu = cpu.unwrap_or_default();
    row("generator", format!("busy {:.0} %{cpu}{late}", run.busy * 100.0));
    if let Some(used) = &run.server_use {
        let each = used.cpu_us_per_delivery.map(|us| format!(" ({us:.2} µs a delivery)"));
        row(
            "server",
            format!(
                "{:.2} s of CPU{}, {} of memory, {} before",
                used.cpu_seconds,
                each.unwrap_or_default(),
                bytes(used.memory_peak),
                bytes(used.memory_before),
            ),
        );
    }
    let title = match kind {
        Kind::Compare => format!("{} {}", run.scenario, run.repetition),
        Kind::Stress | Kind::Ramp => run.scenario.clone(),
    };
    format!("{title}: {:.1} s, {} clients\n{text}", run.seconds, count(run.clients))
}

/// All samples of all runs, a line each.
fn csv(runs: &[Run]) -> String {
    let mut text = String::from(
        "scenario,repetition,t,clients,failed,sent,delivered,sent_per_second,\
         delivered_per_second,p50_us,p99_us,max_us,lag_us,busy,server_cpu,server_memory\n",
    );
    let figure = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for run in runs {
        let scenario = field(&run.scenario);
        for s in &run.samples {
            let memory = s.server_memory.map(|bytes| bytes.to_string()).unwrap_or_default();
            writeln!(
                text,
                "{scenario},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{memory}",
                run.repetition,
                s.t,
                s.clients,
                s.failed,
                s.sent,
                s.delivered,
                s.sent_per_second,
                s.delivered_per_second,
                figure(s.p50_us),
                figure(s.p99_us),
                figure(s.max_us),
                figure(s.lag_us),
                s.busy,
                figure(s.server_cpu),
            )
            .expect("text");
        }
    }
    text
}

/// A field of CSV (RFC 4180).
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_csv_may_hold_anything() {
        assert_eq!(field("small"), "small");
        assert_eq!(field("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }
}
