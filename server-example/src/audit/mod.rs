//! The audit log: who moderated whom, and who was denied, in a file that is only ever added to. One
//! entry is one JSON object a line, for programs as much as for people:
//!
//! ```json
//! {"time":"2026-07-04T12:00:00.123+02:00","act":"ban","by":"alice","address":"127.0.0.1","target":"bob","duration_s":3600,"reason":"too loud"}
//! ```
//!
//! Event loops only queue entries. A thread writes them, so that a file which takes no bytes delays
//! nobody. Entries have budgets (see [`class_rules`]); a line with the field `count` stands for
//! those beyond:
//!
//! ```json
//! {"time":"…","act":"denied","by":null,"target":"/kick","count":990,"first":"…","last":"…"}
//! {"time":"…","act":"acts","by":"alice","target":null,"count":20,"first":"…","last":"…"}
//! {"time":"…","act":"missing","by":null,"target":null,"count":3,"first":"…","last":"…"}
//! ```
//!
//! `missing` counts entries that the queue or the file did not take. Each act among them is in the
//! ordinary log (see [`journal`](crate::journal)).

mod entry;
mod file;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::hub::Event;
use shared::failure::{Failure, reason};
use shared::lines::LineQueue;
use shared::text::Quoted;
use shared::usage::{Table, Usage};
use tracing::error;

use crate::budgets::Kind;
use crate::journal::Journal;
use crate::shares::{Hidden, Rules, Shares};

use entry::{AuditEntry, Class, Count};
use file::{Line, Target};

/// The most bytes of entries that wait for the file.
const MOST: usize = 1 << 20;
/// How long another file waits for the entries of the one before.
const REPLACEMENT: Duration = Duration::from_secs(1);
/// How long the end of the server waits until the entries are written.
const LAST_ENTRIES: Duration = Duration::from_secs(2);

/// Why an entry is not in a file that has no error.
const STALLED: &str = "the file does not accept entries fast enough";

const MIB: usize = 1 << 20;

/// How much of a class may be in the file. All classes together take at most 256 MiB in 24 hours of
/// one run of the server, and less than 1 MiB of counts beyond that.
fn class_rules(class: Class) -> Rules {
    match class {
        // the owners are commands, so each command has its budget whatever happens to the others
        Class::Denied => Rules {
            owner_per_second: 10,
            per_second: 200,
            owner_per_day: 4 * MIB,
            per_day: 64 * MIB,
            owners: 64,
        },
        Class::Forget => Rules {
            owner_per_second: 10,
            per_second: 100,
            owner_per_day: 4 * MIB,
            per_day: 64 * MIB,
            owners: 1_024,
        },
        Class::Act => Rules {
            owner_per_second: 100,
            per_second: 1_000,
            owner_per_day: 16 * MIB,
            per_day: 128 * MIB,
            owners: 1_024,
        },
    }
}

/// Adds acts of moderators, and what was denied, to a file.
#[derive(Debug)]
pub(crate) struct AuditLog {
    /// Whether there is a file.
    is_on: AtomicBool,
    queue: Arc<LineQueue<Target>>,
    shares: Mutex<[Shares; Class::ALL.len()]>,
    journal: Arc<Journal>,
}

/// A file that was opened to be the audit log, or none.
#[derive(Debug)]
pub(crate) struct AuditFile(Target);

/// Bytes that the audit log takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuditUsage {
    /// Entries that wait for the file.
    pub(crate) queue: Usage,
    /// What was added in the last 24 hours at most.
    pub(crate) day: Usage,
    /// The owners of the budgets.
    pub(crate) owners: Usage,
    /// Entries that the queue or the file did not take, since the start.
    #[cfg(test)]
    pub(crate) missing: u64,
}

impl AuditFile {
    /// Checks that the file can be opened, and makes nothing.
    pub(crate) fn check(path: &Path) -> Result<(), Failure> {
        file::check(path)
    }

    /// Opens the file, if there is to be one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        Ok(AuditFile(path.map_or(Ok(Target::NONE), file::open)?))
    }
}

