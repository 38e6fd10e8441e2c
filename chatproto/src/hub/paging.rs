//! Reading of pages of history, a few at a time: see [`pages`](super::pages).

use super::pages::AT_A_TIME;
use super::session::Session;
use super::{ConnId, Effect, HistoryOrder, Hub, Output, Token};

/// The part of [`Limits::queue_total`](crate::Limits::queue_total) that long answers may hold before the
/// next page is read.
const HELD: usize = 4;

impl Hub {
    /// Has a page read now, or when others were.
    pub(super) fn request_page(&mut self, token: Token, order: HistoryOrder, out: &mut Output) {
        if let Some(session) = self.users.get_mut(token.conn) {
            session.extras_mut().page_serial = token.serial;
        }
        self.pages.add(token, order);
        self.read_pages(out);
    }

    /// An effect was completed: if it was a page, the next one is read.
    pub(super) fn note_completion(&mut self, token: Token, out: &mut Output) {
        let place = self.pages.under_way.iter().position(|&serial| serial == token.serial);
        if let Some(place) = place {
            self.pages.under_way.swap_remove(place);
            self.read_pages(out);
        }
    }

    /// Has the next pages read, if there is room for them.
    pub(super) fn read_pages(&mut self, out: &mut Output) {
        while self.has_waiting_page()
            && self.pages.under_way.len() < AT_A_TIME
            && !self.holds_too_much()
            && let Some((token, order)) = self.pages.take_next()
        {
            self.pages.under_way.push(token.serial);
            out.effects.push_back(Effect::History { token, order });
        }
    }

    /// Whether a page waits to be read for a connection.
    fn has_waiting_page(&mut self) -> bool {
        let users = &self.users;
        self.pages.has_next(|token| users.awaits(token))
    }

    /// Whether pages wait because long answers hold too much. Those whose readers take nothing are to
    /// make room.
    pub(crate) fn needs_room_for_pages(&mut self) -> bool {
        self.has_waiting_page() && self.holds_too_much()
    }

    fn holds_too_much(&self) -> bool {
        self.held > self.limits.queue_total / HELD
    }

    /// The connection takes nothing any more: long answers to it are not produced, nor pages read for
    /// it. Whether its input may go on.
    pub fn handle_reader_gone(&mut self, conn: ConnId, out: &mut Output) -> bool {
        let had_answer = self.take_answer(conn).is_some();
        if had_answer || self.users.get(conn).is_some_and(Session::awaits_page) {
            self.abandon(conn, None);
        }
        self.read_pages(out);
        !self.is_waiting(conn)
    }
}
