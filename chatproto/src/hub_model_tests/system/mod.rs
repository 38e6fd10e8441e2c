//! The hub, with what an event loop puts around it: an outbox for every connection, and a socket
//! that takes so much until its reader reads. Here the steps happen; `turns` is what an event loop
//! does around them, `compare` what must be so afterwards.

mod compare;
mod turns;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chunk::Budget;
use crate::decode::Decoder;
use crate::error::DecodeError;
use crate::handshake::PeerKind;
use crate::hub::{Completion, ConnId, Departure, Effect, Hub, Now, Output, Snapshot, Token};
use crate::limits::Limits;
use crate::outbox::{Outbox, SlowReader};

use super::names::{APART, Address, OBSERVER, PRESENT, Peer, TEA};
use super::reference::{GAP, MESSAGES, MOST_ROOMS, Model, PER_ADDRESS, REGISTRATION, Wish};
use super::steps::{Act, Input, Step, TOKEN, Verdict, Window};

use compare::Heard;

pub(crate) struct System {
    hub: Hub,
    out: Output,
    limits: Limits,
    policy: SlowReader,
    announces: bool,
    budget: Arc<Budget>,
    /// The time is `began` and so many milliseconds.
    began: Instant,
    now: u64,
    step: usize,
    links: BTreeMap<Peer, Link>,
    /// Connections and what was one; those have no link any more.
    ids: BTreeMap<Peer, ConnId>,
    peers: HashMap<ConnId, Peer>,
    /// What the directory was asked and has not answered, the oldest first.
    claims: Vec<(Token, String)>,
    /// The names that it has given.
    granted: BTreeMap<String, u64>,
    grants: u64,
    /// What it does with the next claim.
    verdict: Verdict,
    /// What came out in this step.
    told: Vec<(Peer, Rc<Heard>)>,
    closed: Vec<Peer>,
    wishes: Vec<Wish>,
    schema_error: DecodeError,
    framing_error: DecodeError,
    /// How many changes of the model there were when all was asked the last time.
    asked_at: usize,
    /// The state at the beginning, with all changes since then.
    state: Snapshot,
}

/// One connection.
struct Link {
    id: ConnId,
    kind: PeerKind,
    outbox: Outbox,
    window: Window,
    /// Everything that the hub delivered, and everything that the socket took.
    delivered: Vec<u8>,
    received: Vec<u8>,
    /// The hub said to close it.
    is_closed: bool,
    /// The last words of a slow reader were said.
    is_told_off: bool,
    registered_by: Option<u64>,
    /// When it gets no more time to read what is queued.
    drained_by: Option<u64>,
    /// What waits for the directory's answer.
    later: VecDeque<(usize, Act)>,
}

impl Link {
    fn new(id: ConnId, now: u64) -> Self {
        Link {
            id,
            kind: PeerKind::OneRead,
            outbox: Outbox::new(),
            window: Window::OPEN,
            delivered: Vec::new(),
            received: Vec::new(),
            is_closed: false,
            is_told_off: false,
            registered_by: Some(now + REGISTRATION),
            drained_by: None,
            later: VecDeque::new(),
        }
    }
}

fn hub(limits: &Limits, announces: bool) -> Hub {
    let builder = Hub::builder().directory().limits(limits.clone());
    builder.admin_token(TOKEN).announce(announces).build()
}

