//! How clients get their bytes to the server, in pieces and late, and read what comes back.

use crate::handshake::Stranger;
use crate::websocket::{End, testing};

use super::client::{Act, Ending, Heard, Kind, Phase, Reading, Target, origin, text};
use super::script::scope;
use super::setup::ROOMS;
use super::world::{Event, MILLIS, Micros, WITNESS, World};

/// A read of those who take it for one object.
const ONE_READ: usize = 1024;

impl World {
    /// The first bytes of a connection.
    pub(super) fn say_name(&mut self, id: usize) {
        let name = self.clients[id].names[0].clone();
        let mut acts_from = self.now + self.rng.u64(..500 * MILLIS);
        if let Some(header) = self.clients[id].header() {
            self.send(id, &header);
        }
        match self.clients[id].kind {
            Kind::Stream => {
                self.send(id, format!("{name}\n").as_bytes());
                if self.rng.bool() {
                    acts_from = self.now;
                }
            }
            Kind::LateLineFeed => {
                self.send(id, name.as_bytes());
                let grace = self.setup.limits.handshake_grace.as_micros() as Micros;
                let late = self.now + grace + self.rng.u64(..100 * MILLIS);
                let client = &mut self.clients[id];
                client.sends_until = client.sends_until.max(late);
                self.send(id, b"\n");
            }
            Kind::OneRead => {
                self.send(id, name.as_bytes());
                acts_from += 100 * MILLIS;
            }
            Kind::Joined => {
                let mut bytes = name.into_bytes();
                let client = &mut self.clients[id];
                bytes.extend(client.perform(id, Act::List, self.now, &mut self.rng));
                self.send(id, &bytes);
            }
            Kind::WebSocket { .. } => {
                // the name is said already
                if self.rng.bool() {
                    acts_from = self.now;
                }
            }
            Kind::Nameless(bytes) => return self.send(id, bytes),
            Kind::BadName(name) => return self.send(id, name.as_bytes()),
            Kind::Stranger(stranger) => {
                let bytes: &[u8] = match stranger {
                    Stranger::Http => b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
                    Stranger::Tls => b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
                    Stranger::Ssh => b"SSH-2.0-client\r\n",
                    Stranger::Proxy => b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\n",
                };
                return self.send(id, bytes);
            }
        }
        self.schedule(acts_from, Event::Act(id));
    }

