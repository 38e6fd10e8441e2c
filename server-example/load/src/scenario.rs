//! Scenarios of `load compare`: the ready-made ones, and those of a TOML file. To read one is to
//! check it.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use shared::failure::{Failure, reason};
use shared::input::read_whole;
use shared::numbers::{bytes, count};
use shared::text::visible;
use shared::units::{Size, Span};

use super::ledger;
use super::options::{CompareOptions, Peer};
use super::payload;
use super::peer::ONE_READ;
use super::report::Setting;

/// A scenario file may not be longer: another file was meant.
const LONGEST_FILE: u64 = 1 << 20;
/// What envelope and names take of an object, at most, beside the payload.
const ENVELOPE: usize = 200;

/// Everything that is to be run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) repeat: u32,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) scenarios: Vec<Scenario>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    #[serde(default = "hundred")]
    pub(crate) clients: usize,
    #[serde(default)]
    pub(crate) to: To,
    /// Messages a second of all clients together.
    rate: Option<f64>,
    /// Messages of each client that are on their way at any time.
    in_flight: Option<u32>,
    #[serde(default = "short", deserialize_with = "parsed")]
    payload: Size,
    #[serde(default = "stream")]
    pub(crate) peer: Peer,
    #[serde(default = "one")]
    pub(crate) rooms: usize,
}

/// Whom a client's messages are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum To {
    /// One other: the clients are pairs.
    #[default]
    Private,
    Room,
    Shout,
    /// The client itself: there and back.
    #[serde(rename = "self")]
    Own,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When they are due: so many a second.
    Open(f64),
    /// When the ones before have come: so many of each client are on their way.
    Closed(u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    repeat: Option<u32>,
    #[serde(default, deserialize_with = "parsed_option")]
    duration: Option<Span>,
    #[serde(default, deserialize_with = "parsed_option")]
    warmup: Option<Span>,
    scenario: Vec<Scenario>,
}

fn hundred() -> usize {
    100
}

fn one() -> usize {
    1
}

fn short() -> Size {
    Size(64)
}

fn stream() -> Peer {
    Peer::Stream
}

