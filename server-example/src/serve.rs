//! `serve`: the one place where a server is put together from options, the admins' token,
//! descriptors, the logs and signals.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use chatproto::{Event, Limits, Rate, Server, ServerBuilder, ServerError, ServerHandle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{info, warn};

use crate::audit::AuditLog;
use crate::cli::ServeOptions;
use crate::failure::{Failure, reason};
use crate::log::{self, Journal};
use crate::stderr;
use crate::text::visible;
use crate::tls::Material;

/// Descriptors that are not for connections: the listener, event loops, standard streams, and what
/// libraries open for a moment.
const RESERVED_DESCRIPTORS: usize = 64;

/// Frames beyond this would make batches that no buffer is meant for.
const LARGEST_FRAME: usize = 64 << 20;
/// Less has no room for the server's own welcome.
const SMALLEST_FRAME: usize = 256;

/// Where the admins' token is if no file of it is named.
const TOKEN_VARIABLE: &str = "CHATPROTO_ADMIN_TOKEN";
/// Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;
/// A longer one would be a mistake: another file than was meant.
const LONGEST_TOKEN: usize = 1024;
/// What prints a good token.
const MAKE_TOKEN: &str = "head -c 24 /dev/urandom | base64";

/// Serves until a signal ends it.
pub(crate) fn run(options: &ServeOptions) -> Result<(), Failure> {
    let level = options.log.into();
    log::start(level).map_err(|error| no_thread(&error))?;
    let descriptors = raise_descriptor_limit();
    let room = room(descriptors, options.connections.max_connections)?;
    let limits = options.limits(room)?;
    let token = admin_token(options)?;
    let audit = options.moderation.audit_log.as_deref().map(AuditLog::open).transpose()?;
    let tls = Material::load(&options.tls)?;
    let journal = Arc::new(Journal::new(level));
    let plan = Plan {
        options,
        limits,
        token,
        tls,
        journal: Arc::clone(&journal),
        audit: audit.map(Arc::new),
    };
    let server = plan.bind()?;
    let handle = server.handle();
    stop_on_signals(handle.clone())?;

    info!("descriptor limit {descriptors}: room for {} connections", limit_to_room(descriptors));
    plan.log_moderation();
    if let Some(tls) = &plan.tls {
        tls.log();
    }
    if let Some(address) = server.tls_addr() {
        info!("TLS on {address}");
    }
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
        limits.errors = self.messages.max_errors;
        limits.connections = connections;
        limits.per_address = self.connections.max_per_address;
        limits.name = self.connections.max_name;
        limits.rooms = self.connections.max_rooms;
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

/// The admins' token, which is shown nowhere.
struct AdminToken(String);

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl AdminToken {
    /// The token that these bytes are, or what is wrong with them.
    fn new(bytes: Vec<u8>) -> Result<Self, &'static str> {
        if bytes.len() > LONGEST_TOKEN {
            return Err("is longer than 1024 bytes");
        }
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
        let token = text.trim();
        if token.is_empty() {
            Err("is empty")
        } else if token.chars().count() < SHORTEST_TOKEN {
            Err("is shorter than 16 characters")
        } else if token.chars().any(chatproto::is_invisible) {
            Err("has more than one line, or characters that nobody can type")
        } else {
            Ok(AdminToken(token.to_owned()))
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let path_text = path.to_string_lossy();
        let shown = visible(&path_text);
        let (bytes, is_open_to_others) = read_secret(path).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => format!("make one with: {MAKE_TOKEN} > FILE"),
                _ => "name a file that the server's user can read".to_owned(),
            };
            let why = reason(&error);
            Failure::Usage(format!("cannot read the admin token in {shown}: {why} ({advice})"))
        })?;
        let token = AdminToken::new(bytes).map_err(|wrong| {
            Failure::Usage(format!(
                "the admin token in {shown} {wrong}: make one with: {MAKE_TOKEN} > FILE"
            ))
        })?;
        if is_open_to_others {
            warn!("the admin token in {shown} is open to others than its owner: chmod 600 it");
        }
        Ok(token)
    }

    fn of_variable(value: OsString) -> Result<Self, Failure> {
        AdminToken::new(value.into_encoded_bytes()).map_err(|wrong| {
            Failure::Usage(format!(
                "the admin token in {TOKEN_VARIABLE} {wrong}: unset it, or set it to what this \
                 prints: {MAKE_TOKEN}"
            ))
        })
    }
}

