//! Messages between users, and what the server says itself (A3 to A6, A9, A11, A13).

use super::super::options::Peer;
use super::super::quote;
use super::super::raw::Item;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, core};
use super::registration::judge_refusal;
use super::trial::{Trial, User};

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        core(
            "A3",
            "shape",
            "a name, /list, and messages to and from users",
            "objects with exactly the keys of A3 and white space, nothing else",
            shape,
        ),
        core("A3", "order", "a message with its keys in another order", "the user gets it", order),
        core(
            "A4",
            "joined",
            "two messages in one write, without a delimiter",
            "the user gets both, in order",
            joined,
        ),
        core(
            "A5",
            "escapes",
            "what json.dumps prints, with \\u00e9, \\u2603 and a surrogate pair",
            "the text that is meant",
            escapes,
        ),
        core(
            "A6",
            "server",
            "a name, /time, and a message to nobody",
            "answers from SERVER, 0.0.0.0, to the user",
            server,
        ),
        core(
            "A6",
            "guest",
            "a name that is in use",
            "an answer from SERVER, 0.0.0.0, to Guest",
            guest,
        ),
        core(
            "A9",
            "delivered",
            "a message to a user",
            "the user gets it, and nobody else",
            delivered,
        ),
        core("A9", "self", "a message to oneself", "one gets it", to_self),
        core(
            "A9",
            "unknown",
            "a message to a name that nobody has",
            "an answer that begins with ❌ and says that it was not found",
            unknown,
        ),
        core(
            "A9",
            "case",
            "a message to a user's name in capitals",
            "the user does not get it",
            case,
        ),
        core(
            "A11",
            "silence",
            "a message to Everyone",
            "the answer for an unknown user; nobody gets it",
            everyone,
        ),
        core("A11", "reserved", "Everyone as a name", "a refusal, then the end", reserved),
        core("A13", "list", "to and msg both \"/list\"", "the answer to /list", whole_line),
        core("A13", "help", "/help with the msg \"x\"", "the answer to /help", help_x),
    ]);
}

fn shape(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    alice.ask("/list", "/list")?;
    alice.say(&bob.name, "shape");
    trial.expect_text(&mut bob, "shape")?;
    bob.say(&alice.name, "shape too");
    trial.expect_text(&mut alice, "shape too")?;
    for user in [&alice, &bob] {
        let raw = &user.raw;
        let odd = raw.since(0).iter().find(|item| item.message.is_err() || item.has_extra_keys());
        if let Some(item) = odd {
            return failed(format!(
                "{}: {}",
                show::item(item),
                quote::bytes(item.text.as_bytes(), 200)
            ));
        }
        if !raw.garbage().is_empty() {
            return failed(format!("what is no object: {}", quote::bytes(raw.garbage(), 80)));
        }
    }
    Ok(format!("{} objects", alice.raw.count() + bob.raw.count()))
}

fn order(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let object = format!(
        r#"{{"msg": "order", "to": "{}", "from": {{"ip": "", "name": "{}"}}}}"#,
        bob.name, alice.name
    );
    alice.raw.send(object.as_bytes());
    trial.expect_text(&mut bob, "order").map(|item| show::item(&item))
}

fn joined(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.bare_user("alice")?, trial.user("bob")?);
    let both = [alice.object(&bob.name, "first"), alice.object(&bob.name, "second")].concat();
    alice.raw.send(&both);
    expect_in_order(trial, &mut bob, &["first", "second"])
}

/// Waits for the texts, in order and each once.
pub(super) fn expect_in_order(trial: &Trial, user: &mut User, texts: &[&str]) -> Tried {
    let since = user.raw.count();
    let last = texts.last().copied().unwrap_or_default();
    user.raw.hear(trial.timeout, |item| item.msg() == last);
    let came: Vec<_> = user.raw.since(since).iter().map(Item::msg).collect();
    let came: Vec<_> = came.into_iter().filter(|text| texts.contains(text)).collect();
    match came == texts {
        true => Ok(format!("{} objects, in order", texts.len())),
        false => failed(format!("{}: {}", user.label(), show::came(&user.raw, since))),
    }
}

fn escapes(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.bare_user("alice")?, trial.user("bob")?);
    let text = "caf\u{e9} \u{2603} \u{1f600}";
    alice.say(&bob.name, text);
    trial.expect_text(&mut bob, text).map(|item| show::item(&item))
}

