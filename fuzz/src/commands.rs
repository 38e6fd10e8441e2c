//! The hub, told anything: commands with any arguments, names, rooms and texts of any characters.
//! There is no model of what it answers, so this checks what must be so whatever it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use chatproto::{
    Completion, ConnId, Decoder, Departure, EVERYONE, Effect, Event, GUEST, Hub, Limits, Message,
    Now, Outgoing, Output, PeerKind, SERVER, UserName,
};

/// Ends what somebody does.
pub(crate) const END: u8 = 0xfe;
/// Stands between whom a message is for and its text.
pub(crate) const THEN: u8 = 0xff;
/// The token of `/admin`.
pub(crate) const TOKEN: &str = "sesame";

/// So many can be there at the same time.
const PEERS: usize = 6;

/// The input is what people do, each ended by 0xFE: a byte for who it is and then `+` and a name to
/// connect, `-` to leave, `~` to let time pass, or whom a message is for, 0xFF, and its text.
/// Whatever they say: nobody speaks in another's name, nothing comes for who is gone, every object
/// is a message that its reader can take, and names and the directory's claims agree.
pub fn hub_commands(input: &[u8]) {
    let mut server = Server::new();
    for act in input.split(|&byte| byte == END).take(200) {
        if let Some((&who, what)) = act.split_first() {
            server.act(usize::from(who) % PEERS, what);
            server.check_names();
        }
    }
    server.close();
}

/// A connection.
struct Peer {
    id: ConnId,
    kind: PeerKind,
    is_closed: bool,
}

struct Server {
    hub: Hub,
    out: Output,
    limits: Limits,
    now: Instant,
    peers: [Option<Peer>; PEERS],
    /// The names by connection, as the events have them.
    names: BTreeMap<(usize, usize), String>,
    /// The names that were claimed and not released.
    claimed: BTreeSet<String>,
}

impl Server {
    fn new() -> Self {
        let mut limits = Limits::default();
        limits.rooms = 3;
        let hub = Hub::builder().limits(limits.clone()).admin_token(TOKEN).announce(true).seed(1);
        Server {
            hub: hub.build(),
            out: Output::new(),
            limits,
            now: Instant::now(),
            peers: [const { None }; PEERS],
            names: BTreeMap::new(),
            claimed: BTreeSet::new(),
        }
    }

    fn time(&self) -> Now {
        Now { monotonic: self.now, local: jiff::civil::date(2026, 11, 20).at(14, 3, 7, 0) }
    }

