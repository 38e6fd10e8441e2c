//! The client's side, told anything by a server.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chatproto::handshake::PeerKind;
use chatproto::{Message, Session, SessionEvent, UserName};

use crate::oracle;
use crate::stream::{Outcome, Settings};

/// The least time between two writes to a server that may read one object at a time, and the most
/// that it can read.
const PACE: Duration = Duration::from_millis(20);
const ONE_READ: usize = 1024;

/// The input is what comes from the server, in reads that end in 0xFE, each with a byte in front
/// that says what the client does before: it waits, writes a message, or lets its socket take some
/// bytes. What it hears is what the oracle reads, and it writes nothing too soon, too long or twice.
pub fn session(input: &[u8]) {
    let mut client = Client::new();
    for part in input.split(|&byte| byte == 0xfe).take(200) {
        if let Some((&first, bytes)) = part.split_first() {
            client.act(first);
            client.hear(bytes);
            client.check_heard();
        }
    }
    client.session.handle_end();
    client.has_ended = true;
    client.check_heard();
}

struct Client {
    session: Session,
    now: Instant,
    /// All that came, and what was said of it.
    came: Vec<u8>,
    heard: Vec<Outcome>,
    has_ended: bool,
    /// The name by the messages so far: that to which the server answers.
    name: String,
    /// What is to be written: sender, recipient, text; and what of the front one was.
    queued: VecDeque<[String; 3]>,
    written: Vec<u8>,
    /// When the last object, or the name, was written.
    last_write: Option<Instant>,
}

impl Client {
    fn new() -> Self {
        let name = UserName::new("alice").expect("a name");
        Client {
            session: Session::new(name, "192.0.2.7"),
            now: Instant::now(),
            came: Vec::new(),
            heard: Vec::new(),
            has_ended: false,
            name: "alice".to_owned(),
            queued: VecDeque::new(),
            written: Vec::new(),
            last_write: None,
        }
    }

    fn act(&mut self, what: u8) {
        let more = what >> 2;
        match what & 3 {
            0 => {
                self.now += Duration::from_millis(u64::from(more));
                self.session.handle_timeout(self.now);
            }
            1 => {
                let text = "a\u{e9}\"".repeat(usize::from(more) * usize::from(more));
                let is_stream = self.session.server_kind() == Some(PeerKind::Stream);
                let message = Message::new(&*self.name, "192.0.2.7", "bob", &*text);
                let fits = is_stream || message.to_python_json().len() < ONE_READ;
                assert_eq!(self.session.send("bob", &text).is_ok(), fits);
                if fits {
                    self.queued.push_back([self.name.clone(), "bob".to_owned(), text]);
                }
            }
            2 => self.write(usize::from(more) + 1),
            _ => self.write(usize::MAX),
        }
    }

    /// The socket takes so many bytes.
    fn write(&mut self, most: usize) {
        let is_stream = self.session.server_kind() == Some(PeerKind::Stream);
        let bytes = self.session.poll_transmit(self.now);
        if bytes.is_empty() {
            return;
        }
        if self.written.is_empty()
            && let Some(last) = self.last_write
        {
            assert!(self.session.is_registered(), "only the name goes before the welcome");
            assert!(is_stream || last + PACE <= self.now, "too soon");
        }
        let count = bytes.len().min(most);
        let is_whole = count == bytes.len();
        self.written.extend_from_slice(&bytes[..count]);
        self.session.handle_transmitted(count, self.now);
        if is_whole {
            self.check_written();
        }
    }

    fn check_written(&mut self) {
        let object = std::mem::take(&mut self.written);
        if self.last_write.replace(self.now).is_none() {
            assert_eq!(object, b"alice\n");
            return;
        }
        let [name, to, msg] =
            self.queued.pop_front().expect("nothing is written that was not sent");
        assert_eq!(object.last(), Some(&b'\n'));
        let message = Message::decode(&object).expect("what is written is a message");
        assert_eq!(message, Message::new(name, "192.0.2.7", to, msg));
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.came.extend_from_slice(bytes);
        self.session.handle_input(bytes, self.now);
    }

    fn check_heard(&mut self) {
        let mut was_registered = self.heard.iter().flatten().any(|message| !is_refusal(message));
        while let Some(event) = self.session.poll_event() {
            let outcome = match event {
                SessionEvent::Bad(error) => Err(error.into()),
                SessionEvent::Registered(message) => {
                    assert!(!was_registered && !is_refusal(&message));
                    was_registered = true;
                    Ok(message)
                }
                SessionEvent::Refused(message) => {
                    assert!(!was_registered && is_refusal(&message));
                    Ok(message)
                }
                SessionEvent::Message(message) => {
                    assert!(was_registered);
                    Ok(message)
                }
                other => panic!("{other:?} is not known here"),
            };
            if let Ok(message) = &outcome
                && was_registered
                && names_the_client(message)
            {
                self.name = UserName::new(&message.to).expect("just checked").to_string();
            }
            assert_eq!(self.session.name().as_str(), self.name);
            self.heard.push(outcome);
        }
        assert_eq!(self.session.is_registered(), was_registered);
        if !self.has_ended && self.came.len() > 500 {
            return; // the oracle begins at the beginning each time
        }
        let mut expected = oracle::outcomes(&self.came, Settings::from_byte(0));
        let is_cut = |outcome: &Outcome| {
            outcome.as_ref().is_err_and(|refusal| refusal.kind == "unexpected-end")
        };
        if !self.has_ended && expected.last().is_some_and(is_cut) {
            expected.pop();
        }
        assert_eq!(self.heard, expected);
    }
}

/// Whether the server answers to a name, and not to a room, to all users or to a guest without one.
fn names_the_client(message: &Message) -> bool {
    message.from.name == "SERVER"
        && !message.to.starts_with('#')
        && UserName::new(&message.to).is_ok()
}

fn is_refusal(message: &Message) -> bool {
    message.msg.starts_with('⛔')
}
