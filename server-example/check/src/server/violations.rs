//! Violations of the rules of WebSocket, as a table: the frames, and the close code that B20 has for them. The
//! server answers each with a message, and then with the close frame.

use super::super::raw::Raw;
use super::super::rules::{Tried, failed};
use super::super::websocket::frame;
use super::case::{Case, robust};
use super::trial::{Trial, User};
use super::websocket::{BEGIN, CLOSE, END, MIDDLE, PING, TEXT, ended_with, text};

/// The part of the rule, what is sent, the close code, and the frames of alice for bob.
type Violation = (&'static str, &'static str, u16, fn(&User, &User) -> Vec<u8>);

const VIOLATIONS: [Violation; 20] = [
    ("two-objects", "a message with two objects", 1007, |alice, bob| {
        text(&alice.object(&bob.name, "violation").repeat(2))
    }),
    ("half-object", "a message that ends inside an object", 1007, |alice, bob| {
        let object = alice.object(&bob.name, "violation");
        let (first, second) = object.split_at(object.len() / 2);
        [text(first), text(second)].concat()
    }),
    ("word", "a message that is not JSON", 1007, |_, _| text(b"hello")),
    ("not-utf8", "a message that is not UTF-8", 1007, |_, _| text(b"{\"from\":\"\xff\"}")),
    ("half-character", "a message that ends inside a character", 1007, |_, _| {
        [frame(BEGIN, b"{\"from\":\"\xc3"), frame(END, b"")].concat()
    }),
    ("binary", "an object in a binary frame", 1003, |alice, bob| {
        frame(0x82, &alice.object(&bob.name, "violation"))
    }),
    ("unmasked", "a frame without a mask", 1002, |_, _| vec![TEXT, 2, b'{', b'}']),
    ("reserved-bit", "a frame with a reserved bit", 1002, |alice, bob| {
        frame(TEXT | 0x40, &alice.object(&bob.name, "violation"))
    }),
    ("opcode", "a frame with the operation code 3", 1002, |_, _| frame(0x83, b"x")),
    ("control-opcode", "a control frame with the operation code 11", 1002, |_, _| {
        frame(0x8B, b"x")
    }),
    ("long-control", "a ping of 126 bytes", 1002, |_, _| frame(PING, &[b'x'; 126])),
    ("cut-control", "a ping that is a fragment", 1002, |_, _| frame(0x09, b"x")),
    ("continuation", "a continuation without a message", 1002, |_, _| frame(END, b"{}")),
    ("middle", "a fragment in the middle of no message", 1002, |_, _| frame(MIDDLE, b"{}")),
    ("interleaved", "a message inside a fragmented one", 1002, |_, _| {
        [frame(BEGIN, b"{"), text(b"}")].concat()
    }),
    ("length", "a frame of 2^63 bytes", 1002, |_, _| {
        [&[TEXT, 0xFF][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat()
    }),
    ("close-code", "a close frame with code 1005", 1002, |_, _| {
        frame(CLOSE, &1005_u16.to_be_bytes())
    }),
    ("half-code", "a close frame with half a code", 1002, |_, _| frame(CLOSE, &[3])),
    ("long-close", "a close frame of 126 bytes", 1002, |_, _| {
        frame(CLOSE, &[&1000_u16.to_be_bytes(), &[b'x'; 124][..]].concat())
    }),
    ("close-reason", "a close frame whose reason is not UTF-8", 1007, |_, _| {
        frame(CLOSE, b"\x03\xe8\xff")
    }),
];

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend(VIOLATIONS.map(|(part, what, code, frames)| {
        let sent = format!("{what}, and a message behind it");
        let expected = format!("an error, then a close frame with code {code}");
        robust("B20", part, &sent, &expected, move |trial| violate(trial, code, frames))
    }));
}

/// Sends a violation between two good messages. Only the first one arrives.
fn violate(trial: &Trial, code: u16, frames: fn(&User, &User) -> Vec<u8>) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    let good = |msg| text(&alice.object(&bob.name, msg));
    let all = [good("before it"), frames(&alice, &bob), good("behind it")].concat();
    alice.raw.send_frames(&all);
    trial.expect_text(&mut bob, "before it")?;
    let came = ended_with(trial, &mut alice.raw, since)?;
    bob.raw.listen(trial.quiet / 4);
    if has(&bob.raw, "behind it") || has(&alice.raw, "behind it") {
        return failed(format!("what followed was delivered; {came}"));
    }
    let is_told = alice.answers_since(since).iter().any(|item| item.from() == "SERVER");
    match is_told && alice.raw.close_code() == Some(Some(code)) {
        true => Ok(came),
        false => failed(came),
    }
}

fn has(raw: &Raw, msg: &str) -> bool {
    raw.since(0).iter().any(|item| item.msg() == msg)
}
