//! The report: a line for each thing that was tried as soon as it is known, or JSON at the end.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use shared::failure::{Failure, reason};
use shared::options::{Color, no_color};

use super::options::CheckOptions;
use super::rules::{Finding, RULES, Rule, Verdict};

/// The form of what `--json` prints, which `report.schema.json` beside this file states; another
/// number means that programs which read it must be changed.
pub(super) const FORMAT: &str = "chatproto-check/1";

/// What was found so far, and how it is told.
pub(super) struct Report {
    is_json: bool,
    is_verbose: bool,
    is_colored: bool,
    /// Whether a line that says what is being tried may be there for a while.
    shows_progress: bool,
    judged: String,
    note: String,
    total: usize,
    findings: Vec<Finding>,
    /// The rule under whose heading lines are printed.
    heading: Option<&'static str>,
    /// Why nothing more can be printed.
    broken: Option<io::Error>,
}

/// How many things came to what.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    pass: usize,
    fail: usize,
    note: usize,
    not_applicable: usize,
    untried: usize,
}

impl Report {
    pub(super) fn new(options: &CheckOptions) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Report {
            is_json: options.json,
            is_verbose: options.verbose,
            is_colored: match options.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => is_terminal && !no_color(),
            },
            shows_progress: is_terminal && io::stderr().is_terminal() && !options.json,
            judged: String::new(),
            note: String::new(),
            total: 0,
            findings: Vec::new(),
            heading: None,
            broken: None,
        }
    }

    /// Says who is judged.
    pub(super) fn begin(&mut self, judged: &str, note: &str, total: usize) {
        (self.judged, self.note, self.total) = (judged.to_owned(), note.to_owned(), total);
        self.print(&format!("checking {judged} ({note})"));
    }

    /// Says what is going on, where that line can be taken away again.
    pub(super) fn trying(&self, id: &str) {
        if self.shows_progress {
            let (done, total) = (self.findings.len(), self.total);
            let _ = write!(io::stderr(), "\r\x1b[K[{done}/{total}] {id}");
        }
    }

    /// A rule for which there is nothing to try.
    pub(super) fn skip_rule(&mut self, rule: &'static Rule, why: &str) {
        let finding = Finding {
            rule: rule.id,
            id: rule.id.to_owned(),
            verdict: Verdict::NotApplicable,
            sent: String::new(),
            expected: String::new(),
            came: why.to_owned(),
            wire: Vec::new(),
        };
        self.add(finding);
    }

    /// Takes a finding, and tells it.
    pub(super) fn add(&mut self, finding: Finding) {
        if self.heading != Some(finding.rule) {
            self.heading = Some(finding.rule);
            let title =
                RULES.iter().find(|rule| rule.id == finding.rule).map_or("", |rule| rule.title);
            let heading = self.paint("1", &format!("{} {title}", finding.rule));
            self.print(&heading);
        }
        let line = self.line(&finding);
        self.print(&line);
        let is_worth_it = matches!(finding.verdict, Verdict::Fail | Verdict::Untried);
        if self.is_verbose || is_worth_it {
            for line in &finding.wire {
                let line = self.paint("2", &format!("        {line}"));
                self.print(&line);
            }
        }
        self.findings.push(finding);
    }

    fn line(&self, finding: &Finding) -> String {
        let Finding { id, verdict, sent, expected, came, .. } = finding;
        let color = match verdict {
            Verdict::Pass => "32",
            Verdict::Fail | Verdict::Untried => "1;31",
            Verdict::Note => "33",
            Verdict::NotApplicable => "2",
        };
        let verdict = self.paint(color, &verdict.to_string());
        match finding.verdict == Verdict::NotApplicable {
            true => format!("  {verdict}  {id:<16}  {came}"),
            false => {
                format!("  {verdict}  {id:<16}  sent: {sent}; expected: {expected}; came: {came}")
            }
        }
    }

    /// The end of the report, and of the run: whether everything is as it must be.
    /// Whether all lines were printed. A reader that has gone is no failure.
    pub(super) fn printed(&self) -> Result<(), Failure> {
        match &self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let why = reason(error);
                Err(Failure::Run(format!("cannot write to standard output: {why}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let counts = self.counts();
        let failed = self.rules_with(Verdict::Fail);
        if self.is_json {
            let json = self.json(counts, &failed);
            self.write(&json);
        } else {
            let Counts { pass, fail, note, not_applicable, untried } = counts;
            self.print(&format!(
                "{pass} passed, {fail} failed, {note} noted, {not_applicable} not applicable, {untried} untried"
            ));
        }
        self.printed()?;
        match (&failed[..], counts.untried) {
            ([], 0) => Ok(()),
            ([], untried) => {
                let things = if untried == 1 { "one thing" } else { &format!("{untried} things") };
                Err(Failure::Run(format!("{things} could not be tried")))
            }
            (rules, _) => {
                let rules = rules.join(", ");
                Err(Failure::Run(format!("{} does not follow {rules}", self.judged)))
            }
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for finding in &self.findings {
            *match finding.verdict {
                Verdict::Pass => &mut counts.pass,
                Verdict::Fail => &mut counts.fail,
                Verdict::Note => &mut counts.note,
                Verdict::NotApplicable => &mut counts.not_applicable,
                Verdict::Untried => &mut counts.untried,
            } += 1;
        }
        counts
    }

    fn rules_with(&self, verdict: Verdict) -> Vec<&'static str> {
        let mut rules: Vec<_> = self
            .findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .map(|finding| finding.rule)
            .collect();
        rules.dedup();
        rules
    }

    fn json(&self, counts: Counts, failed: &[&str]) -> String {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "rule": finding.rule,
                    "id": finding.id,
                    "verdict": finding.verdict.as_str(),
                    "sent": finding.sent,
                    "expected": finding.expected,
                    "came": finding.came,
                    "wire": finding.wire,
                })
            })
            .collect();
        let report = serde_json::json!({
            "format": FORMAT,
            "version": chatproto::VERSION,
            "judged": self.judged,
            "note": self.note,
            "counts": counts,
            "failed": failed,
            "findings": findings,
        });
        serde_json::to_string_pretty(&report).unwrap_or_default()
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.is_colored { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Prints a line of the text report.
    pub(super) fn print(&mut self, line: &str) {
        if !self.is_json {
            self.write(line);
        }
    }

    fn write(&mut self, line: &str) {
        if self.shows_progress {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        if self.broken.is_none() {
            let mut out = io::stdout().lock();
            self.broken = writeln!(out, "{line}").and_then(|()| out.flush()).err();
        }
    }
}
