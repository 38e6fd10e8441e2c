//! The parts of a server that can change while it runs.

use std::sync::Arc;

use chatproto::ServerHandle;
use chatproto::hub::{Ban, BanTarget};
use shared::failure::Failure;
use tracing::error;

use crate::audit::{AuditFile, AuditLog};
use crate::serve::ServeOptions;
use crate::serve::http::Names;
use crate::serve::limits::Descriptors;
use crate::tls::Certificates;
use crate::token::AdminToken;

use super::{Part, Ready};

/// Who is said to have made the bans of the configuration.
const OPERATOR: &str = "the operator";

/// A server that runs, with what was made of its options.
pub(crate) struct Running {
    pub(crate) handle: ServerHandle,
    pub(crate) descriptors: Descriptors,
    pub(crate) token: Option<AdminToken>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) bans: Bans,
    pub(crate) has_tls: bool,
    /// The listener of HTTP, if there is one.
    pub(crate) http: Option<http_listener::Control>,
}

/// All of them.
pub(crate) fn parts(running: Running) -> Vec<Box<dyn Part>> {
    let Running { handle, descriptors, token, audit, bans, has_tls, http } = running;
    let mut parts: Vec<Box<dyn Part>> = vec![
        Box::new(Bounds { handle: handle.clone(), descriptors }),
        Box::new(Announcements(handle.clone())),
        Box::new(Certificates { handle: handle.clone(), http: http.clone(), is_on: has_tls }),
        Box::new(Token { handle, token }),
        Box::new(Audit(audit)),
        Box::new(bans),
    ];
    if let Some(http) = http {
        parts.push(Box::new(Names(http)));
    }
    parts
}

/// Limits, and what happens where they are reached.
struct Bounds {
    handle: ServerHandle,
    descriptors: Descriptors,
}

impl Part for Bounds {
    fn options(&self) -> &'static [&'static str] {
        &[
            "max-frame",
            "rate",
            "rate-bytes",
            "max-errors",
            "max-connections",
            "max-per-address",
            "max-name",
            "max-rooms",
            "registration-deadline",
            "login-deadline",
            "handshake-grace",
            "linger",
            "slow-reader",
            "queue-bytes",
            "queue-messages",
            "queue-total",
            "input-total",
            "rooms-total",
            "sanctions-total",
            "effects-total",
            "drain",
            "one-read-gap",
        ]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        let room = self.descriptors.room(options.connections.max_connections)?;
        let limits = options.limits(room)?;
        limits.check().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Ready::new(|| {
            if let Err(error) = self.handle.set_limits(limits) {
                error!("{error}, though they were found to be good a moment ago");
            }
            self.handle.set_slow_reader(options.readers.slow_reader.into());
        }))
    }
}

struct Announcements(ServerHandle);

impl Part for Announcements {
    fn options(&self) -> &'static [&'static str] {
        &["announce"]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        Ok(Ready::new(|| self.0.set_announce(options.moderation.announce)))
    }
}

/// The admins' token: what is in its file may be another one, though the file's name is the same.
struct Token {
    handle: ServerHandle,
    token: Option<AdminToken>,
}

impl Part for Token {
    fn options(&self) -> &'static [&'static str] {
        &["admin-token"]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        let token = AdminToken::find(options.moderation.admin_token.as_deref())?;
        let is_another = token != self.token;
        let ready = Ready::new(|| {
            self.handle.set_admin_token(token.as_ref().map(AdminToken::as_str));
            self.token = token;
        });
        Ok(if is_another { ready.with_note("the admin token") } else { ready })
    }
}

/// The audit log: opened again in any case, as the one that was open may have been moved away.
struct Audit(Arc<AuditLog>);

impl Part for Audit {
    fn options(&self) -> &'static [&'static str] {
        &["audit-log"]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        let next = AuditFile::open(options.moderation.audit_log.as_deref())?;
        Ok(Ready::new(|| self.0.replace(next)))
    }
}

/// The operator's own bans, which only the operator may lift.
pub(crate) struct Bans {
    handle: ServerHandle,
    targets: Vec<BanTarget>,
}

impl Bans {
    /// Puts them in force.
    pub(crate) fn new(handle: ServerHandle, targets: &[BanTarget]) -> Self {
        let mut bans = Bans { handle, targets: Vec::new() };
        bans.set(targets);
        bans
    }

    fn set(&mut self, targets: &[BanTarget]) {
        for target in self.targets.iter().filter(|target| !targets.contains(target)) {
            self.handle.withdraw_ban(target);
        }
        let bans = self.handle.bans().into_iter().filter(|ban| ban.is_configured);
        let in_force: Vec<BanTarget> = bans.map(|ban| ban.target).collect();
        for target in targets.iter().filter(|target| !in_force.contains(target)) {
            let mut ban = Ban::new(target.clone());
            (ban.by, ban.is_configured) = (OPERATOR.to_owned(), true);
            self.handle.restore_ban(ban);
        }
        self.targets = targets.to_vec();
    }
}

impl Part for Bans {
    fn options(&self) -> &'static [&'static str] {
        &["ban"]
    }

    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure> {
        Ok(Ready::new(|| self.set(&options.moderation.ban)))
    }
}
