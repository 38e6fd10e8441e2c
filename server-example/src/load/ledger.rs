//! The books: what was sent, and what became of each message. Counts are exact, because every
//! message has a number in its flow (one sender to one destination) and every receiver of a flow
//! keeps track of which numbers came.
//!
//! A message that comes after one with a higher number of its flow is *reordered* (as RFC 4737 has
//! it); one whose number has come before is *duplicated*; one that is not what was sent, or not for
//! whom it came to, is *corrupted*; one that was due and came in no form is *lost*.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

/// Counts of one sender, or of all. A delivery is one message at one receiver:
/// `expected = delivered + corrupted + lost` for what came at most once.
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
}

impl Counts {
    /// Deliveries that have not come.
    fn missing(&self) -> u64 {
        self.expected - self.delivered
    }
}

/// Who a flow goes to.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    One(u32),
    /// Sorted; the sender itself is not in it.
    Many(Arc<[u32]>),
}

/// What became of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    Duplicated,
    /// It came to somebody whom it was not for, or was never sent.
    Foreign,
}

#[derive(Debug)]
struct Flow {
    sender: u32,
    sent: u32,
    audience: Audience,
    /// One a receiver, once something was sent.
    windows: Vec<Window>,
}

/// Which numbers of a flow one receiver has seen: all below `next` but those that are missing.
#[derive(Clone, Debug, Default)]
struct Window {
    next: u32,
    /// Ranges of numbers below `next`: first, and the one after the last.
    missing: BTreeMap<u32, u32>,
}

/// How a number stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    InOrder,
    Late,
    Again,
}

impl Window {
    fn accept(&mut self, number: u32) -> Arrival {
        if number >= self.next {
            if number > self.next {
                self.missing.insert(self.next, number);
            }
            self.next = number + 1;
            return Arrival::InOrder;
        }
        let Some((&first, &end)) = self.missing.range(..=number).next_back() else {
            return Arrival::Again;
        };
        if number >= end {
            return Arrival::Again;
        }
        self.missing.remove(&first);
        if first < number {
            self.missing.insert(first, number);
        }
        if number + 1 < end {
            self.missing.insert(number + 1, end);
        }
        Arrival::Late
    }
}

/// Everything that was sent in one run, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    flows: Vec<Flow>,
    senders: Vec<Counts>,
    total: Counts,
    /// Corrupted ones whose sender cannot be told.
    unattributed: u64,
}

impl Ledger {
    pub(crate) fn new(senders: usize) -> Self {
        Ledger { senders: vec![Counts::default(); senders], ..Ledger::default() }
    }

    /// Opens a flow; the number by which it is known.
    pub(crate) fn open(&mut self, sender: u32, audience: Audience) -> u32 {
        self.flows.push(Flow { sender, sent: 0, audience, windows: Vec::new() });
        (self.flows.len() - 1) as u32
    }

    /// Notes that one more message is sent; its number in the flow.
    pub(crate) fn send(&mut self, flow: u32) -> u32 {
        let flow = &mut self.flows[flow as usize];
        let receivers = match &flow.audience {
            Audience::One(_) => 1,
            Audience::Many(members) => members.len(),
        };
        if flow.windows.is_empty() {
            flow.windows.resize(receivers, Window::default());
        }
        let number = flow.sent;
        flow.sent += 1;
        for counts in [&mut self.senders[flow.sender as usize], &mut self.total] {
            counts.sent += 1;
            counts.expected += receivers as u64;
        }
        number
    }

    /// Notes that a message came to a receiver.
    pub(crate) fn receive(&mut self, receiver: u32, flow: u32, number: u32) -> Verdict {
        let Some(flow) = self.flows.get_mut(flow as usize).filter(|flow| number < flow.sent) else {
            return Verdict::Foreign;
        };
        let at = match &flow.audience {
            Audience::One(only) => (*only == receiver).then_some(0),
            Audience::Many(members) => members.binary_search(&receiver).ok(),
        };
        let Some(at) = at else { return Verdict::Foreign };
        let arrival = flow.windows[at].accept(number);
        for counts in [&mut self.senders[flow.sender as usize], &mut self.total] {
            match arrival {
                Arrival::InOrder => counts.delivered += 1,
                Arrival::Late => {
                    counts.delivered += 1;
                    counts.reordered += 1;
                }
                Arrival::Again => counts.duplicated += 1,
            }
        }
        if arrival == Arrival::Again { Verdict::Duplicated } else { Verdict::Delivered }
    }

    /// Notes that something came that is not what was sent, by whom it seems to be.
    pub(crate) fn corrupt(&mut self, sender: Option<u32>) {
        match sender.and_then(|sender| self.senders.get_mut(sender as usize)) {
            Some(counts) => counts.corrupted += 1,
            None => self.unattributed += 1,
        }
        self.total.corrupted += 1;
    }

    /// Deliveries that are still to come; what came corrupted is not waited for.
    pub(crate) fn outstanding(&self) -> u64 {
        self.total.missing().saturating_sub(self.total.corrupted)
    }

    /// The counts so far, in which nothing is lost yet.
    pub(crate) fn so_far(&self) -> &Counts {
        &self.total
    }

    /// Closes the books: what has not come is lost. All together, and each sender.
    pub(crate) fn close(mut self) -> (Counts, Vec<Counts>) {
        for counts in &mut self.senders {
            counts.lost = counts.missing().saturating_sub(counts.corrupted);
        }
        let lost: u64 = self.senders.iter().map(|counts| counts.lost).sum();
        // one whose sender cannot be told was still somebody's
        self.total.lost = lost.saturating_sub(self.unattributed);
        (self.total, self.senders)
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
    fn any_order_is_counted_as_a_list_would() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut came: Vec<u32> = (0..random.usize(0..60)).map(|_| random.u32(0..40)).collect();
            random.shuffle(&mut came);
            let mut seen = std::collections::HashSet::new();
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
                corrupted: 0,
            };
            assert_eq!(counts(40, &came), expected, "{came:?}");
        }
    }

    #[test]
    fn every_receiver_of_many_is_counted() {
        let mut ledger = Ledger::new(3);
        let flow = ledger.open(2, Audience::Many(vec![0, 1].into()));
        ledger.send(flow);
        assert_eq!(ledger.receive(0, flow, 0), Verdict::Delivered);
        // the same receiver again does not stand for the other
        assert_eq!(ledger.receive(0, flow, 0), Verdict::Duplicated);
        assert_eq!(ledger.receive(2, flow, 0), Verdict::Foreign);
        assert_eq!(ledger.receive(1, flow, 1), Verdict::Foreign);
        assert_eq!(ledger.outstanding(), 1);
        let (total, senders) = ledger.close();
        assert_eq!((total.delivered, total.duplicated, total.lost), (1, 1, 1));
        assert_eq!(senders[0], Counts::default());
    }

    #[test]
    fn what_came_corrupted_is_not_lost_too() {
        let mut ledger = Ledger::new(2);
        let flow = ledger.open(0, Audience::One(1));
        for _ in 0..3 {
            ledger.send(flow);
        }
        ledger.receive(1, flow, 0);
        ledger.corrupt(Some(0));
        assert_eq!(ledger.outstanding(), 1);
        ledger.corrupt(None);
        assert_eq!(ledger.outstanding(), 0);
        let (total, senders) = ledger.close();
        assert_eq!((total.lost, total.corrupted), (0, 2));
        assert_eq!((senders[0].lost, senders[0].corrupted), (1, 1));
    }
}
