//! From a connection to a user and back: names and who holds them, what waits for the directory, and
//! departure.

use std::collections::VecDeque;

use crate::handshake::PeerKind;

use super::super::names::{self, Address, Name, Peer, Target, value};
use super::super::steps::{Act, Verdict, Window};
use super::super::texts::{Change, Text};
use super::acts::Role;
use super::audiences::Group;
use super::mailbox::Mailbox;
use super::{Claim, Conn, DRAIN, Model, PER_ADDRESS, Phase, REGISTRATION, Wish, is_over};

impl Conn {
    pub(super) fn new(address: Address, kind: PeerKind, window: Window, now: u64) -> Self {
        Conn {
            phase: Phase::Guest,
            was_refused: false,
            address,
            connected_at: now,
            name: "",
            role: Role::User,
            is_away: false,
            wants_state: false,
            mute: None,
            errors: Vec::new(),
            waits_for: None,
            later: VecDeque::new(),
            mailbox: Mailbox::new(kind, window),
            full_at: None,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waits_for.is_some()
    }

    pub(crate) fn is_muted(&self, now: u64) -> bool {
        self.mute.is_some_and(|(until, _)| !is_over(until, now))
    }

    /// When something happens to it because time passes.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        match self.phase {
            Phase::Guest | Phase::Claiming => Some(self.connected_at + REGISTRATION),
            Phase::User => {
                let drained_at = self.full_at.map(|at| at + DRAIN);
                [drained_at, self.mailbox.due(now)].into_iter().flatten().min()
            }
            Phase::Closing => None,
        }
    }
}

impl Model {
    pub(super) fn connect(&mut self, peer: Peer, address: Address) {
        self.conns.insert(peer, Conn::new(address, PeerKind::OneRead, Window::OPEN, self.now));
        let of_address = |conn: &&Conn| conn.address.shown == address.shown && !conn.was_refused;
        let count = self.conns.values().filter(of_address).count();
        if address.shown != names::HOME && count > PER_ADDRESS {
            self.refuse(peer, "⛔ Error: there are too many connections");
        } else if self.is_address_banned(address.shown) {
            self.refuse(peer, "⛔ Error: your address is banned");
        }
    }

    fn is_address_banned(&self, address: &str) -> bool {
        self.is_banned(|target| matches!(target, Target::Net(..)) && target.is_for("", address))
    }

    pub(crate) fn is_name_banned(&self, name: &'static str) -> bool {
        self.is_banned(|target| matches!(target, Target::Name(_)) && target.is_for(name, ""))
    }

    fn is_banned(&self, is_concerned: impl Fn(Target) -> bool) -> bool {
        let mut bans = self.bans.values();
        bans.any(|(target, until, _)| !is_over(*until, self.now) && is_concerned(*target))
    }

    /// Whether nobody has the name, nor waits for it.
    pub(crate) fn is_free(&self, name: &str) -> bool {
        !self.users.contains_key(name) && !self.held.contains(name)
    }

    pub(super) fn register(&mut self, peer: Peer, name: Name, kind: PeerKind, verdict: Verdict) {
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        conn.mailbox.kind = kind;
        let address = conn.address.shown;
        let Some(name) = name.name else { return self.refuse(peer, "⛔ Error: ") };
        if self.is_address_banned(address) {
            self.refuse(peer, "⛔ Error: your address is banned");
        } else if self.is_name_banned(name) {
            self.refuse(peer, "⛔ Error: you are banned");
        } else if !self.is_free(name) {
            let text = format!("⛔ Error: the name \"{name}\" is already in use.");
            self.refuse(peer, &text);
        } else {
            if let Some(conn) = self.conns.get_mut(&peer) {
                conn.phase = Phase::Claiming;
            }
            self.claim(peer, name, verdict);
        }
    }

    /// Asks the directory for a name, which is held meanwhile.
    pub(crate) fn claim(&mut self, peer: Peer, name: &'static str, verdict: Verdict) {
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        self.last_claim += 1;
        let serial = self.last_claim;
        conn.waits_for = Some(serial);
        self.held.insert(name);
        let claim = Claim { serial, peer, name, since: self.now };
        if self.claims.iter().any(|other| other.name == name) {
            return self.queued.push(claim);
        }
        self.ask(claim);
        if verdict != Verdict::AnswersLater {
            self.decide(self.claims.len() - 1, verdict == Verdict::Grants);
        }
    }

