//! Who came and who went, told without a flood: a change is told at once while there are few, and
//! in a crowd they are counted and told together.
//!
//! So the notices of one audience are at most a thousand deliveries a second, however many come and
//! go: ten a second to at most a hundred members, or one a second, to more than a thousand one in
//! as many milliseconds as there are members.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Above so many members every change is counted.
const SMALL: usize = 100;
/// So many changes are told at once in a second; what comes beyond is counted.
const AT_ONCE: u32 = 10;
/// How many names a count is told with.
const NAMED: usize = 3;

const SECOND: Duration = Duration::from_secs(1);

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Joined,
    Left,
    Disconnected,
    Kicked,
    Renamed,
}

impl Change {
    const ALL: [Change; 5] =
        [Change::Joined, Change::Left, Change::Disconnected, Change::Kicked, Change::Renamed];

    fn of_one(self) -> &'static str {
        match self {
            Change::Joined => "joined",
            Change::Left => "left",
            Change::Disconnected => "disconnected",
            Change::Kicked => "was kicked",
            Change::Renamed => "is now",
        }
    }

    fn of_many(self) -> &'static str {
        match self {
            Change::Kicked => "were kicked",
            Change::Renamed => "renamed",
            change => change.of_one(),
        }
    }
}

/// What to do about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Tell it now.
    AtOnce,
    /// It was counted, and will be told with others, for which [`Presence::flush`] is to be called
    /// at that time.
    At(Instant),
    /// It was counted, and that time was given before.
    Later,
}

/// What one audience, a room or everybody, has yet to be told, and was told lately.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// When the second began in which `told` notices went out; after a count, when it did.
    since: Option<Instant>,
    told: u32,
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending {
    due: Instant,
    /// Bytes that its names take.
    bytes: usize,
    tallies: [Tally; Change::ALL.len()],
}

#[derive(Debug, Default)]
struct Tally {
    count: usize,
    /// The first of them.
    names: Vec<String>,
}

impl Presence {
    /// Bytes that it takes at most, without names.
    pub(super) const PENDING: usize = size_of::<Pending>();

    /// Bytes that the names take that are to be told.
    pub(super) fn bytes_of_names(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes)
    }

    /// Takes a change in an audience of so many. `name` is who, or who became whom. A count that is
    /// made of it includes the name if there is room for that.
    pub(super) fn take(
        &mut self,
        change: Change,
        name: &str,
        members: usize,
        has_room: bool,
        now: Instant,
    ) -> Telling {
        let name_of_count = has_room.then_some(name);
        if let Some(pending) = &mut self.pending {
            pending.add(change, name_of_count);
            return Telling::Later;
        }
        let is_new_second = self.since.is_none_or(|since| since + SECOND <= now);
        if members <= SMALL && (is_new_second || self.told < AT_ONCE) {
            if is_new_second {
                (self.since, self.told) = (Some(now), 0);
            }
            self.told += 1;
            return Telling::AtOnce;
        }
        let due = match self.since {
            // what was told in this second is enough
            Some(since) if members <= SMALL => since + SECOND,
            Some(since) => (since + interval(members)).max(now + SECOND),
            None => now + SECOND,
        };
        let mut pending = Box::new(Pending { due, bytes: 0, tallies: Default::default() });
        pending.add(change, name_of_count);
        self.pending = Some(pending);
        Telling::At(due)
    }

    /// When what was counted is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.due)
    }

    /// What was counted, as a text, and a shorter one without names.
    pub(super) fn flush(&mut self, now: Instant) -> Option<(String, String)> {
        let pending = self.pending.take()?;
        (self.since, self.told) = (Some(now), AT_ONCE);
        Some((pending.text(NAMED), pending.text(0)))
    }
}

/// The least time between two counts.
fn interval(members: usize) -> Duration {
    SECOND.max(Duration::from_millis(members as u64))
}

/// A change that is told by itself. `name` is who, or who became whom.
pub(super) fn text(change: Change, name: &str) -> String {
    match (change, old_and_new(name)) {
        (Change::Renamed, Some((old, new))) => format!("{old} {} {new}.", change.of_one()),
        _ => format!("{name} {}.", change.of_one()),
    }
}

/// Who became whom, as one text. (No name contains a tab.)
pub(super) fn renamed(old: &str, new: &str) -> String {
    format!("{old}{RENAMED}{new}")
}

/// The two names in such a text.
pub(super) fn old_and_new(text: &str) -> Option<(&str, &str)> {
    text.split_once(RENAMED)
}

const RENAMED: &str = "\t";