    /// Sends bytes, whole or in pieces, behind what was sent before.
    pub(super) fn send(&mut self, id: usize, bytes: &[u8]) {
        let mut at = self.clients[id].sends_until.max(self.now);
        // one byte at a time, in two or three pieces, or whole
        let most = [1, bytes.len() / 2 + 1, usize::MAX][self.rng.usize(..3)];
        let most = if bytes.len() > 400 { most.max(50) } else { most };
        let is_message = bytes.ends_with(b"}") || bytes.ends_with(b"}\n");
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(self.rng.usize(1..=most.min(rest.len())));
            at += match self.rng.u8(..32) {
                0 if is_message && self.clients[id].name.is_some() => self.rng.u64(..100 * MILLIS),
                0..24 => 0,
                _ => self.rng.u64(..2 * MILLIS),
            };
            self.schedule(at, Event::Arrive(id, part.to_vec()));
            rest = behind;
        }
        self.clients[id].sends_until = at;
    }

    /// A client does the next thing, or leaves.
    pub(super) fn act(&mut self, id: usize) {
        let others = self.clients.len() - 1;
        let client = &mut self.clients[id];
        if !client.can_send() {
            return;
        }
        if client.acts_left == 0 {
            return self.leave(id);
        }
        if client.done.len() - client.fenced < 6 {
            client.acts_left -= 1;
            let act = client.choose(id, others, &mut self.rng);
            self.perform(id, act);
        } else if client.reading != Reading::Prompt {
            // it will not hear more however long it waits
            self.clients[id].acts_left -= 1;
        }
        let pause = self.rng.u64(..200 * MILLIS);
        self.schedule(self.now + pause, Event::Act(id));
    }

    pub(super) fn perform(&mut self, id: usize, act: Act) {
        let now = self.now;
        let bytes = self.clients[id].perform(id, act, now, &mut self.rng);
        self.send(id, &bytes);
    }

    fn leave(&mut self, id: usize) {
        let client = &mut self.clients[id];
        let sent = client.sends_until.max(self.now);
        match client.ending {
            Ending::Stay => return,
            Ending::HalfClose => {
                client.phase = Phase::HalfClosed;
                if client.is_websocket() {
                    self.send(id, &testing::close());
                }
                let sent = self.clients[id].sends_until.max(sent);
                self.schedule(sent, Event::End(id));
            }
            Ending::Abort => {
                client.phase = Phase::Aborted;
                self.schedule(self.now, Event::Reset(id));
            }
            Ending::Close => {
                client.phase = Phase::Aborted;
                let gone = sent + self.rng.u64(..50 * MILLIS);
                self.schedule(sent, Event::End(id));
                self.schedule(gone, Event::Reset(id));
            }
        }
        let client = &mut self.clients[id];
        client.may_end_from.get_or_insert(self.now);
    }

    /// Something has come for a client.
    pub(super) fn notice(&mut self, id: usize) {
        let client = &mut self.clients[id];
        if client.is_read_due || client.phase >= Phase::Closed {
            return;
        }
        let at = match client.reading {
            Reading::Never => return,
            Reading::Prompt => self.now + self.rng.u64(..2 * MILLIS),
            Reading::Slow => self.now + self.rng.u64(5 * MILLIS..100 * MILLIS),
            Reading::Stalls { from, until } if (from..until).contains(&self.now) => until,
            Reading::Stalls { .. } => self.now + self.rng.u64(..10 * MILLIS),
        };
        client.is_read_due = true;
        self.schedule(at, Event::Read(id));
    }

    pub(super) fn read(&mut self, id: usize) {
        let client = &mut self.clients[id];
        client.is_read_due = false;
        if client.phase >= Phase::Closed {
            return;
        }
        let most = match client.reading {
            _ if client.is_one_read() => ONE_READ,
            Reading::Slow => self.rng.usize(1..400),
            _ => 64 * 1024,
        };
        let mut buffer = vec![0; most];
        let (length, more, ended, broken, cut) = {
            let mut network = self.network();
            let length = network.read(id, &mut buffer);
            let wire = &network.wires[id];
            (length, !wire.outgoing.is_empty(), wire.ended, wire.broken, wire.cut)
        };
        self.hear_bytes(id, &buffer[..length]);
        if more {
            return self.notice(id);
        }
        let client = &mut self.clients[id];
        if !ended || client.saw_end {
            return;
        }
        (client.saw_end, client.was_broken, client.was_cut) = (true, broken, cut);
        // whoever was told the end closes too, but for a few who forget
        let forgets = self.rng.u8(..8) == 0;
        if client.phase == Phase::Connected && !forgets {
            if client.is_websocket() {
                self.send(id, &testing::close());
            }
            let at = self.clients[id].sends_until;
            self.schedule(at, Event::End(id));
        }
        self.clients[id].phase = Phase::Closed;
    }

    fn hear_bytes(&mut self, id: usize, bytes: &[u8]) {
        let client = &mut self.clients[id];
        client.received += bytes.len();
        if let Kind::Stranger(_) = client.kind {
            client.bytes.extend_from_slice(bytes);
            return;
        }
        let is_one_object = client.is_one_read() && client.reading == Reading::Prompt;
        let is_framed = client.is_websocket();
        let unframed = is_framed.then(|| testing::unframed(&mut client.unframer, bytes));
        let end = client.unframer.end();
        assert!(!matches!(end, Some(End::Violated(_))), "client {id} got {end:?}");
        let mut input = unframed.as_deref().unwrap_or(bytes);
        let mut count = 0;
        let mut decoder = std::mem::take(&mut client.decoder);
        while let Some(frame) = decoder.decode(&mut input).unwrap_or_else(|error| {
            panic!("client {id} cannot read {error}: {:?}", String::from_utf8_lossy(bytes))
        }) {
            count += 1;
            let message = frame.message();
            let (name, ip) = (message.name.to_str(), message.ip.to_str());
            self.hear(id, &name, &ip, &message.to.to_str(), &message.msg.to_str());
        }
        let client = &mut self.clients[id];
        let is_between = decoder.position() == client.received as u64;
        client.decoder = decoder;
        if is_one_object && !bytes.is_empty() {
            assert!(count == 1 && is_between, "client {id} read {count} objects at once");
        }
    }

    fn hear(&mut self, id: usize, name: &str, ip: &str, to: &str, msg: &str) {
        let now = self.now;
        let client = &mut self.clients[id];
        assert!(client.farewell.is_none(), "client {id} was told {msg:?} after the farewell");
        if name == "SERVER" {
            assert_eq!(ip, "0.0.0.0");
            if scope(to).is_some() {
                return;
            }
            let is_own = to == "Guest" || client.names.iter().any(|name| name == to);
            assert!(is_own, "client {id} was told what is for {to:?}");
            return client.hear_server(now, msg);
        }
        let Some((sender, number)) = origin(msg) else { panic!("client {id} heard {msg:?}") };
        client.heard.push((now, Heard::Message { sender, number }));
        let by = &self.clients[sender];
        let sent = &by.sent[number];
        assert_eq!(msg, text(sender, number, sent.padding), "client {id} heard something else");
        assert!(by.names.iter().any(|known| known == name), "{name} is not {sender}");
        assert_eq!(ip, by.address.to_canonical().to_string());
        let is_right = match &sent.target {
            Target::User(user) => user == to && self.clients[id].names.contains(user),
            Target::Scope(room) => scope(to) == Some(*room) && sender != id,
        };
        assert!(is_right, "client {id} heard {sender}.{number}, which was for {:?}", sent.target);
    }

    /// The witness joins all rooms before anybody else comes.
    pub(super) fn place_witness(&mut self) {
        self.schedule(0, Event::Connect(WITNESS));
        self.run_until(|world| world.clients[WITNESS].name.is_some());
        for room in 0..ROOMS.len() {
            self.perform(WITNESS, Act::Join(room));
        }
        self.run_until(|world| world.clients[WITNESS].fenced == ROOMS.len());
    }
}
