//! Who is there and which commands there are, as far as the client has seen: learned from the
//! welcome, from who writes, and from the answers to `/list` and `/help`, which it may ask for
//! quietly. It is there for completion only, so what it does not know does no harm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chatproto::{Message, is_invisible};

/// More names than anybody completes.
const MOST_NAMES: usize = 10_000;
/// An answer that takes longer is shown: it will have been asked for by the user.
const ANSWER: Duration = Duration::from_secs(10);

/// How the answers begin that can be read.
const LIST: &str = "Connected users (";
const EMPTY_LIST: &str = "No other users are connected";
const HELP: &str = "Commands: ";
const WELCOME_LIST: &str = " Online (";
const WELCOME_EMPTY: &str = "Nobody else is online";

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Roster {
    me: String,
    names: BTreeSet<String>,
    commands: BTreeSet<String>,
    /// Whether the server's answers are of the kind that can be read.
    is_understood: bool,
    list_asked: Vec<Instant>,
    help_asked: Vec<Instant>,
    part: Option<Part>,
}

/// A question that the client may ask on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    List,
    Help,
}

/// An answer in several messages, of which some have come.
#[derive(Debug)]
struct Part {
    question: Question,
    is_quiet: bool,
    next: u32,
    total: u32,
}

impl Roster {
    pub(super) fn new(me: &str) -> Self {
        Roster {
            me: me.to_owned(),
            names: BTreeSet::new(),
            commands: BTreeSet::new(),
            is_understood: false,
            list_asked: Vec::new(),
            help_asked: Vec::new(),
            part: None,
        }
    }

    /// The names that were seen.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The server's commands that were seen.
    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(String::as_str)
    }

    /// A connection was made. Returns the commands to send now, whose answers will be hidden:
    /// none, if the welcome does not look as if their answers could be read.
    pub(super) fn connected(&mut self, welcome: &Message, now: Instant) -> &'static [&'static str] {
        self.list_asked.clear();
        self.help_asked.clear();
        self.part = None;
        self.names.clear();
        let text = &welcome.msg;
        if let Some((_, list)) = text.split_once(WELCOME_LIST) {
            self.add_names(list.split_once("): ").map_or("", |(_, names)| names));
            self.is_understood = true;
        } else {
            self.is_understood = text.contains(WELCOME_EMPTY);
        }
        if !self.is_understood {
            return &[];
        }
        self.help_asked.push(now);
        self.list_asked.push(now);
        &["/help", "/list"]
    }

    /// Whether to ask for the list now, because somebody looks at it: unless an answer is under
    /// way, or could not be read.
    pub(super) fn refresh(&mut self, now: Instant) -> bool {
        self.list_asked.retain(|&at| now.duration_since(at) < ANSWER);
        let must_ask = self.is_understood && !self.awaits_list();
        if must_ask {
            self.list_asked.push(now);
        }
        must_ask
    }

    /// Whether the list that was asked for has not come yet.
    pub(super) fn awaits_list(&self) -> bool {
        !self.list_asked.is_empty() || self.part.is_some()
    }

    /// Learns from a message. True if it answers a question that the user did not ask.
    pub(super) fn learn(&mut self, message: &Message, now: Instant) -> bool {
        if !message.is_from_server() {
            self.add_name(&message.from.name);
            return false;
        }
        if message.to != self.me {
            return false;
        }
        let (text, numbers) = split_numbers(&message.msg);
        if let (Some(mut part), Some((k, total))) = (self.part.take(), numbers)
            && (part.next, part.total) == (k, total)
        {
            self.add(part.question, text);
            let is_quiet = part.is_quiet;
            part.next += 1;
            self.part = (k < total).then_some(part);
            return is_quiet;
        }
        let (question, items) = if let Some(list) = text.strip_prefix(LIST) {
            (Question::List, list.split_once("): ").map_or("", |(_, names)| names))
        } else if text.starts_with(EMPTY_LIST) {
            (Question::List, "")
        } else if let Some(commands) = text.strip_prefix(HELP) {
            (Question::Help, commands)
        } else {
            return false;
        };
        let asked = match question {
            Question::List => {
                self.names.clear();
                &mut self.list_asked
            }
            Question::Help => &mut self.help_asked,
        };
        asked.retain(|&at| now.duration_since(at) < ANSWER);
        let is_quiet = !asked.is_empty();
        if is_quiet {
            asked.remove(0);
        }
        self.add(question, items);
        self.part = numbers.filter(|&(k, total)| k < total).map(|(k, total)| Part {
            question,
            is_quiet,
            next: k + 1,
            total,
        });
        is_quiet
    }

    fn add(&mut self, question: Question, items: &str) {
        match question {
            Question::List => self.add_names(items),
            Question::Help => {
                let commands = items.split(", ").filter(|item| item.starts_with('/'));
                self.commands.extend(commands.map(str::to_owned));
            }
        }
    }

    fn add_names(&mut self, list: &str) {
        for name in without_rest(list).split(", ") {
            self.add_name(name);
        }
    }

    fn add_name(&mut self, name: &str) {
        let is_usable = !name.is_empty() && name != self.me && !name.chars().any(is_invisible);
        if is_usable && self.names.len() < MOST_NAMES {
            self.names.insert(name.to_owned());
        }
    }
}

