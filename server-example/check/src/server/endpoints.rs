//! The five endpoints that every server has (A10).

use std::thread;
use std::time::{Duration, Instant};

use super::super::quote;
use super::super::raw::Item;
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::case::{Case, core};
use super::trial::{Trial, User};

/// An answer has no more parts than these (B11).
pub(super) const PARTS: usize = 16;
/// What the one shout of a run says.
const SHOUT: &str = "(a conformance check of this server, please ignore)";

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([
        core("A10", "list", "/list, while two others are there", "both names and not one's own, separated by commas, and their number", list),
        core("A10", "alone", "/list, while nobody else is there", "a sentence of its own", alone),
        core("A10", "time", "/time", "a text with HH:MM:SS", time),
        core("A10", "help", "/help", "the five endpoints, separated by commas", help),
        core("A10", "standard", "/standard", "the shape of A3 as text", standard),
        core("A10", "shout", "/shout, with a false from", "all others get it with to Everyone and the true from, the sender does not but is told to how many", shout),
        core("A10", "unknown", "an endpoint that there is not", "an answer to the sender", unknown),
    ]);
}

/// The answer to `/list`, all its parts (B11) together.
fn ask_list(user: &mut User) -> Result<String, Stop> {
    let mut text = user.ask("/list", "/list")?.msg().to_owned();
    for _ in 0..PARTS {
        let Some((more, begin)) = rest_of(&text) else { break };
        text.truncate(begin);
        if !more {
            break;
        }
        match user.answer() {
            Some(item) => text.push_str(&format!(", {}", item.msg())),
            None => break,
        }
    }
    Ok(text)
}

/// Whether parts follow the one that ends with `(k/n)`, and where that begins.
fn rest_of(text: &str) -> Option<(bool, usize)> {
    let begin = text.rfind(" (")?;
    let (k, n) = text[begin + 2..].strip_suffix(')')?.split_once('/')?;
    let (k, n): (usize, usize) = (k.parse().ok()?, n.parse().ok()?);
    Some((k < n, begin))
}

/// The numbers in a text.
pub(super) fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn list(trial: &Trial) -> Tried {
    let (bob, carol) = (trial.user("bob")?, trial.user("carol")?);
    let mut alice = trial.user("alice")?;
    let text = ask_list(&mut alice)?;
    let items: Vec<&str> = text.split(',').collect();
    let with = |name: &str| items.iter().position(|item| item.contains(name));
    let said = || quote::text(&text);
    match (with(&bob.name), with(&carol.name)) {
        (Some(one), Some(other)) if one != other => {}
        (Some(_), Some(_)) => return failed(format!("no comma between the names: {}", said())),
        _ => return failed(format!("not both names: {}", said())),
    }
    if with(&alice.name).is_some() {
        return failed(format!("the requester is in the list: {}", said()));
    }
    // in a crowd the rest may be given as a number
    let is_cut = text.contains("more");
    if !is_cut && !numbers(&text).contains(&items.len()) {
        return failed(format!("{} users, but that number is not there: {}", items.len(), said()));
    }
    Ok(said())
}

fn alone(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    // those of the trials before may be leaving yet
    let until = Instant::now() + trial.timeout;
    loop {
        let answer = alice.ask("/list", "/list")?;
        let text = answer.msg();
        if trial.is_ours(&text.replace(&alice.name, "")) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        if text.contains(&alice.name) {
            return failed(format!("the requester is in the list: {}", show::item(&answer)));
        }
        if text.trim_end().ends_with(':') || !text.contains(char::is_alphabetic) {
            return failed(format!("a list with nobody in it: {}", show::item(&answer)));
        }
        return match numbers(text)[..] {
            [] | [0, ..] => Ok(show::item(&answer)),
            _ => Err(Stop::NotApplicable(format!("others are there: {}", show::item(&answer)))),
        };
    }
}

/// Whether `HH:MM:SS` is in the text.
pub(super) fn has_clock(text: &str) -> bool {
    text.as_bytes().windows(8).any(|window| {
        let pair = |at: usize| -> Option<u8> {
            let [tens, ones] = [window[at], window[at + 1]];
            (tens.is_ascii_digit() && ones.is_ascii_digit())
                .then(|| (tens - b'0') * 10 + (ones - b'0'))
        };
        let parts = (pair(0), pair(3), pair(6));
        window[2] == b':'
            && window[5] == b':'
            && matches!(parts, (Some(0..24), Some(0..60), Some(0..61)))
    })
}

fn time(trial: &Trial) -> Tried {
    let answer = trial.user("alice")?.ask("/time", "/time")?;
    if has_clock(answer.msg()) { Ok(show::item(&answer)) } else { failed(show::item(&answer)) }
}