impl System {
    pub(crate) fn new(model: &Model) -> Self {
        let setup = &model.setup;
        let limits = Limits {
            queue_messages: MESSAGES,
            one_read_gap: Duration::from_millis(GAP),
            per_address: PER_ADDRESS,
            rooms: MOST_ROOMS,
            ..Limits::default()
        };
        let wrong =
            |mut bytes: &[u8]| Decoder::new(1024).decode(&mut bytes).expect_err("no message");
        let mut system = System {
            hub: hub(&limits, setup.announces),
            out: Output::new(),
            limits,
            policy: setup.policy,
            announces: setup.announces,
            budget: Arc::default(),
            began: Instant::now(),
            now: 0,
            step: 0,
            links: BTreeMap::new(),
            ids: BTreeMap::new(),
            peers: HashMap::new(),
            claims: Vec::new(),
            granted: BTreeMap::new(),
            grants: 0,
            verdict: Verdict::Grants,
            told: Vec::new(),
            closed: Vec::new(),
            wishes: Vec::new(),
            schema_error: wrong(b"{}"),
            framing_error: wrong(b"x"),
            asked_at: 0,
            state: Snapshot::default(),
        };
        for (peer, name, address, kind) in setup.people() {
            system.connect(peer, address);
            system.register(peer, name, kind);
            if peer != Peer::OBSERVER {
                system.perform(peer, 0, &Act::Join(TEA));
            }
        }
        // (if the first of them is there)
        system.perform(Peer(0), 0, &Act::Admin { token: TOKEN });
        for name in [PRESENT[1], PRESENT[3]] {
            system.perform(Peer(0), 0, &Act::Role(name, "moderator"));
        }
        // all that is old by the time when it begins
        for _ in 0..2 {
            system.began += Duration::from_secs(20);
            system.hub.handle_timeout(system.time(), &mut system.out);
        }
        system.forget_output();
        (system.told, system.closed, system.wishes) = Default::default();
        for link in system.links.values_mut() {
            (link.outbox, link.delivered) = (Outbox::new(), Vec::new());
            link.outbox.set_kind(link.kind);
            link.registered_by = None;
        }
        system.hub.set_watched(true);
        system.state = system.hub.snapshot(system.time());
        system
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.step += 1;
        match step {
            Step::Connect(peer, address) => {
                self.disconnect(*peer, Departure::Left);
                self.connect(*peer, *address);
            }
            Step::Register(peer, name, kind, verdict) => {
                self.verdict = *verdict;
                self.register(*peer, name.typed, *kind);
            }
            Step::Send(peer, act) => self.send(*peer, self.step, act),
            Step::Decide { claim, grants } => {
                let (token, name) = self.claims.remove(*claim);
                self.decide(token, name, *grants);
            }
            Step::Vanish(peer) => self.disconnect(*peer, Departure::Lost),
            Step::Read(peer, window) => {
                if let Some(link) = self.links.get_mut(peer) {
                    link.window = *window;
                    link.outbox.handle_writable();
                }
            }
            Step::Wait(millis) => self.wait(*millis),
            Step::Restart => self.restart(),
        }
        self.settle();
    }

    /// Puts another hub in the place of this one, with the bans and mutes that a store would have kept.
    fn restart(&mut self) {
        let now = self.time();
        let (bans, mutes): (Vec<_>, Vec<_>) =
            (self.hub.bans(now).collect(), self.hub.mutes(now).collect());
        self.hub = hub(&self.limits, self.announces);
        self.out = Output::new();
        for ban in bans {
            self.hub.restore_ban(ban, now, &mut self.out);
        }
        for mute in mutes {
            self.hub.restore_mute(mute, now, &mut self.out);
        }
        self.links.clear();
        self.ids.clear();
        self.peers.clear();
        self.claims.clear();
        self.granted.clear();
        self.hub.set_watched(true);
        self.state = self.hub.snapshot(now);
        self.verdict = Verdict::Grants;
        self.connect(Peer::OBSERVER, APART);
        self.register(Peer::OBSERVER, OBSERVER, PeerKind::Stream);
    }

    fn time(&self) -> Now {
        let local = crate::hub::LocalTime::new((2026, 11, 20), (14, 3, 7)).expect("a date");
        Now { monotonic: self.began + Duration::from_millis(self.now), local }
    }

    fn connect(&mut self, peer: Peer, address: Address) {
        let address = address.is.parse().expect("an address");
        // not all of them in one event loop
        let lane = u16::from(peer.0 % 2);
        let id = self.hub.handle_connect(lane, address, self.time(), &mut self.out);
        self.links.insert(peer, Link::new(id, self.now));
        self.ids.insert(peer, id);
        self.peers.insert(id, peer);
    }

    fn register(&mut self, peer: Peer, name: &str, kind: PeerKind) {
        let now = self.time();
        let link = self.links.get_mut(&peer).expect("somebody registers who is connected");
        link.kind = kind;
        link.outbox.set_kind(kind);
        self.hub.handle_name(link.id, name.as_bytes(), kind, now, &mut self.out);
        self.carry_out_effects();
    }

    fn disconnect(&mut self, peer: Peer, reason: Departure) {
        let Some(link) = self.links.remove(&peer) else { return };
        self.hub.handle_disconnect(link.id, reason, self.time(), &mut self.out);
        self.peers.remove(&link.id);
        link.check(link.outbox.is_empty());
    }

