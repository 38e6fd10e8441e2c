//! Effects under way, and what they take until they are completed: names, texts, and their places
//! in the queues of the threads that carry them out.
//!
//! A connection has one effect at a time. But a connection can end before its effect is completed,
//! and its peer can connect again and ask for more. So effects under way are counted per address,
//! and a new one is refused beyond a bound. An [`Effect::Release`](super::Effect::Release) is
//! never refused: there is at most one for each name that was granted. But it counts, so that no name is
//! claimed while too many are being given back.

use std::fmt;
use std::net::IpAddr;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;

use crate::limits::Limits;
use crate::name::UserName;
use crate::spare::GiveBack;

use super::orders::ORDER;
use super::origin::origin;
use super::usage::{in_deque, in_table, share};
use super::{Completion, Effect, Token};

/// One address may use this part of [`Limits::effects_total`], and this many bytes when it is nearly
/// full (see [`share`]): enough for the claims of a few connections.
const MOST: usize = 8;
const LEAST: usize = 4 * 1024;

/// Bytes that an effect takes beside its texts: its place in a queue, in these tables, and as a
/// completion on its way back.
const EFFECT: usize = in_deque::<(Effect, usize)>()
    + in_deque::<(Token, Completion)>()
    + in_table::<(u32, Departed)>()
    + ORDER
    + in_table::<(IpNet, Origin)>();

#[derive(Debug)]
pub(super) struct Waiting {
    /// Effects of connections that have ended, or do not wait for them, by serial.
    pub(super) departed: HashMap<u32, Departed, FixedState>,
    origins: HashMap<IpNet, Origin, FixedState>,
    bytes: usize,
    /// Bytes of releases.
    releases: usize,
}

/// An effect of a connection that has ended, or does not wait for it.
#[derive(Debug)]
pub(super) struct Departed {
    pub(super) origin: IpNet,
    pub(super) bytes: usize,
    /// The name that it claims: to be given back if it is granted.
    pub(super) name: Option<UserName>,
}

/// Effects under way for one address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Origin {
    effects: usize,
    bytes: usize,
    departed: usize,
}

/// Why no more effects are taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    Address,
    Server,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Busy::Address => "too many requests from your address are not finished yet.",
            Busy::Server => "the server is busy.",
        })?;
        f.write_str(" Try again later.")
    }
}

impl Waiting {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let (departed, origins) =
            (HashMap::with_hasher(hasher), HashMap::with_hasher(FixedState::with_seed(seed)));
        Waiting { departed, origins, bytes: 0, releases: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.releases
    }

    /// A release begins that takes so many bytes.
    pub(super) fn begin_release(&mut self, bytes: usize) {
        self.releases += bytes;
    }

    pub(super) fn end_release(&mut self, bytes: usize) {
        self.releases -= bytes;
    }

    /// Counts an effect with `texts` bytes of text, unless a bound is reached. Returns its bytes.
    pub(super) fn begin(
        &mut self,
        address: IpAddr,
        texts: usize,
        limits: &Limits,
    ) -> Result<usize, Busy> {
        let (key, bytes) = (origin(address), EFFECT.saturating_add(texts));
        let (used, total) = (self.bytes(), limits.effects_total);
        if used.saturating_add(bytes) > total {
            return Err(Busy::Server);
        }
        // all connections through a local proxy have one address
        let of_origin = self.origins.get(&key).copied().unwrap_or_default();
        if !address.is_loopback()
            && (of_origin.departed >= limits.departed_effects
                || of_origin.bytes + bytes > share(total / MOST, LEAST, used, total))
        {
            return Err(Busy::Address);
        }
        let of_origin = self.origins.entry(key).or_default();
        of_origin.effects += 1;
        of_origin.bytes += bytes;
        self.bytes += bytes;
        Ok(bytes)
    }

    /// No connection waits for an effect any more.
    pub(super) fn leave(
        &mut self,
        serial: u32,
        origin: IpNet,
        bytes: usize,
        name: Option<UserName>,
    ) {
        if let Some(of_origin) = self.origins.get_mut(&origin) {
            of_origin.departed += 1;
        }
        self.departed.insert(serial, Departed { origin, bytes, name });
    }

    pub(super) fn end(&mut self, key: IpNet, bytes: usize, is_departed: bool) {
        self.bytes -= bytes;
        let Some(of_origin) = self.origins.get_mut(&key) else { return };
        of_origin.effects -= 1;
        of_origin.bytes -= bytes;
        of_origin.departed -= usize::from(is_departed);
        if of_origin.effects == 0 {
            self.origins.remove(&key);
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn releases(&self) -> usize {
        self.releases
    }

    /// Checks the counters against what is there: of each connection that waits, its address and
    /// what its effect takes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_counters(&self, present: impl Iterator<Item = (IpAddr, usize)>) {
        let mut origins = std::collections::BTreeMap::<IpNet, Origin>::new();
        let departed = self.departed.values().map(|departed| (departed.origin, departed.bytes, 1));
        for (key, bytes, departed) in
            present.map(|(address, bytes)| (origin(address), bytes, 0)).chain(departed)
        {
            let of_origin = origins.entry(key).or_default();
            of_origin.effects += 1;
            of_origin.bytes += bytes;
            of_origin.departed += departed;
        }
        assert_eq!(self.bytes, origins.values().map(|of_origin| of_origin.bytes).sum::<usize>());
        assert_eq!(self.origins.len(), origins.len());
        assert!(origins.iter().all(|(key, counted)| self.origins.get(key) == Some(counted)));
    }

    pub(super) fn shrink(&mut self) {
        self.departed.give_back();
        self.origins.give_back();
    }
}
