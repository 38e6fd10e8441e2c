//! The books: what was sent, and what became of each message. Counts are exact, because every
//! message has a number in its flow (one sender to one destination) and every receiver of a flow
//! keeps track of which numbers came.
//!
//! A message that comes after one with a higher number of its flow is *reordered* (as RFC 4737 has
//! it); one whose number has come before is *duplicated*; one that came otherwise than it was sent
//! is *corrupted*; one that came in no form is *lost*; and what came though nobody was owed it is
//! *extra*: it was for somebody else, or nobody sent it, or the message came whole as well.
//!
//! What came so damaged that it cannot be told which message it was stands for one that is missing,
//! of the sender that it names if it names one, to the receiver that it came to. Only where none is
//! missing there it is extra. So a loss and an invention at the same receiver count as a corruption,
//! which is what they look like to whoever reads.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::gaps::{Gaps, Spot};

/// What the books take for each receiver of a flow over which something was sent.
pub(crate) const BYTES_EACH: u64 = size_of::<u32>() as u64;
/// What they may take for all: more is not asked of them.
pub(crate) const MOST_BYTES: u64 = 1 << 30;

/// Entries about messages that did not come in order, or not as they were sent, in all: some 256 MiB.
/// What a server does beyond that is counted, but not told apart.
const MOST_ENTRIES: usize = 4 << 20;

/// Counts of one sender, or of all. A delivery is one message at one receiver, and
/// `expected = delivered + corrupted + lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Messages sent.
    pub(crate) sent: u64,
    /// Deliveries that they must lead to.
    pub(crate) expected: u64,
    /// Deliveries, each counted once.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupted: u64,
    pub(crate) extra: u64,
}

/// Who a flow goes to.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    One(u32),
    /// These, sorted, but for the sender. Flows share the list, so that it costs nothing that
    /// everybody of many writes to all others.
    Others(Arc<[u32]>),
}

/// What became of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    Duplicated,
    Extra,
}

/// What can be told of something that came and is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// This number of this flow, without doubt.
    Message(u32, u32),
    /// Some message of this sender's.
    Sender(u32),
    Nothing,
}

#[derive(Debug)]
struct Flow {
    sender: u32,
    sent: u32,
    audience: Audience,
    /// For each place in the audience the number behind the highest that came; empty as long as
    /// nothing was sent.
    next: Vec<u32>,
}

impl Flow {
    /// Where the receiver stands in the audience, if it does.
    fn place(&self, receiver: u32) -> Option<usize> {
        match &self.audience {
            Audience::One(only) => (*only == receiver).then_some(0),
            Audience::Others(_) if receiver == self.sender => None,
            Audience::Others(all) => all.binary_search(&receiver).ok(),
        }
    }

    fn receivers(&self) -> u64 {
        match &self.audience {
            Audience::One(_) => 1,
            Audience::Others(all) => {
                (all.len() - usize::from(all.binary_search(&self.sender).is_ok())) as u64
            }
        }
    }
}

/// How a number stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    InOrder,
    Late,
    Again,
}

/// Everything that was sent in one run, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    flows: Vec<Flow>,
    gaps: Gaps,
    /// Messages of which something else came so far.
    broken: HashSet<(Spot, u32)>,
    /// What came and cannot be told: how much at each receiver, of the sender that it names.
    untold: HashMap<(u32, Option<u32>), u64>,
    senders: Vec<Counts>,
    total: Counts,
    /// Entries that these books may have.
    most: usize,
}

impl Ledger {
    pub(crate) fn new(senders: usize) -> Self {
        Ledger {
            senders: vec![Counts::default(); senders],
            most: MOST_ENTRIES,
            ..Ledger::default()
        }
    }

    /// Whether no more can be noted of what did not come as it should.
    pub(crate) fn is_full(&self) -> bool {
        self.gaps.len() + self.broken.len() + self.untold.len() >= self.most
    }

