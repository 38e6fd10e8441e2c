//! The fair queue against deficit round robin as the textbook has it: a list of users, each with a
//! deficit that grows by a quantum in each round.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Deficit round robin by the letter: round after round, each user in the order of its arrival. A user
/// may act while its deficit is above zero, and pays afterwards.
#[derive(Default)]
struct Model {
    round: u64,
    /// The users that have something to do, in the order in which they became ready in this round, and
    /// those that are for the next one.
    now: VecDeque<usize>,
    next: VecDeque<usize>,
    deficits: BTreeMap<usize, i64>,
    last: BTreeMap<usize, u64>,
}

impl Model {
    /// The deficit of a user, with what the rounds since its last act have added.
    fn deficit(&mut self, user: usize) -> i64 {
        let quantum = QUANTUM as i64;
        let since = self.round - *self.last.entry(user).or_insert(self.round);
        self.last.insert(user, self.round);
        let deficit = self.deficits.entry(user).or_insert(quantum);
        for _ in 0..since {
            *deficit = (*deficit + quantum).min(quantum);
        }
        *deficit
    }

    fn push(&mut self, user: usize) {
        match self.deficit(user) {
            1.. => self.now.push_back(user),
            _ => self.next.push_back(user),
        }
    }

    fn pop(&mut self) -> Option<usize> {
        loop {
            if let Some(user) = self.now.pop_front() {
                return Some(user);
            }
            if self.next.is_empty() {
                return None;
            }
            self.round += 1;
            for user in std::mem::take(&mut self.next) {
                self.push(user);
            }
        }
    }

    fn charge(&mut self, user: usize, work: u64) {
        self.deficit(user);
        *self.deficits.get_mut(&user).unwrap() -= work as i64;
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A user has something to do, unless it has already.
    Ready(usize),
    /// The next user acts, and causes so much work; it may have more to do.
    Serve(u64, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let work = prop_oneof![
        6 => 1..QUANTUM / 4,
        2 => QUANTUM / 4..QUANTUM * 2,
        1 => QUANTUM * 2..QUANTUM * 30,
        1 => Just(QUANTUM),
    ];
    let step = prop_oneof![
        2 => (0..6_usize).prop_map(Step::Ready),
        3 => (work, any::<bool>()).prop_map(|(work, more)| Step::Serve(work, more)),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Users of one round may be served in another order than that of the model, so that what is
    /// compared is the round in which each of them is served.
    #[test]
    fn heavy_users_are_served_by_deficit_round_robin(steps in steps()) {
        let (mut queue, mut model) = (FairQueue::default(), Model::default());
        let mut shares = [Share::new(); 6];
        let mut ready = [false; 6];
        for step in steps {
            match step {
                Step::Ready(user) if !ready[user] => {
                    ready[user] = true;
                    queue.push(user, shares[user].from());
                    model.push(user);
                }
                Step::Ready(_) => {}
                Step::Serve(work, has_more) => {
                    let served = queue.pop();
                    prop_assert_eq!(served.is_some(), model.pop_this(served));
                    let Some(user) = served else { continue };
                    prop_assert_eq!(queue.round, model.round);
                    ready[user] = has_more;
                    shares[user].charge_in(queue.round, work, QUANTUM);
                    model.charge(user, work);
                    if has_more {
                        queue.push(user, shares[user].from());
                        model.push(user);
                    }
                }
            }
        }
    }

    /// Between two turns of a user, each of the others causes no more work than a quantum and one
    /// request.
    #[test]
    fn nobody_waits_for_more_than_a_quantum_and_a_request_of_each_of_the_others(
        requests in proptest::collection::vec(1..QUANTUM * 20, 5),
        turns in 20..200_usize,
    ) {
        let mut queue = FairQueue::default();
        let mut shares = [Share::new(); 6];
        (0..6).for_each(|user| queue.push(user, 0));
        let mut since = [0_u64; 5];
        for _ in 0..turns * 6 {
            let user = queue.pop().expect("everybody has something to do");
            // the last one asks for little
            let work = requests.get(user).copied().unwrap_or(QUANTUM / 2);
            shares[user].charge_in(queue.round, work, QUANTUM);
            if user == 5 {
                let bound = |other: usize| QUANTUM * 2 + requests[other];
                prop_assert!((0..5).all(|other| since[other] <= bound(other)), "{since:?}");
                since = [0; 5];
            } else {
                since[user] += work;
            }
            queue.push(user, shares[user].from());
        }
    }
}

impl Model {
    /// Takes that user, who must be one of those whose turn it is. Whether there is one.
    fn pop_this(&mut self, user: Option<usize>) -> bool {
        let Some(first) = self.pop() else { return false };
        self.now.push_front(first);
        if let Some(place) = self.now.iter().position(|&other| Some(other) == user) {
            self.now.remove(place);
            return true;
        }
        panic!("{user:?} is served before those whose turn it is: {:?}", self.now);
    }
}

#[test]
fn a_single_heavy_user_is_served_without_delay() {
    let (mut queue, mut share) = (FairQueue::default(), Share::new());
    for _ in 0..1000 {
        queue.push((), share.from());
        assert_eq!(queue.pop(), Some(()));
        share.charge_in(queue.round, 100 * QUANTUM, QUANTUM);
    }
}

#[test]
fn work_that_was_not_used_is_not_saved_up() {
    let mut share = Share::new();
    share.charge_in(0, 1, QUANTUM);
    share.charge_in(1000, QUANTUM, QUANTUM);
    assert!(share.is_used_up(1000) && !share.is_used_up(1001));
}
