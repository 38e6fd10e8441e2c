//! Who is there, and what is written to them.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::name::normalise;
use chatproto::{Message, UserName};

use super::answers::{self, Parts};
use super::fault::Fault;

/// The time between two objects to a one-read peer. More than the contract asks for, as a busy
/// machine keeps the reader from reading.
const GAP: Duration = Duration::from_millis(40);
/// As many bytes may wait for one user.
const QUEUE: usize = 1 << 20;

/// Everybody who is there.
pub(crate) struct Users {
    pub(crate) fault: Fault,
    users: Mutex<BTreeMap<String, Arc<Mailbox>>>,
}

impl Users {
    pub(crate) fn new(fault: Fault) -> Self {
        Users { fault, users: Mutex::default() }
    }

    /// Takes the name, if it is free.
    pub(crate) fn enter(&self, name: &UserName, mailbox: &Arc<Mailbox>) -> bool {
        let name = name.as_str().to_owned();
        let is_taken = self.users.lock().unwrap().contains_key(&name);
        if self.fault == Fault::NameRaced {
            thread::sleep(Duration::from_millis(50));
        } else if self.fault == Fault::NameTaken {
            self.users.lock().unwrap().insert(name, Arc::clone(mailbox));
            return true;
        }
        let mut users = self.users.lock().unwrap();
        if is_taken || (self.fault != Fault::NameRaced && users.contains_key(&name)) {
            return false;
        }
        users.insert(name, Arc::clone(mailbox));
        true
    }

    pub(crate) fn leave(&self, name: &str) {
        if self.fault != Fault::NameKept {
            self.users.lock().unwrap().remove(name);
        }
    }

    fn others(&self, name: &str) -> Vec<(String, Arc<Mailbox>)> {
        let users = self.users.lock().unwrap();
        let others = users.iter().filter(|(other, _)| *other != name);
        others.map(|(name, mailbox)| (name.clone(), Arc::clone(mailbox))).collect()
    }

    fn names(&self, but: &str) -> Vec<String> {
        self.others(but).into_iter().map(|(name, _)| name).collect()
    }

    pub(crate) fn welcome(&self, name: &str) -> String {
        answers::welcome(self.fault, name, &self.names(name))
    }

    /// Does what the message asks for; what the sender is told.
    pub(crate) fn route(&self, from: &str, message: &Message, raw: &str) -> Vec<String> {
        let others = self.names(from);
        let to = normalise(message.to.trim()).into_owned();
        let told = match &*to {
            "/help" if self.fault == Fault::HelpTextRefused && message.msg == "x" => {
                "❌ /help takes no argument.".to_owned()
            }
            "/list" => {
                let mailbox = self.users.lock().unwrap().get(from).cloned();
                let limit = mailbox.map_or(1024, |mailbox| mailbox.limit());
                return answers::list(self.fault, from, &others, limit);
            }
            "/time" => answers::time(self.fault),
            "/help" => answers::help(self.fault),
            "/standard" => answers::STANDARD.to_owned(),
            "/ping" => message.msg.clone(),
            "/shout" => self.shout(from, message),
            endpoint if endpoint.starts_with('/') => match self.fault {
                Fault::UnknownEndpointSilent => return Vec::new(),
                Fault::UnknownEndpointHelpless => "❌ Unknown command.".to_owned(),
                _ => "❌ Unknown command. Send /help to see the commands.".to_owned(),
            },
            name => return self.deliver(from, name, message, raw).into_iter().collect(),
        };
        vec![told]
    }

    fn shout(&self, from: &str, message: &Message) -> String {
        let others = self.others(from);
        for (name, mailbox) in &others {
            let to = if self.fault == Fault::ShoutToName { name } else { "Everyone" };
            mailbox.push(&self.stamp(from, to, message));
        }
        if self.fault == Fault::ShoutEcho {
            let own = self.users.lock().unwrap().get(from).cloned();
            if let Some(own) = own {
                own.push(&self.stamp(from, "Everyone", message));
            }
        }
        let miscounted = usize::from(self.fault == Fault::ShoutMiscounted);
        format!("Delivered to {} users.", others.len() + miscounted)
    }

    /// The message as it is forwarded.
    fn stamp(&self, from: &str, to: &str, message: &Message) -> Parts {
        let name = match self.fault {
            Fault::NameSpoofed => &*message.from.name,
            _ => from,
        };
        let ip = match self.fault {
            Fault::AddressSpoofed => &*message.from.ip,
            _ => "127.0.0.1",
        };
        let msg = match self.fault {
            Fault::AstralLost => {
                message.msg.chars().map(|c| if c > '\u{ffff}' { '\u{fffd}' } else { c }).collect()
            }
            _ => message.msg.clone(),
        };
        Parts::of(Message::new(name, ip, to, msg))
    }

