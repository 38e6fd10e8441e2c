//! How a connection opens: whether it speaks TLS or text, and what becomes of it if the handshake
//! fails. Nothing is written before that is decided. (The PROXY header before that is in `proxied`.)

use std::time::Duration;

use crate::connection::Op;
use crate::hub::Departure;

use super::timer::Due;
use super::{Reactor, clock};

/// A peer that is to be refused and has not said a byte is told in text after so long: one that
/// speaks TLS begins at once.
const SETTLE: Duration = Duration::from_secs(1);

impl Reactor {
    /// A peer that has said nothing is told in text what it is to be told.
    pub(super) fn settle(&mut self, slot: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(slot as usize)
            && conn.stream.settle()
        {
            if conn.stream.is_barred() {
                conn.protocol.require_tls();
            }
            conn.protocol.outbox.handle_writable();
            self.make_dirty(slot);
        }
    }

    /// The connection is to be closed: what it is told must not wait for a first byte for long.
    pub(super) fn settle_soon(&mut self, slot: u32) {
        if let Some(Some(conn)) = self.conns.get(slot as usize)
            && conn.stream.is_shut()
            && !conn.stream.is_handshaking()
        {
            self.timers.add(clock::instant() + SETTLE, Due::Silence, conn.protocol.id);
        }
    }

    /// Something was read from a connection that could not be written to before: perhaps it can
    /// now. False if that was its end.
    pub(super) fn open_up(&mut self, slot: u32, ops: &mut Vec<Op<'_>>) -> bool {
        if !self.take_origin(slot, ops) {
            return false;
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return false };
        let id = conn.protocol.id;
        if let Some(why) = conn.stream.take_failure() {
            self.failed.push((id, why));
            if conn.protocol.is_lingering() {
                self.drop_conn(slot, Departure::Lost);
                return false;
            }
            conn.protocol.outbox.die();
            conn.discard_input();
            // so that the peer reads the alert, which says why
            self.shut_down(slot, clock::instant());
            return false;
        }
        if conn.stream.is_handshaking() {
            if conn.protocol.is_at_end() {
                self.failed.push((id, "the client hung up in the middle of it".to_owned()));
                self.drop_conn(slot, Departure::Left);
                return false;
            }
            return true;
        }
        if !conn.stream.is_shut() {
            if conn.stream.is_secure() {
                conn.protocol.handle_secured(ops);
            }
            if conn.stream.is_barred() {
                conn.protocol.require_tls();
            }
            conn.protocol.outbox.handle_writable();
            self.make_dirty(slot);
        }
        true
    }

    /// The time for the name is over, and the handshake before it is not.
    pub(super) fn give_up_handshake(&mut self, slot: u32) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let within = self.config.limits.registration.as_secs_f32();
        self.failed.push((conn.protocol.id, format!("it took longer than {within} s")));
        self.drop_conn(slot, Departure::Lost);
    }
}
