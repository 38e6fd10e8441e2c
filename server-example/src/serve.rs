//! `serve`: the one place where a server is put together from options, descriptors, the log and
//! signals.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use chatproto::{Event, Limits, Rate, Server, ServerBuilder, ServerError, ServerHandle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{info, warn};

use crate::cli::ServeOptions;
use crate::failure::{Failure, reason};
use crate::log::{self, Journal};
use crate::stderr;

/// Descriptors that are not for connections: the listener, event loops, standard streams, and what
/// libraries open for a moment.
const RESERVED_DESCRIPTORS: usize = 64;

/// Frames beyond this would make batches that no buffer is meant for.
const LARGEST_FRAME: usize = 64 << 20;
/// Less has no room for the server's own welcome.
const SMALLEST_FRAME: usize = 256;

/// Serves until a signal ends it.
pub(crate) fn run(options: &ServeOptions) -> Result<(), Failure> {
    let level = options.log.into();
    log::start(level).map_err(|error| no_thread(&error))?;
    let descriptors = raise_descriptor_limit();
    let room = room(descriptors, options.connections.max_connections)?;
    let limits = options.limits(room)?;
    let journal = Arc::new(Journal::new(level));
    let server = bind(options, &limits, &journal)?;
    let handle = server.handle();
    stop_on_signals(handle.clone())?;

    info!("descriptor limit {descriptors}: room for {} connections", limit_to_room(descriptors));
    announce(&server);
    let reporter = log::report(Arc::clone(&journal), handle);
    let outcome = server.run();
    drop(reporter);
    journal.close();
    outcome.map_err(|error| Failure::Run(error.to_string()))
}

impl ServeOptions {
    /// The bounds that were asked for; `connections` is what the machine allows.
    pub(crate) fn limits(&self, connections: usize) -> Result<Limits, Failure> {
        let frame = self.messages.max_frame.0;
        if !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&frame) {
            return Err(Failure::Usage("--max-frame must be from 256 bytes to 64MiB".to_owned()));
        }
        if frame > self.readers.queue_bytes.0 {
            return Err(Failure::Usage(format!(
                "--queue-bytes {} has no room for a message of --max-frame {}: ask for more of the \
                 one or less of the other",
                self.readers.queue_bytes, self.messages.max_frame
            )));
        }
        let mut limits = Limits::default();
        limits.frame = frame;
        limits.rate = self
            .messages
            .rate
            .0
            .map(|per_second| Rate { per_second, burst: per_second.saturating_mul(2) });
        limits.connections = connections;
        limits.per_address = self.connections.max_per_address;
        limits.name = self.connections.max_name;
        limits.registration = self.connections.registration_deadline.0;
        limits.handshake_grace = self.connections.handshake_grace.0;
        limits.linger = self.connections.linger.0;
        limits.queue_bytes = self.readers.queue_bytes.0;
        limits.queue_messages = self.readers.queue_messages;
        limits.queue_total = self.readers.queue_total.0;
        limits.drain = self.readers.drain.0;
        limits.one_read_gap = self.readers.one_read_gap.0;
        Ok(limits)
    }
}

/// Raises the soft limit to the hard one, and returns what it is then.
fn raise_descriptor_limit() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).or_else(|error| {
        warn!(reason = %reason(&error), "cannot raise the descriptor limit");
        rlimit::Resource::NOFILE.get_soft()
    });
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn limit_to_room(descriptors: usize) -> usize {
    descriptors.saturating_sub(RESERVED_DESCRIPTORS)
}

/// How many connections to allow under a descriptor limit.
fn room(descriptors: usize, asked: Option<usize>) -> Result<usize, Failure> {
    let room = limit_to_room(descriptors);
    match asked {
        _ if room == 0 => Err(Failure::Usage(format!(
            "the limit of {descriptors} file descriptors leaves no room for connections: raise it \
             with ulimit -n"
        ))),
        Some(asked) if asked > room => Err(Failure::Usage(format!(
            "--max-connections {asked} needs more file descriptors than the limit of {descriptors} \
             allows ({room} connections): raise it with ulimit -n or ask for fewer"
        ))),
        asked => Ok(asked.unwrap_or(room)),
    }
}

/// Listens on the first address of the host that can be listened on.
fn bind(
    options: &ServeOptions,
    limits: &Limits,
    journal: &Arc<Journal>,
) -> Result<Server, Failure> {
    let fail = |why| Failure::Usage(format!("cannot listen on {}: {why}", options.listen));
    let mut refused = None;
    for address in options.listen.resolve().map_err(fail)? {
        match builder(options, limits.clone(), Arc::clone(journal)).bind(address) {
            Ok(server) => return Ok(server),
            Err(error) => refused = Some(Failure::Usage(cannot_listen(&error))),
        }
    }
    Err(refused.unwrap_or_else(|| fail("it has no address".to_owned())))
}

fn builder(options: &ServeOptions, limits: Limits, journal: Arc<Journal>) -> ServerBuilder {
    let builder = Server::builder()
        .limits(limits)
        .slow_reader(options.readers.slow_reader.into())
        .observer(move |event: &Event| journal.observe(event));
    match options.threads {
        Some(threads) => builder.threads(threads),
        None => builder,
    }
}

/// What cannot be listened on, why, and what to do about it.
fn cannot_listen(error: &ServerError) -> String {
    let ServerError::Listen { address, source } = error else { return error.to_string() };
    let why = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "address already in use (is another server running? choose another port with --listen)"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 are for administrators: choose another with \
             --listen)"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address (0.0.0.0 and [::] stand for all it has)"
                .to_owned()
        }
        _ => reason(source),
    };
    format!("cannot listen on {address}: {why}")
}

/// The one line on standard output: whoever started the server may now connect.
fn announce(server: &Server) {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "listening on {}", server.local_addr()).and_then(|()| out.flush());
    // a server whose standard output is closed serves all the same
    if let Err(error) = written {
        warn!(reason = %reason(&error), "cannot write to standard output");
    }
}

/// The first signal stops the server, the second one the program.
fn stop_on_signals(handle: ServerHandle) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::Run(format!("cannot handle signals: {}", reason(&error))))?;
    let wait = move || {
        let mut is_stopping = false;
        for signal in signals.forever() {
            if is_stopping {
                stderr::finish();
                std::process::exit(128 + signal);
            }
            is_stopping = true;
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            info!(online = handle.online(), "{name}: saying goodbye");
            handle.stop();
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map_err(|error| no_thread(&error))?;
    Ok(())
}

fn no_thread(error: &io::Error) -> Failure {
    Failure::Run(format!("cannot start a thread: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_descriptors_are_refused() {
        assert_eq!(room(20_000, None), Ok(19_936));
        assert_eq!(room(20_000, Some(19_936)), Ok(19_936));
        assert_eq!(
            room(20_000, Some(100_000)).unwrap_err().to_string(),
            "--max-connections 100000 needs more file descriptors than the limit of 20000 allows \
             (19936 connections): raise it with ulimit -n or ask for fewer"
        );
        assert!(room(64, None).is_err());
    }
}
