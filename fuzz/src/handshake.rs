//! Registration, against the table of rule B2 read byte by byte.

use chatproto::UserName;
use chatproto::handshake::{Handshake, PeerKind, Registration, Stranger};

/// Most bytes before the end of a name: few, so that the limit is met.
const LIMIT: usize = 300;

/// What happens to a connection before it has a name.
#[derive(Clone, Debug, PartialEq)]
enum Event<'a> {
    Read(&'a [u8]),
    Silence,
    End,
}

/// What became of a registration.
#[derive(Clone, Debug, Default, PartialEq)]
struct Outcome {
    name: Option<Vec<u8>>,
    kind: Option<PeerKind>,
    stranger: Option<Stranger>,
    is_refused: bool,
    is_gone: bool,
    /// The beginning of the object stream.
    rest: Vec<u8>,
}

/// The input is what a client sends. A byte 0xFD in it ends a read, 0xFE is a silence, and 0xFF the
/// end of file. However the bytes between two silences are split, what becomes of them is what the
/// table says.
pub fn handshake(input: &[u8]) {
    let events = events(input);
    let expected = table(&events).trimmed();
    assert_eq!(run(&events), expected, "{events:?}");
    let byte_by_byte: Vec<Event<'_>> = events
        .iter()
        .flat_map(|event| match event {
            Event::Read(bytes) => bytes.chunks(1).map(Event::Read).collect(),
            other => vec![other.clone()],
        })
        .collect();
    assert_eq!(run(&byte_by_byte), expected, "byte by byte: {events:?}");
    if let Some(Ok(name)) = expected.name.map(|name| UserName::from_bytes(&name, 64)) {
        a_name_is_a_name(name.as_str());
    }
}

fn events(input: &[u8]) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    for part in input.split_inclusive(|&byte| byte >= 0xfd) {
        let (bytes, event) = match part.split_last() {
            Some((0xfd, bytes)) => (bytes, None),
            Some((0xfe, bytes)) => (bytes, Some(Event::Silence)),
            Some((0xff, bytes)) => (bytes, Some(Event::End)),
            _ => (part, None),
        };
        events.push(Event::Read(bytes));
        let is_end = event == Some(Event::End);
        events.extend(event);
        if is_end {
            break;
        }
    }
    events
}

