//! A client: what it is like, what it has sent, what it has heard. What it does next is in
//! `script`, how its bytes travel in `world`.

use std::net::IpAddr;

use fastrand::Rng;

use crate::decode::Decoder;
use crate::encode;
use crate::handshake::Stranger;
use crate::websocket::{Unframer, testing};

use super::setup::{ROOMS, Setup};

/// How it says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name and a line feed.
    Stream,
    /// The line feed comes when the name was taken for complete already.
    LateLineFeed,
    /// A bare name; then it reads as if one read were one object.
    OneRead,
    /// The same, with the first object right behind the name.
    Joined,
    /// A browser: a name in the URL, or in the first message.
    WebSocket {
        has_name_in_url: bool,
    },
    /// It never says a name: nothing, white space, half a character.
    Nameless(&'static [u8]),
    Stranger(Stranger),
    /// A name that nobody can have.
    BadName(&'static str),
}

/// How it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// What there is, within a millisecond or two.
    Prompt,
    /// Now and then a little.
    Slow,
    /// Promptly, but not in this span of time.
    Stalls { from: u64, until: u64 },
    /// Never.
    Never,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It says that it will send nothing more, and reads to the end.
    HalfClose,
    /// It is gone from one moment to the other.
    Abort,
    /// It closes without reading what is still to come.
    Close,
    /// It stays as long as it may.
    Stay,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Waiting,
    Connected,
    /// It sends nothing more.
    HalfClosed,
    /// It has read to the end and closed.
    Closed,
    /// It went without reading to the end.
    Aborted,
}

/// Everybody, or a room.
pub(super) type Scope = usize;
pub(super) const EVERYONE: Scope = ROOMS.len();

/// Where a message was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    User(String),
    Scope(Scope),
}

/// A message that a client has sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) target: Target,
    pub(super) at: u64,
    /// What makes its text longer.
    pub(super) padding: usize,
}

/// More than a one-read peer can take.
pub(super) const LONG: usize = 400;

/// Something that a client has done, and what it was answered.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) act: Act,
    pub(super) at: u64,
    /// The numbers of its messages.
    pub(super) messages: std::ops::Range<usize>,
    pub(super) answers: Vec<String>,
    /// The answer to the ping behind it came.
    pub(super) is_fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Write(String, usize),
    Say(Scope, usize),
    Shout,
    Join(Scope),
    Leave(Scope),
    Nick(String),
    Away(bool),
    List,
    Rooms,
    Echo,
    SchemaError,
    FramingError,
    Admin,
    Kick(String),
    Mute(String),
}

/// Something that a client has heard, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Message {
        sender: usize,
        number: usize,
    },
    Joined(Scope),
    /// With the time when it asked for that.
    Left(Scope, u64),
    /// So many messages were missed here.
    Missed(u64),
}

pub(super) struct Client {
    pub(super) kind: Kind,
    pub(super) reading: Reading,
    pub(super) ending: Ending,
    pub(super) address: IpAddr,
    /// It connects through a proxy, which states its address.
    pub(super) is_proxied: bool,
    pub(super) lane: usize,
    /// Its connection.
    pub(super) wire: usize,
    pub(super) phase: Phase,
    pub(super) connected_at: u64,
    pub(super) acts_left: usize,
    /// It proves that it may keep order.
    pub(super) is_moderator: bool,
    /// The name that it has, as far as it knows, and all that it ever asked for.
    pub(super) name: Option<String>,
    pub(super) names: Vec<String>,
    pub(super) sent: Vec<Sent>,
    pub(super) done: Vec<Done>,
    /// How many of those are answered.
    pub(super) fenced: usize,
    pub(super) heard: Vec<(u64, Heard)>,
    /// When it was told that the connection ends.
    pub(super) farewell: Option<(u64, String)>,
    /// How much it was told that it missed.
    pub(super) missed: u64,
    /// It did something by which its connection ends, at this time.
    pub(super) may_end_from: Option<u64>,
    /// When its last bytes arrive.
    pub(super) sends_until: u64,
    pub(super) is_read_due: bool,
    /// Bytes that it received, for those who do not read objects.
    pub(super) bytes: Vec<u8>,
    pub(super) received: usize,
    pub(super) decoder: Decoder,
    /// Over WebSocket: takes what it hears out of the frames.
    pub(super) unframer: Unframer,
    pub(super) saw_end: bool,
    pub(super) was_broken: bool,
    pub(super) was_cut: bool,
}

impl Client {
    /// The one that is there all the time, in every room, and tells in which order things happened.
    pub(super) fn witness() -> Self {
        Client {
            kind: Kind::Stream,
            reading: Reading::Prompt,
            ending: Ending::Stay,
            address: IpAddr::from([127, 0, 0, 1]),
            is_proxied: false,
            lane: 0,
            wire: 0,
            phase: Phase::Waiting,
            connected_at: 0,
            acts_left: 0,
            is_moderator: false,
            name: None,
            names: vec!["witness".to_owned()],
            sent: Vec::new(),
            done: Vec::new(),
            fenced: 0,
            heard: Vec::new(),
            farewell: None,
            missed: 0,
            may_end_from: None,
            sends_until: 0,
            is_read_due: false,
            bytes: Vec::new(),
            received: 0,
            decoder: Decoder::default(),
            unframer: Unframer::of_server(),
            saw_end: false,
            was_broken: false,
            was_cut: false,
        }
    }

