//! The hub, told anything: commands with any arguments, names, rooms and texts of any characters,
//! with accounts and without. There is no model of what it answers, so this checks what must be so
//! whatever it answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use chatproto::accounts::{AccountOrder, AccountPolicy, Granted};
use chatproto::directory::{Claim, ClaimPurpose, Lease};
use chatproto::endpoint::Request;
use chatproto::handshake::{PeerKind, Stranger};
use chatproto::hub::{
    AccountChange, Completion, ConnId, Departure, Effect, Event, Hub, LocalTime, Now, Outgoing,
    Output, Role, Token,
};
use chatproto::name::{EVERYONE, GUEST, SERVER};
use chatproto::{Decoder, Limits, Message, UserName};

/// Ends what somebody does.
pub(crate) const END: u8 = 0xfe;
/// Stands between whom a message is for and its text.
pub(crate) const THEN: u8 = 0xff;
/// The token of `/admin`.
pub(crate) const TOKEN: &str = "sesame";

/// The password of every account, and who has one at first.
pub(crate) const PASSWORD: &str = "open";
const OWNERS: [&str; 2] = ["alice", "b\u{f6}b"];

/// So many can be there at the same time.
const PEERS: usize = 6;

/// The input is what people do, each ended by 0xFE: a byte for who it is, and then `+` and a name to
/// connect, `-` to leave, `~` to let time pass, whom a message is for, 0xFF, and its text, or one of
/// the bytes of [`Server::happens`]. Whatever they say: nobody speaks in another's name, nothing
/// comes for who is gone, every object is a message that its reader can take, and names and the
/// directory's claims agree.
pub fn hub_commands(input: &[u8]) {
    live(Server::new(None), input);
}

/// The same where names have owners, and with a byte in front: if it is odd, an account is required.
/// Besides: nobody has the name of an account without its password.
pub fn hub_accounts(input: &[u8]) {
    let Some((&policy, input)) = input.split_first() else { return };
    let is_required = policy % 2 == 1;
    let policy = if is_required { AccountPolicy::Required } else { AccountPolicy::Optional };
    live(Server::new(Some(policy)), input);
}

