//! Who is there, which rooms and which commands there are, as far as the client has seen: learned
//! from the welcome, from what comes, and from the answers to `/list`, `/rooms` and `/help`, which
//! it may ask for quietly. It is there for completion only, so what it does not know does no harm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chatproto::{Message, is_invisible};

/// The bytes that the names, the rooms and the commands may take each: a server cannot have the client
/// hold more. 10,000 names of the usual length fit.
const MOST_BYTES: usize = 1024 * 1024;
/// Bytes that an entry takes beside its text.
const ENTRY: usize = 48;
/// Longer names are not completed. A server with default limits has names of at most 64 bytes.
const LONGEST: usize = 256;
/// An answer that takes longer is shown: it will have been asked for by the user.
const ANSWER: Duration = Duration::from_secs(10);

/// How the answers begin that can be read.
const USERS: &str = "Connected users (";
const NO_USERS: &str = "No other users are connected";
const ROOMS: &str = "Rooms (";
const NO_ROOMS: &str = "There are no rooms";
const HELP: &str = "Commands: ";
const WELCOME_USERS: &str = " Online (";
const WELCOME_NOBODY: &str = "Nobody else is online";

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub(super) struct Roster {
    names: Texts,
    rooms: Texts,
    commands: Texts,
    /// Whether the server's answers are of the kind that can be read.
    is_understood: bool,
    /// When each question was asked whose answer has not begun to come.
    asked: [Vec<Instant>; 3],
    /// Whether the rooms were asked for on this connection.
    has_asked_rooms: bool,
    /// What is to be asked.
    to_ask: Vec<Question>,
    part: Option<Part>,
}

/// Texts in order, of at most [`MOST_BYTES`]. What does not fit is not completed.
#[derive(Debug, Default)]
struct Texts {
    texts: BTreeSet<String>,
    /// Bytes that they take, [`ENTRY`] for each included.
    bytes: usize,
}

impl Texts {
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    fn contains(&self, text: &str) -> bool {
        self.texts.contains(text)
    }

    fn clear(&mut self) {
        *self = Texts::default();
    }

    fn insert(&mut self, text: &str) {
        let bytes = self.bytes + text.len() + ENTRY;
        let fits = text.len() <= LONGEST && bytes <= MOST_BYTES;
        if fits && !self.texts.contains(text) {
            self.texts.insert(text.to_owned());
            self.bytes = bytes;
        }
    }
}

/// A question that the client may ask on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Help,
    Users,
    Rooms,
}

