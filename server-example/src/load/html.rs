//! `report.html`: the whole report as one file that needs nothing else, neither script nor network;
//! on paper, on screen and in the dark.

use std::fmt::Write;

use crate::text::visible;

use super::figures;
use super::live::{bytes, count, time};
use super::plot::escape;
use super::report::{Kind, Report, Run, SenderCounts};

const STYLE: &str = concat!(include_str!("page.css"), include_str!("plot.css"));
/// Senders whose messages suffered that are shown; all are in report.json.
const MOST_SENDERS: usize = 20;

/// The page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = title(report);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<h1>{0}</h1>\n",
        escape(&title)
    )
    .expect("text");
    about(&mut page, report);
    verdict(&mut page, report);
    page.push_str("<h2>Figures</h2>\n");
    tables(&mut page, report);
    page.push_str("<h2>Plots</h2>\n");
    if figures::is_repeated(report) {
        page.push_str(
            "<p class=\"about\">Strong lines are the repetition with the median p99, thin ones the \
             others.</p>\n",
        );
    }
    page.push_str("<div class=\"plots\">\n");
    figures::of(report).iter().for_each(|plot| page.push_str(&plot.render()));
    page.push_str("</div>\n");
    checks(&mut page, report);
    senders(&mut page, report);
    settings(&mut page, report);
    method(&mut page, report.kind);
    page.push_str("</body>\n</html>\n");
    page
}

fn title(report: &Report) -> String {
    match report.kind {
        Kind::Stress => "Stress: bots that behave like people".to_owned(),
        Kind::Ramp => "Ramp: how many clients".to_owned(),
        Kind::Compare => {
            let scenarios = figures::scenarios(&report.runs);
            let names: Vec<_> = scenarios.iter().map(|(name, _)| visible(name)).collect();
            match &names[..] {
                [] => "Comparison".to_owned(),
                [only] => format!("Scenario: {only}"),
                [all @ .., last] => format!("Comparison: {} and {last}", all.join(", ")),
            }
        }
    }
}

fn about(page: &mut String, report: &Report) {
    let machine = &report.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let command: Vec<_> = report.command.iter().map(|word| visible(word)).collect();
    write!(
        page,
        "<p class=\"about\">Server {}, {} UTC, {}, {}, {} cores, {}</p>\n\
         <p class=\"about\"><code>server-example {}</code></p>\n",
        escape(&report.server),
        escape(report.started.trim_end_matches('Z').replace('T', " ").as_str()),
        escape(&report.program),
        escape(cpu),
        machine.cpus,
        escape(&machine.os),
        escape(&command.join(" "))
    )
    .expect("text");
}

fn verdict(page: &mut String, report: &Report) {
    let passed = report.checks.iter().filter(|check| check.passed).count();
    let (class, word) = match report {
        Report { interrupted: true, .. } => ("", "Ended by hand."),
        Report { passed: true, .. } => ("", "Passed."),
        _ => (" failed", "Failed."),
    };
    let mut text = format!("{passed} of {} checks hold.", report.checks.len());
    if let Some(point) = report.ramp.as_ref().and_then(|ramp| ramp.breaking_point.as_ref()) {
        text = format!("{}.", point.text.trim_end_matches('.'));
    } else if let Some(check) = report.checks.iter().find(|check| !check.passed) {
        text.push_str(&format!(" It does not hold that {}: {}.", check.name, check.detail));
    }
    writeln!(
        page,
        "<div class=\"verdict{class}\"><strong>{word}</strong> {}</div>",
        escape(&visible(&text))
    )
    .expect("text");
    if !report.warnings.is_empty() {
        page.push_str("<div class=\"notes\"><strong>To be read with care</strong><ul>\n");
        for warning in &report.warnings {
            writeln!(page, "<li>{}</li>", escape(&visible(warning))).expect("text");
        }
        page.push_str("</ul></div>\n");
    }
}

