//! Where the user is, as far as the client knows: under which name, in which rooms, and where plain
//! text goes. It follows what the user types and the server's [state lines](super::state), and does no I/O.
//!
//! A `/join` counts at once, so that the lines behind it go to the room, and never by mistake to
//! everybody. For the same reason a line goes where the user was told that it would: what the
//! server changes, such as a refused `/join` or a closed room, counts from [`Place::turn`] on.
//!
//! A server without state lines changes nothing but the name, when it addresses the user by one that the
//! user asked for. Its sentences are for the user.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use chatproto::Message;
use chatproto::endpoint::{Argument, Arguments, as_argument};
use chatproto::name::normalise;
use chatproto::name::{EVERYONE, GUEST};
use chatproto::pairs::StateLine;
use shared::text::visible;

use super::line::{self, Line};
use super::login::{Login, Permission};
use super::state::{self, Knowledge, Seen};

/// The server gives the user no longer name. Those with default limits have at most 64 bytes.
const LONGEST_NAME: usize = 1024;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Place {
    name: String,
    /// Where plain text goes; `None` is everybody.
    here: Option<String>,
    /// The last line that was to choose where it goes did not say where.
    is_astray: bool,
    /// Whether the rooms have to be joined again, on this connection.
    joins_again: bool,
    /// Whether the user has to log in before anything else.
    is_visitor: bool,
    /// Where it will go from the next turn on: to the last of these, or to everybody. The rooms
    /// before it are where the user was when joining the next one, which may be refused.
    path: Vec<String>,
    /// Every room that the user is in, or is about to be.
    rooms: BTreeSet<String>,
    /// The rooms of each `/join` that was sent and not answered, in order; `None` is one without a
    /// room's name.
    joining: VecDeque<Option<String>>,
    /// Whether the server sends state lines.
    knowledge: Knowledge,
    /// How often the server was asked for state lines again, behind a login.
    asks_again: u32,
    /// The name that the last `/nick` or `/login` asked for.
    asked: Option<String>,
    /// The name that the user asked for, if the server has given a temporary one instead.
    wanted: Option<String>,
    login: Login,
}

/// What comes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    Quit,
    Send {
        to: String,
        msg: String,
    },
    /// It was done; the sentence says what will come of that.
    Doubt(String),
    /// It cannot be done; the sentence says why.
    Mistake(String),
}

/// What was learned from a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learned<'m> {
    /// The message is for people.
    Message,
    /// The message is not for people. With what it says of others, if it does.
    Hidden(Option<StateLine<'m>>),
    /// The same, and the user is to be told this.
    Moved(Moved),
    /// The same, and the server sends state lines from here on.
    Confirmed,
    /// The same, and the server closes the connection for this reason.
    Closed(String),
}

/// That the server put the user out of the room to which plain text goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moved {
    from: String,
    to: Option<String>,
}

impl Place {
    /// With everybody, in no room.
    pub(super) fn new(name: String) -> Self {
        Place {
            name,
            here: None,
            is_astray: false,
            joins_again: false,
            is_visitor: false,
            path: Vec::new(),
            rooms: BTreeSet::new(),
            joining: VecDeque::new(),
            knowledge: Knowledge::default(),
            asks_again: 0,
            asked: None,
            wanted: None,
            login: Login::default(),
        }
    }

    /// The server has welcomed the user, who asked for a name. It may belong to an account: then the
    /// user is a guest under another one. Returns whether that is so.
    pub(super) fn welcomed(&mut self, asked: &str, welcome: &Message) -> bool {
        let asked = normalise(asked.trim());
        let guest = welcome.to.rsplit_once('~').map(|(begin, _)| begin);
        // a long name is cut, to have room for the number
        let is_guest = welcome.is_from_server()
            && welcome.to.len() <= LONGEST_NAME
            && guest.is_some_and(|begin| asked.starts_with(begin))
            && *welcome.to != *asked;
        if is_guest {
            self.name.clone_from(&welcome.to);
            self.wanted = Some(asked.into_owned());
        } else if self.wanted.take().is_some() {
            self.name = asked.into_owned();
        }
        is_guest
    }

    /// The name to ask for on another connection.
    pub(super) fn name_to_ask_for(&self) -> &str {
        self.wanted.as_deref().unwrap_or(&self.name)
    }

