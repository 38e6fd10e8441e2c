//! Attacks by users with lawful messages: too many, or all at once.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Decoder;

use super::super::PATIENCE;
use super::super::crowd::{connect, write_for};
use super::super::stage::{Attack, Stage, Told, grouped};
use super::readers::{ask, object};

pub(crate) const FLOOD: Attack = Attack {
    lasts: Duration::from_secs(10),
    small_options: &["--rate", "1000"],
    ..Attack::of(
        "flood",
        "one user that sends as fast as it can for 10 s",
        (1, 1),
        (0, 2 << 20),
        flood,
    )
};

/// Sends to another attacker, who reads, and counts what arrives: no more than the rate allows.
fn flood(stage: &Stage) -> Result<Told, String> {
    let (mut sender, mut receiver) = (connect(stage.address)?, connect(stage.address)?);
    let begun = Instant::now();
    let greeted = sender
        .write_all(b"flooding\n")
        .and_then(|()| receiver.write_all(b"flooded\n"))
        .and_then(|()| receiver.set_nonblocking(true));
    greeted.map_err(|error| format!("an attacker cannot register: {error}."))?;
    let block = object("flooded", "flood").repeat(1_000);
    let (mut arrived, mut written, mut buffer) = (0, 0, vec![0; 64 * 1024]);
    while !stage.is_over() {
        let count = write_for(&mut sender, &block[written..], Duration::from_millis(10));
        let count = count.map_err(|error| format!("a flood was broken off: {error}."))?;
        // what was written in part goes on there
        written = (written + count) % block.len();
        while let Ok(length) = receiver.read(&mut buffer) {
            if length == 0 {
                return Err("who is flooded was sent away.".to_owned());
            }
            arrived += buffer[..length].windows(7).filter(|w| w == b"\"flood\"").count();
        }
    }
    // a burst of two seconds, and the tenth of a second for which nobody is woken
    let rate = if stage.is_small { 1_000 } else { 100 };
    let most = rate * (2 + begun.elapsed().as_secs() as usize + 1);
    if arrived > most {
        return Err(format!("{arrived} messages of a flood went through, more than {most}."));
    }
    Ok(Told::Done(format!("{} messages went through", grouped(arrived))))
}

pub(crate) const RACES: Attack = Attack::of(
    "races",
    "{} races of renaming, joining and leaving",
    (10_000, 1_000),
    (0, 16 << 20),
    races,
);

/// Users who race, and the names and rooms that there are for them.
const RACERS: usize = 50;
const NAMES: usize = 40;
const ROOMS: usize = 5;

/// Everybody wants one of a few names, and goes in and out of a few rooms. In the end every name
/// must have the one who was told so, and no room be left.
fn races(stage: &Stage) -> Result<Told, String> {
    let (left, finished) = (AtomicUsize::new(stage.size), AtomicUsize::new(0));
    let mut witness = connect(stage.address)?;
    witness.write_all(b"witness\n").map_err(|error| error.to_string())?;
    let racers = thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS)
            .map(|number| {
                let (left, finished) = (&left, &finished);
                thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, move || {
                    let racer = race(stage, number, left);
                    finished.fetch_add(1, Ordering::SeqCst);
                    racer
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| {
                let racer = racer.map_err(|error| format!("cannot start a thread: {error}."))?;
                racer.join().unwrap_or_else(|_| Err("a racer has panicked.".to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    let renamed: usize = racers.iter().map(|racer| racer.renamed).sum();
    let names: BTreeSet<&str> = racers.iter().map(|racer| racer.name.as_str()).collect();
    if names.len() != racers.len() {
        return Err("two users were given one name.".to_owned());
    }
    for racer in &racers {
        let answer = ask_about(&mut witness, &racer.name)?;
        if !answer {
            return Err(format!("{:?} is nobody's name, and was given.", racer.name));
        }
    }
    let rooms = ask(&mut witness, "/rooms", "")?;
    if rooms.contains("#race") {
        return Err(format!("everybody has left, and there is a room: {rooms}"));
    }
    Ok(Told::Done(format!("{} of them won a name", grouped(renamed))))
}

/// Whether a user of that name is there: a message to it is not answered.
fn ask_about(witness: &mut TcpStream, name: &str) -> Result<bool, String> {
    let sent = witness.write_all(&object(name, "is it you?"));
    sent.map_err(|error| format!("a witness cannot write: {error}."))?;
    Ok(!ask(witness, "/time", "")?.contains("not found"))
}

struct Racer {
    stream: TcpStream,
    decoder: Decoder,
    input: Vec<u8>,
    name: String,
    renamed: usize,
}

fn race(stage: &Stage, number: usize, left: &AtomicUsize) -> Result<Racer, String> {
    let stream = connect(stage.address)?;
    let name = format!("racer {number}");
    let mut racer =
        Racer { stream, decoder: Decoder::default(), input: Vec::new(), name, renamed: 0 };
    racer.write(format!("{}\n", racer.name).as_bytes())?;
    let mut random = number;
    let take = |left: usize| left.checked_sub(1);
    let begun = Instant::now();
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
        // a sequence that is another one for each racer (Knuth's multiplier)
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
        let name = format!("name {}", (random >> 33) % NAMES);
        let room = format!("#race{}", (random >> 43) % ROOMS);
        let fence = format!("fence {}", begun.elapsed().as_nanos());
        racer.write(
            &[
                object("/nick", &name),
                object("/join", &room),
                object("/leave", &room),
                object("/ping", &fence),
            ]
            .concat(),
        )?;
        racer.read_to(&fence)?;
        if begun.elapsed() > 2 * PATIENCE {
            return Err("the races take too long.".to_owned());
        }
    }
    Ok(racer)
}

impl Racer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| format!("a racer cannot write: {error}."))
    }

    /// Reads to the answer to a fence, and learns what its name is.
    fn read_to(&mut self, fence: &str) -> Result<(), String> {
        loop {
            let mut bytes = &self.input[..];
            let frame = self.decoder.decode(&mut bytes).map_err(|error| error.to_string())?;
            let text = frame.map(|frame| frame.message().to_owned()).filter(|message| {
                // notices of rooms are to the room
                message.is_from_server() && !message.to.starts_with('#')
            });
            let is_all = bytes.is_empty() && text.is_none();
            let used = self.input.len() - bytes.len();
            self.input.drain(..used);
            if let Some(message) = text {
                if message.msg == fence {
                    return Ok(());
                }
                if let Some(name) = message.msg.strip_prefix("You are now ") {
                    name.trim_end_matches('.').clone_into(&mut self.name);
                    self.renamed += 1;
                }
            }
            if is_all {
                let mut buffer = [0; 16 * 1024];
                match self.stream.read(&mut buffer) {
                    Ok(0) => return Err("a racer was sent away.".to_owned()),
                    Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                    Err(error) => return Err(format!("a racer cannot read: {error}.")),
                }
            }
        }
    }
}