/// Bytes that a name takes in a count, at most.
pub(super) fn bytes_of_name(name: &str) -> usize {
    // the first one of a kind makes room for the others; an arrow is longer than a tab
    NAMED * size_of::<String>() + name.len() + ARROW.len()
}

const ARROW: &str = " → ";

impl Pending {
    fn add(&mut self, change: Change, name: Option<&str>) {
        let tally = &mut self.tallies[change as usize];
        tally.count += 1;
        if let Some(name) = name.filter(|_| tally.names.len() < NAMED) {
            self.bytes += bytes_of_name(name);
            tally.names.reserve_exact(NAMED - tally.names.len());
            tally.names.push(name.replace(RENAMED, ARROW));
        }
    }

    fn text(&self, named: usize) -> String {
        let mut text = String::new();
        for (change, tally) in Change::ALL.into_iter().zip(&self.tallies) {
            if tally.count > 0 {
                text.push_str(if text.is_empty() { "" } else { "; " });
                tally.write(&mut text, change, named);
            }
        }
        text.push('.');
        text
    }
}

impl Tally {
    fn write(&self, text: &mut String, change: Change, named: usize) {
        let names = &self.names[..named.min(self.names.len())];
        let verb = if self.count == 1 && change == Change::Kicked {
            change.of_one()
        } else {
            change.of_many()
        };
        // writing to a string does not fail
        let _ = write!(text, "{} {verb}", self.count);
        if !names.is_empty() {
            let _ = write!(text, ": {}", names.join(", "));
            let more = self.count - names.len();
            if more > 0 {
                let _ = write!(text, " and {more} more");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(presence: &mut Presence, members: usize, now: Instant) -> Telling {
        presence.take(Change::Joined, "a", members, true, now)
    }

    #[test]
    fn ten_in_a_second_are_told_at_once() {
        let (mut presence, start) = (Presence::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(take(&mut presence, 100, start), Telling::AtOnce);
        }
        let later = start + Duration::from_millis(300);
        assert_eq!(take(&mut presence, 100, later), Telling::At(start + SECOND));
        assert_eq!(take(&mut presence, 100, later), Telling::Later);
        assert_eq!(presence.flush(start + SECOND).unwrap().0, "2 joined: a, a.");
        assert_eq!(presence.flush(start + SECOND), None);
        // and the next second begins with the count
        assert_eq!(take(&mut presence, 100, start + SECOND), Telling::At(start + 2 * SECOND));
        presence.flush(start + 2 * SECOND);
        assert_eq!(take(&mut presence, 100, start + 3 * SECOND), Telling::AtOnce);
    }

    #[test]
    fn a_crowd_is_told_in_counts_and_a_large_one_seldom() {
        let (mut presence, start) = (Presence::default(), Instant::now());
        assert_eq!(take(&mut presence, 101, start), Telling::At(start + SECOND));
        presence.flush(start + SECOND);
        assert_eq!(take(&mut presence, 5_000, start + SECOND), Telling::At(start + 6 * SECOND));
        presence.flush(start + 6 * SECOND);
        let late = start + 60 * SECOND;
        assert_eq!(take(&mut presence, 5_000, late), Telling::At(late + SECOND));
    }

    #[test]
    fn names_are_left_out_of_a_count_without_room_for_them() {
        let (mut presence, now) = (Presence::default(), Instant::now());
        for name in ["a", "b"] {
            presence.take(Change::Joined, name, 200, false, now);
        }
        assert_eq!(presence.bytes_of_names(), 0);
        presence.take(Change::Left, "c", 200, true, now);
        assert_eq!(presence.bytes_of_names(), bytes_of_name("c"));
        assert_eq!(presence.flush(now).unwrap().0, "2 joined; 1 left: c.");
        assert_eq!(presence.bytes_of_names(), 0);
    }

    #[test]
    fn a_count_says_what_happened_to_whom() {
        let (mut presence, now) = (Presence::default(), Instant::now());
        for name in ["a", "b", "c", "d"] {
            presence.take(Change::Joined, name, 200, true, now);
        }
        presence.take(Change::Kicked, "e", 200, true, now);
        presence.take(Change::Renamed, &renamed("f", "g"), 200, true, now);
        let (text, short) = presence.flush(now).unwrap();
        assert_eq!(text, "4 joined: a, b, c and 1 more; 1 was kicked: e; 1 renamed: f → g.");
        assert_eq!(short, "4 joined; 1 was kicked; 1 renamed.");
        assert_eq!(super::text(Change::Renamed, &renamed("f", "g")), "f is now g.");
        assert_eq!(super::text(Change::Disconnected, "f"), "f disconnected.");
    }
}
