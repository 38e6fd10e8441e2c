//! Who is connected: sessions by connection, users by name, and the roster in which broadcasts and
//! lists go through them.
//!
//! A name's text is stored once, in its session; the index holds connection ids and compares
//! through them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

use foldhash::quality::{FixedState, SeedableRandomState};
use hashbrown::{HashMap, HashTable};
use ipnet::IpNet;

use crate::counts::CountBy;
use crate::handshake::PeerKind;
use crate::limits::Limits;
use crate::name::{UserName, lookalike_keys};
use crate::spare::{GiveBack, give_back_slots, is_sparse};

use super::alike::{self, Alike};
use super::claim::Pending;
use super::origin::origin;
use super::session::{Counts, Extras, Phase, Session};
use super::usage::{in_deque, in_table};
use super::{ConnId, Token, Transport};

#[derive(Debug, Default)]
struct Lane {
    slots: Vec<Slot>,
    /// The lowest is used first, so that the slots behind a crowd become empty when it has gone.
    free: BinaryHeap<Reverse<u32>>,
    /// Of the last connection: each has another one, also where a slot is gone and made again.
    generation: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    session: Option<Session>,
}

#[derive(Debug)]
pub(super) struct Users {
    lanes: Vec<Lane>,
    /// The holder of each name, claiming or registered.
    names: HashTable<ConnId>,
    /// The same by what the names look like. Only where there are accounts.
    alike: Option<Alike>,
    /// Names that are held for those who wait to get them in place of others.
    held: HashMap<UserName, ConnId, FixedState>,
    /// The registered users, in no particular order once somebody left.
    roster: Vec<ConnId>,
    /// How many hold a place, by [`origin`].
    addresses: HashMap<IpNet, u32, FixedState>,
    connections: usize,
    /// Connections, and registered users, by transport.
    connections_by: CountBy<Transport>,
    users_by: CountBy<Transport>,
    /// Those who may do nothing but log in.
    visitors: usize,
    /// Those connections that count: not those that were refused or only wait for their end.
    places: usize,
    hasher: SeedableRandomState,
}

/// Longest away text as it is stored: each of 256 bytes can become a replacement character.
const AWAY: usize = 3 * 256 + "…".len();

impl Users {
    /// Bytes that a connection takes at most: its slot and its entries in the tables here, its texts, and
    /// what few users have. (Memberships count as parts of [`rooms`](super::rooms).)
    pub(super) fn most_of_session(limits: &Limits) -> usize {
        // a stamp is the name, escaped, and an address between a few tokens
        let text = limits.name + 2 * limits.name + 128;
        let tables = in_deque::<Slot>()
            + in_deque::<Reverse<u32>>()
            + in_table::<ConnId>()
            + 4 * in_table::<alike::Entry>()
            + in_deque::<ConnId>()
            + in_table::<(IpNet, u32)>();
        let names = 4 * limits.name + size_of::<Pending>() + in_table::<(UserName, ConnId)>();
        let errors = in_deque::<Instant>().saturating_mul(limits.errors.max(4));
        (tables + text + names + size_of::<Extras>() + AWAY).saturating_add(errors)
    }

    pub(super) fn new(seed: u64, has_accounts: bool) -> Self {
        Users {
            lanes: Vec::new(),
            names: HashTable::new(),
            alike: has_accounts.then(Alike::default),
            held: HashMap::with_hasher(FixedState::with_seed(seed)),
            roster: Vec::new(),
            addresses: HashMap::with_hasher(FixedState::with_seed(seed)),
            connections: 0,
            connections_by: CountBy::default(),
            users_by: CountBy::default(),
            visitors: 0,
            places: 0,
            hasher: SeedableRandomState::with_seed(seed, foldhash::SharedSeed::global_fixed()),
        }
    }

    /// Adds a connection without a name. Returns how many from its origin hold a place now.
    pub(super) fn connect(&mut self, lane: u16, address: IpAddr) -> (ConnId, u32) {
        let conn = self.connect_unlocated(lane, address);
        (conn, self.locate(conn, address))
    }

