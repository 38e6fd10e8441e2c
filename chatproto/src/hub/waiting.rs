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
use super::usage::{in_deque, in_table, share};
use super::users::origin;
use super::{Completion, ConnId, Effect, Hub, Token};

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
    departed: HashMap<u32, Departed, FixedState>,
    origins: HashMap<IpNet, Origin, FixedState>,
    bytes: usize,
    /// Bytes of releases.
    releases: usize,
}

/// An effect of a connection that has ended, or does not wait for it.
#[derive(Debug)]
struct Departed {
    origin: IpNet,
    bytes: usize,
    /// The name that it claims: to be given back if it is granted.
    name: Option<UserName>,
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
    fn begin(&mut self, address: IpAddr, texts: usize, limits: &Limits) -> Result<usize, Busy> {
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
    fn leave(&mut self, serial: u32, origin: IpNet, bytes: usize, name: Option<UserName>) {
        if let Some(of_origin) = self.origins.get_mut(&origin) {
            of_origin.departed += 1;
        }
        self.departed.insert(serial, Departed { origin, bytes, name });
    }

    fn end(&mut self, key: IpNet, bytes: usize, is_departed: bool) {
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
    /// effect is kept here, with the name that it claims.
    pub(super) fn abandon(&mut self, conn: ConnId, name: Option<UserName>) {
        let Some(session) = self.users.get_mut(conn).filter(|session| session.waits_for != 0)
        else {
            return;
        };
        let serial = std::mem::take(&mut session.waits_for);
        let (origin, bytes) = (origin(session.address), session.effect_bytes as usize);
        self.waiting.leave(serial, origin, bytes, name);
    }

    /// Ends an effect of a connection that has ended, if it is one. Returns the name that it claims.
    pub(super) fn end_abandoned(&mut self, serial: u32) -> Option<Option<UserName>> {
        let Departed { origin, bytes, name } = self.waiting.departed.remove(&serial)?;
        self.waiting.end(origin, bytes, true);
        Some(name)
    }
}
