//! Attacks by browsers, and by peers that only begin as one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::super::PATIENCE;
use super::super::crowd::{Crowd, abort, connect, connect_small};
use super::super::stage::{Attack, Stage, Told, grouped};
use super::readers::{ask, drain, object, speak};

const OPTIONS: &[&str] = &["--http", "127.0.0.1:0"];
/// Heap of a connection whose request is not complete.
const REQUEST: u64 = 48 * 1024;
/// The same of all that the HTTP listener needs once.
const LISTENER: u64 = 2 << 20;
/// The longest message of a server with the default limits.
const FRAME: usize = 64 * 1024;

/// A request that opens a WebSocket, with or without a name.
fn request(name: Option<&str>) -> Vec<u8> {
    let query = name.map(|name| format!("?name={name}")).unwrap_or_default();
    format!(
        "GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// The header of a text frame of a client. The mask is zero.
fn header(length: usize) -> Vec<u8> {
    let mut header = vec![0x81];
    match length {
        0..=125 => header.push(0x80 | length as u8),
        126..=0xFFFF => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

fn frame(text: &[u8]) -> Vec<u8> {
    [header(text.len()), text.to_vec()].concat()
}

fn on_http(stage: &Stage) -> Result<Stage, String> {
    let address = stage.http.ok_or("the server speaks no HTTP.")?;
    Ok(Stage { address, ..*stage })
}

pub(crate) const SILENT: Attack = Attack {
    options: OPTIONS,
    ..Attack::of(
        "ws-silent",
        "{} connections to the HTTP port that never register: half requests, silent upgrades, half frames",
        (3_000, 150),
        (REQUEST, LISTENER),
        silent,
    )
};

fn silent(stage: &Stage) -> Result<Told, String> {
    let stage = on_http(stage)?;
    let first = |number: usize| match number % 3 {
        0 => request(None)[..40].to_vec(),
        1 => request(None),
        _ => [request(None), header(60)[..3].to_vec()].concat(),
    };
    let mut crowd = Crowd::open(&stage, stage.size, first)?;
    let begun = Instant::now();
    while !crowd.members.is_empty() {
        if begun.elapsed() > PATIENCE {
            let left = crowd.members.len();
            return Err(format!("the server has not closed {left} connections without a name."));
        }
        crowd.read();
        thread::sleep(Duration::from_millis(25));
    }
    let is_told = |told: &[u8]| String::from_utf8_lossy(told).contains("no name came within");
    let upgraded = crowd.closed.iter().filter(|member| member.number % 3 != 0);
    let uninformed = upgraded.filter(|member| !is_told(&member.told)).count();
    if uninformed > 0 {
        return Err(format!("{uninformed} WebSockets were closed and not told why."));
    }
    Ok(Told::Done(format!("all {} were closed", grouped(stage.size))))
}

pub(crate) const HALF_FRAMES: Attack = Attack {
    options: OPTIONS,
    ..Attack::of(
        "ws-half-frames",
        "{} browsers that send half a message and no more",
        (1_000, 100),
        (FRAME as u64 + 8 * 1024, LISTENER),
        half_frames,
    )
};

fn half_frames(stage: &Stage) -> Result<Told, String> {
    let stage = on_http(stage)?;
    let mut text = br#"{"from":{"name":"","ip":""},"to":"nobody","msg":""#.to_vec();
    text.resize(FRAME / 2, b'a');
    let half = [header(FRAME - 2), text].concat();
    let mut crowd =
        Crowd::open(&stage, stage.size, |number| request(Some(&format!("half{number}"))))?;
    crowd.read_welcomes()?;
    for member in &mut crowd.members {
        let sent =
            member.stream.set_nonblocking(false).and_then(|()| member.stream.write_all(&half));
        let sent = sent.and_then(|()| member.stream.set_nonblocking(true));
        sent.map_err(|error| format!("half a message was not taken: {error}."))?;
    }
    while !stage.is_over() {
        crowd.read();
        thread::sleep(Duration::from_millis(50));
    }
    match crowd.closed.len() {
        0 => Ok(Told::Done(format!("{} KiB each", half.len() / 1024))),
        closed => Err(format!("{closed} browsers were closed, which had sent nothing wrong.")),
    }
}

pub(crate) const STALLED: Attack = Attack {
    options: OPTIONS,
    small_options: &["--drain", "500ms", "--queue-bytes", "128KiB"],
    ..Attack::of(
        "ws-stalled",
        "{} browsers that never read, while a room hears 16 KiB again and again",
        (200, 20),
        (64 * 1024, 64 << 20),
        stalled,
    )
};

fn stalled(stage: &Stage) -> Result<Told, String> {
    let http = on_http(stage)?;
    let mut browsers = Vec::new();
    for number in 0..stage.size {
        let mut stream = connect_small(http.address)?;
        let join = frame(&object("/join", "#crowd"));
        let begun = [request(Some(&format!("stalled{number}"))), join].concat();
        stream.write_all(&begun).map_err(|error| format!("a browser cannot begin: {error}."))?;
        browsers.push(stream);
    }
    let mut speaker = connect(stage.address)?;
    speak(&mut speaker, b"speaker\n")?;
    speak(&mut speaker, &object("/join", "#crowd"))?;
    let mut witness = connect(stage.address)?;
    speak(&mut witness, b"witness\n")?;
    let mut members_are = |count: usize| {
        let count = format!("Members of #crowd ({count})");
        ask(&mut witness, "/who", "#crowd").map(|answer| answer.contains(&count))
    };
    let begun = Instant::now();
    while !members_are(stage.size + 1)? {
        if begun.elapsed() > PATIENCE {
            return Err("the browsers did not join.".to_owned());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let text = object("#crowd", &"x".repeat(16 * 1024));
    let (begun, mut spoken, mut are_gone) = (Instant::now(), 0, false);
    while !stage.is_over() || !are_gone {
        if begun.elapsed() > PATIENCE {
            return Err("the browsers that do not read are still there.".to_owned());
        }
        speak(&mut speaker, &text)?;
        spoken += 1;
        drain(&mut speaker)?;
        if spoken % 16 == 0 {
            are_gone = members_are(1)?;
        }
        thread::sleep(Duration::from_millis(if stage.is_small { 10 } else { 50 }));
    }
    browsers.into_iter().for_each(abort);
    Ok(Told::Done(format!("{spoken} messages, and all were sent away")))
}

pub(crate) const RESETS: Attack = Attack {
    options: OPTIONS,
    ..Attack::of(
        "ws-resets",
        "{} requests that are reset: half, whole, and upgraded",
        (100_000, 2_000),
        // of each a deadline stays, of 16 bytes, until its time has come
        (64, LISTENER + (4 << 20)),
        resets,
    )
};

fn resets(stage: &Stage) -> Result<Told, String> {
    const WITHIN: Duration = Duration::from_secs(120);
    let stage = on_http(stage)?;
    let (begun, mut done) = (Instant::now(), 0);
    while done < stage.size && begun.elapsed() < WITHIN {
        let mut stream = connect(stage.address)?;
        let name = format!("reset{done}");
        let bytes = match done % 4 {
            0 => Vec::new(),
            1 => request(None)[..30].to_vec(),
            2 => request(Some(&name)),
            _ => [request(Some(&name)), frame(&object("/list", ""))].concat(),
        };
        // the server may be faster than this
        let _ = stream.write(&bytes);
        if done % 16 == 3 {
            read_upgrade(&mut stream);
        }
        abort(stream);
        done += 1;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let told = format!("{} of them, {} a second", grouped(done), grouped(rate as usize));
    Ok(if done < stage.size { Told::Cut(done, told) } else { Told::Done(told) })
}

/// Waits until the connection is with an event loop. A busy listener may refuse.
fn read_upgrade(stream: &mut TcpStream) {
    let mut answer = [0; 4096];
    let _ = stream.read(&mut answer);
}
