//! What must be so after every step, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::hub::{Departure, Outgoing, Snapshot};

use super::super::names::{Peer, quoted};
use super::super::reference::{GAP, MESSAGES, Model, Phase, Until, is_over};
use super::super::steps::{Input, Window};
use super::super::texts::{Said, Text};
use super::{Link, System};

/// A message as it came out of the hub.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Heard {
    from: HeardFrom,
    to: String,
    msg: String,
}

#[derive(Debug, serde::Deserialize)]
struct HeardFrom {
    name: String,
    ip: String,
}

impl System {
    /// Everything that came out in this step must be what the model expects, and the hub must know
    /// what the model knows.
    pub(crate) fn compare(&mut self, model: &Model) {
        self.compare_output(model);
        self.compare_connections(model);
        self.compare_changes(model);
        if self.asked_at != model.changes {
            self.asked_at = model.changes;
            self.compare_rooms(model);
        }
    }

    fn compare_output(&mut self, model: &Model) {
        let expected = &model.expected;
        let mut closed = expected.closed.clone();
        closed.sort_unstable();
        self.closed.sort_unstable();
        assert_eq!(self.closed, closed, "who is closed");
        let mut wishes = expected.effects.clone();
        wishes.sort_unstable();
        self.wishes.sort_unstable();
        assert_eq!(self.wishes, wishes, "what the directory is to do");
        // between audiences there is no order, and between senders
        let mut told: Vec<&(Peer, Rc<Said>)> = expected.told.iter().collect();
        told.sort_by_key(|(peer, said)| (*peer, said.from, said.to));
        self.told.sort_by(|(peer, one), (other_peer, other)| {
            let key = (peer, &one.from.name, &one.to);
            key.cmp(&(other_peer, &other.from.name, &other.to))
        });
        let mut may_be_told: Vec<&(Peer, Rc<Said>)> = expected.may_be_told.iter().collect();
        let mut told = told.into_iter().peekable();
        let mut any_of = BTreeSet::new();
        for (peer, heard) in &self.told {
            let fits = |(to, said): &(Peer, Rc<Said>)| to == peer && heard.is(said);
            if let Some((_, said)) = told.next_if(|next| fits(next)) {
                let is_new = !matches!(said.text, Text::AnyOf(_))
                    || any_of.insert((peer, &heard.to, &heard.msg));
                assert!(is_new, "{peer:?} was told {heard:?} twice");
                continue;
            }
            let allowed = may_be_told.iter().position(|maybe| fits(maybe));
            let Some(allowed) = allowed else {
                panic!("{peer:?} was told {heard:?}\nand not: {:?}", told.next());
            };
            may_be_told.swap_remove(allowed);
        }
        assert!(told.peek().is_none(), "nobody was told: {:?}", told.next());
        self.told.clear();
        self.closed.clear();
        self.wishes.clear();
    }

    fn compare_connections(&self, model: &Model) {
        assert_eq!(self.hub.connections(), model.conns.len(), "connections");
        assert_eq!(self.hub.online(), model.users.len(), "users online");
        for name in self.hub.users() {
            assert!(model.users.contains_key(name), "{name} is no user");
        }
        assert_eq!(self.count_due(), model.count_due(), "when a count is to be told");
        for (peer, link) in &self.links {
            let conn = &model.conns[peer];
            let is_waiting = self.hub.is_waiting(link.id);
            assert_eq!(is_waiting, conn.is_waiting(), "whether {peer:?} waits");
            assert_eq!(link.is_closed, conn.phase == Phase::Closing, "whether {peer:?} closes");
            if conn.phase == Phase::User && peer.is_acting() {
                let (outbox, mailbox) = (&link.outbox, &conn.mailbox);
                assert_eq!(outbox.is_overflown(), mailbox.is_full(), "{peer:?} is too slow");
                assert_eq!(outbox.is_empty(), mailbox.is_empty(), "{peer:?} has read all");
            }
        }
    }

    /// The changes lead to the state as it is now, and that is the model's.
    fn compare_changes(&mut self, model: &Model) {
        let now = self.hub.snapshot(self.time());
        while let Some(change) = self.hub.next_change() {
            self.state.apply(&change).expect("no change is missing");
        }
        assert_eq!(without_times(&self.state), without_times(&now));
        let users = self.state.users.values().map(|user| (user.name.as_str(), user));
        let mut users: BTreeMap<&str, _> = users.collect();
        for (name, peer) in &model.users {
            let (conn, user) = (&model.conns[peer], users.remove(name).expect("a user"));
            assert_eq!(user.address.to_string(), conn.address.shown);
            assert_eq!(user.away.is_some(), conn.is_away, "{name}");
            assert_eq!(format!("{:?}", user.role), format!("{:?}", conn.role), "{name}");
        }
        assert!(users.is_empty(), "no users: {users:?}");
        assert_eq!(self.state.rooms.len(), model.rooms.len());
        for (room, members) in &self.state.rooms {
            let names = members.iter().map(|name| name.as_str().to_owned());
            let expected = model.member_names(room.as_str()).unwrap_or_default();
            let expected: BTreeSet<String> = expected.into_iter().collect();
            assert_eq!(names.collect::<BTreeSet<_>>(), expected, "{room}");
        }
        let hold = |until: &Until| !is_over(*until, model.now);
        let bans = model.bans.values().filter(|(_, until, _)| hold(until)).count();
        let mutes = model.mutes.values().filter(|(until, _)| hold(until)).count();
        assert_eq!((self.state.bans.len(), self.state.mutes.len()), (bans, mutes));
    }

