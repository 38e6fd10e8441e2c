//! Standard error for threads that must not wait for it: lines are queued within a bound, and a
//! thread writes them (see [`lines`](crate::lines)). A reader that does not read (a full pipe, a
//! paused terminal) costs lines and never time. The oldest lines are dropped first, and a line in
//! their place says how many.

use std::fmt;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use crate::lines::{LineQueue, Missing, Output};

/// The most bytes of lines that are queued.
const MOST: usize = 1 << 20;
/// How long the end of the program waits until the queued lines are written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The queue in front of standard error.
pub type StderrQueue = LineQueue<Stderr>;

static QUEUE: StderrQueue = StderrQueue::new(MOST);

/// Starts the thread that writes. From here on nothing else may write to standard error, because
/// that would wait.
pub fn start() -> io::Result<()> {
    let serve = || {
        let mut out = Stderr;
        while QUEUE.write_next(&mut out, |_, _| {}) {}
    };
    thread::Builder::new().name("stderr".to_owned()).spawn(serve)?;
    QUEUE.begin();
    Ok(())
}

/// The queue that a logger writes to: each write is one line.
pub fn queue() -> &'static StderrQueue {
    &QUEUE
}

/// Writes a line: in its turn if there is a queue, at once if not.
pub fn say(line: impl fmt::Display) {
    let mut line = format!("{line}\n").into_bytes();
    line.shrink_to_fit();
    if QUEUE.is_served() {
        QUEUE.push(line);
    } else {
        // there is nowhere else to say it
        let _ = io::stderr().write_all(&line);
    }
}

/// Waits a moment until the queued lines are written. To be called before the program ends.
pub fn finish() {
    if QUEUE.is_served() {
        QUEUE.wait_until_written(LAST_WORDS);
    }
}

/// Standard error itself.
#[derive(Debug)]
pub struct Stderr;

impl Output for Stderr {
    type Line = Vec<u8>;

    fn begin_line(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn report(missing: &Missing) -> Vec<u8> {
        report(missing.count).into_bytes()
    }
}

fn report(dropped: u64) -> String {
    let lines = if dropped == 1 { "line was" } else { "lines were" };
    format!("log: {dropped} {lines} dropped because standard error did not take them\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_line() {
        assert!(report(1).starts_with("log: 1 line was dropped"), "{}", report(1));
    }
}
