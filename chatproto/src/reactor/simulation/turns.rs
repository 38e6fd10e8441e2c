//! What one turn of an event loop does when a crowd has something for it: whoever says a line is
//! heard in that turn, and the crowd does not wait for ever.

mod adopted;
#[cfg(feature = "tls")]
mod secure;
mod work;

use std::net::IpAddr;
use std::time::Duration;

use crate::Message;
use crate::history::Entry;
use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;

use super::super::read::{HEAVY_FOR, READ_MOST};
use super::super::{Entrance, OTHERS_MOST};
use super::network::Nature;
use super::setup::Setup;
use super::world::{SECOND, World};

const CROWD: usize = 200;
/// Of each of the crowd.
const MUCH: usize = 4096;
/// As much as a turn reads of one who says little, at most.
const LITTLE: usize = 128;

/// A loop with a crowd, and two who talk.
struct Stage {
    world: World,
    writer: usize,
    reader: usize,
    crowd: Vec<usize>,
}

impl Stage {
    fn new(rate: Option<Rate>) -> Self {
        let mut stage = Stage::empty(rate);
        stage.crowd = (0..CROWD).map(|number| stage.join(&format!("one of {number}"))).collect();
        stage.settle();
        stage.hear();
        stage
    }

    /// Without the crowd.
    fn empty(rate: Option<Rate>) -> Self {
        Stage::with(Limits { rate, ..Limits::default() }, 1 << 20)
    }

    /// Under other limits, and where users may cause so much work in a round.
    fn with(limits: Limits, quantum: u64) -> Self {
        Stage::set(limits, quantum, false)
    }

    /// The same, and pages of history can be read.
    fn with_history(limits: Limits, quantum: u64) -> Self {
        Stage::set(limits, quantum, true)
    }

    fn set(mut limits: Limits, quantum: u64, has_history: bool) -> Self {
        limits.per_address = usize::MAX;
        let policy = SlowReader::Disconnect;
        let setup = Setup { lanes: 1, clients: 0, limits, policy, quantum, ..Setup::new(1) };
        let setup = Setup { announces: false, has_history, askers: 0, ..setup };
        let world = World::new(Setup { has_directory: false, ..setup }, false);
        let mut stage = Stage { world, writer: 0, reader: 0, crowd: Vec::new() };
        (stage.writer, stage.reader) = (stage.join("writer"), stage.join("reader"));
        stage
    }

    /// Has all done that there is to do.
    fn settle(&mut self) {
        while !self.is_idle() {
            self.world.step(0);
        }
    }

    fn join(&mut self, name: &str) -> usize {
        let wire = self.connect(Entrance::Plain);
        self.world.network().arrive(wire, format!("{name}\n").as_bytes());
        wire
    }

    fn connect(&mut self, entrance: Entrance) -> usize {
        let nature = Nature { lane: 0, room: 1 << 20, is_paced: false };
        let wire = self.world.network().connect(nature);
        self.world.accept(wire, 0, IpAddr::from([127, 0, 0, 1]), entrance);
        wire
    }

    fn is_idle(&mut self) -> bool {
        let reactor = self.world.lanes[0].reactor.as_mut().expect("a loop that runs");
        let is_asleep = reactor.fall_asleep() != Some(Duration::ZERO);
        is_asleep && self.world.network().ready.is_empty()
    }