    /// Delivers a private message; what the sender is told, if anything.
    fn deliver(&self, from: &str, to: &str, message: &Message, raw: &str) -> Option<String> {
        if to == "Everyone" && self.fault == Fault::EveryoneBroadcast {
            self.shout(from, message);
        }
        let users = self.users.lock().unwrap().clone();
        let found = match self.fault {
            Fault::CaseIgnored => {
                let is_it = |name: &&String| name.to_lowercase() == to.to_lowercase();
                users.keys().find(is_it).and_then(|name| users.get(name))
            }
            _ => users.get(to),
        };
        let Some(mailbox) = found else {
            let silent = self.fault == Fault::UnknownUserSilent;
            return (!silent).then(|| format!("❌ User \"{to}\" not found."));
        };
        let mut object = self.stamp(from, to, message);
        if self.fault == Fault::KeysForwarded && raw.contains("\"v\"") {
            object.extra = true;
        }
        if let Some(own) =
            users.get(from).filter(|_| self.fault == Fault::PrivateEcho && from != to)
        {
            own.push(&object);
        }
        // (megabytes for a slow reader would keep all the others from reading anything else)
        if self.fault == Fault::PrivateLeak && raw.len() < 1024 {
            users.iter().filter(|(name, _)| *name != from && *name != to).for_each(|(_, other)| {
                other.push(&object);
            });
        }
        match mailbox.push(&object) {
            true => None,
            false => Some("❌ Not delivered: it does not fit 1024 bytes.".to_owned()),
        }
    }
}

/// What waits to be written to one user, and the thread that writes it.
pub(crate) struct Mailbox {
    fault: Fault,
    state: Mutex<State>,
    changed: Condvar,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    kind: PeerKind,
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many were dropped in front of the first one.
    dropped: usize,
    is_finished: bool,
}

impl Mailbox {
    pub(crate) fn start(stream: TcpStream, fault: Fault) -> Arc<Self> {
        let state = State {
            kind: PeerKind::OneRead,
            waiting: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            is_finished: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let mailbox = Arc::new(Mailbox { fault, state, changed, writer: Mutex::default() });
        let writer = Arc::clone(&mailbox);
        *mailbox.writer.lock().unwrap() = Some(thread::spawn(move || writer.write_all(stream)));
        mailbox
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set_kind(&self, kind: PeerKind) {
        self.state().kind = kind;
    }

    /// The largest object that the user can take.
    fn limit(&self) -> usize {
        if self.state().kind == PeerKind::Stream { 16 * 1024 } else { 1024 }
    }

    /// Has an object written in the form of the user's kind; whether it fits.
    pub(crate) fn push(&self, object: &Parts) -> bool {
        let is_stream = self.state().kind == PeerKind::Stream;
        let bytes = object.to_bytes(is_stream || self.fault == Fault::OneReadUtf8);
        let is_long = !is_stream && bytes.len() > 1024;
        if is_long && !matches!(self.fault, Fault::OneReadLong | Fault::ListUnsplit) {
            return false;
        }
        self.push_bytes(bytes);
        true
    }

    pub(crate) fn push_bytes(&self, bytes: Vec<u8>) {
        let mut state = self.state();
        if self.fault == Fault::SlowReaderBlocks {
            state = self.changed.wait_while(state, |state| state.bytes > QUEUE).unwrap();
        }
        state.bytes += bytes.len();
        state.waiting.push_back(bytes);
        let drops = self.fault != Fault::SlowReaderBlocks;
        while drops && state.bytes > QUEUE && state.waiting.len() > 1 {
            let oldest = state.waiting.pop_front().unwrap();
            state.bytes -= oldest.len();
            state.dropped += 1;
        }
        self.changed.notify_all();
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&self) {
        self.state().is_finished = true;
        self.changed.notify_all();
        let writer = self.writer.lock().unwrap().take();
        writer.map(JoinHandle::join);
    }

    fn write_all(&self, mut stream: TcpStream) {
        while let Some(bytes) = self.next() {
            if stream.write_all(&bytes).is_err() {
                return;
            }
            let is_one_read = self.state().kind == PeerKind::OneRead;
            if is_one_read && !matches!(self.fault, Fault::OneReadJoined) {
                thread::sleep(GAP);
            }
        }
    }

    /// What is written next, in one write.
    fn next(&self) -> Option<Vec<u8>> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_finished;
        let mut state = self.changed.wait_while(self.state(), is_idle).unwrap();
        let is_one_read = state.kind == PeerKind::OneRead;
        if self.fault == Fault::OneReadJoined && is_one_read && !state.is_finished {
            // what comes within a moment is written together
            drop(state);
            thread::sleep(GAP);
            state = self.state();
            let all: Vec<u8> = state.waiting.drain(..).flatten().collect();
            state.bytes = 0;
            return Some(all);
        }
        let mut bytes = Vec::new();
        let dropped = std::mem::take(&mut state.dropped);
        if dropped > 0 && self.fault != Fault::SlowReaderSilent {
            let text = format!("❌ {dropped} messages were dropped.");
            bytes = Parts::of(Message::new("SERVER", "0.0.0.0", "you", text)).to_bytes(true);
        }
        let next = state.waiting.pop_front()?;
        state.bytes -= next.len();
        self.changed.notify_all();
        bytes.extend(next);
        Some(bytes)
    }
}
