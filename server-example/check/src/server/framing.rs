//! Where objects begin and end, where a name ends, and what each kind of peer is sent (B1, B2, B12).

use std::time::Duration;

use super::super::quote;
use super::super::raw::Raw;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, core, robust};
use super::messages::expect_in_order;
use super::registration::judge_refusal;
use super::trial::{Trial, User};

/// The largest object that a one-read peer can take, its line feed included.
const ONE_READ: usize = 1024;
/// How often commands are sent at once before it is certain that their answers come joined.
const ATTEMPTS: usize = 20;

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        core("B1", "split", "a message in three writes, 30 ms apart", "the user gets it", split),
        core(
            "B1",
            "bytes",
            "a message with raw and escaped characters, each byte in a write of its own",
            "the user gets it",
            bytes,
        ),
        core(
            "B1",
            "blank",
            "three messages with space, tab, CR and LF between them",
            "the user gets them in order",
            blank,
        ),
        robust(
            "B1",
            "unended",
            "a message without a line feed from a user that reads streams",
            "the user gets it",
            unended,
        ),
        robust("B1", "lines", "/list and /time", "a line feed after each object", lines),
        robust(
            "B2",
            "lf",
            "a name, LF, and a message in one write",
            "the user gets it; the name is without LF",
            |trial| ended_by(trial, "\n"),
        ),
        robust(
            "B2",
            "crlf",
            "a name, CR LF, and a message in one write",
            "the user gets it; the name is without CR LF",
            |trial| ended_by(trial, "\r\n"),
        ),
        robust(
            "B2",
            "blank-first",
            "spaces, tabs and CR, then a name and LF",
            "the name is without them",
            blank_first,
        ),
        robust(
            "B2",
            "late-lf",
            "a bare name, and LF after the welcome; /standard and a long message",
            "no error; the long message arrives, as streams are read",
            late_line_feed,
        ),
        robust(
            "B2",
            "eof",
            "a bare name and the end of file",
            "a welcome, then the end",
            end_of_file,
        ),
        robust("B2", "empty", "a message without a name", "a refusal, then the end", |trial| {
            refused(trial, br#"{"from":{"name":"","ip":""},"to":"x","msg":"x"}"#)
        }),
        robust("B2", "blank-name", "LF", "a refusal, then the end", |trial| refused(trial, b"\n")),
        robust(
            "B2",
            "endless",
            "4097 bytes without the end of a name",
            "a refusal at once, then the end",
            |trial| refused(trial, &[b'a'; 4097]),
        ),
        robust(
            "B2",
            "ascii",
            "a message in Chinese to a one-read peer",
            "an object in ASCII",
            ascii,
        ),
        robust(
            "B2",
            "apart",
            "four messages in one write to a one-read peer",
            "no two objects in one read",
            apart,
        ),
        robust(
            "B2",
            "too-big",
            "a message to a one-read peer that does not fit 1024 bytes",
            "the peer does not get it, and the sender is told",
            too_big,
        ),
        robust("B2", "stream", "the same message to a stream peer", "the peer gets it", stream),
        core(
            "B12",
            "joined",
            "ten messages of a one-read peer in one write",
            "the user gets them in order",
            twelve,
        ),
    ]);
}

fn split(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let object = alice.object(&bob.name, "in three pieces");
    let third = object.len() / 3;
    let pieces = [&object[..third], &object[third..2 * third], &object[2 * third..]];
    alice.raw.send_pieces(pieces, Duration::from_millis(30));
    got(trial, &mut alice, &mut bob, "in three pieces")
}

/// Whether bob got a text; if not, what alice got instead.
fn got(trial: &Trial, alice: &mut User, bob: &mut User, text: &str) -> Tried {
    let since = alice.raw.count();
    match trial.expect_text(bob, text) {
        Ok(item) => Ok(show::item(&item)),
        Err(Stop::Failed(came)) => {
            alice.raw.listen(trial.quiet / 4);
            failed(format!("{came}; alice: {}", show::came(&alice.raw, since)))
        }
        Err(stop) => Err(stop),
    }
}

fn bytes(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let (name, to) = (&alice.name, &bob.name);
    let object = format!(
        r#"{{"from":{{"name":"{name}","ip":""}},"to":"{to}","msg":"é\u00e9 😀\ud83d\ude00 \"x\\"}}"#
    );
    alice.raw.send_pieces(object.as_bytes().chunks(1), Duration::from_millis(1));
    got(trial, &mut alice, &mut bob, "éé 😀😀 \"x\\")
}

fn blank(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let mut all = b" \t".to_vec();
    for (text, between) in [("one", "\r\n"), ("two", " \t\r\n "), ("three", "\n\n")] {
        all.extend(alice.object(&bob.name, text));
        all.extend(between.as_bytes());
    }
    alice.raw.send(&all);
    expect_in_order(trial, &mut bob, &["one", "two", "three"])
}

fn unended(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let object = alice.object(&bob.name, "no line feed");
    alice.raw.send(object.trim_ascii_end());
    got(trial, &mut alice, &mut bob, "no line feed")
}

fn lines(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    alice.ask("/list", "")?;
    let answer = alice.ask("/time", "")?;
    if !alice.raw.has_line_feed(&answer) {
        alice.raw.listen(trial.quiet);
    }
    let items = alice.raw.since(0);
    match items.iter().find(|item| !alice.raw.has_line_feed(item) || item.text.contains('\n')) {
        None => Ok(format!("{} objects, each a line", items.len())),
        Some(item) => Err(Stop::Noted(format!("not a line: {}", show::item(item)))),
    }
}

