//! What the model expects to be said, and whether something is that. The rules lay down some texts
//! word by word, of others how they begin, of lists what is in them.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A message as the model expects it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) from: &'static str,
    pub(super) ip: &'static str,
    pub(super) to: &'static str,
    pub(super) text: Text,
}

/// What a message says.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Is(String),
    Begins(String),
    /// The head, and behind it these in any order. If there are more than twenty, some may be given
    /// as a number only.
    List(String, Vec<String>),
    /// One of these: several things happened at once, in an order that is nobody's business.
    AnyOf(Rc<[String]>),
    Counts(Counts),
    /// One of the lists of members: what comes before the names, and the names in any order.
    Members(Rc<[(String, Vec<String>)]>),
}

/// What was counted: how many did it, and who may be named.
pub(super) type Counts = BTreeMap<Change, (usize, Vec<String>)>;

/// What happens to a member, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Joined,
    Left,
    Disconnected,
    Kicked,
    Renamed,
}

impl Change {
    /// The notice of one change. `who` is a name, or who became whom.
    pub(super) fn of(self, who: &str) -> String {
        match self {
            Change::Kicked => format!("{who} was kicked."),
            Change::Renamed => format!("{}.", who.replace(" → ", " is now ")),
            change => format!("{who} {}.", change.of_many()),
        }
    }

    fn of_many(self) -> &'static str {
        match self {
            Change::Joined => "joined",
            Change::Left => "left",
            Change::Disconnected => "disconnected",
            Change::Kicked => "were kicked",
            Change::Renamed => "renamed",
        }
    }
}

impl Text {
    pub(super) fn is(text: &str) -> Self {
        Text::Is(text.to_owned())
    }

    pub(super) fn begins(text: &str) -> Self {
        Text::Begins(text.to_owned())
    }

    pub(super) fn fits(&self, said: &str) -> bool {
        match self {
            Text::Is(text) => said == text,
            Text::Begins(text) => said.starts_with(text),
            Text::AnyOf(texts) => texts.iter().any(|text| said == text),
            Text::List(head, items) => {
                said.strip_prefix(&**head).is_some_and(|list| is_list(list, items.len(), items, 20))
            }
            Text::Counts(counts) => is_counts(said, counts),
            Text::Members(lists) => lists.iter().any(|(head, names)| is_members(said, head, names)),
        }
    }
}

/// Whether a state line has exactly these names, and their number.
fn is_members(said: &str, head: &str, names: &[String]) -> bool {
    let head = format!("{head} count={} names=\"", names.len());
    let list = said.strip_prefix(&*head).and_then(|list| list.strip_suffix('"'));
    // inside the quotes, a quote is doubled
    let list = list.map(|list| list.replace("\"\"", "\""));
    let mut listed: Vec<&str> =
        list.as_deref().map_or(Vec::new(), |list| list.split(',').collect());
    listed.sort_unstable();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    listed == names
}

/// Whether a list names `count` of the items, or at least `most` and the number of the rest.
fn is_list(list: &str, count: usize, items: &[String], most: usize) -> bool {
    let (list, more) = match list.strip_suffix(" more").and_then(|list| list.rsplit_once(" and ")) {
        Some((list, more)) => (list.trim_end_matches(','), more.parse().unwrap_or(0)),
        None => (list, 0),
    };
    let mut left: Vec<&String> = items.iter().collect();
    let mut listed = 0;
    for name in list.split(", ") {
        // (the same may have come and gone several times)
        let Some(at) = left.iter().position(|item| *item == name) else { return false };
        left.swap_remove(at);
        listed += 1;
    }
    listed + more == count && listed >= count.min(most)
}

/// Whether a notice such as `12 joined: a, b, c and 9 more; 2 left: d, e.` tells this.
fn is_counts(said: &str, counts: &Counts) -> bool {
    let mut parts = said.trim_end_matches('.').split("; ");
    let is_told = counts.iter().all(|(change, (count, names))| {
        let head = match (change, count) {
            (Change::Kicked, 1) => "1 was kicked: ".to_owned(),
            _ => format!("{count} {}: ", change.of_many()),
        };
        parts
            .next()
            .and_then(|part| part.strip_prefix(&*head))
            .is_some_and(|list| is_list(list, *count, names, 3))
    });
    is_told && parts.next().is_none()
}
