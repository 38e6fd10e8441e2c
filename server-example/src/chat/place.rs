//! Where the user is, as far as the client knows: under which name, in which rooms, and where plain
//! text goes. It follows what the user types and what the server answers, and does no I/O.
//!
//! A `/join` counts at once, so that the lines behind it go to the room, and never by mistake to
//! everybody. For the same reason a line goes where the user was told that it would: what the
//! server changes, such as a refused `/join` or a closed room, counts from [`Place::turn`] on.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use chatproto::Message;
use chatproto::endpoint::as_argument;
use chatproto::name::normalise;

use crate::text::visible;

use super::line::{self, Line};

/// How the server's texts begin and end that can be read.
const JOINED: &str = "Joined ";
const JOINED_ALONE: &str = ". You are its only member.";
const JOINED_OTHERS: &str = ". Other members (";
const JOINED_BEFORE: (&str, &str) = ("You are in ", " already.");
const LEFT: (&str, &str) = ("Left ", ".");
const REFUSED: [&str; 2] = ["❌ Not joined: ", "❌ Unknown command \"/join\""];
const CLOSED: &str = " closed the room";

/// The server gives the user no longer name. Those with default limits have at most 64 bytes.
const LONGEST_NAME: usize = 1024;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Place {
    name: String,
    /// Where plain text goes; `None` is everybody.
    here: Option<String>,
    /// Where it will go from the next turn on: to the last of these, or to everybody. The rooms
    /// before it are where the user was when joining the next one, which may be refused.
    path: Vec<String>,
    /// Every room that the user is in, or is about to be.
    rooms: BTreeSet<String>,
    /// The rooms of each `/join` that was sent and not answered, in order; `None` is one without a
    /// room's name.
    joining: VecDeque<Option<String>>,
    /// Whether the user has sent a `/nick`.
    has_sent_nick: bool,
    /// Whether the user has sent a `/login`.
    has_sent_login: bool,
    /// The name that the user asked for, if the server has given a temporary one instead.
    wanted: Option<String>,
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
            path: Vec::new(),
            rooms: BTreeSet::new(),
            joining: VecDeque::new(),
            has_sent_nick: false,
            has_sent_login: false,
            wanted: None,
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
    }

    /// Takes a line that the user has typed.
    pub(super) fn typed(&mut self, line: Line<'_>) -> Deed {
        match line {
            Line::Empty => Deed::Nothing,
            Line::Quit => Deed::Quit,
            Line::Mistake(why) => Deed::Mistake(why.to_owned()),
            Line::Send { to, msg } => send(&to, &msg),
            Line::Text(text) => send(self.here.as_deref().unwrap_or("/shout"), text),
            Line::Join(room, number) => {
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
                    self.leave(&room);
                    deed
                }
                None => send("/leave", ""),
            },
            Line::To(room) => {
                self.go(room.as_deref().map(normal));
                match &self.here {
                    // the lines behind it are for nobody else all the same
                    Some(room) if !self.rooms.contains(room) => {
                        let room = visible(room);
                        Deed::Doubt(format!("you are not in {room}: /join {room}"))
                    }
                    _ => Deed::Nothing,
                }
            }
        }
    }

    /// A message is about to be sent.
    pub(super) fn sending(&mut self, to: &str, msg: &str) {
        match to {
            "/join" => self.joining.push_back(line::room(msg).as_deref().map(normal)),
            "/nick" => self.has_sent_nick = true,
            "/login" => self.has_sent_login = true,
            _ => {}
        }
    }

    /// The message that was about to be sent is not.
    pub(super) fn unsent(&mut self, to: &str) {
        if to == "/join"
            && let Some(Some(room)) = self.joining.pop_back()
        {
            self.lose(&room);
        }
    }

    /// What was sent and not answered will not be answered any more.
    pub(super) fn disconnected(&mut self) {
        self.joining.clear();
    }

    /// What to send to be in the same rooms on another connection.
    pub(super) fn joins(&self) -> Vec<String> {
        self.rooms().map(|room| as_argument(room).into_owned()).collect()
    }

    /// Learns from a message.
    pub(super) fn learn(&mut self, message: &Message) -> Option<Moved> {
        let Message { to, msg, .. } = message;
        if !message.is_from_server() || to.len() > LONGEST_NAME {
            None
        } else if to.starts_with('#') {
            let is_joining = self.joining.iter().flatten().any(|room| room == to);
            if says_closed(msg) && !is_joining { self.lose(to) } else { None }
        } else if self.has_sent_nick && between(msg, ("You are now ", ".")) == Some(to.as_str())
            || self.has_sent_login && says_logged_in(msg, to)
        {
            self.name.clone_from(to);
            self.wanted = None;
            None
        } else if *to != self.name {
            None
        } else if REFUSED.iter().any(|refused| msg.starts_with(refused)) {
            let room = self.joining.pop_front()??;
            self.lose(&room)
        } else {
            if let Some(room) = joined(msg) {
                self.joined(room);
            } else if let Some(room) = between(msg, LEFT) {
                self.rooms.remove(room);
            }
            None
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

    /// The server says that the user is in a room. That counts only as the answer to a `/join`: other
    /// texts of the server begin with a user's name, which can be made to read like this.
    fn joined(&mut self, room: &str) {
        let Some(at) = self.joining.iter().position(|other| other.as_deref() == Some(room)) else {
            return;
        };
        self.joining.drain(..=at);
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

/// A room's name as the server spells it.
fn normal(room: &str) -> String {
    let name = room.strip_prefix('#').unwrap_or(room);
    format!("#{}", normalise(name.trim()))
}

/// The room that the user is in, if this says so.
fn joined(text: &str) -> Option<&str> {
    let room = between(text, JOINED_BEFORE).or_else(|| {
        let rest = text.strip_prefix(JOINED)?;
        rest.strip_suffix(JOINED_ALONE).or_else(|| Some(rest.split_once(JOINED_OTHERS)?.0))
    });
    room.filter(|room| room.starts_with('#'))
}

/// Whether a notice says that its room was closed. A name can be made to read like that, so what
/// can be understood in another way does not count.
fn says_closed(notice: &str) -> bool {
    let Some((who, why)) = notice.split_once(CLOSED) else { return false };
    let is_other = [" joined.", " left.", " disconnected.", " was kicked."]
        .iter()
        .any(|end| notice.ends_with(end))
        || [" is now ", " rolled "].iter().any(|verb| notice.contains(verb))
        || [": ", ", "].iter().any(|of_count| who.contains(of_count));
    !who.is_empty() && (why == "." || why.starts_with(": ")) && !is_other
}

/// What stands between the two.
fn between<'a>(text: &'a str, (head, tail): (&str, &str)) -> Option<&'a str> {
    text.strip_prefix(head)?.strip_suffix(tail)
}

/// Whether this says that the user has become the owner of the name.
fn says_logged_in(text: &str, name: &str) -> bool {
    let behind =
        text.strip_prefix("You are logged in as ").and_then(|rest| rest.strip_prefix(name));
    behind.is_some_and(|behind| behind.starts_with(['.', ',']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::line::Known;

    fn place() -> Place {
        Place::new("alice".to_owned())
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

    fn hear(place: &mut Place, to: &str, text: &str) -> Option<String> {
        let moved = place.learn(&Message::new("SERVER", "0.0.0.0", to, text));
        moved.map(|moved| moved.to_string())
    }

    fn rooms(place: &Place) -> Vec<&str> {
        place.rooms().collect()
    }

    const REFUSED: &str = "❌ Not joined: no.";

    #[test]
    fn plain_text_follows_the_room() {
        let mut place = place();
        assert_eq!(to(&mut place, "hi"), "/shout");
        assert_eq!(place.prompt(), "alice> ");
        assert_eq!(to(&mut place, "/join #tea"), "/join");
        assert_eq!(place.prompt(), "alice #tea> ");
        assert_eq!(to(&mut place, "hi"), "#tea");
        assert_eq!(hear(&mut place, "alice", "Joined #tea. You are its only member."), None);
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
        let why = "you are not in #green tea: /join #green tea";
        assert_eq!(elsewhere, Deed::Doubt(why.to_owned()));
        assert_eq!(to(&mut place, "hi"), "#green tea", "it is for nobody else");
    }

    #[test]
    fn names_are_sent_in_quotes_if_they_need_them() {
        let mut place = place();
        let join = type_line(&mut place, "/join # cafe\u{301} noir");
        assert_eq!(join, Some(("/join".to_owned(), "\"#caf\u{e9} noir\"".to_owned())));
        hear(&mut place, "alice", "Joined #caf\u{e9} noir. Other members (2): bob, carol");
        assert_eq!(rooms(&place), ["#caf\u{e9} noir"]);
        assert_eq!(place.joins(), ["\"#caf\u{e9} noir\""]);
        assert_eq!(to(&mut place, "hi"), "#caf\u{e9} noir");
        let leave = type_line(&mut place, "/leave");
        assert_eq!(leave.unwrap().1, "\"#caf\u{e9} noir\"");
    }

    #[test]
    fn a_refused_room_counts_until_the_next_turn() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        hear(&mut place, "alice", "You are in #tea already.");
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
        hear(&mut place, "alice", "Joined #b. You are its only member.");
        let note = hear(&mut place, "alice", REFUSED).unwrap();
        assert!(note.ends_with("goes to #b"), "{note}");
        assert_eq!(hear(&mut place, "alice", REFUSED), None, "nothing was asked");
        assert_eq!(rooms(&place), ["#b"]);
    }

    #[test]
    fn a_server_without_rooms_refuses() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        let text = "❌ Unknown command \"/join\". Send /help to see the commands.";
        assert!(hear(&mut place, "alice", text).is_some());
        place.turn();
        assert_eq!(to(&mut place, "hi"), "/shout");
    }

    #[test]
    fn a_closed_room_is_left() {
        for text in ["bob closed the room.", "bob b closed the room: it is late."] {
            let mut place = place();
            type_line(&mut place, "/join #attic");
            hear(&mut place, "alice", "Joined #attic. You are its only member.");
            type_line(&mut place, "/join #tea");
            hear(&mut place, "alice", "Joined #tea. You are its only member.");
            assert_eq!(hear(&mut place, "#other", text), None);
            let note = hear(&mut place, "#tea", text).unwrap();
            assert_eq!(note, "you are not in #tea: after this line, plain text goes to everybody");
            place.turn();
            assert_eq!(to(&mut place, "hi"), "/shout");
            assert_eq!(rooms(&place), ["#attic"]);
        }
    }

    #[test]
    fn names_that_read_like_notices_close_no_room() {
        for text in [
            "x closed the room joined.",
            "x closed the room: y joined.",
            "x closed the room: y left.",
            "x closed the room: y is now z.",
            "bob is now x closed the room.",
            "x closed the room: y rolled 7 (2d6: 3 + 4).",
            "4 joined: a, x closed the room and 2 more.",
            "1 joined: x closed the room.",
            "2 left: b, x closed the room: y.",
            " closed the room.",
        ] {
            let mut place = place();
            type_line(&mut place, "/join #tea");
            hear(&mut place, "alice", "Joined #tea. You are its only member.");
            assert_eq!(hear(&mut place, "#tea", text), None, "{text}");
            let bob = Message::new("bob", "192.0.2.7", "#tea", "bob closed the room.");
            assert_eq!(place.learn(&bob), None);
        }
    }

    #[test]
    fn the_user_takes_another_name() {
        let mut place = place();
        hear(&mut place, "bob", "You are now bob.");
        assert_eq!(place.name(), "alice", "nobody asked for it");
        type_line(&mut place, "/nick bob");
        hear(&mut place, "alice", "❌ Your name stays alice: it is in use.");
        hear(&mut place, "alice", "You are now bob.");
        assert_eq!(place.name(), "alice");
        type_line(&mut place, "/nick carol jones");
        hear(&mut place, "carol jones", "You are now carol jones.");
        assert_eq!(place.name(), "carol jones");
        type_line(&mut place, "/join #tea");
        assert_eq!(place.prompt(), "carol jones #tea> ");
        hear(&mut place, "carol jones", "Left #tea.");
        assert_eq!(rooms(&place), [""; 0]);
    }

    #[test]
    fn rooms_are_joined_again_on_another_connection() {
        let mut place = place();
        type_line(&mut place, "/join #tea");
        type_line(&mut place, "/join #green tea");
        place.disconnected();
        assert_eq!(place.joins(), ["\"#green tea\"", "#tea"]);
        for msg in place.joins() {
            place.sending("/join", &msg);
        }
        place.turn();
        assert_eq!(to(&mut place, "hi"), "#green tea");
        let note = hear(&mut place, "alice", REFUSED).unwrap();
        assert!(note.ends_with("goes to #tea"), "{note}");
        hear(&mut place, "alice", "Joined #tea. You are its only member.");
        assert_eq!(rooms(&place), ["#tea"]);
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
    fn neither_the_server_nor_a_users_name_puts_the_user_into_a_room() {
        let mut place = place();
        let texts = [
            "Joined #evil. You are its only member.",
            // the text for one who writes to a user of that name who is away
            "Joined #evil. Other members (1): x is away: back soon",
            "You are in #evil already.",
        ];
        for text in texts {
            hear(&mut place, "alice", text);
            assert_eq!(rooms(&place), [""; 0], "{text}");
        }
        // nor while another room is joined
        assert_eq!(to(&mut place, "/join #tea"), "/join");
        for text in texts {
            hear(&mut place, "alice", text);
            assert_eq!(rooms(&place), ["#tea"], "{text}");
        }
        hear(&mut place, "alice", "Joined #tea. You are its only member.");
        assert_eq!(rooms(&place), ["#tea"]);
    }

    #[test]
    fn a_server_cannot_give_the_user_a_name_without_end() {
        let mut place = place();
        place.sending("/nick", "bob");
        let endless = "y".repeat(LONGEST_NAME + 1);
        hear(&mut place, &endless, &format!("You are now {endless}."));
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
        hear(&mut place, "alice", "You are logged in as alice.");
        assert_eq!(place.name(), "alice~7", "nobody has asked for that");
        place.sending("/login", "secret");
        hear(&mut place, "alice~7", "❌ Wrong password, or no account of that name.");
        hear(&mut place, "bob", "You are logged in as alice.");
        assert_eq!(place.name(), "alice~7");
        hear(&mut place, "alice", "You are logged in as alice, a moderator. And so on.");
        assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
        assert!(place.welcomed("alice", &welcome("alice~8")));
        assert!(!place.welcomed("alice", &welcome("alice")), "the account is gone");
        assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
    }
}