fn run(events: &[Event<'_>]) -> Outcome {
    let (mut handshake, mut outcome) = (Handshake::new(), Outcome::default());
    for event in events {
        let is_over = match event {
            Event::Read(bytes) => {
                let mut input = *bytes;
                loop {
                    let before = input.len();
                    let step = handshake.handle_input(&mut input, LIMIT);
                    let is_waiting = step == Registration::Waiting;
                    if outcome.is_over_after(step) {
                        if !outcome.is_closed() {
                            outcome.rest.extend_from_slice(input);
                        }
                        break outcome.is_closed();
                    }
                    if is_waiting {
                        assert!(input.is_empty(), "more is needed, and there is more");
                        break false;
                    }
                    // a name before `{` takes nothing only if it came in reads before
                    assert!(input.len() < before || outcome.name.is_some());
                }
            }
            Event::Silence => {
                outcome.is_over_after(handshake.handle_silence()) && outcome.is_closed()
            }
            Event::End => outcome.is_over_after(handshake.handle_end()) && outcome.is_closed(),
        };
        if outcome.name.is_some() || is_over {
            assert!(!handshake.has_begun(), "it is over");
        }
        if is_over {
            break;
        }
    }
    outcome.trimmed()
}

impl Outcome {
    /// White space before the first object means nothing: a CR that waits for its LF may be dropped.
    fn trimmed(mut self) -> Self {
        self.rest = self.rest.trim_ascii_start().to_vec();
        self
    }

    /// Notes a step. True if what follows is not for the handshake.
    fn is_over_after(&mut self, step: Registration<'_>) -> bool {
        match step {
            Registration::Waiting => return false,
            Registration::Name(name, kind) => {
                assert!(self.name.is_none(), "two names");
                (self.name, self.kind) = (Some(name.into_owned()), Some(kind));
                return false;
            }
            Registration::LateLineFeed => {
                assert_eq!(self.kind, Some(PeerKind::OneRead));
                self.kind = Some(PeerKind::Stream);
                return false;
            }
            Registration::Done => assert!(self.name.is_some(), "done without a name"),
            Registration::Stranger(stranger) => self.stranger = Some(stranger),
            Registration::Refused(error) => {
                assert_eq!(error.kind(), "too-long");
                self.is_refused = true;
            }
            Registration::Gone => self.is_gone = true,
        }
        true
    }

    fn is_closed(&self) -> bool {
        if self.name.is_some() {
            assert!(self.stranger.is_none() && !self.is_refused && !self.is_gone);
        }
        self.name.is_none()
    }
}

/// The states of the table.
enum State {
    Start,
    Name(Vec<u8>),
    /// After silence; perhaps with a CR.
    Late(bool),
    Stream,
}

/// What rule B2 says.
fn table(events: &[Event<'_>]) -> Outcome {
    let (mut state, mut outcome, mut received) = (State::Start, Outcome::default(), 0);
    for event in events {
        let bytes = match event {
            Event::Read(bytes) => bytes.iter(),
            Event::Silence => {
                if let State::Name(name) = &state
                    && !is_inside_a_character(name)
                    && !name.trim_ascii().is_empty()
                {
                    if is_like_http(name) {
                        outcome.stranger = Some(Stranger::Http);
                        return outcome;
                    }
                    (outcome.name, outcome.kind) = (Some(name.clone()), Some(PeerKind::OneRead));
                    state = State::Late(false);
                }
                continue;
            }
            Event::End => {
                match state {
                    State::Start => outcome.is_gone = true,
                    State::Name(name) if is_like_http(&name) => {
                        outcome.stranger = Some(Stranger::Http);
                    }
                    State::Name(name) if name.trim_ascii().is_empty() => outcome.is_gone = true,
                    State::Name(name) => {
                        (outcome.name, outcome.kind) = (Some(name), Some(PeerKind::OneRead));
                    }
                    State::Late(_) | State::Stream => {}
                }
                return outcome;
            }
        };
        for &byte in bytes {
            let ends = matches!(byte, b'\n' | b'{');
            let is_naming = matches!(state, State::Start | State::Name(_));
            received += usize::from(is_naming && !ends);
            match &mut state {
                State::Start if b" \t\r".contains(&byte) => {}
                State::Start | State::Name(_) if ends => {
                    let name = match std::mem::replace(&mut state, State::Stream) {
                        State::Name(name) => name,
                        _ => Vec::new(),
                    };
                    let is_http =
                        if byte == b'\n' { is_request(&name) } else { is_like_http(&name) };
                    if is_http {
                        outcome.stranger = Some(Stranger::Http);
                        return outcome;
                    }
                    let kind = if byte == b'\n' { PeerKind::Stream } else { PeerKind::OneRead };
                    (outcome.name, outcome.kind) = (Some(name), Some(kind));
                    if byte == b'{' {
                        outcome.rest.push(byte);
                    }
                }
                State::Start => state = State::Name(vec![byte]),
                State::Name(name) => name.push(byte),
                State::Late(false) if byte == b'\r' => state = State::Late(true),
                State::Late(_) => {
                    state = State::Stream;
                    match byte {
                        b'\n' => outcome.kind = Some(PeerKind::Stream),
                        _ => outcome.rest.push(byte),
                    }
                }
                State::Stream => outcome.rest.push(byte),
            }
            outcome.is_refused = is_naming && received > LIMIT;
            if let State::Name(name) = &state
                && !outcome.is_refused
            {
                let ssh = ["SSH-1.", "SSH-2."].iter().any(|banner| name == banner.as_bytes());
                let proxy = ["PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN ", "PROXY UNKNOWN\r"];
                outcome.stranger = match name[..] {
                    [0x16, 0x03] => Some(Stranger::Tls),
                    _ if proxy.iter().any(|start| name == start.as_bytes()) => {
                        Some(Stranger::Proxy)
                    }
                    _ if ssh => Some(Stranger::Ssh),
                    _ => None,
                };
            }
            if outcome.stranger.is_some() || outcome.is_refused {
                return outcome;
            }
        }
    }
    outcome
}

/// Whether further bytes could complete a character.
fn is_inside_a_character(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_err_and(|error| error.error_len().is_none())
}

/// A method in upper-case letters, a space, a target, and ` HTTP/`.
fn is_request(line: &[u8]) -> bool {
    let line = line.iter().map(|&byte| char::from(byte)).collect::<String>();
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version, ..] = words[..] else { return false };
    !method.is_empty()
        && method.chars().all(|c| c.is_ascii_uppercase())
        && !target.is_empty()
        && version.starts_with("HTTP/")
}

/// A usual method and ` /`.
fn is_like_http(bytes: &[u8]) -> bool {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"]
        .iter()
        .any(|method| bytes.starts_with(format!("{method} /").as_bytes()))
}

/// What every name is, whatever it was made of (B5).
fn a_name_is_a_name(name: &str) {
    assert!((1..=64).contains(&name.len()), "{name:?}");
    assert!(!name.contains(['{', '}', ',', '\n', '\r', '\0', '\u{1b}', '\u{202e}', '\u{200b}']));
    assert!(!name.starts_with(['/', '#', '@']), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
    assert_eq!(name.trim(), name);
    let again = UserName::from_bytes(name.as_bytes(), 64);
    assert_eq!(again.expect("a name is a name").as_str(), name, "normalised");
}