    /// Opens a flow; the number by which it is known.
    pub(crate) fn open(&mut self, sender: u32, audience: Audience) -> u32 {
        self.flows.push(Flow { sender, sent: 0, audience, next: Vec::new() });
        (self.flows.len() - 1) as u32
    }

    /// To how many a message of the flow goes.
    pub(crate) fn receivers(&self, flow: u32) -> u64 {
        self.flows[flow as usize].receivers()
    }

    /// Notes that one more message is sent; its number in the flow.
    pub(crate) fn send(&mut self, flow: u32) -> u32 {
        let flow = &mut self.flows[flow as usize];
        if flow.next.is_empty() {
            flow.next = match &flow.audience {
                Audience::One(_) => vec![0],
                Audience::Others(all) => vec![0; all.len()],
            };
        }
        let (number, receivers) = (flow.sent, flow.receivers());
        flow.sent += 1;
        for counts in [&mut self.senders[flow.sender as usize], &mut self.total] {
            counts.sent += 1;
            counts.expected += receivers;
        }
        number
    }

    /// Notes that a message came to a receiver as it was sent.
    pub(crate) fn receive(&mut self, receiver: u32, flow: u32, number: u32) -> Verdict {
        let is_full = self.is_full();
        let Some(entry) = self.flows.get_mut(flow as usize) else {
            self.total.extra += 1;
            return Verdict::Extra;
        };
        let sender = entry.sender;
        let counts = [&mut self.senders[sender as usize], &mut self.total];
        let Some(place) = entry.place(receiver).filter(|_| number < entry.sent) else {
            counts.into_iter().for_each(|counts| counts.extra += 1);
            return Verdict::Extra;
        };
        let spot = (flow, place as u32);
        let arrival = match &mut entry.next[place] {
            next if number >= *next => {
                if number > *next && !is_full {
                    self.gaps.open(spot, *next..number);
                }
                *next = number + 1;
                Arrival::InOrder
            }
            _ if self.gaps.fill(spot, number, !is_full) => Arrival::Late,
            _ => Arrival::Again,
        };
        // what came broken was not in its place
        let was_broken = !self.broken.is_empty() && self.broken.remove(&(spot, number));
        for counts in counts {
            match arrival {
                Arrival::InOrder => counts.delivered += 1,
                Arrival::Late => {
                    counts.delivered += 1;
                    counts.reordered += 1;
                }
                Arrival::Again => counts.duplicated += 1,
            }
            counts.extra += u64::from(was_broken);
        }
        if arrival == Arrival::Again { Verdict::Duplicated } else { Verdict::Delivered }
    }

    /// Notes that something came to a receiver that is not what was sent.
    pub(crate) fn corrupt(&mut self, receiver: u32, trace: Trace) {
        let is_full = self.is_full();
        let sender = match trace {
            Trace::Message(flow, number) => {
                let Some(entry) = self.flows.get(flow as usize) else {
                    self.total.extra += 1;
                    return;
                };
                let is_owed =
                    entry.place(receiver).filter(|_| number < entry.sent).is_some_and(|place| {
                        let spot = (flow, place as u32);
                        let is_missing =
                            number >= entry.next[place] || self.gaps.holds(spot, number);
                        is_missing && !is_full && self.broken.insert((spot, number))
                    });
                if !is_owed {
                    self.senders[entry.sender as usize].extra += 1;
                    self.total.extra += 1;
                }
                return;
            }
            Trace::Sender(sender) => Some(sender),
            Trace::Nothing => None,
        };
        match self.untold.get_mut(&(receiver, sender)) {
            Some(number) => *number += 1,
            None if is_full => self.total.extra += 1,
            None => drop(self.untold.insert((receiver, sender), 1)),
        }
    }

    /// Deliveries that have not come. One that came corrupted may still come as it was sent.
    pub(crate) fn outstanding(&self) -> u64 {
        self.total.expected - self.total.delivered
    }

    /// The counts so far, in which nothing is lost or corrupted yet.
    pub(crate) fn so_far(&self) -> &Counts {
        &self.total
    }

