//! The trials of a server: what is tried for which rule, and who is judged by it.
//!
//! | file | rules |
//! |---|---|
//! | `registration` | A1, A2, A7, A8 |
//! | `messages` | A3 to A6, A9, A11, A13 |
//! | `endpoints` | A10 |
//! | `framing` | B1, B2, B12 |
//! | `decoding` | B3, as a table of objects |
//! | `names` | B5, as a table of names |
//! | `limits` | B4, B11 |
//! | `errors` | B8, B13, B14, B16 |
//! | `routing` | B6, B7, B10, B15 |
//! | `slow_readers` | B9 |
//! | `websocket`, `violations` | B20 |
//!
//! `transport` says which of them apply to a server over TCP, and which over WebSocket.

mod case;
mod decoding;
mod endpoints;
mod errors;
mod framing;
mod limits;
mod messages;
mod names;
mod registration;
mod routing;
mod slow_readers;
mod transport;
mod trial;
mod violations;
mod websocket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use chatproto::websocket::Url;
use shared::failure::Failure;

use super::options::{CheckOptions, Judged, Part, Patience, Peer};
use super::report::Report;
use super::rules::{Finding, RULES, Stop, Tried, is_chosen, no_such_rule};
use case::Case;
use trial::{Bench, Trial};

/// All of them, in the order of the rules.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    registration::cases(&mut cases);
    messages::cases(&mut cases);
    endpoints::cases(&mut cases);
    framing::cases(&mut cases);
    decoding::cases(&mut cases);
    limits::cases(&mut cases);
    names::cases(&mut cases);
    routing::cases(&mut cases);
    errors::cases(&mut cases);
    slow_readers::cases(&mut cases);
    websocket::cases(&mut cases);
    violations::cases(&mut cases);
    let place = |case: &Case| RULES.iter().position(|rule| rule.id == case.rule);
    cases.sort_by_key(place);
    cases
}

/// The rules and parts that there are, as lines.
pub(super) fn list() -> Vec<String> {
    let cases = cases();
    let mut lines = Vec::new();
    for rule in &RULES {
        let without = rule.without.map(|why| format!(" ({why})")).unwrap_or_default();
        lines.push(format!("{} {}{without}", rule.id, rule.title));
        for case in cases.iter().filter(|case| case.rule == rule.id) {
            let who = if case.is_core { "" } else { " [part B]" };
            let (id, sent, expected) = (case.id(), &case.sent, &case.expected);
            lines.push(format!("  {id:<20} {sent} → {expected}{who}"));
        }
    }
    lines
}

/// Tries everything that was chosen.
pub(super) fn run(
    addresses: &[SocketAddr],
    url: Option<&Url>,
    options: &CheckOptions,
    report: &mut Report,
) -> Result<(), Failure> {
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| is_chosen(&options.only, case.rule, &case.id()))
        .collect();
    if let Some(unknown) = options.only.iter().find(|one| !names_something(one)) {
        return Err(Failure::Usage(no_such_rule(unknown)));
    }
    let address = reachable(addresses, url, &options.patience)?;
    let bench = Arc::new(Bench::new(address, url, &options.patience, &options.judged));
    let knows_part_b = knows_part_b(&bench, &options.judged);
    let judged = url.map_or_else(|| address.to_string(), ToString::to_string);
    report.begin(&judged, &knows_part_b.1, cases.len());
    let why_not = |case: &Case| {
        let plain = transport::why_not(case.rule, &case.id(), url.is_some()).map(str::to_owned);
        plain.or_else(|| why_not(case, &options.patience, &knows_part_b))
    };
    thread::scope(|scope| {
        let is_beside = |case: &&Case| case.is_slow && why_not(case).is_none();
        let mut beside: HashMap<String, _> = cases
            .iter()
            .filter(is_beside)
            .map(|case| (case.id(), scope.spawn(|| attempt(case, &bench))))
            .collect();
        for rule in &RULES {
            let of_rule: Vec<_> = cases.iter().filter(|case| case.rule == rule.id).collect();
            let is_chosen = is_chosen(&options.only, rule.id, rule.id);
            if let Some(why) = rule.without.filter(|_| is_chosen) {
                report.skip_rule(rule, why);
            }
            if let Some(why) = why_none(&of_rule, why_not) {
                report.skip_rule(rule, &why);
                continue;
            }
            for case in of_rule {
                report.trying(&case.id());
                report.add(match (why_not(case), beside.remove(&case.id())) {
                    (Some(why), _) => finding(case, Err(Stop::NotApplicable(why)), Vec::new()),
                    (None, Some(beside)) => beside.join().unwrap_or_else(|_| defect(case)),
                    (None, None) => attempt(case, &bench),
                });
            }
        }
    });
    Ok(())
}

