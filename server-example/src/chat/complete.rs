//! What Tab does: names after `@`, commands after `/` at the beginning of a line.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatproto::Message;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::line::QUIT;
use super::roster::Roster;

/// How long Tab waits for a new list of users before it makes do with the old one.
const PATIENCE: Duration = Duration::from_millis(250);

/// A roster that one thread fills while another completes from it.
#[derive(Debug)]
pub(super) struct SharedRoster {
    roster: Mutex<Roster>,
    learned: Condvar,
}

impl SharedRoster {
    pub(super) fn new(roster: Roster) -> Self {
        SharedRoster { roster: Mutex::new(roster), learned: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Roster::learn`].
    pub(super) fn learn(&self, message: &Message) -> bool {
        let is_hidden = self.lock().learn(message, Instant::now());
        self.learned.notify_all();
        is_hidden
    }

    fn wait_for_list(&self) -> MutexGuard<'_, Roster> {
        let awaits_list = |roster: &mut Roster| roster.awaits_list();
        let waited = self.learned.wait_timeout_while(self.lock(), PATIENCE, awaits_list);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What the line editor asks when Tab is pressed.
pub(super) struct Completion {
    pub(super) roster: Arc<SharedRoster>,
    /// Asks the server for a new list of users.
    pub(super) ask_for_list: Box<dyn Fn()>,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        if name_start(before).is_some() && self.roster.lock().refresh(Instant::now()) {
            (self.ask_for_list)();
        }
        let found = candidates(before, &self.roster.wait_for_list());
        Ok(found.unwrap_or_else(|| (pos, Vec::new())))
    }
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

/// Where the word before the cursor begins, and what it could become.
fn candidates(before: &str, roster: &Roster) -> Option<(usize, Vec<Pair>)> {
    let indent = before.len() - before.trim_start().len();
    if before[indent..].starts_with('/') && !before[indent..].contains(char::is_whitespace) {
        let typed = &before[indent..];
        let commands = roster.commands().chain([QUIT]).filter(|command| command.starts_with(typed));
        return Some((
            indent,
            commands.map(|command| pair(command, format!("{command} "))).collect(),
        ));
    }
    let at = name_start(before)?;
    let typed = &before[at + 1..];
    let (typed, is_quoted) = match typed.strip_prefix('"') {
        Some(quoted) => (quoted, true),
        None => (typed, false),
    };
    let names = roster.names().filter(|name| begins_with(name, typed));
    let pairs = names.map(|name| {
        if is_quoted || name.contains(char::is_whitespace) {
            pair(name, format!("@\"{name}\" "))
        } else {
            pair(name, format!("@{name} "))
        }
    });
    Some((at, pairs.collect()))
}

/// The last `@` that begins a word; a name behind it may contain spaces.
fn name_start(before: &str) -> Option<usize> {
    let begins_word =
        |&(at, _): &(usize, &str)| before[..at].chars().next_back().is_none_or(char::is_whitespace);
    before.rmatch_indices('@').find(begins_word).map(|(at, _)| at)
}

fn pair(display: &str, replacement: String) -> Pair {
    Pair { display: display.to_owned(), replacement }
}

/// Whether the name begins with what was typed, in either case.
fn begins_with(name: &str, typed: &str) -> bool {
    let mut name = name.chars().flat_map(char::to_lowercase);
    typed.chars().flat_map(char::to_lowercase).all(|c| name.next() == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(before: &str) -> (usize, Vec<String>) {
        let mut roster = Roster::new("me");
        let text = "Welcome, me! Online (5): Bob, alice, alice smith, alina, ölaf";
        let now = Instant::now();
        roster.connected(&Message::new("SERVER", "0.0.0.0", "me", text), now);
        let help = Message::new("SERVER", "0.0.0.0", "me", "Commands: /help, /list, /shout");
        roster.learn(&help, now);
        let (start, pairs) = candidates(before, &roster).unwrap_or_default();
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn names() {
        for (before, start, completed) in [
            ("@b", 0, vec!["@Bob "]),
            ("@al", 0, vec!["@alice ", "@\"alice smith\" ", "@alina "]),
            ("@alice s", 0, vec!["@\"alice smith\" "]),
            ("@\"alice", 0, vec!["@\"alice\" ", "@\"alice smith\" "]),
            ("@\"alice s", 0, vec!["@\"alice smith\" "]),
            ("hi @b", 3, vec!["@Bob "]),
            ("@alice hi @al i @ali", 16, vec!["@alice ", "@\"alice smith\" ", "@alina "]),
            ("@Ö", 0, vec!["@ölaf "]),
            ("@x", 0, vec![]),
            ("@alice hello", 0, vec![]),
        ] {
            let completed = completed.into_iter().map(str::to_owned).collect();
            assert_eq!(complete(before), (start, completed), "{before}");
        }
        assert_eq!(complete("a@b").1, [""; 0], "no word begins there");
        assert_eq!(complete("plain").1, [""; 0]);
    }

    #[test]
    fn commands() {
        assert_eq!(complete("/").1, ["/help ", "/list ", "/shout ", "/quit "]);
        assert_eq!(complete("  /q"), (2, vec!["/quit ".to_owned()]));
        assert_eq!(complete("/list x").1, [""; 0]);
        assert_eq!(complete("say /l").1, [""; 0]);
    }
}
