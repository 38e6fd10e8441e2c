//! What clients do, what they must be answered, and what they make of what they hear.

use fastrand::Rng;

use crate::websocket::testing;

use super::client::{
    Act, Client, Done, EVERYONE, Heard, LONG, Scope, Sent, Target, any_name, text,
};
use super::setup::{ROOMS, TOKEN};

impl Client {
    /// What it does next, among so many others.
    pub(super) fn choose(&self, id: usize, others: usize, rng: &mut Rng) -> Act {
        let somebody = |rng: &mut Rng| match rng.u8(..8) {
            0 => "nobody".to_owned(),
            1 => format!("star{}", rng.u8(..3)),
            _ => format!("u{}", rng.usize(1..=others)),
        };
        let mut room = rng.usize(..ROOMS.len());
        match self.done.len() {
            0 => return Act::Join(room),
            1 if self.is_moderator => return Act::Admin,
            _ => {}
        }
        let kind = if self.is_moderator { rng.u8(..48) } else { rng.u8(..40) };
        if let (10..18, Act::Join(first)) = (kind, &self.done[0].act)
            && rng.u8(..4) > 0
        {
            room = *first;
        }
        match kind {
            0..10 => Act::Write(somebody(rng), if rng.u8(..8) == 0 { 60 } else { rng.usize(1..4) }),
            10..18 => Act::Say(room, if rng.u8(..8) == 0 { 30 } else { rng.usize(1..4) }),
            18..21 => Act::Shout,
            21..28 => Act::Join(room),
            28..30 => Act::Leave(room),
            30 => Act::Nick(any_name(id, rng)),
            31 => Act::Nick(format!("n{id}.{}", self.done.len())),
            32 => Act::Away(rng.bool()),
            33 => Act::List,
            34 | 35 => Act::Echo,
            36 => Act::SchemaError,
            37 if rng.u8(..4) == 0 => Act::FramingError,
            40..43 | 38 => Act::Mute(somebody(rng)),
            43.. | 39 => Act::Kick(somebody(rng)),
            _ => Act::Rooms,
        }
    }

    /// Does something; returns the bytes that say so, a ping behind them.
    pub(super) fn perform(&mut self, id: usize, act: Act, now: u64, rng: &mut Rng) -> Vec<u8> {
        let first = self.sent.len();
        let mut bytes = Vec::new();
        let command = |client: &Self, to: &str, msg: &str| client.object(to, msg);
        match &act {
            Act::Write(to, times) => {
                for _ in 0..*times {
                    let target = Target::User(to.clone());
                    bytes.extend(self.message(id, to, target, now, rng));
                }
            }
            Act::Say(room, times) => {
                for _ in 0..*times {
                    bytes.extend(self.message(id, ROOMS[*room], Target::Scope(*room), now, rng));
                }
            }
            Act::Shout => {
                bytes = self.message(id, "/shout", Target::Scope(EVERYONE), now, rng);
            }
            Act::Join(room) => bytes = command(self, "/join", &argument(ROOMS[*room])),
            Act::Leave(room) => bytes = command(self, "/leave", &argument(ROOMS[*room])),
            Act::Nick(name) => {
                self.names.push(name.clone());
                bytes = command(self, "/nick", name);
            }
            Act::Away(is_away) => {
                bytes = command(self, "/away", if *is_away { "gone" } else { "" });
            }
            Act::List => bytes = command(self, "/list", "/list"),
            Act::Rooms => bytes = command(self, "/rooms", ""),
            Act::Echo => bytes = command(self, "/echo", "echo"),
            Act::SchemaError => bytes = self.framed(b"{\"to\":\"x\"}".to_vec()),
            Act::FramingError if self.is_websocket() && rng.bool() => {
                bytes = testing::frame(0x82, b"{}");
            }
            Act::FramingError => bytes = self.framed(b"{\"to\" \"x\"}".to_vec()),
            Act::Admin => bytes = command(self, "/admin", TOKEN),
            Act::Kick(name) => bytes = command(self, "/kick", &argument(name)),
            Act::Mute(name) => bytes = command(self, "/mute", &format!("{} 1s", argument(name))),
        }
        bytes.extend(self.object("/ping", &fence(self.done.len())));
        let messages = first..self.sent.len();
        if act == Act::FramingError {
            self.may_end_from.get_or_insert(now);
        }
        self.done.push(Done { act, at: now, messages, answers: Vec::new(), is_fenced: false });
        bytes
    }

