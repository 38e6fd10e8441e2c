//! Names of users whose connections have ended already. Another event loop may not have seen the end yet,
//! so a client that reconnects quickly would find its own name in use. Before a name is refused, the loop
//! of its holder looks for the end: every end that the system knew when the name came is handled first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::handshake::PeerKind;
use crate::hub::{ConnId, Hub};

use super::conn::Conn;
use super::mail::Mail;
use super::{Reactor, Shared, find};

/// How long a name waits for a connection whose peer has ended, and that has something left to do.
const PATIENCE: Duration = Duration::from_millis(250);

/// A connection whose name another one holds. It waits for the loop of the holder.
pub(super) struct Asking {
    conn: ConnId,
    name: Box<[u8]>,
    kind: PeerKind,
}

/// Another loop asks whether this loop's connection has ended.
pub(super) struct Check {
    holder: ConnId,
    asking: ConnId,
    /// When it is answered at the latest, from the first poll after it came; `None` before that.
    until: Option<Instant>,
}

impl Check {
    pub(super) fn new(holder: ConnId, asking: ConnId) -> Self {
        Check { holder, asking, until: None }
    }
}

/// Asks the loop of the user that holds this name whether the user's connection has ended. False if nobody
/// holds it.
pub(super) fn ask(
    shared: &Shared,
    asking: &mut Vec<Asking>,
    hub: &Hub,
    conn: ConnId,
    name: &[u8],
    kind: PeerKind,
) -> bool {
    let Some(holder) = hub.holder_of(name) else { return false };
    // a loop that cannot be woken is gone
    if shared.lanes[holder.lane()].send(Mail::Check(Check::new(holder, conn))).is_err() {
        return false;
    }
    asking.push(Asking { conn, name: name.into(), kind });
    true
}

/// The name of a connection whose question is answered.
pub(super) fn take(asking: &mut Vec<Asking>, conn: ConnId) -> Option<(Box<[u8]>, PeerKind)> {
    let at = asking.iter().position(|asking| asking.conn == conn)?;
    let Asking { name, kind, .. } = asking.swap_remove(at);
    Some((name, kind))
}

impl Reactor {
    /// Whether a check waits for the next poll.
    pub(super) fn has_fresh_check(&self) -> bool {
        self.checks.iter().any(|check| check.until.is_none())
    }

    /// When the next check is answered at the latest.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.checks.iter().filter_map(|check| check.until).min()
    }

    /// At the end of a turn, which followed a poll: answers the checks that came before that poll, unless the
    /// holder's end was seen and is not handled yet.
    pub(super) fn answer_checks(&mut self, now: Instant) {
        if self.checks.is_empty() {
            return;
        }
        let (shared, conns, has_polled_all) =
            (Arc::clone(&self.shared), &mut self.conns, self.has_polled_all);
        let gone = &self.gone;
        self.checks.retain_mut(|check| {
            let Some(until) = check.until else {
                check.until = has_polled_all.then_some(now + PATIENCE);
                return true;
            };
            let holder = find(conns, check.holder.slot, check.holder.generation);
            let is_ending = holder.is_some_and(|conn: &mut Conn| conn.protocol.saw_end())
                || gone.iter().any(|(conn, _)| *conn == check.holder);
            if is_ending && now < until {
                return true;
            }
            // a loop that cannot be woken is gone
            let _ = shared.lanes[check.asking.lane()].send(Mail::Checked(check.asking));
            false
        });
    }
}
