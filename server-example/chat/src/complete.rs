//! What Tab does: commands after `/` at the beginning of a line, users and rooms as their first
//! argument, and after `@` the users and rooms that one can write to.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use chatproto::Message;
use chatproto::endpoint::as_argument;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use shared::secret::masked;

use super::connection::Connection;
use super::line::{self, Argument, QUIT, TO};
use super::prompt::LivePrompt;
use super::roster::{Question, Roster};

/// How long Tab waits for a new list before it makes do with the old one.
const PATIENCE: Duration = Duration::from_millis(250);

/// A roster that one thread fills while another completes from it.
#[derive(Debug, Default)]
pub(super) struct SharedRoster {
    roster: Mutex<Roster>,
    learned: Condvar,
}

impl SharedRoster {
    pub(super) fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Roster::learn`].
    pub(super) fn learn(&self, message: &Message, me: &str) -> bool {
        let is_hidden = self.lock().learn(message, me);
        self.learned.notify_all();
        is_hidden
    }

    fn wait_for(&self, question: Option<Question>) -> MutexGuard<'_, Roster> {
        let is_awaited = |roster: &mut Roster| question.is_some_and(|what| roster.awaits(what));
        let waited = self.learned.wait_timeout_while(self.lock(), PATIENCE, is_awaited);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What the line editor asks when Tab is pressed.
pub(super) struct Completion {
    pub(super) roster: Arc<SharedRoster>,
    /// Knows the rooms that the user is in.
    pub(super) connection: Arc<Connection>,
    /// Whether a secret is being asked for: all that is typed is one.
    pub(super) is_asking: Cell<bool>,
    /// Has the questions asked that the roster has.
    pub(super) ask: Box<dyn Fn(&SharedRoster)>,
    /// The prompt of the line that is edited.
    pub(super) prompt: LivePrompt,
    /// Is told whenever the editor draws its line.
    pub(super) drawn: Option<mpsc::Sender<()>>,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.is_asking.get() || line::has_secret(line) {
            return Ok((pos, Vec::new()));
        }
        let Some(word) = Word::at_end_of(&line[..pos]) else { return Ok((pos, Vec::new())) };
        let question = word.kind.question();
        if let Some(question) = question {
            self.roster.lock().refresh(question);
            (self.ask)(&self.roster);
        }
        let roster = self.roster.wait_for(question);
        let place = self.connection.place();
        let own_rooms: Vec<&str> = place.rooms().collect();
        Ok((word.start, word.candidates(&roster, &own_rooms)))
    }
}

/// What is secret is not shown.
impl Highlighter for Completion {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if let Some(drawn) = &self.drawn {
            // an error means that it was told often enough
            let _ = drawn.send(());
        }
        self.prompt.draw(prompt, || self.connection.place().prompt())
    }

    fn highlight<'l>(&self, line: &'l str, pos: usize) -> Cow<'l, str> {
        if let Some(drawn) = self.prompt.draw_line(line, pos) {
            drawn.into()
        } else if self.is_asking.get() {
            masked(line).into()
        } else if line::has_secret(line) {
            line.split_inclusive('\n').map(without_secret).collect::<String>().into()
        } else {
            line.into()
        }
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        self.is_asking.get() || self.prompt.is_stale() || line::has_secret(line)
    }
}

/// A line with asterisks for the secret in it.
fn without_secret(line: &str) -> Cow<'_, str> {
    match line::secret_at(line) {
        Some(at) => {
            let (command, secret) = line.split_at(at);
            let end = if secret.ends_with('\n') { "\n" } else { "" };
            let secret = secret.trim_end_matches('\n');
            // the first character is the space behind the command
            let space = secret.chars().next().map_or(0, char::len_utf8);
            let (space, secret) = secret.split_at(space);
            format!("{command}{space}{}{end}", masked(secret)).into()
        }
        None => line.into(),
    }
}

impl Helper for Completion {}
impl Validator for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

/// What is to be completed.
#[derive(Debug)]
struct Word<'a> {
    kind: Kind,
    /// Where it begins in the line.
    start: usize,
    /// As much of it as there is, without the quote that it may begin with.
    typed: &'a str,
    is_quoted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Command,
    /// Behind `@`.
    Addressee,
    Argument(Argument),
    /// A room where the user is, or everybody.
    Place,
}

impl Kind {
    /// What the server knows better.
    fn question(self) -> Option<Question> {
        match self {
            Kind::Addressee | Kind::Argument(Argument::User) => Some(Question::Users),
            Kind::Argument(Argument::Room) => Some(Question::Rooms),
            Kind::Command | Kind::Argument(Argument::OwnRoom) | Kind::Place => None,
        }
    }
}

impl<'a> Word<'a> {
    /// The word before the cursor.
    fn at_end_of(before: &'a str) -> Option<Self> {
        let line = before.trim_start();
        let indent = before.len() - line.len();
        if line.starts_with('/') {
            let Some((command, rest)) = line.split_once(char::is_whitespace) else {
                let (kind, start, typed) = (Kind::Command, indent, line);
                return Some(Word { kind, start, typed, is_quoted: false });
            };
            if let Some(argument) = Argument::of(command) {
                let kind = if command == TO { Kind::Place } else { Kind::Argument(argument) };
                let name = rest.trim_start();
                return Some(Word::new(kind, before.len() - name.len(), name));
            }
        }
        let start = addressee_start(before)?;
        Some(Word::new(Kind::Addressee, start, &before[start + 1..]))
    }

    fn new(kind: Kind, start: usize, name: &'a str) -> Self {
        match name.strip_prefix('"') {
            Some(typed) => Word { kind, start, typed, is_quoted: true },
            None => Word { kind, start, typed: name, is_quoted: false },
        }
    }

    /// What it could become.
    fn candidates(&self, roster: &Roster, own_rooms: &[&str]) -> Vec<Pair> {
        let own_rooms = own_rooms.iter().copied();
        match self.kind {
            Kind::Command => self.fitting("", roster.commands().chain([QUIT, TO])),
            Kind::Addressee => self.fitting("@", roster.names().chain(own_rooms)),
            Kind::Argument(Argument::User) => self.fitting("", roster.names()),
            Kind::Argument(Argument::Room) => {
                let others = own_rooms.filter(|own| !roster.has_room(own));
                self.fitting("", roster.rooms().chain(others))
            }
            Kind::Argument(Argument::OwnRoom) => self.fitting("", own_rooms),
            Kind::Place => self.fitting("", own_rooms.chain(["everyone"])),
        }
    }

    fn fitting<'n>(&self, sign: &str, names: impl Iterator<Item = &'n str>) -> Vec<Pair> {
        // inside quotes a quote is doubled
        let typed = match self.is_quoted {
            true => Cow::Owned(self.typed.replace("\"\"", "\"")),
            false => Cow::Borrowed(self.typed),
        };
        let names = names.filter(|name| begins_with(name, &typed));
        let pairs = names.map(|name| {
            // an argument that begins like a number or an address is a name in quotes only
            let is_argument = matches!(self.kind, Kind::Argument(Argument::User));
            let is_ambiguous = is_argument && !name.starts_with(char::is_alphabetic);
            let written = match as_argument(name) {
                Cow::Borrowed(name) if self.is_quoted || is_ambiguous => {
                    format!("\"{name}\"").into()
                }
                written => written,
            };
            let replacement = format!("{sign}{written} ");
            Pair { display: name.to_owned(), replacement }
        });
        pairs.collect()
    }
}

/// The last `@` that begins a word; a name behind it may contain spaces.
fn addressee_start(before: &str) -> Option<usize> {
    let begins_word =
        |&(at, _): &(usize, &str)| before[..at].chars().next_back().is_none_or(char::is_whitespace);
    before.rmatch_indices('@').find(begins_word).map(|(at, _)| at)
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
        let mut roster = Roster::default();
        roster.confirmed();
        // the rooms are asked for behind the answer to /help
        for _ in 0..2 {
            for (to, msg) in roster.take_questions() {
                let answer = match to {
                    "/help" => "Commands: /help, /list, /rooms, /shout",
                    "/list" => "Connected users (5): Bob, alice, alice smith, alina, ölaf",
                    "/rooms" => "Rooms (3): #den (1), #Tea (3), #tea time (2)",
                    _ => &msg,
                };
                assert!(roster.learn(&Message::new("SERVER", "0.0.0.0", "me", answer), "me"));
            }
        }
        let Some(word) = Word::at_end_of(before) else { return (0, Vec::new()) };
        let pairs = word.candidates(&roster, &["#Tea", "#green tea"]);
        (word.start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    fn check<const N: usize>(before: &str, start: usize, completed: [&str; N]) {
        let completed = completed.map(str::to_owned).to_vec();
        assert_eq!(complete(before), (start, completed), "{before}");
    }

    #[test]
    fn names() {
        check("@b", 0, ["@Bob "]);
        check("@al", 0, ["@alice ", "@\"alice smith\" ", "@alina "]);
        check("@alice s", 0, ["@\"alice smith\" "]);
        check("@\"alice", 0, ["@\"alice\" ", "@\"alice smith\" "]);
        check("@\"alice s", 0, ["@\"alice smith\" "]);
        check("hi @b", 3, ["@Bob "]);
        check("@alice hi @al i @ali", 16, ["@alice ", "@\"alice smith\" ", "@alina "]);
        check("@Ö", 0, ["@ölaf "]);
        check("@x", 0, []);
        check("@alice hello", 0, []);
        assert_eq!(complete("a@b").1, [""; 0], "no word begins there");
        assert_eq!(complete("plain").1, [""; 0]);
    }

    #[test]
    fn commands() {
        check("/", 0, ["/help ", "/list ", "/rooms ", "/shout ", "/quit ", "/to "]);
        check("  /q", 2, ["/quit "]);
        assert_eq!(complete("/list x").1, [""; 0]);
        assert_eq!(complete("say /l").1, [""; 0]);
        check("/shout hi @b", 10, ["@Bob "]);
    }

    #[test]
    fn rooms() {
        check("@#", 0, ["@#Tea ", "@\"#green tea\" "]);
        check("@#green t", 0, ["@\"#green tea\" "]);
        check("@#d", 0, []);
        check("/join ", 6, ["#Tea ", "#den ", "\"#tea time\" ", "\"#green tea\" "]);
        check("/join  #te", 7, ["#Tea ", "\"#tea time\" "]);
        check("/who \"#tea t", 5, ["\"#tea time\" "]);
        check(" /close #d", 8, ["#den "]);
        check("/leave ", 7, ["#Tea ", "\"#green tea\" "]);
        check("/to ", 4, ["#Tea ", "\"#green tea\" ", "everyone "]);
        check("/to e", 4, ["everyone "]);
        check("/joining #", 0, []);
    }

    #[test]
    fn what_is_secret_is_masked() {
        for (typed, shown) in [
            ("/login secret", "/login ******"),
            (" /LOGIN  \"my secret\"", " /LOGIN ************"),
            ("/login ", "/login "),
            ("/passwd old 新", "/passwd ******"),
            ("/login secret\n", "/login ******\n"),
            ("hello", "hello"),
        ] {
            assert_eq!(without_secret(typed), shown, "{typed}");
        }
    }

    #[test]
    fn users_whom_a_command_is_about() {
        check("/kick al", 6, ["alice ", "\"alice smith\" ", "alina "]);
        check("/ban \"al", 5, ["\"alice\" ", "\"alice smith\" ", "\"alina\" "]);
        check("/role Bob ", 6, []);
        check("/mute ", 6, ["Bob ", "alice ", "\"alice smith\" ", "alina ", "ölaf "]);
    }
}