    fn message(&mut self, id: usize, to: &str, target: Target, now: u64, rng: &mut Rng) -> Vec<u8> {
        let padding = if rng.u8(..16) == 0 { LONG } else { rng.usize(..12) };
        let object = self.object(to, &text(id, self.sent.len(), padding));
        self.sent.push(Sent { target, at: now, padding });
        object
    }

    /// The server says something to it.
    pub(super) fn hear_server(&mut self, now: u64, said: &str) {
        if let Some(count) = missed(said) {
            self.missed += count;
            self.heard.push((now, Heard::Missed(count)));
            // answers may be among what it missed
        }
        if said.starts_with('\u{26d4}') || said.starts_with("The server is shutting down") {
            self.farewell = Some((now, said.to_owned()));
            return;
        }
        if missed(said).is_some() || is_of_others(said) {
            return;
        }
        if self.name.is_none() {
            let name = &self.names[0];
            assert!(said.starts_with(&format!("Welcome, {name}!")), "the first is {said:?}");
            self.name = Some(name.clone());
            self.heard.push((now, Heard::Joined(EVERYONE)));
            return;
        }
        if let Some(number) = said.strip_prefix("fence ") {
            let number: usize = number.parse().expect("a number");
            return self.pass_fence(number);
        }
        let room = |rest: &str| {
            ROOMS
                .iter()
                .position(|room| rest.strip_prefix(room).is_some_and(|t| t.starts_with('.')))
        };
        if let Some(joined) = said.strip_prefix("Joined ").and_then(room) {
            self.heard.push((now, Heard::Joined(joined)));
        } else if let Some(left) = said.strip_prefix("Left ").and_then(room) {
            let asked_at = self.done.get(self.fenced).map_or(now, |done| done.at);
            self.heard.push((now, Heard::Left(left, asked_at)));
        } else if let Some(name) = said.strip_prefix("You are now ") {
            self.name = Some(name.trim_end_matches('.').to_owned());
        }
        let fenced = self.fenced;
        let Some(done) = self.done.get_mut(fenced) else { panic!("nobody asked for {said:?}") };
        done.answers.push(said.to_owned());
    }

    /// All that it did before the ping of this number is answered.
    fn pass_fence(&mut self, number: usize) {
        assert!(number >= self.fenced && number < self.done.len(), "fence {number} came twice");
        if self.missed == 0 {
            assert_eq!(number, self.fenced, "an answer to a ping is missing");
            let done = &mut self.done[number];
            done.is_fenced = true;
            check_answers(done);
        }
        self.fenced = number + 1;
    }
}

/// What has to be answered, and how often.
fn check_answers(done: &Done) {
    let (answers, count) = (&done.answers, done.answers.len());
    let is_right = match &done.act {
        Act::Write(_, times) | Act::Say(_, times) => count <= *times,
        Act::List | Act::Rooms => count >= 1,
        Act::Echo => *answers == ["echo of echo"],
        _ => count == 1,
    };
    assert!(is_right, "{:?} was answered {answers:?}", done.act);
}

impl Done {
    /// How many of its messages the server did not take, if that is known.
    pub(super) fn refused(&self) -> Option<usize> {
        let refusals = [" not found. ", "You are muted", "You are not in ", "Not delivered: "];
        let is_refusal = |answer: &&String| {
            answer.starts_with('\u{274c}') && refusals.iter().any(|text| answer.contains(text))
        };
        self.is_fenced.then(|| self.answers.iter().filter(is_refusal).count())
    }
}

/// What is told somebody who did not ask.
fn is_of_others(said: &str) -> bool {
    said.starts_with("\u{274c} You are muted for ") && said.contains(", by ")
}

/// How many messages somebody is told to have missed.
fn missed(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("ou did not read fast enough; ")?;
    rest.split_once(' ')?.0.parse().ok()
}

fn fence(number: usize) -> String {
    format!("fence {number}")
}

/// In the quotes that an argument with a space needs.
pub(super) fn argument(text: &str) -> String {
    if text.contains(' ') { format!("\"{text}\"") } else { text.to_owned() }
}

/// The room of that name.
pub(super) fn scope(to: &str) -> Option<Scope> {
    ROOMS.iter().position(|room| *room == to).or((to == "Everyone").then_some(EVERYONE))
}