    /// The user's name as the server knows it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The rooms that the user is in, or is about to be.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rooms.iter().map(String::as_str)
    }

    /// Where the next line is typed: who, and in which room if it is one.
    pub(super) fn prompt(&self) -> String {
        let name = visible(&self.name);
        match &self.here {
            Some(room) => format!("{name} {}> ", visible(room)),
            None => format!("{name}> "),
        }
    }

    /// The user is to see the prompt: from here on, plain text goes where the server left it.
    pub(super) fn turn(&mut self) {
        self.here = self.path.last().cloned();
        self.is_astray = false;
    }

    /// Takes a line that the user has typed.
    pub(super) fn typed(&mut self, line: Line<'_>) -> Deed {
        match line {
            Line::Empty => Deed::Nothing,
            Line::Quit => Deed::Quit,
            Line::Mistake(why) => Deed::Mistake(why.to_owned()),
            Line::Send { to, msg } => send(&to, &msg),
            Line::Text(_) if self.is_astray => Deed::Mistake(ASTRAY.to_owned()),
            Line::Text(text) => send(self.here.as_deref().unwrap_or("/shout"), text),
            Line::Astray(sent) => {
                self.is_astray = true;
                sent.map_or_else(|| Deed::Mistake(NO_PLACE.to_owned()), |(to, msg)| send(to, msg))
            }
            Line::Join(room, number) => {
                self.is_astray = false;
                let room = normal(&room);
                let number = number.map_or(String::new(), |number| format!(" {number}"));
                let deed = send("/join", &format!("{}{number}", as_argument(&room)));
                self.path.retain(|other| *other != room);
                self.path.push(room.clone());
                self.here = Some(room.clone());
                self.rooms.insert(room);
                deed
            }
            Line::Leave(room) => match room.as_deref().map(normal).or_else(|| self.here.clone()) {
                Some(room) => {
                    let deed = send("/leave", &as_argument(&room));
                    self.is_astray = false;
                    self.leave(&room);
                    deed
                }
                None => send("/leave", ""),
            },
            Line::To(room) => {
                self.is_astray = false;
                self.go(room.as_deref().map(normal));
                // the lines behind it are for nobody else all the same
                let doubt = self.here.as_deref().and_then(|room| self.doubt(room));
                doubt.map_or(Deed::Nothing, Deed::Doubt)
            }
        }
    }

    /// What the user is told about going to a room where it is not.
    pub(super) fn doubt(&self, room: &str) -> Option<String> {
        let room = normal(room);
        let shown = visible(&room);
        let is_out = !self.rooms.contains(&room);
        is_out.then(|| format!("you are not in {shown}: /join {}", as_argument(&shown)))
    }

    /// A message is about to be sent.
    pub(super) fn sending(&mut self, to: &str, msg: &str) {
        match to {
            "/join" => self.joining.push_back(line::room(msg).as_deref().map(normal)),
            "/nick" => {
                let quoted = Arguments::new(msg).next().and_then(Result::ok);
                let quoted = quoted.filter(Argument::is_quoted).map(Argument::into_text);
                let name = quoted.unwrap_or(msg.into());
                self.asked = Some(normalise(name.trim()).into_owned());
            }
            "/login" => {
                let mut arguments = Arguments::new(msg);
                let first = arguments.next().and_then(Result::ok);
                let name = first.as_deref().filter(|_| arguments.next().is_some());
                let name = name.or(self.wanted.as_deref()).unwrap_or(&self.name);
                let name = normalise(name.trim()).into_owned();
                self.login.asked(&name);
                self.asks_again += 1;
                self.asked = Some(name);
            }
            "/register" => {
                self.login.asked(&self.name);
                self.asks_again += 1;
            }
            _ => {}
        }
    }

    /// The message that was about to be sent is not.
    pub(super) fn unsent(&mut self, to: &str) {
        if line::logs_in(to) {
            self.login.unasked();
            self.asks_again -= 1;
        }
        if to == "/join"
            && let Some(Some(room)) = self.joining.pop_back()
        {
            self.lose(&room);
        }
    }

    /// What was sent and not answered will not be answered any more.
    pub(super) fn disconnected(&mut self) {
        self.joining.clear();
        (self.knowledge, self.asked, self.asks_again) = (Knowledge::default(), None, 0);
        self.is_visitor = false;
        self.login.disconnected();
        self.joins_again = true;
    }

    /// The client is about to log in with the password that it was started with.
    pub(super) fn logs_in(&mut self) {
        let account = self.name_to_ask_for().to_owned();
        self.login.begins(&account);
    }

    /// The server has not said in good time whether a login is restored: it is not.
    pub(super) fn login_is_undecided(&mut self) {
        self.login.is_undecided();
    }

    /// How many logins were lost when a line was typed that is typed now; see [`Place::permission`].
    pub(super) fn login_losses(&self) -> u64 {
        self.login.losses()
    }

    /// Whether a line may be sent that was typed after so many [`login_losses`](Place::login_losses).
    pub(super) fn permission(&self, typed: u64) -> Permission {
        self.login.permission(typed)
    }

    /// The arguments of each `/join` to send now, for the same rooms on another connection. There is none
    /// before the login is decided, and none while the user has to log in.
    pub(super) fn take_joins(&mut self) -> Vec<String> {
        let is_due = self.joins_again && !self.is_visitor && self.login.is_decided();
        if !is_due {
            return Vec::new();
        }
        self.joins_again = false;
        self.rooms().map(|room| as_argument(room).into_owned()).collect()
    }

    /// Learns from a message.
    pub(super) fn learn<'m>(&mut self, message: &'m Message) -> Learned<'m> {
        if message.to.len() > LONGEST_NAME {
            return Learned::Message;
        }
        if self.asks_again > 0 && self.knowledge.is_asked_in_vain(message) {
            self.asks_again -= 1;
            return Learned::Hidden(None);
        }
        match self.knowledge.see(message, &self.name) {
            Seen::Message => {
                self.learn_name(message);
                Learned::Message
            }
            Seen::Confirmed { name, is_logged_in, is_visitor } => {
                let was_known = std::mem::replace(&mut self.knowledge, Knowledge::Lines);
                let was_visitor = std::mem::replace(&mut self.is_visitor, is_visitor);
                self.login.answered(&name, is_logged_in);
                self.take_name(name);
                match was_known {
                    _ if is_visitor => Learned::Hidden(None),
                    Knowledge::Lines if !was_visitor => Learned::Hidden(None),
                    _ => Learned::Confirmed,
                }
            }
            Seen::Unknown => {
                self.knowledge = Knowledge::None;
                self.login.is_unknown();
                Learned::Hidden(None)
            }
            Seen::Other => Learned::Hidden(None),
            Seen::Line(line) => self.follow(line),
        }
    }

    /// Follows a change.
    fn follow<'m>(&mut self, line: state::Line<'m>) -> Learned<'m> {
        let moved = match line {
            state::Line::Name(name) => {
                self.take_name(name);
                None
            }
            state::Line::LoggedIn(is_in) => {
                self.login.changed(&self.name, is_in);
                if is_in && std::mem::take(&mut self.is_visitor) {
                    return Learned::Confirmed;
                }
                None
            }
            state::Line::In(room) => {
                self.joined(&room);
                None
            }
            state::Line::Refused => {
                self.joining.pop_front().flatten().and_then(|room| self.lose(&room))
            }
            state::Line::Out { room, is_closed } => {
                // it may be joined again already
                let is_joining = self.joining.iter().flatten().any(|other| *other == room);
                match is_closed {
                    _ if is_joining => None,
                    true => self.lose(&room),
                    false => {
                        self.rooms.remove(&room);
                        None
                    }
                }
            }
            state::Line::Closed(reason) => return Learned::Closed(reason),
            state::Line::Others(line) => return Learned::Hidden(Some(line)),
        };
        moved.map_or(Learned::Hidden(None), Learned::Moved)
    }

    /// The server addresses the user by the name that it has given: with or without state lines, the
    /// answer to `/nick` and `/login` is the first message to that name.
    fn learn_name(&mut self, message: &Message) {
        if message.is_from_server() && self.asked.as_ref() == Some(&message.to) {
            let name = message.to.clone();
            if ![EVERYONE, GUEST].contains(&name.as_str()) && !name.starts_with('#') {
                self.take_name(name);
            }
        }
    }

    /// The user has this name. If it is a temporary one, the user still wants the one before.
    fn take_name(&mut self, name: String) {
        if self.name == name {
            return;
        }
        self.login.renamed(&name);
        let old = std::mem::replace(&mut self.name, name);
        if is_temporary(&self.name) {
            self.wanted.get_or_insert(old);
        } else {
            self.wanted = None;
        }
    }

    fn go(&mut self, room: Option<String>) {
        self.here.clone_from(&room);
        self.path = room.into_iter().collect();
    }

    fn leave(&mut self, room: &str) {
        self.rooms.remove(room);
        if self.here.as_deref() == Some(room) {
            self.go(None);
        } else {
            self.path.retain(|other| other != room);
        }
    }

    /// The user is in a room: the answer to a `/join`.
    fn joined(&mut self, room: &str) {
        if let Some(at) = self.joining.iter().position(|other| other.as_deref() == Some(room)) {
            self.joining.drain(..=at);
        }
        if let Some(at) = self.path.iter().position(|other| other == room) {
            self.path.drain(..at);
        }
        self.rooms.insert(room.to_owned());
    }

    /// The user is not in the room, and is to return to where they were before.
    fn lose(&mut self, room: &str) -> Option<Moved> {
        self.rooms.remove(room);
        let was_last = self.path.last().is_some_and(|last| last == room);
        self.path.retain(|other| other != room);
        let to = self.path.last().cloned();
        was_last.then(|| Moved { from: room.to_owned(), to })
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to.as_deref().map_or("everybody".into(), visible);
        let from = visible(&self.from);
        write!(f, "you are not in {from}: after this line, plain text goes to {to}")
    }
}

