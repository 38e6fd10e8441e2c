//! Pages of history that are being read. Each takes memory from the moment that it was read until its
//! reader has taken it, so that only a few are read at a time. The others wait in the order in which
//! they were asked for; a connection asks for one at a time.

use std::collections::VecDeque;

use super::archive::HistoryOrder;
use super::{Effect, Hub, Output, Token};

/// Most pages that are being read at a time. Each takes at most a quarter of
/// [`Limits::queue_bytes`](crate::Limits::queue_bytes), or its first message.
const AT_A_TIME: usize = 8;
/// Waiting orders of connections that are gone are removed when there are more than twice as many
/// orders as connections, and this many.
const FEW: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Serials of the effects.
    under_way: Vec<u32>,
    waiting: VecDeque<(Token, HistoryOrder)>,
}

impl Hub {
    /// Has a page read now, or when others were.
    pub(super) fn request_page(&mut self, token: Token, order: HistoryOrder, out: &mut Output) {
        if self.pages.under_way.len() < AT_A_TIME {
            self.pages.under_way.push(token.serial);
            return out.effects.push_back(Effect::History { token, order });
        }
        self.pages.waiting.push_back((token, order));
        if self.pages.waiting.len() > FEW + 2 * self.users.connected() {
            let Hub { pages, users, .. } = self;
            pages.waiting.retain(|(token, _)| {
                users.get(token.conn).is_some_and(|session| session.waits_for == token.serial)
            });
        }
    }

    /// An effect was completed: if it was a page, the next one is read.
    pub(super) fn note_completion(&mut self, token: Token, out: &mut Output) {
        let Some(place) = self.pages.under_way.iter().position(|&serial| serial == token.serial)
        else {
            return;
        };
        self.pages.under_way.swap_remove(place);
        while let Some((token, order)) = self.pages.waiting.pop_front() {
            let session = self.users.get(token.conn);
            if session.is_some_and(|session| session.waits_for == token.serial) {
                return self.request_page(token, order, out);
            }
        }
    }

    /// How many pages wait to be read.
    pub(super) fn waiting_pages(&self) -> usize {
        self.pages.waiting.len()
    }
}