    fn ask(&mut self, claim: Claim) {
        let Some(conn) = self.conns.get(&claim.peer) else { return };
        let (name, address) = (claim.name.to_owned(), conn.address.shown.to_owned());
        self.expected.effects.push(Wish::Claim { name, address });
        self.claims.push(Claim { since: self.now, ..claim });
    }

    /// Whether the one who asked is there and waits for the answer.
    fn is_waited_for(&self, claim: &Claim) -> bool {
        self.conns.get(&claim.peer).is_some_and(|conn| conn.waits_for == Some(claim.serial))
    }

    /// The claims of users that the directory has not answered.
    fn claims_of_users(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().chain(&self.queued).filter(|claim| {
            let is_user = |conn: &Conn| conn.phase == Phase::User;
            self.is_waited_for(claim) && self.conns.get(&claim.peer).is_some_and(is_user)
        })
    }

    /// When the next of them is waited for no longer.
    pub(super) fn claim_due(&self) -> Option<u64> {
        self.claims_of_users().map(|claim| claim.since + REGISTRATION).min()
    }

    fn overdue_claim(&self) -> Option<Claim> {
        let is_over = |claim: &&Claim| claim.since + REGISTRATION <= self.now;
        self.claims_of_users().find(is_over).copied()
    }

    pub(super) fn end_overdue_claims(&mut self) {
        let mut ended = Vec::new();
        while let Some(Claim { peer, name, .. }) = self.overdue_claim() {
            let Some(conn) = self.conns.get_mut(&peer) else { return };
            conn.waits_for = None;
            self.held.remove(name);
            self.rename(peer, name, false);
            ended.push(peer);
        }
        // before the first of them goes on, all have been told
        while let Some(peer) = ended.pop() {
            self.send_what_waited(peer);
        }
    }

    /// The directory answers. It gives no name to two.
    pub(super) fn decide(&mut self, index: usize, grants: bool) {
        let claim = self.claims.remove(index);
        let Claim { peer, name, .. } = claim;
        let is_granted = grants && self.granted.insert(name);
        let is_waited_for = self.is_waited_for(&claim);
        let Some(conn) = self.conns.get_mut(&peer).filter(|_| is_waited_for) else {
            // whoever asked is gone
            if is_granted {
                self.release(name);
            }
            let (of_name, others) = self.queued.iter().partition(|claim| claim.name == name);
            self.queued = others;
            let of_name: Vec<Claim> = of_name;
            if let Some(next) = of_name.into_iter().find(|claim| self.is_waited_for(claim)) {
                self.ask(next);
            }
            return;
        };
        conn.waits_for = None;
        let (phase, address) = (conn.phase, conn.address.shown);
        self.held.remove(name);
        let is_banned = self.is_name_banned(name)
            || (phase == Phase::Claiming && self.is_address_banned(address));
        if is_granted && is_banned {
            self.release(name);
        }
        match (phase, is_granted && !is_banned) {
            (Phase::Claiming, true) => self.welcome(peer, name),
            (Phase::Claiming, false) => self.refuse(peer, "⛔ Error: "),
            (_, is_given) => self.rename(peer, name, is_given),
        }
        self.send_what_waited(peer);
    }

    fn release(&mut self, name: &'static str) {
        self.granted.remove(name);
        self.expected.effects.push(Wish::Release { name: name.to_owned() });
    }

    fn welcome(&mut self, peer: Peer, name: &'static str) {
        let mute = self.mutes.get(name).copied();
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        (conn.phase, conn.name) = (Phase::User, name);
        conn.mute = mute.filter(|(until, _)| !is_over(*until, now));
        let welcome = format!("Welcome, {name}! Send /help to see the commands.");
        let online = self.users.len();
        let others = self.users.keys().map(|&name| name.to_owned()).collect();
        self.users.insert(name, peer);
        self.changes += 1;
        let text = match online {
            0 => Text::Is(format!("{welcome} Nobody else is online.")),
            _ => Text::List(format!("{welcome} Online ({online}): "), others),
        };
        self.tell(peer, text);
        if self.setup.announces {
            self.change(None, Change::Joined, name, peer, None);
        }
    }