fn send(to: &str, msg: &str) -> Deed {
    Deed::Send { to: to.to_owned(), msg: msg.to_owned() }
}

/// Why a line is not sent that is for nobody in particular.
const ASTRAY: &str = "it is not clear where it is to go, since no room was chosen before it: /join #ROOM, \
     /to #ROOM or /to everyone";
const NO_PLACE: &str = "there is no such place: /to #ROOM or /to everyone";

/// A room's name as the server spells it.
fn normal(room: &str) -> String {
    let name = room.strip_prefix('#').unwrap_or(room);
    format!("#{}", normalise(name.trim()))
}

/// Whether the server made the name, which ends in `~` and a number.
fn is_temporary(name: &str) -> bool {
    name.rsplit_once('~').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Known;

    /// With a server that sends state lines.
    fn place() -> Place {
        let mut place = Place::new("alice".to_owned());
        let confirmed = "Reporting on name=alice role=user login=false";
        assert_eq!(learn(&mut place, "alice", confirmed), "Confirmed");
        place
    }

    /// With a server that does not.
    fn simple_place() -> Place {
        let mut place = Place::new("alice".to_owned());
        let unknown = "❌ Unknown command \"/state\". Send /help to see the commands.";
        assert_eq!(learn(&mut place, "alice", unknown), "Hidden(None)");
        place
    }

    fn learn(place: &mut Place, to: &str, text: &str) -> String {
        format!("{:?}", place.learn(&Message::new("SERVER", "0.0.0.0", to, text)))
    }

    /// Types a line, which is then on its way to the server if it is one for it.
    fn type_line(place: &mut Place, line: &str) -> Option<(String, String)> {
        let rooms = place.rooms().collect();
        let line = line::parse(line, &Known { users: Vec::new(), rooms });
        match place.typed(line) {
            Deed::Send { to, msg } => {
                place.sending(&to, &msg);
                Some((to, msg))
            }
            Deed::Nothing => None,
            deed => panic!("{deed:?}"),
        }
    }

    /// Types a line; returns to whom it was sent.
    fn to(place: &mut Place, line: &str) -> String {
        type_line(place, line).expect("it is sent").0
    }

    /// The server sends a line; returns the note for the user.
    fn hear(place: &mut Place, to: &str, line: &str) -> Option<String> {
        match place.learn(&Message::new("SERVER", "0.0.0.0", to, line)) {
            Learned::Moved(moved) => Some(moved.to_string()),
            Learned::Hidden(_) => None,
            learned => panic!("{learned:?}"),
        }
    }

    fn joins(place: &mut Place, room: &str) {
        let room = chatproto::pairs::as_value(room);
        let line = format!("State moved room={room} member=true reason=joined");
        assert_eq!(hear(place, "alice", &line), None);
    }

    fn rooms(place: &Place) -> Vec<&str> {
        place.rooms().collect()
    }

    const REFUSED: &str = "State moved member=false reason=refused";

    #[test]
    fn plain_text_follows_the_room() {
        let mut place = place();
        assert_eq!(to(&mut place, "hi"), "/shout");
        assert_eq!(place.prompt(), "alice> ");
        assert_eq!(to(&mut place, "/join #tea"), "/join");
        assert_eq!(place.prompt(), "alice #tea> ");
        assert_eq!(to(&mut place, "hi"), "#tea");
        joins(&mut place, "#tea");
        place.turn();
        assert_eq!(to(&mut place, "hi"), "#tea");
        let leave = Some(("/leave".to_owned(), "#tea".to_owned()));
        assert_eq!(type_line(&mut place, "/leave"), leave);
        assert_eq!(to(&mut place, "hi"), "/shout");
        assert_eq!(rooms(&place), [""; 0]);
        // the server says how it is used
        assert_eq!(type_line(&mut place, "/leave"), Some(("/leave".to_owned(), String::new())));
    }

    #[test]
    fn the_user_goes_from_room_to_room() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        type_line(&mut place, "/join #green tea");
        assert_eq!(to(&mut place, "hi"), "#green tea");
        assert_eq!(type_line(&mut place, "/to #tea"), None);
        assert_eq!(to(&mut place, "hi"), "#tea");
        assert_eq!(to(&mut place, "@#green tea hi"), "#green tea");
        assert_eq!(to(&mut place, "hi"), "#tea");
        type_line(&mut place, "/leave #green tea");
        assert_eq!(to(&mut place, "hi"), "#tea");
        assert_eq!(rooms(&place), ["#tea"]);
        type_line(&mut place, "/to everyone");
        assert_eq!(to(&mut place, "hi"), "/shout");
        let elsewhere = place.typed(Line::To(Some("#green tea".into())));
        let why = "you are not in #green tea: /join \"#green tea\"";
        assert_eq!(elsewhere, Deed::Doubt(why.to_owned()));
        assert_eq!(to(&mut place, "hi"), "#green tea", "it is for nobody else");
    }

    #[test]
    fn names_are_sent_in_quotes_if_they_need_them() {
        let mut place = place();
        let join = type_line(&mut place, "/join #cafe\u{301} noir");
        assert_eq!(join, Some(("/join".to_owned(), "\"#caf\u{e9} noir\"".to_owned())));
        joins(&mut place, "#caf\u{e9} noir");
        assert_eq!(rooms(&place), ["#caf\u{e9} noir"]);
        place.disconnected();
        assert_eq!(place.take_joins(), ["\"#caf\u{e9} noir\""]);
        assert_eq!(to(&mut place, "hi"), "#caf\u{e9} noir");
        let leave = type_line(&mut place, "/leave");
        assert_eq!(leave.unwrap().1, "\"#caf\u{e9} noir\"");
    }

    #[test]
    fn a_refused_room_counts_until_the_next_turn() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        hear(&mut place, "alice", "State moved room=#tea member=true reason=already");
        type_line(&mut place, "/join #attic");
        let note = hear(&mut place, "alice", REFUSED);
        let said = "you are not in #attic: after this line, plain text goes to #tea";
        assert_eq!(note.as_deref(), Some(said));
        assert_eq!(to(&mut place, "hi"), "#attic", "the prompt says so");
        place.turn();
        assert_eq!(to(&mut place, "hi"), "#tea");
        assert_eq!(rooms(&place), ["#tea"]);
    }

    #[test]
    fn a_refusal_answers_the_oldest_question() {
        let mut place = place();
        for line in ["/join #a", "/join", "/join #b", "/join #c"] {
            type_line(&mut place, line);
        }
        assert_eq!(hear(&mut place, "alice", REFUSED), None, "#a, where the user is no longer");
        assert_eq!(hear(&mut place, "alice", REFUSED), None, "the one without a room");
        joins(&mut place, "#b");
        let note = hear(&mut place, "alice", REFUSED).unwrap();
        assert!(note.ends_with("goes to #b"), "{note}");
        assert_eq!(hear(&mut place, "alice", REFUSED), None, "nothing was asked");
        assert_eq!(rooms(&place), ["#b"]);
    }

    #[test]
    fn a_closed_room_is_left() {
        let mut place = place();
        type_line(&mut place, "/join #attic");
        joins(&mut place, "#attic");
        type_line(&mut place, "/join #tea");
        joins(&mut place, "#tea");
        let closed = "State moved room=#tea member=false reason=closed";
        // joined again before the server said so
        type_line(&mut place, "/join #tea");
        assert_eq!(hear(&mut place, "alice", closed), None);
        assert_eq!(rooms(&place), ["#attic", "#tea"]);
        joins(&mut place, "#tea");
        let note = hear(&mut place, "alice", closed).unwrap();
        assert_eq!(note, "you are not in #tea: after this line, plain text goes to everybody");
        place.turn();
        assert_eq!(to(&mut place, "hi"), "/shout");
        assert_eq!(rooms(&place), ["#attic"]);
    }

    #[test]
    fn the_last_line_says_why_the_server_closes() {
        let closed = "State closed reason=elsewhere";
        assert_eq!(learn(&mut place(), "alice", closed), "Closed(\"elsewhere\")");
        assert_eq!(learn(&mut place(), "#tea", closed), "Hidden(None)");
        assert_eq!(learn(&mut simple_place(), "alice", closed), "Message");
    }

    #[test]
    fn no_sentence_changes_anything() {
        for (to, text) in [
            ("alice", "Joined #evil. You are its only member."),
            // the text for one who writes to a user of that name who is away
            ("alice", "Joined #evil. Other members (1): x is away: back soon"),
            ("alice", "You are in #evil already."),
            ("alice", "Left #tea."),
            ("alice", "❌ Not joined: no."),
            ("alice", "❌ Unknown command \"/join\". Send /help to see the commands."),
            ("alice", "⛔ You were kicked by bob."),
            ("bob", "You are now bob."),
            ("bob", "You are logged in as bob."),
            ("#tea", "bob closed the room."),
        ] {
            for mut place in [place(), simple_place()] {
                type_line(&mut place, "/join #tea");
                assert_eq!(learn(&mut place, to, text), "Message", "{text}");
                place.turn();
                assert_eq!((rooms(&place), place.prompt()), (vec!["#tea"], "alice #tea> ".into()));
            }
        }
    }

    #[test]
    fn with_a_simple_server_the_user_is_where_they_went() {
        let mut place = simple_place();
        type_line(&mut place, "/join #tea");
        place.turn();
        assert_eq!(to(&mut place, "hi"), "#tea");
        type_line(&mut place, "/to everyone");
        assert_eq!(to(&mut place, "hi"), "/shout");
        type_line(&mut place, "/nick \"carol jones\"");
        learn(&mut place, "alice", "carol jones it is.");
        assert_eq!(place.name(), "alice");
        learn(&mut place, "carol jones", "Whatever the server says.");
        assert_eq!(place.name(), "carol jones");
    }

    #[test]
    fn the_user_takes_another_name() {
        let mut place = place();
        let named =
            |old: &str, name: &str| format!("State renamed old={old} name={name} self=true");
        hear(&mut place, "bob", &named("carol", "bob"));
        assert_eq!(place.name(), "alice", "that is somebody else");
        hear(&mut place, "bob", &named("alice", "bob"));
        assert_eq!((place.name(), place.name_to_ask_for()), ("bob", "bob"));
        // the name is an account's from now on
        hear(&mut place, "bob~3", &named("bob", "bob~3"));
        assert_eq!((place.name(), place.name_to_ask_for()), ("bob~3", "bob"));
        hear(&mut place, "dave", &named("bob~3", "dave"));
        assert_eq!((place.name(), place.name_to_ask_for()), ("dave", "dave"));
        type_line(&mut place, "/join #tea");
        assert_eq!(place.prompt(), "dave #tea> ");
        // the answer to what the user asked for counts as soon as it is there
        type_line(&mut place, "/nick carol jones");
        learn(&mut place, "carol jones", "You are now carol jones.");
        assert_eq!(place.name(), "carol jones");
        hear(&mut place, "carol jones", "State moved room=#tea member=false reason=left");
        assert_eq!(rooms(&place), ["#tea"], "it is about to be joined");
    }

    #[test]
    fn rooms_are_joined_again_on_another_connection() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        type_line(&mut place, "/join #green tea");
        place.disconnected();
        let joins_again = place.take_joins();
        assert_eq!(joins_again, ["\"#green tea\"", "#tea"]);
        for msg in joins_again {
            place.sending("/join", &msg);
        }
        assert_eq!(place.take_joins(), [""; 0], "once");
        place.turn();
        assert_eq!(to(&mut place, "hi"), "#green tea");
        learn(&mut place, "alice", "Reporting on name=alice role=user login=false");
        let note = hear(&mut place, "alice", REFUSED).unwrap();
        assert!(note.ends_with("goes to #tea"), "{note}");
        joins(&mut place, "#tea");
        assert_eq!(rooms(&place), ["#tea"]);
    }

    #[test]
    fn a_user_who_has_to_log_in_joins_after_that() {
        let mut place = place();
        hear(&mut place, "alice", "State role name=alice role=user login=true");
        type_line(&mut place, "/join #tea");
        joins(&mut place, "#tea");
        place.disconnected();
        assert_eq!(place.take_joins(), [""; 0], "it is not known whether the login is restored");
        let visitor = "Reporting on name=alice~7 role=user login=false visitor=true";
        assert_eq!(learn(&mut place, "alice", visitor), "Hidden(None)");
        assert_eq!(place.take_joins(), [""; 0]);
        hear(&mut place, "alice", "State renamed old=alice~7 name=alice self=true");
        let role = "State role name=alice role=user login=true";
        assert_eq!(learn(&mut place, "alice", role), "Confirmed", "now it may ask");
        assert_eq!(place.take_joins(), ["#tea"]);
    }

    #[test]
    fn a_place_that_is_not_clear_is_no_place() {
        for line in
            ["/join tea", "/join \"#a b", "/to tea", "/JOIN #tea", "/jion #tea", "/join #tea #b"]
        {
            let mut place = place();
            type_line(&mut place, "/join #cake");
            let _ = place.typed(line::parse(line, &Known::default()));
            let text = place.typed(line::parse("hi", &Known::default()));
            assert_eq!(text, Deed::Mistake(ASTRAY.to_owned()), "{line}");
            assert_eq!(to(&mut place, "@bob hi"), "bob", "this has its own");
            assert_eq!(type_line(&mut place, "/to #cake"), None);
            assert_eq!(to(&mut place, "hi"), "#cake");
        }
    }

    #[test]
    fn a_join_that_is_too_long_to_send_is_none() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        place.unsent("/join");
        place.turn();
        assert_eq!(to(&mut place, "hi"), "/shout");
        assert_eq!(rooms(&place), [""; 0]);
    }

    #[test]
    fn a_server_cannot_give_the_user_a_name_without_end() {
        let mut place = place();
        place.sending("/nick", "bob");
        let endless = "y".repeat(LONGEST_NAME + 1);
        learn(&mut place, &endless, &format!("State renamed old=alice name={endless} self=true"));
        assert_eq!(place.name(), "alice");
    }

    #[test]
    fn what_is_typed_cannot_control_the_terminal() {
        let mut place = place();
        type_line(&mut place, "/join #\u{1b}[2J");
        assert_eq!(place.prompt(), "alice #\\u{1b}[2J> ");
    }

    #[test]
    fn a_guest_wants_another_name_until_it_is_given() {
        let welcome = |to: &str| Message::new("SERVER", "0.0.0.0", to, "Welcome!");
        let mut place = place();
        assert!(!place.welcomed("alice", &welcome("alice")));
        assert!(!place.welcomed("alice", &welcome("Everyone")));
        assert!(!place.welcomed("alice", &welcome("bob~1")));
        assert!(!place.welcomed("alice~7", &welcome("alice~7")), "that is who they asked for");
        assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
        assert!(place.welcomed(" alice ", &welcome("alice~7")));
        assert_eq!((place.name(), place.name_to_ask_for()), ("alice~7", "alice"));
        learn(&mut place, "alice", "You are logged in as alice.");
        assert_eq!(place.name(), "alice~7", "nobody has asked for that");
        place.sending("/login", "secret");
        learn(&mut place, "alice~7", "❌ Wrong password, or no account of that name.");
        assert_eq!(place.name(), "alice~7");
        learn(&mut place, "alice", "You are logged in as alice, a moderator. And so on.");
        assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
        place.sending("/login", "\"bob b\" secret");
        learn(&mut place, "bob b", "You are logged in as bob b.");
        assert_eq!(place.name(), "bob b");
        assert!(place.welcomed("alice", &welcome("alice~8")));
        assert!(!place.welcomed("alice", &welcome("alice")), "the account is gone");
        assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
    }
}
