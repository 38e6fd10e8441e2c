//! The lines of the audit log, as JSON: an entry for an event, and a count of entries that are not
//! in the file.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

use chatproto::hub::{Act, Event};
use chatproto::name::{is_ignorable, is_invisible};
use jiff::{Zoned, tz::TimeZone};
use serde::Serialize;
use shared::clock;
use shared::lines::Missing;
use shared::text::shortened;

use crate::shares::Hidden;

/// The most bytes of a name, a target or a reason before they are escaped. A line has at most 10
/// KiB therefore.
const LONGEST: usize = 512;

/// The classes of entries. None of them can use up the budget of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Something that was denied. The owner of the budget is the command.
    Denied,
    /// A message that was removed, which every user may do to its own. The owner is the user.
    Forget,
    /// Another act of a moderator. The owner is the moderator.
    Act,
}

impl Class {
    pub(super) const ALL: [Class; 3] = [Class::Denied, Class::Forget, Class::Act];

    /// The value of the field `act` in a line that counts.
    fn name(self) -> &'static str {
        match self {
            Class::Denied => "denied",
            Class::Forget => "forget",
            Class::Act => "acts",
        }
    }
}

/// The fields of an entry, in this order.
#[derive(Serialize)]
pub(super) struct AuditEntry<'a> {
    time: String,
    act: Cow<'static, str>,
    by: Cow<'a, str>,
    /// The rank of the actor; null of what was denied.
    rank: Option<String>,
    /// Null of the operator.
    address: Option<IpAddr>,
    target: Cow<'a, str>,
    duration_s: Option<u64>,
    reason: Cow<'a, str>,
}

/// The class of an event, and the owner of its budget. None if the event makes no entry.
pub(super) fn class(event: &Event) -> Option<(Class, &str)> {
    match event {
        Event::Moderated { actor, act: Act::Forget, .. } => Some((Class::Forget, actor.name())),
        Event::Moderated { actor, .. } => Some((Class::Act, actor.name())),
        Event::Denied { endpoint, .. } => Some((Class::Denied, endpoint)),
        _ => None,
    }
}

impl<'a> AuditEntry<'a> {
    /// None if the event makes no entry.
    pub(super) fn of(event: &'a Event, now: impl FnOnce() -> Zoned) -> Option<Self> {
        match event {
            Event::Moderated { actor, rank, act, target, duration, reason, .. } => {
                Some(AuditEntry {
                    time: shown(&now()),
                    act: act.to_string().into(),
                    by: clipped(actor.name()),
                    rank: Some(rank.to_string()),
                    address: actor.address(),
                    target: clipped(target),
                    duration_s: duration.map(|duration| duration.as_secs()),
                    reason: clipped(reason),
                })
            }
            Event::Denied { address, name, endpoint, .. } => Some(AuditEntry {
                time: shown(&now()),
                act: "denied".into(),
                by: clipped(name.as_str()),
                rank: None,
                address: Some(*address),
                target: clipped(endpoint),
                duration_s: None,
                reason: "".into(),
            }),
            _ => None,
        }
    }

    /// The entry with its line feed.
    pub(super) fn line(&self) -> String {
        line(self)
    }
}

/// The fields of a line that counts entries, in this order.
#[derive(Serialize)]
pub(super) struct Count<'a> {
    time: String,
    act: &'static str,
    /// Who acted; null if several did, and of what was denied.
    by: Option<&'a str>,
    /// The command that was denied; null if there are several, and of acts.
    target: Option<&'a str>,
    count: u64,
    first: String,
    last: String,
}

impl<'a> Count<'a> {
    /// Entries beyond the budget of their owner.
    pub(super) fn hidden(class: Class, hidden: &'a Hidden) -> Self {
        let owner = hidden.owner.as_deref();
        let (by, target) = if class == Class::Denied { (None, owner) } else { (owner, None) };
        Count {
            time: shown(&clock::here()),
            act: class.name(),
            by,
            target,
            count: hidden.count,
            first: at(hidden.first),
            last: at(hidden.last),
        }
    }

