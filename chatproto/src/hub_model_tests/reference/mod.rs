//! The model: who is connected, who has which name, who is in which room, what is yet to come, in
//! sets and maps that anybody can check by eye. It is made from the rules, and not from the hub.
//!
//! Here is what it is made of, how it begins, and what can happen to it. `sessions` is how one becomes
//! a user and stops being one, `acts` what a message brings, `audiences` who is told and when, with
//! `presence` for comings and goings, `mailbox` what a reader has in its queue.

mod acts;
mod audiences;
mod mailbox;
mod presence;
mod sessions;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;

use crate::handshake::PeerKind;

use super::names::{self, Address, PRESENT, Peer, TEA, Target};
use super::steps::{Act, Setup, Step, Verdict, Window};
use super::texts::{Change, Said};

use acts::Role;
use mailbox::Mailbox;
use presence::Presence;

pub(crate) use acts::MOST_ROOMS;
pub(crate) use mailbox::{GAP, MESSAGES};

/// Before when a connection must be a user's, and how long a full queue may drain, in milliseconds.
pub(crate) const REGISTRATION: u64 = 10_000;
pub(crate) const DRAIN: u64 = 10_000;
/// Most connections of an address that is not this machine's.
pub(crate) const PER_ADDRESS: usize = 3;

/// `None` is for ever.
pub(crate) type Until = Option<u64>;

pub(crate) fn is_over(until: Until, now: u64) -> bool {
    until.is_some_and(|until| until <= now)
}

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) setup: Setup,
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    /// How many steps there were.
    pub(crate) step: usize,
    pub(crate) conns: BTreeMap<Peer, Conn>,
    /// The registered users.
    pub(crate) users: BTreeMap<&'static str, Peer>,
    /// The names that are held for those who wait for the directory.
    pub(crate) held: BTreeSet<&'static str>,
    pub(crate) rooms: BTreeMap<&'static str, Room>,
    pub(crate) everybody: Presence,
    pub(crate) bans: BTreeMap<&'static str, (Target, Until, Role)>,
    pub(crate) mutes: BTreeMap<&'static str, (Until, Role)>,
    /// The wrong tokens of each address, and until when it must wait.
    guesses: BTreeMap<&'static str, (u32, u64)>,
    /// What the directory was asked and has not answered, the oldest first.
    claims: Vec<Claim>,
    /// Claims that wait until an earlier one of the name is answered, whose peer is gone.
    queued: Vec<Claim>,
    last_claim: usize,
    /// The names that the directory has given.
    granted: BTreeSet<&'static str>,
    /// How often somebody joined, left, came or went.
    pub(crate) changes: usize,
    /// What the last step was to bring.
    pub(crate) expected: Expected,
    /// Who was told something that is not in the queues yet.
    batch: Vec<Peer>,
}

#[derive(Clone, Default)]
pub(crate) struct Expected {
    pub(crate) told: Vec<(Peer, Rc<Said>)>,
    /// What may be said or not, as the order of things decides.
    pub(crate) may_be_told: Vec<(Peer, Rc<Said>)>,
    pub(crate) closed: Vec<Peer>,
    pub(crate) effects: Vec<Wish>,
}

/// What the directory is to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    Claim { name: String, address: String },
    Release { name: String },
}

#[derive(Clone, Copy)]
struct Claim {
    serial: usize,
    peer: Peer,
    name: &'static str,
    since: u64,
}

#[derive(Clone)]
pub(crate) struct Conn {
    pub(crate) phase: Phase,
    /// It was told that it does not become a user, and counts no longer.
    was_refused: bool,
    pub(crate) address: Address,
    connected_at: u64,
    /// Empty if there is none.
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) is_away: bool,
    /// It wants state lines.
    pub(crate) wants_state: bool,
    pub(crate) mute: Option<(Until, Role)>,
    /// When its last errors were.
    pub(crate) errors: Vec<u64>,
    /// The claim whose answer it waits for, and what came from it meanwhile.
    waits_for: Option<usize>,
    later: VecDeque<(usize, Act)>,
    pub(crate) mailbox: Mailbox,
    /// When its queue got full.
    full_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Guest,
    Claiming,
    User,
    Closing,
}

#[derive(Clone, Default)]
pub(crate) struct Room {
    pub(crate) members: BTreeSet<Peer>,
    pub(crate) presence: Presence,
}

/// A room, or everybody.
pub(crate) type Audience = Option<&'static str>;

// the beginning, and what can happen next

