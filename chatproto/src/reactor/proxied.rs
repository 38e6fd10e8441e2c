//! Connections from a proxy: their PROXY header is awaited first. Until it has come, nothing is written, and
//! the hub does not know the address of the user.

use crate::connection::Op;
use crate::hub::Departure;

use super::Reactor;

impl Reactor {
    /// Takes the header of a connection if it has come. False if the header is invalid, which ends the
    /// connection.
    pub(super) fn take_origin(&mut self, slot: u32, ops: &mut Vec<Op<'_>>) -> bool {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return false };
        match conn.stream.take_origin() {
            None => true,
            Some(Ok(address)) => {
                conn.protocol.handle_origin(address, ops);
                true
            }
            Some(Err(reason)) => {
                self.unlocated.push((conn.protocol.id, reason));
                self.drop_conn(slot, Departure::Lost);
                false
            }
        }
    }

    /// The time for the name is over, and the header before it has not come.
    pub(super) fn give_up_origin(&mut self, slot: u32) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let within = self.config.limits.registration.as_secs_f32();
        let reason = format!("no complete PROXY header came within {within} s");
        self.unlocated.push((conn.protocol.id, reason));
        self.drop_conn(slot, Departure::Lost);
    }

    /// Closes a connection that is to be closed and whose header has not come: there is no peer to tell why.
    /// Returns whether it is one.
    pub(super) fn close_unlocated(&mut self, slot: u32) -> bool {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return false };
        let awaits_origin = conn.stream.awaits_origin();
        if awaits_origin {
            self.drop_conn(slot, Departure::Left);
        }
        awaits_origin
    }
}
