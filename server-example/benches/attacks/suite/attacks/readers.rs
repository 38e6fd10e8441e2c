//! Attacks by users with what they do not read.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Message;
use socket2::{Domain, Socket, Type};

use super::super::PATIENCE;
use super::super::crowd::{Crowd, abort, connect, connect_small, write_for};
use super::super::stage::{Attack, Stage, Told, grouped};

/// What may wait for one connection, with what it takes to keep it.
const QUEUE: u64 = 1024 * 1024 + 256 * 1024;
/// Characters that are broadcast at a time.
const TEXT: usize = 16 * 1024;

pub(crate) fn object(to: &str, msg: &str) -> Vec<u8> {
    (Message::new("", "", to, msg).to_json() + "\n").into_bytes()
}

pub(crate) const STALLED_READERS: Attack = Attack {
    small_options: &["--drain", "500ms", "--queue-bytes", "128KiB"],
    backdrop: Some(|stage| broadcasts(stage, 0).map(drop)),
    ..Attack::of(
        "stalled-readers",
        "100 of {} readers stalled during broadcasts of 16 KiB (quiet: nobody stalled)",
        (1_000, 100),
        // shared by all of them, what is broadcast; and copies at the queues' ends
        (64 * 1024, 64 << 20),
        |stage| broadcasts(stage, if stage.is_small { 10 } else { 100 }),
    )
};

/// A room in which somebody speaks, and so many members never read. Those must be sent away, and
/// the others get everything.
fn broadcasts(stage: &Stage, stalled: usize) -> Result<Told, String> {
    let mut speaker = connect(stage.address)?;
    let turn = stage.turn;
    let name = |number| format!("reader {number} of {turn}\n").into_bytes();
    let mut readers = Crowd::open(stage, stage.size - stalled, name)?;
    let name = |number| format!("stalled {number} of {turn}\n").into_bytes();
    let mut others = Crowd::open_small(stage, stalled, name)?;
    readers.read_welcomes()?;
    others.read_welcomes()?;
    for member in readers.members.iter_mut().chain(&mut others.members) {
        let joined = member.stream.write_all(&object("/join", "#crowd"));
        joined.map_err(|error| format!("a reader cannot join: {error}."))?;
    }
    speak(&mut speaker, format!("speaker {turn}\n").as_bytes())?;
    speak(&mut speaker, &object("/join", "#crowd"))?;
    let text = object("#crowd", &"x".repeat(TEXT));
    let pause = Duration::from_millis(if stage.is_small { 10 } else { 100 });
    let mut witness = connect(stage.address)?;
    speak(&mut witness, format!("witness {turn}\n").as_bytes())?;
    let mut count_is = |count: usize| {
        let count = format!("Members of #crowd ({count})");
        ask(&mut witness, "/who", "#crowd").map(|answer| answer.contains(&count))
    };
    while !count_is(stage.size + 1)? {
        thread::sleep(Duration::from_millis(10));
    }
    let (begun, mut spoken, mut next) = (Instant::now(), 0, Instant::now());
    let (mut are_gone, mut asked) = (false, Instant::now());
    while !stage.is_over() || !are_gone {
        if begun.elapsed() > PATIENCE {
            return Err("the stalled readers are still there.".to_owned());
        }
        if Instant::now() >= next {
            speak(&mut speaker, &text)?;
            (spoken, next) = (spoken + 1, next + pause);
        }
        readers.read();
        drain(&mut speaker)?;
        if asked.elapsed() >= Duration::from_millis(500) {
            are_gone = count_is(stage.size - stalled + 1)?;
            asked = Instant::now();
        }
        thread::sleep(Duration::from_millis(2));
    }
    // everything, to everybody who reads
    let expected = spoken * text.len() as u64;
    while readers.members.iter().any(|member| member.read < expected) {
        readers.read();
        if begun.elapsed() > 2 * PATIENCE {
            return Err("a reader did not get all that was broadcast.".to_owned());
        }
        thread::sleep(Duration::from_millis(2));
    }
    if !readers.closed.is_empty() {
        return Err(format!("{} who read were closed.", readers.closed.len()));
    }
    Ok(Told::Done(format!(
        "{spoken} broadcasts to {} who read all, {stalled} were sent away",
        grouped(readers.members.len())
    )))
}

pub(super) fn speak(speaker: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    speaker.write_all(bytes).map_err(|error| format!("the speaker cannot write: {error}."))
}

/// Reads what a connection was told, without waiting.
pub(super) fn drain(stream: &mut TcpStream) -> Result<(), String> {
    let mut buffer = [0; 16 * 1024];
    let drained = stream.set_nonblocking(true).and_then(|()| {
        while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
        stream.set_nonblocking(false)
    });
    drained.map_err(|error| format!("the speaker cannot read: {error}."))
}

pub(crate) const UNREAD_ANSWERS: Attack = Attack {
    small_options: &["--drain", "500ms", "--rate", "2000"],
    ..Attack::of(
        "unread-answers",
        "{} invalid messages whose answers nobody reads, and commands with long answers",
        (100_000, 2_000),
        // the connections that are open at a time, as if each had a full queue
        (0, (OPEN as u64 + ASKERS as u64) * QUEUE),
        unread_answers,
    )
};

/// Connections that are open at a time: of those with errors, and of those with commands.
const OPEN: usize = 200;
const ASKERS: usize = 20;

