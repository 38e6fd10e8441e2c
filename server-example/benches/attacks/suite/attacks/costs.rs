//! Attacks by users that stay within every limit: requests that are cheap to ask and expensive to
//! answer, and memory that is filled a little by each of many.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::super::PATIENCE;
use super::super::crowd::{Crowd, connect, write_for};
use super::super::stage::{Attack, Stage, Told, grouped};
use super::readers::{ask, object};

const MIB: u64 = 1 << 20;
/// What a connection may take beside what is queued for it.
const CONNECTION: u64 = 16 * 1024;
/// Memory of all connections together, as the options below say, and a tenth more.
const TOTAL: u64 = 32 * MIB + 32 * MIB / 10;

pub(crate) const LISTS: Attack = Attack::of(
    "lists",
    "{} users that ask for a list of 4,000 rooms a hundred times a second each, and read it",
    (64, 8),
    // the rooms, and an object for each of those who ask
    (64 * 1024, 16 * MIB),
    lists,
);

/// Users who are in as many rooms as they may be, with long names.
fn rooms(stage: &Stage, count: usize) -> Result<Crowd, String> {
    let turn = stage.turn;
    let name = |number| format!("in rooms {number} of {turn}\n").into_bytes();
    let mut crowd = Crowd::open(stage, count, name)?;
    crowd.read_welcomes()?;
    for member in &mut crowd.members {
        let room = |k| object("/join", &format!("#{}-{k}-{}", member.number, "r".repeat(50)));
        let joins: Vec<u8> = (0..100).flat_map(room).collect();
        let written = member.stream.set_nonblocking(false);
        let written = written.and_then(|()| member.stream.write_all(&joins));
        written.map_err(|error| format!("a user cannot join rooms: {error}."))?;
        let reading = member.stream.set_nonblocking(true);
        reading.map_err(|error| error.to_string())?;
    }
    Ok(crowd)
}

fn lists(stage: &Stage) -> Result<Told, String> {
    let mut makers = rooms(stage, if stage.is_small { 4 } else { 40 })?;
    let name = |number| format!("asks {number}\n").into_bytes();
    let mut crowd = Crowd::open(stage, stage.size, name)?;
    crowd.read_welcomes()?;
    let questions = object("/rooms", "").repeat(10);
    let (mut asked, mut next) = (0, Instant::now());
    while !stage.is_over() {
        if Instant::now() >= next {
            next += Duration::from_millis(100);
            for member in &mut crowd.members {
                // what the server does not take now is not asked
                let written = member.stream.write(&questions).unwrap_or(0);
                asked += written / (questions.len() / 10);
            }
        }
        crowd.read();
        makers.read();
        thread::sleep(Duration::from_millis(1));
    }
    if !crowd.closed.is_empty() {
        return Err(format!("{} users who read were closed.", crowd.closed.len()));
    }
    let read: u64 = crowd.members.iter().map(|member| member.read).sum();
    Ok(Told::Done(format!("{} lists were asked for, {} MiB read", grouped(asked), read / MIB)))
}

pub(crate) const UNREAD_LISTS: Attack = Attack {
    options: &["--queue-total", "32MiB"],
    small_options: &["--drain", "500ms"],
    ..Attack::of(
        "unread-lists",
        "{} users that ask for a hundred such lists each, and read nothing",
        (400, 40),
        (CONNECTION, TOTAL + 16 * MIB),
        unread_lists,
    )
};

fn unread_lists(stage: &Stage) -> Result<Told, String> {
    let mut makers = rooms(stage, if stage.is_small { 4 } else { 40 })?;
    let name = |number| format!("asks {number}\n").into_bytes();
    let mut crowd = Crowd::open_small(stage, stage.size, name)?;
    write_to_all(&mut crowd, &object("/rooms", "").repeat(100));
    while !stage.is_over() {
        makers.read();
        thread::sleep(Duration::from_millis(10));
    }
    Ok(Told::Done(format!("{} of them were there in the end", grouped(crowd.members.len()))))
}

/// Writes to each of them what its socket takes.
fn write_to_all(crowd: &mut Crowd, bytes: &[u8]) {
    for member in &mut crowd.members {
        // some may have been sent away
        let _ = member.stream.write(bytes);
    }
}

pub(crate) const LONG_TEXTS: Attack = Attack::of(
    "long-texts",
    "a user that speaks to a room, 64 KiB at a time, and {} members that read 1 MB a second",
    (20, 5),
    (2 * MIB, 8 * MIB),
    long_texts,
);

