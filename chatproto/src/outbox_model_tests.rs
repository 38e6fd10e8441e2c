//! The outbox against a list of objects that follows B4 and B9 to the letter: after every step both
//! have sent, queued and counted the same.

use proptest::prelude::*;

use super::*;

/// What happens to an outbox.
#[derive(Clone, Debug)]
enum Step {
    /// A batch of objects of these lengths, of which those with `true` are for this reader.
    Push(Vec<(usize, bool)>),
    /// The socket has room for so many bytes, then refuses.
    Pump(usize),
    /// A long answer begins, has objects of these lengths, is complete.
    Begin,
    Parts(Vec<usize>),
    End,
    Abandon,
}

/// Objects, each with whether it is a notice of what was missed.
type Objects = VecDeque<(Vec<u8>, bool)>;

/// The same by the letter of the rules: a list of objects, the front one written up to `begun`.
#[derive(Default)]
struct Model {
    queue: Objects,
    begun: usize,
    /// Of a long answer: how many of the last objects of the queue are its own, and what is behind it.
    answer: Option<(usize, Objects)>,
    cancelled: bool,
    /// A one-read peer was told what it missed, and got no message since.
    owes: bool,
    refused: bool,
    overflown: bool,
    missed: u64,
    received: Vec<u8>,
}

impl Model {
    fn all(&self) -> impl Iterator<Item = &(Vec<u8>, bool)> {
        self.queue.iter().chain(self.answer.iter().flat_map(|(_, behind)| behind))
    }

    fn bytes(&self) -> usize {
        self.all().map(|(object, _)| object.len()).sum::<usize>() - self.begun
    }

    fn end(&mut self) {
        if let Some((_, behind)) = self.answer.take() {
            self.queue.extend(behind);
        }
    }

    /// The answer is one message: what is left of it is missed as one.
    fn cancel(&mut self) {
        if self.answer.is_some() {
            self.end();
            self.missed += 1;
            self.cancelled = true;
        }
    }

    fn fixed(&self) -> usize {
        let is_notice = self.queue.front().is_some_and(|(_, is_notice)| *is_notice);
        usize::from(self.begun > 0 || is_notice)
    }

    fn judge(&mut self, limits: &Limits, policy: SlowReader) {
        if self.overflown {
            return;
        }
        while self.bytes() > limits.queue_bytes || self.all().count() > limits.queue_messages {
            let fixed = self.fixed();
            let parts = self.answer.as_ref().map(|(parts, _)| *parts);
            if policy == Disconnect && parts.is_some() {
                self.overflown = true;
                self.cancel();
            } else if let Some(parts) = parts
                && self.queue.len() <= parts + fixed.min(self.queue.len() - parts)
            {
                // the answer is the oldest that may go, and goes as a whole
                let stay = (self.queue.len() - parts).max(fixed);
                self.queue.truncate(stay);
                self.cancel();
            } else if self.queue.len() > fixed {
                self.overflown = policy == Disconnect;
                let victim = if policy == Disconnect { self.queue.len() - 1 } else { fixed };
                self.queue.remove(victim);
                self.missed += 1;
            } else {
                return;
            }
        }
    }

    fn push(&mut self, object: Vec<u8>, kind: PeerKind, limits: &Limits, policy: SlowReader) {
        if self.overflown {
            self.missed += 1;
        } else {
            match &mut self.answer {
                Some((_, behind)) => behind.push_back((object, false)),
                None => self.queue.push_back((object, false)),
            }
            self.judge_if_held_up(kind, limits, policy);
        }
    }

    fn part(&mut self, object: Vec<u8>, kind: PeerKind, limits: &Limits, policy: SlowReader) {
        if let Some((parts, _)) = &mut self.answer {
            *parts += 1;
            self.queue.push_back((object, false));
            self.judge_if_held_up(kind, limits, policy);
        }
    }

    fn judge_if_held_up(&mut self, kind: PeerKind, limits: &Limits, policy: SlowReader) {
        let is_full =
            self.bytes() > limits.queue_bytes || self.all().count() > limits.queue_messages;
        if is_full && !self.refused {
            // the answer waits for the server, and the reader for the answer
            self.cancel();
        }
        if self.refused {
            self.judge(limits, policy);
        } else if kind == OneRead && self.all().count() > 1 {
            // the pace is ours: it is not too slow
            self.judge(limits, DropOldest);
        }
    }

