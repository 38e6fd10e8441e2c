//! What follows an error, which error is which, strangers, and how a connection ends (B8, B13, B14,
//! B16).

use super::super::quote;
use super::super::raw::{End, Raw};
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, robust};
use super::decoding::fill;
use super::trial::{Trial, User};

/// What is well-formed JSON and no message.
const SCHEMA: &str = r#"{"from":{"name":"$me","ip":""},"to":"$to"}"#;
/// What is not JSON at its end, and would be of the wrong type before that.
const BOTH: &str = r#"{"from":{"name":"$me","ip":""},"to":5,"msg":x}"#;

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        robust(
            "B8",
            "schema",
            "a message without `msg`, and then a good one",
            "an error that names msg; the good one arrives",
            schema,
        ),
        robust(
            "B8",
            "framing",
            "a word that is no object, and then a good message",
            "an error, then the end; the good one does not arrive",
            framing,
        ),
        robust(
            "B8",
            "enough",
            "so many schema errors as end a connection",
            "the end after the last one",
            enough,
        ),
        robust("B13", "http", "an HTTP request", "400, then the end", |trial| {
            stranger(trial, b"GET / HTTP/1.1\r\nHost: chat.example.org\r\n\r\n", |came| {
                came.starts_with(b"HTTP/1.1 400 ") || came.starts_with(b"HTTP/1.0 400 ")
            })
        }),
        robust(
            "B13",
            "tls",
            "the first bytes of a TLS handshake",
            "a fatal alert, then the end",
            |trial| {
                stranger(trial, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", |came| {
                    came.starts_with(&[0x15, 0x03]) && came.get(5) == Some(&2)
                })
            },
        ),
        robust(
            "B13",
            "ssh",
            "the first line of SSH",
            "one line that is no welcome, then the end",
            |trial| {
                stranger(trial, b"SSH-2.0-OpenSSH_9.6\r\n", |came| {
                    came.ends_with(b"\n") && !came.starts_with(b"{")
                })
            },
        ),
        robust(
            "B13",
            "proxy",
            "a PROXY header from a source that is no proxy",
            "one line that is no welcome, then the end",
            |trial| {
                stranger(trial, b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\n", |came| {
                    came.ends_with(b"\n") && !came.starts_with(b"{")
                })
            },
        ),
        robust(
            "B14",
            "framing-first",
            "a frame with a wrong type and, behind it, no JSON",
            "a framing error: the end",
            |trial| ends(trial, &|alice, bob| vec![fill(BOTH, &alice.name, &bob.name)]),
        ),
        robust("B14", "split", "the same, each byte in a write of its own", "the same", |trial| {
            ends(trial, &|alice, bob| {
                fill(BOTH, &alice.name, &bob.name).chunks(1).map(<[u8]>::to_vec).collect()
            })
        }),
        robust(
            "B14",
            "behind",
            "a message, and then a word that is no object",
            "the message arrives, then the end",
            behind,
        ),
        robust(
            "B16",
            "eof",
            "a name, /time, and the end of file",
            "the answer, then the end",
            end_of_file,
        ),
        robust(
            "B16",
            "farewell",
            "a framing error and 256 KiB behind it",
            "the error, whole, then the end",
            farewell,
        ),
    ]);
}

fn schema(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    alice.raw.send(&fill(SCHEMA, &alice.name, &bob.name));
    let Some(answer) = alice.answer() else { return failed(show::came(&alice.raw, since)) };
    if !answer.msg().contains("msg") {
        return failed(format!("it does not name msg: {}", show::item(&answer)));
    }
    alice.say(&bob.name, "after the error");
    match trial.expect_text(&mut bob, "after the error") {
        Ok(_) => Ok(show::item(&answer)),
        Err(_) => failed(format!("bob got nothing; alice: {}", show::came(&alice.raw, since))),
    }
}