impl Model {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut model = Model {
            now: 0,
            step: 0,
            conns: BTreeMap::new(),
            users: BTreeMap::new(),
            held: BTreeSet::new(),
            rooms: BTreeMap::new(),
            everybody: Presence::default(),
            bans: BTreeMap::new(),
            mutes: BTreeMap::new(),
            guesses: BTreeMap::new(),
            claims: Vec::new(),
            queued: Vec::new(),
            last_claim: 0,
            granted: BTreeSet::new(),
            changes: 0,
            expected: Expected::default(),
            batch: Vec::new(),
            setup,
        };
        for (peer, name, address, kind) in model.setup.people() {
            let mut conn = Conn::new(address, kind, Window::OPEN, 0);
            (conn.phase, conn.name) = (Phase::User, name);
            model.conns.insert(peer, conn);
            model.users.insert(name, peer);
            model.granted.insert(name);
            if peer != Peer::OBSERVER {
                model.rooms.entry(TEA).or_default().members.insert(peer);
            }
        }
        for (peer, role) in [(0, Role::Admin), (1, Role::Moderator), (3, Role::Moderator)] {
            if let Some(conn) = model.conns.get_mut(&Peer(peer)) {
                conn.role = role;
            }
        }
        model
    }

    fn peers(&self, is_such: impl Fn(Option<&Conn>) -> bool) -> Vec<Peer> {
        Peer::acting().filter(|peer| is_such(self.conns.get(peer))).collect()
    }

    pub(crate) fn users(&self) -> Vec<Peer> {
        self.peers(|conn| conn.is_some_and(|conn| conn.phase == Phase::User))
    }

    pub(crate) fn moderators(&self) -> Vec<Peer> {
        self.peers(|conn| {
            conn.is_some_and(|conn| conn.phase == Phase::User && conn.role > Role::User)
        })
    }

    pub(crate) fn guests(&self) -> Vec<Peer> {
        self.peers(|conn| conn.is_some_and(|conn| conn.phase == Phase::Guest))
    }

    pub(crate) fn connected(&self) -> Vec<Peer> {
        self.peers(|conn| conn.is_some())
    }

    /// Those who can connect: if they were told to close, that is done by then.
    pub(crate) fn offline(&self) -> Vec<Peer> {
        self.peers(|conn| conn.is_none_or(|conn| conn.phase == Phase::Closing))
    }

    pub(crate) fn strangers(&self) -> Vec<Peer> {
        self.peers(|conn| conn.is_none_or(|conn| conn.phase != Phase::User))
    }

    pub(crate) fn claims(&self) -> usize {
        self.claims.len()
    }

    /// Whether a step makes sense, after others were left out.
    pub(crate) fn can(&self, step: &Step) -> bool {
        let phase = |peer| self.conns.get(peer).map(|conn| conn.phase);
        match step {
            Step::Connect(peer, _) => matches!(phase(peer), None | Some(Phase::Closing)),
            Step::Register(peer, ..) => phase(peer) == Some(Phase::Guest),
            Step::Decide { claim, .. } => *claim < self.claims.len(),
            Step::Vanish(peer) | Step::Read(peer, _) => phase(peer).is_some(),
            Step::Send(..) | Step::Wait(_) | Step::Restart => true,
        }
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.step += 1;
        self.expected = Expected::default();
        match step {
            Step::Connect(peer, address) => self.connect(*peer, *address),
            Step::Register(peer, name, kind, verdict) => {
                self.register(*peer, *name, *kind, *verdict);
            }
            Step::Send(peer, act) => self.send(*peer, self.step, act),
            Step::Decide { claim, grants } => self.decide(*claim, *grants),
            Step::Vanish(peer) => {
                self.depart(*peer, Change::Disconnected, None);
                self.conns.remove(peer);
            }
            Step::Read(peer, window) => {
                if let Some(conn) = self.conns.get_mut(peer) {
                    conn.mailbox.open(*window);
                }
            }
            Step::Wait(millis) => self.wait(*millis),
            Step::Restart => self.restart(),
        }
        self.settle();
    }

    /// Only bans and mutes of names are left.
    fn restart(&mut self) {
        let now = self.now;
        self.bans.retain(|_, (_, until, _)| !is_over(*until, now));
        self.mutes.retain(|_, (until, _)| !is_over(*until, now));
        self.conns.clear();
        self.users.clear();
        self.held.clear();
        self.rooms.clear();
        self.guesses.clear();
        self.claims.clear();
        self.queued.clear();
        self.granted.clear();
        self.batch.clear();
        self.everybody = Presence::default();
        self.changes += 1;
        let (observer, _, address, kind) = self.setup.people()[0];
        self.connect(observer, address);
        self.register(observer, names::OBSERVER_NAME, kind, Verdict::Grants);
    }
}

/// How it began: the rest is in the steps.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt(f)
    }
}

impl Setup {
    /// Who is there from the beginning.
    pub(crate) fn people(&self) -> Vec<(Peer, &'static str, Address, PeerKind)> {
        let [home, ..] = names::ADDRESSES;
        let mut people = vec![(Peer::OBSERVER, names::OBSERVER, names::APART, PeerKind::Stream)];
        for (index, name) in PRESENT.iter().take(self.present).enumerate() {
            let kind = if index == 2 { PeerKind::OneRead } else { PeerKind::Stream };
            people.push((Peer(index as u8), name.plain(), names::ADDRESSES[index], kind));
        }
        for index in 0..self.bystanders {
            let name = names::bystander(index);
            people.push((Peer::bystander(index), name, home, PeerKind::Stream));
        }
        people
    }
}