    /// Closes the books: what has not come is lost. All together, and each sender. What cannot be
    /// told whose it was is counted in all and with no sender.
    pub(crate) fn close(mut self) -> (Counts, Vec<Counts>) {
        self.settle();
        for &((flow, _), _) in &self.broken {
            self.senders[self.flows[flow as usize].sender as usize].corrupted += 1;
            self.total.corrupted += 1;
        }
        for counts in self.senders.iter_mut().chain([&mut self.total]) {
            counts.lost = counts.expected - counts.delivered - counts.corrupted;
        }
        (self.total, self.senders)
    }

    /// Has what could not be told stand for what is missing at the same receiver.
    fn settle(&mut self) {
        let mut broken: HashMap<Spot, u64> = HashMap::new();
        self.broken.iter().for_each(|&(spot, _)| *broken.entry(spot).or_default() += 1);
        let mut untold: Vec<_> = std::mem::take(&mut self.untold).into_iter().collect();
        // of each receiver, what names a sender comes first
        untold.sort_unstable_by_key(|&((receiver, by), _)| (receiver, by.is_none(), by));
        for of_receiver in untold.chunk_by(|a, b| a.0.0 == b.0.0) {
            let mut missing = self.missing(of_receiver[0].0.0, &broken);
            for &((_, by), number) in of_receiver {
                let of_all = missing.values().sum();
                let there = by.map_or(of_all, |by| missing.get(&by).copied().unwrap_or(0));
                let corrupted = number.min(there);
                // what can be only one's is that one's
                let whose = match by {
                    None if missing.len() == 1 => missing.keys().next().copied(),
                    by => by,
                };
                self.total.corrupted += corrupted;
                self.total.extra += number - corrupted;
                if let Some(whose) = whose {
                    self.senders[whose as usize].corrupted += corrupted;
                    missing.entry(whose).and_modify(|left| *left -= corrupted);
                }
                if let Some(by) = by {
                    self.senders[by as usize].extra += number - corrupted;
                }
                missing.retain(|_, left| *left > 0);
            }
        }
    }

