//! `load stress`: bots that behave like people, and a verdict.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::{DecodeError, MessageRef};
use fastrand::Rng;
use mio::Events;
use shared::failure::Failure;
use shared::numbers::count;

use super::connect::End;
use super::ledger;
use super::live::Live;
use super::net::{Driver, Net};
use super::options::StressOptions;
use super::payload::Padding;
use super::report::{Check, Run, Setting};
use super::stage::{Stage, Stop, Target};
use super::traffic::{Expected, Names};

/// Bytes that may wait in all bots because the server does not read: more is not sent, and said.
const BACKLOG: usize = 64 << 20;

/// Clients that race for one name.
const RACERS: usize = 8;
/// Bots of one room.
const ROOM_SIZE: usize = 10;

/// What people write: short and long, plain and not.
const TEXTS: [&str; 8] = [
    "",
    " ok",
    " see you at eight",
    " perché no? è già tardi",
    " 今晚一起吃饭吗？",
    " 😀👍🏽 \u{10ffff}",
    " she said \"C:\\temp\", then nothing\tmore",
    " a longer one, of somebody who has a lot to say and says it all at once, without looking up \
      whether anybody is still listening, until the line is full and the next one begins",
];

/// Commands without a lasting effect that every server has (A10).
const COMMANDS: [&str; 4] = ["/list", "/time", "/help", "/standard"];

/// What a bot does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Private,
    Room,
    Shout,
    Command,
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Destination {
    User(u32),
    Room,
    Everybody,
}

/// Runs the bots; what was checked, and the figures.
pub(crate) fn run(
    options: &StressOptions,
    target: &Target,
    stop: &Stop,
    live: &mut Live,
) -> Result<(Vec<Check>, Run), Failure> {
    let kind = PeerKind::from(options.peer);
    let duration = options.duration.0;
    let label = "stress".to_owned();
    let mut stage = Stage::new(target, stop, live, label, (options.bots, kind), duration)?;
    stage.gather(options.bots, kind)?;
    let mut checks = vec![registered(&stage, options.bots)];
    if !stage.is_stopped() {
        checks.extend(names(&mut stage, kind)?);
    }
    let mut bots = Bots::new(&mut stage, options)?;
    bots.talk(&mut stage, duration)?;
    let unsent = bots.unsent;
    let figures = stage.read_out();
    stage.drain()?;
    checks.extend(verdicts(&stage));
    let settings = vec![
        Setting { name: "bots", value: options.bots.to_string() },
        Setting { name: "duration", value: options.duration.to_string() },
        Setting { name: "pause", value: options.pause.to_string() },
        Setting { name: "peer", value: options.peer.name().to_owned() },
        Setting { name: "seed", value: options.seed.to_string() },
    ];
    let run = Run {
        scenario: "stress".to_owned(),
        repetition: 1,
        settings,
        unsent,
        ..stage.finish(figures)
    };
    checks.extend(counts(&run, kind));
    Ok((checks, run))
}

fn registered(stage: &Stage<'_>, bots: usize) -> Check {
    let there = stage.net.open();
    let mut detail =
        format!("{} of {} bots were welcomed", count(there as u64), count(bots as u64));
    if let Some(first) = &stage.traffic.failures.first {
        detail.push_str(&format!("; the first that was not: {first}"));
    }
    Check::new("everybody is welcomed", there == bots, detail)
}

/// What became of clients that are there to try a name.
#[derive(Debug, Default)]
struct Attempts {
    welcomed: Vec<u32>,
    refused: Vec<String>,
    failed: Vec<String>,
}

impl Attempts {
    fn count(&self) -> usize {
        self.welcomed.len() + self.refused.len() + self.failed.len()
    }
}

impl Driver for Attempts {
    fn welcomed(&mut self, _: &mut Net, who: u32, _: Duration) {
        self.welcomed.push(who);
    }

    fn ended(&mut self, _: &mut Net, _: u32, end: End) {
        match end {
            End::Refused(text) => self.refused.push(text),
            End::TimedOut => self.failed.push("no answer came in time".to_owned()),
            End::OwnLimit(why) | End::Unreachable(why) | End::Dropped(why) | End::Lost(why) => {
                self.failed.push(why);
            }
        }
    }

