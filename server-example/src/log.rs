//! The server's log: what happens in it, a line each on standard error, and counts. No text of a
//! message is ever in it, and what a peer wrote (a name it asked for) is quoted and escaped.
//!
//! Whoever connects can cause lines, so those that a stranger can cause at will are limited to a
//! few a second, and the rest is counted.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::{Departure, Event, ServerHandle};
use tracing::{debug, info, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::text::Quoted;

/// How many lines a second strangers may cause.
const LINES_PER_SECOND: u32 = 10;
/// How often the counts are logged, if they changed.
const COUNTS_EVERY: Duration = Duration::from_secs(60);

/// Starts logging to standard error.
pub(crate) fn start(level: LevelFilter) {
    let is_colored = io::stderr().is_terminal() && !no_color();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(is_colored)
        .with_target(false)
        .with_max_level(level)
        .init();
}

/// Whether the environment asks for no colours.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Writes down what happens in a server, and counts it.
#[derive(Debug)]
pub(crate) struct Journal {
    started: Instant,
    served: AtomicU64,
    refused: AtomicU64,
    strangers: AtomicU64,
    bad_input: AtomicU64,
    flood: Mutex<Flood>,
}

impl Default for Journal {
    fn default() -> Self {
        let now = Instant::now();
        Journal {
            started: now,
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            bad_input: AtomicU64::new(0),
            flood: Mutex::new(Flood::new(now)),
        }
    }
}

impl Journal {
    /// Takes an event of the server.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Connected { address, .. } => debug!(%address, "connected"),
            Event::Registered { address, name, kind, online, .. } => {
                count(&self.served);
                info!(name = %Quoted(name.as_str()), %address, %kind, online, "registered");
            }
            Event::Refused { address, name, reason, .. } => {
                count(&self.refused);
                if self.may_write() {
                    warn!(name = %Quoted(name), %address, reason = %Quoted(reason), "refused");
                }
            }
            Event::Stranger { address, protocol, .. } => {
                count(&self.strangers);
                if self.may_write() {
                    debug!(%address, protocol, "no chat client");
                }
            }
            Event::BadInput { name, error, .. } => {
                count(&self.bad_input);
                if self.may_write() {
                    warn!(name = %Quoted(name.as_str()), %error, "bad input");
                }
            }
            Event::Departed { address, name, reason, online, .. } => {
                let (name, why) = (Quoted(name.as_str()), reason.to_string());
                let why = Quoted(&why);
                match reason {
                    Departure::TooSlow { .. } | Departure::Broken => {
                        warn!(%name, %address, reason = %why, online, "departed");
                    }
                    _ => info!(%name, %address, reason = %why, online, "departed"),
                }
            }
            Event::AcceptPaused { reason, .. } => {
                if self.may_write() {
                    warn!(reason = %Quoted(reason), "no new connections for a moment");
                }
            }
            other => debug!("{}", Quoted(&format!("{other:?}"))),
        }
    }

    /// Writes the last line.
    pub(crate) fn close(&self) {
        self.write_hidden(self.flood().close());
        info!(
            uptime = %Uptime(self.started.elapsed()),
            served = read(&self.served),
            refused = read(&self.refused),
            strangers = read(&self.strangers),
            bad_input = read(&self.bad_input),
            "stopped"
        );
    }

    /// Whether one of the limited lines may be written now.
    fn may_write(&self) -> bool {
        let (is_admitted, hidden) = self.flood().admit(Instant::now());
        self.write_hidden(hidden);
        is_admitted
    }

    fn write_hidden(&self, hidden: u64) {
        if hidden > 0 {
            warn!("… and {hidden} more like it");
        }
    }

    fn flood(&self) -> MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the log's periodic lines coming until it is dropped.
#[derive(Debug)]
pub(crate) struct Reporter {
    _stop: mpsc::Sender<()>,
}

/// Starts the periodic lines: what a flood left unsaid, and the counts.
pub(crate) fn report(journal: Arc<Journal>, handle: ServerHandle) -> Reporter {
    let (stop, stopped) = mpsc::channel::<()>();
    let work = move || {
        let (mut last, mut counted_at) = (None, Instant::now());
        while stopped.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let hidden = journal.flood().tick(Instant::now());
            journal.write_hidden(hidden);
            if counted_at.elapsed() < COUNTS_EVERY {
                continue;
            }
            counted_at = Instant::now();
            let (online, connections) = (handle.online(), handle.connections());
            let (served, refused) = (read(&journal.served), read(&journal.refused));
            if last.replace((online, connections, served, refused))
                != Some((online, connections, served, refused))
            {
                info!(online, connections, served, refused, "counts");
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("reporter".to_owned()).spawn(work) {
        warn!(%error, "no counts will be logged");
    }
    Reporter { _stop: stop }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Admits so many lines a second and counts the others.
#[derive(Debug)]
struct Flood {
    second: Instant,
    lines: u32,
    hidden: u64,
}

impl Flood {
    fn new(now: Instant) -> Self {
        Flood { second: now, lines: 0, hidden: 0 }
    }

    /// Whether a line may be written, and how many were not in the second that is over.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        let hidden = self.tick(now);
        let is_admitted = self.lines < LINES_PER_SECOND;
        if is_admitted {
            self.lines += 1;
        } else {
            self.hidden += 1;
        }
        (is_admitted, hidden)
    }

    /// Begins a new second if it is time to; returns how many lines the old one hid.
    fn tick(&mut self, now: Instant) -> u64 {
        if now.duration_since(self.second) < Duration::from_secs(1) {
            return 0;
        }
        self.second = now;
        self.lines = 0;
        self.close()
    }

    fn close(&mut self) -> u64 {
        std::mem::take(&mut self.hidden)
    }
}

/// A long time as people say it: the two largest units.
struct Uptime(Duration);

impl std::fmt::Display for Uptime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, _) => write!(f, "{minutes}min {}s", seconds % 60),
            (0, _, _) => write!(f, "{hours}h {}min", minutes % 60),
            _ => write!(f, "{days}d {}h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        let admitted = (0..1_000).filter(|_| flood.admit(start).0).count();
        assert_eq!(admitted, 10);
        let later = start + Duration::from_secs(1);
        assert_eq!(flood.admit(later), (true, 990));
        assert_eq!(flood.admit(later), (true, 0));
        assert_eq!(flood.close(), 0);
    }

    #[test]
    fn uptimes() {
        for (seconds, shown) in [(5, "5s"), (65, "1min 5s"), (7_260, "2h 1min"), (180_000, "2d 2h")]
        {
            assert_eq!(Uptime(Duration::from_secs(seconds)).to_string(), shown);
        }
    }
}