fn long_texts(stage: &Stage) -> Result<Told, String> {
    let join = object("/join", "#long");
    let name = |number| [format!("slow {number}\n").as_bytes(), &join].concat();
    let mut readers = Crowd::open(stage, stage.size, name)?;
    readers.read_welcomes()?;
    let mut speaker = connect(stage.address)?;
    let shout = object("#long", &"z".repeat(64_000));
    let registered = speaker.write_all(&[b"speaker\n".as_slice(), &join].concat());
    registered.map_err(|error| format!("the speaker cannot register: {error}."))?;
    let (mut written, mut shouts, mut buffer) = (0, 0, vec![0; 64 * 1024]);
    speaker.set_nonblocking(true).map_err(|error| error.to_string())?;
    while !stage.is_over() {
        if let Ok(count) = speaker.write(&shout[written..]) {
            written += count;
            if written == shout.len() {
                (written, shouts) = (0, shouts + 1);
            }
        }
        while speaker.read(&mut buffer).is_ok_and(|length| length > 0) {}
        // 10 ms' worth of 1 MB a second
        for member in &mut readers.members {
            match member.stream.read(&mut buffer[..10_000]) {
                Ok(0) => return Err("a reader that reads 1 MB a second was sent away.".to_owned()),
                Ok(length) => member.read += length as u64,
                Err(_) => {}
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(Told::Done(format!("{shouts} were taken, and nobody was sent away")))
}

pub(crate) const UNREAD_PAGES: Attack = Attack {
    options: &["--queue-total", "32MiB"],
    small_options: &["--drain", "500ms"],
    keeps: true,
    ..Attack::of(
        "unread-pages",
        "{} users that ask for a page of 256 KiB of history at once, and read nothing",
        (1_000, 100),
        (CONNECTION, TOTAL + 24 * MIB),
        unread_pages,
    )
};

fn unread_pages(stage: &Stage) -> Result<Told, String> {
    let mut writer = page(stage)?;
    let name = |number| format!("asks {number}\n").into_bytes();
    let mut crowd = Crowd::open_small(stage, stage.size, name)?;
    let begun = Instant::now();
    let question = [object("/join", "#pages"), object("/history", "#pages 256")].concat();
    write_to_all(&mut crowd, &question);
    while !stage.is_over() {
        thread::sleep(Duration::from_millis(10));
    }
    page_is_answered(&mut writer)?;
    Ok(Told::Done(format!("another page took {:.1} s", begun.elapsed().as_secs_f64())))
}

/// A user that has stored a page of 300 KB in the room `#pages`.
fn page(stage: &Stage) -> Result<TcpStream, String> {
    let mut writer = connect(stage.address)?;
    let text = object("#pages", &"p".repeat(60_000));
    let spoken = [b"writer\n".as_slice(), &object("/join", "#pages"), &text.repeat(5)].concat();
    let written = writer.write_all(&spoken);
    written.map_err(|error| format!("the writer cannot write: {error}."))?;
    let synced = ask(&mut writer, "/sync", "")?;
    if !synced.contains("synced id=5") {
        return Err(format!("the page was not stored: {synced}"));
    }
    Ok(writer)
}

/// Fails if a user that reads gets no page.
fn page_is_answered(reader: &mut TcpStream) -> Result<(), String> {
    let answers = ask(reader, "/history", "#pages 2")?;
    if !answers.contains("end of history #pages") {
        // the echo is the last object, and the refusal stands in front of it
        let refusal = answers.lines().rev().nth(1).unwrap_or_default();
        return Err(format!("a page was not answered beside those that nobody reads: {refusal}"));
    }
    Ok(())
}

pub(crate) const PAGES_LEFT: Attack = Attack {
    options: &["--queue-total", "32MiB"],
    small_options: &["--drain", "500ms"],
    keeps: true,
    ..Attack::of(
        "pages-left",
        "{} users at a time that ask for such a page, and reset the connection at once",
        (300, 50),
        (CONNECTION, TOTAL + 24 * MIB),
        pages_left,
    )
};

fn pages_left(stage: &Stage) -> Result<Told, String> {
    let mut writer = page(stage)?;
    let question = [object("/join", "#pages"), object("/history", "#pages 256")].concat();
    let (mut open, mut number) = (VecDeque::new(), 0u64);
    while !stage.is_over() {
        number += 1;
        let mut user = connect(stage.address)?;
        let name = format!("leaves {number} of {}\n", stage.turn).into_bytes();
        // the server may have sent it away
        let _ = user.write_all(&[name, question.clone()].concat());
        open.push_back(user);
        if open.len() > stage.size {
            // what it has not read resets the connection
            open.pop_front();
        }
    }
    page_is_answered(&mut writer)?;
    Ok(Told::Done(format!("{} asked and left", grouped(number as usize))))
}

pub(crate) const LONG_HALVES: Attack = Attack {
    options: &["--input-total", "32MiB"],
    ..Attack::of(
        "long-halves",
        "{} users that send 60 KiB of a message and no more",
        (2_000, 700),
        (CONNECTION, TOTAL + 4 * MIB),
        long_halves,
    )
};

fn long_halves(stage: &Stage) -> Result<Told, String> {
    let name = |number| format!("half {number}\n").into_bytes();
    let mut crowd = Crowd::open(stage, stage.size, name)?;
    crowd.read_welcomes()?;
    let mut half = br#"{"from":{"name":"","ip":""},"to":"nobody","msg":""#.to_vec();
    half.resize(60_000, b'h');
    write_to_all(&mut crowd, &half);
    let begun = Instant::now();
    while !stage.is_over() || begun.elapsed() < Duration::from_secs(1) {
        crowd.read();
        thread::sleep(Duration::from_millis(10));
    }
    Ok(Told::Done(format!("{} were told and closed", grouped(crowd.closed.len()))))
}

pub(crate) const UNREAD_ENDS: Attack = Attack {
    options: &["--queue-bytes", "16MiB", "--queue-total", "32MiB", "--rate", "off"],
    small_options: &["--drain", "500ms"],
    ..Attack::of(
        "unread-ends",
        "{} users that end with megabytes queued for them, and read nothing",
        (40, 20),
        (CONNECTION, TOTAL + 8 * MIB),
        unread_ends,
    )
};

fn unread_ends(stage: &Stage) -> Result<Told, String> {
    let name = |number| format!("ends {number}\n").into_bytes();
    let crowd = Crowd::open_small(stage, stage.size, name)?;
    // more than the systems between take
    let pings = object("/ping", &"p".repeat(60_000)).repeat(120);
    let mut ended = Vec::new();
    for mut member in crowd.members {
        let written = member.stream.set_nonblocking(false);
        let written = written.and_then(|()| write_for(&mut member.stream, &pings, PATIENCE));
        // it ends, reads nothing, and stays
        let _ = written.and_then(|_| member.stream.shutdown(Shutdown::Write));
        ended.push(member.stream);
    }
    while !stage.is_over() {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(Told::Done(format!("{} ended", grouped(ended.len()))))
}
