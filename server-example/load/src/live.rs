//! What one sees while the load runs: a bar in a terminal, a line a second elsewhere. Both go to
//! standard error; standard output is for results.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::numbers::{count, time};
use shared::stderr;

use super::report::Sample;

/// How often a line is said where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);
const STEPS: u64 = 1000;

#[derive(Debug)]
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Live {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:12} {msg}").expect("a literal");
            bar.set_style(style);
            bar
        });
        Live { bar, last_line: None }
    }

    /// Says something that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => stderr::say(line),
        }
    }

    /// Shows how far it is, of 1, and how things stand.
    pub(crate) fn show(&mut self, done: f64, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
            bar.set_message(line.to_owned());
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            stderr::say(line);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A sample in a line.
pub(crate) fn line(label: &str, sample: &Sample) -> String {
    let mut line = format!(
        "{label}: {:.0} s, {} clients, {} sent/s, {} delivered/s",
        sample.t,
        count(sample.clients),
        count(sample.sent_per_second as u64),
        count(sample.delivered_per_second as u64)
    );
    if let (Some(p50), Some(p99)) = (sample.p50_us, sample.p99_us) {
        line.push_str(&format!(", p50 {}, p99 {}", time(p50), time(p99)));
    }
    if sample.failed > 0 {
        line.push_str(&format!(", {} clients FAILED", count(sample.failed)));
    }
    if let Some(cpu) = sample.server_cpu {
        line.push_str(&format!(", server {:.0} % CPU", cpu * 100.0));
    }
    line
}
