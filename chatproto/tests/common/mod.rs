//! A house for tests, without sockets: a hub, what people say to it, and what it says to whom.

#![allow(dead_code, reason = "each of the test files uses a part of it")]

pub(crate) mod accounts;
pub(crate) mod rights;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use chatproto::handshake::PeerKind;
use chatproto::hub::{
    Completion, ConnId, Effect, Event, Hub, HubBuilder, Now, Outgoing, Output, Token,
};
use chatproto::{Decoder, Message};

pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Not loopback, so that its connections are counted.
pub(crate) const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) out: Output,
    pub(crate) now: Now,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Object(Vec<u8>),
    Close,
}

/// What came out of some calls, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mail(pub(crate) Vec<(ConnId, Sent)>);

impl House {
    pub(crate) fn new() -> Self {
        House::of(Hub::builder())
    }

    /// One with a directory, which each test is itself.
    pub(crate) fn with_directory() -> Self {
        House::of(Hub::builder().directory())
    }

    pub(crate) fn of(builder: HubBuilder) -> Self {
        let local = chatproto::hub::LocalTime::new((2026, 11, 20), (14, 3, 7)).expect("a date");
        let now = Now { monotonic: Instant::now(), local };
        House { hub: builder.build(), out: Output::new(), now }
    }

    pub(crate) fn connect(&mut self, address: IpAddr) -> ConnId {
        self.hub.handle_connect(0, address, self.now, &mut self.out)
    }

    pub(crate) fn name(&mut self, conn: ConnId, name: &str, kind: PeerKind) {
        self.hub.handle_name(conn, name.as_bytes(), kind, self.now, &mut self.out);
    }

    /// A connection whose claim of the name is not decided yet.
    pub(crate) fn claim(&mut self, name: &str) -> (ConnId, Token) {
        let conn = self.connect(HOME);
        self.name(conn, name, PeerKind::Stream);
        assert!(self.hub.is_waiting(conn), "{name} is not claimed");
        match self.out.next_effect() {
            Some(Effect::Claim { token, claim }) if claim.name.as_str() == name => (conn, token),
            other => panic!("no claim of {name}: {other:?}"),
        }
    }

    pub(crate) fn complete(&mut self, token: Token, completion: Completion) -> Option<ConnId> {
        self.hub.handle_completion(token, completion, self.now, &mut self.out)
    }

    /// Registers a user; what is said meanwhile stays in the output.
    pub(crate) fn join(&mut self, name: &str, kind: PeerKind, address: IpAddr) -> ConnId {
        let conn = self.connect(address);
        self.name(conn, name, kind);
        while let Some(effect) = self.out.next_effect() {
            match effect {
                Effect::Claim { token, .. } => {
                    assert_eq!(self.complete(token, Completion::Claimed(0)), Some(conn));
                }
                Effect::Release { token, .. } => drop(self.complete(token, Completion::Released)),
                Effect::Resume { token } => drop(self.complete(token, Completion::Resumed)),
                _ => {}
            }
        }
        conn
    }

    /// Registers a stream peer, and forgets what was said.
    pub(crate) fn stream(&mut self, name: &str) -> ConnId {
        let conn = self.join(name, PeerKind::Stream, HOME);
        assert!(self.hub.users().any(|user| user == name), "{name} is a user");
        self.forget();
        conn
    }

    /// Registers a one-read peer, and forgets what was said.
    pub(crate) fn one_read(&mut self, name: &str) -> ConnId {
        let conn = self.join(name, PeerKind::OneRead, HOME);
        self.forget();
        conn
    }

    pub(crate) fn forget(&mut self) {
        self.mail();
        self.events();
    }

    /// Hands in a message as `from` would write it; false if the hub did not take it.
    pub(crate) fn send(&mut self, from: ConnId, to: &str, msg: &str) -> bool {
        let sender = serde_json::json!({"name": "", "ip": ""});
        let object = serde_json::json!({"from": sender, "to": to, "msg": msg});
        self.send_raw(from, object.to_string().as_bytes())
    }

    /// Hands in the first frame of the bytes, or what is wrong with it.
    pub(crate) fn send_raw(&mut self, from: ConnId, mut bytes: &[u8]) -> bool {
        match Decoder::new(1 << 20).decode(&mut bytes) {
            Ok(frame) => {
                let frame = frame.expect("a whole frame");
                self.hub.handle_message(from, &frame.message(), self.now, &mut self.out)
            }
            Err(error) => self.hub.handle_decode_error(from, &error, self.now, &mut self.out),
        }
    }

    /// The one object that answers a message, when nothing else comes of it.
    pub(crate) fn ask(&mut self, from: ConnId, to: &str, msg: &str) -> String {
        assert!(self.send(from, to, msg));
        self.mail().only_answer(from)
    }