    fn act(&mut self, who: usize, what: &[u8]) {
        match (what, &self.peers[who]) {
            ([b'~', times @ ..], _) => {
                let millis = times.iter().map(|&byte| 1 << (byte % 24)).sum::<u64>();
                self.now += Duration::from_millis(millis);
                self.hub.handle_timeout(self.time(), &mut self.out);
                self.take_output(None);
            }
            ([b'+', name @ ..], None) => self.connect(who, name),
            ([b'-', ..], Some(_)) => self.disconnect(who),
            (message, Some(_)) => {
                let mut parts = message.splitn(2, |&byte| byte == THEN);
                let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default());
                self.send(who, &Message::new("SERVER", "0.0.0.0", part(), part()));
            }
            (_, None) => {}
        }
    }

    fn address(who: usize) -> IpAddr {
        let mapped = who % 2 == 1;
        let text = format!("{}192.0.2.{who}", if mapped { "::ffff:" } else { "" });
        text.parse().expect("an address")
    }

    fn connect(&mut self, who: usize, name: &[u8]) {
        let now = self.time();
        let kind = if who < 4 { PeerKind::Stream } else { PeerKind::OneRead };
        let id = self.hub.handle_connect(0, Self::address(who), now, &mut self.out);
        self.peers[who] = Some(Peer { id, kind, is_closed: false });
        self.take_output(None);
        if self.peers[who].is_some() {
            self.hub.handle_name(id, name, kind, now, &mut self.out);
            self.take_output(None);
        }
    }

    fn disconnect(&mut self, who: usize) {
        let Some(peer) = self.peers[who].take() else { return };
        self.hub.handle_disconnect(peer.id, Departure::Left, self.time(), &mut self.out);
        self.take_output(None);
    }

    /// Sends a message, in the form that such a peer writes.
    fn send(&mut self, who: usize, message: &Message) {
        let Some(peer) = &self.peers[who] else { return };
        let json = match peer.kind {
            PeerKind::Stream => message.to_json(),
            PeerKind::OneRead => message.to_python_json(),
        };
        let mut bytes = json.as_bytes();
        let mut decoder = Decoder::new(self.limits.frame);
        let Ok(Some(frame)) = decoder.decode(&mut bytes) else { return };
        let id = peer.id;
        let name = self.names.get(&(id.lane(), id.slot())).cloned();
        let message_ref = frame.message();
        assert!(self.hub.handle_message(id, &message_ref, self.time(), &mut self.out));
        self.take_output(name.map(|name| (name, Self::address(who), &*message.msg)));
    }

    /// What comes out, when somebody with this name and address has sent this.
    fn take_output(&mut self, sender: Option<(String, IpAddr, &str)>) {
        // each completion brings more
        for _ in 0..10 {
            self.check_objects(sender.as_ref());
            for event in self.out.take_events() {
                self.note(event);
            }
            self.out.clear();
            let mut is_over = true;
            while let Some(effect) = self.out.next_effect() {
                is_over = false;
                match effect {
                    Effect::Claim { token, name, .. } => {
                        assert!(self.claimed.insert(name.to_string()), "{name} is claimed twice");
                        let (done, now) = (Completion::Claimed, self.time());
                        self.hub.handle_completion(token, done, now, &mut self.out);
                    }
                    Effect::Release { name } => {
                        assert!(self.claimed.remove(name.as_str()), "{name} was not claimed");
                    }
                    Effect::Call { .. } => panic!("there is no endpoint of an application"),
                }
            }
            for who in 0..PEERS {
                if self.peers[who].as_ref().is_some_and(|peer| peer.is_closed) {
                    is_over = false;
                    let Some(peer) = self.peers[who].take() else { continue };
                    let now = self.time();
                    self.hub.handle_disconnect(peer.id, Departure::Left, now, &mut self.out);
                }
            }
            if is_over {
                return;
            }
        }
        panic!("there is no end of what comes out");
    }

    fn check_objects(&mut self, sender: Option<&(String, IpAddr, &str)>) {
        for (id, outgoing) in self.out.actions() {
            let receiver = self.peers.iter_mut().flatten().find(|peer| peer.id == id);
            let Some(peer) = receiver else { panic!("{outgoing:?} for somebody who is gone") };
            assert!(!peer.is_closed, "{outgoing:?} after the close");
            let Outgoing::Object(bytes) = outgoing else {
                peer.is_closed = true;
                continue;
            };
            assert_eq!(bytes.iter().position(|&byte| byte == b'\n'), Some(bytes.len() - 1));
            let object = Message::decode(bytes).expect("what the hub says is a message");
            if peer.kind == PeerKind::OneRead {
                assert!(bytes.is_ascii() && bytes.len() <= self.limits.one_read, "{object:?}");
            }
            if object.is_from_server() {
                assert_eq!(object.from.ip, "0.0.0.0");
                assert!(bytes.len() <= self.limits.answer, "an answer of {}", bytes.len());
            } else {
                let (name, address, msg) = sender.expect("somebody has sent it");
                assert_eq!(object.from.name, *name, "nobody speaks in another's name");
                assert_eq!(object.from.ip, address.to_canonical().to_string());
                assert_eq!(object.msg, *msg, "what was sent is what arrives");
            }
            let to = &*object.to;
            let is_to = [EVERYONE, GUEST].contains(&to) || to.starts_with('#');
            assert!(is_to || UserName::from_bytes(to.as_bytes(), 64).is_ok(), "to {to:?}");
        }
    }

    /// Names are as the events have them.
    fn note(&mut self, event: Event) {
        let key = |conn: ConnId| (conn.lane(), conn.slot());
        match event {
            Event::Registered { conn, name, .. } => {
                assert_eq!(self.names.insert(key(conn), name.to_string()), None);
            }
            Event::Renamed { conn, old, name, .. } => {
                let before = self.names.insert(key(conn), name.to_string());
                assert_eq!(before.as_deref(), Some(old.as_str()));
            }
            Event::Departed { conn, name, .. } => {
                assert_eq!(self.names.remove(&key(conn)).as_deref(), Some(name.as_str()));
            }
            _ => {}
        }
    }

    fn check_names(&self) {
        let names: BTreeSet<&str> = self.hub.users().collect();
        assert_eq!(names.len(), self.hub.online(), "names are unique");
        assert_eq!(names, self.names.values().map(|name| &**name).collect(), "and were told");
        assert_eq!(names, self.claimed.iter().map(|name| &**name).collect(), "and claimed");
        assert_eq!(self.hub.connections(), self.peers.iter().flatten().count());
        for name in names {
            assert_ne!(name, SERVER);
            let again = UserName::from_bytes(name.as_bytes(), 64).expect("a name is a name");
            assert_eq!(again.as_str(), name);
        }
    }

    /// Everybody leaves, and nothing is left.
    fn close(mut self) {
        for who in 0..PEERS {
            self.disconnect(who);
            self.check_names();
        }
        assert_eq!((self.hub.online(), self.hub.connections()), (0, 0));
        self.now += Duration::from_secs(3600);
        self.hub.handle_timeout(self.time(), &mut self.out);
        self.take_output(None);
        assert_eq!(self.hub.poll_timeout(), None, "nobody is left to be told");
    }
}
