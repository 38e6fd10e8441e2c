//! One trial of a client: the rule that it is about, what is sent, and what is expected.

/// What is tried: rule, part, what is sent, what is expected, and whether it holds for clients that
/// know only part A as well.
pub(super) struct Case {
    pub(super) rule: &'static str,
    pub(super) part: &'static str,
    pub(super) sent: &'static str,
    pub(super) expected: &'static str,
    pub(super) is_core: bool,
}

impl Case {
    pub(super) fn id(&self) -> String {
        format!("{}.{}", self.rule, self.part)
    }
}

pub(super) const fn case(
    rule: &'static str,
    part: &'static str,
    sent: &'static str,
    expected: &'static str,
) -> Case {
    Case { rule, part, sent, expected, is_core: true }
}
