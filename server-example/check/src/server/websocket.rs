//! The rules of WebSocket (B20): messages and objects, fragments, pings, the close frame. Violations have a table
//! of their own, `violations`.

use std::time::{Duration, Instant};

use chatproto::Message;

use super::super::quote;
use super::super::raw::{End, Item, Raw};
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::super::websocket::{Control, PONG, frame};
use super::case::{Case, robust};
use super::decoding::fill;
use super::trial::{Trial, User};

/// First bytes of frames: text, whole, at its beginning, in its middle, at its end.
pub(super) const TEXT: u8 = 0x81;
pub(super) const BEGIN: u8 = 0x01;
pub(super) const MIDDLE: u8 = 0x00;
pub(super) const END: u8 = 0x80;
/// And of control frames.
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        robust("B20", "name", "the name as the first message", "a welcome", |trial| {
            trial.stream_user("alice").map(|user| show::came(&user.raw, 0))
        }),
        robust(
            "B20",
            "name-in-url",
            "the name as a parameter of the URL, and an object as the first message",
            "a welcome, and the answer",
            name_in_url,
        ),
        robust(
            "B20",
            "objects",
            "/list, /time, and a message to oneself",
            "one object in each text message",
            objects,
        ),
        robust(
            "B20",
            "fragments",
            "a message in four fragments, one of them empty, with a ping between two",
            "the user gets it; the ping is answered",
            fragments,
        ),
        robust(
            "B20",
            "utf8",
            "a message in fragments that are cut inside characters",
            "the user gets it",
            utf8,
        ),
        robust(
            "B20",
            "bytes",
            "a message in fragments, each byte of the frames in a write of its own",
            "the user gets it",
            bytes,
        ),
        robust(
            "B20",
            "blank",
            "white space as a message, and around the object of another",
            "the first is ignored; the user gets the other",
            blank,
        ),
        robust("B20", "ping", "a ping of 125 bytes", "a pong with the same bytes", |trial| {
            pings(trial, &[&[b'p'; 125]])
        }),
        robust("B20", "pings", "three pings in one write", "a pong for the last one", |trial| {
            pings(trial, &[b"one", b"two", b"three"])
        }),
        robust("B20", "pong", "a pong that nobody asked for, and /time", "the answer", pong),
        robust(
            "B20",
            "schema",
            "a message without `msg`, and then a good one",
            "an error that names msg; the good one arrives",
            schema,
        ),
        robust(
            "B20",
            "close",
            "/time and a close frame in one write",
            "the answer, then a close frame with code 1000",
            |trial| close(trial, &1000_u16.to_be_bytes()),
        ),
        robust(
            "B20",
            "close-empty",
            "/time and a close frame without a code in one write",
            "the answer, then a close frame",
            |trial| close(trial, b""),
        ),
        robust(
            "B20",
            "refused",
            "a name that is in use",
            "the reason as the last message, then a close frame with code 1008",
            refused,
        ),
        Case {
            is_slow: true,
            ..robust(
                "B20",
                "registration",
                "a ping every 100 ms, and no name",
                "a refusal or the end when the registration deadline has passed",
                registration,
            )
        },
    ]);
}

/// A text message.
pub(super) fn text(object: &[u8]) -> Vec<u8> {
    frame(TEXT, object)
}

fn name_in_url(trial: &Trial) -> Tried {
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect_as("alice", &name)?;
    let first = raw.hear(trial.timeout, |_| true);
    match &first {
        Some(item) if item.is_refusal() => return failed(show::came(&raw, 0)),
        None if raw.end().is_some() => return failed(show::came(&raw, 0)),
        None if !trial.is_mute() => {
            let why = "the server does not take a name from the URL, which it may";
            return Err(Stop::NotApplicable(why.to_owned()));
        }
        _ => {}
    }
    raw.send(Message::new(&*name, "", &*name, "to myself").to_json().as_bytes());
    match raw.hear(trial.timeout, |item| item.msg() == "to myself") {
        Some(item) => Ok(show::item(&item)),
        None => failed(show::came(&raw, 0)),
    }
}

fn objects(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    alice.ask("/list", "/list")?;
    alice.ask("/time", "/time")?;
    let name = alice.name.clone();
    alice.say(&name, "to myself");
    trial.expect_text(&mut alice, "to myself")?;
    let messages = alice.raw.messages();
    let is_object = |message: &&[u8]| chatproto::Frame::decode(message).is_ok();
    match messages.iter().find(|message| !is_object(message)) {
        None => Ok(format!("{} messages, each an object", messages.len())),
        Some(other) => {
            failed(format!("a message that is not one object: {}", quote::bytes(other, 160)))
        }
    }
}

