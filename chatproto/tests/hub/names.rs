//! Two hubs with one directory, which answers in any order, or late, or not at all. Whatever happens, no
//! name is had by two users at a time, and every lease is given back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chatproto::accounts::{AccountOrder, AccountPolicy, Granted};
use chatproto::directory::{ClaimPurpose, Lease};
use chatproto::handshake::PeerKind;
use chatproto::hub::{AccountChange, Actor, Completion, ConnId, Departure, Effect, Hub, Role};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::common::accounts::name;
use crate::common::{HOME, House};

const NODES: usize = 2;
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// Most connections of a node at a time.
const MOST: usize = 4;

/// What happens next: to the node and the connection of these numbers.
#[derive(Clone, Debug)]
enum Step {
    Connect {
        node: usize,
        name: usize,
    },
    Leave {
        node: usize,
        user: usize,
    },
    Nick {
        node: usize,
        user: usize,
        name: usize,
    },
    Login {
        node: usize,
        user: usize,
        name: usize,
    },
    Register {
        node: usize,
        user: usize,
    },
    Unregister {
        node: usize,
        user: usize,
    },
    /// The operator adds an account, or removes it.
    Account {
        name: usize,
    },
    /// One of the effects under way is answered.
    Answer {
        effect: usize,
        how: How,
    },
    Pass {
        seconds: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// By the rules: a name is granted unless another node has it.
    Right,
    Refused,
    Reserved,
    Moved,
    Dropped,
}

fn step() -> impl Strategy<Value = Step> {
    (any::<u8>(), 0..NODES, 0..MOST, 0..NAMES.len(), any::<u8>()).prop_map(
        |(what, node, user, name, how)| match what % 32 {
            0..=4 => Step::Connect { node, name },
            5..=6 => Step::Leave { node, user },
            7..=9 => Step::Nick { node, user, name },
            10..=12 => Step::Login { node, user, name },
            13 => Step::Register { node, user },
            14 => Step::Unregister { node, user },
            15 => Step::Account { name },
            16 => Step::Pass { seconds: u64::from(how % 12) },
            _ => Step::Answer {
                effect: usize::from(how),
                how: match what / 32 {
                    0 => How::Refused,
                    1 if how % 2 == 0 => How::Reserved,
                    1 if how % 4 == 1 => How::Moved,
                    1 => How::Dropped,
                    _ => How::Right,
                },
            },
        },
    )
}

/// How often something has happened, in all runs.
#[derive(Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }
}

struct World<'s> {
    nodes: Vec<House>,
    users: Vec<Vec<ConnId>>,
    /// What was asked and is not answered: by which node.
    under_way: Vec<(usize, Effect)>,
    /// The names that the directory has granted: to which node, with which number.
    leased: BTreeMap<String, (usize, u64)>,
    leases: u64,
    /// The accounts, with their revisions; and the last revision.
    accounts: BTreeMap<String, u64>,
    revision: u64,
    seen: &'s mut Seen,
}

