//! The hub, told anything: commands with any arguments, names, rooms and texts of any characters.
//! There is no model of what it answers, so this checks what must be so whatever it answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use chatproto::{
    Completion, ConnId, Decoder, Departure, EVERYONE, Effect, Event, GUEST, Hub, Limits, Message,
    Now, Outgoing, Output, PeerKind, Request, SERVER, Stranger, Token, UserName,
};

/// Ends what somebody does.
pub(crate) const END: u8 = 0xfe;
/// Stands between whom a message is for and its text.
pub(crate) const THEN: u8 = 0xff;
/// The token of `/admin`.
pub(crate) const TOKEN: &str = "sesame";

/// So many can be there at the same time.
const PEERS: usize = 6;

/// The input is what people do, each ended by 0xFE: a byte for who it is, and then `+` and a name to
/// connect, `-` to leave, `~` to let time pass, whom a message is for, 0xFF, and its text, or one of
/// the bytes of [`Server::happens`]. Whatever they say: nobody speaks in another's name, nothing
/// comes for who is gone, every object is a message that its reader can take, and names and the
/// directory's claims agree.
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
    /// What waits for a completion, the oldest first, and the name that is claimed by it.
    waiting: VecDeque<(Token, Option<String>)>,
    /// The next effects wait.
    is_slow: bool,
    /// What somebody is told who speaks another protocol.
    stranger: Option<&'static [u8]>,
}

impl Server {
    fn new() -> Self {
        // low ones, so that they are met
        let mut limits = Limits::default();
        (limits.frame, limits.answer, limits.one_read) = (2048, 1024, 768);
        (limits.answer_parts, limits.rooms, limits.errors) = (4, 3, 5);
        (limits.connections, limits.welcome_names) = (PEERS - 1, 2);
        let hub = Hub::builder().limits(limits.clone()).admin_token(TOKEN).announce(true).seed(1);
        // (the answers are made here)
        let hub = hub.endpoint("/echo", "Says it again.", |_: &Request| Err(String::new()));
        Server {
            hub: hub.expect("a good name").build(),
            out: Output::new(),
            limits,
            now: Instant::now(),
            peers: [const { None }; PEERS],
            names: BTreeMap::new(),
            claimed: BTreeSet::new(),
            waiting: VecDeque::new(),
            is_slow: false,
            stranger: None,
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
            ([byte @ 0..0x10, ..], peer) => {
                let id = peer.as_ref().map(|peer| peer.id);
                self.happens(*byte, id);
                self.take_output(None);
                self.stranger = None;
            }
            (message, Some(_)) => {
                let mut parts = message.splitn(2, |&byte| byte == THEN);
                let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default());
                self.send(who, &Message::new("SERVER", "0.0.0.0", part(), part()));
            }
            (_, None) => {}
        }
    }

    /// What is no message: effects that wait or are done, the peer's mistakes, the server's end.
    fn happens(&mut self, what: u8, peer: Option<ConnId>) {
        let (now, out) = (self.time(), &mut self.out);
        let wrong = |mut bytes: &[u8]| Decoder::new(64).decode(&mut bytes).expect_err("wrong");
        match (what, peer) {
            (0, _) => self.is_slow = !self.is_slow,
            (1, _) => self.complete(Completion::Claimed),
            (2, _) => self.complete(Completion::Refused("No, not \"you\".".to_owned())),
            (3, _) => self.complete(Completion::Answered(Ok("later \u{e9}".repeat(4000)))),
            (4, _) => self.complete(Completion::Answered(Err("no".to_owned()))),
            (5, _) => self.complete(Completion::Failed),
            (6, _) => self.hub.handle_shutdown(now, out),
            (7, Some(id)) => {
                self.hub.handle_decode_error(id, &wrong(b"{}"), now, out);
            }
            (8, Some(id)) => {
                self.hub.handle_decode_error(id, &wrong(b"x"), now, out);
            }
            (9, Some(id)) => {
                let was_waiting = self.hub.is_waiting(id);
                assert_eq!(self.hub.handle_end(id, Departure::Left, now, out), !was_waiting);
            }
            (10, Some(id)) => self.hub.handle_deadline(id, now, out),
            (11, Some(id)) => self.hub.handle_eviction(id, Departure::Kicked, now, out),
            (12, _) => self.hub.shrink(),
            (13, Some(id)) => {
                self.hub.handle_late_line_feed(id);
                let peer = self.peers.iter_mut().flatten().find(|peer| peer.id == id);
                peer.expect("who is connected").kind = PeerKind::Stream;
            }
            (14, Some(id)) => {
                self.stranger = Some(Stranger::Http.answer());
                self.hub.handle_stranger(id, Stranger::Http, now, out);
            }
            _ => {}
        }
    }

    /// What waits the longest is done, or failed. The directory gives no name to two.
    fn complete(&mut self, mut completion: Completion) {
        let Some((token, name)) = self.waiting.pop_front() else { return };
        if completion == Completion::Claimed && !name.is_some_and(|name| self.claimed.insert(name))
        {
            completion = Completion::Refused("It is another's.".to_owned());
        }
        let now = self.time();
        self.hub.handle_completion(token, completion, now, &mut self.out);
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
        let was_waiting = self.hub.is_waiting(id);
        let was_taken = self.hub.handle_message(id, &frame.message(), self.time(), &mut self.out);
        assert_eq!(was_taken, !was_waiting, "who waits is not listened to");
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
                        self.waiting.push_back((token, Some(name.to_string())));
                    }
                    Effect::Call { token, .. } => self.waiting.push_back((token, None)),
                    Effect::Release { name } => {
                        assert!(self.claimed.remove(name.as_str()), "{name} was not claimed");
                    }
                    effect => {
                        panic!("this hub has neither: {effect:?}")
                    }
                }
            }
            while !self.is_slow && !self.waiting.is_empty() {
                is_over = false;
                let is_name = self.waiting[0].1.is_some();
                let answer = Completion::Answered(Ok("again".to_owned()));
                self.complete(if is_name { Completion::Claimed } else { answer });
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
            if self.stranger == Some(bytes) {
                continue;
            }
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
        self.is_slow = false;
        self.take_output(None);
        self.check_names();
        assert_eq!((self.hub.online(), self.hub.connections()), (0, 0));
        self.now += Duration::from_secs(3600);
        self.hub.handle_timeout(self.time(), &mut self.out);
        self.take_output(None);
        assert_eq!(self.hub.poll_timeout(), None, "nobody is left to be told");
    }
}
