//! Who is there, which rooms and which commands there are, as far as the client has seen: learned
//! from state lines, from what comes, and from the answers to `/list`, `/rooms` and `/help`, which
//! it may ask for quietly. It is there for completion only, so what it does not know does no harm.
//!
//! A quiet question stands between two fences, which are `/ping`s with texts that nobody can guess. Only
//! what the server says between their answers can be its answer, so that no other text is taken for one.
//! A server without state lines is not asked.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use chatproto::Message;
use chatproto::name::is_invisible;
use chatproto::pairs::StateLine;

/// The bytes that the names, the rooms and the commands may take each: a server cannot have the client
/// hold more. 10,000 names of the usual length fit.
const MOST_BYTES: usize = 1024 * 1024;
/// Bytes that an entry takes beside its text.
const ENTRY: usize = 48;
/// Longer names are not completed. A server with default limits has names of at most 64 bytes.
const LONGEST: usize = 256;

/// How the answers begin.
const USERS: [&str; 2] = ["Connected users (", "No other users are connected"];
const ROOMS: [&str; 2] = ["Rooms (", "There are no rooms"];
const HELP: [&str; 1] = ["Commands: "];

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub(super) struct Roster {
    names: Texts,
    rooms: Texts,
    commands: Texts,
    /// Whether the server sends state lines, and so can be asked.
    is_asked: bool,
    /// The questions that were not answered to their second fences.
    asked: VecDeque<Asked>,
    /// Whether the rooms were asked for on this connection.
    has_asked_rooms: bool,
    /// What is to be sent, and to which command.
    to_send: Vec<(&'static str, String)>,
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

    fn remove(&mut self, text: &str) {
        if self.texts.remove(text) {
            self.bytes -= text.len() + ENTRY;
        }
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

    /// How its answer can begin.
    fn heads(self) -> &'static [&'static str] {
        match self {
            Question::Help => &HELP,
            Question::Users => &USERS,
            Question::Rooms => &ROOMS,
        }
    }
}

/// A question and its fences.
#[derive(Debug)]
struct Asked {
    question: Question,
    fences: [String; 2],
    /// Whether the first fence has been answered.
    is_open: bool,
    /// Whether the answer has begun.
    has_begun: bool,
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

    /// What to send now; the answers will be hidden.
    pub(super) fn take_questions(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.to_send)
    }

    /// A connection was made: nothing is known of who is there.
    pub(super) fn connected(&mut self) {
        *self = Roster { commands: std::mem::take(&mut self.commands), ..Roster::default() };
    }

    /// The server sends state lines.
    pub(super) fn confirmed(&mut self) {
        self.is_asked = true;
        self.ask(Question::Help);
        self.ask(Question::Users);
    }

    /// Asks again, because somebody looks at it: unless an answer is under way, or the server cannot be
    /// asked.
    pub(super) fn refresh(&mut self, question: Question) {
        let is_there = question != Question::Rooms || self.commands.contains(question.command());
        if self.is_asked && is_there && !self.awaits(question) {
            self.ask(question);
        }
    }

    /// Whether the answer that was asked for has not come yet.
    pub(super) fn awaits(&self, question: Question) -> bool {
        self.asked.iter().any(|asked| asked.question == question)
    }

    /// Learns from a state line about others.
    pub(super) fn follow(&mut self, line: &StateLine<'_>, me: &str) {
        let pairs = &line.pairs;
        let (name, room) = (pairs.get("name"), pairs.get("room"));
        if let Some(room) = room {
            self.add_room(room);
        }
        match line.kind {
            "joined" => name.into_iter().for_each(|name| self.add_name(name, me)),
            "renamed" => {
                pairs.get("old").into_iter().for_each(|old| self.names.remove(old));
                name.into_iter().for_each(|name| self.add_name(name, me));
            }
            // who leaves a room is still there
            "left" if room.is_none() || pairs.get("reason") != Some("left") => {
                name.into_iter().for_each(|name| self.names.remove(name));
            }
            "members" => {
                let names = pairs.get("names").unwrap_or_default();
                names.split(',').for_each(|name| self.add_name(name, me));
            }
            _ => {}
        }
    }

    /// Learns from a message to the user called `me`. True if it answers a question that the user
    /// did not ask, or one of its fences.
    pub(super) fn learn(&mut self, message: &Message, me: &str) -> bool {
        if message.to.starts_with('#') {
            self.add_room(&message.to);
        }
        if !message.is_from_server() {
            self.add_name(&message.from.name, me);
            return false;
        }
        let Some(asked) = self.asked.front_mut().filter(|_| message.to == me) else {
            return false;
        };
        let question = asked.question;
        if !asked.is_open {
            asked.is_open = message.msg == asked.fences[0];
            return asked.is_open;
        }
        if message.msg == asked.fences[1] {
            self.asked.pop_front();
            self.answered(question);
            return true;
        }
        let (text, numbers) = split_numbers(&message.msg);
        let head = question.heads().iter().find(|head| text.starts_with(**head));
        let list = match head {
            // something else that the server has to say, such as that the user is muted
            None if !asked.has_begun || numbers.is_none() => return false,
            None => text,
            Some(head) => {
                asked.has_begun = true;
                match question {
                    Question::Users => self.names.clear(),
                    Question::Rooms => self.rooms.clear(),
                    Question::Help => {}
                }
                match question {
                    Question::Help => &text[head.len()..],
                    Question::Users | Question::Rooms => items(text),
                }
            }
        };
        self.add(question, list, me);
        true
    }

    /// The whole answer has come.
    fn answered(&mut self, question: Question) {
        if question == Question::Help && !self.has_asked_rooms {
            self.refresh(Question::Rooms);
        }
    }

    fn ask(&mut self, question: Question) {
        self.has_asked_rooms |= question == Question::Rooms;
        let fences = [fence(), fence()];
        self.to_send.push(("/ping", fences[0].clone()));
        self.to_send.push((question.command(), String::new()));
        self.to_send.push(("/ping", fences[1].clone()));
        self.asked.push_back(Asked { question, fences, is_open: false, has_begun: false });
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

/// A text that nobody can guess: the standard library's hashers are seeded by the system.
fn fence() -> String {
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
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

    /// Has asked its first questions, with their fences.
    fn roster() -> Roster {
        let mut roster = Roster::default();
        roster.connected();
        roster.confirmed();
        roster
    }

    fn learn(roster: &mut Roster, text: &str) -> bool {
        roster.learn(&server(text), "alice")
    }

    /// The server answers the oldest question of this kind with these texts.
    fn answer(roster: &mut Roster, question: Question, texts: &[&str]) {
        while let Some(asked) = roster.asked.front() {
            let (other, [begin, end]) = (asked.question, asked.fences.clone());
            assert!(learn(roster, &begin));
            if other == question {
                for text in texts {
                    assert!(learn(roster, text), "{text}");
                }
                assert!(roster.awaits(question));
            }
            assert!(learn(roster, &end));
            if other == question {
                return;
            }
        }
        panic!("{question:?} was not asked");
    }

    fn follow(roster: &mut Roster, line: &str) {
        roster.follow(&StateLine::parse(line).unwrap(), "alice");
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
        let mut roster = roster();
        let mut ask = |roster: &mut Roster| {
            for (to, msg) in roster.take_questions() {
                alice.send(to, &msg).unwrap();
                assert!(roster.learn(&alice.recv().unwrap(), "alice"), "{to}");
            }
        };
        ask(&mut roster);
        assert_eq!(names(&roster), ["bob b"]);
        assert!(roster.commands().any(|command| command == "/shout"));
        // behind the answer to /help
        ask(&mut roster);
        assert_eq!(rooms(&roster), [""; 0]);

        bob.close().unwrap();
        while !names(&roster).is_empty() {
            roster.refresh(Question::Users);
            ask(&mut roster);
        }
        drop(alice);
        handle.stop();
        running.join().unwrap().unwrap();
    }

    #[test]
    fn other_servers_are_not_asked() {
        let mut roster = Roster::default();
        roster.connected();
        roster.refresh(Question::Users);
        assert_eq!(roster.take_questions(), []);
    }

    #[test]
    fn names_come_from_lines_and_from_messages() {
        let mut roster = roster();
        follow(
            &mut roster,
            "State members room=#tea count=3 names=\"bob,carol \"\"jones\"\",alice\"",
        );
        assert_eq!(names(&roster), ["bob", "carol \"jones\""]);
        let message = Message::new("dave", "192.0.2.7", "Everyone", "hi");
        assert!(!roster.learn(&message, "alice"));
        let eve = Message::new("e\u{1b}ve", "192.0.2.7", "alice", "hi");
        roster.learn(&eve, "alice");
        follow(&mut roster, "State joined room=#den name=frank");
        follow(&mut roster, "State renamed room=#tea old=bob name=rob");
        follow(&mut roster, "State left room=#tea name=rob reason=left");
        assert_eq!(names(&roster), ["carol \"jones\"", "dave", "frank", "rob"]);
        follow(&mut roster, "State left room=#tea name=rob reason=disconnected");
        follow(&mut roster, "State left name=frank reason=kicked");
        assert_eq!(names(&roster), ["carol \"jones\"", "dave"]);
        assert_eq!(rooms(&roster), ["#den", "#tea"]);
    }

    #[test]
    fn an_answer_in_parts_is_hidden_as_a_whole() {
        let mut roster = roster();
        let parts = ["Connected users (5): a, b (1/3)", "c, d (2/3)", "e, and 2 more (3/3)"];
        answer(&mut roster, Question::Users, &parts);
        assert!(!roster.awaits(Question::Users));
        assert_eq!(names(&roster), ["a", "b", "c", "d", "e"]);
        assert!(!learn(&mut roster, "Connected users (1): f"), "the user asked");
        assert_eq!(names(&roster), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn what_the_server_says_beside_an_answer_is_shown() {
        let mut roster = roster();
        let [begin, end] = roster.asked[0].fences.clone();
        // such as the text for one who writes to a user of that name who is away
        assert!(!learn(&mut roster, "Commands: /evil is away: back soon"));
        assert!(learn(&mut roster, &begin));
        assert!(!learn(&mut roster, "❌ You are muted."));
        assert!(!learn(&mut roster, "Rooms (1): #tea (1)"), "that was not asked");
        assert!(learn(&mut roster, "Commands: /help, /list"));
        assert!(!learn(&mut roster, "You may speak again."));
        assert!(learn(&mut roster, &end));
        assert!(!learn(&mut roster, &end), "it is over");
        assert_eq!(roster.commands().collect::<Vec<_>>(), ["/help", "/list"]);
    }

    #[test]
    fn the_list_is_asked_for_once_at_a_time() {
        let mut roster = roster();
        roster.take_questions();
        roster.refresh(Question::Users);
        assert_eq!(roster.take_questions(), [], "it was asked for at the beginning");
        answer(&mut roster, Question::Users, &["No other users are connected."]);
        roster.take_questions();
        roster.refresh(Question::Users);
        let asked = roster.take_questions();
        assert_eq!(
            asked.iter().map(|(to, _)| *to).collect::<Vec<_>>(),
            ["/ping", "/list", "/ping"]
        );
        assert_ne!(asked[0].1, asked[2].1);
        roster.refresh(Question::Users);
        assert_eq!(roster.take_questions(), []);
    }

    #[test]
    fn rooms_are_asked_for_where_there_are_any() {
        let asks_rooms = |roster: &mut Roster| {
            let questions = roster.take_questions();
            questions.iter().any(|(to, _)| *to == "/rooms")
        };
        let mut without = roster();
        answer(&mut without, Question::Help, &["Commands: /help, /list"]);
        without.refresh(Question::Rooms);
        assert!(!asks_rooms(&mut without));

        let mut roster = roster();
        let parts = ["Commands: /help, /join, (1/2)", "/list, /rooms (2/2)"];
        answer(&mut roster, Question::Help, &parts);
        assert!(asks_rooms(&mut roster));
        let alone = "There are no rooms. Send /join #NAME to make one.";
        answer(&mut roster, Question::Rooms, &[alone]);
        assert!(!asks_rooms(&mut roster), "once a connection is enough");
        roster.refresh(Question::Rooms);
        assert!(asks_rooms(&mut roster));
    }

    #[test]
    fn rooms_come_from_their_list_and_from_messages() {
        let mut roster = roster();
        answer(&mut roster, Question::Help, &["Commands: /rooms"]);
        let parts =
            ["Rooms (4): #green tea (3), #tea (of bob) (1), (1/2)", "#work (12), and 1 more (2/2)"];
        answer(&mut roster, Question::Rooms, &parts);
        assert_eq!(rooms(&roster), ["#green tea", "#tea (of bob)", "#work"]);
        let message = Message::new("dave", "192.0.2.7", "#den", "hi");
        roster.learn(&message, "alice");
        assert_eq!(rooms(&roster), ["#den", "#green tea", "#tea (of bob)", "#work"]);
        assert_eq!(names(&roster), ["dave"]);
    }

    #[test]
    fn a_server_cannot_have_more_than_the_limit_remembered() {
        let mut roster = roster();
        let long = "x".repeat(200);
        let list = |sign: &str, number: usize| -> String {
            let item = |at| format!("{sign}{number}.{at}{long}");
            (0..50).map(item).collect::<Vec<_>>().join(", ")
        };
        answer(&mut roster, Question::Help, &["Commands: /rooms"]);
        for number in 0..300 {
            roster.refresh(Question::Help);
            let commands = format!("Commands: {}", list("/", number));
            answer(&mut roster, Question::Help, &[&commands]);
            let names = list("", number).replace(", ", ",");
            follow(&mut roster, &format!("State members room=#tea count=50 names=\"{names}\""));
            for at in 0..50 {
                let from = Message::new(
                    format!("{number}.{at}{long}"),
                    "",
                    format!("#{number}.{at}{long}"),
                    "",
                );
                roster.learn(&from, "alice");
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
        roster.learn(&endless, "alice");
        assert_eq!(roster.names.bytes, before, "too long for a name");
    }

    #[test]
    fn a_new_name_of_the_users_own_is_not_completed() {
        let mut roster = roster();
        follow(&mut roster, "State members count=2 names=\"alice,bob\"");
        let echo = Message::new("carol", "192.0.2.7", "Everyone", "hi");
        roster.learn(&echo, "carol");
        assert_eq!(names(&roster), ["bob"]);
    }
}