    /// What the reader has been told since the last time.
    fn hear(&mut self) -> String {
        let mut bytes = vec![0; 1 << 16];
        let length = self.world.network().read(self.reader, &mut bytes);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// A turn in which the writer, too, has something for the reader, who hears it by its end.
    fn turn_with_a_line(&mut self) {
        let line = Message::new("writer", "", "reader", "a line").to_json() + "\n";
        assert!(line.len() < LITTLE, "it is short");
        self.world.network().arrive(self.writer, line.as_bytes());
        self.world.step(0);
        let heard = self.hear();
        assert_eq!(heard.matches("a line").count(), 1, "{heard:?}");
    }

    fn unread(&self) -> usize {
        let network = self.world.network();
        self.crowd.iter().map(|&wire| network.unread(wire)).sum()
    }

    /// How many were read, and have not been listened to yet.
    fn pending(&self) -> usize {
        let reactor = self.world.lanes[0].reactor.as_ref().expect("a loop that runs");
        let pending = reactor
            .conns
            .iter()
            .flatten()
            .filter(|c| c.protocol.resume_at().is_some() || c.protocol.has_backlog());
        pending.count()
    }

    fn here(&self) -> usize {
        let network = self.world.network();
        self.crowd.iter().filter(|&&wire| !network.wires[wire].closed).count()
    }
}

#[test]
fn a_line_does_not_wait_for_a_crowd_that_sends_much() {
    let mut stage = Stage::new(None);
    let mut half = br#"{"from":{"name":"","ip":""},"to":"nobody","msg":""#.to_vec();
    half.resize(MUCH, b'a');
    for &wire in &stage.crowd {
        stage.world.network().arrive(wire, &half);
    }
    // a little of each, and much of as many as may
    stage.turn_with_a_line();
    let mut left = stage.unread();
    let read = CROWD * MUCH - left;
    assert!((CROWD * LITTLE..CROWD * LITTLE + 3 * MUCH).contains(&read), "{read} bytes at once");
    let mut turns = 0;
    while left > 0 {
        stage.turn_with_a_line();
        let before = std::mem::replace(&mut left, stage.unread());
        assert!(left < before, "the crowd waits for the line");
        assert!(before - left <= MUCH, "{} bytes in a turn", before - left);
        turns += 1;
    }
    assert!(turns < CROWD, "each of the crowd has waited for those before it, and no longer");
}

#[test]
fn a_line_does_not_wait_for_a_crowd_that_leaves() {
    let mut stage = Stage::new(None);
    for &wire in &stage.crowd {
        stage.world.network().end(wire);
    }
    let mut left = stage.here();
    while left > 0 {
        stage.turn_with_a_line();
        let before = std::mem::replace(&mut left, stage.here());
        assert!((1..=OTHERS_MOST).contains(&(before - left)), "{} leave at once", before - left);
    }
}

#[test]
fn nor_does_it_if_they_were_waiting_to_send_much() {
    let mut stage = Stage::new(None);
    let half = vec![b' '; MUCH];
    for &wire in &stage.crowd {
        stage.world.network().arrive(wire, &half);
    }
    stage.turn_with_a_line();
    assert!(stage.unread() > CROWD / 2 * MUCH, "most of them wait");
    for &wire in &stage.crowd {
        stage.world.network().reset(wire);
    }
    let mut left = stage.here();
    while left > 0 {
        stage.turn_with_a_line();
        let before = std::mem::replace(&mut left, stage.here());
        assert!(before - left <= OTHERS_MOST, "{} leave at once", before - left);
    }
}

#[test]
fn a_line_does_not_wait_for_a_crowd_that_is_too_fast() {
    let mut stage = Stage::new(Some(Rate { per_second: 10, burst: 1 }));
    let pings = (Message::new("", "", "/ping", "").to_json() + "\n").repeat(2);
    assert!(pings.len() < LITTLE, "they are short");
    for &wire in &stage.crowd {
        stage.world.network().arrive(wire, pings.as_bytes());
    }
    stage.settle();
    assert_eq!(stage.pending(), CROWD, "the second of each comes too soon");
    // what comes meanwhile is not read, and does not make them any slower
    for _ in 0..8 {
        for &wire in &stage.crowd {
            stage.world.network().arrive(wire, b" ");
        }
        stage.settle();
    }
    // all of them may go on, all at once
    stage.world.advance(stage.world.now + SECOND);
    stage.turn_with_a_line();
    let served = CROWD - stage.pending();
    assert!((1..CROWD / 10).contains(&served), "{served} were served in a turn");
    stage.settle();
    assert_eq!(stage.pending(), 0, "nor do they wait for ever");
}

#[test]
fn a_line_does_not_wait_for_a_crowd_that_is_ahead_of_the_rate() {
    let mut stage = Stage::new(Some(Rate { per_second: 10, burst: 100 }));
    let ping = Message::new("", "", "/ping", "").to_json() + "\n";
    assert!(ping.len() < LITTLE, "it is short");
    let all_ping = |stage: &Stage| {
        for &wire in &stage.crowd {
            stage.world.network().arrive(wire, ping.as_bytes());
        }
    };
    let all_are_served_at_once = |stage: &mut Stage| {
        all_ping(stage);
        stage.world.step(0);
        assert_eq!(stage.unread(), 0, "nobody waits");
        stage.settle();
    };
    // as many as the rate allows, and then some more
    for _ in 0..30 {
        stage.world.advance(stage.world.now + SECOND / 10);
        all_are_served_at_once(&mut stage);
    }
    for _ in 0..10 {
        all_are_served_at_once(&mut stage);
    }
    // so many at once are too many, and two are served in a turn
    for _ in 0..10 {
        all_ping(&stage);
        stage.settle();
    }
    all_ping(&stage);
    stage.turn_with_a_line();
    let served = CROWD - stage.unread() / ping.len();
    assert!((1..=2).contains(&served), "{served} were served in a turn");
    stage.settle();
    assert_eq!(stage.unread(), 0, "nor do they wait for ever");
    // who is no longer ahead is heard at once again, after some messages
    stage.world.advance(stage.world.now + 10 * SECOND);
    for _ in 0..HEAVY_FOR {
        all_ping(&stage);
        stage.settle();
    }
    all_are_served_at_once(&mut stage);
}

#[test]
fn what_is_thrown_away_is_read_as_fast_as_it_comes() {
    let mut stage = Stage::new(Some(Rate { per_second: 10, burst: 100 }));
    let wire = stage.crowd[0];
    let pings = (Message::new("", "", "/ping", "").to_json() + "\n").repeat(30);
    // ahead of the rate, and then sent away
    stage.world.network().arrive(wire, pings.as_bytes());
    stage.settle();
    stage.world.network().arrive(wire, b"]");
    stage.settle();
    assert!(stage.world.network().wires[wire].ended, "that is no message");
    stage.world.network().arrive(wire, &vec![b'x'; 3 * READ_MOST]);
    for _ in 0..6 {
        stage.world.step(0);
    }
    assert_eq!(stage.world.network().unread(wire), 0);
}

#[test]
fn no_pages_are_read_for_a_crowd_that_is_gone_before_it_is_read() {
    let mut stage = Stage::with_history(Limits::default(), 1 << 20);
    let object = |to, msg| Message::new("", "", to, msg).to_json() + "\n";
    let asks = object("/join", "#tea") + &object("/history", "#tea 256");
    for number in 0..CROWD {
        let wire = stage.join(&format!("one of {number}"));
        stage.world.network().arrive(wire, asks.as_bytes());
        stage.world.network().reset(wire);
        stage.crowd.push(wire);
    }
    // the history answers nothing
    stage.settle();
    assert_eq!(stage.here(), 0, "they do not wait for their pages");
    let inbox = stage.world.shared.inbox().expect("a history");
    let orders = inbox.take(Duration::ZERO, Duration::ZERO).unwrap_or_default();
    let is_order = |entry: &&Entry| matches!(entry, Entry::Order(..));
    assert!(orders.iter().filter(is_order).count() <= 8, "as many as are read at a time");
    stage.turn_with_a_line();
}
