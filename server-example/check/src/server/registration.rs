//! How one becomes a user: transport, bare names, the welcome, names in use (A1, A2, A7, A8).

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::super::options::Peer;
use super::super::raw::{End, Raw};
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, core};
use super::trial::{Trial, User};

/// How many ask for one name at the same time.
const AT_ONCE: usize = 12;
/// How often they do.
const ROUNDS: usize = 3;

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        core("A1", "connect", "a TCP connection", "it is accepted and kept", connect),
        core(
            "A1",
            "utf8",
            "a message with UTF-8 of two, three and four bytes",
            "it arrives as it was",
            utf8,
        ),
        core(
            "A2",
            "bare",
            "a name without terminator; after the welcome a message to a user",
            "the user gets it",
            bare,
        ),
        core(
            "A2",
            "soon",
            "a name, and after 0.1 s a message, welcome or not",
            "the user gets it",
            soon,
        ),
        core(
            "A2",
            "joined",
            "a name and a message in one write",
            "the user gets the message",
            joined,
        ),
        core(
            "A2",
            "trimmed",
            "a name between spaces and a message in one write",
            "the user is reached by the name without the spaces",
            trimmed,
        ),
        core(
            "A7",
            "welcome",
            "a name, while another user is there",
            "a text with Welcome, the name, help, and who is online",
            welcome,
        ),
        core("A7", "once", "a name, then /time", "one object before the answer to /time", once),
        core(
            "A8",
            "refused",
            "a name that is in use",
            "one object with ⛔ and Error, then the end",
            refused,
        ),
        core(
            "A8",
            "owner",
            "/time from the name's owner, after somebody else tried to have it",
            "its answer",
            owner,
        ),
        core(
            "A8",
            "atomic",
            "one name on 12 connections at the same time, three times",
            "exactly one of them is registered each time",
            atomic,
        ),
        core("A8", "free", "a name whose owner has left", "it is registered", free),
    ]);
}

fn connect(trial: &Trial) -> Tried {
    let mut raw = trial.connect("a")?;
    match raw.hear_end(trial.quiet) {
        None => Ok("it is open".to_owned()),
        Some(_) => failed(show::came(&raw, 0)),
    }
}

fn utf8(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let text = "é – 你好 – 😀";
    // not in escapes, whatever the user's kind
    let object = format!(
        r#"{{"from": {{"name": "{}", "ip": ""}}, "to": "{}", "msg": "{text}"}}"#,
        alice.name, bob.name
    );
    alice.raw.send(object.as_bytes());
    trial.expect_text(&mut bob, text).map(|item| show::item(&item))
}

fn bare(trial: &Trial) -> Tried {
    let mut bob = trial.user("bob")?;
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect("alice")?;
    raw.send(name.as_bytes());
    if trial.welcome(&mut raw).is_err() {
        return failed(show::came(&raw, 0));
    }
    reaches(trial, &name, &mut raw, &mut bob)
}

/// Whether a registered connection can write to a user.
fn reaches(trial: &Trial, name: &str, raw: &mut Raw, bob: &mut User) -> Tried {
    raw.send(python(name, &bob.name, "through").as_bytes());
    match trial.expect_text(bob, "through") {
        Ok(item) => Ok(show::item(&item)),
        Err(_) => {
            raw.listen(trial.quiet);
            failed(format!("{}; bob got nothing", show::came(raw, 0)))
        }
    }
}

fn python(name: &str, to: &str, msg: &str) -> String {
    chatproto::Message::new(name, "192.0.2.7", to, msg).to_python_json()
}

fn soon(trial: &Trial) -> Tried {
    let mut bob = trial.user("bob")?;
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect("alice")?;
    raw.send(name.as_bytes());
    thread::sleep(Duration::from_millis(100));
    reaches(trial, &name, &mut raw, &mut bob)
}

fn joined(trial: &Trial) -> Tried {
    let mut bob = trial.user("bob")?;
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect("alice")?;
    raw.send(format!("{name}{}", python(&name, &bob.name, "joined")).as_bytes());
    match trial.expect_text(&mut bob, "joined") {
        Ok(item) => Ok(show::item(&item)),
        Err(_) => {
            raw.listen(trial.quiet);
            failed(format!("{}; bob got nothing", show::came(&raw, 0)))
        }
    }
}

fn trimmed(trial: &Trial) -> Tried {
    let mut bob = trial.user("bob")?;
    let name = trial.name();
    trial.call(&name, "alice");
    let mut raw = trial.connect("alice")?;
    raw.send(format!("  {name} \t{}", python(&name, &name, "x")).as_bytes());
    raw.hear(trial.timeout, |_| true);
    bob.say(&name, "to the trimmed name");
    match raw.hear(trial.timeout, |item| item.msg() == "to the trimmed name") {
        Some(item) => Ok(show::item(&item)),
        None => {
            failed(format!("{}; to the sender: {}", show::came(&raw, 0), show::came(&bob.raw, 0)))
        }
    }
}

