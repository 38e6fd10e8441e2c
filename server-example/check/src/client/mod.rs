//! The trials of a client: the other side is played here, and the client is an echo, which sends each
//! user's message back to that user, so that what it reads can be seen. It connects three times: to a
//! server that ends its objects with line feeds, to one that does not, and to one that refuses it.

mod case;
mod reading;
mod session;

use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::UserName;
use shared::failure::{Failure, reason};

use super::options::{CheckOptions, Part};
use super::quote;
use super::raw::Raw;
use super::report::Report;
use super::rules::{Finding, RULES, Stop, Tried, failed, is_chosen, no_such_rule};
use super::show;
use super::transcript::Transcript;
use case::{Case, case};
use session::Client;

/// Between two objects to a server that is not a stream server; a little less than it must be, as
/// clocks differ.
const PACE: Duration = Duration::from_millis(15);
/// How often a pace is looked at before it is certain that it is not kept.
const ATTEMPTS: usize = 3;
/// The longest object for a server that is not a stream server.
const ONE_READ: usize = 1024;

const NAME: Case = case("A2", "name", "nothing", "a bare user name");
const LINE_FEED: Case = case("B2", "lf", "nothing", "LF at the end of the name");
const VALID: Case = case("B5", "name", "nothing", "a name that no server refuses");
const SHAPE: Case = case(
    "A3",
    "shape",
    "messages",
    "objects with exactly the keys of A3 and white space, nothing else",
);
const FROM: Case = case("A3", "from", "messages", "the client's own name in from.name");
const END: Case = case("B16", "end", "the end of file", "the client closes too");
const PACED: Case = Case {
    is_core: false,
    ..case(
        "B2",
        "pace",
        "three messages in one write, without line feeds",
        "each echo in a write of its own, 20 ms after the one before",
    )
};
const TOO_LONG: Case = Case {
    is_core: false,
    ..case(
        "B2",
        "too-long",
        "a message whose echo does not fit 1024 bytes, without line feeds; then a short one",
        "the echo of the short one alone",
    )
};
const REFUSED: Case = case(
    "A8",
    "refused",
    "a refusal with ⛔ and Error, and the end of file",
    "no object, and the client closes",
);

/// The trials, as lines.
pub(super) fn list() -> Vec<String> {
    let mut cases = vec![&NAME, &LINE_FEED, &VALID];
    let reading = reading::cases();
    cases.extend(reading.iter().map(|reading| &reading.case));
    cases.extend([&SHAPE, &FROM, &END, &PACED, &TOO_LONG, &REFUSED]);
    let place = |case: &&Case| RULES.iter().position(|rule| rule.id == case.rule);
    cases.sort_by_key(place);
    let line = |case: &Case| {
        let who = if case.is_core { "" } else { " [part B]" };
        format!("  {:<20} {} → {}{who}", case.id(), case.sent, case.expected)
    };
    cases.into_iter().map(line).collect()
}

/// The server that the client finds: another one with each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// Its objects end with line feeds. It shows what the client can read.
    Stream,
    /// It writes no line feeds, and reads one object with one read.
    OneRead,
    /// It refuses the name.
    Refusing,
}

impl Role {
    const ALL: [Role; 3] = [Role::Stream, Role::OneRead, Role::Refusing];

    fn name(self) -> &'static str {
        match self {
            Role::Stream => "to a server that ends its objects with line feeds",
            Role::OneRead => "to a server without line feeds",
            Role::Refusing => "to be refused",
        }
    }

    /// Whether one of the chosen rules is tried there.
    fn is_needed(self, only: &[String]) -> bool {
        let is_chosen = |case: &Case| is_chosen(only, case.rule, &case.id());
        match self {
            Role::OneRead => [&PACED, &TOO_LONG].into_iter().any(is_chosen),
            Role::Refusing => is_chosen(&REFUSED),
            Role::Stream => {
                let reading = reading::cases();
                let mut cases: Vec<_> = reading.iter().map(|reading| &reading.case).collect();
                cases.extend([&NAME, &LINE_FEED, &VALID, &SHAPE, &FROM, &END]);
                // the trials of a pace need an echo, and whether the client is one shows here
                Role::OneRead.is_needed(only) || cases.into_iter().any(is_chosen)
            }
        }
    }
}

