//! One trial of a server: the rule that it is about, what is sent, what is expected, and what is done.

use super::super::rules::Tried;
use super::trial::Trial;

/// What a trial does.
pub(super) type Try = Box<dyn Fn(&Trial) -> Tried + Send + Sync>;

/// One thing that is tried.
pub(super) struct Case {
    pub(super) rule: &'static str,
    /// Which part of the rule it is about.
    pub(super) part: &'static str,
    pub(super) sent: String,
    pub(super) expected: String,
    /// Whether it holds for servers that know only part A as well.
    pub(super) is_core: bool,
    /// Whether it waits for a deadline of the server's, so that it runs beside the others.
    pub(super) is_slow: bool,
    pub(super) run: Try,
}

impl Case {
    pub(super) fn id(&self) -> String {
        format!("{}.{}", self.rule, self.part)
    }
}

/// A trial that every server is judged by.
pub(super) fn core(
    rule: &'static str,
    part: &'static str,
    sent: &str,
    expected: &str,
    run: impl Fn(&Trial) -> Tried + Send + Sync + 'static,
) -> Case {
    let (sent, expected) = (sent.to_owned(), expected.to_owned());
    Case { rule, part, sent, expected, is_core: true, is_slow: false, run: Box::new(run) }
}

/// A trial that only servers are judged by which know part B.
pub(super) fn robust(
    rule: &'static str,
    part: &'static str,
    sent: &str,
    expected: &str,
    run: impl Fn(&Trial) -> Tried + Send + Sync + 'static,
) -> Case {
    Case { is_core: false, ..core(rule, part, sent, expected, run) }
}