fn parsed<'de, D: Deserializer<'de>, T>(from: D) -> Result<T, D::Error>
where
    T: std::str::FromStr<Err = &'static str>,
{
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn parsed_option<'de, D: Deserializer<'de>, T>(from: D) -> Result<Option<T>, D::Error>
where
    T: std::str::FromStr<Err = &'static str>,
{
    parsed(from).map(Some)
}

/// The ready-made scenarios, as a file.
pub(crate) const READY_MADE: &str = r##"# Scenarios of "server-example load compare". Two or more are compared, each repeated, in
# alternation. A server-example under this load wants --rate off.
repeat = 3
duration = "5s"
warmup = "1s"

# small and big payloads
[[scenario]]
name = "small"
clients = 100
to = "private"
rate = 5000
payload = "64"

[[scenario]]
name = "big"
clients = 100
to = "private"
rate = 5000
payload = "16KiB"

# few and many messages
[[scenario]]
name = "few"
clients = 100
to = "private"
rate = 1000

[[scenario]]
name = "many"
clients = 100
to = "private"
rate = 20000

# one receiver, a few, everybody: each about 10,000 deliveries a second
[[scenario]]
name = "private"
clients = 100
to = "private"
rate = 10000

[[scenario]]
name = "room"
clients = 100
to = "room"
rooms = 10
rate = 1111

[[scenario]]
name = "shout"
clients = 100
to = "shout"
rate = 101

# programs that find the objects of a stream, and those that take a read for an object
[[scenario]]
name = "stream"
clients = 100
to = "private"
rate = 1000
peer = "stream"

[[scenario]]
name = "one-read"
clients = 100
to = "private"
rate = 1000
peer = "one-read"

# as fast as it goes: one message of each client on its way, or 32
[[scenario]]
name = "turns"
clients = 100
to = "private"
in_flight = 1

[[scenario]]
name = "flood"
clients = 100
to = "private"
in_flight = 32
"##;

impl Plan {
    /// What was asked for, from the file, the ready-made scenarios and the options.
    ///
    /// # Errors
    /// What makes no sense, and where.
    pub(crate) fn new(options: &CompareOptions) -> Result<Self, Failure> {
        let file = match &options.file {
            Some(path) => read_file(path)?,
            None => ready_made(&options.scenario)?,
        };
        let mut plan = Plan {
            repeat: options.repeat.or(file.repeat).unwrap_or(3),
            duration: options.duration.or(file.duration).map_or(Duration::from_secs(5), |d| d.0),
            warmup: options.warmup.or(file.warmup).map_or(Duration::from_secs(1), |d| d.0),
            scenarios: file.scenario,
        };
        for scenario in &mut plan.scenarios {
            scenario.peer = options.peer.unwrap_or(scenario.peer);
            scenario.payload = options.payload.unwrap_or(scenario.payload);
        }
        plan.check().map_err(Failure::Usage)?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        if self.scenarios.is_empty() {
            return Err("there is no scenario to run: give one or more [[scenario]]".to_owned());
        }
        if !(1..=100).contains(&self.repeat) {
            return Err("repeat must be from 1 to 100".to_owned());
        }
        if self.duration < Duration::from_millis(100) {
            return Err("duration must be at least 100ms".to_owned());
        }
        for (at, scenario) in self.scenarios.iter().enumerate() {
            let shown = visible(&scenario.name);
            scenario
                .check(self.warmup + self.duration)
                .map_err(|wrong| format!("scenario \"{shown}\": {wrong}"))?;
            if self.scenarios[..at].iter().any(|other| other.name == scenario.name) {
                return Err(format!("there are two scenarios with the name \"{shown}\""));
            }
        }
        Ok(())
    }
}

impl Scenario {
    /// `length` is that of one run.
    fn check(&self, length: Duration) -> Result<(), String> {
        let object = self.payload.0 + ENVELOPE;
        let rate_is_sane = |rate: f64| (0.01..=1e8).contains(&rate);
        let checks = [
            (
                !self.name.is_empty() && self.name.chars().count() <= 40,
                "name has 1 to 40 characters",
            ),
            ((2..=1_000_000).contains(&self.clients), "clients must be from 2 to 1000000"),
            (
                (1..=self.clients / 2).contains(&self.rooms),
                "rooms must be from 1 to half the number of clients",
            ),
            (self.rate.is_some() != self.in_flight.is_some(), "give either rate or in_flight"),
            (self.rate.is_none_or(rate_is_sane), "rate must be from 0.01 to 100000000"),
            (
                self.in_flight.is_none_or(|number| (1..=10_000).contains(&number)),
                "in_flight must be from 1 to 10000",
            ),
            (
                self.payload.0 >= payload::SHORTEST,
                "payload must be at least 41 bytes: number, time and checksum take so many",
            ),
            (self.payload.0 <= 16 << 20, "payload must be at most 16MiB"),
            (
                self.peer == Peer::Stream || object <= ONE_READ,
                "payload must be at most 824 bytes for one-read peers, which read 1024 at a time",
            ),
        ];
        if let Some((_, wrong)) = checks.iter().find(|(holds, _)| !holds) {
            return Err((*wrong).to_owned());
        }
        match self.books(length) {
            0..=ledger::MOST_BYTES => Ok(()),
            books => Err(format!(
                "so many who write to so many take {} to keep count of, and at most {} are used: \
                 have fewer clients, more rooms, or fewer messages",
                bytes(books),
                bytes(ledger::MOST_BYTES)
            )),
        }
    }

    /// Bytes that it takes to keep count of who got what, at most.
    fn books(&self, length: Duration) -> u64 {
        let clients = self.clients as u64;
        let (flows, receivers) = match self.to {
            To::Private | To::Own => return 0,
            To::Room => (clients, clients.div_ceil(self.rooms as u64)),
            To::Shout => (clients, clients),
        };
        // they take turns, so that of many not all have something to say
        let spoken = self.rate.map_or(flows, |rate| 1 + (rate * length.as_secs_f64()) as u64);
        flows.min(spoken) * receivers * ledger::BYTES_EACH
    }

    pub(crate) fn payload(&self) -> usize {
        self.payload.0
    }

    pub(crate) fn pace(&self) -> Pace {
        match (self.rate, self.in_flight) {
            (Some(rate), _) => Pace::Open(rate),
            (None, in_flight) => Pace::Closed(in_flight.unwrap_or(1)),
        }
    }

    pub(crate) fn settings(&self) -> Vec<Setting> {
        let (to, pace) = (self.to.name(), self.pace());
        let pace = match pace {
            Pace::Open(rate) => Setting { name: "rate", value: format!("{rate}") },
            Pace::Closed(number) => Setting { name: "in_flight", value: number.to_string() },
        };
        let mut settings = vec![
            Setting { name: "clients", value: self.clients.to_string() },
            Setting { name: "to", value: to.to_owned() },
            pace,
            Setting { name: "payload", value: self.payload.to_string() },
            Setting { name: "peer", value: self.peer.name().to_owned() },
        ];
        if self.to == To::Room {
            settings.push(Setting { name: "rooms", value: self.rooms.to_string() });
        }
        settings
    }

    /// What it is, in a line.
    pub(crate) fn describe(&self) -> String {
        let mut line = format!("{} {} clients", count(self.clients as u64), self.peer.name());
        match self.to {
            To::Private => line.push_str(" in pairs"),
            To::Room => write!(line, " in {} rooms", self.rooms).expect("text"),
            To::Shout => line.push_str(", to everybody"),
            To::Own => line.push_str(", to themselves"),
        }
        match self.pace() {
            Pace::Open(rate) => write!(line, ", {rate} messages/s").expect("text"),
            Pace::Closed(number) => write!(line, ", {number} in flight each").expect("text"),
        }
        write!(line, ", {} of text", bytes(self.payload.0 as u64)).expect("text");
        line
    }
}

impl To {
    fn name(self) -> &'static str {
        match self {
            To::Private => "private",
            To::Room => "room",
            To::Shout => "shout",
            To::Own => "self",
        }
    }
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let shown = path.to_string_lossy();
    let shown = visible(&shown);
    let fail = |why: &str| Failure::Usage(format!("cannot read the scenarios in {shown}: {why}"));
    let bytes =
        read_whole(path, LONGEST_FILE).map_err(|error| match ready_made(&names(&shown)) {
            Ok(_) => {
                fail(&format!("{}; for the ready-made ones: --scenario {shown}", reason(&error)))
            }
            Err(_) => fail(&reason(&error)),
        })?;
    let text = shared::input::decoded(&bytes).map_err(|wrong| fail(&wrong.to_string()))?;
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        fail(&format!("line {line}: {}", in_words(error.message().trim())))
    })
}

