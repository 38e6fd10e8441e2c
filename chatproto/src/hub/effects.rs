//! Effects under way: each begins with a token, and ends with its completion or with its connection.

use crate::name::UserName;

use super::origin::origin;
use super::waiting::{Busy, Departed};
use super::{ConnId, Hub, Token};

impl Hub {
    /// Counts an effect with `texts` bytes of text; the connection's input waits for it from now on.
    ///
    /// # Errors
    /// [`Busy`], if a bound is reached: nothing was changed.
    pub(super) fn wait(&mut self, conn: ConnId, texts: usize) -> Result<Token, Busy> {
        let Some(session) = self.users.get_mut(conn) else { return Err(Busy::Server) };
        debug_assert_eq!(session.waits_for, 0, "a connection has one effect at a time");
        // texts are shorter than a frame, which has at most 1 GiB
        session.effect_bytes = self.waiting.begin(session.address, texts, &self.limits)? as u32;
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        session.waits_for = self.serial;
        Ok(Token { conn, serial: self.serial })
    }

    /// Counts a claim of a name for a connection that does not wait for it.
    ///
    /// # Errors
    /// [`Busy`], if a bound is reached: nothing was changed.
    pub(super) fn wait_beside(
        &mut self,
        conn: ConnId,
        name: &UserName,
        extra: usize,
    ) -> Result<Token, Busy> {
        let Some(session) = self.users.get(conn) else { return Err(Busy::Server) };
        let (address, texts) = (session.address, extra + 4 * name.as_str().len());
        let bytes = self.waiting.begin(address, texts, &self.limits)?;
        let token = self.token_of(conn);
        self.waiting.leave(token.serial, origin(address), bytes, Some(name.clone()));
        Ok(token)
    }

    /// A token of an effect that no connection waits for.
    pub(super) fn token_of(&mut self, conn: ConnId) -> Token {
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        Token { conn, serial: self.serial }
    }

    /// The effect of a connection is completed. False if it waits for another one, or for none.
    pub(super) fn end_wait(&mut self, token: Token) -> bool {
        let Some(session) = self.users.get_mut(token.conn) else { return false };
        if session.waits_for != token.serial {
            return false;
        }
        session.waits_for = 0;
        self.waiting.end(origin(session.address), session.effect_bytes as usize, false);
        true
    }

    /// The connection ends. If an effect is under way for it, its completion has no receiver: the
    /// effect is stored here, with the name that it claims. An order for a page that was not handed
    /// out yet ends with its connection.
    pub(super) fn abandon(&mut self, conn: ConnId, name: Option<UserName>) {
        let Some(session) = self.users.get_mut(conn).filter(|session| session.waits_for != 0)
        else {
            return;
        };
        let is_page = session.awaits_page();
        let serial = std::mem::take(&mut session.waits_for);
        let (origin, bytes) = (origin(session.address), session.effect_bytes as usize);
        let users = &self.users;
        if is_page && self.pages.abandon(serial, |token| users.awaits(token)) {
            return self.waiting.end(origin, bytes, false);
        }
        self.waiting.leave(serial, origin, bytes, name);
    }

    /// Ends an effect of a connection that has ended, if it is one. Returns the name that it claims.
    pub(super) fn end_abandoned(&mut self, serial: u32) -> Option<Option<UserName>> {
        let Departed { origin, bytes, name } = self.waiting.departed.remove(&serial)?;
        self.waiting.end(origin, bytes, true);
        Some(name)
    }
}
