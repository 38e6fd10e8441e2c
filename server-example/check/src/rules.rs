//! The rules of PROTOCOL.md, what can be tried for each, and what may come of it.

use std::fmt;

use super::quote;

/// Every rule, with its title. Those for which nothing is tried say why.
pub(super) const RULES: [Rule; 31] = [
    rule("A1", "Transport"),
    rule("A2", "Registration"),
    rule("A3", "The message"),
    rule("A4", "Simple peers"),
    rule("A5", "The form of json.dumps"),
    rule("A6", "What the server says itself"),
    rule("A7", "The welcome"),
    rule("A8", "A name in use"),
    rule("A9", "Delivery to a user"),
    rule("A10", "Endpoints"),
    rule("A11", "Everyone"),
    without("A12", "The Python module", "it is about a module, not about what is on the wire"),
    rule("A13", "The whole line as msg"),
    without("A14", "What harms a simple reader", "what is to be done about it is B2"),
    rule("B1", "Framing"),
    rule("B2", "Registration and kinds of peers"),
    rule("B3", "Strict decoding"),
    rule("B4", "Limits"),
    rule("B5", "Names"),
    rule("B6", "Nobody speaks for somebody else"),
    rule("B7", "Encoding"),
    rule("B8", "After an error"),
    rule("B9", "Slow readers"),
    rule("B10", "Extension"),
    rule("B11", "Bounded server texts"),
    rule("B12", "Joined objects"),
    rule("B13", "Strangers"),
    rule("B14", "Which error is which"),
    rule("B15", "Order"),
    rule("B16", "Closing"),
    rule("B20", "Other transports"),
];

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Why nothing is tried for it.
    pub(super) without: Option<&'static str>,
}

const fn rule(id: &'static str, title: &'static str) -> Rule {
    Rule { id, title, without: None }
}

const fn without(id: &'static str, title: &'static str, why: &'static str) -> Rule {
    Rule { id, title, without: Some(why) }
}

/// What one trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// A MUST is broken.
    Fail,
    /// A SHOULD is not followed.
    Note,
    NotApplicable,
    /// Something that had to work before did not.
    Untried,
}

impl Verdict {
    /// As JSON spells it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Note => "note",
            Verdict::NotApplicable => "not-applicable",
            Verdict::Untried => "untried",
        }
    }
}

/// As a line of the report shows it.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Note => "note",
            Verdict::NotApplicable => "n/a ",
            Verdict::Untried => "????",
        })
    }
}

/// Why a trial ended before its good end; each with what came.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(String),
    Noted(String),
    NotApplicable(String),
    Untried(String),
}

impl Stop {
    /// For what had to work before something could be tried.
    pub(super) fn into_untried(self) -> Self {
        match self {
            Stop::Failed(came) => Stop::Untried(came),
            stop => stop,
        }
    }
}

/// What came of a trial: if all was as expected, what came.
pub(super) type Tried = Result<String, Stop>;

pub(super) fn failed<T>(came: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(came.into()))
}

/// The trial's result for the report.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    /// The rule and the part of it, such as `A8.atomic`.
    pub(super) id: String,
    pub(super) verdict: Verdict,
    pub(super) sent: String,
    pub(super) expected: String,
    pub(super) came: String,
    pub(super) wire: Vec<String>,
}

impl Finding {
    /// The verdict and what came, from what a trial gave.
    pub(super) fn judge(tried: Tried) -> (Verdict, String) {
        let (verdict, came) = match tried {
            Ok(came) => (Verdict::Pass, came),
            Err(Stop::Failed(came)) => (Verdict::Fail, came),
            Err(Stop::Noted(came)) => (Verdict::Note, came),
            Err(Stop::NotApplicable(why)) => (Verdict::NotApplicable, why),
            Err(Stop::Untried(why)) => (Verdict::Untried, why),
        };
        (verdict, quote::bounded(came))
    }
}

/// Whether `only` names the trial or its rule, or nothing.
pub(super) fn is_chosen(only: &[String], rule: &str, id: &str) -> bool {
    only.is_empty() || only.iter().any(|one| is_named(one, rule, id))
}

fn is_named(name: &str, rule: &str, id: &str) -> bool {
    name.eq_ignore_ascii_case(rule) || name.eq_ignore_ascii_case(id)
}

/// What is said of something that `--only` does not find.
pub(super) fn no_such_rule(name: &str) -> String {
    format!("there is no rule \"{name}\" here: server-example check --list shows what there is")
}
