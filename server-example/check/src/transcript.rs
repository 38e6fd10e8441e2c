//! What was on the wire while one thing was tried: each write, each read, each end, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::quote;

/// As many bytes of one write or read are kept.
const KEPT: usize = 2048;
/// As many lines are shown, half of them from the beginning.
const LINES: usize = 40;
/// As many entries are kept.
const ENTRIES: usize = 400;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Sent,
    Came,
}

/// The record, shared by the connections that are part of one trial.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    label: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Bytes { direction: Direction, kept: Vec<u8>, length: usize },
    Note(String),
}

impl Transcript {
    pub(super) fn add(&self, label: &str, direction: Direction, bytes: &[u8]) {
        let kept = bytes[..bytes.len().min(KEPT)].to_vec();
        self.push(label, What::Bytes { direction, kept, length: bytes.len() });
    }

    pub(super) fn note(&self, label: &str, note: &str) {
        self.push(label, What::Note(note.to_owned()));
    }

    fn push(&self, label: &str, what: What) {
        let mut entries = self.entries();
        if entries.len() < ENTRIES {
            entries.push(Entry { label: label.to_owned(), what });
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record as lines, after which a new one begins.
    pub(super) fn take_lines(&self, width: usize) -> Vec<String> {
        let lines = self.lines(width);
        self.entries().clear();
        lines
    }

    /// The record as lines, of which none is longer than some `width` characters of content.
    pub(super) fn lines(&self, width: usize) -> Vec<String> {
        let entries = self.entries();
        let line = |entry: &Entry| match &entry.what {
            What::Note(note) => format!("{} -- {note}", entry.label),
            What::Bytes { direction, kept, length } => {
                let text = quote::bytes(kept, width);
                let length = match *length {
                    length if length > width => format!(" ({length} bytes)"),
                    _ => String::new(),
                };
                let does = if *direction == Direction::Sent { "sends" } else { "reads" };
                format!("{} {does} {text}{length}", entry.label)
            }
        };
        let mut lines: Vec<_> = entries.iter().map(line).collect();
        if let Some(surplus) = lines.len().checked_sub(LINES).filter(|&surplus| surplus > 0) {
            let left_out = format!("… {surplus} more …");
            lines.splice(LINES / 2..LINES / 2 + surplus, [left_out]);
        }
        lines
    }
}
