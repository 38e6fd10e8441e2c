//! Standard error for whoever must not wait for it: lines are queued, and a thread writes them. A
//! reader that does not read (a full pipe, a terminal that is held) costs lines, never time: of
//! those that wait, the oldest are dropped first, and a line in their place says how many.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many lines may wait.
const CAPACITY: usize = 1_024;
/// How long the end of the program waits for what is queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

static QUEUE: Queue = Queue::new(CAPACITY);

/// Starts the thread that writes. From here on nothing else may write to standard error, because
/// that would wait.
pub(crate) fn start() -> io::Result<()> {
    let serve = || {
        let mut out = io::stderr();
        loop {
            QUEUE.write_next(&mut out);
        }
    };
    thread::Builder::new().name("stderr".to_owned()).spawn(serve)?;
    QUEUE.state().is_served = true;
    Ok(())
}

/// What a logger writes to: each write is one line.
pub(crate) fn queue() -> &'static Queue {
    &QUEUE
}

/// Says a line: in its turn if there is a queue, at once if not.
pub(crate) fn say(line: impl fmt::Display) {
    let line = format!("{line}\n").into_bytes();
    if QUEUE.state().is_served {
        QUEUE.push(line);
    } else {
        // there is nowhere else to say it
        let _ = io::stderr().write_all(&line);
    }
}

/// Gives what is queued a moment to be written. To be called before the program ends.
pub(crate) fn finish() {
    if QUEUE.state().is_served {
        QUEUE.wait_until_written(LAST_WORDS);
    }
}

/// Lines that wait to be written.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// How many lines are missing in front of the first one.
    dropped: u64,
    is_writing: bool,
    is_served: bool,
}

impl Queue {
    pub(crate) const fn new(capacity: usize) -> Self {
        let state =
            State { lines: VecDeque::new(), dropped: 0, is_writing: false, is_served: false };
        Queue {
            state: Mutex::new(state),
            filled: Condvar::new(),
            written: Condvar::new(),
            capacity,
        }
    }

    fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        if state.lines.len() >= self.capacity {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(line);
        self.filled.notify_one();
    }

    /// Waits for a line, and writes it. The lock is free while it writes.
    fn write_next(&self, out: &mut impl Write) {
        let mut state = self
            .filled
            .wait_while(self.state(), |state| state.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let line = state.lines.pop_front().unwrap_or_default();
        let dropped = std::mem::take(&mut state.dropped);
        state.is_writing = true;
        drop(state);

        let mut lost = 0;
        if dropped > 0 && out.write_all(report(dropped).as_bytes()).is_err() {
            lost += dropped;
        }
        if out.write_all(&line).is_err() {
            lost += 1;
        }
        let mut state = self.state();
        state.dropped += lost;
        state.is_writing = false;
        self.written.notify_all();
    }

    fn wait_until_written(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        let waited = self.written.wait_timeout_while(self.state(), patience, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines that wait.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<String> {
        let lines = std::mem::take(&mut self.state().lines);
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn report(dropped: u64) -> String {
    let lines = if dropped == 1 { "line was" } else { "lines were" };
    format!("log: {dropped} {lines} dropped because standard error did not take them\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    fn fill(queue: &Queue, lines: std::ops::Range<usize>) {
        for line in lines {
            queue.push(format!("{line}\n").into_bytes());
        }
    }

    /// Takes a line when it is told to, and not before.
    struct Held {
        begun: Sender<()>,
        released: Receiver<()>,
        text: Vec<u8>,
    }

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).unwrap();
            self.released.recv().unwrap();
            self.text.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Refuses so many writes.
    struct Failing(usize, Vec<u8>);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_dropped_while_a_write_is_stuck_and_their_number_is_said_in_their_place() {
        let queue = Arc::new(Queue::new(3));
        let ((begun, has_begun), (release, released)) = (mpsc::channel(), mpsc::channel());
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut out = Held { begun, released, text: Vec::new() };
                (0..4).for_each(|_| queue.write_next(&mut out));
                String::from_utf8(out.text).unwrap()
            }
        });
        fill(&queue, 0..1);
        has_begun.recv().unwrap();
        // the write of line 0 is stuck, and nobody else is
        fill(&queue, 1..1_001);
        queue.wait_until_written(Duration::ZERO);
        (0..5).for_each(|_| release.send(()).unwrap());
        queue.wait_until_written(Duration::from_secs(60));
        assert_eq!(
            writer.join().unwrap(),
            "0\nlog: 997 lines were dropped because standard error did not take them\n\
             998\n999\n1000\n"
        );
    }

    #[test]
    fn what_cannot_be_written_is_counted_too() {
        let queue = Queue::new(3);
        // lines 0 and 1, then the report of them
        let mut out = Failing(1, Vec::new());
        fill(&queue, 0..3);
        queue.write_next(&mut out);
        out.0 = 2;
        queue.write_next(&mut out);
        queue.write_next(&mut out);
        assert_eq!(
            String::from_utf8(out.1).unwrap(),
            "log: 2 lines were dropped because standard error did not take them\n2\n"
        );
    }

    #[test]
    fn one_line_is_one_line() {
        assert!(report(1).starts_with("log: 1 line was dropped"), "{}", report(1));
    }
}