fn admin_token(options: &ServeOptions) -> Result<Option<AdminToken>, Failure> {
    match &options.moderation.admin_token {
        Some(path) => AdminToken::read(path).map(Some),
        None => std::env::var_os(TOKEN_VARIABLE).map(AdminToken::of_variable).transpose(),
    }
}

/// The first bytes of a file, and whether others than its owner can read it.
fn read_secret(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(LONGEST_TOKEN as u64 + 1).read_to_end(&mut bytes)?;
    // what is no file, such as a pipe, is there for this moment only
    #[cfg(unix)]
    let is_open_to_others = metadata.is_file()
        && std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0;
    #[cfg(not(unix))]
    let is_open_to_others = false;
    Ok((bytes, is_open_to_others))
}

/// What a server is made of.
struct Plan<'a> {
    options: &'a ServeOptions,
    limits: Limits,
    token: Option<AdminToken>,
    tls: Option<Material>,
    journal: Arc<Journal>,
    audit: Option<Arc<AuditLog>>,
}

impl Plan<'_> {
    /// Listens on the first address of the host that can be listened on.
    fn bind(&self) -> Result<Server, Failure> {
        let listen = &self.options.listen;
        let fail = |why| Failure::Usage(format!("cannot listen on {listen}: {why}"));
        let mut refused = None;
        for address in listen.resolve().map_err(fail)? {
            match self.builder()?.bind(address) {
                Ok(server) => return Ok(server),
                Err(error) => refused = Some(Failure::Usage(cannot_listen(&error))),
            }
        }
        Err(refused.unwrap_or_else(|| fail("it has no address".to_owned())))
    }

    fn builder(&self) -> Result<ServerBuilder, Failure> {
        let (journal, audit) = (Arc::clone(&self.journal), self.audit.clone());
        let observe = move |event: &Event| {
            journal.observe(event);
            if let Some(Err(unwritten)) = audit.as_ref().map(|audit| audit.observe(event)) {
                journal.note_unwritten(event, &unwritten);
            }
        };
        let mut builder = Server::builder()
            .limits(self.limits.clone())
            .slow_reader(self.options.readers.slow_reader.into())
            .announce(self.options.moderation.announce)
            .observer(observe);
        if let Some(token) = &self.token {
            builder = builder.admin_token(&token.0);
        }
        if let Some(tls) = &self.tls {
            builder = tls.apply(&self.options.tls, builder)?;
        }
        Ok(match self.options.threads {
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
    #[test]
    fn a_token_is_long_enough_and_can_be_typed() {
        let token = |bytes: &[u8]| AdminToken::new(bytes.to_vec());
        for good in ["  0123456789abcdef\r\n", "correct horse battery", "grüße-grüße-grüße"] {
            assert_eq!(token(good.as_bytes()).unwrap().0, good.trim());
        }
        for (bad, wrong) in [
            (&b" \n"[..], "is empty"),
            (b"0123456789abcde\n", "is shorter than 16 characters"),
            ("éééééééé".as_bytes(), "is shorter than 16 characters"),
            (b"0123456789\xffabcdef", "is not UTF-8 text"),
            (
                b"0123456789\nabcdefghi",
                "has more than one line, or characters that nobody can type",
            ),
            (
                "\u{feff}0123456789abcdef".as_bytes(),
                "has more than one line, or characters that nobody can type",
            ),
            (&[b'x'; 1025], "is longer than 1024 bytes"),
        ] {
            assert_eq!(token(bad).unwrap_err(), wrong, "{bad:?}");
        }
        assert_eq!(format!("{:?}", token(b"0123456789abcdef")), "Ok(AdminToken(…))");
    }
}