fn help(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let answer = alice.ask("/help", "/help")?;
    let items: Vec<&str> = answer.msg().split(',').collect();
    let mut places = Vec::new();
    for endpoint in ["/list", "/time", "/help", "/standard", "/shout"] {
        let is_it = |item: &&str| {
            item.split_once(endpoint)
                .is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_alphanumeric()))
        };
        match items.iter().position(is_it) {
            Some(place) if !places.contains(&place) => places.push(place),
            Some(_) => return failed(format!("no comma: {}", show::item(&answer))),
            None => return failed(format!("{endpoint} is not there: {}", show::item(&answer))),
        }
    }
    Ok(show::item(&answer))
}

fn standard(trial: &Trial) -> Tried {
    let answer = trial.user("alice")?.ask("/standard", "/standard")?;
    let text = answer.msg();
    let lacks = ["from", "name", "ip", "to", "msg"].into_iter().find(|key| {
        let quoted = [format!("\"{key}\""), format!("'{key}'")];
        !quoted.iter().any(|quoted| text.contains(quoted))
    });
    match lacks {
        None => Ok(show::item(&answer)),
        Some(key) => failed(format!("no \"{key}\": {}", show::item(&answer))),
    }
}

fn shout(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    let (mut bob, mut carol) = (trial.user("bob")?, trial.user("carol")?);
    let before = count_of_list(&mut alice);
    let since = alice.raw.count();
    // nothing of the false from must be seen
    let object = chatproto::Message::new("nobody", "203.0.113.9", "/shout", SHOUT);
    alice.raw.send(object.to_python_json().as_bytes());
    let Some(told) = alice.answer() else {
        return failed(format!("the sender: {}", show::came(&alice.raw, since)));
    };
    let ip = trial.address_of(&alice).map(|ip| ip.to_string());
    for user in [&mut bob, &mut carol] {
        let item = trial.expect_text(user, SHOUT)?;
        let Ok(message) = &item.message else { return failed(show::item(&item)) };
        if message.to != "Everyone" || message.from.name != alice.name {
            return failed(show::item(&item));
        }
        if let Some(ip) = ip.as_ref().filter(|ip| **ip != message.from.ip) {
            return failed(format!("from.ip is {:?}, not {ip:?}", message.from.ip));
        }
    }
    let after = count_of_list(&mut alice);
    alice.raw.listen(trial.quiet / 4);
    if let Some(item) = alice.raw.since(since).iter().find(|item| item.msg() == SHOUT) {
        return failed(format!("the sender got it too: {}", show::item(item)));
    }
    judge_count(&told, before, after)
}

/// How many others there are, if `/list` says so.
fn count_of_list(user: &mut User) -> Option<usize> {
    let text = ask_list(user).ok()?;
    let count = text.split(',').count();
    numbers(&text).contains(&count).then_some(count)
}

/// Whether the sender was told how many there are; if nobody came or went it is known exactly.
fn judge_count(told: &Item, before: Option<usize>, after: Option<usize>) -> Tried {
    let numbers = numbers(told.msg());
    let is_right = match (before, after) {
        (Some(before), Some(after)) if before == after => numbers.contains(&before),
        _ => numbers.iter().any(|&number| number >= 2),
    };
    match (is_right, before) {
        (true, _) => Ok(show::item(told)),
        (false, Some(count)) => failed(format!("it went to {count}: {}", show::item(told))),
        (false, None) => failed(show::item(told)),
    }
}

fn unknown(trial: &Trial) -> Tried {
    let mut alice = trial.user("alice")?;
    alice.ask("/no-such-endpoint", "").map(|item| show::item(&item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_two_digits_thrice_and_a_time_of_day() {
        for text in ["14:03:27", "It is 00:00:00.", "23:59:60", "é 14:03:27"] {
            assert!(has_clock(text), "{text}");
        }
        for text in ["", "14.03.27", "14:03", "24:00:00", "14:60:00", "1:03:27", "aa:bb:cc"] {
            assert!(!has_clock(text), "{text}");
        }
    }

    #[test]
    fn an_answer_in_parts_says_so_at_its_end() {
        assert_eq!(rest_of("Connected users (3): a, b (1/2)"), Some((true, 25)));
        assert_eq!(rest_of("c (2/2)"), Some((false, 1)));
        for text in ["Connected users (3): a", "Connected users (3)", "a (b/c)", ""] {
            assert_eq!(rest_of(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_found_wherever_they_stand() {
        assert_eq!(numbers("Users (12): a, b; 3 more"), [12, 3]);
        assert!(numbers("nobody").is_empty());
    }
}
