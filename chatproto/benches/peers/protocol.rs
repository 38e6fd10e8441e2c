//! What each server wants to be told: how a connection begins, and how it says something.

use crate::payload::Message;
use crate::servers::Kind;

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It speaks and listens.
    Both,
    /// It only speaks.
    Speaker,
    /// It only listens, or is idle.
    Listener,
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    User(usize),
    Everybody,
}

impl Kind {
    /// In redis a connection that has subscribed may not publish: of a pair one speaks and one
    /// listens.
    pub(crate) fn speaks_both_ways(self) -> bool {
        self != Kind::Redis
    }

    /// What a connection says first, as the user of that number. A listener listens to its own
    /// name, or to what is said to everybody.
    pub(crate) fn hello(self, user: usize, role: Role, everybody: bool) -> Vec<u8> {
        let topic = topic(if everybody { To::Everybody } else { To::User(user) });
        let listens = role != Role::Speaker;
        match self {
            // the line feed is part of the name's frame too
            Kind::Chatproto => format!("u{user}\n").into_bytes(),
            Kind::Nats => {
                let connect = r#"CONNECT {"verbose":false,"pedantic":false,"echo":false}"#;
                let subscribe = if listens { format!("SUB {topic} 1\r\n") } else { String::new() };
                format!("{connect}\r\n{subscribe}PING\r\n").into_bytes()
            }
            Kind::Redis if listens => format!("SUBSCRIBE {topic}\r\n").into_bytes(),
            Kind::Redis => b"PING\r\n".to_vec(),
            Kind::Mosquitto => {
                // a clean session without keep-alive
                let mut out =
                    packet(0x10, &[b"\0\x04MQTT\x04\x02\0\0", &prefixed(&format!("u{user}"))]);
                if listens {
                    out.extend(packet(0x82, &[&[0, 1], &prefixed(&topic), &[0]]));
                }
                out
            }
        }
    }

    /// Whether that is all that the server says to a [`hello`](Kind::hello).
    pub(crate) fn is_welcome(self, role: Role, answer: &[u8]) -> bool {
        match self {
            Kind::Chatproto => answer.ends_with(b"\n"),
            Kind::Nats => answer.ends_with(b"PONG\r\n"),
            Kind::Redis if role == Role::Speaker => answer == b"+PONG\r\n",
            Kind::Redis => answer.ends_with(b":1\r\n"),
            // CONNACK has 4 bytes and SUBACK 5
            Kind::Mosquitto => answer.len() == if role == Role::Speaker { 4 } else { 9 },
        }
    }

    /// A text of so many bytes, said by a user.
    pub(crate) fn message(self, from: usize, to: To, length: usize) -> Message {
        let topic = topic(to);
        match self {
            Kind::Chatproto => {
                let to = match to {
                    To::User(_) => &topic,
                    To::Everybody => "/shout",
                };
                chat_message(from, to, length)
            }
            Kind::Nats => {
                Message::new(format!("PUB {topic} {length}\r\n").as_bytes(), length, b"\r\n")
            }
            Kind::Redis => {
                let bytes = topic.len();
                let before = format!("*3\r\n$7\r\nPUBLISH\r\n${bytes}\r\n{topic}\r\n${length}\r\n");
                Message::new(before.as_bytes(), length, b"\r\n")
            }
            Kind::Mosquitto => {
                let topic = prefixed(&topic);
                let mut before = vec![0x30];
                push_length(&mut before, topic.len() + length);
                before.extend(topic);
                Message::new(&before, length, b"")
            }
        }
    }
}

/// A message of this project's protocol, as Python's `json.dumps` prints it, and LF.
pub(crate) fn chat_message(from: usize, to: &str, length: usize) -> Message {
    let from = format!(r#"{{"name": "u{from}", "ip": "127.0.0.1"}}"#);
    let before = format!(r#"{{"from": {from}, "to": "{to}", "msg": ""#);
    Message::new(before.as_bytes(), length, b"\"}\n")
}

fn topic(to: To) -> String {
    match to {
        To::User(user) => format!("u{user}"),
        To::Everybody => "all".to_owned(),
    }
}

/// An MQTT packet.
fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![kind];
    push_length(&mut out, body.len());
    out.extend(body);
    out
}

/// MQTT's length of the rest of a packet: seven bits a byte.
fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 127 {
        out.push((length % 128) as u8 | 128);
        length /= 128;
    }
    out.push(length as u8);
}

/// MQTT's string: its length, and itself.
fn prefixed(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
