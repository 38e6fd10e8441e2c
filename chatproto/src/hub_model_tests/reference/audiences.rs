//! Who is told: one, a room, everybody; at once, or when the time has come. And whether the readers
//! keep up.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::names::Peer;
use super::super::texts::{Change, Said, Text};
use super::{Audience, DRAIN, Model, Phase, REGISTRATION};

/// Those who are thrown out together, in an order that is nobody's business.
pub(crate) struct Group {
    pub(crate) victims: BTreeSet<Peer>,
    /// The notices that each audience may get, and who they are about.
    pub(crate) notices: BTreeMap<Audience, (Rc<[String]>, Vec<String>)>,
}

impl Model {
    pub(crate) fn rooms_of(&self, peer: Peer) -> Vec<&'static str> {
        let rooms = self.rooms.iter().filter(|(_, room)| room.members.contains(&peer));
        rooms.map(|(name, _)| *name).collect()
    }

    pub(crate) fn leave(
        &mut self,
        peer: Peer,
        name: &'static str,
        change: Change,
        group: Option<&Group>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.members.remove(&peer);
        self.changes += 1;
        if room.members.is_empty() {
            self.rooms.remove(name);
        } else if let Some(conn) = self.conns.get(&peer) {
            self.change(Some(name), change, conn.name, peer, group);
        }
    }

    pub(super) fn members(&self, audience: Audience) -> Vec<Peer> {
        match audience {
            None => self.users.values().copied().collect(),
            Some(room) => self.rooms[room].members.iter().copied().collect(),
        }
    }

    /// An audience is told of a change, at once or later. The one whom it happened to is told
    /// otherwise.
    pub(crate) fn change(
        &mut self,
        audience: Audience,
        change: Change,
        who: &str,
        except: Peer,
        group: Option<&Group>,
    ) {
        let members = self.members(audience);
        let presence = match audience {
            None => &mut self.everybody,
            Some(room) => &mut self.rooms.get_mut(room).expect("the room is there").presence,
        };
        let one = [who.to_owned()];
        let together = group.and_then(|group| Some((group, group.notices.get(&audience)?)));
        let names = together.map_or(&one[..], |(_, (_, names))| names);
        if !presence.is_told_at_once(change, names, members.len(), self.now) {
            return;
        }
        let text = match together {
            None => Text::Is(change.of(who)),
            Some((_, (notices, _))) => Text::AnyOf(Rc::clone(notices)),
        };
        let said = self.notice(audience, text);
        let is_victim = |peer: &Peer| group.is_some_and(|group| group.victims.contains(peer));
        for peer in members.into_iter().filter(|peer| *peer != except && !is_victim(peer)) {
            self.deliver(peer, &said);
        }
        for &peer in together.map_or(&BTreeSet::new(), |(group, _)| &group.victims) {
            self.expected.may_be_told.push((peer, Rc::clone(&said)));
        }
        self.line_of_change(audience, change, names, except, group);
    }

    /// Something that the server says to an audience.
    pub(crate) fn notice(&self, audience: Audience, text: Text) -> Rc<Said> {
        Rc::new(Said { from: "SERVER", ip: "0.0.0.0", to: audience.unwrap_or("Everyone"), text })
    }

    /// The server says something to one.
    pub(crate) fn tell(&mut self, peer: Peer, text: Text) {
        let name = self.conns.get(&peer).map_or("", |conn| conn.name);
        let to = if name.is_empty() { "Guest" } else { name };
        self.deliver(peer, &Rc::new(Said { from: "SERVER", ip: "0.0.0.0", to, text }));
    }

    pub(crate) fn deliver(&mut self, peer: Peer, said: &Rc<Said>) {
        self.expected.told.push((peer, Rc::clone(said)));
        self.batch.push(peer);
    }
}

// time and readers

impl Model {
    /// When the hub has something to say that nobody asked for.
    pub(crate) fn count_due(&self) -> Option<u64> {
        let rooms = self.rooms.values().filter_map(|room| room.presence.due());
        // those who follow the changes are told when a ban or mute ends
        let bans = self.bans.values().filter_map(|(_, until, _)| *until);
        let ends = bans.chain(self.mutes.values().filter_map(|(until, _)| *until));
        let ends = ends.filter(|&end| end > self.now);
        rooms.chain(self.everybody.due()).chain(ends).chain(self.claim_due()).min()
    }

    pub(super) fn wait(&mut self, millis: u64) {
        let end = self.now + millis;
        loop {
            let conns = self.conns.iter().filter(|(peer, _)| peer.is_acting());
            let due = conns.filter_map(|(_, conn)| conn.due(self.now));
            let Some(due) = due.chain(self.count_due()).min().filter(|&due| due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.pass();
        }
        self.now = end;
    }

    /// What the time has come for.
    fn pass(&mut self) {
        for peer in self.connected() {
            let Some(conn) = self.conns.get(&peer) else { continue };
            let (now, phase, connected_at) = (self.now, conn.phase, conn.connected_at);
            if phase == Phase::User && conn.full_at.is_some_and(|at| at + DRAIN <= now) {
                self.evict(peer, Change::Disconnected, None, None);
                self.settle();
            } else if matches!(phase, Phase::Guest | Phase::Claiming)
                && connected_at + REGISTRATION <= now
            {
                self.refuse(peer, "⛔ Error: ");
            }
        }
        if let Some(counts) = self.everybody.take(self.now) {
            self.tell_all(None, Text::Counts(counts));
            self.line_of_members(None);
        }
        for name in self.rooms.keys().copied().collect::<Vec<_>>() {
            let counts = self.rooms.get_mut(name).and_then(|room| room.presence.take(self.now));
            if let Some(counts) = counts {
                self.tell_all(Some(name), Text::Counts(counts));
                self.line_of_members(Some(name));
            }
        }
        self.end_overdue_claims();
        self.settle();
    }

    pub(crate) fn tell_all(&mut self, audience: Audience, text: Text) {
        let said = self.notice(audience, text);
        for peer in self.members(audience) {
            self.deliver(peer, &said);
        }
    }

    /// What was said goes into the queues, and out of them as far as the readers read. Who was too
    /// slow, and has read what was queued, is disconnected.
    pub(super) fn settle(&mut self) {
        let (policy, now) = (self.setup.policy, self.now);
        loop {
            for peer in std::mem::take(&mut self.batch) {
                let Some(conn) = self.conns.get_mut(&peer) else { continue };
                if conn.phase == Phase::User && peer.is_acting() {
                    conn.mailbox.push(policy);
                }
            }
            let mut drained = None;
            for peer in self.users() {
                let Some(conn) = self.conns.get_mut(&peer) else { continue };
                conn.mailbox.pump(now, policy);
                if conn.mailbox.is_full() && conn.full_at.is_none() {
                    conn.full_at = Some(now);
                    conn.later.clear();
                }
                if conn.mailbox.is_full() && conn.mailbox.is_empty() {
                    drained = drained.or(Some(peer));
                }
            }
            let Some(peer) = drained else { return };
            self.evict(peer, Change::Disconnected, None, None);
        }
    }
}