    /// Who is who and in which room, by all that the hub says of it.
    fn compare_rooms(&mut self, model: &Model) {
        let rooms = self.ask(Peer::OBSERVER, "/rooms", "");
        let lines = model.room_lines();
        if lines.is_empty() {
            assert!(rooms.starts_with("There are no rooms."), "{rooms}");
        } else {
            let head = format!("Rooms ({}): ", lines.len());
            assert_eq!(listed(&head, &rooms), lines.iter().map(String::as_str).collect());
        }
        for room in model.rooms.keys() {
            let names = model.member_names(room).unwrap_or_default();
            let head = format!("Members of {room} ({}): ", names.len());
            let text = self.ask(Peer::OBSERVER, "/who", &quoted(room));
            assert_eq!(listed(&head, &text), names.iter().map(String::as_str).collect());
        }
        for peer in model.users() {
            let conn = &model.conns[&peer];
            if conn.is_waiting() {
                continue;
            }
            let rooms: BTreeSet<&str> = model.rooms_of(peer).into_iter().collect();
            let text = self.ask(peer, "/whoami", "");
            let is =
                format!("You are {} from {}, {}", conn.name, conn.address.shown, conn.role.one());
            assert!(text.starts_with(&is), "{text}, and not {is}");
            assert_eq!(text.contains(", muted"), conn.is_muted(model.now), "{text}");
            match text.find("Rooms (") {
                None => assert!(rooms.is_empty(), "{text}"),
                Some(at) => {
                    let head = format!("Rooms ({}): ", rooms.len());
                    assert_eq!(listed(&head, &text[at..]), rooms);
                }
            }
        }
    }

    /// What the hub answers to a user, who is not bothered with it.
    fn ask(&mut self, peer: Peer, to: &str, msg: &str) -> String {
        let input = Input::Message { to: to.to_owned(), msg: msg.to_owned() };
        assert!(self.put(peer, &input));
        assert_eq!(self.out.actions_len(), 1, "one answer");
        let Some((id, Outgoing::Object(bytes))) = self.out.actions().next() else {
            panic!("no object");
        };
        assert_eq!(id, self.ids[&peer], "to the one who asked");
        let heard: Heard = serde_json::from_slice(bytes).expect("a message");
        self.forget_output();
        heard.msg
    }
}

/// The times of bans and mutes count from different points.
fn without_times(state: &Snapshot) -> Snapshot {
    let mut state = state.clone();
    for ban in state.bans.values_mut() {
        (ban.age, ban.remaining) = (Duration::ZERO, None);
    }
    for mute in state.mutes.values_mut() {
        (mute.age, mute.remaining) = (Duration::ZERO, None);
    }
    state
}

impl Heard {
    fn is(&self, said: &Said) -> bool {
        (&*self.from.name, &*self.from.ip, &*self.to) == (said.from, said.ip, said.to)
            && said.text.fits(&self.msg)
    }
}

fn listed<'t>(head: &str, text: &'t str) -> BTreeSet<&'t str> {
    let Some(list) = text.strip_prefix(head) else { panic!("{text:?} without {head:?}") };
    list.split(", ").collect()
}

impl System {
    /// Everybody reads everything, and then nothing is missing. Everybody leaves, and then nothing
    /// is left.
    pub(crate) fn finish(mut self, model: &Model) {
        self.compare_rooms(model);
        self.hub.set_watched(false);
        for link in self.links.values_mut() {
            link.window = Window::OPEN;
            link.outbox.handle_writable();
        }
        // at most so many notices and messages, one after the other, and the last words
        for _ in 0..2 * MESSAGES + 3 {
            self.settle();
            self.now += GAP;
        }
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            if let Some(link) = self.links.remove(&peer).filter(|_| peer != Peer::OBSERVER) {
                link.check(true);
                self.hub.handle_disconnect(link.id, Departure::Left, self.time(), &mut self.out);
                self.forget_output();
            }
        }
        assert!(self.ask(Peer::OBSERVER, "/rooms", "").starts_with("There are no rooms."));
        assert_eq!(self.ask(Peer::OBSERVER, "/list", ""), "No other users are connected.");
        let last = self.ids[&Peer::OBSERVER];
        self.hub.handle_disconnect(last, Departure::Left, self.time(), &mut self.out);
        assert_eq!((self.hub.online(), self.hub.connections()), (0, 0));
        self.now += 10_000;
        self.hub.handle_timeout(self.time(), &mut self.out);
        assert_eq!(self.hub.poll_timeout(), None);
        self.hub.shrink();
        assert_eq!(self.hub.usage().rooms.bytes, 0);
    }
}

impl Link {
    /// What was received is what was delivered, in order; what is missing was told, to the last
    /// message if the reader has read all.
    pub(super) fn check(&self, has_read_all: bool) {
        let mut delivered = lines(&self.delivered);
        let (mut told, mut read) = (0, 0);
        for line in lines(&self.received) {
            if line.last() != Some(&b'\n') {
                continue;
            }
            let text = std::str::from_utf8(line).expect("UTF-8");
            if let Some((_, number)) = text.split_once("ou did not read fast enough; ") {
                let (number, _) = number.split_once(' ').expect("a number and a word");
                told += number.parse::<usize>().expect("a number");
            } else if text.contains("State closed reason=slow") {
                // behind the last words
            } else {
                assert!(delivered.any(|sent| sent == line), "out of order, or never sent: {text}");
                read += 1;
            }
        }
        let sent = lines(&self.delivered).count();
        if has_read_all {
            assert_eq!(read + told, sent, "{read} were received and {told} told as missed");
        } else {
            assert!(read + told <= sent, "{read} received, {told} told as missed, of {sent}");
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n')
}