    fn message(&mut self, _: &mut Net, _: u32, _: &MessageRef<'_>, _: u64) {}
    fn unreadable(&mut self, _: &mut Net, _: u32, _: Option<DecodeError>) {}
}

/// A name in use is refused, and of simultaneous attempts one wins (A8).
fn names(stage: &mut Stage<'_>, kind: PeerKind) -> Result<[Check; 2], Failure> {
    let Some(&taken) = stage.present().first() else { return Ok(no_names()) };
    let in_use = stage.traffic.names.of(taken);
    let again = attempt(stage, &in_use, kind, 1)?;
    let is_refused = again.refused.first().is_some_and(|text| text.contains("Error"));
    let detail = match (&*again.refused, &*again.failed) {
        ([text, ..], _) => format!("the server said: {text}"),
        (_, [why, ..]) => format!("no refusal came: {why}"),
        _ if again.welcomed.is_empty() => "there was no answer".to_owned(),
        _ => "a second client was welcomed under the same name".to_owned(),
    };
    let duplicate = Check::new("a name in use is refused", is_refused, detail);

    let race = attempt(stage, &Names::new().of(0), kind, RACERS)?;
    let won = race.welcomed.len();
    let detail = format!(
        "of {RACERS} clients that tried one name at once {won} got it, {} were refused and {} failed",
        race.refused.len(),
        race.failed.len()
    );
    let is_fair = won == 1 && race.refused.len() == RACERS - 1;
    Ok([duplicate, Check::new("of simultaneous attempts at a name one wins", is_fair, detail)])
}

fn no_names() -> [Check; 2] {
    let none = |name| Check::new(name, false, "nobody was there to try");
    [none("a name in use is refused"), none("of simultaneous attempts at a name one wins")]
}

/// Has so many clients try a name at once; those that got it leave again.
fn attempt(
    stage: &mut Stage<'_>,
    name: &str,
    kind: PeerKind,
    clients: usize,
) -> Result<Attempts, Failure> {
    let (mut attempts, mut events) = (Attempts::default(), Events::with_capacity(1024));
    for _ in 0..clients {
        if let Err(end) = stage.net.add(name, kind) {
            attempts.ended(&mut stage.net, 0, end);
        }
    }
    // each ends in a welcome, a refusal or its time-out
    while attempts.count() < clients && !stage.is_stopped() {
        stage.net.turn(&mut attempts, &mut events, Duration::from_millis(50))?;
    }
    for &who in &attempts.welcomed {
        stage.net.close(who);
    }
    Ok(attempts)
}

struct Bots {
    random: Rng,
    pause: Duration,
    there: Arc<[u32]>,
    /// The members of each room, if the server has rooms.
    rooms: Option<Vec<Arc<[u32]>>>,
    /// How many of the bots shout, of which everybody hears.
    shouters: usize,
    texts: Vec<Padding>,
    flows: HashMap<(u32, Destination), u32>,
    /// Who acts next, and when.
    next: BinaryHeap<Reverse<(u64, u32)>>,
    /// Bytes that may wait for one bot's socket.
    backlog: usize,
    /// Acts that were due and not done, because too many bytes waited.
    unsent: u64,
}

impl Bots {
    fn new(stage: &mut Stage<'_>, options: &StressOptions) -> Result<Self, Failure> {
        let rooms = stage.join(options.bots.div_ceil(ROOM_SIZE))?;
        if rooms.is_none() && !stage.is_stopped() {
            stage.say("the server has no rooms: the bots use none");
        }
        // each shouter is kept books of for everybody
        let shouters = (ledger::MOST_BYTES / ledger::BYTES_EACH / options.bots as u64) as usize;
        if shouters < options.bots {
            stage.say(&format!("{} of the bots shout", count(shouters as u64)));
        }
        let is_ascii = PeerKind::from(options.peer) == PeerKind::OneRead;
        Ok(Bots {
            random: Rng::with_seed(options.seed),
            pause: options.pause.0,
            there: stage.present(),
            rooms,
            shouters,
            texts: TEXTS.iter().map(|text| Padding::new(text, is_ascii)).collect(),
            flows: HashMap::new(),
            next: BinaryHeap::new(),
            backlog: (BACKLOG / options.bots).clamp(4 << 10, 4 << 20),
            unsent: 0,
        })
    }

    fn talk(&mut self, stage: &mut Stage<'_>, duration: Duration) -> Result<(), Failure> {
        let begin = stage.net.now();
        let end = begin + duration.as_nanos() as u64;
        stage.measure(begin, end);
        for &who in &*Arc::clone(&self.there) {
            let first = begin + self.pause_time();
            self.next.push(Reverse((first, who)));
        }
        while stage.net.now() < end && stage.net.open() > 0 && !stage.is_stopped() {
            let now = stage.net.now();
            while let Some(&Reverse((due, who))) = self.next.peek()
                && due <= now
            {
                self.next.pop();
                if stage.net.is_ready(who) {
                    stage.traffic.note_lag(due, now - due);
                    self.act(stage, who, now);
                    let next = now + self.pause_time();
                    self.next.push(Reverse((next, who)));
                }
            }
            let next = self.next.peek().map_or(end, |Reverse((due, _))| *due).min(end);
            let wait = Duration::from_nanos(next.saturating_sub(stage.net.now()));
            let done = (now - begin) as f64 / (end - begin).max(1) as f64;
            stage.turn(wait, done)?;
        }
        Ok(())
    }

