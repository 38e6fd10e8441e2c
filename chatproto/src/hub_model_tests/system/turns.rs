//! What an event loop does: what the hub says goes into the outboxes, those into the sockets, and time
//! passes. Whoever reads too slowly is told so.

use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::chunk::Chunk;
use crate::handshake::PeerKind;
use crate::hub::{ConnId, Departure, LaneAction, Outgoing};
use crate::limits::Limits;
use crate::outbox::{SlowReader, Writable};

use super::super::names::Peer;
use super::super::reference::DRAIN;
use super::super::steps::Window;
use super::compare::Heard;
use super::{Link, System};

impl Link {
    /// One write to the socket. False if it refused.
    fn write(&mut self, now: Instant, limits: &Limits, policy: SlowReader) -> bool {
        let mut slices: [IoSlice<'_>; 8] = std::array::from_fn(|_| IoSlice::new(&[]));
        let count = match self.outbox.writable(now) {
            Writable::Nothing => return false,
            Writable::One(bytes) => {
                slices[0] = IoSlice::new(bytes);
                1
            }
            Writable::Many => self.outbox.fill(&mut slices, usize::MAX),
        };
        if let Window { objects: Some(0), and_a_byte: false } = self.window {
            self.outbox.handle_refused(limits, policy);
            return false;
        }
        let mut taken = 0;
        for slice in &slices[..count] {
            let most = self.window.take(slice);
            self.received.extend_from_slice(&slice[..most]);
            taken += most;
            if most < slice.len() {
                break;
            }
        }
        self.outbox.handle_written(taken, now, limits);
        true
    }
}

impl Window {
    /// How many of the bytes go through.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let Some(objects) = &mut self.objects else { return bytes.len() };
        let mut taken = 0;
        while *objects > 0 && taken < bytes.len() {
            match memchr::memchr(b'\n', &bytes[taken..]) {
                Some(at) => {
                    taken += at + 1;
                    *objects -= 1;
                }
                None => taken = bytes.len(),
            }
        }
        if *objects == 0 && self.and_a_byte && taken < bytes.len() {
            self.and_a_byte = false;
            taken += 1;
        }
        taken
    }
}

impl System {
    pub(super) fn forget_output(&mut self) {
        self.out.clear();
        self.out.take_events();
    }

    /// What the hub wants said goes into the outboxes.
    pub(super) fn post(&mut self) {
        self.carry_out_effects();
        let mut last: Option<(*const u8, Rc<Heard>)> = None;
        for (id, outgoing) in self.out.actions() {
            let Some(&peer) = self.peers.get(&id) else { panic!("{outgoing:?} for who is gone") };
            let link = self.links.get_mut(&peer).expect("whoever is connected has a link");
            assert!(!link.is_closed, "{outgoing:?} for {peer:?} who was told to close");
            let Outgoing::Object(bytes) = outgoing else {
                link.is_closed = true;
                link.later.clear();
                self.closed.push(peer);
                continue;
            };
            assert!(bytes.is_ascii() || link.kind == PeerKind::Stream, "not for a one-read peer");
            link.delivered.extend_from_slice(bytes);
            let heard = match &last {
                Some((at, heard)) if *at == bytes.as_ptr() => Rc::clone(heard),
                _ => Rc::new(serde_json::from_slice(bytes).expect("a message")),
            };
            last = Some((bytes.as_ptr(), Rc::clone(&heard)));
            self.told.push((peer, heard));
        }
        let (log, aside_at) = self.out.take_log(Vec::new());
        let chunk = Arc::new(Chunk::new(log, &self.budget));
        for (lane, actions) in self.out.lanes.iter_mut().enumerate() {
            for action in actions.drain(..) {
                let (LaneAction::Deliver { slot, generation, object }
                | LaneAction::Broadcast { slot, generation, object }) = action
                else {
                    continue;
                };
                let id = ConnId { lane: lane as u16, slot, generation };
                let link = self.peers.get(&id).and_then(|peer| self.links.get_mut(peer));
                if let Some(link) = link {
                    link.outbox.push(&chunk, object.bounds(aside_at), &self.limits, self.policy);
                }
            }
        }
        self.forget_output();
    }

    /// Everything that can be said or done now is.
    pub(super) fn settle(&mut self) {
        self.hub.handle_timeout(self.time(), &mut self.out);
        self.hub.check_counters();
        loop {
            self.post();
            let mut drained = None;
            for peer in self.links.keys().copied().collect::<Vec<_>>() {
                self.write(peer);
                let Some(link) = self.links.get_mut(&peer) else { continue };
                if !link.outbox.is_overflown() || link.is_told_off {
                    continue;
                }
                link.later.clear();
                link.drained_by = link.drained_by.or(Some(self.now + DRAIN));
                if link.outbox.is_empty() {
                    drained = drained.or(Some(peer));
                }
            }
            let Some(peer) = drained else { return };
            self.say_last_words(peer);
        }
    }

    /// Writes as much as the socket takes and the pace allows.
    fn write(&mut self, peer: Peer) {
        let now = self.time().monotonic;
        let Some(link) = self.links.get_mut(&peer) else { return };
        // far more than can be queued
        for _ in 0..1000 {
            if link.outbox.is_refused() {
                return;
            }
            if link.outbox.wants_notice() {
                let mut notice = Vec::new();
                let missed = link.outbox.take_missed();
                self.hub.write_missed(link.id, missed, false, &mut notice);
                link.outbox.insert_notice(notice, &self.budget);
            }
            if !link.write(now, &self.limits, self.policy) {
                return;
            }
        }
        panic!("there is no end of what {peer:?} is sent");
    }

    /// Tells a reader that was too slow how much it missed, and disconnects it.
    fn say_last_words(&mut self, peer: Peer) {
        let now = self.time();
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.is_told_off = true;
        let (id, was_closed, missed) = (link.id, link.is_closed, link.outbox.take_missed());
        let mut object = Vec::new();
        self.hub.write_missed(id, missed, true, &mut object);
        link.outbox.push_last(object, &self.budget);
        self.hub.handle_eviction(id, Departure::TooSlow { missed }, now, &mut self.out);
        if was_closed {
            assert_eq!(self.out.actions().collect::<Vec<_>>(), [(id, Outgoing::Close)]);
            self.forget_output();
        }
        self.post();
    }

    pub(super) fn wait(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(due) = self.due().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.pass();
        }
        self.now = end;
    }

    /// When something is to be done that waits for its time.
    fn due(&self) -> Option<u64> {
        let links = self.links.values().flat_map(|link| {
            let outbox = &link.outbox;
            let written_at = outbox.next_write().filter(|_| !outbox.is_refused());
            let written_at = written_at.map(|at| self.millis(at)).filter(|&at| at > self.now);
            let drained_by = link.drained_by.filter(|_| !link.is_told_off);
            [written_at, drained_by, link.registered_by].into_iter().flatten()
        });
        links.chain(self.count_due()).min()
    }

    pub(super) fn count_due(&self) -> Option<u64> {
        self.hub.poll_timeout().map(|at| self.millis(at))
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64
    }

    fn pass(&mut self) {
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            let (now, time) = (self.now, self.time());
            let Some(link) = self.links.get_mut(&peer) else { continue };
            if link.drained_by.is_some_and(|at| at <= now) && !link.is_told_off {
                link.outbox.abandon();
                self.say_last_words(peer);
                self.settle();
            } else if link.registered_by.is_some_and(|at| at <= now) {
                link.registered_by = None;
                self.hub.handle_deadline(link.id, time, &mut self.out);
                self.post();
            }
        }
        self.settle();
    }
}
