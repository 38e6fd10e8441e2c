//! `serve`: the one place where a server is put together from options, the admins' token,
//! descriptors, the logs and signals. Its [`options`] are the command line, and the [`limits`] follow
//! from them. Parts that can change while the server runs are in [`reload`](crate::reload).

pub(crate) mod http;
pub(crate) mod limits;
mod listen;
mod monitoring;
mod options;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chatproto::hub::Event;
use chatproto::network::Network;
use chatproto::{Limits, Server, ServerBuilder, ServerHandle};
use metrics::Program;
use shared::failure::{Failure, reason};
use shared::stderr;
use shared::text::visible;
use shared::units::resolve_to_listen;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};
use tracing::info;

use crate::audit::{AuditFile, AuditLog};
use crate::figures::ProgramFigures;
use crate::hangup::Terminal;
use crate::journal::Journal;
use crate::log;
use crate::persistence::{self, AttachedPersistence, Persistence};
use crate::reload::{self, Bans, LogLevel, Reloader, Running};
use crate::sanctions::Sanctions;
use crate::tls::Material;
use crate::token::AdminToken;

use limits::{Descriptors, raise_descriptor_limit};

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
    let descriptors = Descriptors::new(raise_descriptor_limit(), !options.http.http.is_empty());
    let room = descriptors.room(options.connections.max_connections)?;
    let limits = options.limits(room)?;
    limits.check().map_err(|error| Failure::Usage(error.to_string()))?;
    AdminToken::find(options.moderation.admin_token.as_deref())?;
    if let Some(path) = &options.moderation.audit_log {
        AuditFile::check(path)?;
    }
    if let Some(tls) = Material::load(&options.tls)? {
        tls.log();
    }
    log_proxies(&options.connections.proxy_from);
    http::check(&options.http)?;
    listen::check(options)?;
    Persistence::check(options)?;
    print("the configuration is valid\n")
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
    let descriptors = Descriptors::new(raise_descriptor_limit(), !options.http.http.is_empty());
    let room = descriptors.room(options.connections.max_connections)?;
    #[cfg(target_os = "linux")]
    limits::make_room_for_descriptors(descriptors.with(room));
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
    let listener = http::bind(&options.http)?;
    let (server, held) = plan.bind(kept)?;
    let handle = server.handle();
    if let Some(held) = &held {
        held.begin(&handle)?;
    }
    let bans = Bans::new(handle.clone(), &options.moderation.ban);
    let figures: Arc<dyn Program> = Arc::new(ProgramFigures::new(
        handle.clone(),
        Arc::clone(&journal),
        Arc::clone(&plan.audit),
        held.as_ref().map(AttachedPersistence::gauges),
        persistence::wants_data(options),
    ));
    let serve_http = |listener| plan.serve_http(listener, descriptors, &handle, &figures);
    let http = listener.map(serve_http).transpose()?;
    let http_control = http.as_ref().map(http_listener::Running::control);
    let running = Running {
        handle: handle.clone(),
        descriptors,
        token: plan.token.clone(),
        audit: Arc::clone(&plan.audit),
        bans,
        has_tls: plan.tls.is_some(),
        http: http_control.clone(),
    };
    let log_level = LogLevel { level: options.log, switch, journal: Arc::clone(&journal) };
    let reloader = Reloader::new(options, read, log_level, reload::parts(running));
    signals.obey_with(Commands {
        handle: handle.clone(),
        http: http_control,
        reloader,
        audit: Arc::clone(&plan.audit),
    });

    let (limit, most) = (descriptors.limit, descriptors.most());
    info!("descriptor limit {limit}: room for {most} connections");
    match &held {
        Some(held) => held.log(),
        None => persistence::log_nothing(options),
    }
    plan.log_moderation();
    if let Some(tls) = &plan.tls {
        tls.log();
    }
    log_proxies(&options.connections.proxy_from);
    for address in server.tls_addrs() {
        info!("TLS on {address}");
    }
    listen::announce(&server);
    let tables = move || figures.tables();
    let reporter = log::report(Arc::clone(&journal), Arc::clone(&plan.audit), handle, tables);
    let outcome = server.run();
    drop(http);
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
        server
            .map(|server| (server, held))
            .map_err(|error| Failure::Usage(listen::cannot_listen(&error)))
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
            .proxy_from(self.options.connections.proxy_from.iter().copied())
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

    /// Serves HTTP beside the chat.
    fn serve_http(
        &self,
        listener: http_listener::Listener,
        descriptors: Descriptors,
        handle: &ServerHandle,
        figures: &Arc<dyn Program>,
    ) -> Result<http_listener::Running, Failure> {
        let bounds = (descriptors, &self.limits);
        let read = (handle.clone(), figures);
        let options = (&self.options.http, &self.options.connections.proxy_from[..]);
        http::start(listener, options, bounds, self.tls.as_ref(), read)
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

/// Says which sources state the addresses of users.
fn log_proxies(networks: &[Network]) {
    if !networks.is_empty() {
        let networks: Vec<String> = networks.iter().map(Network::to_string).collect();
        info!("chat connections from {} must begin with a PROXY header", networks.join(", "));
    }
}

/// What signals do to a server that is ready.
struct Commands {
    handle: ServerHandle,
    http: Option<http_listener::Control>,
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
                if let Some(http) = &commands.http {
                    http.stop();
                }
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
