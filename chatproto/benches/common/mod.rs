//! What the benchmarks have in common: the messages, and the other libraries' view of one.
//!
//! Cases: `64`, `1024` and `16384` bytes of ASCII text, `utf8-64` (Italian, Chinese and emoji, 64
//! bytes as UTF-8, or a few less) and `escaped-64` (the same text as Python escapes it).

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::borrow::Cow;

use chatproto::Message;
use serde::{Deserialize, Serialize};

pub struct Case {
    pub name: &'static str,
    pub message: Message,
    /// The frame as a client would send it.
    pub frame: Vec<u8>,
}

pub fn cases() -> Vec<Case> {
    let mixed = "perché no? 我们明天在茶馆见面吧 😀 così sarà 漢字";
    let make = |name, msg: &str, python: bool| {
        let message = Message::new("alice", "192.0.2.17", "bob", msg);
        let json = if python { message.to_python_json() } else { message.to_json() };
        Case { name, message, frame: json.into_bytes() }
    };
    let ascii = |length: usize| -> String {
        (0..length).map(|i| char::from(b"the quick brown fox, "[i % 21])).collect()
    };
    vec![
        make("64", &ascii(64), true),
        make("1024", &ascii(1024), true),
        make("16384", &ascii(16384), true),
        make("utf8-64", mixed, false),
        make("escaped-64", mixed, true),
    ]
}

/// The message as other libraries decode it without copying what need not be unescaped.
#[derive(Debug, Deserialize, Serialize)]
pub struct Borrowed<'a> {
    #[serde(borrow)]
    pub from: BorrowedSender<'a>,
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    #[serde(borrow)]
    pub msg: Cow<'a, str>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct BorrowedSender<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub ip: Cow<'a, str>,
}

impl Borrowed<'_> {
    pub fn to_message(&self) -> Message {
        Message::new(&*self.from.name, &*self.from.ip, &*self.to, &*self.msg)
    }
}