/// What a file was taken for that is not there.
fn names(path: &str) -> Vec<String> {
    path.split(',').map(str::to_owned).collect()
}

/// The parser's message with types that a person knows.
fn in_words(message: &str) -> String {
    let types = [("usize", "a whole number"), ("u32", "a whole number"), ("f64", "a number")];
    let to_words = |text: String, (name, words)| {
        text.replace(&format!("expected {name}"), &format!("expected {words}"))
    };
    types.into_iter().fold(message.to_owned(), to_words)
}

fn ready_made(names: &[String]) -> Result<File, Failure> {
    let mut file: File = toml::from_str(READY_MADE).expect("a literal that the tests read");
    let all = std::mem::take(&mut file.scenario);
    for name in names {
        let Some(scenario) = all.iter().find(|scenario| scenario.name == *name) else {
            let known: Vec<_> = all.iter().map(|scenario| &*scenario.name).collect();
            return Err(Failure::Usage(format!(
                "there is no ready-made scenario \"{}\": there are {}",
                visible(name),
                known.join(", ")
            )));
        };
        file.scenario.push(scenario.clone());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Plan, String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let second = Duration::from_secs(1);
        let scenarios = file.scenario;
        let plan = Plan { repeat: 1, duration: second, warmup: second, scenarios };
        plan.check().map(|()| plan)
    }

    #[test]
    fn the_ready_made_ones_make_sense() {
        let plan = file(READY_MADE).unwrap();
        assert_eq!(plan.scenarios.len(), 11);
        let big = plan.scenarios.iter().find(|scenario| scenario.name == "big").unwrap();
        assert_eq!(big.payload(), 16 * 1024);
        assert_eq!(
            big.describe(),
            "100 stream clients in pairs, 5000 messages/s, 16.0 KiB of text"
        );
    }

    #[test]
    fn many_may_shout_if_they_do_not_all_speak() {
        let scenario = "[[scenario]]\nname = \"x\"\nclients = 20000\nto = \"shout\"\n";
        let books = |more: &str| {
            let plan = file(&format!("{scenario}{more}"))?;
            Ok::<_, String>(plan.scenarios[0].books(plan.warmup + plan.duration))
        };
        assert_eq!(books("rate = 100"), Ok(201 * 20_000 * 4));
        assert!(books("rate = 100000").is_err());
        let rooms = "[[scenario]]\nname = \"y\"\nclients = 20000\nto = \"room\"\nrooms = 100\nin_flight = 1";
        assert_eq!(file(rooms).unwrap().scenarios[0].books(Duration::ZERO), 20_000 * 200 * 4);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (scenario, wrong) in [
            ("name = \"\"\nrate = 1", "name has 1 to 40 characters"),
            ("name = \"x\"", "give either rate or in_flight"),
            ("name = \"x\"\nrate = 1\nin_flight = 1", "give either rate or in_flight"),
            ("name = \"x\"\nrate = 0", "rate must be"),
            ("name = \"x\"\nrate = 1\nclients = 1", "clients must be"),
            ("name = \"x\"\nrate = 1\npayload = \"40\"", "payload must be at least 41 bytes"),
            ("name = \"x\"\nrate = 1\npayload = \"1k\"\npeer = \"one-read\"", "at most 824 bytes"),
            ("name = \"x\"\nrate = 1\npayload = \"many\"", "expected a size"),
            ("name = \"x\"\nrate = 1\nspeed = 3", "unknown field `speed`"),
            ("rate = 1", "missing field `name`"),
            (
                "name = \"x\"\nclients = 20000\nto = \"shout\"\nin_flight = 1",
                "take 1.49 GiB to keep count of, and at most 1.00 GiB are used",
            ),
            ("name = \"x\"\nrate = 1\n[[scenario]]\nname = \"x\"\nrate = 1", "two scenarios"),
        ] {
            let said = file(&format!("[[scenario]]\n{scenario}")).unwrap_err();
            assert!(said.contains(wrong), "{scenario}: {said}");
        }
    }
}