    pub(super) fn rename(&mut self, peer: Peer, name: &'static str, is_given: bool) {
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        let old = conn.name;
        if !is_given {
            return self.tell(peer, Text::Begins(format!("❌ Your name stays {old}: ")));
        }
        conn.name = name;
        // both hold until each is over
        let mutes = conn.mute.into_iter().chain(self.mutes.get(name).copied());
        let mutes = mutes.filter(|(until, _)| !is_over(*until, self.now));
        conn.mute = mutes.reduce(|(one, by), (other, and)| {
            (one.zip(other).map(|(one, other)| one.max(other)), by.max(and))
        });
        self.users.remove(old);
        self.users.insert(name, peer);
        self.changes += 1;
        self.tell(peer, Text::Is(format!("You are now {name}.")));
        self.line(peer, format!("State renamed old={} name={} self=true", value(old), value(name)));
        let who = format!("{old} → {name}");
        for room in self.rooms_of(peer) {
            self.change(Some(room), Change::Renamed, &who, peer, None);
        }
        if self.setup.announces {
            self.change(None, Change::Renamed, &who, peer, None);
        }
        self.release(old);
    }

    /// Tells a connection that it does not become a user, and closes it.
    pub(super) fn refuse(&mut self, peer: Peer, text: &str) {
        self.depart(peer, Change::Disconnected, None);
        self.tell(peer, Text::begins(text));
        self.expected.closed.push(peer);
        if let Some(conn) = self.conns.get_mut(&peer) {
            conn.was_refused = true;
        }
    }

    /// A user no longer, if it was one; its connection stays.
    pub(crate) fn depart(&mut self, peer: Peer, change: Change, group: Option<&Group>) {
        for room in self.rooms_of(peer) {
            self.leave(peer, room, change, group);
        }
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        let (phase, name) = (conn.phase, conn.name);
        conn.phase = Phase::Closing;
        conn.later.clear();
        if let Some(serial) = conn.waits_for.take() {
            let mut claims = self.claims.iter().chain(&self.queued);
            let claim = claims.find(|claim| claim.serial == serial);
            self.held.remove(claim.map_or("", |claim| claim.name));
        }
        if phase == Phase::User {
            self.users.remove(name);
            self.changes += 1;
            if self.setup.announces {
                self.change(None, change, name, peer, group);
            }
            self.release(name);
        }
    }

    /// The same, and it is told to close.
    pub(crate) fn evict(
        &mut self,
        peer: Peer,
        change: Change,
        why: Option<&str>,
        group: Option<&Group>,
    ) {
        if let Some(why) = why {
            self.line(peer, format!("State closed reason={why}"));
        }
        self.depart(peer, change, group);
        self.expected.closed.push(peer);
    }
}

impl Model {
    pub(super) fn send(&mut self, peer: Peer, step: usize, act: &Act) {
        let Some(conn) = self.conns.get_mut(&peer) else { return };
        match conn.phase {
            // nobody listens to it any more
            _ if conn.mailbox.is_full() => {}
            _ if conn.is_waiting() => conn.later.push_back((step, act.clone())),
            Phase::User => self.perform(peer, step, act),
            Phase::Guest if matches!(act, Act::EndOfFile) => {
                self.evict(peer, Change::Disconnected, None, None);
            }
            Phase::Guest | Phase::Claiming | Phase::Closing => {}
        }
    }

    /// Each in a turn of its own.
    fn send_what_waited(&mut self, peer: Peer) {
        while let Some(conn) = self.conns.get(&peer)
            && !conn.is_waiting()
            && !conn.later.is_empty()
        {
            self.settle();
            let later = self.conns.get_mut(&peer).and_then(|conn| conn.later.pop_front());
            let Some((step, act)) = later else { return };
            self.send(peer, step, &act);
        }
    }
}