    /// The same for one that does not count by its address until it is located.
    pub(super) fn connect_unlocated(&mut self, lane: u16, address: IpAddr) -> ConnId {
        let index = usize::from(lane);
        if index >= self.lanes.len() {
            self.lanes.resize_with(index + 1, Lane::default);
        }
        let session = Session {
            phase: Phase::Guest,
            kind: PeerKind::OneRead,
            address,
            lease: None,
            waits_for: 0,
            effect_bytes: 0,
            counts: Counts::InAll,
            transport: Transport::Text,
            place: 0,
            text: Box::default(),
            name_length: 0,
            extras: None,
        };
        let Lane { slots, free, generation } = &mut self.lanes[index];
        *generation = generation.wrapping_add(1);
        let slot = free.pop().map(|Reverse(slot)| slot).unwrap_or_else(|| {
            slots.push(Slot { generation: 0, session: None });
            u32::try_from(slots.len() - 1).expect("fewer than 2^32 connections")
        });
        let place = &mut slots[slot as usize];
        place.generation = *generation;
        place.session = Some(session);
        self.connections += 1;
        self.connections_by.add(Transport::Text);
        self.places += 1;
        ConnId { lane, slot, generation: place.generation }
    }

    /// A connection counts by its address, which is known now. Returns how many from its origin do.
    pub(super) fn locate(&mut self, conn: ConnId, address: IpAddr) -> u32 {
        let Some(session) = self.get_mut(conn).filter(|session| session.counts == Counts::InAll)
        else {
            return 0;
        };
        (session.address, session.counts) = (address, Counts::ByAddress);
        let of_address = self.addresses.entry(origin(address)).or_default();
        *of_address += 1;
        *of_address
    }

    /// Forgets a connection, whatever it was.
    pub(super) fn disconnect(&mut self, conn: ConnId) -> Option<Session> {
        self.get(conn)?;
        self.release_name(conn);
        self.release_place(conn);
        let lane = &mut self.lanes[usize::from(conn.lane)];
        let session = lane.slots[conn.slot as usize].session.take()?;
        lane.free.push(Reverse(conn.slot));
        self.connections -= 1;
        self.connections_by.subtract(session.transport);
        Some(session)
    }

    /// How the bytes of the connection travel, from now on.
    pub(super) fn set_transport(&mut self, conn: ConnId, transport: Transport) {
        let Some(session) = self.get_mut(conn) else { return };
        let (before, is_user) = (session.transport, session.is_user());
        session.transport = transport;
        self.connections_by.subtract(before);
        self.connections_by.add(transport);
        if is_user {
            self.users_by.subtract(before);
            self.users_by.add(transport);
        }
    }

    /// Connections, and registered users, by transport.
    pub(super) fn by_transport(&self) -> (CountBy<Transport>, CountBy<Transport>) {
        (self.connections_by, self.users_by)
    }

    /// The connection counts no longer: it was refused, or only waits for its peer's end.
    pub(super) fn release_place(&mut self, conn: ConnId) {
        let Some(session) = self.get_mut(conn) else { return };
        let counted = std::mem::replace(&mut session.counts, Counts::Nowhere);
        let origin = origin(session.address);
        self.places -= usize::from(counted != Counts::Nowhere);
        if counted == Counts::ByAddress
            && let Some(of_address) = self.addresses.get_mut(&origin)
        {
            *of_address -= 1;
            if *of_address == 0 {
                self.addresses.remove(&origin);
            }
        }
    }