impl Question {
    /// The command that asks it.
    pub(super) fn command(self) -> &'static str {
        match self {
            Question::Help => "/help",
            Question::Users => "/list",
            Question::Rooms => "/rooms",
        }
    }
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
    /// The names that were seen.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }

    /// The rooms that were seen.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rooms.iter()
    }

    /// Whether the room was seen.
    pub(super) fn has_room(&self, room: &str) -> bool {
        self.rooms.contains(room)
    }

    /// The server's commands that were seen.
    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter()
    }

    /// What to ask now; the answers will be hidden.
    pub(super) fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.to_ask)
    }

    /// A connection was made. Nothing will be asked if the welcome does not look as if the answers
    /// could be read.
    pub(super) fn connected(&mut self, welcome: &Message, now: Instant) {
        *self = Roster { commands: std::mem::take(&mut self.commands), ..Roster::default() };
        let text = &welcome.msg;
        if let Some((_, list)) = text.split_once(WELCOME_USERS) {
            self.add_names(items(list), &welcome.to);
            self.is_understood = true;
        } else {
            self.is_understood = text.contains(WELCOME_NOBODY);
        }
        if self.is_understood {
            self.ask(Question::Help, now);
            self.ask(Question::Users, now);
        }
    }

    /// Asks again, because somebody looks at it: unless an answer is under way, or could not be
    /// read.
    pub(super) fn refresh(&mut self, question: Question, now: Instant) {
        self.asked[question as usize].retain(|&at| now.duration_since(at) < ANSWER);
        let is_there = question != Question::Rooms || self.commands.contains(question.command());
        if self.is_understood && is_there && !self.awaits(question) {
            self.ask(question, now);
        }
    }

    /// Whether the answer that was asked for has not come yet.
    pub(super) fn awaits(&self, question: Question) -> bool {
        let has_begun = self.part.as_ref().is_some_and(|part| part.question == question);
        has_begun || !self.asked[question as usize].is_empty()
    }

    /// Learns from a message to the user called `me`. True if it answers a question that the user
    /// did not ask.
    pub(super) fn learn(&mut self, message: &Message, me: &str, now: Instant) -> bool {
        if message.to.starts_with('#') {
            self.add_room(&message.to);
        }
        if !message.is_from_server() {
            self.add_name(&message.from.name, me);
            return false;
        }
        if message.to != me {
            return false;
        }
        let (text, numbers) = split_numbers(&message.msg);
        if let (Some(mut part), Some((k, total))) = (self.part.take(), numbers)
            && (part.next, part.total) == (k, total)
        {
            self.add(part.question, text, me);
            let is_quiet = part.is_quiet;
            part.next += 1;
            if k < total {
                self.part = Some(part);
            } else {
                self.answered(part.question, now);
            }
            return is_quiet;
        }
        let (question, list) = if let Some(list) = text.strip_prefix(USERS) {
            (Question::Users, items(list))
        } else if text.starts_with(NO_USERS) {
            (Question::Users, "")
        } else if let Some(list) = text.strip_prefix(ROOMS) {
            (Question::Rooms, items(list))
        } else if text.starts_with(NO_ROOMS) {
            (Question::Rooms, "")
        } else if let Some(commands) = text.strip_prefix(HELP) {
            (Question::Help, commands)
        } else {
            return false;
        };
        match question {
            Question::Users => self.names.clear(),
            Question::Rooms => self.rooms.clear(),
            Question::Help => {}
        }
        let asked = &mut self.asked[question as usize];
        asked.retain(|&at| now.duration_since(at) < ANSWER);
        let is_quiet = !asked.is_empty();
        if is_quiet {
            asked.remove(0);
        }
        self.add(question, list, me);
        match numbers.filter(|&(k, total)| k < total) {
            Some((k, total)) => {
                self.part = Some(Part { question, is_quiet, next: k + 1, total });
            }
            None => self.answered(question, now),
        }
        is_quiet
    }

    /// The whole answer has come.
    fn answered(&mut self, question: Question, now: Instant) {
        if question == Question::Help && !self.has_asked_rooms {
            self.refresh(Question::Rooms, now);
        }
    }

    fn ask(&mut self, question: Question, now: Instant) {
        self.has_asked_rooms |= question == Question::Rooms;
        self.asked[question as usize].push(now);
        self.to_ask.push(question);
    }

    fn add(&mut self, question: Question, list: &str, me: &str) {
        match question {
            Question::Help => {
                let commands = list.split(", ").filter(|item| item.starts_with('/'));
                commands.for_each(|command| self.commands.insert(command));
            }
            Question::Users => self.add_names(list, me),
            Question::Rooms => {
                for room in without_rest(list).split(", ") {
                    // behind the name stands the number of members
                    self.add_room(room.rsplit_once(" (").map_or(room, |(name, _)| name));
                }
            }
        }
    }

    fn add_names(&mut self, list: &str, me: &str) {
        for name in without_rest(list).split(", ") {
            self.add_name(name, me);
        }
    }

    fn add_name(&mut self, name: &str, me: &str) {
        if is_usable(name) && name != me {
            self.names.insert(name);
        }
    }

    fn add_room(&mut self, room: &str) {
        if is_usable(room) && room.starts_with('#') {
            self.rooms.insert(room);
        }
    }
}

fn is_usable(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(is_invisible)
}