fn fragments(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let object = alice.object(&bob.name, "in fragments");
    let (first, rest) = object.split_at(object.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let frames = [
        frame(BEGIN, first),
        frame(MIDDLE, b""),
        frame(PING, b"between"),
        frame(MIDDLE, second),
        frame(END, third),
    ];
    alice.raw.send_frames(&frames.concat());
    let item = got(trial, &mut alice, &mut bob, "in fragments")?;
    let is_answered = alice.raw.hear_control(trial.timeout, |control| is_pong(control, b"between"));
    if is_answered { Ok(item) } else { failed(format!("{item}; the ping has no answer")) }
}

fn is_pong(control: &Control, payload: &[u8]) -> bool {
    control.opcode == PONG && control.payload == payload
}

/// Whether bob got a text; if not, what alice got instead.
fn got(trial: &Trial, alice: &mut User, bob: &mut User, text: &str) -> Tried {
    match trial.expect_text(bob, text) {
        Ok(item) => Ok(show::item(&item)),
        Err(Stop::Failed(came)) => {
            alice.raw.listen(trial.quiet / 4);
            failed(format!("{came}; alice: {}", show::came(&alice.raw, 0)))
        }
        Err(stop) => Err(stop),
    }
}

fn utf8(trial: &Trial) -> Tried {
    const TEXT: &str = "é – 你好 – 😀";
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let object = alice.object(&bob.name, TEXT);
    alice.raw.send_frames(&cut(&object, 1));
    got(trial, &mut alice, &mut bob, TEXT)
}

/// An object in fragments of `length` bytes. The last one may be shorter.
fn cut(object: &[u8], length: usize) -> Vec<u8> {
    let last = object.len().div_ceil(length) - 1;
    let fragment = |(number, piece)| match number {
        0 => frame(BEGIN, piece),
        number if number == last => frame(END, piece),
        _ => frame(MIDDLE, piece),
    };
    object.chunks(length).enumerate().map(fragment).collect::<Vec<_>>().concat()
}

fn bytes(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let object = alice.object(&bob.name, "byte by byte");
    alice.raw.send_frames_bytewise(&cut(&object, 40));
    got(trial, &mut alice, &mut bob, "byte by byte")
}

fn blank(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    let object = [b" \t\r\n", &alice.object(&bob.name, "between blanks")[..], b"\r\n "].concat();
    alice.raw.send_frames(&[text(b" \r\n\t"), text(b""), text(&object)].concat());
    let item = got(trial, &mut alice, &mut bob, "between blanks")?;
    alice.raw.listen(trial.quiet / 4);
    match alice.answers_since(since)[..] {
        [] => Ok(item),
        _ => failed(show::came(&alice.raw, since)),
    }
}

/// Whether the last of the pings has an answer, and the connection goes on.
fn pings(trial: &Trial, payloads: &[&[u8]]) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let all: Vec<_> = payloads.iter().map(|payload| frame(PING, payload)).collect();
    alice.raw.send_frames(&all.concat());
    let last = payloads.last().copied().unwrap_or_default();
    if !alice.raw.hear_control(trial.timeout, |control| is_pong(control, last)) {
        return failed(format!("no pong; {}", show::came(&alice.raw, 0)));
    }
    let known = |control: &&Control| payloads.iter().any(|payload| is_pong(control, payload));
    if alice.raw.controls().iter().filter(known).count() != alice.raw.controls().len() {
        return failed("a control frame that answers nothing");
    }
    alice.ask("/time", "").map(|_| format!("{} pongs", alice.raw.controls().len()))
}

fn pong(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    alice.raw.send_frames(&frame(END | PONG, b"unasked"));
    let answer = alice.ask("/time", "")?;
    match alice.raw.controls() {
        [] => Ok(show::item(&answer)),
        _ => failed("a pong was answered"),
    }
}

fn schema(trial: &Trial) -> Tried {
    const BAD: &str = r#"{"from":{"name":"$me","ip":""},"to":"$to"}"#;
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    let bad = text(&fill(BAD, &alice.name, &bob.name));
    let good = text(&alice.object(&bob.name, "after the error"));
    alice.raw.send_frames(&[bad, good].concat());
    let Some(answer) = alice.answer() else { return failed(show::came(&alice.raw, since)) };
    if !answer.msg().contains("msg") {
        return failed(format!("it does not name msg: {}", show::item(&answer)));
    }
    got(trial, &mut alice, &mut bob, "after the error").map(|_| show::item(&answer))
}

fn close(trial: &Trial, payload: &[u8]) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let since = alice.raw.count();
    let time = text(&alice.object("/time", ""));
    alice.raw.send_frames(&[time, frame(CLOSE, payload)].concat());
    if alice.answer().is_none() {
        return failed(show::came(&alice.raw, since));
    }
    let came = ended_with(trial, &mut alice.raw, since)?;
    match (payload, alice.raw.close_code()) {
        ([], Some(_)) | (_, Some(Some(1000))) => Ok(came),
        _ => failed(came),
    }
}

/// Describes the messages until the server's close frame. Fails if the end has no close frame.
pub(super) fn ended_with(trial: &Trial, raw: &mut Raw, since: usize) -> Tried {
    let has_closed = raw.hear_end(trial.timeout) == Some(&End::Closed);
    let came = show::came(raw, since);
    match raw.close_code() {
        Some(Some(code)) if has_closed => Ok(format!("{came}, with code {code}")),
        Some(None) if has_closed => Ok(format!("{came}, without a code")),
        _ => failed(format!("{came}, without a close frame")),
    }
}

fn refused(trial: &Trial) -> Tried {
    let alice = trial.stream_user("alice")?;
    let mut raw = trial.connect("other")?;
    raw.send(alice.name.as_bytes());
    let came = ended_with(trial, &mut raw, 0)?;
    let is_told = raw.since(0).last().is_some_and(Item::is_refusal);
    match is_told && raw.close_code() == Some(Some(1008)) {
        true => Ok(came),
        false => failed(came),
    }
}

fn registration(trial: &Trial) -> Tried {
    let deadline = trial.judged.registration_deadline.0;
    let begun = Instant::now();
    let mut raw = trial.connect("guest")?;
    while begun.elapsed() < deadline + trial.timeout && raw.end().is_none() {
        raw.send_frames(&frame(PING, b""));
        raw.listen(Duration::from_millis(100));
    }
    let after = begun.elapsed();
    let came = format!("{} after {:.1} s", show::came(&raw, 0), after.as_secs_f64());
    let is_early = after + trial.quiet < deadline;
    if raw.end().is_some() && !is_early { Ok(came) } else { failed(came) }
}