    fn pump(&mut self, mut room: usize, kind: PeerKind, limits: &Limits, policy: SlowReader) {
        let mut is_too_early = false;
        loop {
            let owes = self.owes && !self.queue.is_empty();
            if let Some((parts, _)) = &mut self.answer {
                *parts = (*parts).min(self.queue.len());
            }
            if self.missed > 0 && self.fixed() == 0 && !self.overflown && !owes {
                self.queue.push_front((notice(std::mem::take(&mut self.missed)), true));
            }
            let Some((front, _)) = self.queue.front().filter(|_| !is_too_early) else { return };
            if room == 0 {
                self.refused = true;
                return self.judge(limits, policy);
            }
            let part = &front[self.begun..front.len().min(self.begun + room)];
            self.received.extend_from_slice(part);
            (self.refused, room, self.begun) = (false, room - part.len(), self.begun + part.len());
            if self.begun == front.len() {
                let was_notice = self.queue.pop_front().is_some_and(|(_, is_notice)| is_notice);
                self.owes = was_notice && kind == OneRead;
                self.begun = 0;
                is_too_early = kind == OneRead;
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![9 => 1..12_usize, 1 => 30..60_usize];
    let objects = proptest::collection::vec((length, any::<bool>()), 1..8);
    let step = prop_oneof![
        6 => objects.prop_map(Step::Push),
        6 => (0..30_usize).prop_map(Step::Pump),
        1 => Just(Step::Pump(1000)),
        2 => Just(Step::Begin),
        3 => proptest::collection::vec(1..12_usize, 1..4).prop_map(Step::Parts),
        1 => Just(Step::End),
    ];
    (proptest::collection::vec(step, 1..60), proptest::bool::weighted(0.2)).prop_map(
        |(mut steps, abandons)| {
            if abandons {
                steps.extend([Step::Abandon, Step::Push(vec![(1, true)])]);
            }
            steps
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn whatever_happens_every_object_arrives_whole_and_in_order_or_is_counted(
        steps in steps(),
        is_stream: bool,
        drops: bool,
    ) {
        let kind = if is_stream { Stream } else { OneRead };
        let mut wire = Wire::small(if drops { DropOldest } else { Disconnect }, 5);
        wire.limits.queue_bytes = 40;
        wire.outbox.set_kind(kind);
        let (limits, policy, budget) = (wire.limits.clone(), wire.policy, Arc::clone(&wire.budget));
        let (mut model, mut number) = (Model::default(), 0);
        for step in steps {
            match step {
                Step::Push(batch) => {
                    let objects: Vec<String> = batch.iter().map(|(length, _)| {
                        number += 1;
                        format!("{number}{}", ".".repeat(*length))
                    }).collect();
                    let (chunk, ranges) =
                        wire.chunk(&objects.iter().map(String::as_str).collect::<Vec<_>>());
                    for ((range, (_, is_mine)), object) in ranges.iter().zip(&batch).zip(&objects) {
                        if *is_mine {
                            wire.push_range(&chunk, *range);
                            model.push(format!("{object}\n").into_bytes(), kind, &limits, policy);
                        }
                    }
                }
                Step::Pump(room) => {
                    wire.advance(5_000);
                    wire.pump(room);
                    model.pump(room, kind, &limits, policy);
                }
                Step::Begin if model.answer.is_none() => {
                    wire.outbox.begin_answer(&budget);
                    match model.overflown {
                        true => model.cancelled = true,
                        false => model.answer = Some(Default::default()),
                    }
                }
                Step::Begin => {}
                Step::Parts(lengths) => {
                    for length in lengths {
                        number += 1;
                        let object = format!("{number}{}", "-".repeat(length));
                        let (chunk, ranges) = wire.chunk(&[&object]);
                        wire.outbox.push_part(&chunk, ranges[0], &limits, policy);
                        model.part(format!("{object}\n").into_bytes(), kind, &limits, policy);
                    }
                }
                Step::End => {
                    wire.outbox.end_answer();
                    model.end();
                }
                Step::Abandon => {
                    wire.outbox.abandon();
                    model.cancel();
                    model.overflown = true;
                    let dropped = model.queue.drain(model.fixed()..).count();
                    model.missed += dropped as u64;
                }
            }
            prop_assert_eq!(&wire.received, &model.received);
            prop_assert_eq!(wire.outbox.len(), model.bytes());
            prop_assert_eq!(wire.outbox.objects as usize, model.queue.len());
            prop_assert_eq!(wire.outbox.open.is_some(), model.answer.is_some());
            prop_assert_eq!(
                wire.outbox.take_cancelled(),
                std::mem::take(&mut model.cancelled)
            );
            prop_assert_eq!(wire.outbox.missed, model.missed);
            prop_assert_eq!(wire.outbox.is_overflown(), model.overflown);
        }
        wire.outbox.end_answer();
        model.end();
        wire.drain();
        while !model.queue.is_empty() {
            model.pump(1000, kind, &limits, policy);
        }
        prop_assert_eq!(&wire.received, &model.received);
        drop(wire);
        prop_assert_eq!(budget.used(), 0);
    }
}
