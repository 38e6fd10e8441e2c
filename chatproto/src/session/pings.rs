//! The `/ping`s by which a session notices a dead server: when to send one, and which messages answer
//! them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::Limits;

pub(super) const PING: &str = "/ping";

/// How the `msg` of the session's own `/ping`s begins.
const NONCE: &str = "keep-alive-";

/// The `/ping`s by which the session notices a dead server.
#[derive(Debug)]
pub(super) struct Pings {
    interval: Duration,
    /// When bytes came last, or the connection was made.
    heard: Option<Instant>,
    /// When the last one was queued, if nothing came since.
    asked: Option<Instant>,
    /// The number of the next one.
    next: u64,
    /// The numbers of those that were not answered.
    open: VecDeque<u64>,
}

/// What a silence of the server leads to.
#[derive(Debug)]
pub(super) enum Silence {
    /// A `/ping` with this nonce.
    Ask(String),
    /// The end: a `/ping` had no answer for so long.
    Dead(Duration),
}

impl Pings {
    const LEAST: Duration = Duration::from_millis(1);

    /// Most numbers that are stored, for a server that answers no `/ping` and sends other things.
    const MOST_OPEN: usize = 16;

    pub(super) fn new(interval: Duration) -> Self {
        let interval = interval.clamp(Self::LEAST, Limits::NEVER);
        Pings { interval, heard: None, asked: None, next: 0, open: VecDeque::new() }
    }

    /// Bytes came, or the caller did not read.
    pub(super) fn handle_life(&mut self, now: Instant) {
        (self.heard, self.asked) = (Some(now), None);
    }

    /// When something is to be done, if nothing comes before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.asked.or(self.heard)? + self.interval)
    }

    /// Nothing came until `now`, which is not before that time.
    pub(super) fn handle_silence(&mut self, now: Instant) -> Silence {
        if self.asked.is_some() {
            return Silence::Dead(self.interval);
        }
        self.asked = Some(now);
        Silence::Ask(self.ask())
    }

    /// The nonce of the next one.
    fn ask(&mut self) -> String {
        if self.open.len() == Self::MOST_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(self.next);
        self.next += 1;
        format!("{NONCE}{}", self.next - 1)
    }

    /// Whether the text answers one of them. Those before it were dropped by the server.
    pub(super) fn is_answer(&mut self, msg: &str) -> bool {
        let number = msg.strip_prefix(NONCE).and_then(|number| number.parse::<u64>().ok());
        let answered = match number {
            Some(number) => self.open.iter().position(|&open| open == number),
            // answers come in order (B15): a refusal is that of the first one
            None if msg.starts_with('❌') && msg.contains(PING) => Some(0),
            None => None,
        };
        match answered {
            Some(at) if at < self.open.len() => {
                self.open.drain(..=at);
                true
            }
            _ => false,
        }
    }
}