fn live(mut server: Server, input: &[u8]) {
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

/// What waits for a completion.
enum Pending {
    Claim(Claim),
    Release(Lease),
    Resume,
    /// Whether a name is reserved that somebody else claims.
    Check(String),
    Call,
    Order(AccountOrder),
}

struct Accounts {
    is_required: bool,
    /// The revision of the last change.
    revision: u64,
    names: BTreeSet<String>,
    /// Who has proved to own a name, by connection.
    logged_in: BTreeSet<(usize, usize)>,
}

struct Server {
    hub: Hub,
    out: Output,
    limits: Limits,
    now: Instant,
    peers: [Option<Peer>; PEERS],
    /// The names by connection, as the events have them.
    names: BTreeMap<(usize, usize), String>,
    /// The names that the directory has granted and not got back, with the numbers of the leases.
    leased: BTreeMap<String, u64>,
    /// The number of the last lease.
    leases: u64,
    /// What waits for a completion, the oldest first.
    waiting: VecDeque<(Token, Pending)>,
    accounts: Option<Accounts>,
    /// The next effects wait.
    is_slow: bool,
    /// What somebody is told who speaks another protocol.
    stranger: Option<&'static [u8]>,
}

impl Server {
    fn new(policy: Option<AccountPolicy>) -> Self {
        // low ones, so that they are met
        let mut limits = Limits::default();
        (limits.frame, limits.answer, limits.one_read) = (2048, 1024, 768);
        (limits.answer_parts, limits.rooms, limits.errors) = (4, 3, 5);
        (limits.connections, limits.welcome_names) = (PEERS - 1, 2);
        let hub = policy.map_or_else(Hub::builder, |policy| Hub::builder().accounts(policy));
        let hub = hub.directory().limits(limits.clone()).admin_token(TOKEN).announce(true).seed(1);
        // (the answers are made here)
        let hub = hub.endpoint("/echo", "Says it again.", |_: &Request| Err(String::new()));
        Server {
            hub: hub.expect("a good name").build(),
            out: Output::new(),
            limits,
            now: Instant::now(),
            peers: [const { None }; PEERS],
            names: BTreeMap::new(),
            leased: BTreeMap::new(),
            leases: 0,
            waiting: VecDeque::new(),
            accounts: policy.map(|policy| Accounts {
                is_required: policy == AccountPolicy::Required,
                revision: 1,
                names: OWNERS.map(str::to_owned).into(),
                logged_in: BTreeSet::new(),
            }),
            is_slow: false,
            stranger: None,
        }
    }

    fn time(&self) -> Now {
        Now {
            monotonic: self.now,
            local: LocalTime::new((2026, 11, 20), (14, 3, 7)).expect("a date"),
        }
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
            (1, _) => self.complete(Completion::Claimed(0)),
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
            (15, Some(id)) => self.change_account(id),
            _ => {}
        }
    }

    /// What waits the longest is done, which `Claimed` stands for, or failed, or is answered with
    /// what answers something else. The directory gives no name to two.
    fn complete(&mut self, completion: Completion) {
        let Some((token, pending)) = self.waiting.pop_front() else { return };
        let completion = match (completion, pending) {
            (_, Pending::Resume) => Completion::Resumed,
            (_, Pending::Release(lease)) => {
                let revision = self.leased.remove(lease.name().as_str());
                assert_eq!(revision, Some(lease.revision()), "{lease:?} was not granted");
                Completion::Released
            }
            (Completion::Claimed(_), Pending::Claim(claim)) => self.grant(&claim),
            (Completion::Claimed(_), Pending::Check(name)) if self.is_reserved(&name) => {
                Completion::Reserved
            }
            (Completion::Claimed(_), Pending::Check(_)) => Completion::Unreserved,
            (Completion::Claimed(_), Pending::Order(order)) => self.decide(&order),
            (Completion::Claimed(_), Pending::Call) => Completion::Failed,
            (completion, _) => completion,
        };
        let now = self.time();
        self.hub.handle_completion(token, completion, now, &mut self.out);
    }

    fn grant(&mut self, claim: &Claim) -> Completion {
        let name = claim.name.as_str();
        let is_asked_for = matches!(claim.purpose, ClaimPurpose::Register | ClaimPurpose::Rename);
        if is_asked_for && self.is_reserved(name) {
            return Completion::Reserved;
        }
        if self.leased.contains_key(name) {
            return Completion::Refused("It is another's.".to_owned());
        }
        self.leases += 1;
        self.leased.insert(name.to_owned(), self.leases);
        Completion::Claimed(self.leases)
    }

    fn is_reserved(&self, name: &str) -> bool {
        self.accounts.as_ref().is_some_and(|accounts| accounts.names.contains(name))
    }

    /// What becomes of what somebody asks of the accounts.
    fn decide(&mut self, order: &AccountOrder) -> Completion {
        let Some(Accounts { names, revision, .. }) = &mut self.accounts else {
            panic!("there are none")
        };
        if !matches!(order, AccountOrder::Login(_)) {
            *revision += 1;
        }
        let revision = *revision;
        let credentials = order.credentials();
        let name = &credentials.name;
        let is_right = credentials.password.as_str() == PASSWORD && names.contains(name.as_str());
        let granted = || {
            let mut granted = Granted::new(Role::Moderator, revision);
            granted.notice = Some("Beware.".to_owned());
            granted
        };
        let denied = || "not so".to_owned();
        match order {
            AccountOrder::Register(_) => {
                assert_eq!(name.check_account(), Ok(()), "no account of {name}");
                let is_new = names.insert(name.to_string());
                Completion::Registered(is_new.then(granted).ok_or_else(denied))
            }
            AccountOrder::Login(_) => {
                Completion::LoggedIn(name.clone(), is_right.then(granted).ok_or_else(denied))
            }
            AccountOrder::ChangePassword(..) => {
                Completion::PasswordChanged(is_right.then(granted).ok_or_else(denied))
            }
            AccountOrder::Unregister(_) => {
                if is_right {
                    names.remove(name.as_str());
                }
                Completion::Unregistered(is_right.then_some(revision).ok_or_else(denied))
            }
            other => panic!("not known here: {other:?}"),
        }
    }

    /// An operator gives the user's name to somebody, or changes the password of its owner.
    fn change_account(&mut self, id: ConnId) {
        let name = self.names.get(&(id.lane(), id.slot()));
        let (Some(name), Some(accounts)) = (name, &mut self.accounts) else { return };
        accounts.revision += 1;
        let revision = accounts.revision;
        let is_new = accounts.names.insert(name.clone());
        let change = if is_new {
            AccountChange::Added(chatproto::hub::Role::User)
        } else {
            AccountChange::Removed
        };
        let name = UserName::new(name).expect("a name is a name");
        self.hub.handle_account_change(&name, change, revision, self.time(), &mut self.out);
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
                    Effect::Claim { token, claim } => {
                        let is_temporary = claim.purpose == ClaimPurpose::Guest;
                        assert_eq!(claim.name.check_request().is_err(), is_temporary, "{claim:?}");
                        self.waiting.push_back((token, Pending::Claim(claim)));
                    }
                    Effect::CheckReserved { token, name } => {
                        self.waiting.push_back((token, Pending::Check(name.to_string())));
                    }
                    Effect::Call { token, .. } => self.waiting.push_back((token, Pending::Call)),
                    Effect::Release { token, lease } => {
                        self.waiting.push_back((token, Pending::Release(lease)));
                    }
                    Effect::Resume { token } => self.waiting.push_back((token, Pending::Resume)),
                    Effect::Account { token, order } if self.accounts.is_some() => {
                        self.waiting.push_back((token, Pending::Order(order)));
                    }
                    effect => panic!("this hub has no {effect:?}"),
                }
            }
            while !self.is_slow && !self.waiting.is_empty() {
                is_over = false;
                let is_call = matches!(self.waiting[0].1, Pending::Call);
                let answer = Completion::Answered(Ok("again".to_owned()));
                self.complete(if is_call { answer } else { Completion::Claimed(0) });
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
                if let Some(accounts) = &mut self.accounts {
                    accounts.logged_in.remove(&key(conn));
                }
            }
            Event::LoggedIn { conn, name, .. } => {
                assert_eq!(self.names.get(&key(conn)).map(|name| &**name), Some(name.as_str()));
                let accounts = self.accounts.as_mut().expect("there are accounts");
                accounts.logged_in.insert(key(conn));
            }
            Event::Departed { conn, name, .. } => {
                assert_eq!(self.names.remove(&key(conn)).as_deref(), Some(name.as_str()));
                if let Some(accounts) = &mut self.accounts {
                    accounts.logged_in.remove(&key(conn));
                }
            }
            _ => {}
        }
    }

    fn check_names(&self) {
        let names: BTreeSet<&str> = self.hub.users().collect();
        assert_eq!(names.len(), self.hub.online(), "names are unique");
        assert_eq!(names, self.names.values().map(|name| &**name).collect(), "and were told");
        for peer in self.peers.iter().flatten() {
            let Some(lease) = self.hub.lease(peer.id) else { continue };
            let granted = self.leased.get(lease.name().as_str());
            assert_eq!(granted, Some(&lease.revision()), "{lease:?} was granted");
        }
        for name in &names {
            assert!(self.leased.contains_key(*name), "{name} was claimed");
        }
        if let Some(accounts) = &self.accounts {
            for (conn, name) in &self.names {
                let is_owner = accounts.logged_in.contains(conn);
                let has_account = accounts.names.contains(name);
                assert!(has_account || !accounts.is_required, "{name} has no account");
                let needs_to_be = accounts.is_required || has_account;
                // (it gives the name up when the directory has granted another one)
                let is_displaced = self.is_slow || !self.waiting.is_empty();
                assert!(is_owner || !needs_to_be || is_displaced, "{name} has not logged in");
            }
        }
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
        assert_eq!(self.leased, BTreeMap::new(), "every name was given back");
        self.now += Duration::from_secs(3600);
        self.hub.handle_timeout(self.time(), &mut self.out);
        self.take_output(None);
        assert_eq!(self.hub.poll_timeout(), None, "nobody is left to be told");
        self.hub.shrink();
        let usage = self.hub.usage();
        assert_eq!((usage.rooms.bytes, usage.effects.bytes, usage.visitors.bytes), (0, 0, 0));
    }
}