fn welcome(trial: &Trial) -> Tried {
    let bob = trial.user("bob")?;
    let alice = trial.user("alice")?;
    let Some(welcome) = &alice.welcome else { return failed(show::came(&alice.raw, 0)) };
    let text = welcome.msg().replace(&alice.name, "NAME");
    let lower = text.to_lowercase();
    let online = text.contains(&bob.name) || text.contains(|c: char| c.is_ascii_digit());
    let lacks: Vec<&str> = [
        (!text.contains("Welcome"), "the word Welcome"),
        (!text.contains("NAME"), "the name"),
        (!lower.contains("help"), "where to find help"),
        (!online, "who is online"),
    ]
    .into_iter()
    .filter_map(|(lacks, what)| lacks.then_some(what))
    .collect();
    match &lacks[..] {
        [] => Ok(show::item(welcome)),
        lacks => failed(format!("{}: it lacks {}", show::item(welcome), lacks.join(", "))),
    }
}

fn once(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    if alice.welcome.is_none() {
        return failed(show::came(&alice.raw, 0));
    }
    // what SERVER writes before the answer would be a second one
    alice.say("/time", "/time");
    alice.raw.hear(trial.timeout, |item| super::endpoints::has_clock(item.msg()));
    let objects = alice.answers_since(0).len();
    match objects {
        0..=2 => Ok("one object, then the answer".to_owned()),
        _ => failed(show::came(&alice.raw, 0)),
    }
}

fn refused(trial: &Trial) -> Tried {
    let alice = trial.user("alice")?;
    let mut raw = trial.connect("other")?;
    raw.send(alice.name.as_bytes());
    judge_refusal(trial, &mut raw)
}

/// Whether what comes is one refusal of A8, then the end.
pub(super) fn judge_refusal(trial: &Trial, raw: &mut Raw) -> Tried {
    let first = raw.hear(trial.timeout, |_| true);
    let Some(first) = first else { return failed(show::came(raw, 0)) };
    if !first.is_refusal() || !first.msg().contains("Error") {
        return failed(show::came(raw, 0));
    }
    let ended = raw.hear_end(trial.timeout).cloned();
    match ended {
        Some(End::Closed) if raw.count() == 1 => Ok(show::came(raw, 0)),
        _ => failed(show::came(raw, 0)),
    }
}

fn owner(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let mut raw = trial.connect("other")?;
    raw.send(alice.name.as_bytes());
    raw.hear_end(trial.timeout);
    alice.ask("/time", "/time").map(|item| show::item(&item))
}

fn atomic(trial: &Trial) -> Tried {
    for round in 1..=ROUNDS {
        let name = trial.name();
        let winners = race(trial, &name)?;
        if winners != 1 {
            return failed(format!("{winners} of {AT_ONCE} were registered in round {round}"));
        }
    }
    Ok(format!("one of {AT_ONCE}, {ROUNDS} times"))
}

/// How many of those that ask for a name at the same time get it.
fn race(trial: &Trial, name: &str) -> Result<usize, Stop> {
    let barrier = Arc::new(Barrier::new(AT_ONCE));
    let racers: Result<Vec<_>, _> = (0..AT_ONCE).map(|n| trial.connect(&format!("r{n}"))).collect();
    let racer = |mut raw: Raw| {
        let (barrier, name, trial) = (Arc::clone(&barrier), name.to_owned(), trial.clone());
        thread::spawn(move || {
            barrier.wait();
            raw.send(name.as_bytes());
            // a server that says nothing to a user refuses the others, and may take its time
            let first = raw.hear(trial.timeout, |_| true);
            let has_won = first.map_or(raw.end().is_none(), |first| !first.is_refusal());
            // the connection is kept open until all are decided
            (has_won, raw)
        })
    };
    let racers: Vec<_> = racers?.into_iter().map(racer).collect();
    let outcomes: Vec<_> = racers.into_iter().filter_map(|racer| racer.join().ok()).collect();
    Ok(outcomes.iter().filter(|(has_won, _)| *has_won).count())
}

fn free(trial: &Trial) -> Tried {
    let alice = trial.user("alice")?;
    let name = alice.name.clone();
    drop(alice);
    // the server may see the end a little later
    let until = Instant::now() + trial.timeout;
    loop {
        match trial.register("again", &name, Peer::OneRead) {
            Ok(user) => {
                return Ok(user.welcome.map_or("it is open".to_owned(), |item| show::item(&item)));
            }
            Err(Stop::Untried(why)) if Instant::now() >= until => return failed(why),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}
