//! Attacks by those who never become users.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::super::PATIENCE;
use super::super::crowd::{Crowd, abort, connect};
use super::super::stage::{Attack, Stage, Told, grouped};

/// What a connection may cost before it has a name.
const GUEST: u64 = 8 * 1024;

pub(crate) const SILENT: Attack = Attack::of(
    "silent",
    "{} connections that never register: silent, white space, half a character, dripping",
    (5_000, 200),
    (GUEST, 64 * 1024),
    silent,
);

/// Opens all of them, and keeps the dripping ones dripping until the server has closed them all.
fn silent(stage: &Stage) -> Result<Told, String> {
    const DRIP: Duration = Duration::from_millis(250);
    let first = |number: usize| match number % 4 {
        0 => b"".to_vec(),
        1 => b" \t\r ".to_vec(),
        2 => b"\xf0\x9f".to_vec(),
        _ => b"drip \xf0".to_vec(),
    };
    let mut crowd = Crowd::open(stage, stage.size, first)?;
    let (begun, mut dripped) = (Instant::now(), Instant::now());
    while !crowd.members.is_empty() {
        if begun.elapsed() > PATIENCE {
            let left = crowd.members.len();
            return Err(format!("the server has not closed {left} connections without a name."));
        }
        if dripped.elapsed() >= DRIP {
            dripped = Instant::now();
            for member in crowd.members.iter_mut().filter(|member| member.number % 4 == 3) {
                // it ends a character, which ends no name, and begins another; one that is closed
                // takes it no more
                let _ = member.stream.write(b"\x9f\x98\x80\xf0");
            }
        }
        crowd.read();
        thread::sleep(Duration::from_millis(25));
    }
    let told = |text: &[u8]| String::from_utf8_lossy(text).contains("no name came within");
    let uninformed = crowd.closed.iter().filter(|member| !told(&member.told)).count();
    if uninformed > 0 {
        return Err(format!("{uninformed} connections were closed and not told why."));
    }
    Ok(Told::Done(format!("all {} were told and closed", grouped(stage.size))))
}

pub(crate) const CONNECT_ABORT: Attack = Attack::of(
    "connect-abort",
    "{} connections that are reset at once, an eighth of them with a name",
    (1_000_000, 5_000),
    // of each a deadline stays, of 16 bytes, until its time has come
    (32, 4 << 20),
    connect_abort,
);

fn connect_abort(stage: &Stage) -> Result<Told, String> {
    const WITHIN: Duration = Duration::from_secs(300);
    let (begun, mut done) = (Instant::now(), 0);
    while done < stage.size && begun.elapsed() < WITHIN {
        let mut stream = connect(stage.address)?;
        if done % 8 == 7 {
            // the server may be faster than this
            let _ = stream.write(format!("aborting {done}\n").as_bytes());
        }
        abort(stream);
        done += 1;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let told = format!("{} of them, {} a second", grouped(done), grouped(rate as usize));
    Ok(if done < stage.size { Told::Cut(done, told) } else { Told::Done(told) })
}

pub(crate) const DESCRIPTORS: Attack = Attack {
    descriptors: 256,
    lasts: Duration::from_secs(20),
    ..Attack::of(
        "descriptors",
        "{} connections at a time to a server that may have 256 descriptors",
        (400, 400),
        (GUEST, 64 * 1024),
        descriptors,
    )
};

/// Takes every place that there is, and comes again when it is sent away; never says a word.
fn descriptors(stage: &Stage) -> Result<Told, String> {
    let (mut crowd, mut opened) = (Crowd::default(), 0);
    while !stage.is_over() {
        while crowd.members.len() + crowd.closed.len() < stage.size {
            crowd.add(connect(stage.address)?, opened, b"")?;
            opened += 1;
        }
        crowd.read();
        // those that were told stay as they are, and make the server wait for their end, as long
        // as there are no newer ones
        let idle = crowd.closed.len().saturating_sub(stage.size / 4);
        crowd.closed.drain(..idle).for_each(|member| abort(member.stream));
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Told::Done(format!("{} in all", grouped(opened))))
}
