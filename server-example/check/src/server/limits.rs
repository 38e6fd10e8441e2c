//! Bounds: frames, registration (B4), and what the server itself writes (B11).

use std::time::{Duration, Instant};

use super::super::quote;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, robust};
use super::endpoints::{PARTS, numbers};
use super::trial::{Trial, User};

/// How many users make a crowd: their names do not fit one object of 1024 bytes.
const CROWD: usize = 24;
/// How many users a welcome may name.
const NAMED: usize = 20;

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        robust(
            "B4",
            "long",
            "a message of nearly the longest frame",
            "the user gets it whole",
            long,
        ),
        robust(
            "B4",
            "too-long",
            "as many bytes as the longest frame has, without its end",
            "the end",
            too_long,
        ),
        Case {
            is_slow: true,
            ..robust(
                "B4",
                "registration",
                "a space every 100 ms, and no name",
                "a refusal or the end when the registration deadline has passed",
                registration,
            )
        },
        robust(
            "B11",
            "welcome",
            "a name, while 24 others are there",
            "one object of at most 1024 bytes that names at most 20",
            welcome,
        ),
        robust(
            "B11",
            "list",
            "/list from a one-read peer, while 24 users with long names are there",
            "objects of at most 1024 bytes that end with (k/n), with all names",
            list,
        ),
    ]);
}

fn long(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    // the server's stamp may be a little longer than what we write
    let text = "0123456789".repeat((trial.judged.max_frame.0.saturating_sub(400)) / 10);
    alice.say(&bob.name, &text);
    match trial.expect_text(&mut bob, &text) {
        Ok(item) => Ok(format!("an object of {} bytes", item.text.len())),
        Err(_) => failed(format!("bob got nothing; alice: {}", show::came(&alice.raw, 0))),
    }
}

fn too_long(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let since = alice.raw.count();
    let mut frame = alice.object("nobody", "");
    frame.truncate(frame.len() - 3);
    frame.resize(trial.judged.max_frame.0, b'x');
    alice.raw.send(&frame);
    // that there must be an error before the end is B8
    alice.raw.hear_end(trial.timeout);
    let came = show::came(&alice.raw, since);
    if alice.raw.end().is_some() { Ok(came) } else { failed(came) }
}

fn registration(trial: &Trial) -> Tried {
    let deadline = trial.judged.registration_deadline.0;
    let begun = Instant::now();
    let mut raw = trial.connect("guest")?;
    while begun.elapsed() < deadline + trial.timeout && raw.end().is_none() {
        raw.send(b" ");
        raw.listen(Duration::from_millis(100));
    }
    let after = begun.elapsed();
    let came = format!("{} after {:.1} s", show::came(&raw, 0), after.as_secs_f64());
    let is_early = after + trial.quiet < deadline;
    if raw.end().is_some() && !is_early { Ok(came) } else { failed(came) }
}

/// So many users, with names of so many bytes.
fn crowd(trial: &Trial, bytes: usize) -> Result<Vec<User>, Stop> {
    let user = |number: usize| {
        let name = format!("{:x<bytes$}", trial.name());
        trial.register(&format!("u{number}"), &name, super::Peer::Stream)
    };
    (0..CROWD).map(user).collect()
}

fn welcome(trial: &Trial) -> Tried {
    let _crowd = crowd(trial, 20)?;
    let mut alice = trial.bare_user("alice")?;
    alice.ask("/time", "")?;
    if alice.welcome.is_none() {
        return Err(Stop::Untried("there is no welcome".to_owned()));
    }
    let objects = alice.answers_since(0);
    let [welcome, _answer] = objects[..] else { return failed(show::came(&alice.raw, 0)) };
    let names = welcome.msg().matches("check-").count().saturating_sub(1);
    let bytes = welcome.text.len();
    let told = format!("{bytes} bytes, {names} names");
    let has_rest = numbers(welcome.msg()).iter().any(|&number| number >= CROWD - names);
    if bytes < 1024 && names <= NAMED && has_rest { Ok(told) } else { failed(told) }
}

fn list(trial: &Trial) -> Tried {
    let crowd = crowd(trial, 60)?;
    let mut alice = trial.bare_user("alice")?;
    let since = alice.raw.count();
    alice.say("/list", "/list");
    let mut names = 0;
    for _ in 0..PARTS {
        let Some(item) = alice.answer() else {
            return failed(format!("{names} names of {CROWD}: {}", show::came(&alice.raw, since)));
        };
        if item.text.len() >= 1024 {
            return failed(format!("an object of {} bytes", item.text.len()));
        }
        let text = item.msg();
        names += crowd.iter().filter(|user| text.contains(&user.name)).count();
        let Some((k, n)) = part(text) else {
            return failed(format!("no (k/n) at the end of {}", quote::text(text)));
        };
        let is_cut = text.contains("more");
        match k == n {
            false => {}
            true if names == CROWD || is_cut => return Ok(format!("{n} objects, {names} names")),
            true => return failed(format!("{n} objects, {names} names of {CROWD}")),
        }
    }
    failed(format!("more than {PARTS} objects"))
}

/// The `(k/n)` at the end of a text.
fn part(text: &str) -> Option<(usize, usize)> {
    let (_, last) = text.rsplit_once(" (")?;
    let (k, n) = last.strip_suffix(')')?.split_once('/')?;
    Some((k.parse().ok()?, n.parse().ok()?))
}