/// That the server's own messages say who it is and whom they are for.
fn judge_own(items: &[&Item], to: &str) -> Tried {
    let is_own = |item: &Item| match &item.message {
        Ok(message) => {
            (&*message.from.name, &*message.from.ip, &*message.to) == ("SERVER", "0.0.0.0", to)
        }
        Err(_) => false,
    };
    match items.iter().find(|item| !is_own(item)) {
        Some(item) => failed(quote::bytes(item.text.as_bytes(), 200)),
        None if items.is_empty() => Err(Stop::Untried("the server says nothing".to_owned())),
        None => Ok(match items {
            [one] => show::item(one),
            several => format!("{} objects", several.len()),
        }),
    }
}

fn server(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let nobody = trial.name();
    alice.say("/time", "/time");
    alice.answer();
    alice.say(&nobody, "is anybody there?");
    alice.answer();
    judge_own(&alice.answers_since(0), &alice.name)
}

fn guest(trial: &Trial) -> Tried {
    let alice = trial.user("alice")?;
    let mut raw = trial.connect("other")?;
    raw.send(alice.name.as_bytes());
    raw.hear(trial.timeout, |_| true);
    let refusals: Vec<_> = raw.since(0).iter().filter(|item| item.is_refusal()).collect();
    judge_own(&refusals, "Guest")
}

fn delivered(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let mut carol = trial.user("carol")?;
    let (at_alice, at_carol) = (alice.raw.count(), carol.raw.count());
    alice.say(&bob.name, "for bob alone");
    let item = trial.expect_text(&mut bob, "for bob alone")?;
    if item.to() != bob.name {
        return failed(show::item(&item));
    }
    // what was written to the others before this has come before it
    for user in [&mut alice, &mut carol] {
        let name = user.name.clone();
        bob.say(&name, "fence");
        trial.expect_text(user, "fence")?;
        user.raw.listen(trial.quiet / 4);
    }
    for (user, since) in [(&alice, at_alice), (&carol, at_carol)] {
        let others = user.concerning_since(since);
        if let Some(item) = others.iter().find(|item| item.msg() == "for bob alone") {
            return failed(format!("{} got it too: {}", user.label(), show::item(item)));
        }
    }
    Ok(show::item(&item))
}

fn to_self(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let name = alice.name.clone();
    alice.say(&name, "note to myself");
    trial.expect_text(&mut alice, "note to myself").map(|item| show::item(&item))
}

/// Whether it is the answer for a user who is not there.
fn is_not_found(item: &Item) -> bool {
    item.msg().starts_with('❌') && item.msg().to_lowercase().contains("not found")
}

fn judge_not_found(answer: &Item) -> Tried {
    if is_not_found(answer) { Ok(show::item(answer)) } else { failed(show::item(answer)) }
}

fn unknown(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let nobody = trial.name();
    judge_not_found(&alice.ask(&nobody, "is anybody there?")?)
}

fn case(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let since = bob.raw.count();
    alice.say(&bob.name.to_uppercase(), "for somebody else");
    let answer = alice.answer();
    alice.say(&bob.name, "fence");
    trial.expect_text(&mut bob, "fence")?;
    if bob.raw.since(since).iter().any(|item| item.msg() == "for somebody else") {
        return failed(format!("{} got it", bob.label()));
    }
    match answer {
        Some(answer) => Ok(show::item(&answer)),
        None => Ok("the user got nothing".to_owned()),
    }
}

fn everyone(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.user("alice")?, trial.user("bob")?);
    let since = bob.raw.count();
    let answer = alice.ask("Everyone", "beat");
    alice.say(&bob.name, "fence");
    trial.expect_text(&mut bob, "fence")?;
    bob.raw.listen(trial.quiet / 4);
    if bob.concerning_since(since).iter().any(|item| item.msg() == "beat") {
        return failed("it was broadcast");
    }
    judge_not_found(&answer?)
}

fn reserved(trial: &Trial) -> Tried {
    let mut raw = trial.connect("Everyone")?;
    raw.send(b"Everyone");
    judge_refusal(trial, &mut raw)
}

fn whole_line(trial: &Trial) -> Tried {
    let (mut alice, bob) =
        (trial.register("alice", &trial.name(), Peer::OneRead)?, trial.user("bob")?);
    let answer = alice.ask("/list", "/list")?;
    if answer.msg().contains(&bob.name) {
        Ok(show::item(&answer))
    } else {
        failed(show::item(&answer))
    }
}

fn help_x(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let answer = alice.ask("/help", "x")?;
    if answer.msg().contains("/shout") {
        Ok(show::item(&answer))
    } else {
        failed(show::item(&answer))
    }
}
