//! A bounded queue of lines in front of a thread that writes them: producers never wait for the
//! output. The bound is in bytes. Lines that do not fit, or that the output refuses, are counted,
//! and a line in their place says how many are missing as soon as the output takes bytes again.
//!
//! Standard error ([`stderr`](crate::stderr)) and the audit log of a server use it.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::usage::Usage;

/// The pause after an output that would block.
const RETRY: Duration = Duration::from_millis(20);
/// The pause before another report of missing lines, while no line comes.
const REPORT_AGAIN: Duration = Duration::from_secs(1);
/// Bytes that a queued line takes besides its text: its place in the queue, which has twice as many
/// places while it grows, and the allocator's share. A line has no spare capacity.
pub const OVERHEAD: usize = 64;

/// An output of lines.
pub trait Output: Send {
    /// A queued line: its text with the line feed.
    type Line: AsRef<[u8]> + Clone + fmt::Debug + Send;

    /// Gets ready for a new line, such as by ending one that was cut short. May be called again.
    fn begin_line(&mut self) -> io::Result<()>;

    /// Writes a part of a line. The number of bytes that were written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The line that says how many are missing.
    fn report(missing: &Missing) -> Vec<u8>;
}

/// Lines that are not in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The number of lines.
    pub count: u64,
    /// When the first and the last of them were dropped.
    pub first: SystemTime,
    /// When the last of them was dropped.
    pub last: SystemTime,
}

impl Missing {
    const NONE: Self =
        Missing { count: 0, first: SystemTime::UNIX_EPOCH, last: SystemTime::UNIX_EPOCH };

    fn add_one(&mut self) {
        let now = SystemTime::now();
        self.merge(Missing { count: 1, first: now, last: now });
    }

    /// Adds others, from before these or after them.
    fn merge(&mut self, other: Missing) {
        if self.count == 0 {
            *self = other;
        } else if other.count > 0 {
            self.count += other.count;
            self.first = self.first.min(other.first);
            self.last = self.last.max(other.last);
        }
    }
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub struct LineQueue<O: Output> {
    state: Mutex<State<O>>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Debug)]
struct State<O: Output> {
    lines: VecDeque<O::Line>,
    /// The line that is being written.
    in_flight: Option<O::Line>,
    /// Bytes that `lines` and `in_flight` take.
    usage: Usage,
    /// Missing in front of the first line.
    missing: Missing,
    /// All that were ever missing.
    missed: u64,
    /// The output that replaces this one after this number of lines.
    next: Option<(usize, O)>,
    is_served: bool,
    /// Nothing is written any more.
    is_closed: bool,
}

impl<O: Output> LineQueue<O> {
    /// An empty queue of at most `most` bytes.
    pub const fn new(most: usize) -> Self {
        let state = State {
            lines: VecDeque::new(),
            in_flight: None,
            usage: Usage::of(most),
            missing: Missing::NONE,
            missed: 0,
            next: None,
            is_served: false,
            is_closed: false,
        };
        LineQueue { state: Mutex::new(state), filled: Condvar::new(), written: Condvar::new() }
    }

    /// Queues a line. If there is no room, the oldest lines are dropped.
    pub fn push(&self, line: O::Line) {
        let mut state = self.state();
        while !state.usage.has_room(cost(&line))
            && let Some(oldest) = state.lines.pop_front()
        {
            state.usage.subtract(cost(&oldest));
            state.miss();
            state.note_removed();
        }
        if state.is_closed || !state.usage.has_room(cost(&line)) {
            return state.miss();
        }
        state.add(line);
        self.filled.notify_one();
    }

    /// Queues a line, or hands it back if there is no room. Then it is missing.
    pub fn try_push(&self, line: O::Line) -> Result<(), O::Line> {
        let mut state = self.state();
        if state.is_closed || !state.usage.has_room(cost(&line)) {
            state.miss();
            return Err(line);
        }
        state.add(line);
        self.filled.notify_one();
        Ok(())
    }

