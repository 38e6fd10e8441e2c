//! What is forwarded, in whose name and in what form, extensions, and the order of answers (B6, B7, B10,
//! B15).

use super::super::quote;
use super::super::raw::Item;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, robust};
use super::trial::{Trial, User};

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        robust(
            "B6",
            "name",
            "a message with somebody else's from.name",
            "the sender's registered name",
            |trial| stamped(trial, |_, carol| (carol.name.clone(), String::new())),
        ),
        robust(
            "B6",
            "ip",
            "a message with a false from.ip",
            "the address that the server sees",
            |trial| stamped(trial, |alice, _| (alice.name.clone(), "203.0.113.9".to_owned())),
        ),
        robust(
            "B6",
            "server",
            "a message from SERVER, 0.0.0.0",
            "the sender's own name and address",
            |trial| stamped(trial, |_, _| ("SERVER".to_owned(), "0.0.0.0".to_owned())),
        ),
        robust(
            "B7",
            "compact",
            "/time and /standard from a stream peer",
            "compact UTF-8, keys in the order of A3",
            compact,
        ),
        robust(
            "B7",
            "same",
            "a text with quotation marks, backslashes and all control characters",
            "the same text",
            same,
        ),
        robust(
            "B10",
            "unknown",
            "an endpoint that there is not",
            "an answer that begins with ❌ and points to /help",
            unknown,
        ),
        robust(
            "B10",
            "join",
            "/join with its whole line as msg, /join without it, and a message to the room",
            "the members get it and nobody else",
            join,
        ),
        robust(
            "B15",
            "order",
            "/help, /standard and /time in one write",
            "the answers in this order",
            order,
        ),
        robust(
            "B15",
            "ping",
            "/time and /ping with a text in one write",
            "the time, then the text",
            ping,
        ),
    ]);
}

/// Sends a message with what `lie` says of its sender, and looks at what arrives.
fn stamped(trial: &Trial, lie: impl Fn(&User, &User) -> (String, String)) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let carol = trial.stream_user("carol")?;
    let (name, ip) = lie(&alice, &carol);
    let lie = chatproto::Message::new(name, ip, &*bob.name, "who is it?").to_json() + "\n";
    alice.raw.send(lie.as_bytes());
    let item = trial.expect_text(&mut bob, "who is it?")?;
    let Ok(message) = &item.message else { return failed(show::item(&item)) };
    let ip = trial.address_of(&alice).map(|ip| ip.to_string());
    let is_true = message.from.name == alice.name
        && ip.is_none_or(|ip| ip == message.from.ip)
        && message.to == bob.name;
    let told = format!("from {} at {}", quote::text(&message.from.name), message.from.ip);
    if is_true { Ok(told) } else { failed(told) }
}

fn compact(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let answers: Result<Vec<_>, _> = ["/time", "/standard"]
        .map(|to| alice.ask(to, "").map_err(Stop::into_untried))
        .into_iter()
        .collect();
    let answers = answers?;
    let is_compact =
        |item: &&Item| item.message.as_ref().is_ok_and(|message| message.to_json() == item.text);
    match answers.iter().find(|item| !is_compact(item)) {
        None => Ok(quote::bytes(answers[1].text.as_bytes(), 120)),
        Some(item) => Err(Stop::Noted(quote::bytes(item.text.as_bytes(), 120))),
    }
}

fn same(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let controls: String = (0..0x20_u8).map(char::from).collect();
    let text = format!("\"quoted\" back\\slash /{controls}\u{7f}\u{2028} end");
    alice.say(&bob.name, &text);
    trial.expect_text(&mut bob, &text)?;
    Ok("the same".to_owned())
}

fn unknown(trial: &Trial) -> Tried {
    let answer = trial.stream_user("alice")?.ask("/no-such-endpoint", "x")?;
    let is_right = answer.msg().starts_with('❌') && answer.msg().contains("/help");
    if is_right { Ok(show::item(&answer)) } else { failed(show::item(&answer)) }
}

/// Whether `/help` lists the endpoint.
fn offers(user: &mut User, endpoint: &str) -> Result<(), Stop> {
    let help = user.ask("/help", "")?;
    let is_it = |item: &str| item.split_whitespace().any(|word| word == endpoint);
    match help.msg().split(',').any(is_it) {
        true => Ok(()),
        false => Err(Stop::NotApplicable(format!("{endpoint} is not offered"))),
    }
}

fn join(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let mut carol = trial.stream_user("carol")?;
    offers(&mut alice, "/join")?;
    let room = format!("#{}", trial.name());
    alice.say("/join", &format!("/join {room}"));
    bob.say("/join", &room);
    for user in [&mut alice, &mut bob] {
        let since = user.raw.count();
        let answer = user.answer();
        if !answer.is_some_and(|item| item.msg().contains(&room) && !item.msg().starts_with('❌'))
        {
            return failed(show::came(&user.raw, since.saturating_sub(1)));
        }
    }
    let at_carol = carol.raw.count();
    alice.say(&room, "to the room");
    let item = trial.expect_text(&mut bob, "to the room")?;
    bob.say(&carol.name, "fence");
    trial.expect_text(&mut carol, "fence")?;
    if carol.raw.since(at_carol).iter().any(|item| item.msg() == "to the room") {
        return failed("who is no member got it too");
    }
    if item.to() == room { Ok(show::item(&item)) } else { failed(show::item(&item)) }
}

fn order(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    let since = alice.raw.count();
    let commands = ["/help", "/standard", "/time"];
    let all: Vec<_> = commands.iter().flat_map(|to| alice.object(to, "")).collect();
    alice.raw.send(&all);
    for _ in commands {
        alice.answer();
    }
    let answers: Vec<_> = alice.answers_since(since).iter().map(|item| item.msg()).collect();
    let is_right = match answers[..] {
        [help, standard, time] => {
            let is_time = |text: &str| !text.contains("/list") && !text.contains("from");
            help.contains("/list") && standard.contains("from") && is_time(time)
        }
        _ => false,
    };
    match is_right {
        true => Ok("in this order".to_owned()),
        false => failed(show::came(&alice.raw, since)),
    }
}

fn ping(trial: &Trial) -> Tried {
    let mut alice = trial.stream_user("alice")?;
    offers(&mut alice, "/ping")?;
    let since = alice.raw.count();
    let both = [alice.object("/time", ""), alice.object("/ping", "n-17")].concat();
    alice.raw.send(&both);
    let (time, pong) = (alice.answer(), alice.answer());
    let is_right = time.is_some_and(|item| item.msg() != "n-17")
        && pong.is_some_and(|item| item.msg() == "n-17");
    let came = show::came(&alice.raw, since);
    if is_right { Ok(came) } else { failed(came) }
}