/// Why none of the cases is tried, if there is one reason for all of them: one line says it then.
fn why_none(cases: &[&Case], why_not: impl Fn(&Case) -> Option<String>) -> Option<String> {
    let first = why_not(cases.first()?)?;
    cases.iter().all(|case| why_not(case).as_ref() == Some(&first)).then_some(first)
}

/// What is said of a trial whose thread panicked.
fn defect(case: &Case) -> Finding {
    let why = "the trial itself failed, which is a defect of this program: please report it";
    finding(case, Err(Stop::Untried(why.to_owned())), Vec::new())
}

fn names_something(one: &str) -> bool {
    let only = [one.to_owned()];
    RULES.iter().any(|rule| is_chosen(&only, rule.id, rule.id))
        || cases().iter().any(|case| is_chosen(&only, case.rule, &case.id()))
}

fn attempt(case: &Case, bench: &Arc<Bench>) -> Finding {
    let trial = Trial::new(bench);
    let mut finding = finding(case, (case.run)(&trial), trial.log.lines(160));
    finding.came = trial.relabel(&finding.came);
    finding
}

fn finding(case: &Case, tried: Tried, wire: Vec<String>) -> Finding {
    let (verdict, came) = Finding::judge(tried);
    let (sent, expected) = (case.sent.clone(), case.expected.clone());
    Finding { rule: case.rule, id: case.id(), verdict, sent, expected, came, wire }
}

/// Why a case is not tried, if it is not.
fn why_not(case: &Case, patience: &Patience, knows: &(bool, String)) -> Option<String> {
    if !case.is_core && !knows.0 {
        return Some(format!("part B is not offered: {}", knows.1));
    }
    (case.is_slow && patience.fast).then(|| "left out by --fast".to_owned())
}

/// The first address that takes a connection.
fn reachable(
    addresses: &[SocketAddr],
    url: Option<&Url>,
    patience: &Patience,
) -> Result<SocketAddr, Failure> {
    let mut why = String::new();
    for &address in addresses {
        let log = super::transcript::Transcript::default();
        match super::raw::Raw::connect(address, url, patience.timeout.0, "probe", &log) {
            Ok(_) => return Ok(address),
            Err(reason) => why = reason,
        }
    }
    let another = if url.is_some() { "--url" } else { "--server" };
    Err(Failure::Usage(format!("{why}; start the server, or name another with {another}")))
}

/// Whether part B is judged, and why.
fn knows_part_b(bench: &Arc<Bench>, judged: &Judged) -> (bool, String) {
    let trial = Trial::new(bench);
    let mut ends_lines = false;
    if let Ok(mut user) = trial.register("probe", &trial.name(), Peer::OneRead) {
        // what comes before this answer greets the user
        user.say("/time", "/time");
        user.raw.hear(bench.timeout, |item| endpoints::has_clock(item.msg()));
        let objects = user.answers_since(0);
        let is_answered = objects.last().is_some_and(|last| endpoints::has_clock(last.msg()));
        bench.set_greetings(match user.welcome {
            None => 0,
            Some(_) if is_answered => objects.len() - 1,
            Some(_) => 1,
        });
        ends_lines = objects.first().is_some_and(|first| user.raw.has_line_feed(first));
    }
    let (knows, why) = match judged.part {
        Part::A => (false, "--part a says so"),
        Part::All => (true, "--part all says so"),
        // a rule of part B itself
        Part::Auto if bench.url.is_some() => (true, "the server speaks WebSocket (B20)"),
        Part::Auto if ends_lines => (true, "the server's first object ends with a line feed"),
        Part::Auto => (false, "no line feed follows the server's first object"),
    };
    (knows, why.to_owned())
}