/// The servers that a client must meet for the chosen rules, at least one, in order.
fn roles(only: &[String]) -> Vec<Role> {
    Role::ALL.into_iter().filter(|role| role.is_needed(only)).collect()
}

/// What a run works with.
struct Judge<'a> {
    options: &'a CheckOptions,
    findings: Vec<Finding>,
    /// Whether the client was found to be an echo.
    is_echo: bool,
}

/// Waits for the client, and judges it.
pub(super) fn run(options: &CheckOptions, report: &mut Report) -> Result<(), Failure> {
    let names = |one: &&String| {
        let is_it =
            |line: &String| line.split_whitespace().next().is_some_and(|id| is_named(one, id));
        list().iter().any(is_it)
    };
    if let Some(unknown) = options.only.iter().find(|one| !names(one)) {
        return Err(Failure::Usage(no_such_rule(unknown)));
    }
    let cannot = |error: &io::Error| {
        Failure::Usage(format!("cannot listen on {}: {}", options.listen, reason(error)))
    };
    let addresses =
        options.listen.resolve().map_err(|unknown| Failure::Usage(unknown.to_string()))?;
    let listener = TcpListener::bind(&addresses[..]).map_err(|error| cannot(&error))?;
    listener.set_nonblocking(true).map_err(|error| cannot(&error))?;
    let address = listener.local_addr().map_err(|error| cannot(&error))?;
    // a script waits for this line, so it is there with --json as well
    let _ = writeln!(io::stderr(), "listening on {address}");
    let roles = roles(&options.only);
    let times = ["once", "twice", "three times"][roles.len() - 1];
    report.begin("the client", &format!("it is to connect to {address} {times}"), 0);

    let mut judge = Judge { options, findings: Vec::new(), is_echo: false };
    let wait = options.patience.wait.0;
    let mut stream = accept(&listener, wait);
    if stream.is_none() {
        return Err(Failure::Usage(format!("no client connected to {address} within {wait:?}")));
    }
    for (number, role) in roles.into_iter().enumerate() {
        if number > 0 {
            let to = role.name();
            let _ = writeln!(
                io::stderr(),
                "waiting up to {wait:?} for the client to connect again: {to}"
            );
            stream = accept(&listener, wait);
        }
        let is_there = stream.is_some();
        judge.play(role, stream.take());
        // the rest could not be tried either, which is known without another wait
        if !is_there {
            Role::ALL.into_iter().filter(|later| *later > role).for_each(|later| {
                judge.play(later, None);
            });
            break;
        }
    }

    let mut findings = judge.findings;
    let place = |finding: &Finding| RULES.iter().position(|rule| rule.id == finding.rule);
    findings.sort_by_key(place);
    findings.into_iter().for_each(|finding| report.add(finding));
    Ok(())
}

/// Whether a trial's id is meant by that, or its rule.
fn is_named(one: &str, id: &str) -> bool {
    let rule = id.split('.').next().unwrap_or_default();
    one.eq_ignore_ascii_case(id) || one.eq_ignore_ascii_case(rule)
}