    /// Has another output take the place of this one, after the lines that are queued now. If this
    /// one does not take them, the other one gets them too. Waits at most so long for that.
    pub fn replace(&self, output: O, patience: Duration) {
        let mut state = self.state();
        let queued = state.lines.len();
        state.next = Some((queued, output));
        self.filled.notify_one();
        let waited = self.written.wait_timeout_while(state, patience, |state| state.next.is_some());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// From now on a thread calls [`write_next`](Self::write_next).
    pub fn begin(&self) {
        self.state().is_served = true;
    }

    /// Whether a thread writes the lines.
    pub fn is_served(&self) -> bool {
        self.state().is_served
    }

    /// Waits for a line, and writes it. The lock is free meanwhile. A line that the output refuses
    /// is missing, and given to `lost`. False if the queue is closed.
    pub fn write_next(&self, output: &mut O, mut lost: impl FnMut(O::Line, io::Error)) -> bool {
        let mut state = self.state();
        while !state.is_closed && state.lines.is_empty() && state.next.is_none() {
            state = if state.missing.count == 0 {
                self.filled.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.filled.wait_timeout(state, REPORT_AGAIN);
                let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    drop(state);
                    self.write_report(output);
                    return true;
                }
                state
            };
        }
        if state.is_closed {
            return false;
        }
        if let Some((0, next)) = state.next.take_if(|(lines, _)| *lines == 0) {
            *output = next;
            self.written.notify_all();
            return true;
        }
        let Some(line) = state.lines.pop_front() else { return true };
        state.note_removed();
        state.in_flight = Some(line.clone());
        drop(state);

        let (mut state, outcome) = loop {
            self.write_report(output);
            let outcome = self.write_line(output, line.as_ref());
            let mut state = self.state();
            match state.next.take_if(|_| outcome.is_err()) {
                Some((_, next)) => {
                    *output = next;
                    self.written.notify_all();
                }
                None => break (state, outcome),
            }
        };
        if state.in_flight.take().is_some() {
            state.usage.subtract(cost(&line));
            if let Err(error) = outcome {
                state.miss();
                drop(state);
                lost(line, error);
            }
        }
        self.written.notify_all();
        true
    }

    /// Waits until everything is written, at most so long. Whether it is.
    pub fn wait_until_written(&self, patience: Duration) -> bool {
        let is_busy = |state: &mut State<O>| state.in_flight.is_some() || !state.lines.is_empty();
        let waited = self.written.wait_timeout_while(self.state(), patience, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits until everything is written, at most so long, then ends the writing. Returns the lines
    /// that were not written.
    pub fn close(&self, patience: Duration) -> Vec<O::Line> {
        self.wait_until_written(patience);
        let mut state = self.state();
        state.is_closed = true;
        state.usage.bytes = 0;
        let unwritten = state.in_flight.take().into_iter().collect::<VecDeque<_>>();
        let lines = std::mem::take(&mut state.lines);
        self.filled.notify_all();
        self.written.notify_all();
        unwritten.into_iter().chain(lines).collect()
    }

    /// Bytes that the queued lines take.
    pub fn usage(&self) -> Usage {
        self.state().usage
    }

    /// How many lines are missing in the output, since the start.
    pub fn missed(&self) -> u64 {
        self.state().missed
    }

    /// Writes the number of missing lines, unless it is 0.
    fn write_report(&self, output: &mut O) {
        let missing = std::mem::replace(&mut self.state().missing, Missing::NONE);
        if missing.count > 0 && self.write_line(output, &O::report(&missing)).is_err() {
            self.state().missing.merge(missing);
        }
    }

    fn write_line(&self, output: &mut O, line: &[u8]) -> io::Result<()> {
        let (mut rest, mut has_begun) = (line, false);
        while !rest.is_empty() {
            let written = match has_begun {
                true => output.write(rest),
                false => output.begin_line().map(|()| 0),
            };
            match written {
                Ok(0) if has_begun => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    has_begun = true;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.may_retry() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits before another try to write to an output that would block. False if there is another
    /// output now, or if nothing is written any more.
    fn may_retry(&self) -> bool {
        let begun = Instant::now();
        let mut state = self.state();
        loop {
            if state.is_closed || state.next.is_some() {
                return false;
            }
            let Some(left) = RETRY.checked_sub(begun.elapsed()) else { return true };
            let waited = self.filled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the queued lines off the queue.
    pub fn take(&self) -> Vec<O::Line> {
        let mut state = self.state();
        state.usage.bytes = 0;
        std::mem::take(&mut state.lines).into()
    }
}

impl<O: Output> State<O> {
    fn add(&mut self, line: O::Line) {
        self.usage.add(cost(&line));
        self.lines.push_back(line);
    }

    /// The first line has left the queue: the next output takes over one line earlier.
    fn note_removed(&mut self) {
        if let Some((lines, _)) = &mut self.next {
            *lines = lines.saturating_sub(1);
        }
    }

    fn miss(&mut self) {
        self.missing.add_one();
        self.missed += 1;
    }
}

fn cost(line: &impl AsRef<[u8]>) -> usize {
    line.as_ref().len() + OVERHEAD
}

impl<O: Output<Line = Vec<u8>>> Write for &LineQueue<O> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