    pub(super) fn any(id: usize, setup: &Setup, rng: &mut Rng) -> Self {
        let name = any_name(id, rng);
        let kind = any_kind(rng);
        let span = rng.u64(..4_000_000);
        let reading = match rng.u8(..16) {
            0 | 1 => Reading::Slow,
            2 | 3 => Reading::Stalls { from: span, until: span + rng.u64(..6_000_000) },
            4 => Reading::Never,
            _ => Reading::Prompt,
        };
        let ending = match rng.u8(..12) {
            0 | 1 => Ending::HalfClose,
            2 => Ending::Abort,
            3 => Ending::Close,
            _ => Ending::Stay,
        };
        let addresses = ["127.0.0.1", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"];
        let address = addresses[rng.usize(..addresses.len())].parse().expect("an address");
        let lane = rng.usize(..setup.lanes);
        let acts_left = rng.usize(..=setup.acts);
        Client {
            kind,
            reading,
            ending,
            address,
            lane,
            acts_left,
            is_moderator: rng.u8(..6) == 0,
            is_proxied: rng.u8(..4) == 0 && !matches!(kind, Kind::WebSocket { .. }),
            names: vec![name],
            ..Client::witness()
        }
    }

    /// The PROXY header of the proxy that it connects through, in version 1 or 2.
    pub(super) fn header(&self) -> Option<Vec<u8>> {
        let header = match self.address {
            IpAddr::V4(address) => format!("PROXY TCP4 {address} 192.0.2.1 50000 65432\r\n").into(),
            IpAddr::V6(address) => {
                let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2a".to_vec();
                header.extend(address.octets());
                header.extend(address.octets());
                header.extend([0xc3, 0x50, 0xff, 0x98]);
                // a TLV
                header.extend([4, 0, 3, 1, 2, 3]);
                header
            }
        };
        self.is_proxied.then_some(header)
    }

    /// Whether it takes what one read gives for one object.
    pub(super) fn is_one_read(&self) -> bool {
        matches!(self.kind, Kind::OneRead | Kind::Joined)
    }

    pub(super) fn says_a_name(&self) -> bool {
        matches!(
            self.kind,
            Kind::Stream
                | Kind::LateLineFeed
                | Kind::OneRead
                | Kind::Joined
                | Kind::WebSocket { .. }
        )
    }

    pub(super) fn is_websocket(&self) -> bool {
        matches!(self.kind, Kind::WebSocket { .. })
    }

    /// Whether it is there and may send.
    pub(super) fn can_send(&self) -> bool {
        self.phase == Phase::Connected && self.farewell.is_none() && !self.saw_end
    }

    /// Whether it has read everything that the server had for it.
    pub(super) fn has_read_all(&self) -> bool {
        self.saw_end && !self.was_broken && !self.was_cut && self.phase != Phase::Aborted
    }

    /// Whether nothing that it was sent can be missing.
    pub(super) fn is_whole(&self) -> bool {
        self.has_read_all() && self.missed == 0
    }

    /// The object that puts something to the server.
    pub(super) fn object(&self, to: &str, msg: &str) -> Vec<u8> {
        let mut object = Vec::new();
        if self.is_one_read() {
            encode::python(&mut object, "x", "1.2.3.4", to, msg);
        } else {
            encode::compact(&mut object, "x", "1.2.3.4", to, msg);
            object.push(b'\n');
        }
        self.framed(object)
    }

    /// Its output, in frames if it speaks WebSocket.
    pub(super) fn framed(&self, said: Vec<u8>) -> Vec<u8> {
        if self.is_websocket() { testing::message(&said) } else { said }
    }
}

/// The text of a message. The receiver can tell from it who sent it, and what it should be.
pub(super) fn text(sender: usize, number: usize, padding: usize) -> String {
    const PALETTE: [char; 8] = ['a', '\u{eb}', '"', '\\', '\n', '\u{1F600}', '{', '\u{7f}'];
    let mut text = format!("{sender}.{number} ");
    text.extend((0..padding).map(|index| PALETTE[(index + padding) % PALETTE.len()]));
    text
}

/// Whose message it is by its text, and which.
pub(super) fn origin(text: &str) -> Option<(usize, usize)> {
    let (sender, number) = text.split_once(' ')?.0.split_once('.')?;
    Some((sender.parse().ok()?, number.parse().ok()?))
}

/// Mostly a name of its own.
pub(super) fn any_name(id: usize, rng: &mut Rng) -> String {
    match rng.u8(..6) {
        0 => format!("star{}", rng.u8(..3)),
        1 => format!("zo\u{eb} {id}"),
        _ => format!("u{id}"),
    }
}

fn any_kind(rng: &mut Rng) -> Kind {
    match rng.u8(..32) {
        0 => Kind::Nameless(b""),
        1 => Kind::Nameless(b" \t\r "),
        2 => Kind::Nameless(b"zo\xc3"),
        3 => Kind::Stranger(Stranger::Http),
        4 => Kind::Stranger(Stranger::Tls),
        5 => Kind::Stranger(Stranger::Ssh),
        6 => Kind::BadName("SERVER\n"),
        7 => Kind::BadName("/list\n"),
        18 => Kind::Stranger(Stranger::Proxy),
        8..11 => Kind::LateLineFeed,
        11..15 => Kind::OneRead,
        15..18 => Kind::Joined,
        19..24 => Kind::WebSocket { has_name_in_url: rng.bool() },
        _ => Kind::Stream,
    }
}
