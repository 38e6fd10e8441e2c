//! `serve`: the one place where a server is put together from options, the admins' token,
//! descriptors, the logs and signals. Its [`options`] are the command line, and the [`limits`] follow
//! from them. Parts that can change while the server runs are in [`reload`](crate::reload).

pub(crate) mod limits;
mod options;

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chatproto::hub::Event;
use chatproto::{Limits, Server, ServerBuilder, ServerError, ServerHandle};
use shared::failure::{Failure, reason};
use shared::stderr;
use shared::text::visible;
use shared::units::resolve_to_listen;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};
use tracing::{info, warn};

use crate::audit::{AuditFile, AuditLog};
use crate::hangup::Terminal;
use crate::journal::Journal;
use crate::log;
use crate::persistence::{self, AttachedPersistence, Persistence};
use crate::reload::{self, Bans, LogLevel, Reloader, Running};
use crate::sanctions::Sanctions;
use crate::tls::{Material, TlsMode};
use crate::token::AdminToken;

use limits::{RESERVED_DESCRIPTORS, limit_to_room, raise_descriptor_limit, room};

pub(crate) use options::{Level, ServeOptions};

/// Serves until a signal ends it. `read` reads the options again when the configuration is loaded again.
pub(crate) fn run(options: &ServeOptions, read: reload::Read) -> Result<(), Failure> {
    let located = |failure| match failure {
        Failure::Usage(sentence) => Failure::Usage(options.settings.locate(&sentence)),
        other => other,
    };
    if options.print_config {
        options.limits(usize::MAX).map_err(located)?;
        return print(&options.settings.file_text());
    }
    if options.check_config {
        return check(options).map_err(located);
    }
    serve(options, read).map_err(located)
}

/// Checks what a server would be started with. Files are read, and nothing is made or changed. A
/// server that runs with the same options is no mistake.
fn check(options: &ServeOptions) -> Result<(), Failure> {
    log::start(options.log.into()).map_err(|error| no_thread(&error))?;
    let room = room(raise_descriptor_limit(), options.connections.max_connections)?;
    let limits = options.limits(room)?;
    limits.check().map_err(|error| Failure::Usage(error.to_string()))?;
    AdminToken::find(options.moderation.admin_token.as_deref())?;
    if let Some(path) = &options.moderation.audit_log {
        AuditFile::check(path)?;
    }
    if let Some(tls) = Material::load(&options.tls)? {
        tls.log();
    }
    let mut addresses = resolve_to_listen(&options.listen).map_err(Failure::Usage)?;
    if options.tls.tls != Some(TlsMode::Off) {
        addresses.extend(resolve_to_listen(&options.tls.tls_listen).map_err(Failure::Usage)?);
    }
    check_listening(&addresses)?;
    Persistence::check(options)?;
    print("the configuration is valid\n")
}

/// Checks that this machine has the addresses, and that this user may listen on them. Each is bound and
/// closed again. One that is in use may be that of the server that runs with these options.
fn check_listening(addresses: &[SocketAddr]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for &address in addresses {
        if address.port() != 0 && !seen.insert(address) {
            return Err(Failure::Usage(format!("--listen has {address} twice: name it once")));
        }
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => warn!(
                "{address} is in use: a server can start with this configuration when that has ended"
            ),
            Err(error) => return Err(Failure::Usage(cannot_listen_on(&address, &error))),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Writes to standard output; whoever reads may stop in the middle.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Run(format!("cannot write to standard output: {}", reason(&error))))
        }
        _ => Ok(()),
    }
}

fn serve(options: &ServeOptions, read: reload::Read) -> Result<(), Failure> {
    let signals = Obedience::begin()?;
    let switch = log::start(options.log.into()).map_err(|error| no_thread(&error))?;
    let descriptors = raise_descriptor_limit();
    let room = room(descriptors, options.connections.max_connections)?;
    #[cfg(target_os = "linux")]
    limits::make_room_for_descriptors(descriptors.min(room.saturating_add(RESERVED_DESCRIPTORS)));
    let limits = options.limits(room)?;
    let token = AdminToken::find(options.moderation.admin_token.as_deref())?;
    let audit = AuditFile::open(options.moderation.audit_log.as_deref())?;
    let journal = Arc::new(Journal::new(options.log.into()));
    let audit = Arc::new(AuditLog::start(audit, Arc::clone(&journal))?);
    let tls = Material::load(&options.tls)?;
    let kept = Persistence::open(options, &journal)?;
    let sanctions = kept.as_ref().map(|kept| Arc::clone(&kept.sanctions));
    let plan =
        Plan { options, limits, token, tls, journal: Arc::clone(&journal), audit, sanctions };
    let (server, held) = plan.bind(kept)?;
    let handle = server.handle();
    if let Some(held) = &held {
        held.begin(&handle)?;
    }
    let bans = Bans::new(handle.clone(), &options.moderation.ban);
    let running = Running {
        handle: handle.clone(),
        descriptors,
        token: plan.token.clone(),
        audit: Arc::clone(&plan.audit),
        bans,
        has_tls: plan.tls.is_some(),
    };
    let log_level = LogLevel { level: options.log, switch, journal: Arc::clone(&journal) };
    let reloader = Reloader::new(options, read, log_level, reload::parts(running));
    signals.obey_with(Commands {
        handle: handle.clone(),
        reloader,
        audit: Arc::clone(&plan.audit),
    });

    info!("descriptor limit {descriptors}: room for {} connections", limit_to_room(descriptors));
    match &held {
        Some(held) => held.log(),
        None => persistence::log_nothing(options),
    }
    plan.log_moderation();
    if let Some(tls) = &plan.tls {
        tls.log();
    }
    for address in server.tls_addrs() {
        info!("TLS on {address}");
    }
    announce(&server);
    let tables = held.as_ref().map(AttachedPersistence::tables);
    let tables = move || tables.as_ref().map_or_else(Vec::new, |tables| tables());
    let reporter = log::report(Arc::clone(&journal), Arc::clone(&plan.audit), handle, tables);
    let outcome = server.run();
    drop(reporter);
    plan.audit.close();
    if let Some(held) = held {
        held.end();
    }
    journal.close();
    outcome.map_err(|error| Failure::Run(error.to_string()))
}