/// The items behind the count of a list.
fn items(list: &str) -> &str {
    list.split_once("): ").map_or("", |(_, items)| items)
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

    const ALONE: &str = "Welcome, alice! Nobody else is online.";

    /// Has asked its first questions.
    fn roster(welcome: &str) -> Roster {
        let mut roster = Roster::default();
        roster.connected(&server(welcome), Instant::now());
        roster.take_questions();
        roster
    }

    fn learn(roster: &mut Roster, text: &str) -> bool {
        roster.learn(&server(text), "alice", Instant::now())
    }

    fn names(roster: &Roster) -> Vec<&str> {
        roster.names().collect()
    }

    fn rooms(roster: &Roster) -> Vec<&str> {
        roster.rooms().collect()
    }

    #[test]
    fn the_librarys_own_texts_are_understood() {
        let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let running = std::thread::spawn(move || server.run());
        let bob = chatproto::Client::connect(address, "bob b").unwrap();
        let mut alice = chatproto::Client::connect(address, "alice").unwrap();
        let mut roster = Roster::default();

        let now = Instant::now();
        roster.connected(alice.welcome(), now);
        assert_eq!(names(&roster), ["bob b"]);
        let questions = roster.take_questions();
        assert_eq!(questions, [Question::Help, Question::Users]);
        for question in questions {
            alice.send(question.command(), "").unwrap();
            assert!(roster.learn(&alice.recv().unwrap(), "alice", now), "{question:?}");
        }
        assert_eq!(names(&roster), ["bob b"]);
        assert!(roster.commands().any(|command| command == "/shout"));

        bob.close().unwrap();
        // `bob` is gone when a message to him finds nobody
        loop {
            alice.send("/list", "").unwrap();
            let answer = alice.recv().unwrap();
            assert!(!roster.learn(&answer, "alice", now), "the user asked");
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
        let mut roster = Roster::default();
        let now = Instant::now();
        roster.connected(&server("Welcome alice"), now);
        roster.refresh(Question::Users, now);
        assert_eq!(roster.take_questions(), []);
    }

    #[test]
    fn names_come_from_the_welcome_and_from_messages() {
        let mut roster = roster("Welcome, alice! Online (4): bob, carol jones and 2 more");
        assert_eq!(names(&roster), ["bob", "carol jones"]);
        let message = Message::new("dave", "192.0.2.7", "Everyone", "hi");
        assert!(!roster.learn(&message, "alice", Instant::now()));
        let eve = Message::new("e\u{1b}ve", "192.0.2.7", "alice", "hi");
        roster.learn(&eve, "alice", Instant::now());
        assert_eq!(names(&roster), ["bob", "carol jones", "dave"]);
    }

    #[test]
    fn an_answer_in_parts_is_hidden_as_a_whole() {
        let mut roster = roster(ALONE);
        assert!(learn(&mut roster, "Connected users (5): a, b (1/3)"));
        assert!(learn(&mut roster, "c, d (2/3)"));
        assert!(roster.awaits(Question::Users));
        assert!(learn(&mut roster, "e, and 2 more (3/3)"));
        assert!(!roster.awaits(Question::Users));
        assert!(!learn(&mut roster, "Connected users (1): f"));
        assert_eq!(names(&roster), ["f"]);
    }

    #[test]
    fn what_the_user_asked_for_is_shown() {
        let mut roster = roster(ALONE);
        assert!(!learn(&mut roster, "❌ There is no user \"x\"."));
        let late = Instant::now() + ANSWER;
        assert!(!roster.learn(&server("Commands: /help, /list (1/2)"), "alice", late));
        assert!(!roster.learn(&server("/shout (2/2)"), "alice", late));
        assert_eq!(roster.commands().collect::<Vec<_>>(), ["/help", "/list", "/shout"]);
    }

    #[test]
    fn the_list_is_asked_for_once_at_a_time() {
        let now = Instant::now();
        let mut roster = roster(ALONE);
        let refresh = |roster: &mut Roster, now| {
            roster.refresh(Question::Users, now);
            roster.take_questions().len()
        };
        assert_eq!(refresh(&mut roster, now), 0, "it was asked for at the beginning");
        assert!(learn(&mut roster, "No other users are connected."));
        assert_eq!(refresh(&mut roster, now), 1);
        assert_eq!(refresh(&mut roster, now), 0);
        assert_eq!(refresh(&mut roster, now + ANSWER), 1, "it will not come any more");
    }

    #[test]
    fn rooms_are_asked_for_where_there_are_any() {
        let mut roster = roster(ALONE);
        assert!(learn(&mut roster, "Commands: /help, /list"));
        roster.refresh(Question::Rooms, Instant::now());
        assert_eq!(roster.take_questions(), []);

        assert!(!learn(&mut roster, "Commands: /help, /join, (1/2)"));
        assert_eq!(roster.take_questions(), []);
        assert!(!learn(&mut roster, "/list, /rooms (2/2)"));
        assert_eq!(roster.take_questions(), [Question::Rooms]);
        assert!(learn(&mut roster, "There are no rooms. Send /join #NAME to make one."));
        learn(&mut roster, "Commands: /help, /rooms");
        assert_eq!(roster.take_questions(), [], "once a connection is enough");
        roster.refresh(Question::Rooms, Instant::now());
        assert_eq!(roster.take_questions(), [Question::Rooms]);
    }

    #[test]
    fn rooms_come_from_their_list_and_from_messages() {
        let mut roster = roster(ALONE);
        learn(&mut roster, "Commands: /rooms");
        assert!(learn(&mut roster, "Rooms (4): #green tea (3), #tea (of bob) (1), (1/2)"));
        assert!(learn(&mut roster, "#work (12), and 1 more (2/2)"));
        assert_eq!(rooms(&roster), ["#green tea", "#tea (of bob)", "#work"]);
        let message = Message::new("dave", "192.0.2.7", "#den", "hi");
        roster.learn(&message, "alice", Instant::now());
        assert_eq!(rooms(&roster), ["#den", "#green tea", "#tea (of bob)", "#work"]);
        assert_eq!(names(&roster), ["dave"]);
        assert!(!learn(&mut roster, "Rooms (1): #tea (2)"), "the user asked");
        assert_eq!(rooms(&roster), ["#tea"]);
    }

    #[test]
    fn a_server_cannot_have_more_than_the_limit_remembered() {
        let mut roster = roster(ALONE);
        let long = "x".repeat(200);
        let list = |sign: &str, number: usize| -> String {
            let item = |at| format!("{sign}{number}.{at}{long}");
            (0..50).map(item).collect::<Vec<_>>().join(", ")
        };
        for number in 0..300 {
            learn(&mut roster, &format!("Connected users (50): {}", list("", number)));
            learn(&mut roster, &format!("Rooms (50): {}", list("#", number)));
            learn(&mut roster, &format!("Commands: {}", list("/", number)));
            for at in 0..50 {
                let from = Message::new(
                    format!("{number}.{at}{long}"),
                    "",
                    format!("#{number}.{at}{long}"),
                    "",
                );
                roster.learn(&from, "alice", Instant::now());
            }
        }
        for texts in [&roster.names, &roster.rooms, &roster.commands] {
            let bytes: usize = texts.iter().map(|text| text.len() + ENTRY).sum();
            assert_eq!(bytes, texts.bytes);
            assert!(bytes <= MOST_BYTES, "{bytes}");
        }
        assert!(roster.commands.bytes > MOST_BYTES - 1000, "as much as fits");
        let before = roster.names.bytes;
        let endless = Message::new("y".repeat(LONGEST + 1), "", "alice", "");
        roster.learn(&endless, "alice", Instant::now());
        assert_eq!(roster.names.bytes, before, "too long for a name");
    }

    #[test]
    fn a_new_name_of_the_users_own_is_not_completed() {
        let mut roster = roster("Welcome, alice! Online (1): bob");
        let answer = Message::new("SERVER", "0.0.0.0", "carol", "Connected users (1): bob");
        assert!(roster.learn(&answer, "carol", Instant::now()));
        let echo = Message::new("carol", "192.0.2.7", "Everyone", "hi");
        roster.learn(&echo, "carol", Instant::now());
        assert_eq!(names(&roster), ["bob"]);
    }
}