/// A row for each scenario: the median of its runs, and between which values they lie.
fn tables(page: &mut String, report: &Report) {
    if report.kind == Kind::Ramp {
        return ramp_table(page, report);
    }
    let scenarios = figures::scenarios(&report.runs);
    let mut head = vec!["scenario", "deliveries/s", "p50", "p90", "p99", "p99.9", "max"];
    let has_use = report.runs.iter().any(|run| run.server_use.is_some());
    if has_use {
        head.extend(["server CPU", "memory"]);
    }
    let latencies: [fn(&Run) -> f64; 5] = [
        |run| run.latency.p50_us,
        |run| run.latency.p90_us,
        |run| run.latency.p99_us,
        |run| run.latency.p99_9_us,
        |run| run.latency.max_us,
    ];
    let speed = |runs: &[&Run]| {
        let mut cells = cell(runs, |run| Some(run.delivered_per_second), |v| count(v as u64));
        for of in latencies {
            cells += &cell(runs, |run| (run.latency.count > 0).then(|| of(run)), time);
        }
        if has_use {
            let cpu = |run: &Run| run.server_use.and_then(|used| used.cpu_us_per_delivery);
            let memory = |run: &Run| run.server_use.map(|used| used.memory_peak as f64);
            cells += &cell(runs, cpu, time);
            cells += &cell(runs, memory, |value| bytes(value as u64));
        }
        cells
    };
    table(page, &head, &scenarios, speed);
    if figures::is_repeated(report) {
        page.push_str(
            "<p class=\"about\">Medians of the repetitions, and under each the smallest and the \
             largest value; CPU time is of the server for each delivery. Next, counts of all \
             repetitions together.</p>\n",
        );
    }
    let head = [
        "scenario",
        "sent",
        "expected",
        "delivered",
        "lost",
        "duplicated",
        "reordered",
        "corrupted",
        "extra",
        "clients failed",
    ];
    let counts = |runs: &[&Run]| {
        let sum = |of: fn(&Run) -> u64| runs.iter().map(|run| of(run)).sum::<u64>();
        let good: [fn(&Run) -> u64; 3] =
            [|run| run.counts.sent, |run| run.counts.expected, |run| run.counts.delivered];
        let bad: [fn(&Run) -> u64; 6] = [
            |run| run.counts.lost,
            |run| run.counts.duplicated,
            |run| run.counts.reordered,
            |run| run.counts.corrupted,
            |run| run.counts.extra,
            |run| run.failures.total(),
        ];
        let good = good.map(|of| format!("<td>{}</td>", count(sum(of))));
        good.concat() + &bad.map(|of| fault(sum(of))).concat()
    };
    table(page, &head, &scenarios, counts);
}

/// A table with a row for each scenario, whose cells `row` gives.
fn table(
    page: &mut String,
    head: &[&str],
    scenarios: &[(&str, Vec<&Run>)],
    row: impl Fn(&[&Run]) -> String,
) {
    let head: String = head.iter().map(|name| format!("<th>{name}</th>")).collect();
    write!(page, "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n")
        .expect("text");
    for (name, runs) in scenarios {
        writeln!(page, "<tr><th>{}</th>{}</tr>", escape(&visible(name)), row(runs)).expect("text");
    }
    page.push_str("</tbody></table></div>\n");
}

fn cell(
    runs: &[&Run],
    value: impl Fn(&Run) -> Option<f64>,
    write: impl Fn(f64) -> String,
) -> String {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| value(run)).collect();
    values.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (values.first(), values.last()) else {
        return "<td>–</td>".to_owned();
    };
    let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
    if values.len() == 1 {
        return format!("<td>{}</td>", write(middle));
    }
    format!("<td>{}<small>{} – {}</small></td>", write(middle), write(low), write(high))
}

fn fault(number: u64) -> String {
    let class = if number > 0 { " class=\"bad\"" } else { "" };
    format!("<td{class}>{}</td>", count(number))
}

fn ramp_table(page: &mut String, report: &Report) {
    let (Some(ramp), Some(run)) = (&report.ramp, report.runs.first()) else { return };
    let connect = &run.connect;
    let beats = &run.answer_latency;
    let mut rows = vec![
        ("most clients at once", count(ramp.most)),
        (
            "time to connect, p50 and p99",
            format!("{}, {}", time(connect.p50_us), time(connect.p99_us)),
        ),
        ("heartbeats, and answers", format!("{}, {}", count(run.asked), count(run.answered))),
        (
            "answer to a heartbeat, p50 and p99",
            format!("{}, {}", time(beats.p50_us), time(beats.p99_us)),
        ),
        (
            "refused, timed out, unreachable",
            format!(
                "{}, {}, {}",
                count(run.failures.refused),
                count(run.failures.timed_out),
                count(run.failures.unreachable)
            ),
        ),
        (
            "closed before and after the welcome",
            format!("{}, {}", count(run.failures.dropped), count(run.failures.lost)),
        ),
        ("not possible on this machine", count(run.failures.own_limit)),
        ("processes of the generator", count(ramp.processes)),
        ("not let go at the end", count(ramp.left)),
    ];
    if let Some(used) = &run.server_use {
        let more = used.memory_peak.saturating_sub(used.memory_before);
        let each = more / ramp.most.max(1);
        rows.push((
            "the server's memory, before and at most",
            format!(
                "{}, {} ({} a client)",
                bytes(used.memory_before),
                bytes(used.memory_peak),
                bytes(each)
            ),
        ));
        rows.push(("the server's processor time", format!("{:.2} s", used.cpu_seconds)));
    }
    page.push_str("<table><tbody>\n");
    for (name, value) in rows {
        writeln!(page, "<tr><th>{name}</th><td>{value}</td></tr>").expect("text");
    }
    page.push_str("</tbody></table>\n");
}