    /// How many messages of each sender came to a receiver in no form that can be told.
    fn missing(&self, receiver: u32, broken: &HashMap<Spot, u64>) -> BTreeMap<u32, u64> {
        let mut missing = BTreeMap::new();
        for (flow, entry) in self.flows.iter().enumerate().filter(|(_, entry)| entry.sent > 0) {
            let Some(place) = entry.place(receiver) else { continue };
            let spot = (flow as u32, place as u32);
            let count = u64::from(entry.sent - entry.next[place]) + self.gaps.count(spot);
            // full books may lack the gap that a broken message is in
            let count = count.saturating_sub(broken.get(&spot).copied().unwrap_or(0));
            if count > 0 {
                *missing.entry(entry.sender).or_default() += count;
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `count` messages over one flow to receiver 1, and has these numbers come.
    fn counts(count: u32, came: &[u32]) -> Counts {
        let mut ledger = Ledger::new(1);
        let flow = ledger.open(0, Audience::One(1));
        (0..count).for_each(|number| assert_eq!(ledger.send(flow), number));
        for &number in came {
            ledger.receive(1, flow, number);
        }
        let (total, senders) = ledger.close();
        assert_eq!(senders, [total]);
        total
    }

    #[test]
    fn one_of_each_fault() {
        let clean = Counts { sent: 5, expected: 5, delivered: 5, ..Counts::default() };
        assert_eq!(counts(5, &[0, 1, 2, 3, 4]), clean);
        // at the end, in the middle, at the beginning
        for came in [[0, 1, 2, 3], [0, 1, 3, 4], [1, 2, 3, 4]] {
            assert_eq!(counts(5, &came), Counts { delivered: 4, lost: 1, ..clean });
        }
        assert_eq!(counts(5, &[0, 1, 1, 2, 3, 4]), Counts { duplicated: 1, ..clean });
        assert_eq!(counts(5, &[0, 2, 1, 3, 4]), Counts { reordered: 1, ..clean });
        assert_eq!(counts(5, &[4, 3, 2, 1, 0]), Counts { reordered: 4, ..clean });
        let late_and_again = Counts { reordered: 1, duplicated: 1, ..clean };
        assert_eq!(counts(5, &[0, 2, 1, 1, 3, 4]), late_and_again);
        assert_eq!(counts(5, &[]), Counts { delivered: 0, lost: 5, ..clean });
    }

    #[test]
    fn full_books_count_on_and_take_no_more_memory() {
        let mut ledger = Ledger::new(2);
        ledger.most = 100;
        let flow = ledger.open(0, Audience::One(1));
        for _ in 0..10_000 {
            ledger.send(flow);
        }
        // one of two comes, then damaged ones, then what nobody can tell
        for number in 0..5_000 {
            ledger.receive(1, flow, 2 * number);
        }
        (0..5_000).for_each(|number| ledger.corrupt(1, Trace::Message(flow, 2 * number + 1)));
        (0..5_000).for_each(|receiver| ledger.corrupt(receiver, Trace::Sender(1)));
        assert!(ledger.is_full());
        let entries = ledger.gaps.len() + ledger.broken.len() + ledger.untold.len();
        assert_eq!(entries, 100);
        for number in 0..5_000 {
            ledger.receive(1, flow, 2 * number + 1);
        }
        let (total, _) = ledger.close();
        assert_eq!((total.sent, total.expected), (10_000, 10_000));
        assert_eq!(total.delivered + total.corrupted + total.lost, 10_000);
        assert!(total.delivered >= 5_000 && total.extra >= 9_000, "{total:?}");
    }

    #[test]
    fn any_order_is_counted_as_a_list_would() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut came: Vec<u32> = (0..random.usize(0..60)).map(|_| random.u32(0..40)).collect();
            random.shuffle(&mut came);
            let mut seen = HashSet::new();
            let (mut reordered, mut highest) = (0, None);
            for &number in &came {
                if seen.insert(number) {
                    reordered += u64::from(highest > Some(number));
                    highest = highest.max(Some(number));
                }
            }
            let delivered = seen.len() as u64;
            let expected = Counts {
                sent: 40,
                expected: 40,
                delivered,
                lost: 40 - delivered,
                duplicated: came.len() as u64 - delivered,
                reordered,
                ..Counts::default()
            };
            assert_eq!(counts(40, &came), expected, "{came:?}");
        }
    }

    #[test]
    fn every_receiver_of_many_is_counted() {
        let mut ledger = Ledger::new(3);
        let flow = ledger.open(2, Audience::Others(vec![0, 1, 2].into()));
        assert_eq!(ledger.receivers(flow), 2);
        ledger.send(flow);
        assert_eq!(ledger.receive(0, flow, 0), Verdict::Delivered);
        // the same receiver again does not stand for the other
        assert_eq!(ledger.receive(0, flow, 0), Verdict::Duplicated);
        // the sender is owed nothing, and a second one was not sent
        assert_eq!(ledger.receive(2, flow, 0), Verdict::Extra);
        assert_eq!(ledger.receive(1, flow, 1), Verdict::Extra);
        assert_eq!(ledger.outstanding(), 1);
        let (total, senders) = ledger.close();
        assert_eq!((total.delivered, total.duplicated, total.lost, total.extra), (1, 1, 1, 2));
        assert_eq!((senders[0], senders[2]), (Counts::default(), total));
    }

    /// A ledger with three messages of client 0 to client 1, of which the first has come.
    fn one_of_three() -> (Ledger, u32) {
        let mut ledger = Ledger::new(3);
        let flow = ledger.open(0, Audience::One(1));
        for _ in 0..3 {
            ledger.send(flow);
        }
        ledger.receive(1, flow, 0);
        (ledger, flow)
    }

    fn counts_of(ledger: Ledger) -> [u64; 4] {
        let (total, senders) = ledger.close();
        assert_eq!(total.expected, total.delivered + total.corrupted + total.lost);
        for one in &senders {
            assert_eq!(one.expected, one.delivered + one.corrupted + one.lost);
        }
        [total.delivered, total.lost, total.corrupted, total.extra]
    }

    #[test]
    fn what_came_corrupted_is_not_lost_too() {
        for traces in [
            [Trace::Message(0, 1), Trace::Message(0, 2)],
            [Trace::Message(0, 2), Trace::Sender(0)],
            [Trace::Message(0, 2), Trace::Nothing],
            [Trace::Sender(0), Trace::Nothing],
            [Trace::Nothing, Trace::Nothing],
        ] {
            let (mut ledger, _) = one_of_three();
            ledger.corrupt(1, traces[0]);
            assert_eq!(counts_of(ledger), [1, 1, 1, 0], "{traces:?}");

            let (mut ledger, _) = one_of_three();
            traces.into_iter().for_each(|trace| ledger.corrupt(1, trace));
            let (total, senders) = ledger.close();
            assert_eq!((total.lost, total.corrupted, total.extra), (0, 2, 0), "{traces:?}");
            assert_eq!(senders[0], total);
        }
    }

    #[test]
    fn what_nobody_is_owed_makes_up_for_no_loss() {
        for (receiver, trace) in [
            // it came already; was never sent; is for somebody else; is of no flow
            (1, Trace::Message(0, 0)),
            (1, Trace::Message(0, 3)),
            (2, Trace::Message(0, 1)),
            (1, Trace::Message(9, 0)),
            // nothing is missing at the receiver, or nothing of that sender's
            (2, Trace::Sender(0)),
            (2, Trace::Nothing),
            (1, Trace::Sender(2)),
        ] {
            let (mut ledger, _) = one_of_three();
            ledger.corrupt(receiver, trace);
            assert_eq!(counts_of(ledger), [1, 2, 0, 1], "{receiver} {trace:?}");
        }
    }

    #[test]
    fn what_came_broken_and_whole_is_extra() {
        let (mut ledger, flow) = one_of_three();
        for number in [1, 2, 2] {
            ledger.corrupt(1, Trace::Message(flow, number));
        }
        ledger.receive(1, flow, 2);
        // one corrupted, as 1 did not come whole; of 2 two others came
        assert_eq!(counts_of(ledger), [2, 0, 1, 2]);

        let (mut ledger, flow) = one_of_three();
        (0..2).for_each(|_| ledger.corrupt(1, Trace::Sender(0)));
        ledger.receive(1, flow, 1);
        ledger.receive(1, flow, 2);
        assert_eq!(counts_of(ledger), [3, 0, 0, 2]);
    }

    #[test]
    fn what_may_be_of_several_senders_is_counted_in_all() {
        let mut ledger = Ledger::new(3);
        for sender in [0, 2] {
            let flow = ledger.open(sender, Audience::One(1));
            ledger.send(flow);
        }
        ledger.corrupt(1, Trace::Nothing);
        let (total, senders) = ledger.close();
        assert_eq!((total.corrupted, total.lost), (1, 1));
        assert!(senders.iter().all(|counts| counts.corrupted == 0), "{senders:?}");
    }

    #[test]
    fn many_who_write_to_all_share_one_list() {
        let all: Arc<[u32]> = (0..20_000).collect();
        let mut ledger = Ledger::new(all.len());
        let flows: Vec<_> =
            all.iter().map(|&who| ledger.open(who, Audience::Others(Arc::clone(&all)))).collect();
        assert_eq!(Arc::strong_count(&all), all.len() + 1);
        // who has said nothing has no books
        ledger.send(flows[7]);
        let words: usize = ledger.flows.iter().map(|flow| flow.next.capacity()).sum();
        assert_eq!((words * size_of::<u32>()) as u64, all.len() as u64 * BYTES_EACH);
        for &who in all.iter().filter(|&&who| who != 7) {
            assert_eq!(ledger.receive(who, flows[7], 0), Verdict::Delivered);
        }
        assert_eq!(counts_of(ledger), [19_999, 0, 0, 0]);
    }
}
