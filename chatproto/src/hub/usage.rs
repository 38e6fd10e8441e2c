//! The memory of the tables that peers can grow, and how owners share their bounds.
//!
//! A table counts the bytes of each entry when it is added and removed, so reading a counter costs
//! nothing. The counts are upper estimates: they include the spare room of growing collections.

/// The memory of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// Bytes in use.
    pub bytes: usize,
    /// Bytes that peers can make it use. What the operator adds may exceed this.
    pub most: usize,
}

/// The memory of the tables that peers can grow: see [`Hub::usage`](super::Hub::usage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Rooms, memberships, and changes of presence that are not told yet. Bounded by
    /// [`Limits::rooms_total`](crate::Limits::rooms_total).
    pub rooms: Used,
    /// Bans and mutes. Bounded by [`Limits::sanctions_total`](crate::Limits::sanctions_total).
    pub sanctions: Used,
    /// Counts of wrong tokens for `/admin`. The bound is fixed.
    pub guesses: Used,
    /// Effects under way: claims, releases, calls, orders to accounts and history. Bounded by
    /// [`Limits::effects_total`](crate::Limits::effects_total).
    pub effects: Used,
    /// Connections with their names, away texts and errors, each at its upper bound. Bounded by
    /// [`Limits::connections`](crate::Limits::connections). Connections that are being refused count
    /// too, and may exceed the bound for a moment.
    pub sessions: Used,
    /// Deadlines of users who must log in. Bounded by the number of these users.
    pub visitors: Used,
    /// Bytes that are queued for readers, in any state of a connection. Bounded by
    /// [`Limits::queue_total`](crate::Limits::queue_total). The hub alone has no queues: see
    /// [`ServerHandle::usage`](crate::ServerHandle::usage).
    pub queues: Used,
    /// Unfinished messages, and input that waits. Bounded by
    /// [`Limits::input_total`](crate::Limits::input_total). The hub alone keeps no input.
    pub input: Used,
}

/// The part of a table that one owner may use: `most` while at least half of it is free, `least` once no
/// more than a quarter is, and in between in proportion. So a few owners cannot fill it, and the
/// last quarter is for owners who have next to nothing.
pub(super) fn share(most: usize, least: usize, used: usize, total: usize) -> usize {
    let (free, quarter) = (total.saturating_sub(used), total / 4);
    if free >= total / 2 || most <= least {
        return most;
    }
    let above = free.saturating_sub(quarter).min(quarter) as u128;
    let part = (most - least) as u128 * above / quarter.max(1) as u128;
    least + usize::try_from(part).unwrap_or(most - least)
}

/// Bytes that an entry of a B-tree takes at most: after removals its nodes are five elevenths full.
pub(super) const fn in_tree<T>() -> usize {
    3 * size_of::<T>() + 8
}

/// Bytes that an entry of a hash table takes at most: after growth it is seven sixteenths full.
pub(super) const fn in_table<T>() -> usize {
    (size_of::<T>() + 1) * 7 / 3
}

/// Bytes that an entry of a growing vector or queue takes at most: after growth it is half full.
pub(super) const fn in_deque<T>() -> usize {
    2 * size_of::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_falls_with_what_is_free_and_leaves_a_quarter_to_newcomers() {
        let share_at = |used| share(101, 1, used, 1000);
        assert_eq!([0, 500, 625, 750, 1000, 2000].map(share_at), [101, 101, 51, 1, 1, 1]);
        assert_eq!(share(1, 5, 900, 1000), 1, "nobody is given more than the most");
        assert_eq!(share(100, 1, 0, 0), 100);
        assert_eq!(share(usize::MAX, 7, usize::MAX, usize::MAX), 7);
    }
}