fn ended_by(trial: &Trial, end: &str) -> Tried {
    let mut bob = trial.stream_user("bob")?;
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect("alice")?;
    let message = chatproto::Message::new(&*name, "", &*bob.name, "ended").to_json();
    raw.send(format!("{name}{end}{message}\n").as_bytes());
    is_reached(trial, &name, raw, &mut bob, "ended")
}

/// Whether bob gets the text, and the name is exactly that one.
fn is_reached(trial: &Trial, name: &str, mut raw: Raw, bob: &mut User, text: &str) -> Tried {
    if trial.expect_text(bob, text).is_err() {
        raw.listen(trial.quiet / 4);
        return failed(format!("bob got nothing; alice: {}", show::came(&raw, 0)));
    }
    bob.say(name, "back");
    match raw.hear(trial.timeout, |item| item.msg() == "back") {
        Some(item) => Ok(show::item(&item)),
        None => failed(format!("the name is another: {}", show::came(&bob.raw, 0))),
    }
}

fn blank_first(trial: &Trial) -> Tried {
    let mut bob = trial.stream_user("bob")?;
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect("alice")?;
    let message = chatproto::Message::new(&*name, "", &*bob.name, "blank").to_json();
    raw.send(format!(" \t\r {name}\n{message}\n").as_bytes());
    is_reached(trial, &name, raw, &mut bob, "blank")
}

fn late_line_feed(trial: &Trial) -> Tried {
    if trial.is_mute() {
        return Err(Stop::Untried("there is no welcome to wait for".to_owned()));
    }
    let (mut alice, mut bob) = (trial.bare_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    alice.raw.send(b"\n");
    alice.ask("/standard", "")?;
    if alice.answers_since(since).len() != 1 {
        return failed(show::came(&alice.raw, since));
    }
    let text = "long ".repeat(400);
    bob.say(&alice.name, &text);
    trial.expect_text(&mut alice, &text).map(|item| show::item(&item))
}

fn end_of_file(trial: &Trial) -> Tried {
    let mut raw = trial.connect("alice")?;
    raw.send(trial.name().as_bytes());
    raw.finish();
    raw.hear_end(trial.timeout);
    if trial.is_mute() {
        return Err(Stop::Untried("there is no welcome that would show it".to_owned()));
    }
    let is_welcome = raw.since(0).first().is_some_and(|item| !item.is_refusal());
    let came = show::came(&raw, 0);
    if is_welcome && raw.end().is_some() { Ok(came) } else { failed(came) }
}

fn refused(trial: &Trial, bytes: &[u8]) -> Tried {
    let mut raw = trial.connect("guest")?;
    raw.send(bytes);
    judge_refusal(trial, &mut raw)
}

fn ascii(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.bare_user("bob")?);
    let text = "你好 😀";
    alice.say(&bob.name, text);
    let item = trial.expect_text(&mut bob, text)?;
    let odd = bob.raw.since(0).iter().find(|item| !item.text.is_ascii());
    match odd {
        None => Ok(quote::bytes(item.text.as_bytes(), 120)),
        Some(item) => failed(quote::bytes(item.text.as_bytes(), 160)),
    }
}

fn apart(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.bare_user("bob")?);
    let mut came = String::new();
    for attempt in 0..ATTEMPTS {
        let texts: Vec<_> = (0..4).map(|number| format!("{attempt}.{number}")).collect();
        let all: Vec<_> = texts.iter().flat_map(|text| alice.object(&bob.name, text)).collect();
        let since = bob.raw.count();
        alice.raw.send(&all);
        let texts: Vec<_> = texts.iter().map(|text| &**text).collect();
        expect_in_order(trial, &mut bob, &texts)?;
        let items = bob.raw.since(since);
        let joined = items.windows(2).filter(|two| two[0].reads.1 == two[1].reads.0).count();
        if joined == 0 {
            return Ok(format!("{} objects in {} reads", items.len(), items.len()));
        }
        // we may have been kept from reading for longer than the gap
        came = format!("{joined} of {} objects in the read of the one before", items.len());
    }
    failed(format!("{came}, {ATTEMPTS} times"))
}

/// A text that fits a stream peer's object, and not one of a one-read peer.
fn big_text() -> String {
    "big ".repeat(ONE_READ / 2)
}

fn too_big(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.bare_user("bob")?);
    let since = bob.raw.count();
    let answer = alice.ask(&bob.name, &big_text());
    alice.say(&bob.name, "fence");
    trial.expect_text(&mut bob, "fence")?;
    if let Some(item) = bob.raw.since(since).iter().find(|item| item.text.len() >= ONE_READ) {
        return failed(format!("an object of {} bytes", item.text.len()));
    }
    match answer {
        Ok(item) => Ok(show::item(&item)),
        Err(_) => failed(format!("the peer did not, and the sender {}", show::came(&alice.raw, 1))),
    }
}

fn stream(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    alice.say(&bob.name, &big_text());
    trial.expect_text(&mut bob, &big_text()).map(|item| show::item(&item))
}

fn twelve(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.bare_user("alice")?, trial.user("bob")?);
    let texts: Vec<_> = (0..10).map(|number| format!("number {number}")).collect();
    let all: Vec<_> = texts.iter().flat_map(|text| alice.object(&bob.name, text)).collect();
    alice.raw.send(&all);
    let texts: Vec<_> = texts.iter().map(|text| &**text).collect();
    expect_in_order(trial, &mut bob, &texts)
}