    /// Pauses are exponentially distributed, as independent people's are.
    fn pause_time(&mut self) -> u64 {
        let part = -(1.0 - self.random.f64()).ln();
        (self.pause.as_nanos() as f64 * part) as u64
    }

    fn choose(&mut self) -> Act {
        match self.random.u32(0..100) {
            0..60 => Act::Private,
            60..80 if self.rooms.is_some() => Act::Room,
            60..80 => Act::Private,
            80..84 => Act::Shout,
            84..95 => Act::Command,
            _ => Act::Nobody,
        }
    }

    fn act(&mut self, stage: &mut Stage<'_>, who: u32, now: u64) {
        if stage.net.unwritten(who) > self.backlog {
            self.unsent += 1;
            return;
        }
        match self.choose() {
            Act::Private => {
                let other = self.there[self.random.usize(0..self.there.len())];
                if other != who && stage.net.is_ready(other) {
                    self.write(stage, who, Destination::User(other), now);
                }
            }
            Act::Room => self.write(stage, who, Destination::Room, now),
            Act::Shout if who as usize >= self.shouters => {}
            Act::Shout => {
                self.write(stage, who, Destination::Everybody, now);
                // the server says how many users it went to
                stage.traffic.expect_answer(&stage.net, who, Expected::Anything);
            }
            Act::Command => {
                let command = COMMANDS[self.random.usize(0..COMMANDS.len())];
                // existing clients send the whole line, or anything (A13)
                let text = if self.random.bool() { command } else { "x" };
                let text = if command == "/help" { command } else { text };
                stage.traffic.ask(&mut stage.net, who, command, text, Expected::Anything);
            }
            Act::Nobody => {
                let nobody = format!("nobody-{}", self.random.u32(..));
                stage.traffic.ask(&mut stage.net, who, &nobody, "hello?", Expected::NotFound);
            }
        }
    }

    fn write(&mut self, stage: &mut Stage<'_>, who: u32, to: Destination, now: u64) {
        let (traffic, there, rooms) = (&mut stage.traffic, &self.there, &self.rooms);
        let flow = *self.flows.entry((who, to)).or_insert_with(|| match (to, rooms) {
            (Destination::User(other), _) => traffic.open_private(who, other),
            (Destination::Room, Some(rooms)) => {
                let number = who as usize % rooms.len();
                let room = traffic.names.room(number);
                traffic.open_room(who, &room, &rooms[number])
            }
            _ => traffic.open_shout(who, there),
        });
        let text = self.random.usize(0..self.texts.len());
        stage.traffic.send(&mut stage.net, flow, &self.texts[text], now);
    }
}

/// What is seen while the connections are there.
fn verdicts(stage: &Stage<'_>) -> Vec<Check> {
    let traffic = &stage.traffic;
    let lost = traffic.failures.lost;
    let first = traffic.failures.first.as_deref().unwrap_or("nobody lost it");
    let detail = if lost == 0 {
        "nobody's was closed".to_owned()
    } else {
        format!("{} lost theirs; the first: {first}", count(lost))
    };
    let (asked, answered) = (traffic.asked, traffic.answered);
    let answers = format!("{} of {} commands were answered", count(answered), count(asked));
    let wrong = traffic.misanswered;
    let nobody =
        format!("{} messages to nobody had another answer than \"not found\"", count(wrong));
    let mut checks = vec![
        Check::new("connections stay", lost == 0, detail),
        Check::new("commands are answered", asked == answered, answers),
    ];
    // with an answer that could not be read, those behind it cannot be told apart
    if traffic.unreadable == 0 {
        checks.push(Check::new("who is not there is not found", wrong == 0, nobody));
    }
    checks
}

/// What the books say.
pub(crate) fn counts(run: &Run, kind: PeerKind) -> Vec<Check> {
    let counts = &run.counts;
    let of = |number: u64| format!("{} of {}", count(number), count(counts.expected));
    let check = |name: &str, number: u64| Check::new(name, number == 0, of(number));
    let mut checks = vec![
        check("nothing is lost", counts.lost),
        check("nothing is duplicated", counts.duplicated),
        check("nothing is reordered", counts.reordered),
        check("nothing is corrupted", counts.corrupted),
        check("nothing is extra", counts.extra),
    ];
    if kind == PeerKind::OneRead {
        let detail = format!("{} reads were not one object", count(run.unreadable));
        checks.push(Check::new("every read is one object", run.unreadable == 0, detail));
    }
    checks
}