impl World<'_> {
    fn new(seen: &mut Seen) -> World<'_> {
        let node = || House::of(Hub::builder().directory().accounts(AccountPolicy::Optional));
        World {
            nodes: (0..NODES).map(|_| node()).collect(),
            users: vec![Vec::new(); NODES],
            under_way: Vec::new(),
            leased: BTreeMap::new(),
            leases: 0,
            accounts: BTreeMap::from([("alice".to_owned(), 1)]),
            revision: 1,
            seen,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Connect { node, name } if self.users[node].len() < MOST => {
                let house = &mut self.nodes[node];
                let conn = house.connect(HOME);
                house.name(conn, NAMES[name], PeerKind::Stream);
                self.users[node].push(conn);
            }
            Step::Connect { .. } => {}
            Step::Leave { node, user } => self.leave(node, user),
            Step::Nick { node, user, name } => self.send(node, user, "/nick", NAMES[name]),
            Step::Login { node, user, name } => {
                self.send(node, user, "/login", &format!("{} secret", NAMES[name]));
            }
            Step::Register { node, user } => self.send(node, user, "/register", "secret"),
            Step::Unregister { node, user } => self.send(node, user, "/unregister", "secret"),
            Step::Account { name } => self.change_account(NAMES[name]),
            Step::Answer { effect, how } => {
                if let Some(effect) = effect.checked_rem(self.under_way.len()) {
                    self.answer(effect, how);
                }
            }
            Step::Pass { seconds } => {
                for house in &mut self.nodes {
                    house.now.monotonic += Duration::from_secs(seconds);
                    house.hub.handle_timeout(house.now, &mut house.out);
                }
            }
        }
        self.take_output();
        self.check();
    }

    fn send(&mut self, node: usize, user: usize, to: &str, msg: &str) {
        if let Some(&conn) = self.users[node].get(user) {
            self.nodes[node].send(conn, to, msg);
        }
    }

    fn leave(&mut self, node: usize, user: usize) {
        if user < self.users[node].len() {
            let (conn, house) = (self.users[node].remove(user), &mut self.nodes[node]);
            house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
        }
    }

    fn change_account(&mut self, account: &str) {
        self.revision += 1;
        let change = match self.accounts.remove(account) {
            Some(_) => AccountChange::Removed,
            None => {
                self.accounts.insert(account.to_owned(), self.revision);
                AccountChange::Added(Role::User)
            }
        };
        self.tell_of_change(None, account, change);
    }

    /// All nodes learn of a change but the one that made it.
    fn tell_of_change(&mut self, by: Option<usize>, account: &str, change: AccountChange) {
        let others = self.nodes.iter_mut().enumerate().filter(|(node, _)| Some(*node) != by);
        for (_, house) in others {
            let (name, now) = (name(account), house.now);
            house.hub.handle_account_change(&name, change, self.revision, now, &mut house.out);
        }
    }

    fn answer(&mut self, effect: usize, how: How) {
        let (node, effect) = self.under_way.remove(effect);
        let (token, completion) = match effect {
            Effect::Claim { token, claim } => {
                let is_asked_for =
                    matches!(claim.purpose, ClaimPurpose::Register | ClaimPurpose::Rename);
                let is_account = self.accounts.contains_key(claim.name.as_str());
                let completion = match how {
                    How::Right if is_asked_for && is_account => Completion::Reserved,
                    How::Right => self.grant(node, claim.name.as_str()),
                    How::Refused => Completion::Refused("not you.".to_owned()),
                    How::Reserved => Completion::Reserved,
                    How::Moved => Completion::Moved("elsewhere".to_owned()),
                    How::Dropped => Completion::Failed,
                };
                let purpose = match claim.purpose {
                    ClaimPurpose::Login { .. } => "Login".to_owned(),
                    purpose => format!("{purpose:?}"),
                };
                let answer = format!("{completion:?}");
                let answer = answer.split('(').next().unwrap_or_default();
                self.seen.count(format!("{purpose} {answer}"));
                (token, completion)
            }
            Effect::CheckReserved { token, name } => {
                let is_account = self.accounts.contains_key(name.as_str());
                let no = Completion::Unreserved;
                (token, if is_account { Completion::Reserved } else { no })
            }
            Effect::Release { token, lease } => {
                self.take_back(node, &lease);
                (token, Completion::Released)
            }
            Effect::Resume { token } => {
                self.seen.count("resume");
                (token, Completion::Resumed)
            }
            Effect::Account { token, order } => (token, self.carry_out(node, &order, how)),
            other => panic!("{other:?}"),
        };
        self.nodes[node].complete(token, completion);
    }

    fn grant(&mut self, node: usize, name: &str) -> Completion {
        if let Some(&(holder, _)) = self.leased.get(name) {
            assert_ne!(holder, node, "{name} is claimed by the node that has it");
            return Completion::Refused("in use elsewhere.".to_owned());
        }
        self.leases += 1;
        self.leased.insert(name.to_owned(), (node, self.leases));
        Completion::Claimed(self.leases)
    }

    fn take_back(&mut self, node: usize, lease: &Lease) {
        let held = self.leased.remove(lease.name().as_str());
        assert_eq!(held, Some((node, lease.revision())), "{lease:?} is given back once");
    }

    fn carry_out(&mut self, node: usize, order: &AccountOrder, how: How) -> Completion {
        let account = order.credentials().name.to_string();
        let known = self.accounts.get(&account).copied();
        self.revision += 1;
        let outcome = match (order, known, how) {
            (_, _, How::Dropped) => return Completion::Failed,
            (AccountOrder::Register(_), None, _) => {
                self.accounts.insert(account.clone(), self.revision);
                self.tell_of_change(Some(node), &account, AccountChange::Added(Role::User));
                Ok(Granted::new(Role::User, self.revision))
            }
            (AccountOrder::Login(_), Some(revision), _) => Ok(Granted::new(Role::User, revision)),
            (AccountOrder::Unregister(_), Some(_), _) => {
                self.accounts.remove(&account);
                self.tell_of_change(Some(node), &account, AccountChange::Removed);
                Ok(Granted::new(Role::User, self.revision))
            }
            _ => Err("no.".to_owned()),
        };
        order.completion()(order.credentials().name.clone(), outcome)
    }

    fn take_output(&mut self) {
        for (node, house) in self.nodes.iter_mut().enumerate() {
            loop {
                while let Some(effect) = house.out.next_effect() {
                    self.under_way.push((node, effect));
                }
                house.events();
                let sent = house.mail().0.into_iter();
                let closed = sent.filter(|(_, sent)| *sent == crate::common::Sent::Close);
                let closed: Vec<ConnId> = closed.map(|(conn, _)| conn).collect();
                if closed.is_empty() {
                    break;
                }
                self.users[node].retain(|user| !closed.contains(user));
                for conn in closed {
                    house.hub.handle_disconnect(conn, Departure::Left, house.now, &mut house.out);
                }
            }
        }
    }

    fn check(&mut self) {
        let mut names = BTreeSet::new();
        for (node, house) in self.nodes.iter().enumerate() {
            for user in house.hub.users() {
                assert!(names.insert(user.to_owned()), "{user} is had by two users");
                let holder = self.leased.get(user).map(|&(holder, _)| holder);
                assert_eq!(holder, Some(node), "{user} is not leased to its node");
            }
            for &conn in &self.users[node] {
                let Some(lease) = house.hub.lease(conn) else { continue };
                let held = self.leased.get(lease.name().as_str());
                assert_eq!(held, Some(&(node, lease.revision())), "{lease:?} is none");
            }
        }
        let mut asked = BTreeSet::new();
        for (node, effect) in &self.under_way {
            let name = match effect {
                Effect::Claim { claim, .. } => &claim.name,
                Effect::Release { lease, .. } => lease.name(),
                _ => continue,
            };
            assert!(asked.insert((node, name.clone())), "two things are under way about {name}");
        }
    }

    fn answer_all(&mut self) {
        self.take_output();
        while !self.under_way.is_empty() {
            self.answer(0, How::Right);
            self.take_output();
            self.check();
        }
    }

    /// All is answered, and then everybody leaves.
    fn close(mut self) {
        self.answer_all();
        for (users, house) in self.users.iter().zip(&self.nodes) {
            for &conn in users {
                assert!(!house.hub.is_waiting(conn), "{conn:?} waits without end");
            }
            // no user has the name of an account without its password
            for user in house.hub.users().filter(|&user| self.accounts.contains_key(user)) {
                let actor = house.hub.actor_of(&name(user)).expect("a user");
                let Actor::User { conn, .. } = actor else { panic!("{actor:?}") };
                let own = house.hub.account_revision(conn);
                assert_eq!(own, self.accounts.get(user).copied(), "{user} has not logged in");
            }
        }
        for node in 0..NODES {
            while !self.users[node].is_empty() {
                self.leave(node, 0);
            }
        }
        self.answer_all();
        assert_eq!(self.leased, BTreeMap::new(), "every lease is given back");
        for house in &mut self.nodes {
            assert_eq!(house.hub.usage().effects.bytes, 0);
            house.now.monotonic += Duration::from_secs(3600);
            house.hub.handle_timeout(house.now, &mut house.out);
            assert_eq!(house.hub.poll_timeout(), None);
        }
    }
}

#[test]
fn no_name_is_had_by_two_users_whatever_the_directory_answers_and_when() {
    let is_deep = std::env::var_os("CHATPROTO_DEEP").is_some();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(if is_deep { 1_000 } else { 300 }),
        failure_persistence: None,
        max_shrink_iters: 100_000,
        rng_algorithm: RngAlgorithm::XorShift,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::XorShift);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seen = std::cell::RefCell::new(Seen::default());
    let run = runner.run(&vec(step(), 1..150), |steps| {
        let mut seen = seen.borrow_mut();
        let mut world = World::new(&mut seen);
        steps.iter().for_each(|step| world.apply(step));
        world.close();
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
    let seen = seen.into_inner().0;
    println!("{seen:#?}");
    let answers = ["Claimed", "Refused", "Moved", "Reserved", "Failed"];
    for what in ["Register", "Guest", "Rename", "Login"] {
        for answer in answers {
            assert!(seen.contains_key(&format!("{what} {answer}")), "no {what} was {answer}");
        }
    }
    assert!(seen["resume"] > 0);
}