/// What a server is made of.
struct Plan<'a> {
    options: &'a ServeOptions,
    limits: Limits,
    token: Option<AdminToken>,
    tls: Option<Material>,
    journal: Arc<Journal>,
    audit: Arc<AuditLog>,
    sanctions: Option<Arc<Sanctions>>,
}

impl Plan<'_> {
    /// Listens on all addresses.
    fn bind(
        &self,
        kept: Option<Persistence>,
    ) -> Result<(Server, Option<AttachedPersistence>), Failure> {
        let addresses = resolve_to_listen(&self.options.listen).map_err(Failure::Usage)?;
        let (builder, held) = match kept {
            Some(kept) => {
                let (builder, held) = kept.apply(self.builder()?);
                (builder, Some(held))
            }
            None => (self.builder()?, None),
        };
        let server = builder.bind_all(&addresses);
        server.map(|server| (server, held)).map_err(|error| Failure::Usage(cannot_listen(&error)))
    }

    fn builder(&self) -> Result<ServerBuilder, Failure> {
        let (journal, audit) = (Arc::clone(&self.journal), Arc::clone(&self.audit));
        let sanctions = self.sanctions.clone();
        let observe = move |event: &Event| {
            journal.observe(event);
            audit.observe(event);
            if let Some(sanctions) = &sanctions {
                sanctions.observe(event);
            }
        };
        let mut builder = Server::builder()
            .limits(self.limits.clone())
            .slow_reader(self.options.readers.slow_reader.into())
            .announce(self.options.moderation.announce)
            .observer(observe);
        if let Some(token) = &self.token {
            builder = builder.admin_token(token.as_str());
        }
        if let Some(tls) = &self.tls {
            builder = tls.apply(&self.options.tls, builder)?;
        }
        Ok(match self.options.threads.0 {
            Some(threads) => builder.threads(threads),
            None => builder,
        })
    }

    /// Says how order is kept.
    fn log_moderation(&self) {
        if self.token.is_some() {
            info!("whoever has the admin token may use /admin");
        }
        if let Some(path) = &self.options.moderation.audit_log {
            info!("audit log: {}", visible(&path.to_string_lossy()));
        }
        if !self.options.moderation.ban.is_empty() {
            info!("bans of the configuration: {}", self.options.moderation.ban.len());
        }
    }
}

/// What cannot be listened on, why, and what to do about it.
fn cannot_listen(error: &ServerError) -> String {
    match error {
        ServerError::Listen { address, source } => cannot_listen_on(address, source),
        other => other.to_string(),
    }
}

fn cannot_listen_on(address: &dyn std::fmt::Display, source: &io::Error) -> String {
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

/// The lines on standard output, one for each address: clients may now connect.
fn announce(server: &Server) {
    let mut out = io::stdout().lock();
    let mut addresses = server.local_addrs().iter();
    let written = addresses
        .try_for_each(|address| writeln!(out, "listening on {address}"))
        .and_then(|()| out.flush());
    // a server whose standard output is closed serves all the same
    if let Err(error) = written {
        warn!(reason = %reason(&error), "cannot write to standard output");
    }
}

/// What signals do to a server that is ready.
struct Commands {
    handle: ServerHandle,
    reloader: Reloader,
    audit: Arc<AuditLog>,
}

/// Signals are obeyed from the first moment on. The first signal to stop stops the server, the second
/// one the program, and so does the first one before the server is ready. SIGHUP loads the configuration
/// again, unless the terminal is gone. Before the server is ready, it waits.
struct Obedience(Arc<Mutex<Early>>);

/// What is known before the server is ready, and then what is obeyed.
#[derive(Default)]
struct Early {
    commands: Option<Commands>,
    is_reload_due: bool,
}

impl Obedience {
    fn begin() -> Result<Self, Failure> {
        let terminal = Terminal::at_start();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| Failure::Run(format!("cannot handle signals: {}", reason(&error))))?;
        let state = Arc::new(Mutex::new(Early::default()));
        let shared = Arc::clone(&state);
        let wait = move || {
            let mut is_stopping = false;
            for signal in signals.forever() {
                let is_reload = signal == SIGHUP && !terminal.is_gone();
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(commands) = &mut state.commands else {
                    if is_reload {
                        state.is_reload_due = true;
                        continue;
                    }
                    stderr::finish();
                    // an error means that the signal has no such effect
                    let _ = emulate_default_handler(signal);
                    std::process::exit(128 + signal);
                };
                if is_reload {
                    if !is_stopping {
                        commands.reloader.reload();
                    }
                    continue;
                }
                if is_stopping {
                    commands.audit.close();
                    stderr::finish();
                    std::process::exit(128 + signal);
                }
                is_stopping = true;
                let name = signal_name(signal).unwrap_or("a signal");
                info!(online = commands.handle.online(), "{name}: saying goodbye");
                commands.handle.stop();
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)
            .map_err(|error| no_thread(&error))?;
        Ok(Obedience(state))
    }

    /// The server is ready.
    fn obey_with(self, mut commands: Commands) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_reload_due {
            commands.reloader.reload();
        }
        state.commands = Some(commands);
    }
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
