//! Pages of history that are being read. Each takes memory from the moment that it was read until its
//! reader has taken it, so that only a few are read at a time. The others wait in the order in which
//! they were asked for. A connection asks for one at a time, and all that wait are bounded as effects
//! under way are (see [`waiting`](super::waiting)).

use std::collections::VecDeque;

use super::{HistoryOrder, Token};

/// Most pages that are being read at a time. Each takes at most a quarter of
/// [`Limits::queue_bytes`](crate::Limits::queue_bytes), or its first message.
pub(super) const AT_A_TIME: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Serials of the effects.
    pub(super) under_way: Vec<u32>,
    pub(super) waiting: VecDeque<(Token, HistoryOrder)>,
}