fn unread_answers(stage: &Stage) -> Result<Told, String> {
    let mut askers = Vec::new();
    for number in 0..ASKERS {
        let mut stream = connect_small(stage.address)?;
        let begun = write_for(&mut stream, format!("asker {number}\n").as_bytes(), PATIENCE);
        begun.map_err(|error| format!("asker {number} cannot register: {error}."))?;
        askers.push(stream);
    }
    let questions = [object("/help", ""), object("/standard", "")].concat().repeat(50);
    let invalid = br#"{"from":{"name":"","ip":""},"to":7,"msg":"mistyped"}"#;
    let garbage = b"[[[[no message at all]]]]";
    let (mut sent, mut number) = (0, 0);
    let mut open = VecDeque::new();
    let begun = Instant::now();
    while sent < stage.size || !stage.is_over() {
        if begun.elapsed() > 2 * PATIENCE {
            return Err(format!("only {sent} invalid messages were taken."));
        }
        let mut stream = connect(stage.address)?;
        // more than the server wants to hear; every fourth is not even JSON
        let count = if number % 4 == 3 { 1 } else { 25 };
        let bytes: &[u8] = if count == 1 { garbage } else { &invalid.repeat(count) };
        let all = [format!("invalid {number}\n").as_bytes(), bytes].concat();
        let written = write_for(&mut stream, &all, PATIENCE);
        written.map_err(|error| format!("an attacker cannot write: {error}."))?;
        open.push_back(stream);
        (number, sent) = (number + 1, sent + count);
        if open.len() > OPEN
            && let Some(oldest) = open.pop_front()
        {
            abort(oldest);
        }
        for asker in askers.iter_mut().filter(|_| number % 64 == 0) {
            // it may have been sent away
            let _ = write_for(asker, &questions, Duration::from_millis(1));
        }
    }
    Ok(Told::Done(format!("{} connections", grouped(number))))
}

/// Addresses of loopback that nobody else uses.
const NOWHERE: &str = "127.66.0.0/16";

pub(crate) const VANISHED: Attack = Attack {
    lasts: Duration::ZERO,
    ..Attack::of(
        "vanished",
        "{} users that vanish without FIN (a route that leads nowhere)",
        (100, 1),
        (QUEUE, 1 << 20),
        vanished,
    )
};

/// A route that swallows what is sent to [`NOWHERE`], until it is dropped.
struct BlackHole;

impl BlackHole {
    fn open() -> Result<Self, String> {
        let arguments = ["route", "add", "blackhole", NOWHERE, "table", "local"];
        let output = Command::new("ip").args(arguments).output();
        match output {
            Ok(output) if output.status.success() => Ok(BlackHole),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                Err(format!("a route cannot be set up ({}); it needs root.", why.trim()))
            }
            Err(error) => Err(format!("there is no command ip ({error}).")),
        }
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        let arguments = ["route", "del", "blackhole", NOWHERE, "table", "local"];
        if !Command::new("ip").args(arguments).status().is_ok_and(|status| status.success()) {
            eprintln!("attacks: a route is left: ip {}", arguments.join(" "));
        }
    }
}

/// Half of the users are idle, and to the other half something was just sent. None of them closes;
/// what the server sends to them goes nowhere, and so does what would say so.
fn vanished(stage: &Stage) -> Result<Told, String> {
    /// The server's own time-out, and what it takes to notice on a slow machine.
    const WITHIN: Duration = Duration::from_secs(90 + 60);
    if stage.is_small {
        return Ok(Told::Skipped("it takes minutes, by the system's own clock.".to_owned()));
    }
    let mut users = Vec::new();
    for number in 0..stage.size {
        let address = [127, 66, 0, 1 + (number % 250) as u8];
        users.push(register_from(address.into(), stage, &format!("vanished {number}"))?);
    }
    let mut witness = connect(stage.address)?;
    speak(&mut witness, b"witness\n")?;
    let hole = match BlackHole::open() {
        Ok(hole) => hole,
        Err(why) => return Ok(Told::Skipped(why)),
    };
    let begun = Instant::now();
    for number in (0..stage.size).step_by(2) {
        speak(&mut witness, &object(&format!("vanished {number}"), "are you there?"))?;
    }
    loop {
        let answer = ask(&mut witness, "/list", "")?;
        if !answer.contains("vanished ") {
            break;
        }
        if begun.elapsed() > WITHIN {
            return Err(format!("after {WITHIN:?} there are still some who vanished."));
        }
        thread::sleep(Duration::from_millis(500));
    }
    let took = begun.elapsed().as_secs();
    drop(hole);
    users.into_iter().for_each(abort);
    Ok(Told::Done(format!("the last one was given up after {took} s")))
}

fn register_from(
    address: std::net::IpAddr,
    stage: &Stage,
    name: &str,
) -> Result<TcpStream, String> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&std::net::SocketAddr::new(address, 0).into())?;
        socket.connect_timeout(&stage.address.into(), PATIENCE)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{name}\n").as_bytes())?;
        // the welcome
        match stream.read(&mut [0; 4096])? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(stream),
        }
    };
    open().map_err(|error: std::io::Error| format!("{name} cannot register: {error}."))
}

/// Sends a command: all that was said up to the end of its answer.
pub(crate) fn ask(stream: &mut TcpStream, command: &str, msg: &str) -> Result<String, String> {
    let failed = |error| format!("a witness cannot ask: {error}.");
    let fence = format!("{:?}", Instant::now()).replace(|c: char| !c.is_ascii_digit(), "");
    speak(stream, &[object(command, msg), object("/ping", &fence)].concat())?;
    let (mut all, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let length = stream.read(&mut buffer).map_err(failed)?;
        all.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&all);
        if text.contains(&format!("\"{fence}\"")) {
            return Ok(text.into_owned());
        }
        if length == 0 {
            return Err("a witness was sent away.".to_owned());
        }
    }
}
