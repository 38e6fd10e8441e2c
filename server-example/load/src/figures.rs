//! Which plots a report has: what is on their axes and which lines are in them.

use shared::numbers::count;

use super::plot::{Axis, Line, Mark, Plot, Scale, Style, Unit};
use super::report::{Kind, Ramp, Report, Run, Sample, Step};

/// Colours that the style sheet has.
pub(super) const COLOURS: usize = 12;
/// What may go wrong is always drawn in this one.
const BAD: usize = 5;

/// All plots of a report; those without a point are nothing to see.
pub(super) fn of(report: &Report) -> Vec<Plot> {
    match (report.kind, &report.ramp, &report.runs[..]) {
        (Kind::Ramp, Some(ramp), [run]) => of_ramp(ramp, run),
        (Kind::Stress | Kind::Compare, _, runs) => of_runs(runs),
        _ => Vec::new(),
    }
}

/// The scenarios, in the order of their first runs, each with its runs.
pub(super) fn scenarios(runs: &[Run]) -> Vec<(&str, Vec<&Run>)> {
    let mut scenarios: Vec<(&str, Vec<&Run>)> = Vec::new();
    for run in runs {
        match scenarios.iter_mut().find(|(name, _)| *name == run.scenario) {
            Some((_, runs)) => runs.push(run),
            None => scenarios.push((&run.scenario, vec![run])),
        }
    }
    scenarios
}

/// Whether some scenario ran more than once.
pub(super) fn is_repeated(report: &Report) -> bool {
    report.runs.iter().any(|run| run.repetition > 1)
}

/// How to read the lines of scenarios that ran more than once.
pub(super) fn caption_of_repetitions(runs: &[Run]) -> &'static str {
    match scenarios(runs).iter().all(|(_, runs)| runs.len() % 2 == 1) {
        true => {
            "Strong and dashed lines are the repetition with the median p99. Thin lines are the others."
        }
        false => {
            "Strong and dashed lines are the repetition with the median p99, or the lower of the two \
             in the middle. Thin lines are the others."
        }
    }
}

/// The run that is neither the best nor the worst.
fn typical<'a>(runs: &[&'a Run]) -> Option<&'a Run> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.latency.p99_us.total_cmp(&b.latency.p99_us));
    sorted.get(runs.len().saturating_sub(1) / 2).copied()
}

fn of_runs(runs: &[Run]) -> Vec<Plot> {
    let scenarios = scenarios(runs);
    let mut plots = vec![Plot {
        title: "Latency by percentile",
        caption: "The part of the messages that took at most this long. The right end is the tail."
            .to_owned(),
        x: Axis { label: "part of the messages", scale: Scale::Nines, unit: Unit::Quantile },
        y: Axis { label: "latency", scale: Scale::Log, unit: Unit::Time },
        lines: lines(&scenarios, "", Style::Solid, |run| run.latency_curve.clone()),
        marks: Vec::new(),
    }];
    let over_time = |title, caption: &str, y, series: &[Series]| {
        let of = |(name, style, value): &Series| {
            let points = |run: &Run| points(&run.samples, value);
            lines(&scenarios, name, *style, points)
        };
        let lines = series.iter().flat_map(of).collect();
        let x = Axis { label: "seconds", scale: Scale::Linear, unit: Unit::Seconds };
        Plot { title, caption: caption.to_owned(), x, y, lines, marks: Vec::new() }
    };
    let latency = Axis { label: "latency", scale: Scale::Log, unit: Unit::Time };
    plots.push(over_time(
        "Latency over time",
        "Of what was delivered between two samples, the warm-up included.",
        latency,
        &[("p99", Style::Solid, |s| s.p99_us), ("p50", Style::Dashed, |s| s.p50_us)],
    ));
    let rate = Axis { label: "per second", scale: Scale::Linear, unit: Unit::Count };
    plots.push(over_time(
        "Throughput",
        "A message to several users is delivered several times.",
        rate,
        &[
            ("delivered", Style::Solid, |s| Some(s.delivered_per_second)),
            ("sent", Style::Dashed, |s| Some(s.sent_per_second)),
        ],
    ));
    plots.push(over_time(
        "The server's processor time",
        "Cores that the server's process kept busy.",
        Axis { label: "cores", scale: Scale::Linear, unit: Unit::Cores },
        &[("", Style::Solid, |s| s.server_cpu)],
    ));
    plots.push(over_time(
        "The server's memory",
        "What is resident, at each sample.",
        Axis { label: "memory", scale: Scale::Linear, unit: Unit::Bytes },
        &[("", Style::Solid, |s| s.server_memory.map(|bytes| bytes as f64 / 1_048_576.0))],
    ));
    let failed = Axis { label: "clients", scale: Scale::Linear, unit: Unit::Count };
    plots.push(over_time(
        "Connections and errors",
        "Clients that are there, and those that failed so far.",
        failed,
        &[
            ("connected", Style::Solid, |s| Some(s.clients as f64)),
            ("failed", Style::Dashed, |s| Some(s.failed as f64)),
        ],
    ));
    plots
}

