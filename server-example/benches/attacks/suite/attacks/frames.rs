//! Attacks by users with what they send.

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use super::super::PATIENCE;
use super::super::crowd::{Crowd, connect, write_for};
use super::super::stage::{Attack, Stage, Told, grouped};

/// The longest message of a server that is not told otherwise.
const FRAME: u64 = 64 * 1024;

pub(crate) const HALF_FRAMES: Attack = Attack::of(
    "half-frames",
    "{} users that send half a message and no more",
    (1_000, 100),
    (FRAME + 8 * 1024, 1 << 20),
    half_frames,
);

/// The beginning of a message that has not been sent to its end.
fn beginning(length: usize) -> Vec<u8> {
    let mut bytes = br#"{"from":{"name":"","ip":""},"to":"nobody","msg":""#.to_vec();
    bytes.resize(length, b'a');
    bytes
}

fn half_frames(stage: &Stage) -> Result<Told, String> {
    let half = beginning(FRAME as usize / 2);
    let name = |number| format!("half {number}\n").into_bytes();
    let mut crowd = Crowd::open(stage, stage.size, name)?;
    crowd.read_welcomes()?;
    for member in &mut crowd.members {
        member.stream.set_nonblocking(false).map_err(|error| error.to_string())?;
        let sent = write_for(&mut member.stream, &half, PATIENCE);
        if !sent.is_ok_and(|sent| sent == half.len()) {
            return Err("half a message was not taken.".to_owned());
        }
        member.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
    }
    while !stage.is_over() {
        crowd.read();
        thread::sleep(Duration::from_millis(50));
    }
    match crowd.closed.len() {
        0 => Ok(Told::Done(format!("{} KiB each", half.len() / 1024))),
        closed => Err(format!("{closed} connections were closed, which had sent nothing wrong.")),
    }
}

pub(crate) const GIANT_FRAME: Attack = Attack::of(
    "giant-frame",
    "a message of {} bytes, and a name of as many, over and over",
    (1 << 30, 16 << 20),
    (0, 1 << 20),
    giant_frame,
);

/// Sends as much of it as the server takes, a message and a name in turn, until it has taken the
/// whole size or the time is over.
fn giant_frame(stage: &Stage) -> Result<Told, String> {
    let block = vec![b'a'; 256 * 1024];
    let (mut tries, mut most) = (0, 0);
    let begun = Instant::now();
    while !stage.is_over() || tries < 2 {
        let mut stream = connect(stage.address)?;
        let first = match tries % 2 {
            0 => [format!("giant {tries}\n").as_bytes(), &beginning(1024)].concat(),
            _ => block.clone(),
        };
        let (mut sent, mut bytes) = (0, &first[..]);
        // until the server has had enough and closes
        while sent < stage.size {
            match write_for(&mut stream, bytes, PATIENCE) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
            bytes = &block;
        }
        // it may be gone already
        let _ = stream.shutdown(Shutdown::Both);
        (tries, most) = (tries + 1, most.max(sent));
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(Told::Done(format!("{tries} tries, of which at most {} bytes were read", grouped(most))))
}