impl AuditLog {
    /// Starts the thread that adds to the file. The journal gets the entries that the file does not
    /// take.
    pub(crate) fn start(file: AuditFile, journal: Arc<Journal>) -> Result<Self, Failure> {
        let now = Instant::now();
        let log = AuditLog {
            is_on: AtomicBool::new(file.0.out.is_some()),
            queue: Arc::new(LineQueue::new(MOST)),
            shares: Mutex::new(Class::ALL.map(|class| Shares::new(class_rules(class), now))),
            journal,
        };
        let (queue, journal) = (Arc::clone(&log.queue), Arc::clone(&log.journal));
        let mut target = file.0;
        let work = move || {
            let lost = |line: Line, error| note_unwritten(&journal, &line, &error);
            while queue.write_next(&mut target, lost) {}
        };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(work)
            .map_err(|error| Failure::Run(format!("cannot start a thread: {}", reason(&error))))?;
        log.queue.begin();
        Ok(log)
    }

    /// From now on entries are added to the other file. Waits a moment for those of before.
    pub(crate) fn replace(&self, file: AuditFile) {
        self.is_on.store(file.0.out.is_some(), Ordering::Relaxed);
        self.queue.replace(file.0, REPLACEMENT);
    }

    /// Queues an entry if this event makes one. Never waits for the file.
    pub(crate) fn observe(&self, event: &Event) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let Some((class, owner)) = entry::class(event) else { return };
        let Some(entry) = AuditEntry::of(event, shared::clock::here) else { return };
        let text = entry.line();
        if self.shares()[class as usize].admit(owner, text.len(), Instant::now()) {
            self.add(Line { text: text.into(), is_act: class != Class::Denied });
        }
    }

    /// Adds the counts of the seconds that are over.
    pub(crate) fn tick(&self) {
        let now = Instant::now();
        self.add_counts(|shares| shares.tick(now));
    }

    /// Adds what is queued, within a time limit. The ordinary log gets the rest.
    pub(crate) fn close(&self) {
        let now = Instant::now();
        self.add_counts(|shares| shares.close(now));
        let unwritten = self.queue.close(LAST_ENTRIES);
        if unwritten.is_empty() {
            return;
        }
        for line in &unwritten {
            note_unwritten(&self.journal, line, &io::Error::other(STALLED));
        }
        error!("the audit log did not take {} entries before the end", unwritten.len());
    }

    /// Bytes that the audit log takes.
    pub(crate) fn usage(&self) -> AuditUsage {
        let queue = self.queue.usage();
        let shares = self.shares();
        AuditUsage {
            queue,
            day: shares.iter().map(Shares::usage).sum(),
            owners: shares.iter().map(Shares::owners_usage).sum(),
            #[cfg(test)]
            missing: self.queue.missed(),
        }
    }

    /// The tables of the audit log.
    pub(crate) fn tables(&self) -> [Table; 3] {
        let AuditUsage { queue, day, owners, .. } = self.usage();
        [
            Table::new("audit entries that wait for the file", queue),
            Table::new("audit file, in 24 hours", day),
            Table::new("owners of the audit log's budgets", owners),
        ]
    }

    fn add(&self, line: Line) {
        if let Err(line) = self.queue.try_push(line) {
            note_unwritten(&self.journal, &line, &io::Error::other(STALLED));
        }
    }

    fn add_counts(&self, counts: impl Fn(&mut Shares) -> Vec<Hidden>) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        for class in Class::ALL {
            let hidden = counts(&mut self.shares()[class as usize]);
            for hidden in &hidden {
                let text = Count::hidden(class, hidden).line();
                self.add(Line { text: text.into(), is_act: class != Class::Denied });
            }
        }
    }

    fn shares(&self) -> MutexGuard<'_, [Shares; Class::ALL.len()]> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs an entry that the file did not take; it is nowhere else. The entry is JSON in one line with
/// nothing invisible in it, so that it stands in the log as it is. The audit log has a budget for acts,
/// so there is no other one here, and every act is in one of the two logs.
fn note_unwritten(journal: &Journal, line: &Line, why: &io::Error) {
    let (entry, why) = (line.entry(), reason(why));
    let write = || error!(reason = %Quoted(&why), "not in the audit log: {entry}");
    if line.is_act {
        write();
    } else {
        journal.write(Kind::Unaudited, write);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