    /// Checks the counts against the connections.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_places(&self) {
        let mut places = 0;
        let mut addresses = std::collections::BTreeMap::<IpNet, u32>::new();
        for session in self.connections().filter_map(|conn| self.get(conn)) {
            places += usize::from(session.counts != Counts::Nowhere);
            if session.counts == Counts::ByAddress {
                *addresses.entry(origin(session.address)).or_default() += 1;
            }
        }
        assert_eq!((self.places, self.addresses.len()), (places, addresses.len()));
        assert!(addresses.iter().all(|(key, count)| self.addresses.get(key) == Some(count)));
    }

    /// How many may do nothing but log in.
    pub(super) fn visitors(&self) -> usize {
        self.visitors
    }

    /// How many connections count against the bound.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Gives back the memory of those who have left, if they were most. Slots keep their numbers:
    /// what is behind the last connection can go.
    pub(super) fn shrink(&mut self) {
        for Lane { slots, free, .. } in &mut self.lanes {
            give_back_slots(slots, free, |slot| slot.session.is_none());
        }
        self.roster.give_back();
        let Users { lanes, names, hasher, .. } = self;
        if is_sparse(names.len(), names.capacity()) {
            names.shrink_to(names.len(), |&conn| hasher.hash_one(name_of(lanes, conn)));
        }
        if let Some(alike) = &mut self.alike {
            alike.shrink();
        }
        self.held.give_back();
        self.addresses.give_back();
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Session> {
        let slot = self.lanes.get(usize::from(conn.lane))?.slots.get(conn.slot as usize)?;
        slot.session.as_ref().filter(|_| slot.generation == conn.generation)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        let slot = self.lanes.get_mut(usize::from(conn.lane))?.slots.get_mut(conn.slot as usize)?;
        slot.session.as_mut().filter(|_| slot.generation == conn.generation)
    }

    /// Whether the connection of the effect waits for it.
    pub(super) fn awaits(&self, token: Token) -> bool {
        self.get(token.conn).is_some_and(|session| session.waits_for == token.serial)
    }

    /// The registered user of that (normalised) name.
    pub(super) fn find(&self, name: &str) -> Option<(ConnId, &Session)> {
        let conn = self.holder(name)?;
        let session = self.get(conn)?;
        (session.phase == Phase::Registered).then_some((conn, session))
    }

    /// Who holds the name, registered or not.
    pub(super) fn holder(&self, name: &str) -> Option<ConnId> {
        let hash = self.hasher.hash_one(name);
        self.names.find(hash, |&conn| name_of(&self.lanes, conn) == name).copied()
    }

    /// Whether nobody has the name, nor waits for it.
    pub(super) fn is_free(&self, name: &UserName) -> bool {
        self.holder(name.as_str()).is_none() && !self.held.contains_key(name)
    }

    /// Holds the name for the connection; false if somebody else has it.
    pub(super) fn claim(&mut self, conn: ConnId, name: &UserName) -> bool {
        if !self.is_free(name) {
            return false;
        }
        let Some(session) = self.get_mut(conn) else { return false };
        session.set_name(name);
        session.phase = Phase::Claiming;
        self.index_name(conn);
        true
    }

    /// Whether it is being decided who gets the name.
    pub(super) fn is_undecided(&self, name: &UserName) -> bool {
        let is_claimed = |conn| self.get(conn).is_some_and(|s| s.phase == Phase::Claiming);
        self.holder(name.as_str()).map_or(self.held.contains_key(name), is_claimed)
    }

    /// The connection asks for a name that somebody else may get: it holds none meanwhile.
    pub(super) fn contend(&mut self, conn: ConnId, name: &UserName) {
        let Some(session) = self.get_mut(conn) else { return };
        session.phase = Phase::Claiming;
        session.extras_mut().pending = Some(Box::new(Pending::Contend(name.clone())));
    }

    /// Holds a name that is free for a connection, which may have another one, until it is decided about.
    pub(super) fn hold(&mut self, conn: ConnId, name: &UserName) {
        debug_assert!(self.is_free(name));
        self.held.insert(name.clone(), conn);
    }

    /// Ends what [`Users::hold`] began.
    pub(super) fn end_hold(&mut self, name: &UserName) {
        self.held.remove(name);
    }

    /// The connection for which a name is held.
    pub(super) fn held_for(&self, name: &UserName) -> Option<ConnId> {
        self.held.get(name).copied()
    }

    /// Sets what the claim is for that a connection waits for, and holds the name if that is needed.
    pub(super) fn set_pending(&mut self, conn: ConnId, pending: Pending) {
        let Some(session) = self.get_mut(conn) else { return };
        let held = pending.held_name().cloned();
        session.extras_mut().pending = Some(Box::new(pending));
        if let Some(name) = held {
            self.hold(conn, &name);
        }
    }

    /// Ends what [`Users::set_pending`] began.
    pub(super) fn take_pending(&mut self, conn: ConnId) -> Option<Pending> {
        let pending = self.get_mut(conn)?.extras.as_mut()?.pending.take()?;
        if let Some(name) = pending.held_name() {
            self.end_hold(name);
        }
        Some(*pending)
    }

    /// A claimant is one without a name, until it gets another one.
    pub(super) fn free_claimed(&mut self, conn: ConnId) {
        if self.get(conn).is_some_and(|session| session.name().is_some()) {
            self.unindex_name(conn);
            self.get_mut(conn).iter_mut().for_each(|session| session.forget_name());
        }
    }

    /// Gives a connection that has a name another one, which nobody has. Returns the former one.
    pub(super) fn rename(&mut self, conn: ConnId, name: &UserName) -> Option<UserName> {
        debug_assert!(self.holder(name.as_str()).is_none());
        self.unindex_name(conn);
        let session = self.get_mut(conn)?;
        let old = session.user_name();
        session.set_name(name);
        self.index_name(conn);
        old
    }

    fn index_name(&mut self, conn: ConnId) {
        let Users { lanes, names, hasher, .. } = self;
        let hash = |&conn: &ConnId| hasher.hash_one(name_of(lanes, conn));
        names.insert_unique(hash(&conn), conn, hash);
        self.each_look(conn, Alike::insert);
    }

    fn unindex_name(&mut self, conn: ConnId) {
        let hash = self.hasher.hash_one(name_of(&self.lanes, conn));
        if let Ok(entry) = self.names.find_entry(hash, |&holder| holder == conn) {
            entry.remove();
        }
        self.each_look(conn, Alike::remove);
    }

    /// The holders of names by what these look like. Only where there are accounts.
    pub(super) fn alike(&self) -> Option<&Alike> {
        self.alike.as_ref()
    }

    pub(super) fn hash_of_key(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Does something with the hash of each look-alike key of a connection's name.
    fn each_look(&mut self, conn: ConnId, mut act: impl FnMut(&mut Alike, u64, ConnId)) {
        let Users { lanes, alike: Some(alike), hasher, .. } = self else { return };
        for key in lookalike_keys(name_of(lanes, conn)).iter() {
            act(alike, hasher.hash_one(key), conn);
        }
    }

    /// Lets a claimant have its name, but nothing else.
    pub(super) fn admit_visitor(&mut self, conn: ConnId) {
        let Some(session) = self.get_mut(conn) else { return };
        debug_assert_eq!(session.phase, Phase::Claiming);
        session.phase = Phase::Visitor;
        self.visitors += 1;
    }

    /// Makes a claimant or a visitor a user.
    pub(super) fn register(&mut self, conn: ConnId) {
        let place = u32::try_from(self.roster.len()).expect("fewer than 2^32 users");
        let Some(session) = self.get_mut(conn) else { return };
        debug_assert!(matches!(session.phase, Phase::Claiming | Phase::Visitor));
        let was_visitor = session.phase == Phase::Visitor;
        session.phase = Phase::Registered;
        session.place = place;
        let transport = session.transport;
        self.users_by.add(transport);
        self.visitors -= usize::from(was_visitor);
        self.roster.push(conn);
    }

    /// Frees the name of a connection that stays, to be closed. Whether it was a user.
    pub(super) fn release_name(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.get(conn) else { return false };
        let (phase, place) = (session.phase, session.place as usize);
        let transport = session.transport;
        if session.name().is_some() {
            self.unindex_name(conn);
        }
        self.take_pending(conn);
        self.visitors -= usize::from(phase == Phase::Visitor);
        if phase == Phase::Registered {
            self.users_by.subtract(transport);
            self.roster.swap_remove(place);
            if let Some(&moved) = self.roster.get(place)
                && let Some(session) = self.get_mut(moved)
            {
                session.place = place as u32;
            }
        }
        if let Some(session) = self.get_mut(conn) {
            session.phase = Phase::Closing;
        }
        phase == Phase::Registered
    }

    /// The registered users.
    pub(super) fn roster(&self) -> &[ConnId] {
        &self.roster
    }

    /// The registered users, but `except`.
    pub(super) fn others(&self, except: ConnId) -> impl Iterator<Item = (ConnId, &Session)> {
        self.sessions(&self.roster).filter(move |(conn, _)| *conn != except)
    }

    /// Goes through the registered users behind a connection, in the order of connections, as long as
    /// they are taken. Returns whether all were, the last one that was, and how many connections were
    /// looked at.
    pub(super) fn walk(
        &self,
        after: Option<ConnId>,
        mut take: impl FnMut(ConnId, &Session) -> bool,
    ) -> (bool, Option<ConnId>, usize) {
        let (mut last, mut looked_at) = (after, 0);
        let (lane, mut first) = after.map_or((0, 0), |conn| (conn.lane(), conn.slot() + 1));
        for (index, Lane { slots, .. }) in self.lanes.iter().enumerate().skip(lane) {
            for (slot, Slot { generation, session }) in slots.iter().enumerate().skip(first) {
                looked_at += 1;
                let Some(session) = session else { continue };
                if session.phase == Phase::Registered {
                    let (lane, slot) = (index as u16, slot as u32);
                    let conn = ConnId { lane, slot, generation: *generation };
                    if !take(conn, session) {
                        return (false, last, looked_at);
                    }
                    last = Some(conn);
                }
            }
            first = 0;
        }
        (true, last, looked_at)
    }

    /// The sessions of connections.
    pub(super) fn sessions(&self, conns: &[ConnId]) -> impl Iterator<Item = (ConnId, &Session)> {
        conns.iter().filter_map(|&conn| self.get(conn).map(|session| (conn, session)))
    }

    /// The names of the registered users.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.roster.iter().map(|&conn| name_of(&self.lanes, conn))
    }

    /// Every connection, user or not.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.lanes.iter().enumerate().flat_map(|(lane, Lane { slots, .. })| {
            slots.iter().enumerate().filter(|(_, slot)| slot.session.is_some()).map(
                move |(index, slot)| ConnId {
                    lane: lane as u16,
                    slot: index as u32,
                    generation: slot.generation,
                },
            )
        })
    }

    pub(super) fn online(&self) -> usize {
        self.roster.len()
    }

    pub(super) fn connected(&self) -> usize {
        self.connections
    }

    /// Another registered user, whose name looks like that of this user and who had it first.
    pub(super) fn looks_like(&self, conn: ConnId) -> Option<UserName> {
        let keys = lookalike_keys(self.get(conn)?.name()?);
        let alike = self.alike()?;
        let others = keys.iter().flat_map(|key| alike.before(self.hash_of_key(key), conn));
        others
            .filter_map(|other| self.get(other))
            .filter(|session| session.phase == Phase::Registered)
            .filter_map(Session::user_name)
            .find(|name| lookalike_keys(name.as_str()).is_like(&keys))
    }
}

fn name_of(lanes: &[Lane], conn: ConnId) -> &str {
    let slot = &lanes[usize::from(conn.lane)].slots[conn.slot as usize];
    debug_assert_eq!(slot.generation, conn.generation);
    slot.session.as_ref().and_then(Session::name).unwrap_or_default()
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