/// What is plotted of each sample: its name in the legend, how it is drawn, and its value.
type Series = (&'static str, Style, fn(&Sample) -> Option<f64>);

fn points(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    samples.iter().filter_map(|sample| Some((sample.t, value(sample)?))).collect()
}

/// One line for each scenario, and thin ones for its other runs.
fn lines(
    scenarios: &[(&str, Vec<&Run>)],
    name: &str,
    style: Style,
    points: impl Fn(&Run) -> Vec<(f64, f64)>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, (scenario, runs)) in scenarios.iter().enumerate() {
        let Some(chosen) = typical(runs) else { continue };
        let colour = at % COLOURS;
        let label = match name {
            "" => (*scenario).to_owned(),
            _ if scenarios.len() == 1 => name.to_owned(),
            _ => format!("{scenario}, {name}"),
        };
        let strong = points(chosen);
        if strong.is_empty() {
            continue;
        }
        lines.push(Line { name: Some(label), colour, style, points: strong });
        if style == Style::Solid {
            let others = runs.iter().filter(|run| !std::ptr::eq(**run, chosen));
            lines.extend(others.map(|run| Line {
                name: None,
                colour,
                style: Style::Thin,
                points: points(run),
            }));
        }
    }
    lines
}

fn of_ramp(ramp: &Ramp, run: &Run) -> Vec<Plot> {
    let point = ramp.breaking_point.as_ref();
    let mark = |x: Option<f64>| {
        let label = |point: &super::report::BreakingPoint| {
            format!("{} clients: {}", count(point.clients), point.sign.name())
        };
        point.zip(x).map(|(point, x)| Mark { x, label: label(point) }).into_iter().collect()
    };
    let line = |name: &str, colour, style, points| {
        let name = Some(name.to_owned());
        Line { name, colour, style, points }
    };
    let at_break = point.and_then(|_| ramp.steps.last()).map(|step| step.t);
    let seconds = || Axis { label: "seconds", scale: Scale::Linear, unit: Unit::Seconds };
    let clients = || Axis { label: "clients", scale: Scale::Linear, unit: Unit::Count };
    let of_steps = |value: fn(&Step) -> Option<f64>| {
        let points = ramp.steps.iter().filter(|step| step.clients > 0);
        points.filter_map(|step| Some((step.clients as f64, value(step)?))).collect::<Vec<_>>()
    };
    let of_samples = |value: fn(&Sample) -> Option<f64>| points(&run.samples, value);
    let steps = |value: fn(&Step) -> f64| {
        let points = ramp.steps.iter().map(|step| (step.t, value(step)));
        std::iter::once((0.0, 0.0)).chain(points).collect::<Vec<_>>()
    };
    vec![
        Plot {
            title: "Connections against errors",
            caption: "Clients that are there after each batch, and those that failed so far."
                .to_owned(),
            x: seconds(),
            y: clients(),
            lines: vec![
                line("connected", 0, Style::Solid, steps(|step| step.clients as f64)),
                line("failed", BAD, Style::Steps, steps(|step| step.failed as f64)),
            ],
            marks: mark(at_break),
        },
        Plot {
            title: "Latency of heartbeats",
            caption: "From a heartbeat to the server's answer, by how many clients there were."
                .to_owned(),
            x: clients(),
            y: Axis { label: "latency", scale: Scale::Log, unit: Unit::Time },
            lines: vec![
                line("p99", 0, Style::Solid, of_steps(|step| step.heartbeat_p99_us)),
                line("p50", 0, Style::Dashed, of_steps(|step| step.heartbeat_p50_us)),
            ],
            marks: mark(point.map(|point| point.clients as f64)),
        },
        Plot {
            title: "Time to connect",
            caption: "From connecting to the welcome, of the clients of each batch.".to_owned(),
            x: clients(),
            y: Axis { label: "time", scale: Scale::Log, unit: Unit::Time },
            lines: vec![
                line(
                    "p99",
                    2,
                    Style::Solid,
                    of_steps(|step| Some(step.connect_p99_us).filter(|us| *us > 0.0)),
                ),
                line(
                    "p50",
                    2,
                    Style::Dashed,
                    of_steps(|step| Some(step.connect_p50_us).filter(|us| *us > 0.0)),
                ),
            ],
            marks: mark(point.map(|point| point.clients as f64)),
        },
        Plot {
            title: "Heartbeats by percentile",
            caption: "The part of the answers that took at most this long.".to_owned(),
            x: Axis { label: "part of the answers", scale: Scale::Nines, unit: Unit::Quantile },
            y: Axis { label: "latency", scale: Scale::Log, unit: Unit::Time },
            lines: vec![line("answers", 0, Style::Solid, run.latency_curve.clone())],
            marks: Vec::new(),
        },
        Plot {
            title: "The server's processor time",
            caption: "Cores that the server's process kept busy.".to_owned(),
            x: seconds(),
            y: Axis { label: "cores", scale: Scale::Linear, unit: Unit::Cores },
            lines: vec![line("server", 3, Style::Solid, of_samples(|s| s.server_cpu))],
            marks: Vec::new(),
        },
        Plot {
            title: "The server's memory",
            caption: "What is resident, by how many clients there were.".to_owned(),
            x: clients(),
            y: Axis { label: "memory", scale: Scale::Linear, unit: Unit::Bytes },
            lines: vec![line(
                "server",
                4,
                Style::Solid,
                run.samples
                    .iter()
                    .filter_map(|sample| {
                        Some((sample.clients as f64, sample.server_memory? as f64 / 1_048_576.0))
                    })
                    .collect(),
            )],
            marks: Vec::new(),
        },
    ]
}
