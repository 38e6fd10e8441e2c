//! What is a message and what is none (B3): a table of objects. `$me` and `$to` stand for the
//! sender and the receiver, `$ff` for the byte 0xff, `$bel` for 0x07, `$33` and `$32` for so many levels.

use super::super::quote;
use super::super::raw::Raw;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, robust};
use super::trial::{Trial, User};

/// What must not be delivered: the part of the rule, what it is about, the object.
const REFUSED: [(&str, &str, &str); 26] = [
    ("no-to", "no key `to`", r#"{"from":{"name":"$me","ip":""},"msg":"leak"}"#),
    ("no-msg", "no key `msg`", r#"{"from":{"name":"$me","ip":""},"to":"$to"}"#),
    ("no-from", "no key `from`", r#"{"to":"$to","msg":"leak"}"#),
    ("no-name", "no key `name` in `from`", r#"{"from":{"ip":""},"to":"$to","msg":"leak"}"#),
    ("no-ip", "no key `ip` in `from`", r#"{"from":{"name":"$me"},"to":"$to","msg":"leak"}"#),
    ("from-text", "`from` as a string", r#"{"from":"$me","to":"$to","msg":"leak"}"#),
    ("msg-number", "`msg` as a number", r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":5}"#),
    ("msg-null", "`msg` as null", r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":null}"#),
    (
        "name-list",
        "`from.name` as a list",
        r#"{"from":{"name":["$me"],"ip":""},"to":"$to","msg":"leak"}"#,
    ),
    (
        "twice",
        "the key `msg` twice",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"a","msg":"leak"}"#,
    ),
    (
        "twice-escaped",
        "the key `to` twice, once as \\u0074o",
        r#"{"from":{"name":"$me","ip":""},"\u0074o":"x","to":"$to","msg":"leak"}"#,
    ),
    (
        "surrogate",
        "half of a surrogate pair in `msg`",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"\ud800"}"#,
    ),
    (
        "surrogates",
        "a surrogate pair the wrong way round",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"\ude00\ud83d"}"#,
    ),
    (
        "nul-name",
        "\\u0000 in `from.name`",
        r#"{"from":{"name":"$me\u0000","ip":""},"to":"$to","msg":"leak"}"#,
    ),
    (
        "utf8",
        "a byte that is not UTF-8",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"$ff"}"#,
    ),
    (
        "control",
        "a control character that is not escaped",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"$bel"}"#,
    ),
    (
        "deep",
        "an ignored key with 33 levels",
        r#"{"from":{"name":"$me","ip":""},"x":$33,"to":"$to","msg":"leak"}"#,
    ),
    (
        "comma",
        "a comma before the closing brace",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"leak",}"#,
    ),
    (
        "single",
        "single quotation marks",
        r#"{'from':{'name':'$me','ip':''},'to':'$to','msg':'leak'}"#,
    ),
    ("comment", "a comment", r#"{"from":{"name":"$me","ip":""},/**/"to":"$to","msg":"leak"}"#),
    ("escape", "the escape \\x", r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"\x41"}"#),
    ("hex", "the escape \\u12G4", r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"\u12G4"}"#),
    (
        "nan",
        "NaN in an ignored key",
        r#"{"from":{"name":"$me","ip":""},"x":NaN,"to":"$to","msg":"leak"}"#,
    ),
    (
        "zero",
        "the number 01 in an ignored key",
        r#"{"from":{"name":"$me","ip":""},"x":01,"to":"$to","msg":"leak"}"#,
    ),
    (
        "array",
        "a list around the object",
        r#"[{"from":{"name":"$me","ip":""},"to":"$to","msg":"leak"}]"#,
    ),
    (
        "bom",
        "a byte order mark before the object",
        "\u{feff}{\"from\":{\"name\":\"$me\",\"ip\":\"\"},\"to\":\"$to\",\"msg\":\"leak\"}",
    ),
];

/// What must be delivered: the part of the rule, what it is about, the object, the text.
const TAKEN: [(&str, &str, &str, &str); 8] = [
    (
        "blanks",
        "white space wherever JSON allows it",
        "{ \"from\"\t:\n{\r\n\"name\": \"$me\" , \"ip\" :\"\" } ,\"to\":\"$to\" , \"msg\" :\"blanks\" }",
        "blanks",
    ),
    (
        "unknown-key",
        "unknown keys with all kinds of values",
        r#"{"v":2,"from":{"name":"$me","ip":"","x":[1,-0.5e+3,{"to":"y"}]},"y":null,"y":true,"to":"$to","msg":"unknown"}"#,
        "unknown",
    ),
    (
        "escaped-key",
        "the key `to` as \\u0074o",
        r#"{"from":{"name":"$me","ip":""},"\u0074o":"$to","msg":"escaped"}"#,
        "escaped",
    ),
    (
        "levels",
        "an ignored key with 32 levels",
        r#"{"from":{"name":"$me","ip":""},"x":$32,"to":"$to","msg":"levels"}"#,
        "levels",
    ),
    ("empty", "an empty `msg`", r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":""}"#, ""),
    (
        "solidus",
        "the escape \\/",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"a\/b"}"#,
        "a/b",
    ),
    (
        "nul",
        "\\u0000 in `msg`",
        r#"{"from":{"name":"$me","ip":""},"to":"$to","msg":"a\u0000b"}"#,
        "a\0b",
    ),
    (
        "del",
        "DEL and U+2028 unescaped in `msg`",
        "{\"from\":{\"name\":\"$me\",\"ip\":\"\"},\"to\":\"$to\",\"msg\":\"a\u{7f}b\u{2028}c\"}",
        "a\u{7f}b\u{2028}c",
    ),
];

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend(REFUSED.iter().map(|&(part, about, object)| {
        let rule = if part == "bom" { "B1" } else { "B3" };
        robust(rule, part, about, "it is not delivered", move |trial| refuse(trial, object))
    }));
    cases.extend(TAKEN.iter().map(|&(part, about, object, text)| {
        robust("B3", part, about, "the text that is meant, and no other key", move |trial| {
            take(trial, object, text)
        })
    }));
}

/// The object's bytes.
pub(super) fn fill(template: &str, me: &str, to: &str) -> Vec<u8> {
    // the object itself is level 1
    let levels = |count: usize| format!("{}{}", "[".repeat(count - 1), "]".repeat(count - 1));
    let text = template
        .replace("$me", me)
        .replace("$to", to)
        .replace("$33", &levels(33))
        .replace("$32", &levels(32))
        .replace("$bel", "\u{7}");
    let mut bytes = Vec::new();
    for (number, part) in text.split("$ff").enumerate() {
        if number > 0 {
            bytes.push(0xff);
        }
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.push(b'\n');
    bytes
}

/// Sends the object, and then a good one: whether the bad one was delivered is known when the good
/// one is, or the connection has ended.
fn refuse(trial: &Trial, template: &str) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let (at_alice, at_bob) = (alice.raw.count(), bob.raw.count());
    alice.raw.send(&fill(template, &alice.name, &bob.name));
    // so that a server which takes one read for one object gets two reads
    alice.raw.hear(trial.quiet, |_| true);
    alice.say(&bob.name, "fence");
    wait_for_verdict(trial, &mut alice, &mut bob);
    let leaked = bob.concerning_since(at_bob).into_iter().find(|item| item.msg() != "fence");
    if let Some(item) = leaked {
        return failed(format!("bob got {}", show::item(item)));
    }
    let is_decided = alice.raw.end().is_some() || has_fence(&bob.raw, at_bob);
    let came = show::came(&alice.raw, at_alice);
    match is_decided {
        true => Ok(came),
        false => Err(Stop::Noted(format!("neither an answer nor the next message: {came}"))),
    }
}

fn has_fence(raw: &Raw, since: usize) -> bool {
    raw.since(since).iter().any(|item| item.msg() == "fence")
}

fn wait_for_verdict(trial: &Trial, alice: &mut User, bob: &mut User) {
    let since = bob.raw.count();
    let has_ended = |raw: &Raw| raw.end().is_some();
    let has_passed = |raw: &Raw| has_fence(raw, since) || has_ended(raw);
    trial.either((&mut alice.raw, has_ended), (&mut bob.raw, has_passed));
    // after the end of one the other may have something yet
    bob.raw.listen(trial.quiet / 8);
}

fn take(trial: &Trial, template: &str, text: &str) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let (at_alice, at_bob) = (alice.raw.count(), bob.raw.count());
    alice.raw.send(&fill(template, &alice.name, &bob.name));
    alice.say(&bob.name, "fence");
    wait_for_verdict(trial, &mut alice, &mut bob);
    let is_it = |item: &&_| -> bool {
        let item: &super::super::raw::Item = item;
        item.msg() == text && item.from() == alice.name
    };
    match bob.raw.since(at_bob).iter().find(is_it) {
        Some(item) if item.has_extra_keys() => {
            failed(format!("forwarded: {}", quote::bytes(item.text.as_bytes(), 200)))
        }
        Some(item) => Ok(show::item(item)),
        None => failed(format!("bob got nothing; alice: {}", show::came(&alice.raw, at_alice))),
    }
}