/// Cuts off the `(k/n)` of an answer in several messages.
fn split_numbers(text: &str) -> (&str, Option<(u32, u32)>) {
    let numbers = || {
        let (rest, tail) = text.strip_suffix(')')?.rsplit_once(" (")?;
        let (k, n) = tail.split_once('/')?;
        Some((rest, (k.parse().ok()?, n.parse().ok()?)))
    };
    match numbers() {
        Some((rest, numbers)) => (rest.trim_end_matches([',', ' ']), Some(numbers)),
        None => (text, None),
    }
}

/// Cuts off the `and 7 more` of a list that is not complete.
fn without_rest(list: &str) -> &str {
    let rest = || {
        let (names, count) = list.strip_suffix(" more")?.rsplit_once("and ")?;
        count.parse::<u64>().ok()?;
        Some(names.trim_end_matches([',', ' ']))
    };
    rest().unwrap_or(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Message {
        Message::new("SERVER", "0.0.0.0", "alice", text)
    }

    fn roster(welcome: &str) -> Roster {
        let mut roster = Roster::new("alice");
        roster.connected(&server(welcome), Instant::now());
        roster
    }

    fn names(roster: &Roster) -> Vec<&str> {
        roster.names().collect()
    }

    #[test]
    fn the_librarys_own_texts_are_understood() {
        let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let running = std::thread::spawn(move || server.run());
        let bob = chatproto::Client::connect(address, "bob b").unwrap();
        let mut alice = chatproto::Client::connect(address, "alice").unwrap();
        let mut roster = Roster::new("alice");

        let questions = roster.connected(alice.welcome(), Instant::now());
        assert_eq!(questions, ["/help", "/list"]);
        assert_eq!(names(&roster), ["bob b"]);
        for question in questions {
            alice.send(question, "").unwrap();
            assert!(roster.learn(&alice.recv().unwrap(), Instant::now()), "{question}");
        }
        assert_eq!(names(&roster), ["bob b"]);
        assert!(roster.commands().any(|command| command == "/shout"));

        bob.close().unwrap();
        // `bob` is gone when a message to him finds nobody
        loop {
            alice.send("/list", "").unwrap();
            let answer = alice.recv().unwrap();
            assert!(!roster.learn(&answer, Instant::now()), "the user asked");
            if names(&roster).is_empty() {
                break;
            }
        }
        drop(alice);
        handle.stop();
        running.join().unwrap().unwrap();
    }

    #[test]
    fn other_servers_are_not_asked() {
        let mut roster = Roster::new("alice");
        let now = Instant::now();
        assert!(roster.connected(&server("Welcome alice"), now).is_empty());
        assert!(!roster.refresh(now));
    }

    #[test]
    fn names_come_from_the_welcome_and_from_messages() {
        let mut roster = roster("Welcome, alice! Online (4): bob, carol jones and 2 more");
        assert_eq!(names(&roster), ["bob", "carol jones"]);
        let message = Message::new("dave", "192.0.2.7", "Everyone", "hi");
        assert!(!roster.learn(&message, Instant::now()));
        roster.learn(&Message::new("e\u{1b}ve", "192.0.2.7", "alice", "hi"), Instant::now());
        assert_eq!(names(&roster), ["bob", "carol jones", "dave"]);
    }

    #[test]
    fn an_answer_in_parts_is_hidden_as_a_whole() {
        let mut roster = roster("Welcome, alice! Nobody else is online.");
        let mut learn = |text: &str| roster.learn(&server(text), Instant::now());
        assert!(learn("Connected users (5): a, b (1/3)"));
        assert!(learn("c, d (2/3)"));
        assert!(learn("e, and 2 more (3/3)"));
        assert!(!learn("Connected users (1): f"));
        assert_eq!(names(&roster), ["f"]);
    }

    #[test]
    fn what_the_user_asked_for_is_shown() {
        let mut roster = roster("Welcome, alice! Nobody else is online.");
        let now = Instant::now();
        assert!(!roster.learn(&server("❌ There is no user \"x\"."), now));
        assert!(!roster.learn(&server("Commands: /help, /list (1/2)"), now + ANSWER));
        assert!(!roster.learn(&server("/shout (2/2)"), now + ANSWER));
        assert_eq!(roster.commands().collect::<Vec<_>>(), ["/help", "/list", "/shout"]);
    }

    #[test]
    fn the_list_is_asked_for_once_at_a_time() {
        let now = Instant::now();
        let mut roster = roster("Welcome, alice! Nobody else is online.");
        assert!(!roster.refresh(now), "it was asked for at the beginning");
        assert!(roster.learn(&server("No other users are connected."), now));
        assert!(roster.refresh(now));
        assert!(!roster.refresh(now));
        assert!(roster.refresh(now + ANSWER), "it will not come any more");
    }
}
