//! Pages of history that are being read. Each takes memory from the moment that it was read until its
//! reader has taken it, so that only a few are read at a time. The others wait in the order in which
//! they were asked for. A connection asks for one at a time, and all that wait are bounded as effects
//! under way are (see [`waiting`](super::waiting)).

use std::collections::VecDeque;

use super::archive::HistoryOrder;
use super::{Effect, Hub, Output, Token};

/// Most pages that are being read at a time. Each takes at most a quarter of
/// [`Limits::queue_bytes`](crate::Limits::queue_bytes), or its first message.
const AT_A_TIME: usize = 8;

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
    }

    /// An effect was completed: if it was a page, the next one is read.
    pub(super) fn note_completion(&mut self, token: Token, out: &mut Output) {
        let Some(place) = self.pages.under_way.iter().position(|&serial| serial == token.serial)
        else {
            return;
        };
        self.pages.under_way.swap_remove(place);
        while let Some((token, order)) = self.pages.waiting.pop_front() {
            // those of connections that have ended are not read any more
            if self.end_abandoned(token.serial).is_none() {
                return self.request_page(token, order, out);
            }
        }
    }
}
