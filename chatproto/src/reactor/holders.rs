//! Names of users whose connections have ended already. Another event loop may not have seen the end yet,
//! so a client that reconnects quickly would find its own name in use. Before a name is refused, the loop
//! of its holder looks for the end: every end that the system knew when the name came is handled first.

use crate::handshake::PeerKind;
use crate::hub::{ConnId, Hub};

use super::Shared;
use super::mail::{Check, Mail};

/// A connection whose name another one holds. It waits for the loop of the holder.
pub(super) struct Asking {
    conn: ConnId,
    name: Box<[u8]>,
    kind: PeerKind,
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
