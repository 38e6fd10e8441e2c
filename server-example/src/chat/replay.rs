//! What was said before, made readable for people: the server shows it between two lines that are
//! meant for programs, `history #tea count=2 ids=1-2 epoch=… …` and `end of history #tea`.

use chatproto::Message;
use chatproto::endpoint::{Arguments, as_argument};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::text::visible;

/// What stands in place of the time of a message that was kept, and is as long: the server says
/// only when the first and the last of them came.
pub(super) const BEFORE: &str = "  before";

/// Knows whether what comes is said now or was said before.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Of what a page is being shown, as the server writes it.
    of: Option<String>,
}

/// How a message is to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As one that is said now.
    Now,
    /// As one that was said before.
    Before,
    /// This instead.
    Note(String),
    /// Not at all.
    Hidden,
}

impl Replay {
    /// How to show the next message to the user called `me`.
    pub(super) fn see(&mut self, message: &Message, me: &str, zone: &TimeZone) -> Shown {
        if message.is_from_server() && message.to == me {
            if let Some((what, note)) = head(&message.msg, zone) {
                self.of = Some(what.to_owned());
                return Shown::Note(note);
            }
            let tail = message.msg.strip_prefix("end of history ");
            let rest = tail.zip(self.of.as_deref()).and_then(|(tail, of)| tail.strip_prefix(of));
            if let Some(rest) = rest {
                self.of = None;
                // behind a colon it says what could not be shown
                let reason = rest.strip_prefix(": ").map(|reason| visible(reason).into_owned());
                return reason.map_or(Shown::Hidden, Shown::Note);
            }
        }
        if self.of.is_some() { Shown::Before } else { Shown::Now }
    }
}

/// What the first line is about, and what it says, if it is one.
fn head<'a>(line: &'a str, zone: &TimeZone) -> Option<(&'a str, String)> {
    let line = line.strip_prefix("history ")?;
    let as_written = &line[..line.rfind(" count=")?];
    let mut words = Arguments::new(line);
    let what = &*words.next()?.ok()?;
    let words = words.collect::<Result<Vec<_>, _>>().ok()?;
    let fields: Vec<(&str, &str)> = words.iter().filter_map(|word| word.split_once('=')).collect();
    let field = |key| fields.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let count: u64 = field("count")?.parse().ok()?;
    let epoch = field("epoch")?;

    let shown = visible(what);
    let mut note = match count {
        0 => format!("{shown}: no messages"),
        1 => format!("{shown}: one message"),
        _ => format!("{shown}: {count} messages"),
    };
    let time = |key| field(key).and_then(|time| local(time, zone));
    match (time("first"), time("last")) {
        (Some(first), Some(last)) if first == last => {
            note.push_str(&format!(" of {}, {}", first.0, first.1));
        }
        (Some((day, first)), Some((last_day, last))) if day == last_day => {
            note.push_str(&format!(" of {day}, {first} to {last}"));
        }
        (Some((day, first)), Some((last_day, last))) => {
            note.push_str(&format!(" of {day}, {first} to {last_day}, {last}"));
        }
        _ => {}
    }
    if field("recovered") == Some("false") {
        note.push_str("; some may be missing");
    }
    let ids = field("ids").unwrap_or_default();
    let first = ids.split([',', '-']).next().unwrap_or_default();
    let last = ids.rsplit([',', '-']).next().unwrap_or_default();
    let name = as_argument(&shown);
    if field("more") == Some("true") && !ids.is_empty() {
        let place = match field("recovered") {
            // it was asked for what came later
            Some(_) => format!("since {last} {epoch}"),
            None => format!("before {first}"),
        };
        note.push_str(&format!("; more with /history {name} {}", visible(&place)));
    }
    Some((as_written, note))
}

/// The day and the time of day, where the user is.
fn local(time: &str, zone: &TimeZone) -> Option<(String, String)> {
    let time = time.parse::<Timestamp>().ok()?.to_zoned(zone.clone());
    Some((time.date().to_string(), time.strftime("%H:%M:%S").to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(replay: &mut Replay, from: &str, to: &str, msg: &str) -> Shown {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        replay.see(&Message::new(from, "", to, msg), "alice", &zone)
    }

    fn note(msg: &str) -> String {
        match see(&mut Replay::default(), "SERVER", "alice", msg) {
            Shown::Note(note) => note,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_lies_between_the_two_lines_was_said_before() {
        let mut replay = Replay::default();
        let mut see = |from, to, msg| see(&mut replay, from, to, msg);
        assert_eq!(see("bob", "#tea", "hi"), Shown::Now);
        let head = "history #tea count=1 ids=7 epoch=ab more=false first=2026-11-27T12:34:22Z last=2026-11-27T12:34:22Z";
        let expected = "#tea: one message of 2026-11-27, 13:34:22";
        assert_eq!(see("SERVER", "alice", head), Shown::Note(expected.to_owned()));
        assert_eq!(see("bob", "#tea", "the kettle is on"), Shown::Before);
        assert_eq!(see("SERVER", "alice", "end of history #tea"), Shown::Hidden);
        assert_eq!(see("bob", "#tea", "hi"), Shown::Now);
        assert_eq!(see("SERVER", "alice", "end of history #tea"), Shown::Now, "it has not begun");
    }

    #[test]
    fn only_the_server_can_say_that_something_was_said_before() {
        let mut replay = Replay::default();
        let line = "history #tea count=1 ids=7 epoch=ab more=false";
        assert_eq!(see(&mut replay, "bob", "alice", line), Shown::Now);
        assert_eq!(see(&mut replay, "SERVER", "#tea", line), Shown::Now);
        assert_eq!(see(&mut replay, "SERVER", "alice", "history of tea: long"), Shown::Now);
        assert_eq!(see(&mut replay, "bob", "alice", "hi"), Shown::Now);
    }

    #[test]
    fn the_note_says_how_many_from_when_and_how_to_see_more() {
        assert_eq!(note("history #tea count=0 epoch=ab more=false"), "#tea: no messages");
        assert_eq!(
            note(
                "history \"#green tea\" count=3 ids=17-18,20 epoch=ab more=true first=2026-11-26T22:59:59Z last=2026-11-26T23:00:00Z"
            ),
            "#green tea: 3 messages of 2026-11-26, 23:59:59 to 2026-11-27, 00:00:00; more with \
             /history \"#green tea\" before 17"
        );
        assert_eq!(
            note(
                "history bob count=2 ids=1-2 epoch=ab more=false first=2026-11-26T10:00:00Z last=2026-11-27T10:00:00Z"
            ),
            "bob: 2 messages of 2026-11-26, 11:00:00 to 2026-11-27, 11:00:00"
        );
        assert_eq!(
            note("history bob count=2 ids=17-18 epoch=ab more=true recovered=false"),
            "bob: 2 messages; some may be missing; more with /history bob since 18 ab"
        );
    }

    #[test]
    fn what_could_not_be_shown_is_said() {
        let mut replay = Replay::default();
        see(&mut replay, "SERVER", "alice", "history #tea count=1 ids=7 epoch=ab more=false");
        let tail = "end of history #tea: 1 of them were too long for you";
        let expected = Shown::Note("1 of them were too long for you".to_owned());
        assert_eq!(see(&mut replay, "SERVER", "alice", tail), expected);
        let head = "history \"#a: b\" count=0 epoch=ab more=false";
        see(&mut replay, "SERVER", "alice", head);
        let tail = "end of history \"#a: b\"";
        assert_eq!(see(&mut replay, "SERVER", "alice", tail), Shown::Hidden);
    }
}
