//! Which names can be had (B5): a table of names. `$me` stands for a name of this run.

use super::super::options::Peer;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, robust};
use super::registration::judge_refusal;
use super::trial::Trial;

/// Names that nobody gets: the part of the rule, what it is about, the name.
const REFUSED: [(&str, &str, &[u8]); 17] = [
    ("blank", "nothing but spaces", b"   "),
    ("utf8", "a byte that is not UTF-8", b"$me\xff"),
    ("control", "a control character", b"$me\x07"),
    ("format", "U+200B, which does not show", "$me\u{200b}x".as_bytes()),
    ("rtl", "U+202E, which turns text around", "$me\u{202e}x".as_bytes()),
    ("line", "U+2028, a line separator", "$me\u{2028}x".as_bytes()),
    ("brace", "a closing brace", b"$me}"),
    ("comma", "a comma", b"$me,x"),
    ("slash", "/ as its first character", b"/$me"),
    ("hash", "# as its first character", b"#$me"),
    ("at", "@ as its first character", b"@$me"),
    ("long", "65 bytes", b"$65"),
    ("server", "SERVER", b"SERVER"),
    ("server-small", "server in small letters", b"server"),
    ("server-wide", "SERVER in full-width letters", "ＳＥＲＶＥＲ".as_bytes()),
    ("guest", "gUEST", b"gUEST"),
    ("everyone", "EVERYONE", b"EVERYONE"),
];

/// Names that one gets: the part of the rule, what it is about, the name, and as what it is known.
const TAKEN: [(&str, &str, &str, &str); 4] = [
    ("spaces", "a space inside", "$me x", "$me x"),
    ("letters", "letters of several scripts", "$me é你Ω", "$me é你Ω"),
    ("most", "64 bytes", "$64", "$64"),
    ("nfc", "e and a combining accent", "$me e\u{301}", "$me \u{e9}"),
];

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend(REFUSED.iter().map(|&(part, about, name)| {
        let sent = format!("a name: {about}");
        robust("B5", part, &sent, "a refusal with ⛔ and Error, then the end", move |trial| {
            let mut raw = trial.connect("guest")?;
            raw.send(&[&fill(trial, name)[..], b"\n"].concat());
            judge_refusal(trial, &mut raw)
        })
    }));
    cases.extend(TAKEN.iter().map(|&(part, about, name, known)| {
        let sent = format!("a name: {about}");
        robust("B5", part, &sent, "it is registered, and messages to it arrive", move |trial| {
            take(trial, name, known)
        })
    }));
    cases.push(robust(
        "B5",
        "to",
        "a message whose to is a user's name in another normal form, between spaces",
        "the user gets it",
        to,
    ));
}

/// The name's bytes.
fn fill(trial: &Trial, template: &[u8]) -> Vec<u8> {
    let me = trial.name();
    let padded = |length: usize| format!("{me:x<length$}");
    match template {
        b"$65" => padded(65).into_bytes(),
        b"$64" => padded(64).into_bytes(),
        _ => match template.windows(3).position(|window| window == b"$me") {
            Some(at) => [&template[..at], me.as_bytes(), &template[at + 3..]].concat(),
            None => template.to_vec(),
        },
    }
}

fn take(trial: &Trial, template: &str, known: &str) -> Tried {
    let name = String::from_utf8_lossy(&fill(trial, template.as_bytes())).into_owned();
    // the name itself differs from template to template, so it is looked up by what it becomes
    let known = match template == known {
        true => name.clone(),
        false => name.replace("e\u{301}", "\u{e9}"),
    };
    let mut bob = trial.stream_user("bob")?;
    let mut alice = match trial.register("alice", &name, Peer::Stream) {
        Err(Stop::Untried(came)) => return failed(came),
        registered => registered?,
    };
    bob.say(&known, "by name");
    match trial.expect_text(&mut alice, "by name") {
        Ok(item) => Ok(show::item(&item)),
        Err(_) => failed(format!("the name is another: {}", show::came(&bob.raw, 0))),
    }
}

fn to(trial: &Trial) -> Tried {
    let me = trial.name();
    let mut bob = trial.stream_user("bob")?;
    let mut alice = trial.register("alice", &format!("{me} \u{e9}"), Peer::Stream)?;
    bob.say(&format!(" {me} e\u{301}\t"), "by another form");
    match trial.expect_text(&mut alice, "by another form") {
        Ok(item) => Ok(show::item(&item)),
        Err(_) => failed(show::came(&bob.raw, 0)),
    }
}
