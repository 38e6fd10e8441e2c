//! Health: whether the server is to be restarted (`/livez`), and whether it is to get new clients (`/readyz`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chatproto::ServerHandle;

use super::answer::Answer;
use super::program::Program;

/// Within this time, each event loop must complete a turn. A healthy one takes less than a millisecond.
const LOOP_PATIENCE: Duration = Duration::from_secs(1);
const PLAIN: &str = "text/plain; charset=utf-8";

/// The health of a server. It can be asked from any thread that may block for a second.
pub struct Health {
    handle: ServerHandle,
    program: Arc<dyn Program>,
}

impl Health {
    /// Of this server, in this program.
    pub fn new(handle: ServerHandle, program: Arc<dyn Program>) -> Self {
        Health { handle, program }
    }

    /// Whether the server works. A server that does not must be restarted. One that stops is at work.
    pub fn livez(&self) -> Report {
        Report { of: "livez", checks: vec![self.loops()] }
    }

    /// Whether the server serves new clients as it should.
    pub fn readyz(&self) -> Report {
        let is_stopping = self.handle.is_stopping();
        let stopping = is_stopping.then(|| "the server is stopping".to_owned());
        let checks = vec![
            Check::new("running", stopping),
            self.loops(),
            Check::new("data", self.program.data_failure()),
            Check::new("history", self.handle.history_failure()),
        ];
        Report { of: "readyz", checks }
    }

    fn loops(&self) -> Check {
        let stalled = self.handle.stalled_loops(LOOP_PATIENCE);
        let failure = (!stalled.is_empty()).then(|| {
            let numbers: Vec<_> = stalled.iter().map(usize::to_string).collect();
            let seconds = LOOP_PATIENCE.as_secs();
            format!("no turn within {seconds} s of event loops {}", numbers.join(", "))
        });
        Check::new("event loops", failure)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject of the check.
    pub name: &'static str,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Check {
    fn new(name: &'static str, failure: Option<String>) -> Self {
        Check { name, failure }
    }
}

/// The outcome of all checks. It is shown with a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    of: &'static str,
    checks: Vec<Check>,
}

impl Report {
    /// Whether all checks passed.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.failure.is_none())
    }

    /// The checks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The answer to a probe: 200, or 503 with a line for each check. With `is_verbose`, for a request with
    /// `?verbose`, an answer of 200 has these lines too.
    pub fn respond(&self, is_verbose: bool) -> Answer {
        let is_healthy = self.is_healthy();
        let body = if is_healthy && !is_verbose { "ok\n".to_owned() } else { self.to_string() };
        Answer { status: if is_healthy { 200 } else { 503 }, content_type: PLAIN, body }
    }
}

/// As Kubernetes shows the checks of its own servers.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, failure } in &self.checks {
            match failure {
                None => writeln!(f, "[+]{name}: ok")?,
                Some(why) => writeln!(f, "[-]{name}: failed: {why}")?,
            }
        }
        let verdict = if self.is_healthy() { "passed" } else { "failed" };
        writeln!(f, "{} {verdict}", self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_says_why_also_to_those_who_did_not_ask() {
        let full = Check::new("history", Some("the server's disk is full.".to_owned()));
        let report = Report { of: "readyz", checks: vec![Check::new("running", None), full] };
        let body =
            "[+]running: ok\n[-]history: failed: the server's disk is full.\nreadyz failed\n";
        for is_verbose in [false, true] {
            let answer = report.respond(is_verbose);
            assert_eq!((answer.status, answer.body.as_str()), (503, body));
        }
    }

    #[test]
    fn a_healthy_server_answers_in_a_word_unless_more_is_asked_for() {
        let report = Report { of: "livez", checks: vec![Check::new("event loops", None)] };
        assert_eq!(report.respond(false).body, "ok\n");
        let answer = report.respond(true);
        assert_eq!((answer.status, &*answer.body), (200, "[+]event loops: ok\nlivez passed\n"));
    }
}
