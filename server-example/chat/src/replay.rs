//! What was said before, made readable for people: the server shows it between two lines that are
//! meant for programs, `history #tea count=2 ids=1-2 epoch=… …` and `end of history #tea`.

use std::collections::VecDeque;

use chatproto::Message;
use chatproto::endpoint::{Arguments, as_argument};
use chatproto::pairs::Pairs;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use shared::text::visible;

/// What stands in place of the time of a message that was kept, and is as long, if the server says only
/// when the first and the last of them came.
const BEFORE: &str = "  before";
/// What the server says where accounts are required, and when that is done.
const LOGIN_FIRST: &str = "❌ Log in first";
const LOGGED_IN: &str = "You are logged in as ";
/// The command that asks a server for the time of each message.
pub(super) const TIMES: &str = "/times";

/// Knows whether what comes is said now or was said before.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Of what a page is being shown, as the server writes it.
    of: Option<String>,
    /// When the messages were kept that come next.
    times: VecDeque<Timestamp>,
    /// Messages of the mailbox that come next.
    mail: usize,
    /// The server was asked for the times, and has not answered yet.
    is_asking: bool,
    /// It wants a login first.
    waits_for_login: bool,
    /// It is to be asked again.
    is_due: bool,
}

/// How a message is to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As one that is said now.
    Now,
    /// As one that was said before, at this time.
    Before(String),
    /// This instead.
    Note(String),
    /// Not at all.
    Hidden,
}

impl Replay {
    /// For a new connection, with its welcome.
    pub(super) fn new(welcome: &Message) -> Self {
        Replay { is_asking: is_asked(welcome), ..Replay::default() }
    }

    /// Whether the server is to be asked for the times now.
    pub(super) fn take_question(&mut self) -> bool {
        self.is_asking |= self.is_due;
        std::mem::take(&mut self.is_due)
    }

    /// How to show the next message to the user called `me`.
    pub(super) fn see(&mut self, message: &Message, me: &str, zone: &TimeZone) -> Shown {
        if message.is_from_server() && message.to == me {
            if self.is_asking && is_answer(&message.msg) {
                self.is_asking = false;
                self.waits_for_login = message.msg.starts_with(LOGIN_FIRST);
                return Shown::Hidden;
            }
            if self.waits_for_login && message.msg.starts_with(LOGGED_IN) {
                (self.waits_for_login, self.is_due) = (false, true);
            }
            if let Some((count, times)) = mail(&message.msg) {
                (self.mail, self.times) = (count, times);
                return Shown::Hidden;
            }
            if let Some((what, note)) = head(&message.msg, zone) {
                self.of = Some(what.to_owned());
                self.times = times(&message.msg);
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
        let is_mail = self.of.is_none() && self.mail > 0 && !message.is_from_server();
        if self.of.is_none() && !is_mail {
            return Shown::Now;
        }
        self.mail -= usize::from(is_mail);
        let time = self.times.pop_front();
        Shown::Before(time.map_or_else(|| BEFORE.to_owned(), |time| shown(time, zone)))
    }
}

/// Whether a server is asked for the times when it has welcomed the user: one that has commands.
pub(super) fn is_asked(welcome: &Message) -> bool {
    welcome.msg.contains("/help")
}

/// Whether this answers `/times on`, also from a server that has no such command or not yet.
fn is_answer(text: &str) -> bool {
    text == "Times are on."
        || text.starts_with(LOGIN_FIRST)
        || (text.starts_with('❌') && text.contains(TIMES))
}

/// How many messages of the mailbox follow, and when they were kept, if a line says that.
fn mail(line: &str) -> Option<(usize, VecDeque<Timestamp>)> {
    let rest = line.strip_prefix("mail ")?;
    Some((field(rest, "count")?.parse().ok()?, times(rest)))
}

/// The times in the line before messages; none if it has none.
fn times(line: &str) -> VecDeque<Timestamp> {
    let first = field(line, "first").and_then(|first| first.parse::<Timestamp>().ok());
    let (Some(first), Some(seconds)) = (first, field(line, "times")) else {
        return VecDeque::new();
    };
    let time = |seconds: &str| {
        let after = SignedDuration::from_secs(seconds.parse().ok()?);
        first.checked_add(after).ok()
    };
    seconds.split(',').map_while(time).collect()
}

/// The value of a key.
fn field(line: &str, key: &str) -> Option<String> {
    let value = |word: &str| {
        let (name, value) = word.split_once('=')?;
        (name == key).then(|| value.to_owned())
    };
    Arguments::new(line).filter_map(Result::ok).find_map(|word| value(&word))
}

/// The time of day, with the day if that is not today.
fn shown(time: Timestamp, zone: &TimeZone) -> String {
    let today = shared::clock::now().to_zoned(zone.clone()).date();
    let time = time.to_zoned(zone.clone());
    let form = if time.date() == today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    time.strftime(form).to_string()
}

/// What the first line is about, and what it says, if it is one.
fn head<'a>(line: &'a str, zone: &TimeZone) -> Option<(&'a str, String)> {
    let line = line.strip_prefix("history ")?;
    let mut words = Arguments::new(line);
    let what = words.next()?.ok()?;
    let as_written = line[..line.len() - words.rest().len()].trim_end();
    // a text with anything else in it is no such line, but one that begins with a user's name
    let pairs = Pairs::parse(words.rest())?;
    let field = |key| pairs.get(key);
    let count = pairs.number("count")?;
    let epoch = field("epoch")?;

    let shown = visible(&what);
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
        assert_eq!(see("bob", "#tea", "the kettle is on"), Shown::Before(BEFORE.to_owned()));
        assert_eq!(see("SERVER", "alice", "end of history #tea"), Shown::Hidden);
        assert_eq!(see("bob", "#tea", "hi"), Shown::Now);
        assert_eq!(see("SERVER", "alice", "end of history #tea"), Shown::Now, "it has not begun");
    }