    /// What came out since the last time, with the rest of long answers, to readers that take it all.
    pub(crate) fn mail(&mut self) -> Mail {
        let begun = self.out.actions().filter(|(_, outgoing)| *outgoing == Outgoing::Begin);
        for conn in begun.map(|(conn, _)| conn).collect::<Vec<_>>() {
            self.take_all(conn);
        }
        let sent = self.out.actions().filter_map(|(conn, outgoing)| match outgoing {
            Outgoing::Object(bytes) | Outgoing::Part(bytes) => {
                Some((conn, Sent::Object(bytes.to_vec())))
            }
            Outgoing::Begin | Outgoing::End => None,
            Outgoing::Close => Some((conn, Sent::Close)),
            other => panic!("{other:?}"),
        });
        let mail = Mail(sent.collect());
        self.out.clear();
        mail
    }

    /// The connection takes all that there is of its long answer.
    pub(crate) fn take_all(&mut self, conn: ConnId) {
        while self.hub.handle_writable(conn, self.now, &mut self.out) {}
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.out.take_events()
    }

    /// The names that are given back, which is done.
    pub(crate) fn released(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(effect) = self.out.next_effect() {
            let Effect::Release { token, lease } = effect else {
                panic!("not a release: {effect:?}")
            };
            names.push(lease.name().to_string());
            assert_eq!(self.complete(token, Completion::Released), None);
        }
        names
    }
}

impl Mail {
    /// The objects for a connection, each without its line feed, which it must have.
    pub(crate) fn raw(&self, to: ConnId) -> Vec<String> {
        let objects = self.0.iter().filter(|(conn, _)| *conn == to);
        objects
            .filter_map(|(_, sent)| match sent {
                Sent::Object(bytes) => Some(std::str::from_utf8(bytes).expect("UTF-8")),
                Sent::Close => None,
            })
            .map(|line| line.strip_suffix('\n').expect("a line feed ends an object").to_owned())
            .collect()
    }

    pub(crate) fn messages(&self, to: ConnId) -> Vec<Message> {
        self.raw(to).iter().map(|raw| Message::decode(raw.as_bytes()).expect("valid")).collect()
    }

    /// What the server itself said to a connection, which it calls `name` (A6).
    pub(crate) fn said(&self, to: ConnId, name: &str) -> Vec<String> {
        let say = |message: Message| {
            let sender = (message.from.name.as_str(), message.from.ip.as_str());
            assert_eq!((sender, message.to.as_str()), (("SERVER", "0.0.0.0"), name));
            message.msg
        };
        self.messages(to).into_iter().map(say).collect()
    }

    /// The text of the only object there is, which is the server's answer to this connection.
    pub(crate) fn only_answer(&self, to: ConnId) -> String {
        assert_eq!(self.0.len(), 1, "{self:?}");
        let [message] = self.messages(to).try_into().expect("one object, to who asked");
        assert!(message.is_from_server());
        message.msg
    }

    /// Whether nothing comes behind the connection's `Close`, and there is one.
    pub(crate) fn closes(&self, conn: ConnId) -> bool {
        let own: Vec<&Sent> =
            self.0.iter().filter(|(to, _)| *to == conn).map(|(_, sent)| sent).collect();
        own.iter().position(|sent| **sent == Sent::Close) == own.len().checked_sub(1)
            && !own.is_empty()
    }

    /// The one refusal that a connection gets before it is closed.
    pub(crate) fn refusal(&self, conn: ConnId) -> String {
        assert!(self.closes(conn), "{self:?}");
        let [text] = self.said(conn, "Guest").try_into().expect("one object");
        assert!(text.starts_with('⛔') && text.contains("Error"), "{text}");
        text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names, and the number of those that are not named, of an answer in one or more objects,
/// each of which must say which of how many it is (B11).
pub(crate) fn listed(head: &str, parts: &[String]) -> (Vec<String>, usize) {
    let total = parts.len();
    let mut names = Vec::new();
    for (k, part) in parts.iter().enumerate() {
        let part = if k == 0 { part.strip_prefix(head).expect("the head") } else { part };
        let end = format!(" ({}/{total})", k + 1);
        let part = if total == 1 { part } else { part.strip_suffix(&end).expect("k of n") };
        names.extend(part.split(", ").map(str::to_owned));
    }
    let last = names.last().expect("somebody is named").clone();
    match last.strip_prefix("and ").and_then(|rest| rest.strip_suffix(" more")) {
        None => (names, 0),
        Some(more) => {
            names.pop();
            (names, more.parse().expect("a number"))
        }
    }
}
