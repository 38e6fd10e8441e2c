//! Users who ask for what is cheap to ask and expensive to answer, as often as they may: lists, pages of
//! history, state lines, and long texts back. They stand beside the clients, of whom nobody is to notice them. What
//! they are told is not looked at. And the history that answers them, in time or late.

use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;

use crate::Message;
use crate::history::Entry;
use crate::hub::{Completion, HistoryOrder, Page, Selection};

use super::super::Entrance;
use super::network::Nature;
use super::setup::Setup;
use super::world::{Event, MILLIS, Micros, World};

/// Their own room.
const ROOM: &str = "#askers";
/// Most questions at a time.
const BURST: usize = 12;

type Answer = Result<Page, String>;
/// What the history answers.
pub(super) type Pages = fn(&Selection, &mut Rng) -> Answer;

pub(super) struct Asker {
    pub(super) wire: usize,
    pub(super) nature: Nature,
    /// How much it reads at a time; 0 if it does not.
    reads: usize,
    /// How often it will ask yet.
    asks_left: usize,
    is_connected: bool,
    is_read_due: bool,
}

impl Asker {
    pub(super) fn any(setup: &Setup, rng: &mut Rng) -> Self {
        let room = [300, 4000, 1 << 20][rng.usize(..3)];
        Asker {
            wire: 0,
            nature: Nature { lane: rng.usize(..setup.lanes), room, is_paced: false },
            reads: [0, 200, 1 << 16][rng.usize(..3)],
            asks_left: rng.usize(..setup.acts),
            is_connected: false,
            is_read_due: false,
        }
    }

    /// Some questions.
    fn questions(rng: &mut Rng) -> Vec<u8> {
        let long = "y".repeat(rng.usize(..3000));
        let (to, msg) = match rng.u8(..12) {
            0 => ("/list", ""),
            1 => ("/rooms", ""),
            2 => ("/who", ROOM),
            3 => ("/ping", &*long),
            4 => (ROOM, &*long),
            5 => ("/help", ""),
            6 => ("/state", "on"),
            7 => ("/join", "#askers 256"),
            8 => ("/leave", ROOM),
            _ => ("/history", "#askers 256"),
        };
        object(to, msg).repeat(rng.usize(1..=BURST))
    }
}

fn object(to: &str, msg: &str) -> Vec<u8> {
    (Message::new("", "", to, msg).to_json() + "\n").into_bytes()
}

impl World {
    /// An asker comes, asks, or goes.
    pub(super) fn ask(&mut self, number: usize) {
        let Asker { wire, nature: Nature { lane, .. }, is_connected, .. } = self.askers[number];
        if !is_connected {
            let is_full = self.network().open >= self.setup.descriptors;
            if is_full || self.askers[number].asks_left == 0 {
                return;
            }
            self.askers[number].is_connected = true;
            self.accept(wire, lane, IpAddr::from([10, 0, 0, number as u8]), Entrance::Plain);
            let name = format!("asker {number}\n");
            self.network().arrive(wire, &[name.as_bytes(), &object("/join", ROOM)].concat());
        } else if self.network().wires[wire].closed {
            return;
        } else if self.askers[number].asks_left > 0 {
            self.askers[number].asks_left -= 1;
            let questions = Asker::questions(&mut self.rng);
            self.network().arrive(wire, &questions);
        } else if self.rng.bool() {
            return self.network().end(wire);
        } else {
            return self.network().reset(wire);
        }
        let at = self.now + self.rng.u64(..300 * MILLIS);
        self.schedule(at, Event::Ask(number));
    }

    /// Something has come for an asker.
    pub(super) fn notice_asker(&mut self, number: usize) {
        let asker = &mut self.askers[number];
        if asker.reads > 0 && !std::mem::replace(&mut asker.is_read_due, true) {
            let at = self.now + self.rng.u64(..5 * MILLIS);
            self.schedule(at, Event::Swallow(number));
        }
    }

    pub(super) fn swallow(&mut self, number: usize) {
        let asker = &mut self.askers[number];
        asker.is_read_due = false;
        let (wire, mut buffer) = (asker.wire, vec![0; asker.reads]);
        let has_more = {
            let mut network = self.network();
            network.read(wire, &mut buffer);
            !network.wires[wire].outgoing.is_empty()
        };
        if has_more {
            self.notice_asker(number);
        }
    }

    /// All of them are gone from now on.
    pub(super) fn dismiss_askers(&mut self) {
        for asker in &mut self.askers {
            asker.asks_left = 0;
            let mut network = self.network.lock().expect("the simulation has one thread");
            if asker.is_connected && !network.wires[asker.wire].closed {
                network.reset(asker.wire);
            }
        }
    }

    /// The history does its work: it keeps nothing, and answers.
    pub(super) fn attend_to_history(&mut self) {
        let Some(inbox) = self.shared.inbox() else { return };
        for entry in inbox.take(Duration::ZERO, Duration::ZERO).into_iter().flatten() {
            let Entry::Order(order, reply) = entry else { continue };
            let at = self.now + answered_after(&mut self.rng);
            let completion = match order {
                HistoryOrder::Replay { conversation, selection } => {
                    let page = (self.pages)(&selection, &mut self.rng);
                    Completion::Replayed(conversation, page)
                }
                order => panic!("nobody asks for {order:?}"),
            };
            self.schedule(at, Event::Answer(reply, completion));
        }
    }
}

fn answered_after(rng: &mut Rng) -> Micros {
    match rng.u8(..8) {
        0 => rng.u64(..300 * MILLIS),
        _ => rng.u64(..3 * MILLIS),
    }
}

/// A page as large as it may be, a short one, or none.
pub(super) fn any_page(selection: &Selection, rng: &mut Rng) -> Answer {
    match rng.u8(..8) {
        0 => Err("the disk is on fire.".to_owned()),
        1 => page_of(0, selection, rng),
        2 => page_of(3, selection, rng),
        _ => full_page(selection, rng),
    }
}

pub(super) fn full_page(selection: &Selection, rng: &mut Rng) -> Answer {
    page_of(selection.most, selection, rng)
}

fn page_of(most: usize, selection: &Selection, rng: &mut Rng) -> Answer {
    let (mut page, mut bytes) = (Page::default(), 0);
    for id in 1..=most as u64 {
        let text = "p".repeat(rng.usize(..400));
        let object = Message::new("somebody", "10.0.0.1", ROOM, text).to_json();
        bytes += object.len();
        if bytes > selection.most_bytes && id > 1 {
            break;
        }
        page.messages.push((id, object));
    }
    page.times = (1..).take(page.messages.len()).collect();
    Ok(page)
}
