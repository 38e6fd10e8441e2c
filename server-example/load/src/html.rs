//! `report.html`: the whole report as one file that needs nothing else, neither script nor network;
//! on paper, on screen and in the dark.

use std::fmt::Write;

use shared::numbers::{bytes, count, time};
use shared::text::visible;

use super::figures;
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
        caption(&mut page, figures::caption_of_repetitions(&report.runs));
    }
    page.push_str("<div class=\"plots\">\n");
    figures::of(report).iter().for_each(|plot| page.push_str(&plot.render()));
    page.push_str("</div>\n");
    checks(&mut page, report);
    senders(&mut page, report);
    settings(&mut page, report);
    method(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

fn title(report: &Report) -> String {
    match report.kind {
        Kind::Stress => "Stress: bots that behave like people".to_owned(),
        Kind::Ramp => "Ramp: how many clients".to_owned(),
        Kind::Compare => {
            let scenarios = figures::scenarios(&report.runs);
            let names: Vec<_> = scenarios.iter().map(|(name, _)| plain(name)).collect();
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
    let command: Vec<_> = report.command.iter().map(|word| word_of_command(word)).collect();
    write!(
        page,
        "<p class=\"about\">Server {} over {}, {} UTC, {}, {}, {} cores, {}</p>\n\
         <p class=\"about\"><code>server-example {}</code></p>\n",
        escape(&report.server),
        report.transport.name(),
        escape(report.started.trim_end_matches('Z').replace('T', " ").as_str()),
        escape(&report.program),
        escape(cpu),
        machine.cpus,
        escape(&machine.os),
        command.join(" ")
    )
    .expect("text");
}

/// A word of the command line. A line of the page does not end inside an option's name.
fn word_of_command(word: &str) -> String {
    let text = escape(&plain(word));
    if word.starts_with('-') { format!("<span class=\"option\">{text}</span>") } else { text }
}

/// A text of others as one line, without the signs that begin a server's errors. Few fonts have
/// them, and the words beside them say the same; report.json has the text as it came.
fn plain(text: &str) -> String {
    let text = visible(text);
    ["⛔", "❌"].iter().fold(text.into_owned(), |text, sign| {
        text.replace(&format!("{sign} "), "").replace(sign, "")
    })
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
        escape(&plain(&text))
    )
    .expect("text");
    if !report.warnings.is_empty() {
        page.push_str("<div class=\"notes\"><strong>To be read with care</strong><ul>\n");
        for warning in &report.warnings {
            writeln!(page, "<li>{}</li>", escape(&plain(warning))).expect("text");
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
    let is_repeated = figures::is_repeated(report);
    let mut about = Vec::new();
    if is_repeated {
        about
            .push("Medians of the repetitions, and under each the smallest and the largest value.");
    }
    if has_use {
        about.push(
            "Server CPU is the processor time of the server for each delivery. Memory is the most \
             that was resident.",
        );
    }
    if !about.is_empty() {
        caption(page, &about.join(" "));
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
    if is_repeated {
        caption(page, "Counts of all repetitions together.");
    }
}

/// A line that says how to read the part of the page beside it.
fn caption(page: &mut String, text: &str) {
    writeln!(page, "<p class=\"about\">{}</p>", escape(text)).expect("text");
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
        writeln!(page, "<tr><th>{}</th>{}</tr>", escape(&plain(name)), row(runs)).expect("text");
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
            escape(&plain(&check.detail))
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
            escape(&plain(&run.scenario)),
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
            .map(|setting| format!("{} = {}", setting.name, escape(&plain(&setting.value))))
            .collect();
        writeln!(
            page,
            "<tr><th>{}</th><td class=\"text\">{}; {} × {:.1} s</td></tr>",
            escape(&plain(name)),
            settings.join(", "),
            runs.len(),
            run.seconds
        )
        .expect("text");
    }
    page.push_str("</table></div>\n");
}

fn method(page: &mut String, report: &Report) {
    page.push_str("<h2>How this was measured</h2>\n");
    match report.kind {
        Kind::Compare => method_of_comparison(page, &report.runs),
        Kind::Stress => page.push_str(
            "<p>Each bot pauses for a time that is exponentially distributed, and then writes to a \
             random user, to its room, to everybody, to nobody, or asks a command. Latency counts \
             from sending to when the receiver has read the message.</p>\n",
        ),
        Kind::Ramp => page.push_str(
            "<p>Clients register, stay, and each sends a heartbeat to Everyone at a regular interval, \
             which the server answers. A client has failed if it was refused, if no welcome or no \
             answer came in time, or if its connection was lost.</p>\n",
        ),
    }
    if report.kind != Kind::Ramp {
        page.push_str(
            "<p>Every message carries the number that it has among those of its sender to its \
             destination, the time, and a checksum. <em>Lost</em> is what was to come to a client and \
             came in no form; <em>duplicated</em>, what had come before; <em>reordered</em>, what came \
             after one with a higher number (as RFC 4737 defines it); <em>corrupted</em>, what came \
             otherwise than it had been sent; <em>extra</em>, what came though it was owed to nobody \
             there: it was for somebody else, or nobody had sent it. These are counts, not estimates; \
             every delivery that was expected is delivered, lost or corrupted.</p>\n",
        );
    }
}

/// Says only what holds of the scenarios that ran.
fn method_of_comparison(page: &mut String, runs: &[Run]) {
    let has = |name: &str| runs.iter().any(|run| run.settings.iter().any(|one| one.name == name));
    page.push_str("<p>");
    if has("rate") {
        page.push_str(
            "With a rate, messages are sent when they are due, whatever the server does (open loop), \
             and latency counts from then to when the receiver has read the message: a server that is \
             slow cannot hide it. ",
        );
    }
    if has("in_flight") {
        page.push_str(
            "With in_flight, each delivery leads to the next message (closed loop), and latency \
             counts from sending to when the receiver has read the message. ",
        );
    }
    let is_repeated = runs.iter().any(|run| run.repetition > 1);
    page.push_str(match (figures::scenarios(runs).len() > 1, is_repeated) {
        (true, true) => "The scenarios ran one after the other, in alternation. ",
        (true, false) => "The scenarios ran one after the other. ",
        _ => "",
    });
    page.push_str("Percentiles are those of an HDR histogram with three significant digits.</p>\n");
}

#[cfg(test)]
mod tests {
    use super::super::report::{Check, Machine, ServerUse, Setting, Transport};
    use super::*;

    fn report(kind: Kind, runs: Vec<Run>, detail: &str) -> Report {
        Report {
            format: super::super::report::FORMAT,
            kind,
            program: "server-example".to_owned(),
            command: ["load", "compare", "--out", "a<b"].map(str::to_owned).to_vec(),
            started: "2026-11-30T18:11:04Z".to_owned(),
            server: "127.0.0.1:65432".to_owned(),
            transport: Transport::Tcp,
            machine: Machine { os: "linux".to_owned(), cpus: 2, cpu: None },
            interrupted: false,
            passed: false,
            checks: vec![Check::new("clients are served", false, detail)],
            warnings: vec![detail.to_owned()],
            runs,
            ramp: None,
        }
    }

    /// A run that was measured with or without the server's process.
    fn run(scenario: &str, repetition: u32, pace: &'static str, is_watched: bool) -> Run {
        let used = ServerUse {
            cpu_seconds: 1.0,
            cpu_us_per_delivery: Some(1.0),
            memory_before: 1,
            memory_peak: 2,
        };
        Run {
            scenario: scenario.to_owned(),
            repetition,
            settings: vec![Setting { name: pace, value: "1".to_owned() }],
            server_use: is_watched.then_some(used),
            ..Run::default()
        }
    }

    /// The page of a comparison.
    fn compared(runs: Vec<Run>) -> String {
        page(&report(Kind::Compare, runs, ""))
    }

    #[test]
    fn the_captions_of_a_comparison_say_what_is_shown_and_nothing_else() {
        let one = compared(vec![run("a", 1, "in_flight", false)]);
        for absent in
            ["repetition", "server CPU", "Server CPU", "alternation", "one after", "With a rate"]
        {
            assert!(!one.contains(absent), "{absent}: {one}");
        }
        assert!(one.contains("With in_flight"), "{one}");

        let watched = compared(vec![run("a", 1, "rate", true), run("b", 1, "rate", true)]);
        assert!(watched.contains("<th>server CPU</th>"), "{watched}");
        assert!(watched.contains("Server CPU is the processor time of the server"), "{watched}");
        assert!(watched.contains("one after the other. "), "{watched}");
        assert!(
            !watched.contains("repetition") && !watched.contains("With in_flight"),
            "{watched}"
        );

        for (repetitions, is_even) in [(2, true), (3, false), (4, true)] {
            let runs = ["a", "b"].iter().flat_map(|scenario| {
                (1..=repetitions).map(|repetition| run(scenario, repetition, "rate", false))
            });
            let page = compared(runs.collect());
            assert!(page.contains("Medians of the repetitions"), "{page}");
            assert!(page.contains("in alternation") && !page.contains("erver CPU"), "{page}");
            assert_eq!(page.contains("the lower of the two in the middle"), is_even, "{page}");
            let (sums, counts) = ("Counts of all repetitions together.", "<th>duplicated</th>");
            assert!(page.find(sums) > page.find(counts), "{page}");
        }
    }

    #[test]
    fn the_signs_of_a_servers_errors_are_not_on_the_page() {
        let detail = "refused: ⛔ Error: the server is full. ❌ User \"<x>\" not found.";
        let page = page(&report(Kind::Stress, vec![run("⛔", 1, "rate", false)], detail));
        assert!(
            page.contains("refused: Error: the server is full. User &quot;&lt;x&gt;"),
            "{page}"
        );
        // Latin-1, dashes, ellipses and the micro sign are in every font
        let rare = |c: &char| !matches!(c, '\0'..='\u{ff}' | '–' | '…');
        assert_eq!(page.chars().find(rare), None);
    }

    #[test]
    fn a_line_does_not_end_inside_an_option() {
        let page = compared(vec![run("a", 1, "rate", false)]);
        let command = "load compare <span class=\"option\">--out</span> a&lt;b</code>";
        assert!(page.contains(command), "{page}");
    }
}