fn framing(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let (at_alice, at_bob) = (alice.raw.count(), bob.raw.count());
    let all = [b"hello\n".to_vec(), alice.object(&bob.name, "after the error")].concat();
    alice.raw.send(&all);
    judge_end(trial, &mut alice, at_alice)?;
    bob.raw.listen(trial.quiet / 4);
    if bob.raw.since(at_bob).iter().any(|item| item.msg() == "after the error") {
        return failed("what followed the error was delivered");
    }
    Ok(show::came(&alice.raw, at_alice))
}

/// Whether an answer came, and then the end.
fn judge_end(trial: &Trial, alice: &mut User, since: usize) -> Result<(), Stop> {
    let answer = alice.answer();
    let has_ended = alice.raw.hear_end(trial.timeout) == Some(&End::Closed);
    match answer.is_some() && has_ended {
        true => Ok(()),
        false => failed(show::came(&alice.raw, since)),
    }
}

fn enough(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let since = alice.raw.count();
    let most = trial.judged.max_errors;
    let bad = fill(SCHEMA, &alice.name, "nobody");
    for number in 1..=most {
        if alice.raw.end().is_some() {
            return failed(format!("the end after {} errors of {most}", number - 1));
        }
        alice.raw.send(&bad);
        if alice.answer().is_none() {
            return failed(format!(
                "no answer to error {number}: {}",
                show::came(&alice.raw, since)
            ));
        }
    }
    match alice.raw.hear_end(trial.timeout) {
        Some(_) => Ok(format!("{most} answers, then the end")),
        None => failed(format!("it goes on after {most} errors")),
    }
}

fn stranger(trial: &Trial, bytes: &[u8], is_right: impl Fn(&[u8]) -> bool) -> Tried {
    let mut raw = trial.connect("stranger")?;
    raw.send(bytes);
    let has_ended = raw.hear_end(trial.timeout).is_some();
    let came = quote::bytes(raw.bytes(), 60);
    match has_ended && is_right(raw.bytes()) {
        true => Ok(format!("{came}, then the end")),
        false if has_ended => failed(format!("{came}, then the end")),
        false => failed(format!("{came}, and it stays open")),
    }
}

/// Whether what is sent is answered and ends the connection, and nothing of it arrives.
fn ends(trial: &Trial, pieces: &dyn Fn(&User, &User) -> Vec<Vec<u8>>) -> Tried {
    let (mut alice, bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    let pieces = pieces(&alice, &bob);
    let pieces = pieces.iter().map(|piece| &piece[..]);
    alice.raw.send_pieces(pieces, std::time::Duration::from_millis(1));
    judge_closing(trial, &mut alice.raw, since, |_| true)
}

fn behind(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let since = alice.raw.count();
    let all = [alice.object(&bob.name, "before the error"), b"hello\n".to_vec()].concat();
    alice.raw.send(&all);
    trial.expect_text(&mut bob, "before the error")?;
    judge_closing(trial, &mut alice.raw, since, |_| true)
}

fn end_of_file(trial: &Trial) -> Tried {
    let name = trial.name();
    let mut raw = trial.connect("alice")?;
    let time = chatproto::Message::new(&*name, "", "/time", "").to_json();
    raw.send(format!("{name}\n{time}\n").as_bytes());
    raw.finish();
    let least = if trial.is_mute() { 1 } else { 2 };
    judge_closing(trial, &mut raw, 0, |raw| raw.count() >= least)
}

fn judge_closing(
    trial: &Trial,
    raw: &mut Raw,
    since: usize,
    is_right: impl Fn(&Raw) -> bool,
) -> Tried {
    let has_closed = raw.hear_end(trial.timeout) == Some(&End::Closed);
    let came = show::came(raw, since);
    if has_closed && is_right(raw) { Ok(came) } else { failed(came) }
}

fn farewell(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let since = alice.raw.count();
    alice.raw.send(&[b'x'; 256 * 1024]);
    let closed = judge_closing(trial, &mut alice.raw, since, |_| true)?;
    match alice.raw.count() > since {
        true => Ok(closed),
        false => Err(Stop::NotApplicable("there were no last words (B8)".to_owned())),
    }
}
