//! What can happen to a hub: the steps, as plain data.

use std::fmt;

use crate::handshake::PeerKind;
use crate::outbox::SlowReader;

use super::names::{Address, Lasting, Name, Peer, Target, quoted};

/// How it begins.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) policy: SlowReader,
    pub(super) announces: bool,
    /// How many of the peers are users already, and in the first room: see [`super::names::PRESENT`].
    pub(super) present: usize,
    /// How many others are in that room.
    pub(super) bystanders: usize,
}

/// What happens to the hub.
#[derive(Clone)]
pub(super) enum Step {
    /// A peer connects. If it was told to close, the old connection is gone by now.
    Connect(Peer, Address),
    /// A peer says its name.
    Register(Peer, Name, PeerKind, Verdict),
    /// A peer sends something.
    Send(Peer, Act),
    /// The directory decides about one of the claims that it has not answered.
    Decide { claim: usize, grants: bool },
    /// A connection is lost.
    Vanish(Peer),
    /// A peer reads, and from then on its socket takes so much.
    Read(Peer, Window),
    /// So many milliseconds pass.
    Wait(u64),
    /// The server is killed, and another one begins with the bans and mutes that were kept. The observer
    /// comes back at once.
    Restart,
}

/// One line each, as a list of them is what a failure prints.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Connect(peer, address) => write!(f, "{peer:?} connects from {address:?}"),
            Step::Register(peer, name, kind, verdict) => {
                write!(f, "{peer:?} registers as {name:?}, {kind:?}; the directory {verdict:?}")
            }
            Step::Send(peer, act) => write!(f, "{peer:?} sends {act:?}"),
            Step::Decide { claim, grants } => {
                let what = if *grants { "grants" } else { "refuses" };
                write!(f, "the directory {what} claim {claim} of those that wait")
            }
            Step::Vanish(peer) => write!(f, "{peer:?} vanishes"),
            Step::Read(peer, window) => write!(f, "{peer:?} reads {window:?}"),
            Step::Wait(millis) => write!(f, "{millis} ms pass"),
            Step::Restart => f.write_str("the server is killed and begins again"),
        }
    }
}

/// What the directory does with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Grants,
    Refuses,
    AnswersLater,
}

/// What the socket takes until the reader reads again: so many objects (`None` for all there will
/// be), and then perhaps the first byte of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) objects: Option<u8>,
    pub(super) and_a_byte: bool,
}

impl Window {
    pub(super) const OPEN: Window = Window { objects: None, and_a_byte: false };
}

/// What a peer sends.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// So many messages to a user, the long ones longer than a one-read peer can take.
    Write {
        to: Name,
        times: usize,
        long: bool,
    },
    Say {
        room: &'static str,
        times: usize,
        long: bool,
    },
    /// A message to somebody whom there cannot be.
    WriteToNobody(&'static str),
    Shout {
        long: bool,
    },
    Join(&'static str),
    Leave(&'static str),
    /// Joins, leaves, joins, and so on, so many times in all.
    Hop(&'static str, usize),
    /// Rolls dice for a room.
    Roll(&'static str),
    Nick(Name, Verdict),
    Away(bool),
    /// Asks for state lines, or for none.
    State(bool),
    Ask(Question),
    Admin {
        token: &'static str,
    },
    Role(Name, &'static str),
    Kick(Name),
    Ban(Target, Option<Lasting>),
    Unban(Target),
    Mute(Name, Option<Lasting>),
    Unmute(Name),
    Close(&'static str),
    Notice,
    /// So many objects that are no messages.
    SchemaErrors(usize),
    FramingError,
    EndOfFile,
}

/// What changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Ping,
    List,
    Rooms,
    Who(&'static str),
    WhoAmI,
    Bans,
}

/// What goes into the hub of an [`Act`].
#[derive(Clone, Debug)]
pub(super) enum Input {
    Message { to: String, msg: String },
    SchemaError,
    FramingError,
    End,
}

pub(super) const TOKEN: &str = "sesame";
pub(super) const AWAY: &str = "gone fishing";
pub(super) const REASON: &str = "spam";

/// The text of the `k`th message of a step; none is like another.
pub(super) fn text(step: usize, k: usize, long: bool) -> String {
    format!("m{step}.{k}{}", if long { ".".repeat(1100) } else { String::new() })
}

impl Act {
    /// What it is on the wire, in the given step.
    pub(super) fn inputs(&self, step: usize) -> Vec<Input> {
        let command =
            |to: &str, msg: &str| vec![Input::Message { to: to.to_owned(), msg: msg.to_owned() }];
        let write = |to: &str, times: usize, long: bool| {
            let message = |k| Input::Message { to: to.to_owned(), msg: text(step, k, long) };
            (0..times).map(message).collect()
        };
        let lasting =
            |lasts: &Option<Lasting>| lasts.map_or("", |lasting| lasting.typed).to_owned();
        match self {
            Act::Write { to, times, long } => write(to.typed, *times, *long),
            Act::Say { room, times, long } => write(room, *times, *long),
            Act::WriteToNobody(to) => write(to, 1, false),
            Act::Shout { long } => command("/shout", &text(step, 0, *long)),
            // (some clients send the whole line)
            Act::Join(room) => command("/join", &format!("/join {}", quoted(room))),
            Act::Leave(room) => command("/leave", &quoted(room)),
            Act::Hop(room, times) => {
                let hop = |k| if k % 2 == 0 { Act::Join(room) } else { Act::Leave(room) };
                (0..*times).flat_map(|k| hop(k).inputs(step)).collect()
            }
            Act::Roll(room) => command("/roll", &quoted(room)),
            Act::Nick(name, _) => command("/nick", name.typed),
            Act::Away(is_away) => command("/away", if *is_away { AWAY } else { "" }),
            Act::State(wants) => command("/state", if *wants { "on" } else { "off" }),
            Act::Ask(Question::Ping) => command("/ping", &text(step, 0, false)),
            Act::Ask(Question::List) => command("/list", "/list"),
            Act::Ask(Question::Rooms) => command("/rooms", ""),
            Act::Ask(Question::Who(room)) => command("/who", &quoted(room)),
            Act::Ask(Question::WhoAmI) => command("/whoami", ""),
            Act::Ask(Question::Bans) => command("/bans", ""),
            Act::Admin { token } => command("/admin", token),
            Act::Role(name, role) => command("/role", &format!("{} {role}", name.quoted())),
            Act::Kick(name) => command("/kick", &format!("{} {REASON}", name.quoted())),
            Act::Ban(target, lasts) => {
                command("/ban", &format!("{} {} {REASON}", target.quoted(), lasting(lasts)))
            }
            Act::Unban(target) => command("/unban", &target.quoted()),
            Act::Mute(name, lasts) => {
                command("/mute", &format!("{} {}", name.quoted(), lasting(lasts)))
            }
            Act::Unmute(name) => command("/unmute", &name.quoted()),
            Act::Close(room) => command("/close", &format!("{} {REASON}", quoted(room))),
            Act::Notice => command("/notice", &text(step, 0, false)),
            Act::SchemaErrors(times) => vec![Input::SchemaError; *times],
            Act::FramingError => vec![Input::FramingError],
            Act::EndOfFile => vec![Input::End],
        }
    }
}