    fn before(time: &str) -> Shown {
        Shown::Before(time.to_owned())
    }

    #[test]
    fn each_message_that_was_said_before_has_its_own_time() {
        let mut replay = Replay::default();
        let mut see = |from, to, msg| see(&mut replay, from, to, msg);
        let head = "history #tea count=3 ids=7-9 epoch=ab more=false first=2020-11-27T22:34:22Z \
                    last=2020-11-27T23:34:22Z times=0,-3,3600";
        assert!(matches!(see("SERVER", "alice", head), Shown::Note(_)));
        assert_eq!(see("bob", "#tea", "one"), before("2020-11-27 23:34:22"));
        assert_eq!(see("bob", "#tea", "two"), before("2020-11-27 23:34:19"));
        assert_eq!(see("bob", "#tea", "three"), before("2020-11-28 00:34:22"));
        assert_eq!(see("SERVER", "alice", "end of history #tea"), Shown::Hidden);
        // and so has mail
        let notice = "2 messages were sent to you while you were away:";
        assert_eq!(see("SERVER", "alice", notice), Shown::Now);
        let line = "mail count=2 first=2020-11-27T22:34:22Z times=0,61";
        assert_eq!(see("SERVER", "alice", line), Shown::Hidden);
        assert_eq!(see("bob", "alice", "call me"), before("2020-11-27 23:34:22"));
        assert_eq!(see("SERVER", "#tea", "bob joined."), Shown::Now);
        assert_eq!(see("bob", "alice", "it is urgent"), before("2020-11-27 23:35:23"));
        assert_eq!(see("bob", "alice", "hi"), Shown::Now);
        // what others write has no times, and what is wrong has none either
        assert_eq!(see("bob", "alice", line), Shown::Now);
        let wrong = "history #tea count=1 ids=7 epoch=ab more=false first=x times=9";
        see("SERVER", "alice", wrong);
        assert_eq!(see("bob", "#tea", "one"), before(BEFORE));
    }

    #[test]
    fn the_time_of_day_is_enough_today() {
        let zone = TimeZone::UTC;
        let now = shared::clock::now();
        assert_eq!(shown(now, &zone), now.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string());
    }

    #[test]
    fn the_answers_to_the_question_for_times_are_hidden() {
        let welcome = Message::new("SERVER", "0.0.0.0", "alice", "Welcome, alice! Send /help.");
        for answer in ["Times are on.", "❌ Unknown command: /times. Send /help."] {
            let mut replay = Replay::new(&welcome);
            assert_eq!(see(&mut replay, "SERVER", "alice", "3 users: bob"), Shown::Now);
            assert_eq!(see(&mut replay, "SERVER", "alice", answer), Shown::Hidden);
            assert_eq!(see(&mut replay, "SERVER", "alice", answer), Shown::Now, "it was answered");
            assert!(!replay.take_question());
        }
        let mut replay = Replay::new(&welcome);
        let first = "❌ Log in first: send /login with your password.";
        assert_eq!(see(&mut replay, "SERVER", "alice", first), Shown::Hidden);
        assert_eq!(see(&mut replay, "SERVER", "alice", first), Shown::Now);
        assert_eq!(see(&mut replay, "SERVER", "alice", "You are logged in as alice."), Shown::Now);
        assert!(replay.take_question() && !replay.take_question());
        assert_eq!(see(&mut replay, "SERVER", "alice", "Times are on."), Shown::Hidden);
    }

    #[test]
    fn only_the_server_can_say_that_something_was_said_before() {
        let mut replay = Replay::default();
        let line = "history #tea count=1 ids=7 epoch=ab more=false";
        assert_eq!(see(&mut replay, "bob", "alice", line), Shown::Now);
        assert_eq!(see(&mut replay, "SERVER", "#tea", line), Shown::Now);
        assert_eq!(see(&mut replay, "SERVER", "alice", "history of tea: long"), Shown::Now);
        // the text for one who writes to a user of that name who is away
        let away = "history #tea count=1 epoch=ab is away: back soon";
        assert_eq!(see(&mut replay, "SERVER", "alice", away), Shown::Now);
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