fn accept(listener: &TcpListener, wait: Duration) -> Option<TcpStream> {
    let until = Instant::now() + wait;
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream.set_nonblocking(false).is_ok().then_some(stream),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return None,
            Err(_) if Instant::now() >= until => return None,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl Judge<'_> {
    fn add(&mut self, case: &Case, tried: Tried, log: &Transcript) {
        let id = case.id();
        if !is_chosen(&self.options.only, case.rule, &id) {
            return;
        }
        let (verdict, came) = Finding::judge(tried);
        let (sent, expected) = (case.sent.to_owned(), case.expected.to_owned());
        let wire = log.take_lines(160);
        self.findings.push(Finding { rule: case.rule, id, verdict, sent, expected, came, wire });
    }

    /// Says of cases that they could not be tried.
    fn skip(&mut self, cases: &[&Case], why: &Stop) {
        for case in cases {
            let stop = match why {
                Stop::NotApplicable(why) => Stop::NotApplicable(why.clone()),
                Stop::Untried(why) | Stop::Failed(why) | Stop::Noted(why) => {
                    Stop::Untried(why.clone())
                }
            };
            self.add(case, Err(stop), &Transcript::default());
        }
    }

    fn play(&mut self, role: Role, stream: Option<TcpStream>) {
        match (role, stream) {
            (Role::Stream, Some(stream)) => self.first(stream),
            (Role::Stream, None) => {}
            (Role::OneRead, stream) => self.second(stream),
            (Role::Refusing, stream) => self.third(stream),
        }
    }

    /// Reads the name and welcomes the client.
    fn enter(&self, stream: TcpStream, end: &'static str) -> Result<(Client, Vec<u8>), String> {
        let log = Transcript::default();
        let timeout = self.options.patience.timeout.0;
        let mut raw = Raw::of(stream, timeout, "server", &log)?;
        let bytes = raw.hear_name(timeout, self.options.patience.quiet.0);
        let name = String::from_utf8_lossy(&bytes).trim().to_owned();
        let knows_part_b = match self.options.judged.part {
            Part::Auto => bytes.ends_with(b"\n"),
            Part::A => false,
            Part::All => true,
        };
        Ok((Client { raw, log, name, knows_part_b, end, timeout }, bytes))
    }

    /// A stream server: how the client registers, what it reads, and what it writes.
    fn first(&mut self, stream: TcpStream) {
        let readings = reading::cases();
        let (mut client, bytes) = match self.enter(stream, "\n") {
            Ok(entered) => entered,
            Err(why) => return self.skip(&[&NAME], &Stop::Untried(why)),
        };
        let named = judge_name(&client, &bytes);
        let is_named = named.is_ok();
        self.add(&NAME, named, &client.log);
        if is_named {
            let came = quote::bytes(&bytes, 80);
            let ended = match bytes.ends_with(b"\n") {
                true => Ok(came.clone()),
                false => Err(Stop::Noted(came.clone())),
            };
            self.add(&LINE_FEED, ended, &client.log);
            let valid = UserName::from_bytes(&bytes, 64);
            let valid = valid.map(|_| came.clone());
            self.add(&VALID, valid.or_else(|why| failed(format!("{came}: {why}"))), &client.log);
        }
        client.welcome();
        // that the welcome and a message may share a read is tried later
        client.raw.listen(self.options.patience.quiet.0);
        let (mut is_echo, mut has_left) = (true, false);
        for reading in &readings {
            // the last of them is answered by closing, if it is tried at all
            has_left |= client.raw.end().is_some();
            let tried = match (&reading.case, is_echo) {
                (_, false) => Err(Stop::Untried(NO_ECHO.to_owned())),
                _ if client.raw.end().is_some() => Err(Stop::Untried(CLOSED.to_owned())),
                (case, _) if !case.is_core && !client.knows_part_b => not_offered(),
                _ => reading.run(&mut client),
            };
            if reading.is_first() {
                is_echo = tried.is_ok();
            }
            self.add(&reading.case, tried, &client.log);
        }
        self.is_echo = is_echo;
        let (shape, from) = (judge_shape(&client), judge_from(&client));
        self.add(&SHAPE, shape, &client.log);
        self.add(&FROM, from, &client.log);
        has_left |= !client.knows_part_b && client.raw.end().is_some();
        let ended = match has_left {
            true => Err(Stop::Untried(CLOSED.to_owned())),
            false => client.finish(),
        };
        self.add(&END, ended, &client.log);
    }

    /// A server that writes no line feeds, and reads one object with one read.
    fn second(&mut self, stream: Option<TcpStream>) {
        let mut client = match self.again(stream, "") {
            Ok(client) => client,
            Err(why) => return self.skip(&[&PACED, &TOO_LONG], &why),
        };
        if !self.is_echo {
            let why = Stop::Untried(NO_ECHO.to_owned());
            return self.skip(&[&PACED, &TOO_LONG], &why);
        }
        if !client.knows_part_b {
            let why = Stop::NotApplicable(NOT_OFFERED.to_owned());
            return self.skip(&[&PACED, &TOO_LONG], &why);
        }
        client.welcome();
        let paced = judge_pace(&mut client);
        self.add(&PACED, paced, &client.log);
        let refrained = judge_length(&mut client);
        self.add(&TOO_LONG, refrained, &client.log);
        // so that the client sees the end, and connects again
        let _ = client.finish();
    }

    fn again(&self, stream: Option<TcpStream>, end: &'static str) -> Result<Client, Stop> {
        let Some(stream) = stream else {
            return Err(Stop::Untried("the client did not connect again".to_owned()));
        };
        self.enter(stream, end).map(|(client, _)| client).map_err(Stop::Untried)
    }

    /// A server that refuses the name.
    fn third(&mut self, stream: Option<TcpStream>) {
        let mut client = match self.again(stream, "\n") {
            Ok(client) => client,
            Err(why) => return self.skip(&[&REFUSED], &why),
        };
        let before = client.raw.count();
        client.say("SERVER", "0.0.0.0", "Guest", "⛔ Error: the name is already in use.");
        client.raw.finish();
        client.raw.hear_end(client.timeout);
        let came = show::came(&client.raw, before);
        let tried = match (client.raw.count() > before, client.raw.end()) {
            (true, _) => failed(came),
            (false, Some(_)) => Ok(came),
            (false, None) => Err(Stop::Noted(came)),
        };
        self.add(&REFUSED, tried, &client.log);
    }
}