    fn send(&mut self, peer: Peer, step: usize, act: &Act) {
        match self.links.get_mut(&peer) {
            Some(link) if link.outbox.is_overflown() => return,
            Some(link) if link.is_closed && matches!(act, Act::EndOfFile) => return,
            None if matches!(act, Act::EndOfFile) => return,
            Some(link) if self.hub.is_waiting(link.id) => {
                link.later.push_back((step, act.clone()));
            }
            _ => return self.perform(peer, step, act),
        }
        // the hub takes nothing meanwhile
        let Some(first) = act.inputs(step).into_iter().next() else { return };
        let actions = self.out.actions_len();
        assert!(!self.put(peer, &first), "{peer:?} waits, and yet the hub took {act:?}");
        assert_eq!(self.out.actions_len(), actions);
    }

    fn perform(&mut self, peer: Peer, step: usize, act: &Act) {
        if let Act::Nick(_, verdict) = act {
            self.verdict = *verdict;
        }
        for input in act.inputs(step) {
            assert!(self.put(peer, &input), "the hub did not take {act:?} of {peer:?}");
            self.carry_out_effects();
        }
    }

    /// Puts something that a peer sent into the hub. False if it has to wait. (Who is gone may have
    /// left something behind.)
    fn put(&mut self, peer: Peer, input: &Input) -> bool {
        let (Some(&id), now) = (self.ids.get(&peer), self.time()) else { return true };
        let (hub, out) = (&mut self.hub, &mut self.out);
        match input {
            Input::Message { to, msg } => {
                let object =
                    serde_json::json!({"from": {"name": "x", "ip": ""}, "to": to, "msg": msg});
                let object = object.to_string();
                let mut bytes = object.as_bytes();
                let mut decoder = Decoder::new(self.limits.frame);
                let frame = decoder.decode(&mut bytes).expect("valid").expect("whole");
                hub.handle_message(id, &frame.message(), now, out)
            }
            Input::SchemaError => hub.handle_decode_error(id, &self.schema_error, now, out),
            Input::FramingError => hub.handle_decode_error(id, &self.framing_error, now, out),
            Input::End => hub.handle_end(id, Departure::Left, now, out),
        }
    }

    fn carry_out_effects(&mut self) {
        while let Some(effect) = self.out.next_effect() {
            match effect {
                Effect::Claim { token, claim } => {
                    let name = claim.name.to_string();
                    let address = claim.address.to_string();
                    self.wishes.push(Wish::Claim { name: name.clone(), address });
                    match self.verdict {
                        Verdict::AnswersLater => self.claims.push((token, name)),
                        verdict => self.decide(token, name, verdict == Verdict::Grants),
                    }
                }
                Effect::Release { token, lease } => {
                    let name = lease.name().to_string();
                    let revision = self.granted.remove(&name);
                    assert_eq!(revision, Some(lease.revision()), "{name} is given back");
                    self.wishes.push(Wish::Release { name });
                    self.complete(token, Completion::Released);
                }
                Effect::Resume { token } => {
                    // what waited is decided about later
                    self.verdict = Verdict::AnswersLater;
                    self.complete(token, Completion::Resumed);
                }
                Effect::Call { .. } => panic!("there is no endpoint of an application"),
                effect => panic!("there is nobody for {effect:?}"),
            }
        }
    }

    /// The directory answers. It gives no name to two.
    fn decide(&mut self, token: Token, name: String, grants: bool) {
        let is_granted = grants && !self.granted.contains_key(&name);
        let completion = if is_granted {
            self.grants += 1;
            self.granted.insert(name, self.grants);
            Completion::Claimed(self.grants)
        } else {
            Completion::Refused("no.".to_owned())
        };
        self.complete(token, completion);
    }

    fn complete(&mut self, token: Token, completion: Completion) {
        let now = self.time();
        let goes_on = self.hub.handle_completion(token, completion, now, &mut self.out);
        let Some(peer) = goes_on.and_then(|id| self.peers.get(&id).copied()) else { return };
        self.post();
        // each in a turn of its own
        while let Some(link) = self.links.get_mut(&peer)
            && !self.hub.is_waiting(link.id)
            && !link.later.is_empty()
        {
            self.settle();
            let later = self.links.get_mut(&peer).and_then(|link| link.later.pop_front());
            let Some((step, act)) = later else { return };
            self.send(peer, step, &act);
        }
    }
}