    /// Entries that the file did not take.
    pub(super) fn missing(missing: &Missing) -> Self {
        Count {
            time: shown(&clock::here()),
            act: "missing",
            by: None,
            target: None,
            count: missing.count,
            first: at(missing.first),
            last: at(missing.last),
        }
    }

    /// The count with its line feed.
    pub(super) fn line(&self) -> String {
        line(self)
    }
}

fn shown(time: &Zoned) -> String {
    format!("{:.3}", time.timestamp().display_with_offset(time.offset()))
}

fn at(time: SystemTime) -> String {
    let time = clock::timestamp(time);
    shown(&time.to_zoned(TimeZone::system()))
}

fn clipped(text: &str) -> Cow<'_, str> {
    shortened(text, LONGEST)
}

/// JSON with its line feed. Characters that a terminal would not show are escaped, as JSON allows,
/// so that any tool can show the file.
fn line(fields: &impl Serialize) -> String {
    let json = serde_json::to_string(fields).expect("strings and numbers are JSON");
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if is_invisible(c) || is_ignorable(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // writing to a string does not fail
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chatproto::hub::Role;
    use serde_json::Value;

    use super::super::tests::{denied, moderated};
    use jiff::Timestamp;

    use super::*;

    fn line(event: &Event) -> String {
        let now = || "2026-07-04T12:00:00.1234+02:00[+02:00]".parse().unwrap();
        let line = AuditEntry::of(event, now).expect("an entry").line();
        line.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn an_entry_has_time_act_actor_target_duration_and_reason() {
        let ban = moderated(Act::Ban, "bob", Some(Duration::from_secs(3_600)), "too loud");
        assert_eq!(
            line(&ban),
            r#"{"time":"2026-07-04T12:00:00.123+02:00","act":"ban","by":"alice","rank":"moderator","address":"127.0.0.1","target":"bob","duration_s":3600,"reason":"too loud"}"#
        );
        let role = moderated(Act::Role(Role::Moderator), "bob", None, "");
        assert!(line(&role).contains(r#""act":"role moderator","#), "{}", line(&role));
        assert_eq!(
            line(&denied()),
            r#"{"time":"2026-07-04T12:00:00.123+02:00","act":"denied","by":"eve","rank":null,"address":"127.0.0.1","target":"/kick","duration_s":null,"reason":""}"#
        );
    }

    #[test]
    fn a_count_has_its_owner_and_its_time_span() {
        let (first, last) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        let hidden = Hidden { owner: Some("/kick".into()), count: 990, first, last };
        let read = |count: Count<'_>| serde_json::from_str::<Value>(&count.line()).unwrap();
        let count = read(Count::hidden(Class::Denied, &hidden));
        assert_eq!((&count["act"], &count["target"]), (&"denied".into(), &"/kick".into()));
        assert_eq!((&count["by"], &count["count"]), (&Value::Null, &990.into()));
        for field in ["time", "first", "last"] {
            let time = count[field].as_str().unwrap();
            assert!(time.parse::<Timestamp>().is_ok(), "{field}: {time}");
        }
        let count = read(Count::hidden(Class::Act, &hidden));
        assert_eq!((&count["act"], &count["by"]), (&"acts".into(), &"/kick".into()));
    }

    #[test]
    fn a_reason_cannot_leave_its_line_nor_act_on_a_terminal() {
        let reason = "a\"b\\\u{202e}\n{}\u{1b}[2J\u{9b}\u{2028}\u{e0001}é 👋";
        let line = line(&moderated(Act::Kick, "bob", None, reason));
        assert!(!line.chars().any(is_invisible), "{line}");
        assert!(line.contains("é 👋"), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["reason"], reason);
    }

    #[test]
    fn the_length_of_an_entry_is_bounded() {
        let long = "\u{1b}".repeat(1 << 20);
        let line = line(&moderated(Act::Kick, &long, None, &long));
        assert!(line.len() < 10 << 10, "{}", line.len());
        serde_json::from_str::<Value>(&line).unwrap();
    }
}
