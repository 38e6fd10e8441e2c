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
#[path = "place_tests.rs"]
mod tests;