fn checks(page: &mut String, report: &Report) {
    page.push_str("<h2>Checks</h2>\n<div class=\"wide\"><table><tbody>\n");
    for check in &report.checks {
        let (class, word) = if check.passed { ("pass", "pass") } else { ("fail", "FAIL") };
        writeln!(
            page,
            "<tr><td class=\"{class}\">{word}</td><td class=\"text\">{}</td>\
             <td class=\"text\">{}</td></tr>",
            escape(&check.name),
            escape(&visible(&check.detail))
        )
        .expect("text");
    }
    page.push_str("</tbody></table></div>\n");
}

/// Those whose messages suffered, the worst first.
fn senders(page: &mut String, report: &Report) {
    let faults = |sender: &SenderCounts| {
        let counts = &sender.counts;
        counts.lost + counts.duplicated + counts.reordered + counts.corrupted + counts.extra
    };
    let all = report.runs.iter().flat_map(|run| run.senders.iter().map(move |one| (run, one)));
    let mut bad: Vec<_> = all.filter(|(_, sender)| faults(sender) > 0).collect();
    if bad.is_empty() {
        return;
    }
    bad.sort_by_key(|(_, sender)| std::cmp::Reverse(faults(sender)));
    let shown = bad.len().min(MOST_SENDERS);
    write!(
        page,
        "<h2>Senders whose messages suffered</h2>\n<p class=\"about\">{shown} of {}; report.json has \
         all.</p>\n<div class=\"wide\"><table><thead><tr><th>sender</th><th class=\"text\">run</th>\
         <th>sent</th><th>expected</th><th>delivered</th><th>lost</th><th>dupl.</th><th>reord.</th>\
         <th>corr.</th><th>extra</th></tr></thead><tbody>\n",
        bad.len()
    )
    .expect("text");
    for (run, sender) in &bad[..shown] {
        let c = &sender.counts;
        let numbers = [c.sent, c.expected, c.delivered].map(|n| format!("<td>{}</td>", count(n)));
        let faults = [c.lost, c.duplicated, c.reordered, c.corrupted, c.extra].map(fault);
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"text\">{} {}</td>{}{}</tr>",
            escape(&sender.name),
            escape(&visible(&run.scenario)),
            run.repetition,
            numbers.concat(),
            faults.concat()
        )
        .expect("text");
    }
    page.push_str("</tbody></table></div>\n");
}

fn settings(page: &mut String, report: &Report) {
    let scenarios = figures::scenarios(&report.runs);
    page.push_str("<h2>Settings</h2>\n<div class=\"wide\"><table>\n");
    for (name, runs) in scenarios {
        let Some(run) = runs.first() else { continue };
        let settings: Vec<_> = run
            .settings
            .iter()
            .map(|setting| format!("{} = {}", setting.name, escape(&visible(&setting.value))))
            .collect();
        writeln!(
            page,
            "<tr><th>{}</th><td class=\"text\">{}; {} × {:.1} s</td></tr>",
            escape(&visible(name)),
            settings.join(", "),
            runs.len(),
            run.seconds
        )
        .expect("text");
    }
    page.push_str("</table></div>\n");
}

fn method(page: &mut String, kind: Kind) {
    page.push_str("<h2>How this was measured</h2>\n");
    let counted = "<p>Every message carries the number that it has among those of its sender to its \
        destination, the time, and a checksum. <em>Lost</em> is what was to come to a client and came \
        in no form; <em>duplicated</em>, what had come before; <em>reordered</em>, what came after one \
        with a higher number (as RFC 4737 defines it); <em>corrupted</em>, what came otherwise than it \
        had been sent; <em>extra</em>, what came though it was owed to nobody there: it was for \
        somebody else, or nobody had sent it. These are counts, not estimates; every delivery that was \
        expected is delivered, lost or corrupted.</p>\n";
    page.push_str(match kind {
        Kind::Compare => {
            "<p>With a rate, messages are sent when they are due, whatever the server does (open \
             loop), and latency counts from then to when the receiver has read the message: a server \
             that is slow cannot hide it. The scenarios ran one after the other, in alternation. \
             Percentiles are those of an HDR histogram with three significant digits.</p>\n"
        }
        Kind::Stress => {
            "<p>Each bot pauses for a time that is exponentially distributed, and then writes to a \
             random user, to its room, to everybody, to nobody, or asks a command. Latency counts \
             from sending to when the receiver has read the message.</p>\n"
        }
        Kind::Ramp => {
            "<p>Clients register, stay, and each sends a heartbeat to Everyone at a regular interval, \
             which the server answers. A client has failed if it was refused, if no welcome or no \
             answer came in time, or if its connection was lost.</p>\n"
        }
    });
    if kind != Kind::Ramp {
        page.push_str(counted);
    }
}
