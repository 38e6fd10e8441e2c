//! The server's log on standard error: how it starts, at which level, and its periodic lines. The lines
//! about events are those of the [`journal`](crate::journal).

use std::io::{self, IsTerminal};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::ServerHandle;
use shared::options::no_color;
use shared::stderr;
use shared::usage::Table;
use tracing::{info, warn};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::audit::AuditLog;
use crate::fill::Fill;
use crate::journal::Journal;

/// How often the counts are logged, if they changed.
const COUNTS_EVERY: Duration = Duration::from_secs(60);

/// The lines of these crates are logged.
const OURS: [&str; 2] = ["chatproto", "server_example"];

/// Starts logging to standard error.
pub(crate) fn start(level: LevelFilter) -> io::Result<LevelSwitch> {
    let is_colored = io::stderr().is_terminal() && !no_color();
    stderr::start()?;
    let (filter, switch) = reload::Layer::new(level);
    let lines = fmt::layer().with_writer(stderr::queue).with_ansi(is_colored).with_target(false);
    // a library's own lines would have no budget, and no words for an operator
    let is_ours = filter_fn(|line| OURS.iter().any(|ours| line.target().starts_with(ours)));
    tracing_subscriber::registry().with(filter).with(is_ours).with(lines).init();
    Ok(LevelSwitch(switch))
}

/// Changes how much is logged.
#[derive(Debug)]
pub(crate) struct LevelSwitch(reload::Handle<LevelFilter, Registry>);

impl LevelSwitch {
    pub(crate) fn set(&self, level: LevelFilter) {
        // it fails if nothing is logged any more
        let _ = self.0.reload(level);
    }
}

/// Keeps the log's periodic lines coming until it is dropped.
#[derive(Debug)]
pub(crate) struct Reporter {
    _stop: mpsc::Sender<()>,
}

/// Starts the periodic lines: counts of the lines that a flood hid, in both logs, counts of users, and
/// tables that are nearly full.
pub(crate) fn report(
    journal: Arc<Journal>,
    audit: Arc<AuditLog>,
    handle: ServerHandle,
    tables: impl Fn() -> Vec<Table> + Send + 'static,
) -> Reporter {
    let (stop, stopped) = mpsc::channel::<()>();
    let work = move || {
        let (mut last, mut counted_at) = (None, Instant::now());
        let mut fill = Fill::default();
        while stopped.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            journal.tick();
            audit.tick();
            fill.tick(&tables());
            if counted_at.elapsed() < COUNTS_EVERY {
                continue;
            }
            counted_at = Instant::now();
            let (online, connections) = (handle.online(), handle.connections());
            let (served, refused) = (journal.served(), journal.refused());
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