const NO_ECHO: &str = "the client is no echo";
const CLOSED: &str = "the client has closed";
const NOT_OFFERED: &str = "part B is not offered: no line feed ends the client's name";

fn not_offered() -> Tried {
    Err(Stop::NotApplicable(NOT_OFFERED.to_owned()))
}

fn judge_name(client: &Client, bytes: &[u8]) -> Tried {
    let came = quote::bytes(bytes, 80);
    let name = bytes.trim_ascii();
    let is_quoted = name.len() > 1 && matches!(name, [b'"', .., b'"'] | [b'\'', .., b'\'']);
    match name {
        [] if client.raw.bytes().is_empty() => failed(show::came(&client.raw, 0)),
        [] => failed(format!("no name: {}", quote::bytes(client.raw.bytes(), 80))),
        [b'[', ..] => failed(format!("not bare: {came}")),
        _ if is_quoted => failed(format!("in quotation marks: {came}")),
        _ => Ok(came),
    }
}

fn judge_shape(client: &Client) -> Tried {
    let items = client.raw.since(0);
    let odd = items.iter().find(|item| item.message.is_err() || item.has_extra_keys());
    match odd {
        Some(item) => {
            failed(format!("{}: {}", show::item(item), quote::bytes(item.text.as_bytes(), 200)))
        }
        None if !client.raw.garbage().is_empty() => {
            failed(format!("what is no object: {}", quote::bytes(client.raw.garbage(), 80)))
        }
        None if items.is_empty() => Err(Stop::Untried("the client wrote no objects".to_owned())),
        None if items.len() == 1 => Ok("1 object".to_owned()),
        None => Ok(format!("{} objects", items.len())),
    }
}

fn judge_from(client: &Client) -> Tried {
    let items = client.raw.since(0);
    match items.iter().find(|item| item.message.is_ok() && item.from() != client.name) {
        Some(item) => Err(Stop::Noted(show::item(item))),
        None if items.is_empty() => Err(Stop::Untried("the client wrote no objects".to_owned())),
        None => Ok(quote::text(&client.name)),
    }
}

fn judge_pace(client: &mut Client) -> Tried {
    let mut came = String::new();
    for attempt in 0..ATTEMPTS {
        let texts: Vec<_> = (0..3).map(|number| format!("pace {attempt}.{number}")).collect();
        let texts: Vec<_> = texts.iter().map(|text| &**text).collect();
        let all: String = texts.iter().map(|text| client.object(text)).collect();
        client.raw.send(all.as_bytes());
        let echoes = client.expect_echoes(&texts).map_err(Stop::into_untried)?;
        let times: Vec<_> = echoes.iter().map(|echo| client.raw.time_of(echo)).collect();
        let least = times.windows(2).map(|two| two[1] - two[0]).min().unwrap_or_default();
        came = format!("at least {} ms between them", least.as_millis());
        // we may have been kept from reading for a while
        if least >= PACE {
            return Ok(came);
        }
    }
    failed(came)
}

fn judge_length(client: &mut Client) -> Tried {
    let since = client.raw.count();
    let long = client.object(&"long ".repeat(ONE_READ / 4));
    client.raw.send(long.as_bytes());
    let short = client.object("short");
    client.raw.send(short.as_bytes());
    client.raw.hear(client.timeout, |item| item.msg() == "short");
    let items = client.raw.since(since);
    match items.iter().find(|item| item.text.len() >= ONE_READ) {
        Some(item) => failed(format!("an object of {} bytes", item.text.len())),
        None if items.iter().any(|item| item.msg() == "short") => Ok("the short one".to_owned()),
        None => Err(Stop::Untried(show::came(&client.raw, since))),
    }
}
